//! `config.toml` as checked settings: everything that is wrong is found in one run.
//!
//! Each table is read where its settings are used (a source by `source`, a kind by its own file);
//! what is here is what belongs to no single part, and what holds between the parts: a handler
//! names sources that are there, and has exactly one kind.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::deliver::{EventGlob, OWN_SOURCE};
use crate::event::{HandlerName, SourceName};
use crate::secret::SecretRef;
use crate::settings::{self, ConfigEntries, ConfigEntry, Probe, Problem, Report, Severity, Table};
use crate::source::{SourceCredentials, SourceSettings};

mod defaults;
mod diff;
mod elsewhere;
mod folders;
mod handler;
mod markdown;
mod other_words;
mod public_url;
mod queue;
mod reference;
mod schema;
mod secret_places;
mod server;
mod shared_files;
mod standby;
mod traces;

pub use diff::{Change, Effect, diff, diff_since};
pub use handler::HandlerSettings;
pub use markdown::markdown;
pub use public_url::{NO_PUBLIC_URL, check_public_url};
pub use queue::{EngineSettings, QueueSettings, SharedLogSettings};
pub use schema::{schema, with_every_option};
pub use server::{AdminSettings, LogFormat, LogLevel, LogSettings, ServerSettings};
pub use standby::StandbySettings;
pub use traces::{TracesHeader, TracesSettings};

/// The configuration that comes with the program.
pub const DEFAULT: &str = include_str!("../config.toml");

/// Every option with its text, and its default or an example.
pub const REFERENCE: &str = include_str!("config/reference.toml");

/// The largest file that is read: far more than is written by hand.
const BYTES_MAX: u64 = 4 << 20;

/// Checked settings.
#[derive(Debug)]
pub struct Config {
    /// The configuration file's folder: what relative paths start from.
    pub folder: PathBuf,
    pub server: ServerSettings,
    pub queue: QueueSettings,
    /// Dashboard, API and the command line's socket.
    pub admin: AdminSettings,
    /// What is wanted of a second copy on another machine; `None` = none is expected.
    pub standby: Option<StandbySettings>,
    pub log: LogSettings,
    /// Where traces go; nothing where none are wanted.
    pub traces: Option<TracesSettings>,
    pub sources: BTreeMap<SourceName, SourceSettings>,
    pub handlers: BTreeMap<HandlerName, HandlerSettings>,
    /// What the file says, key by key.
    entries: ConfigEntries,
    /// Where its secrets are, each with the key that says so.
    secrets: Vec<(String, SecretRef)>,
}

/// All that a configuration says of one part.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigSnapshot(Vec<(String, ConfigEntry)>);

/// What came out of checking a configuration.
#[derive(Debug)]
pub struct Checked {
    /// The settings; `None` where something is wrong.
    pub config: Option<Config>,
    /// What could be read where something is wrong.
    pub partial: Option<PartialConfig>,
    /// What is wrong, and what is probably not meant.
    pub report: Report,
}

/// What could be read of a configuration with mistakes: to be looked at, never to be run.
#[derive(Debug)]
pub struct PartialConfig {
    /// Without the sources and handlers that could not be read.
    pub config: Config,
    /// Sources that could not be read.
    unread: Vec<SourceName>,
    /// Handlers whose kind could not be read, as far as they could be.
    pub unread_handlers: BTreeMap<HandlerName, HandlerSettings>,
}

impl PartialConfig {
    /// Whether all sources that `on` names could be read.
    pub fn has_sources_of(&self, on: &[EventGlob]) -> bool {
        let is_unread = |glob: &EventGlob| {
            let mut unread = self.unread.iter();
            unread.any(|name| glob.source.matches(name.as_str()))
        };
        let is_known = |glob: &EventGlob| {
            let mut names = self.config.sources.keys().map(SourceName::as_str).chain([OWN_SOURCE]);
            names.any(|name| glob.source.matches(name))
        };
        match on {
            [] => self.unread.is_empty(),
            _ => on.iter().all(|glob| is_known(glob) && !is_unread(glob)),
        }
    }
}

impl Config {
    /// All that is said of a handler, to compare it with another time.
    pub fn snapshot_of(&self, handler: &HandlerName) -> ConfigSnapshot {
        let part = format!("handler.{handler}.");
        let entries = self.entries.0.iter().filter(|(key, _)| key.starts_with(&part));
        ConfigSnapshot(entries.map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }

    /// Where requests carry passwords, for each source.
    pub fn credentials(&self) -> SourceCredentials {
        let sources = self.sources.iter();
        sources.map(|(name, settings)| (name.clone(), settings.credentials())).collect()
    }

    /// Each key that is set, with its value as TOML writes it; `(hidden)` where it is a secret.
    pub fn keys(&self) -> Vec<(String, String)> {
        self.entries.0.iter().map(|(key, entry)| (key.clone(), entry.to_string())).collect()
    }

    /// Each key that is set, with the line that says so, and where the secrets are that it names: in the
    /// environment, say.
    pub fn origins(&self) -> impl Iterator<Item = (&str, usize, Vec<String>)> {
        self.entries.0.iter().map(|(key, entry)| {
            let is_of = |secret: &str| {
                let below = |one: &str, other: &str| {
                    one.strip_prefix(other).is_some_and(|rest| rest.starts_with(['.', '[']))
                };
                secret == key || below(secret, key) || below(key, secret)
            };
            let own = self.secrets.iter().filter(|(secret, _)| is_of(secret));
            (key.as_str(), entry.line(), own.map(|(_, secret)| secret.to_string()).collect())
        })
    }

    /// Each key that the file leaves out and that has a default, with that as TOML writes it.
    pub fn defaults(&self) -> Vec<(String, String)> {
        defaults::defaults(self)
    }

    /// Where the value of `key` is in the file, in bytes; of a table its first value.
    pub fn place_of(&self, key: &str) -> Option<std::ops::Range<usize>> {
        let table = format!("{key}.");
        let entries = || self.entries.0.iter();
        let below = || entries().filter(|(name, _)| name.starts_with(&table));
        let exact = entries().find(|(name, _)| *name == key).map(|(_, entry)| entry.place());
        exact.or_else(|| below().map(|(_, entry)| entry.place()).min_by_key(|place| place.start))
    }

    /// The key that a handler cannot be built for: the one whose value `why` names, else that of the
    /// secret that it speaks of.
    pub fn key_of(&self, handler: &HandlerName, why: &str) -> Option<String> {
        let part = format!("handler.{handler}.");
        let named = self.entries.0.iter().find(|(key, entry)| {
            let value = entry.to_string();
            let value = value.trim_matches('"');
            // A path is told as a whole.
            let is_path = value.len() > 3 && value.contains(['/', '.']);
            let is_said = why.contains(&format!("`{value}`")) || is_path && why.contains(value);
            key.starts_with(&part) && is_said
        });
        let mut secrets =
            self.secrets.iter().map(|(key, _)| key).filter(|key| key.starts_with(&part));
        let is_meant = |key: &&String| {
            let words = key.to_lowercase();
            let Some((_, header)) = words.split_once(".headers.") else { return true };
            why.contains(header.split('.').next().unwrap_or_default())
        };
        let secret = || secrets.find(is_meant).cloned().filter(|_| why.contains("secret"));
        named.map(|(key, _)| key.clone()).or_else(secret)
    }

    /// Where the secret is that `key`, or the key that it is a part of, says.
    pub fn secret_at(&self, key: &str) -> Option<&SecretRef> {
        let is_at = |secret: &str| {
            let rest = key.strip_prefix(secret);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.secrets.iter().find(|(secret, _)| is_at(secret)).map(|(_, secret)| secret)
    }
}

/// Reads and checks the file at `path`. The report that comes with the settings holds warnings
/// only; the one that comes alone says what is wrong.
pub fn load(path: &Path) -> Result<(Config, Report), Report> {
    load_with(path, Some(SecretRef::probe))
}

/// The same for the running gateway: a secret that only a handler lacks keeps that handler from being
/// built and nothing else, so it is a warning.
pub fn load_to_run(path: &Path) -> Result<(Config, Report), Report> {
    let mut report = match load(path) {
        Ok(good) => return Ok(good),
        Err(report) => report,
    };
    let is_error = |problem: &&mut Problem| problem.severity == Severity::Error;
    if !report.problems.iter_mut().filter(is_error).all(|one| one.path.starts_with("handler.")) {
        return Err(report);
    }
    // What is wrong with the file whatever its secrets are stays an error.
    let Ok((config, _warnings)) = load_without_secrets(path) else { return Err(report) };
    for problem in report.problems.iter_mut().filter(is_error) {
        problem.severity = Severity::Warning;
    }
    Ok((config, report))
}

/// The same where the secrets need not be there: for what the server does with them, and for tests of
/// handlers on another machine.
pub fn load_without_secrets(path: &Path) -> Result<(Config, Report), Report> {
    load_with(path, None)
}

/// What leads to the server of the file at `path`, whatever else is wrong with it: as it says, or where it is
/// no TOML as it is by default.
pub fn to_reach(path: &Path) -> Option<Config> {
    let whole = |checked: Checked| {
        let partial = checked.partial.map(|partial| partial.config);
        checked.config.or(partial)
    };
    let checked = check_file(path, None).ok().and_then(whole);
    checked.or_else(|| {
        let absolute = std::path::absolute(path).ok()?;
        whole(check_text("", &path.display().to_string(), absolute.parent()?, None))
    })
}

fn load_with(path: &Path, probe: Option<Probe>) -> Result<(Config, Report), Report> {
    let Checked { config, report, partial: _ } = check_file(path, probe)?;
    match config {
        Some(config) => Ok((config, report)),
        None => Err(report),
    }
}

/// Checks the file at `path`, its secrets by `probe`; the report alone where it cannot be read.
pub fn check_file(path: &Path, probe: Option<Probe>) -> Result<Checked, Report> {
    let file = path.display().to_string();
    let text = read_file(path, &file)?;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    Ok(check_text(&text, &file, folder, probe))
}

/// Checks `text`, the content of `file`, whose relative paths start from `folder`. Opens nothing
/// but the secrets, and those by `probe` only.
pub fn check_text(text: &str, file: &str, folder: &Path, probe: Option<Probe>) -> Checked {
    let reading = settings::read_with(text, folder, probe, read);
    let mut report = Report::new(file, text, &reading);
    elsewhere::name_homes(&mut report);
    let has_errors = reading.has_errors();
    let (entries, secrets) = (reading.entries, reading.secrets);
    let ReadTables { config, unread, unread_handlers, is_broken } = reading.value;
    let config = Config { entries, secrets, ..config };
    shared_files::warn(&config, &mut report);
    if probe.is_some() {
        folders::warn(&config, &mut report);
    }
    if unread.is_empty() && unread_handlers.is_empty() && !has_errors {
        return Checked { config: Some(config), partial: None, report };
    }
    // Of broken TOML nothing is sure: a key may stand in another table than its owner wrote it.
    let partial = PartialConfig { config, unread, unread_handlers };
    let partial = (!is_broken).then_some(partial);
    Checked { config: None, partial, report }
}

/// What came out of reading the tables.
struct ReadTables {
    config: Config,
    unread: Vec<SourceName>,
    unread_handlers: BTreeMap<HandlerName, HandlerSettings>,
    is_broken: bool,
}

fn read_file(path: &Path, file: &str) -> Result<String, Report> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path);
    opened.and_then(|opened| opened.take(BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(
        |err| {
            let help = "run this in the folder of your configuration, or name that with `--config PATH`; `gatepost init` writes a \
                        new one";
            Report::unreadable(file, format_args!("`{file}` cannot be read: {err}"), help)
        },
    )?;
    if bytes.len() as u64 > BYTES_MAX {
        let help = format!("a configuration has at most {} MiB", BYTES_MAX >> 20);
        return Err(Report::unreadable(file, format_args!("`{file}` is too large"), help));
    }
    String::from_utf8(bytes).map_err(|err| {
        let at = err.utf8_error().valid_up_to();
        let line = err.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        let message = format!("`{file}` is not UTF-8 text: the first wrong byte is in line {line}");
        Report::unreadable(file, message, "save it as UTF-8")
    })
}

/// Reads the whole file. Every table is read before anything is given up.
fn read(root: &mut Table<'_>) -> ReadTables {
    let server = server::read_server(root);
    let queue = queue::read(root);
    let admin = server::read_admin(root, &server);
    let standby = standby::read(root);
    if standby.is_some() && queue.shared.is_some() {
        root.problem(
            "standby",
            "a standby copies a queue of one machine, and this one is shared",
            "leave `[standby]` out: the shared log has copies of its own (docs/cluster.md)",
        );
    }
    let log = server::read_log(root);
    let traces = traces::read(root);
    let (names, sources) = read_sources(root, &server);
    let handler::ReadHandlers { whole: handlers, unread: unread_handlers } =
        handler::read_all(root, &names);
    let is_read = |name: &SourceName| sources.contains_key(name);
    let unread: Vec<SourceName> = names.into_iter().filter(|name| !is_read(name)).collect();
    let config = Config {
        folder: root.folder().to_owned(),
        server,
        queue,
        admin,
        standby,
        log,
        traces,
        sources,
        handlers,
        entries: ConfigEntries::default(),
        secrets: Vec::new(),
    };
    ReadTables { config, unread, unread_handlers, is_broken: root.is_broken() }
}

/// The names of all sources, also of those that are wrong, and the settings of those that are not.
fn read_sources(
    root: &mut Table<'_>,
    server: &ServerSettings,
) -> (Vec<SourceName>, BTreeMap<SourceName, SourceSettings>) {
    let tables = root.tables("source", SourceName::parse);
    if tables.is_empty() && !root.has("source") && !root.is_broken() {
        root.warning_here("there is no source: nothing can come in", "add `[source.NAME]`");
    }
    let mut names = Vec::new();
    let mut sources = Vec::new();
    for (name, mut table) in tables {
        if name.as_str() == OWN_SOURCE {
            table.problem_here(
                "`gatepost` is the built-in source of Gatepost's own events",
                "give this source another name",
            );
        }
        let base = server.public_url.as_deref();
        let address = base.map(|base| format!("{base}/hooks/{name}"));
        let settings = SourceSettings::read(&mut table, address.as_deref());
        if settings.as_ref().is_some_and(|settings| server.hides_clients(&settings.allow)) {
            table.warning(
                "allow",
                "all requests come from this machine, so none comes from an address named here",
                "name the proxy: `trusted_proxies = [\"127.0.0.1\"]` in `[server]`",
            );
        }
        sources.extend(settings.map(|settings| (name.clone(), settings)));
        names.push(name);
        table.finish();
    }
    (names, sources.into_iter().collect())
}

#[cfg(test)]
mod tests;
