//! The one expression language: filters, order keys, columns and templates, all MiniJinja.
//!
//! What every text can count on:
//!
//! 1. It is compiled once, at start; a name, filter, test or function that does not exist is found
//!    then, with its place in the text.
//! 2. In scope are `event` (`id`, `source`, `type`, `received_at`, `headers`), `payload`, `data`,
//!    and for batches `events`, a list of the same three for each event.
//! 3. A missing field is undefined, and so is every field of it; undefined and `null` print as
//!    nothing, and no filter or operator makes the word "None" of them. A number prints as it was
//!    written, and is calculated and compared with by its value.
//! 4. Work and output are bounded by fuel: a hostile payload ends in an error, not in a stall.
//! 5. An error tells the text's own words and the types of values, not what a payload contains.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior};

use crate::body::json::{self, Layout};
use rewrite::{Named, Rewritten, Syntax};

mod arguments;
mod date;
mod fields;
mod filters;
mod money;
mod operators;
mod rewrite;
mod scope;
mod slips;
mod striptags;
#[cfg(test)]
mod tests;

pub use date::{is_zero_date, moment};
pub use fields::{Field, Part};
pub use minijinja::Value;
pub use scope::Scope;

/// The work that one evaluation of an expression may do. One unit is one instruction or 64 bytes
/// of text; `payload | tojson` over a body of 1 MiB takes 262,144.
const EXPRESSION_FUEL: u64 = 400_000;

/// The work that one rendering of a template may do, digests included. As output it is 64 MB.
const TEMPLATE_FUEL: u64 = 1_000_000;

/// The names at the top of the scope.
const NAMES: [&str; 4] = ["event", "payload", "data", "events"];

/// What all expressions share: filters, tests, functions and the rules above.
static EXPRESSIONS: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(EXPRESSION_FUEL, Escape::None));

/// An expression such as `data.comment.status == "published"`, compiled.
pub struct Expression {
    text: String,
    rewritten: Rewritten,
    compiled: minijinja::Expression<'static, 'static>,
}

impl Expression {
    /// Compiles `text`. A wrong name or filter is an error here, not with the first event.
    pub fn compile(text: &str) -> Result<Self, ExprError> {
        Self::try_compile(text).map_err(|err| err.with_slip(slips::in_expression(text)))
    }

    fn try_compile(text: &str) -> Result<Self, ExprError> {
        let compile = |text: &str| EXPRESSIONS.compile_expression_owned(text.to_owned());
        let written = compile(text).map_err(|err| ExprError::of(&err, text, None))?;
        check_names(text, written.undeclared_variables(false), &NAMES)?;
        let rewritten = Rewritten::of(text, Syntax::Expression);
        let rewritten = rewritten.map_err(|err| ExprError::of(&err, text, None))?;
        check_named(text, &rewritten.named)?;
        let of = |err: &_| ExprError::of(err, text, Some(&rewritten));
        let compiled = compile(&rewritten.text).map_err(|err| of(&err))?;
        check_run(compiled.eval(()).err()).map_err(|err| of(&err))?;
        Ok(Self { text: text.to_owned(), rewritten, compiled })
    }

    /// The value; undefined where a field is missing.
    pub fn eval(&self, scope: &Scope) -> Result<Value, ExprError> {
        self.compiled
            .eval(scope.value())
            .map_err(|err| ExprError::of(&err, &self.text, Some(&self.rewritten)))
    }

    /// Whether the value counts as true: undefined, `null`, 0 and what is empty do not.
    pub fn is_true(&self, scope: &Scope) -> Result<bool, ExprError> {
        self.eval(scope).map(|value| value.is_true())
    }

    /// The value as text; `None` where it is undefined or `null`.
    pub fn text(&self, scope: &Scope) -> Result<Option<String>, ExprError> {
        let value = self.eval(scope)?;
        Ok((!value.is_undefined() && !value.is_none()).then(|| plain(&value)))
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.text
    }

    /// The fields of an event that it asks for.
    pub fn fields(&self) -> Vec<Field> {
        fields::find(&self.text, true)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

/// What is done to a value on its way into a template's output. The template's own words are never
/// changed, and `| safe` turns it off for one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Nothing: plain text.
    None,
    /// `<`, `>`, `&`, `"`, `'` and `/` become HTML entities.
    Html,
    /// The value becomes JSON: a string with its quotes.
    Json,
    /// `&`, `<` and `>` become entities, as Slack's mrkdwn wants it: no value can name a channel
    /// or a user.
    Slack,
    /// `\\`, `[` and `]` get a backslash, as Discord's Markdown wants it: no value can hide an address
    /// behind words.
    Discord,
    /// As for Discord, and `@` is followed by a character without width: a name in a value alerts
    /// nobody.
    Mattermost,
    /// What is not a letter, a digit or one of `-._~` becomes `%XX`: no value can leave its place
    /// in a path or a query, unless it is made of dots, which the caller has to look at.
    Url,
}

impl Escape {
    fn auto_escape(self) -> AutoEscape {
        match self {
            Self::None => AutoEscape::None,
            Self::Html => AutoEscape::Html,
            Self::Json => AutoEscape::Json,
            Self::Slack => AutoEscape::Custom(Cow::Borrowed("slack")),
            Self::Discord => AutoEscape::Custom(Cow::Borrowed("discord")),
            Self::Mattermost => AutoEscape::Custom(Cow::Borrowed("mattermost")),
            Self::Url => AutoEscape::Custom(Cow::Borrowed("url")),
        }
    }
}

/// A template such as `{{ data.user.name }} wrote`, compiled.
pub struct Template {
    text: String,
    rewritten: Rewritten,
    escape: Escape,
    /// Holds the compiled template under [`TEMPLATE_NAME`]; the filters in it are shared.
    environment: Environment<'static>,
}

/// The name of the one template in its environment.
const TEMPLATE_NAME: &str = "template";

impl Template {
    /// Compiles `text`. A wrong name or filter is an error here, not with the first event.
    pub fn compile(text: &str, escape: Escape) -> Result<Self, ExprError> {
        Self::compile_for(text, escape, &NAMES)
    }

    /// The same over other names than those of an event: see [`Template::render_value`].
    pub fn compile_for(text: &str, escape: Escape, names: &[&str]) -> Result<Self, ExprError> {
        Self::try_compile(text, escape, names)
            .map_err(|err| err.with_slip(slips::in_template(text)))
    }

    fn try_compile(text: &str, escape: Escape, names: &[&str]) -> Result<Self, ExprError> {
        let mut environment = environment(TEMPLATE_FUEL, escape);
        let written = EXPRESSIONS.template_from_str(text);
        let written = written.map_err(|err| ExprError::of(&err, text, None))?;
        check_names(text, written.undeclared_variables(false), names)?;
        let rewritten = Rewritten::of(text, Syntax::Template);
        let rewritten = rewritten.map_err(|err| ExprError::of(&err, text, None))?;
        check_named(text, &rewritten.named)?;
        environment
            .add_template_owned(TEMPLATE_NAME, rewritten.text.clone())
            .map_err(|err| ExprError::of(&err, text, Some(&rewritten)))?;
        let template = Self { text: text.to_owned(), rewritten, escape, environment };
        check_run(template.compiled()?.render(()).err()).map_err(|err| template.error(&err))?;
        Ok(template)
    }

    /// The text for one event or batch.
    pub fn render(&self, scope: &Scope) -> Result<String, ExprError> {
        self.compiled()?.render(scope.value()).map_err(|err| self.error(&err))
    }

    fn error(&self, err: &minijinja::Error) -> ExprError {
        ExprError::of(err, &self.text, Some(&self.rewritten))
    }

    /// The text for the values of other names.
    pub fn render_value(&self, values: Value) -> Result<String, ExprError> {
        self.compiled()?.render(values).map_err(|err| self.error(&err))
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.text
    }

    /// The fields of an event that it asks for.
    pub fn fields(&self) -> Vec<Field> {
        fields::find(&self.text, false)
    }

    fn compiled(&self) -> Result<minijinja::Template<'_, '_>, ExprError> {
        self.environment.get_template(TEMPLATE_NAME).map_err(|err| self.error(&err))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.text).field(&self.escape).finish()
    }
}

/// Why a text does not compile, or fails on an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong, as a lower-case fragment.
    pub message: String,
    /// What to write instead; empty where there is nothing to say.
    pub help: String,
    /// Where in the text, in bytes, where that is known.
    pub range: Option<Range<usize>>,
    /// The line in the text, counted from 1, where that is known.
    pub line: Option<usize>,
}

impl ExprError {
    /// The same, told as the slip that it comes from where there is one.
    fn with_slip(self, slip: Option<slips::Slip>) -> Self {
        match slip {
            None => self,
            Some(slip) => {
                Self { message: slip.message, help: slip.help, range: Some(slip.range), ..self }
            }
        }
    }

    /// `text` is what was written, `rewritten` what of it was compiled.
    fn of(err: &minijinja::Error, text: &str, rewritten: Option<&Rewritten>) -> Self {
        // The name of an included template is the one detail that comes out of a payload as it is.
        let detail = match err.kind() {
            ErrorKind::TemplateNotFound => Some("there are no other templates to include"),
            _ => err.detail(),
        };
        let range = err.range().map(|range| match rewritten {
            Some(rewritten) => rewritten.original(&range),
            None => range,
        });
        let range = range.filter(|range| text.get(range.clone()).is_some());
        let mut message = match detail {
            Some(detail) => format!("{}: {detail}", err.kind()),
            None => err.kind().to_string(),
        };
        // Names that only the rewritten text has.
        for name in ["payload", "data"] {
            message = message.replace(&format!("`{name}_fields`"), &format!("`{name}`"));
        }
        if let Some(words) = range.clone().and_then(|range| text.get(range))
            && (1..=80).contains(&words.len())
            && !message.contains(words)
        {
            message = format!("{message} (at `{words}`)");
        }
        let words = range.clone().and_then(|range| text.get(range)).unwrap_or_default();
        let help = slips::remedy(err.kind(), err.detail().unwrap_or_default(), words);
        Self { message, help, range, line: err.line() }
    }
}

fn environment(fuel: u64, escape: Escape) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(fuel));
    // Without it an error does not know its place.
    environment.set_debug(true);
    environment.set_auto_escape_callback(move |_| escape.auto_escape());
    environment.set_formatter(write_value);
    filters::add_to(&mut environment);
    // It prints the whole scope, headers included, into a mail.
    environment.remove_global("debug");
    environment
}

fn write_value(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    let escape = state.auto_escape();
    if value.is_safe() {
        return write_text(output, value.as_str().unwrap_or_default());
    }
    if *escape == AutoEscape::Json {
        return write_text(output, &json::write(value, Layout::Compact)?);
    }
    if value.is_none() || value.is_undefined() {
        return Ok(());
    }
    match escape {
        AutoEscape::Custom(name) if name == "slack" => {
            write_text(output, &escape_slack(&plain(value)))
        }
        AutoEscape::Custom(name) if name == "discord" => {
            write_text(output, &escape_discord(&plain(value)))
        }
        AutoEscape::Custom(name) if name == "mattermost" => {
            write_text(output, &escape_discord(&plain(value)).replace('@', "@\u{200b}"))
        }
        AutoEscape::Custom(_) => write_text(output, &escape_url(&plain(value))),
        _ if value.kind() == ValueKind::String || value.is_number() => {
            minijinja::escape_formatter(output, state, value)
        }
        _ => minijinja::escape_formatter(output, state, &Value::from(plain(value))),
    }
}

/// The value as text: what is missing is empty, `true`, lists and maps are as in JSON (MiniJinja
/// has Python's words for them).
fn plain(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => String::new(),
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            json::write(value, Layout::Compact).unwrap_or_default()
        }
        _ => value.to_string(),
    }
}

/// An error about what a text says, which is the same with every event.
fn bad_argument(message: String) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, message).with_source(BadArgument)
}

/// Marks such an error.
#[derive(Debug, thiserror::Error)]
#[error("the text itself is wrong")]
struct BadArgument;

fn write_text(output: &mut Output<'_>, text: &str) -> Result<(), minijinja::Error> {
    fmt::Write::write_str(output, text).map_err(minijinja::Error::from)
}

fn escape_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// No value can hide an address behind words: `[words](address)`.
fn escape_discord(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

fn escape_url(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push(hex_digit(byte >> 4));
            escaped.push(hex_digit(byte & 15));
        }
    }
    escaped
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase()
}

/// A name that is nowhere defined would be undefined for ever: surely a slip.
fn check_names(text: &str, used: HashSet<String>, names: &[&str]) -> Result<(), ExprError> {
    let is_known = |name: &str| {
        names.contains(&name) || EXPRESSIONS.globals().any(|(global, _)| global == name)
    };
    let unknown = used.into_iter().filter(|name| !is_known(name)).min();
    let Some(name) = unknown else { return Ok(()) };
    let start = find_word(text, &name);
    let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let (last, others) = all.split_last().map_or(("", &[][..]), |(last, rest)| (last, rest));
    let known = format!("{} or {last}", others.join(", "));
    Err(ExprError {
        message: format!("`{name}` is not in scope: use {known}"),
        help: String::new(),
        range: start.map(|start| start..start.saturating_add(name.len())),
        line: start.and_then(|start| text.get(..start)).map(|before| before.lines().count().max(1)),
    })
}

/// Where `word` stands by itself, not as a field of something.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(start, _)| start).find(|&start| {
        let before = text.get(..start).unwrap_or_default().chars().next_back();
        let after = text.get(start.saturating_add(word.len())..).unwrap_or_default().chars().next();
        !before.is_some_and(|c| is_part(c) || c == '.') && !after.is_some_and(is_part)
    })
}

/// MiniJinja looks filters and tests up when it runs, and in a loop over nothing never.
fn check_named(text: &str, named: &[Named]) -> Result<(), ExprError> {
    let mut unknown = named.iter().filter(|named| !is_known(named));
    let Some(Named { name, is_test, range }) = unknown.next() else { return Ok(()) };
    let kind = if *is_test { "test" } else { "filter" };
    let mut message = format!("unknown {kind}: {kind} {name} is unknown");
    for Named { name, .. } in unknown {
        message = format!("{message}, and so is {name}");
    }
    let before = text.get(..range.start).unwrap_or_default();
    Err(ExprError {
        message,
        help: if *is_test { String::new() } else { slips::near_filter(name) },
        range: Some(range.clone()),
        line: Some(before.matches('\n').count().saturating_add(1)),
    })
}

fn is_known(Named { name, is_test, .. }: &Named) -> bool {
    let question = if *is_test { "name is test" } else { "name is filter" };
    let answer = EXPRESSIONS
        .compile_expression(question)
        .and_then(|question| question.eval(minijinja::context! { name }));
    // Ours begin so, and are for nobody else.
    !name.starts_with('_') && answer.is_ok_and(|is_known| is_known.is_true())
}

/// Functions and methods are looked up when it runs: so it is run once, with every name undefined.
/// Whatever else fails in that run says nothing about a real event.
fn check_run(err: Option<minijinja::Error>) -> Result<(), minijinja::Error> {
    use std::error::Error;
    let Some(err) = err else { return Ok(()) };
    let is_unknown = matches!(
        err.kind(),
        ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod
    );
    let is_wrong = err.source().is_some_and(<dyn Error>::is::<BadArgument>);
    if is_unknown || is_wrong { Err(err) } else { Ok(()) }
}
