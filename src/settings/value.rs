//! One TOML value, with its place in the text.

use std::fmt::{self, Display};
use std::ops::Range;
use std::path::Path;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::path::show_key;
use super::{Diagnostics, Severity};
use crate::secret::SecretRef;

/// A type that a TOML value can be read as.
pub trait FromToml: Sized {
    /// What it is, for people: `a duration`.
    fn expected() -> String;

    /// One as TOML writes it: `"10s"`.
    fn example() -> String;

    /// What was probably meant by a text or a number that is none: `"30s"` by 30.
    fn meant(_text: &str) -> Option<String> {
        None
    }

    /// What it is, as JSON Schema; most are written as a string.
    fn schema() -> Json {
        json!({ "type": "string" })
    }

    /// Reads `value`. `None` = a problem was recorded.
    fn from_toml(value: &Value<'_>) -> Option<Self>;
}

/// One TOML value.
#[derive(Clone)]
pub struct Value<'a> {
    pub(super) diagnostics: &'a Diagnostics,
    pub(super) path: String,
    pub(super) pattern: String,
    pub(super) key: String,
    /// Where the key is.
    pub(super) name: Range<usize>,
    pub(super) span: Range<usize>,
    pub(super) inner: &'a DeValue<'a>,
    /// What to write where it is of another type; empty = an example of the type.
    pub(super) help: String,
}

impl fmt::Debug for Value<'_> {
    // Without the value: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> Value<'a> {
    /// Reads it as a `T`. `None` = a problem was recorded.
    pub fn read<T: FromToml>(self) -> Option<T> {
        T::from_toml(&self)
    }

    /// Its text, where it is a string.
    pub fn as_str(&self) -> Option<&'a str> {
        self.inner.as_str()
    }

    /// Its number, where it is an integer that can be counted.
    pub fn as_integer(&self) -> Option<i128> {
        let integer = self.inner.as_integer()?;
        i128::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    /// Its number, where it is a float or an integer.
    pub fn as_float(&self) -> Option<f64> {
        let text = match self.inner {
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            _ => return None,
        };
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Its truth, where it is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        self.inner.as_bool()
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        self.inner.is_table()
    }

    /// Its items, where it is a list.
    pub fn as_items(&self) -> Option<Vec<Self>> {
        let items = self.inner.as_array()?;
        let item = |(index, item): (usize, &'a toml::Spanned<DeValue<'a>>)| Self {
            diagnostics: self.diagnostics,
            path: format!("{}[{index}]", self.path),
            pattern: format!("{}[]", self.pattern),
            key: self.key.clone(),
            name: item.span(),
            span: item.span(),
            inner: item.get_ref(),
            help: String::new(),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Reads its text with `parse`, whose error is recorded and may show the text. A value that is
    /// no string is recorded as not being a `T`.
    pub fn parse<T: FromToml, E: Display>(
        &self,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Option<T> {
        let Some(text) = self.as_str() else { return self.mismatch() };
        match parse(text) {
            Ok(parsed) => Some(parsed),
            Err(err) => {
                let text = self.as_str().unwrap_or_default();
                self.problem(err, self.instead::<T>(text));
                None
            }
        }
    }

    /// Records that it is not a `T`.
    pub fn mismatch<T: FromToml>(&self) -> Option<T> {
        let number = self.as_integer().map(|number| number.to_string());
        let written = number.or_else(|| self.as_str().map(str::to_owned)).unwrap_or_default();
        // What was probably meant is told before the key's own example; quotes alone say less than that.
        let says_more = |meant: String| meant != format!("\"{written}\"");
        let help = match self.help.as_str() {
            help if help.is_empty() || T::meant(&written).is_some_and(says_more) => {
                self.instead::<T>(&written)
            }
            help => help.to_owned(),
        };
        self.problem(format_args!("expected {}, found {}", T::expected(), self.kind()), help);
        None
    }

    /// What to write in place of `text`.
    fn instead<T: FromToml>(&self, text: &str) -> String {
        match T::meant(text) {
            Some(meant) => format!("write {}", self.line(&meant)),
            None => format!("for example {}", self.line(&T::example())),
        }
    }

    /// Records an error at this value.
    pub fn problem(&self, message: impl Display, help: impl Display) {
        self.record(Severity::Error, &message, &help);
    }

    /// Records a warning at this value.
    pub fn warning(&self, message: impl Display, help: impl Display) {
        self.record(Severity::Warning, &message, &help);
    }

    /// Records an error at `range` (in bytes) within the text that is this value; at the whole of
    /// it where that place is not known.
    pub fn problem_within(
        &self,
        range: Option<Range<usize>>,
        message: impl Display,
        help: impl Display,
    ) {
        let span = range.and_then(|range| self.within(range)).unwrap_or_else(|| self.place());
        self.diagnostics.put(Severity::Error, Some(span), &self.path, &message, &help);
    }

    /// Where `range` of the text is in the file. `None` where the text is written with
    /// escapes: then places do not match.
    fn within(&self, range: Range<usize>) -> Option<Range<usize>> {
        let text = self.as_str()?;
        let written = self.diagnostics.text.get(self.span.clone())?;
        // One quote, three, or three and a newline that TOML leaves out.
        let start = [1, 3, 4, 5].into_iter().find(|start| {
            let opening = written.get(..*start).unwrap_or("?");
            let is_opening = opening.chars().all(|c| matches!(c, '"' | '\'' | '\r' | '\n'));
            is_opening && written.get(*start..start + text.len()) == Some(text)
        })?;
        let start = self.span.start + start;
        Some(start + range.start..start + range.end)
    }

    /// Remembers the secret that this value refers to, and looks for it; one that is not there is
    /// recorded.
    pub(super) fn probe(&self, secret: &SecretRef) {
        let of_file = if matches!(secret, SecretRef::File { create: true, .. }) {
            "write the secret into that file, or remove it: a random one is made then"
        } else {
            "write the secret into that file, or add `create = true` for a random one"
        };
        self.probe_file(secret, "secret file", of_file);
        self.warn_if_open(secret);
        self.note_if_made(secret);
    }

    /// Notes that a credential was not looked at, where that is let pass.
    fn note_if_unseen(&self, secret: &SecretRef) {
        if secret.is_unseen_credential() && self.diagnostics.probe.is_some() {
            self.record(
                Severity::Note,
                &format_args!("the {secret} is there for the service alone: it was not looked at"),
                &"`gatepost status` shows the secrets that the running server has",
            );
        }
    }

    /// Notes that a random secret is made: where one was lost, as in a restore, nothing fits it.
    fn note_if_made(&self, secret: &SecretRef) {
        if matches!(secret, SecretRef::File { create: true, .. })
            && self.diagnostics.probe.is_some()
            && secret.is_missing_file()
        {
            self.record(
                Severity::Note,
                &format_args!("the {secret} is not there: a random one is made"),
                &"the other side needs the same: enter it there, or write what it has into the file",
            );
        }
    }

    /// Warns where every user of this machine can read or change the file.
    pub(super) fn warn_if_open(&self, secret: &SecretRef) {
        if let (SecretRef::File { path, .. }, true) = (secret, self.diagnostics.probe.is_some())
            && let Some(what) = secret.open_to_others()
        {
            self.warning(
                format_args!("every user of this machine can {what} the {secret}"),
                format_args!("`chmod 600 '{}'`, as the user that Gatepost runs as", path.display()),
            );
        }
    }

    /// The same, with what such a file is called and what helps where it is not there.
    pub(super) fn probe_file(&self, secret: &SecretRef, called: &str, of_file: &str) {
        self.diagnostics.secrets.borrow_mut().push((self.path.clone(), secret.clone()));
        let unused = self.diagnostics.unused.borrow();
        if unused.iter().any(|table| self.path.starts_with(table)) {
            return;
        }
        let Some(Err(err)) = self.diagnostics.probe.map(|probe| probe(secret)) else {
            return self.note_if_unseen(secret);
        };
        let cause = std::error::Error::source(&err).map(|cause| format!(": {cause}"));
        let help = match secret {
            SecretRef::Env(name) => format!("set `{name}` for the service, or use a file"),
            SecretRef::File { path, .. } if path.is_dir() => {
                let file = path.join("NAME");
                format!("that is a folder: write which file in it, as `{}`", file.display())
            }
            SecretRef::File { path, .. } if path.to_string_lossy().contains('$') => {
                "no variable is read in a path: write the path itself".to_owned()
            }
            SecretRef::File { .. } => of_file.to_owned(),
            SecretRef::Credential(name) => {
                format!("add `LoadCredential={name}:/path` to the unit, or use a file")
            }
        };
        let message = err.to_string().replacen("secret file", called, 1);
        self.problem(format_args!("{message}{}", cause.unwrap_or_default()), help);
    }

    /// Keeps the value out of every line that is shown.
    pub fn hide(&self) {
        self.diagnostics.hidden.borrow_mut().push(self.span.clone());
    }

    /// What it is, for people: `a string`.
    pub fn kind(&self) -> &'static str {
        match self.inner {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    /// The folder that relative paths start from.
    pub fn folder(&self) -> &'a Path {
        &self.diagnostics.folder
    }

    /// Whether the text is broken TOML: what is absent may then only be unreadable.
    pub fn is_broken(&self) -> bool {
        self.diagnostics.is_broken
    }

    /// How `example` is written here: with the key, unless this is an item of a list.
    pub(super) fn line(&self, example: &str) -> String {
        if self.path.ends_with(']') {
            format!("`{example}`")
        } else {
            format!("`{} = {example}`", show_key(&self.key))
        }
    }

    pub(super) fn record(&self, severity: Severity, message: &dyn Display, help: &dyn Display) {
        self.diagnostics.put(severity, Some(self.place()), &self.path, message, help);
    }

    /// Where a problem is shown. A table of several lines is shown by its name.
    pub(super) fn place(&self) -> Range<usize> {
        if self.is_table() { self.name.clone() } else { self.span.clone() }
    }
}

/// Reads each item; `None` when one of them is wrong, after all of them were looked at.
pub(super) fn read_all<T: FromToml>(items: Vec<Value<'_>>) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = items.into_iter().map(Value::read).collect();
    read.into_iter().collect()
}
