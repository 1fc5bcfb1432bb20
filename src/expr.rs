//! The one expression language: filters, order keys, columns and templates, all MiniJinja.
//!
//! What every text can count on:
//!
//! 1. It is compiled once, at start; a name, filter, test or function that does not exist is found
//!    then, with its place in the text.
//! 2. In scope are `event` (`id`, `source`, `type`, `received_at`, `headers`), `payload`, `data`,
//!    and for batches `events`, a list of the same three for each event.
//! 3. A missing field is undefined, and so is every field of it; undefined and `null` print as
//!    nothing.
//! 4. Work and output are bounded by fuel: a hostile payload ends in an error, not in a stall.
//! 5. An error tells the text's own words and the types of values, not what a payload contains.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior};

mod scope;
mod striptags;
#[cfg(test)]
mod tests;

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
    compiled: minijinja::Expression<'static, 'static>,
}

impl Expression {
    /// Compiles `text`. A wrong name or filter is an error here, not with the first event.
    pub fn compile(text: &str) -> Result<Self, ExprError> {
        let compiled = EXPRESSIONS
            .compile_expression_owned(text.to_owned())
            .map_err(|err| ExprError::of(&err, text))?;
        check_names(text, compiled.undeclared_variables(false))?;
        check_callables(text, compiled.eval(()).err())?;
        Ok(Self { text: text.to_owned(), compiled })
    }

    /// The value; undefined where a field is missing.
    pub fn eval(&self, scope: &Scope) -> Result<Value, ExprError> {
        self.compiled.eval(scope.value()).map_err(|err| ExprError::of(&err, &self.text))
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
    /// What is not a letter, a digit or one of `-._~` becomes `%XX`: no value can leave its place
    /// in a path or a query.
    Url,
}

impl Escape {
    fn auto_escape(self) -> AutoEscape {
        match self {
            Self::None => AutoEscape::None,
            Self::Html => AutoEscape::Html,
            Self::Json => AutoEscape::Json,
            Self::Slack => AutoEscape::Custom(Cow::Borrowed("slack")),
            Self::Url => AutoEscape::Custom(Cow::Borrowed("url")),
        }
    }
}

/// A template such as `{{ data.user.name }} wrote`, compiled.
pub struct Template {
    text: String,
    escape: Escape,
    /// Holds the compiled template under [`TEMPLATE_NAME`]; the filters in it are shared.
    environment: Environment<'static>,
}

/// The name of the one template in its environment.
const TEMPLATE_NAME: &str = "template";

impl Template {
    /// Compiles `text`. A wrong name or filter is an error here, not with the first event.
    pub fn compile(text: &str, escape: Escape) -> Result<Self, ExprError> {
        let mut environment = environment(TEMPLATE_FUEL, escape);
        environment
            .add_template_owned(TEMPLATE_NAME, text.to_owned())
            .map_err(|err| ExprError::of(&err, text))?;
        let template = Self { text: text.to_owned(), escape, environment };
        check_names(text, template.compiled()?.undeclared_variables(false))?;
        check_callables(text, template.compiled()?.render(()).err())?;
        Ok(template)
    }

    /// The text for one event or batch.
    pub fn render(&self, scope: &Scope) -> Result<String, ExprError> {
        self.compiled()?.render(scope.value()).map_err(|err| ExprError::of(&err, &self.text))
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.text
    }

    fn compiled(&self) -> Result<minijinja::Template<'_, '_>, ExprError> {
        self.environment.get_template(TEMPLATE_NAME).map_err(|err| ExprError::of(&err, &self.text))
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
    /// Where in the text, in bytes, where that is known.
    pub range: Option<Range<usize>>,
    /// The line in the text, counted from 1, where that is known.
    pub line: Option<usize>,
}

impl ExprError {
    fn of(err: &minijinja::Error, text: &str) -> Self {
        // The name of an included template is the one detail that comes out of a payload as it is.
        let detail = match err.kind() {
            ErrorKind::TemplateNotFound => Some("there are no other templates to include"),
            _ => err.detail(),
        };
        let range = err.range().filter(|range| text.get(range.clone()).is_some());
        let mut message = match detail {
            Some(detail) => format!("{}: {detail}", err.kind()),
            None => err.kind().to_string(),
        };
        if let Some(words) = range.clone().and_then(|range| text.get(range))
            && (1..=80).contains(&words.len())
            && !message.contains(words)
        {
            message = format!("{message} (at `{words}`)");
        }
        Self { message, range, line: err.line() }
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
    // As in Jinja2, and as a missing list deserves.
    environment.add_filter("length", length);
    environment.add_filter("count", length);
    environment.add_filter("striptags", striptags);
    // It prints the whole scope, headers included, into a mail.
    environment.remove_global("debug");
    environment
}

fn striptags(value: &Value) -> String {
    value.as_str().map(striptags::striptags).unwrap_or_default()
}

fn length(value: &Value) -> Result<usize, minijinja::Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(0);
    }
    value.len().ok_or_else(|| {
        let message = format!("cannot calculate length of value of type {}", value.kind());
        minijinja::Error::new(ErrorKind::InvalidOperation, message)
    })
}

fn write_value(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    let custom = match state.auto_escape() {
        AutoEscape::Custom(name) => Some(name),
        AutoEscape::Json => return minijinja::escape_formatter(output, state, value),
        _ => None,
    };
    if value.is_none() || value.is_undefined() {
        return Ok(());
    }
    match custom {
        _ if value.is_safe() || value.kind() == ValueKind::Bool => {
            write_text(output, &plain(value))
        }
        Some(name) if name == "slack" => write_text(output, &escape_slack(&value.to_string())),
        Some(_) => write_text(output, &escape_url(&value.to_string())),
        None => minijinja::escape_formatter(output, state, value),
    }
}

/// The value as text, `true` and `false` as JSON has them (MiniJinja says `True`).
fn plain(value: &Value) -> String {
    if value.kind() == ValueKind::Bool { value.is_true().to_string() } else { value.to_string() }
}

fn write_text(output: &mut Output<'_>, text: &str) -> Result<(), minijinja::Error> {
    fmt::Write::write_str(output, text).map_err(minijinja::Error::from)
}

fn escape_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
fn check_names(text: &str, used: HashSet<String>) -> Result<(), ExprError> {
    let is_known = |name: &str| {
        NAMES.contains(&name) || EXPRESSIONS.globals().any(|(global, _)| global == name)
    };
    let unknown = used.into_iter().filter(|name| !is_known(name)).min();
    let Some(name) = unknown else { return Ok(()) };
    let start = find_word(text, &name);
    Err(ExprError {
        message: format!("`{name}` is not in scope: use `event`, `payload`, `data` or `events`"),
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

/// MiniJinja looks filters, tests and functions up when it runs: so it is run once, with every
/// name undefined. Whatever else fails in that run says nothing about a real event.
fn check_callables(text: &str, err: Option<minijinja::Error>) -> Result<(), ExprError> {
    match err {
        Some(err)
            if matches!(
                err.kind(),
                ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction
            ) =>
        {
            Err(ExprError::of(&err, text))
        }
        _ => Ok(()),
    }
}
