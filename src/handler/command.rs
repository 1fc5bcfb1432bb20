//! `command`: hands each event to a program of the owner's, without a shell.
//!
//! | mode | the program |
//! |---|---|
//! | `once` (default) | runs once per event: body on stdin, fields in the environment, exit code as answer |
//! | `worker` | keeps running: one JSON line in per event, one JSON line out per event |
//!
//! Either way it runs in a process group of its own, which ends as a whole (by SIGTERM, and by SIGKILL
//! where that does not help within some seconds), and in an environment
//! of its own: `PATH`, `HOME`, `LANG`, `TZ` and what `env` says. It has none of Gatepost's capabilities, and with
//! `user` it runs as another user.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use async_trait::async_trait;

use super::{
    BuildContext, BuildError, Content, Handler, Kind, KindSettings, Plan, SECRET, Step, Text,
    Unshown,
};
use crate::event::{Delivery, Failure};
use crate::secret::{Secret, SecretRef};
use crate::settings::{Table, Value, names_secret, without_secret_arguments, without_secrets};

mod account;
mod arguments;
mod code;
mod ending;
mod fields;
mod group;
mod once;
mod program;
mod program_time;
mod said;
mod shell;
mod streams;
#[cfg(test)]
mod tests;
mod worker;

use account::AccountNames;
use arguments::RunLine;
use fields::EventFields;
use program::Program;

/// The most deliveries that a worker gets at once: more would only wait in its pipe.
const WORKER_BATCH_MAX: usize = 256;

/// The most worker processes of one handler.
const WORKERS_MAX: usize = 64;

/// How a worker learns of an event.
const WORKER_HELP: &str = "each line on its standard input says what is in an event";

/// What a program may know of Gatepost's own environment.
const KEPT: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// `[handler.NAME.command]`.
pub static KIND: Kind = Kind {
    name: "command",
    batch_max: WORKER_BATCH_MAX,
    statuses: Some(1..=255),
    targets: &[],
    planned: &["cwd", "env", "fields", "group", "mode", "run", "user"],
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
    run: RunLine,
    mode: Mode,
    workers: NonZeroUsize,
    cwd: Option<PathBuf>,
    account: AccountNames,
    env: Vec<(String, EnvValue)>,
    fields: EventFields,
}

impl Settings {
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let mode = table.choice("mode", &[("once", Mode::Once), ("worker", Mode::Worker)]);
        let mode = mode.unwrap_or(Mode::Once);
        let run = RunLine::read(table, mode);
        let workers = table.take_or("workers", NonZeroUsize::MIN);
        table.limit("workers", WORKERS_MAX);
        let cwd = table.take::<PathBuf>("cwd");
        let account = AccountNames::read(table);
        let env = table.table_like("env", "{ NAME = \"value\" }");
        let env = env.map(|env| read_env(env, mode)).unwrap_or_default();
        let fields = read_fields(table, mode, &env);
        if mode == Mode::Once && table.has("workers") {
            table.problem("workers", "this is for workers only", "add `mode = \"worker\"`");
        }
        if workers.get() > WORKERS_MAX {
            table.problem("workers", format_args!("the most is {WORKERS_MAX}"), "write fewer");
        }
        Some(Self { run: run?, mode, workers, cwd, account, env, fields })
    }
}

fn read_env(mut table: Table<'_>, mode: Mode) -> Vec<(String, EnvValue)> {
    let mut env = Vec::new();
    for (name, value) in table.entries() {
        if shell::read_name(name, &value)
            && let Some(read) = read_env_value(name, &value, mode)
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

fn read_env_value(name: &str, value: &Value<'_>, mode: Mode) -> Option<EnvValue> {
    if value.is_table() {
        return value.clone().read().map(EnvValue::Secret);
    }
    let text = value.clone().read::<String>()?;
    if text.contains('\0') {
        value.problem("a variable cannot hold a zero byte", "write it without one");
        return None;
    }
    shell::warn_of_template(&text, value, mode);
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
        let cwd = self.cwd.clone().unwrap_or_else(|| context.config_folder.clone());
        let user = (!self.account.is_none()).then(|| self.account.to_string());
        let own = self.env.iter().map(|(name, value)| (name.clone(), value.shown(name)));
        let own: Vec<(String, String)> = own.collect();
        let steps = deliveries.iter().map(|delivery| {
            let (arguments, _) = self.run.arguments(delivery)?;
            let run: Vec<String> =
                std::iter::once(self.run.program.clone()).chain(arguments).collect();
            let (environment, input) = match self.mode {
                Mode::Once => {
                    let told = self.fields.variables(&context.handler, delivery)?;
                    let environment = told.into_iter().chain(own.iter().cloned()).collect();
                    (environment, delivery.event.body.to_vec())
                }
                Mode::Worker => (own.clone(), worker::line(delivery)),
            };
            let secret = Unshown::of((&run, &self.env));
            let run = without_secret_arguments(&run, SECRET);
            let (cwd, user, input) = (cwd.clone(), user.clone(), Content(input));
            Ok(Step::Run { run, cwd, user, environment, input, secret })
        });
        steps.collect()
    }

    fn texts(&self) -> Vec<Text> {
        self.run.texts().into_iter().chain(self.fields.texts()).collect()
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
        if !program.cwd.is_dir() && !program.is_shut(&program.cwd) {
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
        let account = self.account.find()?;
        let mut env: Vec<(OsString, Secret)> = Vec::new();
        for name in KEPT {
            // One that is not set here is not set there.
            if let Ok(value) = SecretRef::Env(name.to_owned()).resolve() {
                env.push((name.into(), value));
            }
        }
        // Of two the last counts: what the user has instead of Gatepost's, and what `env` says instead of both.
        for (name, value) in account.iter().flat_map(|account| account.variables()) {
            env.push((name.into(), Secret::new(value.as_bytes())));
        }
        let mut secret = BTreeSet::new();
        for (name, value) in &self.env {
            if matches!(value, EnvValue::Secret(_)) || names_secret(name) {
                secret.insert(OsString::from(name));
            }
            let value = match value {
                EnvValue::Plain(text) => Secret::new(text.as_bytes()),
                EnvValue::Secret(reference) => context.secret(reference)?,
            };
            env.push((name.into(), value));
        }
        // A path starts from the configuration's folder; a bare name is looked up in PATH.
        let name = &self.run.program;
        let name = if name.contains('/') {
            context.config_folder.join(name).into_os_string()
        } else {
            OsString::from(name)
        };
        Ok(Program {
            name,
            run: self.run.clone(),
            account,
            cwd: self.cwd.clone().unwrap_or_else(|| context.config_folder.clone()),
            env,
            secret,
        })
    }
}
