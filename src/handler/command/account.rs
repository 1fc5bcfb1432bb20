//! `user` and `group`: programs that run as another user of the system.
//!
//! 1. A program has that user's number and one group, and no other groups: neither the service's nor those that
//!    the user has beside.
//! 2. None of Gatepost's capabilities comes along, be the user another one or not: see [`Program::command`].
//! 3. What the system does not allow is found before the first event: by trying it, without a program.
//!
//! [`Program::command`]: super::program::Program::command

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgroups};
use rustix::thread::{CapabilitySet, capabilities, set_thread_groups};
use serde_json::{Value as Json, json};

use crate::handler::BuildError;
use crate::settings::{FromToml, Table, Value};

/// What the unit has to say, and where more of it stands.
const REMEDY: &str = "run Gatepost as root, or give its unit `AmbientCapabilities=CAP_SETUID CAP_SETGID CAP_KILL` \
                      and what docs/handlers/command.md has beside that";

/// No program: it is only looked how far one comes towards it.
const NOWHERE: &str = "/dev/null/nothing";

/// A user or a group, by name or by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum AccountName {
    Name(String),
    Number(u32),
}

impl std::fmt::Display for AccountName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl FromToml for AccountName {
    fn expected() -> String {
        "a name or a number".to_owned()
    }

    fn example() -> String {
        "\"www-data\"".to_owned()
    }

    fn schema() -> Json {
        json!({ "anyOf": [String::schema(), { "type": "integer", "minimum": 0, "maximum": u32::MAX - 1 }] })
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        let number = value.as_integer().or_else(|| value.as_str()?.parse().ok());
        // The largest one means "as it was" to the system.
        let number = number.map(|number| u32::try_from(number).ok().filter(|one| *one < u32::MAX));
        match (number, value.as_str()) {
            (Some(Some(number)), _) => Some(Self::Number(number)),
            (None, Some(name)) if !name.is_empty() && !name.contains([':', '\0', '\n']) => {
                Some(Self::Name(name.to_owned()))
            }
            _ => value.mismatch(),
        }
    }
}

/// Whom the table names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AccountNames {
    user: Option<AccountName>,
    group: Option<AccountName>,
}

/// For people: `www-data`, or `www-data:backup` where a group is named too.
impl std::fmt::Display for AccountNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.user.iter().map(ToString::to_string);
        let names: Vec<String> = user.chain(self.group.iter().map(ToString::to_string)).collect();
        f.write_str(&names.join(":"))
    }
}

impl AccountNames {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let (user, group) = (table.take("user"), table.take("group"));
        if table.has("group") && !table.has("user") {
            let message = "this is the group of another user, and none is named";
            table.problem("group", message, "add `user = \"…\"`");
        }
        Self { user, group }
    }

    pub(super) fn is_none(&self) -> bool {
        self.user.is_none()
    }

    /// The user; `None` = none is named. That this process may run programs so was tried.
    pub(super) fn find(&self) -> Result<Option<RunAs>, BuildError> {
        let Some(user) = &self.user else { return Ok(None) };
        let found = RunAs::of(user, self.group.as_ref()).and_then(|account| {
            let objection = account.objection();
            objection.map_or(Ok(account), |why| {
                Err(format!("programs cannot be run as user `{user}`: {why}"))
            })
        });
        found.map(Some).map_err(BuildError::Unfit)
    }
}

/// A user of this system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunAs {
    uid: u32,
    gid: u32,
    /// `None` = it has a number only.
    name: Option<String>,
    home: String,
}

impl RunAs {
    fn of(user: &AccountName, group: Option<&AccountName>) -> Result<Self, String> {
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        Self::among((&users, &groups), user, group)
    }

    fn among(
        (users, groups): (&str, &str),
        user: &AccountName,
        group: Option<&AccountName>,
    ) -> Result<Self, String> {
        let line = line_of(users, user);
        let uid = match (user, &line) {
            (AccountName::Number(number), _) => Some(*number),
            (AccountName::Name(_), line) => line.as_ref().and_then(|line| number(line, 2)),
        };
        let uid = uid.ok_or_else(|| {
            format!("there is no user `{user}` in /etc/passwd: make it, or write its number and a `group`")
        })?;
        let gid = match group {
            Some(AccountName::Number(number)) => Some(*number),
            Some(name) => {
                let found = line_of(groups, name).and_then(|line| number(&line, 2));
                Some(found.ok_or_else(|| format!("there is no group `{name}` in /etc/group"))?)
            }
            None => line.as_ref().and_then(|line| number(line, 3)),
        };
        let gid = gid.ok_or_else(|| {
            format!("the user `{user}` is not in /etc/passwd, so its group is not known: write `group` too")
        })?;
        let field = |index: usize| {
            let field = line.as_ref().and_then(|line| line.get(index));
            field.filter(|field| !field.is_empty()).map(|field| (*field).to_owned())
        };
        Ok(Self { uid, gid, name: field(0), home: field(5).unwrap_or_else(|| "/".to_owned()) })
    }

    /// What a program finds in its environment of the user that it runs as.
    pub(super) fn variables(&self) -> Vec<(&'static str, &str)> {
        let names = ["USER", "LOGNAME"].into_iter();
        let names = names.filter_map(|variable| Some((variable, self.name.as_deref()?)));
        names.chain([("HOME", self.home.as_str())]).collect()
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    /// Has `command` run as the user. Its other groups are dropped by std, which takes a refusal of that for
    /// nothing: [`objection`](Self::objection) has tried it.
    pub(super) fn put_on(&self, command: &mut Command) {
        if !self.is_own() {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Whether this process is that user already, with that group alone.
    fn is_own(&self) -> bool {
        let groups = getgroups().unwrap_or_default();
        (geteuid().as_raw(), getegid().as_raw()) == (self.uid, self.gid)
            && groups.iter().all(|group| group.as_raw() == self.gid)
    }

    /// Why this process cannot run programs as the user, or not end them, and what helps.
    fn objection(&self) -> Option<String> {
        if self.is_own() {
            return None;
        }
        // It changes nothing, and wants the same right as dropping them.
        let may = |right| capabilities(None).is_ok_and(|own| own.effective.contains(right));
        if getgroups().and_then(|groups| set_thread_groups(&groups)).is_err() {
            // Who has the right is refused by a namespace: there groups cannot be dropped, or are not known.
            let is_namespace = may(CapabilitySet::SETGID);
            let kept = || format!("its groups would be kept, for want of CAP_SETGID; {REMEDY}");
            return Some(if is_namespace { not_here() } else { kept() });
        }
        if !may(CapabilitySet::KILL) && geteuid().as_raw() != self.uid {
            return Some(format!(
                "those that take too long could not be ended, for want of CAP_KILL; {REMEDY}"
            ));
        }
        let mut nothing = Command::new(NOWHERE);
        self.put_on(&mut nothing);
        nothing.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let err = nothing.spawn().err()?;
        match err.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::PERM) => {
                Some(format!("the system does not allow it (CAP_SETUID, CAP_SETGID); {REMEDY}"))
            }
            Some(Errno::INVAL) => Some(not_here()),
            // It came as far as the program that is not there; or the system is short of something for now.
            _ => None,
        }
    }
}

fn not_here() -> String {
    format!(
        "the namespace that Gatepost runs in has no such user or group, as with `PrivateUsers=yes`; {REMEDY}"
    )
}

/// The fields of the line of a user or a group.
fn line_of<'a>(list: &'a str, account: &AccountName) -> Option<Vec<&'a str>> {
    let mut lines = list.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|line| match account {
        AccountName::Name(name) => line.first() == Some(&name.as_str()),
        AccountName::Number(wanted) => number(line, 2) == Some(*wanted),
    })
}

fn number(line: &[&str], index: usize) -> Option<u32> {
    line.get(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::handler::testing::{context, settings, try_settings};

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nsite:x:1001:1002:Site,,,:/srv/site:/bin/false\n\
                         bare:x:7:8:::\n+::::::\n";
    const GROUPS: &str = "root:x:0:\nweb:x:33:site,bare\n";

    #[test]
    fn users_and_groups_are_found_by_name_and_by_number() {
        let name = |text: &str| AccountName::Name(text.to_owned());
        let number = AccountName::Number;
        let find = |user: AccountName, group: Option<AccountName>| {
            let found = RunAs::among((USERS, GROUPS), &user, group.as_ref());
            found.map(|one| (one.uid, one.gid, one.shown(), one.home))
        };
        let of =
            |uid, gid, shown: &str, home: &str| Ok((uid, gid, shown.to_owned(), home.to_owned()));
        assert_eq!(find(name("site"), None), of(1001, 1002, "site", "/srv/site"));
        assert_eq!(find(name("site"), Some(name("web"))), of(1001, 33, "site", "/srv/site"));
        assert_eq!(find(number(7), None), of(7, 8, "bare", "/"));
        assert_eq!(find(number(99), Some(number(5))), of(99, 5, "99", "/"));
        for (user, group, said) in [
            (name("sit"), None, "there is no user `sit` in /etc/passwd"),
            (name("+"), None, "there is no user `+`"),
            (number(99), None, "the user `99` is not in /etc/passwd, so its group"),
            (name("site"), Some(name("x")), "there is no group `x` in /etc/group"),
        ] {
            let told = find(user, group).unwrap_err();
            assert!(told.starts_with(said), "{told}");
        }
        let account = RunAs::among((USERS, GROUPS), &name("site"), None).unwrap();
        let variables = [("USER", "site"), ("LOGNAME", "site"), ("HOME", "/srv/site")];
        assert_eq!(account.variables(), variables);
    }

    #[test]
    fn mistakes_in_user_and_group_are_named() {
        let check = |text: &str, expected: &str| {
            let (_, problems) =
                try_settings("command", &format!("run = ['x']\n{text}"), Path::new("."));
            assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
        };
        check("group = 'web'", "the group of another user, and none is named");
        check("user = ''", "expected a name or a number");
        check("user = -1", "expected a name or a number");
        check("user = 4294967295", "expected a name or a number");
        check("user = 'site:web'", "expected a name or a number");
        check("user = true", "expected a name or a number");
        let nobody = settings("command", "run = ['true']\nuser = 'no-such-user'", Path::new("."));
        let err = nobody.build(&context(Path::new("."))).err().unwrap();
        assert!(err.to_string().starts_with("there is no user `no-such-user`"), "{err}");
        let number = settings("command", "run = ['true']\nuser = '61301'", Path::new("."));
        let err = number.build(&context(Path::new("."))).err().unwrap();
        assert!(err.to_string().starts_with("the user `61301` is not in /etc/passwd"), "{err}");
    }
}
