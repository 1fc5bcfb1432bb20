//! `pass-arguments-to-command` and `pass-environment-to-command` of adnanh/webhook. What comes out of the
//! event are `fields` of the program, so a body that cannot be read never runs it with empty arguments;
//! where some of it are arguments, a line of sh calls it.

use serde_json::Value;

use super::imported::{list, quoted};
use super::rules::{HookCaller, Parameter};
use crate::text::{
    can_be_variable, is_field_name, is_variable_name, put, shell_word, steers_programs,
};

/// How a hook's program is called.
#[derive(Debug, Default)]
pub(super) struct HookCommand {
    /// The program and its arguments.
    run: Vec<String>,
    /// Variables that are always the same.
    env: Vec<(String, String)>,
    /// Variables that are made of the event, as expressions.
    fields: Vec<(String, String)>,
    /// What could not be carried over.
    pub(super) lost: Vec<String>,
    /// How the caller shows who it is, which is not kept with an event.
    password: Option<Parameter>,
}

impl HookCommand {
    /// Reads what `hook` passes to `program`; `caller` shows who it is.
    pub(super) fn read(hook: &Value, program: &str, caller: Option<&HookCaller>) -> Self {
        let list =
            |key: &str| hook.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let arguments = list("pass-arguments-to-command");
        let arguments: Vec<Parameter> = arguments.iter().map(Parameter::read).collect();
        let has_shell = arguments.iter().any(|place| place.source != "string");
        let mut command =
            Self { password: caller.map(|caller| caller.place().clone()), ..Self::default() };
        // Names that sh would not hand on.
        let mut unnameable = Vec::new();
        for variable in list("pass-environment-to-command") {
            let place = Parameter::read(variable);
            let name = variable.get("envname").and_then(Value::as_str);
            let name = name.map_or_else(|| format!("HOOK_{}", place.name), str::to_owned);
            if has_shell && !is_field_name(&name) {
                unnameable.push((name, place));
            } else {
                command.variable(name, &place);
            }
        }
        let mut named = String::new();
        for (name, place) in unnameable {
            if let Some(name) = command.nameable(name, &place) {
                let value = command.word(&place, "VARIABLE");
                put(&mut named, format_args!(" {}={value}", shell_word(&name)));
            }
        }
        if !has_shell {
            let arguments = arguments.into_iter().map(|place| place.name);
            command.run = std::iter::once(program.to_owned()).chain(arguments).collect();
            return command;
        }
        let mut line = String::from("exec");
        if !named.is_empty() {
            put(&mut line, format_args!(" env{named}"));
        }
        put(&mut line, format_args!(" {}", shell_word(program)));
        for place in &arguments {
            let value = command.word(place, "ARGUMENT");
            put(&mut line, format_args!(" {value}"));
        }
        command.run = ["/bin/sh", "-c", &line, "hook"].map(str::to_owned).into();
        command
    }

    /// The `command` table's lines.
    pub(super) fn render(&self, text: &mut String) {
        put(text, format_args!("run = {}\n", list(self.run.iter().map(String::as_str))));
        for (key, variables) in [("env", &self.env), ("fields", &self.fields)] {
            let variables: Vec<String> = variables
                .iter()
                .map(|(name, value)| {
                    let is_bare = is_variable_name(name.as_bytes());
                    let name = if is_bare { name.clone() } else { quoted(name) };
                    format!("{name} = {}", quoted(value))
                })
                .collect();
            if !variables.is_empty() {
                put(text, format_args!("{key} = {{ {} }}\n", variables.join(", ")));
            }
        }
    }

    /// The name, where a variable can have it.
    fn nameable(&mut self, name: String, place: &Parameter) -> Option<String> {
        if !can_be_variable(&name) || name.starts_with('-') {
            self.lost.push(format!("the variable `{name}`: none can have this name"));
        } else if place.source != "string" && steers_programs(&name) {
            self.lost.push(format!("the variable `{name}`: the sender would say what programs do"));
        } else {
            return Some(name);
        }
        None
    }

    /// Sets the variable `name`.
    fn variable(&mut self, name: String, place: &Parameter) {
        let Some(name) = self.nameable(name, place) else { return };
        // Of two the last one counts.
        self.env.retain(|(other, _)| *other != name);
        self.fields.retain(|(other, _)| *other != name);
        if place.source == "string" {
            self.env.push((name, place.name.clone()));
        } else if let Some(field) = self.field(place) {
            self.fields.push((name, field));
        } else {
            self.lost.push(format!("the variable `{name}`, {}, is not set", shown(place)));
        }
    }

    /// A value as a word of sh; a new variable for it begins with `prefix`.
    fn word(&mut self, place: &Parameter, prefix: &str) -> String {
        if place.source == "string" {
            return shell_word(&place.name);
        }
        let Some(field) = self.field(place) else {
            self.lost.push(format!("the argument {} is empty", shown(place)));
            return "''".to_owned();
        };
        let taken: Vec<&String> =
            self.env.iter().chain(&self.fields).map(|(name, _)| name).collect();
        // One of so many is free.
        let name = (1..=taken.len().saturating_add(1))
            .map(|number| format!("{prefix}_{number}"))
            .find(|name| !taken.contains(&name))
            .unwrap_or_default();
        let word = format!("\"${name}\"");
        self.fields.push((name, field));
        word
    }

    /// A value as an expression; `None` = an event does not have it.
    fn field(&self, place: &Parameter) -> Option<String> {
        let is_password = self.password.as_ref().is_some_and(|password| {
            let is_same_name = if place.source == "header" {
                password.name.eq_ignore_ascii_case(&place.name)
            } else {
                password.name == place.name
            };
            let is_same_place = password.source == place.source
                || (password.is_in_address() && place.is_in_address());
            is_same_name && is_same_place && place.source != "payload"
        });
        match place.source.as_str() {
            _ if is_password => None,
            "entire-payload" => Some("payload".to_owned()),
            _ => place.expression().ok(),
        }
    }
}

/// What a note calls a parameter.
fn shown(place: &Parameter) -> String {
    format!("from `{}` `{}`", place.source, place.name)
}
