//! What the reference says of each key: its text, a value, and what holds without it.
//!
//! The reference is one TOML file with every option in it. The comment above an option is its text, and
//! the value is its default, unless the text says what holds where it is `left out`, or a reader
//! requires it. `gatepost schema` and `docs/configuration.md` are made of this.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value;

use crate::settings::Key;

/// What the reference says of one key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyText {
    /// What it is for, in sentences; empty where nothing is said.
    pub(super) text: String,
    /// The value that is shown; `None` = it is a table.
    pub(super) example: Option<Example>,
    /// What holds without it.
    pub(super) absent: Absent,
}

/// What holds where a key is left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Absent {
    /// The value that is shown.
    Shown,
    /// What is said here, in words.
    Said(String),
    /// It must be there.
    Required,
}

/// A value, in both forms that are shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Example {
    /// As TOML writes it.
    pub(super) toml: String,
    /// As JSON Schema wants it.
    pub(super) json: Value,
}

/// The texts of all keys of `reference`, in its order, by their pattern: `handler.NAME.email.smtp`.
pub(super) fn texts(reference: &str, keys: &BTreeMap<String, Key>) -> IndexMap<String, KeyText> {
    let mut reader = Reader::new(keys);
    for line in reference.lines() {
        reader.line(line.trim_end());
    }
    reader.texts
}

/// Walks through the reference line by line.
struct Reader<'a> {
    keys: &'a BTreeMap<String, Key>,
    /// The pattern of the table that the next options belong to.
    table: String,
    /// The comment above the next option.
    comment: String,
    /// Whether the line before was part of it.
    is_in_comment: bool,
    texts: IndexMap<String, KeyText>,
}

impl<'a> Reader<'a> {
    fn new(keys: &'a BTreeMap<String, Key>) -> Self {
        let (table, comment) = (String::new(), String::new());
        Self { keys, table, comment, is_in_comment: false, texts: IndexMap::new() }
    }

    fn line(&mut self, line: &str) {
        match line.strip_prefix('#') {
            // What is set in by more than a space is an example within a text.
            Some(comment) if comment.starts_with("  ") => {}
            Some(comment) if comment.starts_with(' ') => self.add_comment(comment.trim_start()),
            Some(option) => self.option(option),
            None => self.option(line),
        }
    }

    fn add_comment(&mut self, comment: &str) {
        if !self.is_in_comment {
            self.comment.clear();
        }
        self.is_in_comment = true;
        // A heading of the whole file is no key's text.
        if comment.starts_with('─') {
            return;
        }
        if !self.comment.is_empty() {
            self.comment.push(' ');
        }
        self.comment.push_str(comment);
    }

    fn option(&mut self, option: &str) {
        self.is_in_comment = false;
        if option.is_empty() {
            self.comment.clear();
            return;
        }
        if let Some(name) = option.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let steps = name.split('.');
            self.table = steps.fold(String::new(), |table, step| self.pattern(&table, step));
            self.put(self.table.clone(), None);
            return;
        }
        let read = toml::from_str::<toml::Table>(option);
        for (key, value) in read.iter().flatten() {
            self.value(&self.pattern(&self.table, key), value);
        }
    }

    /// The pattern of `key` in the table `table`: NAME where names are the owner's.
    fn pattern(&self, table: &str, key: &str) -> String {
        let join = |key: &str| match table {
            "" => key.to_owned(),
            table => format!("{table}.{key}"),
        };
        let exact = join(key);
        let below = format!("{exact}.");
        let is_known = |known: &String| *known == exact || known.starts_with(&below);
        if self.keys.keys().any(is_known) { exact } else { join("NAME") }
    }

    /// A value; of a table also each value in it.
    fn value(&mut self, pattern: &str, value: &toml::Value) {
        let json = serde_json::to_value(value).unwrap_or_default();
        self.put(pattern.to_owned(), Some(Example { toml: value.to_string(), json }));
        for (key, value) in value.as_table().into_iter().flatten() {
            self.value(&self.pattern(pattern, key), value);
        }
    }

    /// The first text of a key counts.
    fn put(&mut self, pattern: String, example: Option<Example>) {
        let is_required = self.keys.get(&pattern).is_some_and(|key| key.is_required);
        let absent = match left_out(&self.comment) {
            _ if is_required || self.comment.contains(REQUIRED) => Absent::Required,
            Some(said) => Absent::Said(said),
            None => Absent::Shown,
        };
        let new = KeyText { text: self.comment.clone(), example, absent };
        let known = self.texts.entry(pattern).or_insert_with(|| new.clone());
        if known.text.is_empty() {
            *known = new;
        }
    }
}

/// What a text says where a key that no reader requires by itself must be there.
const REQUIRED: &str = "Required";

/// `no limit` out of `… Left out: no limit.`
fn left_out(text: &str) -> Option<String> {
    const WORDS: &str = "left out";
    let at = text.to_ascii_lowercase().find(WORDS)?;
    let rest = text.get(at + WORDS.len()..)?.trim_start_matches([':', ',', ' ']);
    let end = [". ", "; ", ".)", ") "].iter().filter_map(|end| rest.find(end)).min();
    let said = rest.get(..end.unwrap_or(rest.len()))?;
    Some(said.trim_end_matches(['.', ')']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_out_is_what_a_text_says_of_it() {
        for (text, said) in [
            ("A limit. Left out: no limit.", Some("no limit")),
            ("The title; left out: none; of people.", Some("none")),
            ("Whom (left out, everybody) it asks.", Some("everybody")),
            ("A limit.", None),
        ] {
            assert_eq!(left_out(text).as_deref(), said, "{text}");
        }
    }
}
