//! A program with all that it is given, and how it is started.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use rustix::thread::clear_ambient_capability_set;

use super::account::RunAs;
use super::arguments::RunLine;
use crate::handler::SECRET;
use crate::secret::Secret;

/// A program, ready to be run.
pub(super) struct Program {
    pub(super) name: OsString,
    pub(super) run: RunLine,
    /// Whom it runs as; `None` = as Gatepost does.
    pub(super) account: Option<RunAs>,
    pub(super) cwd: PathBuf,
    /// Wiped when dropped: some of it is secret.
    pub(super) env: Vec<(OsString, Secret)>,
    /// Which of the variables are secrets: what the program says of them is not kept.
    pub(super) secret: BTreeSet<OsString>,
}

/// Shorter ones are no secrets, and would be found everywhere.
const SECRET_BYTES_MIN: usize = 4;

impl Program {
    /// `text` without the secrets that the program was given.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let secrets = self.env.iter().filter(|(name, _)| self.secret.contains(name));
        let mut text = text.to_owned();
        for (_, value) in secrets {
            let value = String::from_utf8_lossy(value.expose());
            // A program may say it line by line.
            for line in value.lines().map(str::trim).filter(|line| line.len() >= SECRET_BYTES_MIN) {
                text = text.replace(line, SECRET);
            }
        }
        text
    }

    /// A command that begins a process group of its own. To be started on the same thread: what a unit gives
    /// Gatepost by `AmbientCapabilities=`, such as the right to be any user, would pass to each program.
    pub(super) fn command(&self, arguments: Vec<String>) -> io::Result<Command> {
        match clear_ambient_capability_set() {
            // A kernel that has none (before 4.3).
            Ok(()) | Err(Errno::INVAL) => {}
            Err(err) => return Err(err.into()),
        }
        let mut command = Command::new(&self.name);
        command.args(arguments).process_group(0).env_clear();
        if self.cwd != Path::new("") {
            command.current_dir(&self.cwd);
        }
        for (name, value) in &self.env {
            command.env(name, OsStr::from_bytes(value.expose()));
        }
        if let Some(account) = &self.account {
            account.put_on(&mut command);
        }
        Ok(command)
    }

    /// The program's file, where it is there and may be run.
    fn find(&self) -> Option<PathBuf> {
        let path = Path::new(&self.name);
        if path.components().count() > 1 {
            return is_executable(path).then(|| path.to_owned());
        }
        let (_, folders) = self.env.iter().find(|(name, _)| name == "PATH")?;
        std::env::split_paths(OsStr::from_bytes(folders.expose()))
            .map(|folder| folder.join(path))
            .find(|path| is_executable(path))
    }

    /// Whether `path` may be there for the user that the program runs as, where this one may not look.
    pub(super) fn is_shut(&self, path: &Path) -> bool {
        let is_denied = |err: io::Error| err.kind() == ErrorKind::PermissionDenied;
        self.account.is_some() && path.metadata().err().is_some_and(is_denied)
    }

    /// Why it cannot be run.
    pub(super) fn lacks(&self) -> Option<String> {
        if self.find().is_some() || self.is_shut(Path::new(&self.name)) {
            return None;
        }
        let (path, name) = (Path::new(&self.name), self.shown());
        Some(if path.components().count() > 1 && path.is_file() {
            format!("`{name}` is there and may not be run: `chmod +x {name}`")
        } else {
            format!("`{name}` is not an executable file")
        })
    }

    /// Whether a folder keeps even a look at the program away.
    fn is_out_of_reach(&self) -> bool {
        let looked = std::fs::metadata(&self.name);
        looked.is_err_and(|err| err.kind() == ErrorKind::PermissionDenied)
    }

    /// The failure of its start.
    pub(super) fn unstarted(&self, err: &io::Error) -> String {
        if let (Some(account), ErrorKind::PermissionDenied) = (&self.account, err.kind()) {
            let (name, user) = (self.shown(), account.shown());
            return format!(
                "`{name}` cannot be run: {err}; is it executable (`chmod +x`), and may user `{user}` read it and \
                 enter the folder `{}`?",
                self.cwd.display()
            );
        }
        let remedy = match (err.kind(), err.raw_os_error()) {
            (ErrorKind::PermissionDenied, _) if self.is_out_of_reach() => {
                "; this user may not enter its folder (under the shipped unit, `ProtectHome=yes` hides `/home` and `/root`)"
            }
            (ErrorKind::PermissionDenied, _) => "; is it executable (`chmod +x`)?",
            // What is not there is what its first line names: `#!/bin/sh` with a line end of Windows names none.
            (ErrorKind::NotFound, _) if self.find().is_some() => {
                "; the program is there: is the folder `cwd`, and what its first line (`#!`) names? Lines must not \
                 end as those of Windows (CRLF)"
            }
            (_, Some(ENOEXEC)) => "; does its first line say what runs it (`#!/bin/sh`)?",
            _ => "",
        };
        format!("`{}` cannot be run: {err}{remedy}", self.shown())
    }

    fn shown(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

/// The error of a file that is no program: `Exec format error`.
const ENOEXEC: i32 = 8;

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
