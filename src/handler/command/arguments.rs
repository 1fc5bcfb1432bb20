//! `run`: the program and its arguments, some of which are made anew for each event.
//!
//! 1. One element of `run` is one argument, whatever an event puts into it: nothing splits it, and one that
//!    comes out empty stays one.
//! 2. No event chooses the program, the code that it runs ([`code`]) or its options.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{Mode, WORKER_HELP, code, shell};
use crate::event::{Delivery, Failure};
use crate::expr::{Escape, Lead, Scope, Template};
use crate::handler::{Text, texts};
use crate::settings::{FromToml, Table, Value};

/// The longest argument or variable that Linux hands on, with the NUL at its end (`MAX_ARG_STRLEN`, 32 pages).
pub(super) const ARGUMENT_BYTES_MAX: usize = 128 << 10;

/// What ends the options of most programs. Only templates may stand between it and the one that it is for:
/// behind a text it may have been another program's, as in `env -- ls`.
const END_OF_OPTIONS: &str = "--";

/// What the list says.
#[derive(Clone, Debug)]
pub(super) struct RunLine {
    pub(super) program: String,
    arguments: Vec<RunArgument>,
}

#[derive(Clone, Debug)]
enum RunArgument {
    Plain(String),
    Template(Arc<Template>),
}

impl RunLine {
    pub(super) fn read(table: &mut Table<'_>, mode: Mode) -> Option<Self> {
        if shell::is_one_text(table) {
            return None;
        }
        let value = table.raw("run", "");
        let run = table.require::<Self>("run")?;
        if run.program.is_empty() {
            table.problem(
                "run",
                "this names no program",
                "write `run = [\"/usr/local/bin/program\", \"argument\"]`",
            );
            return None;
        }
        warn_of_foreign_placeholders(&value?, mode);
        shell::warn(table, &run.texts_written().collect::<Vec<_>>());
        if mode == Mode::Worker && run.arguments.iter().any(RunArgument::is_template) {
            table.problem(
                "run",
                "a worker runs for many events: `{{ }}` in its arguments can mean none of them",
                format_args!("take it out, since {WORKER_HELP}, or write `mode = \"once\"`"),
            );
        }
        Some(run)
    }

    fn texts_written(&self) -> impl Iterator<Item = &str> {
        let arguments = self.arguments.iter().map(RunArgument::written);
        std::iter::once(self.program.as_str()).chain(arguments)
    }

    pub(super) fn texts(&self) -> Vec<Text> {
        let templates = self.arguments.iter().filter_map(|argument| match argument {
            RunArgument::Plain(_) => None,
            RunArgument::Template(template) => Some(Text::template("run", template)),
        });
        templates.collect()
    }

    /// Those of a program that runs for no single event.
    pub(super) fn plain(&self) -> Vec<String> {
        self.arguments.iter().map(|argument| argument.written().to_owned()).collect()
    }

    /// The arguments that an event's run gets, and how many bytes of them are made for it. One that no program
    /// can be given, or should be, makes the event a dead letter: it would be the same with every try.
    pub(super) fn arguments(&self, delivery: &Delivery) -> Result<(Vec<String>, usize), Failure> {
        let scope = Scope::of(&delivery.event);
        let mut arguments = Vec::with_capacity(self.arguments.len());
        let (mut n_bytes, mut may_lead) = (0, false);
        for argument in &self.arguments {
            match argument {
                RunArgument::Plain(text) => {
                    may_lead = text == END_OF_OPTIONS;
                    arguments.push(text.clone());
                }
                RunArgument::Template(template) => {
                    let text = rendered(template, &scope, may_lead)?;
                    n_bytes += text.len();
                    arguments.push(text);
                }
            }
        }
        Ok((arguments, n_bytes))
    }
}

/// What an event makes of an argument.
fn rendered(template: &Template, scope: &Scope, may_lead: bool) -> Result<String, Failure> {
    let source = template.source();
    let (text, lead) = template
        .render_with_lead(scope)
        .map_err(|err| Failure::permanent(format_args!("`run`: {err}")))?;
    if text.contains('\0') {
        return Err(Failure::permanent(format_args!(
            "`run`: the event puts a NUL character into an argument, and no program can be given one (at `{source}`)"
        )));
    }
    if text.len() >= ARGUMENT_BYTES_MAX {
        return Err(Failure::permanent(format_args!(
            "`run`: the event makes an argument of {} bytes, and Linux hands on less than {ARGUMENT_BYTES_MAX} (at \
             `{source}`); the program gets the whole body on its standard input",
            text.len()
        )));
    }
    if text.starts_with('-') && lead == Lead::Value && !may_lead {
        return Err(Failure::permanent(format_args!(
            "`run`: the program would take an argument for an option, since the event has it begin with `-` (at \
             `{source}`); write `\"--\"` right before it where the program knows that as the end of its options, or \
             words of your own at its beginning, as in `--name={{{{ … }}}}` or \
             `{{% if … %}}--yes{{% else %}}--no{{% endif %}}`"
        )));
    }
    Ok(text)
}

impl RunArgument {
    /// The element at `index` of what is written.
    fn read(value: &Value<'_>, written: &[String], index: usize) -> Option<Self> {
        let text = written.get(index)?;
        if text.contains('\0') {
            value.problem(
                "no program can be given a NUL character (`\\u0000`)",
                "take it out: for Linux the text ends there",
            );
            return None;
        }
        if !is_template(text) {
            return Some(Self::Plain(text.clone()));
        }
        let objection = code::objection(written, index);
        let template = texts::template_of(value, Escape::None)?;
        if let Some(text) = template.constant() {
            return Some(Self::Plain(text));
        }
        if let Some((message, help)) = objection {
            value.problem(message, help);
        }
        Some(Self::Template(template))
    }

    fn is_template(&self) -> bool {
        matches!(self, Self::Template(_))
    }

    fn written(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Template(template) => template.source(),
        }
    }
}

/// Tells of what other templates would put into an argument: here it stays as it is written.
fn warn_of_foreign_placeholders(run: &Value<'_>, mode: Mode) {
    let items = run.as_items().unwrap_or_default();
    let written: Vec<String> =
        items.iter().map(|item| item.as_str().unwrap_or_default().to_owned()).collect();
    let arguments = items.iter().zip(&written).enumerate().skip(1);
    for (index, (item, text)) in arguments.filter(|(_, (_, text))| !is_template(text)) {
        let Some((message, help)) = texts::unread(text) else { continue };
        match (mode, code::objection(&written, index)) {
            // What helps elsewhere, `{{ }}` and `fields`, a worker refuses.
            (Mode::Worker, _) => item.warning(message, format_args!("take it out: {WORKER_HELP}")),
            (Mode::Once, Some((_, help))) => item.warning(message, help),
            (Mode::Once, None) => item.warning(message, help),
        }
    }
}

/// Whether it is to be read as a template. `{#` alone is a shell's (`${#NAME}`).
fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

impl FromToml for RunLine {
    fn expected() -> String {
        Vec::<String>::expected()
    }

    fn example() -> String {
        Vec::<String>::example()
    }

    fn schema() -> Json {
        Vec::<String>::schema()
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        let written = value.clone().read::<Vec<String>>()?;
        let items = value.as_items()?;
        let Some((program, rest)) = items.split_first() else {
            return Some(Self { program: String::new(), arguments: Vec::new() });
        };
        let name = program.clone().read::<String>()?;
        if name.contains('\0') {
            program.problem(
                "no program's name has a NUL character (`\\u0000`) in it",
                "take it out: for Linux the text ends there",
            );
            return None;
        }
        if is_template(&name) {
            program.problem(
                "no event says which program runs: its name is no template",
                "write the program itself; what depends on an event goes into an argument behind it, or into \
                 handlers of their own `on` or `when`",
            );
        }
        let arguments: Vec<_> =
            (1..).zip(rest).map(|(index, item)| RunArgument::read(item, &written, index)).collect();
        let arguments = arguments.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Self { program: name, arguments })
    }
}

#[cfg(test)]
mod tests;
