//! `command`: hands each event to a program of the owner's, without a shell.
//!
//! | mode | the program |
//! |---|---|
//! | `once` (default) | runs once per event: body on stdin, fields in the environment, exit code as answer |
//! | `worker` | keeps running: one JSON line in per event, one JSON line out per event |
//!
//! Either way it runs in a process group of its own, which ends as a whole (by SIGTERM, and by SIGKILL
//! where that does not help within some seconds), and in an environment
//! of its own: `PATH`, `HOME`, `LANG`, `TZ` and what `env` says.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use async_trait::async_trait;

use super::{
    BuildContext, BuildError, Content, Handler, Kind, KindSettings, Plan, SECRET, Step, Text,
    Unshown,
};
use crate::event::{Delivery, Failure};
use crate::secret::{Secret, SecretRef};
use crate::settings::{Table, Value, names_secret, without_secret_arguments, without_secrets};

mod ending;
mod fields;
mod group;
mod once;
mod program_time;
mod said;
mod shell;
#[cfg(test)]
mod tests;
mod worker;

use fields::EventFields;

/// The most deliveries that a worker gets at once: more would only wait in its pipe.
const WORKER_BATCH_MAX: usize = 256;

/// The most worker processes of one handler.
const WORKERS_MAX: usize = 64;

/// What a program may know of Gatepost's own environment.
const KEPT: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// `[handler.NAME.command]`.
pub static KIND: Kind = Kind {
    name: "command",
    batch_max: WORKER_BATCH_MAX,
    targets: &[],
    planned: &["cwd", "env", "fields", "mode", "run"],
    read: |table| Some(Box::new(Settings::read(table)?)),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Once,
    Worker,
}

/// The value of an environment variable.
#[derive(Clone, Debug, Hash)]
enum EnvValue {
    Plain(String),
    Secret(SecretRef),
}

impl EnvValue {
    /// As it is told: a secret is not, and neither is what may be one.
    fn shown(&self, name: &str) -> String {
        let name_lower = name.to_ascii_lowercase();
        let is_named =
            names_secret(name) || LIKE_SECRETS.iter().any(|word| name_lower.contains(word));
        match self {
            Self::Plain(text) if !is_named && !may_be_secret(text) => without_secrets(text, SECRET),
            Self::Plain(_) | Self::Secret(_) => SECRET.to_owned(),
        }
    }
}

/// Parts of names of variables that hold secrets as often as not.
const LIKE_SECRETS: [&str; 5] = ["key", "pass", "pwd", "auth", "salt"];

/// The shortest text of letters and digits that may be a key.
const KEY_CHARS_MIN: usize = 8;

/// Whether the text looks like a key (`hunter2-new`), or has a password within it
/// (`postgres://user:password@host`).
fn may_be_secret(text: &str) -> bool {
    let has = |is_one: fn(&char) -> bool| text.chars().any(|c| is_one(&c));
    let is_path = text.starts_with(['/', '.', '~']);
    let is_code = text.chars().all(|c| c.is_ascii_alphanumeric() || "+/=_-.:".contains(c));
    let is_mixed = has(char::is_ascii_digit) && has(char::is_ascii_alphabetic);
    let is_key = is_code && is_mixed && text.len() >= KEY_CHARS_MIN && !is_path;
    is_key || (text.contains("://") && text.contains('@'))
}

/// What the table says.
#[derive(Debug)]
pub struct Settings {
    program: String,
    arguments: Vec<String>,
    mode: Mode,
    workers: NonZeroUsize,
    cwd: Option<PathBuf>,
    env: Vec<(String, EnvValue)>,
    fields: EventFields,
}

impl Settings {
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let run = shell::read_run(table);
        let mode = table.choice("mode", &[("once", Mode::Once), ("worker", Mode::Worker)]);
        let mode = mode.unwrap_or(Mode::Once);
        let workers = table.take_or("workers", NonZeroUsize::MIN);
        table.limit("workers", WORKERS_MAX);
        let cwd = table.take::<PathBuf>("cwd");
        let env = table.table_like("env", "{ NAME = \"value\" }").map(read_env).unwrap_or_default();
        let fields = read_fields(table, mode, &env);
        if mode == Mode::Once && table.has("workers") {
            table.problem("workers", "this is for workers only", "add `mode = \"worker\"`");
        }
        if workers.get() > WORKERS_MAX {
            table.problem("workers", format_args!("the most is {WORKERS_MAX}"), "write fewer");
        }
        let mut run = run?.into_iter();
        let program = run.next().unwrap_or_default();
        let arguments: Vec<String> = run.collect();
        if program.is_empty() || arguments.iter().chain([&program]).any(|one| one.contains('\0')) {
            table.problem(
                "run",
                "this names no program",
                "write `run = [\"/usr/local/bin/program\", \"argument\"]`",
            );
            return None;
        }
        Some(Self { program, arguments, mode, workers, cwd, env, fields })
    }
}

fn read_env(mut table: Table<'_>) -> Vec<(String, EnvValue)> {
    let mut env = Vec::new();
    for (name, value) in table.entries() {
        if shell::read_name(name, &value)
            && let Some(read) = read_env_value(name, &value)
        {
            env.push((name.to_owned(), read));
        }
    }
    table.finish();
    env
}

fn read_fields(table: &mut Table<'_>, mode: Mode, env: &[(String, EnvValue)]) -> EventFields {
    let fields = table.table_like("fields", "{ NAME = \"payload.id\" }").map(EventFields::read);
    if mode == Mode::Worker && table.has("fields") {
        let message = "a worker runs for many events: its lines say what is in each";
        table.problem("fields", message, "take it out, or `mode = \"worker\"`");
    }
    let fields = fields.unwrap_or_default();
    if let Some(name) = fields.names().find(|name| env.iter().any(|(other, _)| other == name)) {
        let message = format_args!("`{name}` is in `env` too");
        table.problem("fields", message, "name each variable once");
    }
    fields
}

fn read_env_value(name: &str, value: &Value<'_>) -> Option<EnvValue> {
    if value.is_table() {
        return value.clone().read().map(EnvValue::Secret);
    }
    let text = value.clone().read::<String>()?;
    if text.contains('\0') {
        value.problem("a variable cannot hold a zero byte", "write it without one");
        return None;
    }
    shell::warn_of_template(&text, value);
    if names_secret(name) {
        value.warning(
            "a secret does not stand in the configuration: whoever reads the file has it",
            format_args!("write `{name} = {{ file = \"data/secrets/{name}\" }}`"),
        );
    }
    Some(EnvValue::Plain(text))
}

#[async_trait]
impl KindSettings for Settings {
    fn runs_programs(&self) -> bool {
        true
    }

    fn plan(&self, context: &BuildContext, deliveries: &[Delivery]) -> Result<Plan, Failure> {
        let run: Vec<String> =
            std::iter::once(&self.program).chain(&self.arguments).cloned().collect();
        let secret = Unshown::of((&run, &self.env));
        let run = without_secret_arguments(&run, SECRET);
        let cwd = self.cwd.clone().unwrap_or_else(|| context.config_folder.clone());
        let own = self.env.iter().map(|(name, value)| (name.clone(), value.shown(name)));
        let own: Vec<(String, String)> = own.collect();
        let steps = deliveries.iter().map(|delivery| {
            let (environment, input) = match self.mode {
                Mode::Once => {
                    let told = self.fields.variables(&context.handler, delivery)?;
                    let environment = told.into_iter().chain(own.iter().cloned()).collect();
                    (environment, delivery.event.body.to_vec())
                }
                Mode::Worker => (own.clone(), worker::line(delivery)),
            };
            let (run, cwd, input) = (run.clone(), cwd.clone(), Content(input));
            Ok(Step::Run { run, cwd, environment, input, secret })
        });
        steps.collect()
    }

    fn texts(&self) -> Vec<Text> {
        self.fields.texts()
    }

    fn batch_needs(&self) -> Option<&'static str> {
        let is_single = self.mode == Mode::Once;
        is_single.then_some("`mode = \"worker\"` in the `command` table")
    }

    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        let program = self.program(context)?;
        Ok(match self.mode {
            Mode::Once => Box::new(once::Once::new(program, self.fields.clone(), context)),
            Mode::Worker => Box::new(worker::Workers::new(program, self.workers, context)),
        })
    }

    fn doubts(&self, context: &BuildContext) -> Vec<(&'static str, String)> {
        // Without its secrets it cannot be built, which is told already.
        let Ok(program) = self.program(context) else { return Vec::new() };
        if !program.cwd.is_dir() {
            return vec![("cwd", format!("there is no folder `{}`", program.cwd.display()))];
        }
        program.lacks().map(|what| ("run", what)).into_iter().collect()
    }

    async fn check_online(&self, context: &BuildContext) -> Result<(), BuildError> {
        let program = self.program(context)?;
        program.lacks().map_or(Ok(()), |what| Err(BuildError::Unfit(what)))
    }
}

impl Settings {
    fn program(&self, context: &BuildContext) -> Result<Program, BuildError> {
        let mut env: Vec<(OsString, Secret)> = Vec::new();
        for name in KEPT {
            // One that is not set here is not set there.
            if let Ok(value) = SecretRef::Env(name.to_owned()).resolve() {
                env.push((name.into(), value));
            }
        }
        let mut secret = BTreeSet::new();
        for (name, value) in &self.env {
            if matches!(value, EnvValue::Secret(_)) || names_secret(name) {
                secret.insert(OsString::from(name));
            }
            let value = match value {
                EnvValue::Plain(text) => Secret::new(text.as_bytes()),
                EnvValue::Secret(reference) => reference.resolve()?,
            };
            env.push((name.into(), value));
        }
        // A path starts from the configuration's folder; a bare name is looked up in PATH.
        let name = if self.program.contains('/') {
            context.config_folder.join(&self.program).into_os_string()
        } else {
            OsString::from(&self.program)
        };
        Ok(Program {
            name,
            arguments: self.arguments.iter().map(OsString::from).collect(),
            cwd: self.cwd.clone().unwrap_or_else(|| context.config_folder.clone()),
            env,
            secret,
        })
    }
}

/// A program, ready to be run.
struct Program {
    name: OsString,
    arguments: Vec<OsString>,
    cwd: PathBuf,
    /// Wiped when dropped: some of it is secret.
    env: Vec<(OsString, Secret)>,
    /// Which of the variables are secrets: what the program says of them is not kept.
    secret: BTreeSet<OsString>,
}

/// Shorter ones are no secrets, and would be found everywhere.
const SECRET_BYTES_MIN: usize = 4;

impl Program {
    /// `text` without the secrets that the program was given.
    fn without_secrets(&self, text: &str) -> String {
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

    /// A command that begins a process group of its own.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.name);
        command.args(&self.arguments).process_group(0).env_clear();
        if self.cwd != Path::new("") {
            command.current_dir(&self.cwd);
        }
        for (name, value) in &self.env {
            command.env(name, OsStr::from_bytes(value.expose()));
        }
        command
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

    /// Why it cannot be run.
    fn lacks(&self) -> Option<String> {
        if self.find().is_some() {
            return None;
        }
        let (path, name) = (Path::new(&self.name), self.shown());
        Some(if path.components().count() > 1 && path.is_file() {
            format!("`{name}` is there and may not be run: `chmod +x {name}`")
        } else {
            format!("`{name}` is not an executable file")
        })
    }

    /// The failure of its start.
    fn unstarted(&self, err: &std::io::Error) -> String {
        let remedy = match (err.kind(), err.raw_os_error()) {
            (std::io::ErrorKind::PermissionDenied, _) => "; is it executable (`chmod +x`)?",
            // What is not there is what its first line names: `#!/bin/sh` with a line end of Windows names none.
            (std::io::ErrorKind::NotFound, _) if self.find().is_some() => {
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
