//! One TOML table or value, with its place in the text.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::ops::Range;
use std::path::Path;

use serde_json::{Value as Json, json};
use toml::de::{DeTable, DeValue};

use super::path::join;
use super::value::{FromToml, Value, read_all};
use super::{Diagnostics, Severity, nearest};

/// One TOML table. Its keys are taken one by one; [`Table::finish`] then reports those that were
/// not asked for, so a reader takes all its keys before it returns, also where one of them is
/// wrong.
pub struct Table<'a> {
    pub(super) diagnostics: &'a Diagnostics,
    /// As in `handler.mail.email`; empty for the outermost table.
    pub(super) path: String,
    /// The path with NAME in place of names that the owner chose: as in `handler.NAME.email`.
    pub(super) pattern: String,
    /// The table's name where it is in the text; `None` for the outermost table.
    head: Option<Range<usize>>,
    pub(super) entries: &'a DeTable<'a>,
    pub(super) asked: BTreeSet<String>,
}

impl fmt::Debug for Table<'_> {
    // Without the values: one of them may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> Value<'a> {
    /// The table that it is. `None` = it is none, which is recorded. The caller finishes it.
    pub fn table(&self) -> Option<Table<'a>> {
        self.table_written(&format!("[{}]", self.path))
    }

    /// The table that it is, whose head is written so.
    pub(super) fn table_written(&self, head: &str) -> Option<Table<'a>> {
        let Some(entries) = self.inner.as_table() else {
            let message = format!("expected a table, found {}", self.kind());
            self.problem(message, format_args!("write `{head}` and its keys below it"));
            return None;
        };
        Some(Table::of(self, entries))
    }
}

impl<'a> Table<'a> {
    pub(super) fn root(diagnostics: &'a Diagnostics, entries: &'a DeTable<'a>) -> Self {
        Self {
            diagnostics,
            path: String::new(),
            pattern: String::new(),
            head: None,
            entries,
            asked: BTreeSet::new(),
        }
    }

    pub(super) fn of(value: &Value<'a>, entries: &'a DeTable<'a>) -> Self {
        Self {
            diagnostics: value.diagnostics,
            path: value.path.clone(),
            pattern: value.pattern.clone(),
            head: Some(value.place()),
            entries,
            asked: BTreeSet::new(),
        }
    }

    /// The table's own path, as in `handler.mail.email`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The folder that relative paths start from.
    pub fn folder(&self) -> &'a Path {
        &self.diagnostics.folder
    }

    /// Its secrets need not be there.
    pub fn is_unused(&self) {
        self.diagnostics.unused.borrow_mut().push(format!("{}.", self.path));
    }

    /// Whether secrets may be looked at: not where only the text is read.
    pub fn reads_secrets(&self) -> bool {
        self.diagnostics.probe.is_some()
    }

    /// Whether `key` is there, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The value of `key`; `None` where it is absent, or wrong, which is recorded.
    pub fn take<T: FromToml>(&mut self, key: &str) -> Option<T> {
        self.value_of::<T>(key)?.read()
    }

    /// The value of `key`; `default` where it is absent, or wrong, which is recorded.
    pub fn take_or<T: FromToml>(&mut self, key: &str, default: T) -> T {
        self.take(key).unwrap_or(default)
    }

    /// The value of `key`, which must be there. `None` = a problem was recorded.
    pub fn require<T: FromToml>(&mut self, key: &str) -> Option<T> {
        self.ask(key, T::expected(), T::schema());
        self.diagnostics.require_key(&join(&self.pattern, key));
        if !self.has(key) {
            self.missing(key, &format!("write `{key} = {}`", T::example()));
            return None;
        }
        self.take(key)
    }

    /// The value of `key`, read as a `T` and then given to `check`, whose error is put at the
    /// value. The error's text may show the value.
    pub fn checked<T: FromToml, U, E: Display>(
        &mut self,
        key: &str,
        check: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        self.checked_or(key, "", check)
    }

    /// The same, with what to write instead.
    pub fn checked_or<T: FromToml, U, E: Display>(
        &mut self,
        key: &str,
        help: &str,
        check: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        let value = self.value_of::<T>(key)?;
        let value = Value { help: help.to_owned(), ..value };
        match check(value.clone().read()?) {
            Ok(checked) => Some(checked),
            Err(err) => {
                value.problem(err, help);
                None
            }
        }
    }

    /// The value of `key`, one of the words of `choices`.
    pub fn choice<T: Clone>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let words = words.join(" | ");
        let known: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.ask(key, words.clone(), json!({ "enum": known }));
        let value = self.value(key)?;
        let Some(text) = value.as_str() else {
            value.problem(
                format_args!("expected one of {words}, found {}", value.kind()),
                format_args!("write `{key} = {words}`"),
            );
            return None;
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(choice.clone());
        }
        let help = match nearest(text, choices.iter().map(|(word, _)| *word)) {
            Some(near) => format!("did you mean \"{near}\"? It takes one of: {words}"),
            None => format!("it takes one of: {words}"),
        };
        value.problem(format_args!("`{}` is not known here", text.escape_debug()), help);
        None
    }

    /// The values of `key`, which is a list or one value alone.
    pub fn one_or_many<T: FromToml>(&mut self, key: &str) -> Option<Vec<T>> {
        let schema = json!({ "anyOf": [T::schema(), Vec::<T>::schema()] });
        self.ask(key, format!("{}, or a list of them", T::expected()), schema);
        let value = self.value(key)?;
        match value.as_items() {
            Some(items) => read_all(items),
            None => value.read().map(|one| vec![one]),
        }
    }

    /// The value of `key` as it stands, for what none of the other functions reads. `expected` says
    /// what it takes, for the list of all keys.
    pub fn raw(&mut self, key: &str, expected: &str) -> Option<Value<'a>> {
        self.ask(key, expected.to_owned(), json!({}));
        self.value(key)
    }

    /// The table under `key`, also an inline one; `None` where it is absent, or no table, which is
    /// recorded. The caller finishes it.
    pub fn table(&mut self, key: &str) -> Option<Table<'a>> {
        self.ask(key, TABLE.to_owned(), json!({ "type": "object" }));
        self.value(key)?.table()
    }

    /// The same for a table that is easily taken for a single value: `example` says how that one is
    /// written.
    pub fn table_like(&mut self, key: &str, example: impl Display) -> Option<Table<'a>> {
        self.ask(key, TABLE.to_owned(), json!({ "type": "object" }));
        let value = self.value(key)?;
        if value.is_table() {
            return value.table();
        }
        let found = value.kind();
        value.problem(
            format_args!("expected a table, found {found}"),
            format_args!("write `{key} = {example}`"),
        );
        None
    }

    /// The text under `key`, where it is one; nothing is recorded or asked for.
    pub fn text_of(&self, key: &str) -> Option<&'a str> {
        self.value(key).and_then(|value| value.as_str())
    }

    /// The number under `key`, where it is one; nothing is recorded or asked for.
    pub fn number_of(&self, key: &str) -> Option<i128> {
        self.value(key).and_then(|value| value.as_integer())
    }

    /// Keys that hold a table and were not asked for yet, in the order of the text: where one
    /// of several tables says what is meant.
    pub fn unknown_tables(&self) -> Vec<&'a str> {
        let is_unknown =
            |key: &str, value: &DeValue<'_>| value.is_table() && !self.asked.contains(key);
        let tables =
            self.entries.iter().filter(|(key, value)| is_unknown(key.get_ref(), value.get_ref()));
        tables.map(|(key, _)| key.get_ref().as_ref()).collect()
    }

    /// The key nearest to `word` that was asked for, if one is near enough.
    pub fn nearest_key(&self, word: &str) -> Option<&str> {
        nearest(word, self.asked.iter().map(String::as_str))
    }

    /// Records an error at `key`, which is then no longer reported as an unknown one.
    pub fn reject(&mut self, key: &str, message: impl Display, help: impl Display) {
        self.asked.insert(key.to_owned());
        self.problem(key, message, help);
    }

    /// Whether the text is broken TOML: what is absent may then only be unreadable.
    pub fn is_broken(&self) -> bool {
        self.diagnostics.is_broken
    }

    /// All keys with their values, in the order of the text: for a table whose keys the owner
    /// chose (columns, headers).
    pub fn entries(&mut self) -> Vec<(&'a str, Value<'a>)> {
        let schema = json!({ "type": "object", "additionalProperties": true });
        let expected = "a table with names of your own".to_owned();
        self.diagnostics.register_key(&self.pattern, expected, schema);
        let keys: Vec<&'a str> =
            self.entries.iter().map(|(key, _)| key.get_ref().as_ref()).collect();
        self.asked.extend(keys.iter().map(|key| (*key).to_owned()));
        let entry = |key| {
            let mut value = self.value(key)?;
            value.pattern = format!("{}.NAME", self.pattern);
            Some((key, value))
        };
        keys.into_iter().filter_map(entry).collect()
    }

    /// Records an error at the value of `key`, or at the table's head where it is absent.
    pub fn problem(&self, key: &str, message: impl Display, help: impl Display) {
        self.record(Severity::Error, key, &message, &help);
    }

    /// Records a warning at the value of `key`, or at the table's head where it is absent.
    pub fn warning(&self, key: &str, message: impl Display, help: impl Display) {
        self.record(Severity::Warning, key, &message, &help);
    }

    /// Records an error at `range` (in bytes) within the text that is the value of `key`: where a
    /// template or an expression is wrong.
    pub fn problem_within(
        &self,
        key: &str,
        range: Option<Range<usize>>,
        message: impl Display,
        help: impl Display,
    ) {
        match self.value(key) {
            Some(value) => value.problem_within(range, message, help),
            None => self.problem(key, message, help),
        }
    }

    /// Records an error at the table's head.
    pub fn problem_here(&self, message: impl Display, help: impl Display) {
        self.diagnostics.put(Severity::Error, self.head.clone(), &self.path, &message, &help);
    }

    /// Records a warning at the table's head.
    pub fn warning_here(&self, message: impl Display, help: impl Display) {
        self.diagnostics.put(Severity::Warning, self.head.clone(), &self.path, &message, &help);
    }

    /// Records that `key` must be there and is not.
    pub fn missing(&self, key: &str, help: &str) {
        // In broken TOML the key may stand where the parser could not read it.
        if !self.diagnostics.is_broken {
            let place = match self.path.as_str() {
                "" => String::new(),
                path => format!(" in `{path}`"),
            };
            self.problem_here(format_args!("`{key}` is missing{place}"), help);
        }
    }

    /// Keeps the value of `key` out of every line that is shown: a URL with a password in it.
    pub fn hide(&self, key: &str) {
        if let Some(value) = self.value(key) {
            value.hide();
        }
    }

    /// Reports every key that was not taken.
    pub fn finish(self) {
        for (key, _) in self.entries {
            let name: &str = key.get_ref();
            if self.asked.contains(name) {
                continue;
            }
            let help = self.help_for_unknown(name);
            let message = format_args!("unknown key `{}`", name.escape_debug());
            let path = join(&self.path, name);
            self.diagnostics.put(Severity::Error, Some(key.span()), &path, &message, &help);
        }
    }

    /// The value of `key`, noted as one that holds a `T`.
    fn value_of<T: FromToml>(&mut self, key: &str) -> Option<Value<'a>> {
        self.ask(key, T::expected(), T::schema());
        self.value(key)
    }

    pub(super) fn ask(&mut self, key: &str, expected: String, schema: Json) {
        self.asked.insert(key.to_owned());
        self.diagnostics.register_key(&join(&self.pattern, key), expected, schema);
    }

    pub(super) fn value(&self, key: &str) -> Option<Value<'a>> {
        let (name, value) = self.entries.get_key_value(key)?;
        Some(Value {
            diagnostics: self.diagnostics,
            path: join(&self.path, key),
            pattern: join(&self.pattern, key),
            key: key.to_owned(),
            name: name.span(),
            span: value.span(),
            inner: value.get_ref(),
            help: String::new(),
        })
    }

    fn record(&self, severity: Severity, key: &str, message: &dyn Display, help: &dyn Display) {
        if let Some(value) = self.value(key) {
            value.record(severity, message, help);
        } else {
            let path = join(&self.path, key);
            self.diagnostics.put(severity, self.head.clone(), &path, message, help);
        }
    }
}

/// What the list of all keys says of a table.
pub(super) const TABLE: &str = "a table";
