//! `pass-arguments-to-command` and its like of adnanh/webhook: a program of Gatepost's gets the body on
//! standard input, so some lines of sh take the arguments out of it, with jq.

use serde_json::Value;

use super::imported::put;
use super::rules::{HookCaller, Parameter};
use crate::text::is_variable_name;

/// How a hook's program is called.
#[derive(Debug, Default)]
pub(super) struct HookCommand {
    /// The program and its arguments.
    pub(super) run: Vec<String>,
    /// What could not be carried over.
    pub(super) lost: Vec<String>,
    /// The password in the address, which is not kept with an event.
    password: Option<String>,
}

/// What comes before the program: the body, and one field of it as text.
const HEAD: &str = r#"body=$(cat)
field() { printf %s "$body" | jq -r "getpath($1) | if type == \"string\" then . elif . == null then \"\" else tojson end"; }
"#;

impl HookCommand {
    /// Reads what `hook` passes to `program`; `caller` shows who it is.
    pub(super) fn read(hook: &Value, program: &str, caller: Option<&HookCaller>) -> Self {
        let list =
            |key: &str| hook.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let arguments = list("pass-arguments-to-command");
        let variables = list("pass-environment-to-command");
        let in_address = caller.map(HookCaller::place).filter(|place| place.is_in_address());
        let password = in_address.map(|place| place.name.clone());
        let mut command = Self { password, ..Self::default() };
        let fixed: Option<Vec<String>> = arguments.iter().map(fixed).collect();
        if let (Some(fixed), true) = (fixed, variables.is_empty()) {
            command.run = std::iter::once(program.to_owned()).chain(fixed).collect();
            return command;
        }
        let mut line = String::from("exec env");
        for variable in variables {
            let place = Parameter::read(variable);
            let name = variable.get("envname").and_then(Value::as_str);
            let name = name.map_or_else(|| format!("HOOK_{}", place.name), str::to_owned);
            let value = command.word(&place);
            put(&mut line, format_args!(" {}={value}", shell(&name)));
        }
        put(&mut line, format_args!(" {}", shell(program)));
        for argument in arguments {
            let value = command.word(&Parameter::read(argument));
            put(&mut line, format_args!(" {value}"));
        }
        let script = format!("{HEAD}{line}\n");
        command.run = ["/bin/sh", "-c", &script, "hook"].map(str::to_owned).into();
        command
    }

    /// A value as a word of sh.
    fn word(&mut self, place: &Parameter) -> String {
        let name = place.name.as_str();
        match place.source.as_str() {
            "payload" => format!("\"$(field {})\"", shell(&jq_path(name))),
            "entire-payload" => "\"$body\"".to_owned(),
            "string" => shell(name),
            "header" if TYPE_HEADERS.contains(&&*name.to_ascii_lowercase()) => {
                "\"$GATEPOST_EVENT_TYPE\"".to_owned()
            }
            _ if place.is_in_address()
                && is_variable_name(name.as_bytes())
                && self.password.as_deref() != Some(name) =>
            {
                format!("\"$GATEPOST_QUERY_{name}\"")
            }
            source => {
                self.lost.push(format!("the argument from `{source}` `{name}` is empty"));
                "''".to_owned()
            }
        }
    }
}

/// Where the presets find the event's type.
const TYPE_HEADERS: [&str; 4] =
    ["x-github-event", "x-gitlab-event", "x-gitea-event", "x-event-key"];

/// The argument where it is always the same.
fn fixed(argument: &Value) -> Option<String> {
    let place = Parameter::read(argument);
    (place.source == "string").then_some(place.name)
}

/// `["commits",0,"id"]` out of `commits.0.id`.
fn jq_path(path: &str) -> String {
    let steps = path.split('.').map(|step| match step.parse::<u32>() {
        Ok(index) => Value::from(index),
        Err(_) => Value::from(step),
    });
    Value::from(steps.collect::<Vec<_>>()).to_string()
}

/// `text` as one word of sh.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
