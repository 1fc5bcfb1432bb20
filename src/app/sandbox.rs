//! Shuts the process in by landlock(7): it writes in the folders that its configuration names, starts no
//! programs, and can never get out of that again, whatever a bug in it lets a sender do.
//!
//! Reading is not restricted: TLS roots, time zones and secrets are all over a system. Where a handler
//! runs programs nothing is done, since they would be shut in as well.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
};

use crate::config::Config;
use crate::secret::SecretRef;
use crate::tls::TlsSettings;

/// From Linux 6.2 on all of it holds; older kernels apply what they know.
const VERSION: ABI = ABI::V3;

/// What the process is shut in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// It writes in these folders only, and starts no programs.
    Folders(BTreeSet<PathBuf>),
    /// It is not shut in, and why.
    Open(String),
}

impl Sandbox {
    /// What `config` allows. Changes nothing.
    pub fn wanted(config: &Config) -> Self {
        if !config.server.landlock {
            return Self::Open("`landlock = false` in `[server]`".to_owned());
        }
        let program = config.handlers.iter().find(|(_, settings)| settings.kind.runs_programs());
        match program {
            Some((name, _)) => Self::Open(format!("handler `{name}` runs a program")),
            None => Self::Folders(folders(config)),
        }
    }

    /// The same, as this kernel can do it. Changes nothing.
    pub fn possible(config: &Config) -> Self {
        let wanted = Self::wanted(config);
        match (&wanted, ruleset(CompatLevel::HardRequirement)) {
            (Self::Folders(_), Err(_)) => Self::Open(NO_LANDLOCK.to_owned()),
            (Self::Folders(_), Ok(_)) | (Self::Open(_), _) => wanted,
        }
    }

    /// Shuts the calling thread in, and those that it starts from now on.
    pub fn enter(config: &Config) -> Self {
        let wanted = Self::wanted(config);
        let Self::Folders(folders) = &wanted else { return wanted };
        match restrict(folders) {
            Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => wanted,
            Ok(RulesetStatus::NotEnforced) => Self::Open(NO_LANDLOCK.to_owned()),
            Err(err) => Self::Open(format!("landlock failed: {err}")),
        }
    }

    /// Why `config` needs more than the process can do by now; `None` = it does not.
    pub(super) fn objection(&self, config: &Config) -> Option<String> {
        let Self::Folders(allowed) = self else { return None };
        let what = match Self::wanted(config) {
            Self::Folders(wanted) => {
                let is_allowed = |path: &PathBuf| allowed.iter().any(|one| path.starts_with(one));
                let folder = wanted.iter().find(|path| !is_allowed(path))?;
                format!("writes in `{}`", folder.display())
            }
            Self::Open(why) => why,
        };
        Some(format!(
            "{what}, and the running process has shut itself in (landlock): restart it, which \
             refuses nobody where systemd holds its socket"
        ))
    }
}

/// Why a process is not shut in that would be.
const NO_LANDLOCK: &str = "there is no landlock: the kernel has none, or a filter of system calls (`SystemCallFilter=`) \
                           keeps it away";

/// For people: what `check` and the log say.
impl std::fmt::Display for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folders(folders) => {
                let shown: Vec<String> =
                    folders.iter().map(|path| format!("`{}`", path.display())).collect();
                write!(f, "shut in: starts no programs, writes in {} only", shown.join(", "))
            }
            Self::Open(why) => write!(f, "not shut in: {why}"),
        }
    }
}

/// Where `config` has Gatepost write.
fn folders(config: &Config) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| path.parent().map(Path::to_owned);
    let mut folders = BTreeSet::from([config.queue.path.clone(), std::env::temp_dir()]);
    folders.extend(parent(&config.admin.socket));
    folders.extend(parent(&config.admin.token));
    folders.extend(config.admin.read_only_token.as_deref().and_then(parent));
    folders.extend(config.standby.as_ref().and_then(|standby| parent(&standby.token)));
    if let Some(TlsSettings::Acme(acme)) = &config.server.tls {
        folders.insert(acme.folder.clone());
    }
    let of_sources = config.sources.values().flat_map(|settings| {
        // One that is learned is written as well.
        settings.secrets.iter().filter(|secret| settings.learns() || is_made(secret))
    });
    let of_handlers =
        config.handlers.keys().flat_map(|name| config.secrets_of(name)).filter(|one| is_made(one));
    folders.extend(of_sources.chain(of_handlers).filter_map(|secret| match secret {
        SecretRef::File { path, .. } => parent(path),
        SecretRef::Env(_) | SecretRef::Credential(_) => None,
    }));
    let handlers = config.handlers.values().flat_map(|settings| settings.kind.writes());
    folders.extend(handlers.filter_map(|path| parent(&path)));
    // One within another says nothing more.
    let all: Vec<PathBuf> = folders.iter().cloned().collect();
    folders.retain(|path| all.iter().all(|other| other == path || !path.starts_with(other)));
    folders
}

fn is_made(secret: &SecretRef) -> bool {
    matches!(secret, SecretRef::File { create: true, .. })
}

/// What is forbidden wherever no rule allows it.
fn handled() -> BitFlags<AccessFs> {
    AccessFs::from_write(VERSION) | AccessFs::Execute
}

fn ruleset(level: CompatLevel) -> Result<RulesetCreated, RulesetError> {
    Ruleset::default().set_compatibility(level).handle_access(handled())?.create()
}

fn restrict(folders: &BTreeSet<PathBuf>) -> Result<RulesetStatus, RulesetError> {
    let mut ruleset = ruleset(CompatLevel::BestEffort)?;
    for folder in folders {
        // A rule is for a folder that is there. One that cannot be made fails where it is used.
        if std::fs::create_dir_all(folder).is_err() {
            continue;
        }
        if let Ok(open) = PathFd::new(folder) {
            let may = AccessFs::from_write(VERSION);
            ruleset = ruleset.add_rule(PathBeneath::new(open, may))?;
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(rest: &str) -> Config {
        let text = format!(
            "[source.s]\nprovider = 'svix'\nsecrets = [{{ file = 'keys/s', create = true }}]\n{rest}"
        );
        let checked = crate::config::check_text(&text, "c.toml", Path::new("/srv/g"), None);
        checked.config.unwrap_or_else(|| panic!("{}", checked.report))
    }

    #[test]
    fn sandbox_writes_where_the_configuration_says_and_nowhere_else() {
        let config = config(
            "[handler.a.file]\npath = '/var/log/hooks/a.jsonl'\n[handler.b.sql]\n\
             url = 'sqlite:site/b.db'\ntable = 'b'\ncolumns = { id = 'event.id' }",
        );
        let Sandbox::Folders(mut folders) = Sandbox::wanted(&config) else { panic!("open") };
        folders.remove(&std::env::temp_dir());
        let shown: Vec<_> = folders.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(shown, ["/srv/g/data", "/srv/g/keys", "/srv/g/site", "/var/log/hooks"]);
    }

    #[test]
    fn sandbox_is_none_where_programs_are_run_and_then_a_reload_says_so() {
        let plain = config("[handler.a.log]");
        let program = config("[handler.p.command]\nrun = ['/bin/true']");
        let elsewhere = config("[handler.a.file]\npath = '/elsewhere/a'");
        let inside = config("[handler.a.file]\npath = 'data/deep/a'");
        assert_eq!(Sandbox::wanted(&program), Sandbox::Open("handler `p` runs a program".into()));
        let entered = Sandbox::wanted(&plain);
        let objection = |config: &Config| entered.objection(config).unwrap_or_default();
        assert_eq!(objection(&inside), "");
        assert!(objection(&program).starts_with("handler `p` runs a program, and"));
        assert!(objection(&elsewhere).starts_with("writes in `/elsewhere`, and"));
        assert_eq!(Sandbox::wanted(&program).objection(&elsewhere), None);
        let off = config("[handler.a.log]\n[server]\nlandlock = false");
        assert!(matches!(Sandbox::possible(&off), Sandbox::Open(_)));
    }
}
