//! What the reference says of each key: its text, a value, and what holds without it.
//!
//! The reference is one TOML file with every option in it. The comment above an option is its text, and
//! the value is its default, unless the text says what holds where it is `left out`, or a reader
//! requires it. Lines of a comment that begin with a key, as in ``# `max`: …``, are the text of that key
//! of the inline table below them, or of its neighbour that cannot stand there as well; then an example
//! is in the text: ``as in `max = 5` ``. `gatepost schema` and `docs/configuration.md` are made of this.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value;

use crate::settings::Key;

/// What the reference says of one key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyText {
    /// What it is for, in sentences; empty where nothing is said.
    pub(super) text: String,
    /// Whether it is a table with a head of its own.
    pub(super) is_table: bool,
    pub(super) example: Option<Example>,
    /// What holds without it.
    pub(super) absent: Absent,
}

/// What holds where a key is left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Absent {
    Shown,
    /// What is said here, in words.
    Said(String),
    /// It must be there.
    Required,
}

/// A value, in both forms that are shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Example {
    pub(super) toml: String,
    pub(super) json: Value,
}

/// The texts of all keys of `reference`, in its order, by their pattern: `handler.NAME.email.smtp`.
pub(super) fn texts(reference: &str, keys: &BTreeMap<String, Key>) -> IndexMap<String, KeyText> {
    let mut reader = ReferenceReader::new(keys);
    for line in reference.lines() {
        reader.line(line.trim_end());
    }
    reader.texts
}

/// Walks through the reference line by line.
struct ReferenceReader<'a> {
    keys: &'a BTreeMap<String, Key>,
    /// The pattern of the table that the next options belong to.
    table: String,
    /// The comment above the next option.
    comment: String,
    /// The texts of single keys in it.
    of_keys: Vec<(String, String)>,
    /// Whether the line before was part of it.
    is_in_comment: bool,
    texts: IndexMap<String, KeyText>,
}

impl<'a> ReferenceReader<'a> {
    fn new(keys: &'a BTreeMap<String, Key>) -> Self {
        let (table, comment, of_keys) = (String::new(), String::new(), Vec::new());
        Self { keys, table, comment, of_keys, is_in_comment: false, texts: IndexMap::new() }
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
            self.of_keys.clear();
        }
        self.is_in_comment = true;
        // A heading of the whole file is no key's text.
        if comment.starts_with('─') {
            return;
        }
        if let Some((key, text)) = of_key(comment) {
            self.of_keys.push((key.to_owned(), text.to_owned()));
            return;
        }
        let text = match self.of_keys.last_mut() {
            Some((_, text)) => text,
            None => &mut self.comment,
        };
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(comment);
    }

    fn option(&mut self, option: &str) {
        self.is_in_comment = false;
        if option.is_empty() {
            self.put_keys(&self.table.clone());
            self.comment.clear();
            return;
        }
        if let Some(name) = option.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let steps = name.split('.');
            self.table = steps.fold(String::new(), |table, step| self.pattern(&table, step));
            self.put(self.table.clone(), &self.comment.clone(), None);
            if let Some(text) = self.texts.get_mut(&self.table) {
                text.is_table = true;
            }
            return;
        }
        let read = toml::from_str::<toml::Table>(option);
        for (key, value) in read.iter().flatten() {
            let pattern = self.pattern(&self.table, key);
            let of_keys = if value.is_table() { pattern.clone() } else { self.table.clone() };
            self.put_keys(&of_keys);
            self.value(&pattern, value, &self.comment.clone());
        }
    }

    /// The texts of single keys in the comment, which belong to `table`.
    fn put_keys(&mut self, table: &str) {
        for (key, text) in std::mem::take(&mut self.of_keys) {
            self.put(self.pattern(table, &key), &text, example_in(&text, &key));
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
    fn value(&mut self, pattern: &str, value: &toml::Value, text: &str) {
        self.put(pattern.to_owned(), text, Some(Example::of(value)));
        for (key, value) in value.as_table().into_iter().flatten() {
            self.value(&self.pattern(pattern, key), value, text);
        }
    }

    /// The first text of a key counts, and the first example.
    fn put(&mut self, pattern: String, text: &str, example: Option<Example>) {
        let is_required = self.keys.get(&pattern).is_some_and(|key| key.is_required);
        let absent = match left_out(text) {
            _ if is_required || text.contains(REQUIRED) => Absent::Required,
            Some(said) => Absent::Said(said),
            None => Absent::Shown,
        };
        let new = KeyText { text: text.to_owned(), is_table: false, example, absent };
        let known = self.texts.entry(pattern).or_insert_with(|| new.clone());
        if known.text.is_empty() {
            *known = new;
        } else if known.example.is_none() {
            known.example = new.example;
        }
    }
}

impl Example {
    fn of(value: &toml::Value) -> Self {
        let json = serde_json::to_value(value).unwrap_or_default();
        Self { toml: value.to_string(), json }
    }
}

/// A key and its text, out of ``# `max`: the most``.
fn of_key(comment: &str) -> Option<(&str, &str)> {
    let (key, text) = comment.strip_prefix('`')?.split_once("`: ")?;
    let is_key = key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_key.then_some((key, text))
}

/// The value in ``as in `max = 5` ``.
fn example_in(text: &str, key: &str) -> Option<Example> {
    let (_, line) = text.split_once(&format!("`{key} = "))?;
    let (value, _) = line.split_once('`')?;
    let read = toml::from_str::<toml::Table>(&format!("{key} = {value}")).ok()?;
    read.get(key).map(Example::of)
}

/// What a text says where a key that no reader requires by itself must be there.
const REQUIRED: &str = "Required";

/// `no limit` out of `… Left out: no limit.`
fn left_out(text: &str) -> Option<String> {
    const WORDS: &str = "left out";
    let at = text.to_ascii_lowercase().find(WORDS)?;
    let rest = text.get(at + WORDS.len()..)?.trim_start_matches([':', ',', ' ']);
    // To the end of the sentence, or of the brackets that it stands in; brackets of its own belong to it.
    let mut depth = 0_usize;
    let mut end = rest.len();
    for (at, c) in rest.char_indices() {
        let ends_sentence = || rest.get(at + 1..).is_some_and(|behind| behind.starts_with(' '));
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ')' => end = at,
            '.' | ';' if depth == 0 && ends_sentence() => end = at,
            _ => {}
        }
        if end < rest.len() {
            break;
        }
    }
    Some(rest.get(..end)?.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comment_can_say_what_each_key_of_a_table_is() {
        let text = "\
# Tries.
# `max`: how many,
# at most. Left out: three.
# `min`: how few, as in `min = 1`.
#tries = { max = 5 }
";
        let key = |key: &str| {
            let (expected, schema) = (String::new(), Value::Null);
            (key.to_owned(), Key { expected, schema, is_required: false })
        };
        let texts = texts(text, &["tries", "tries.max", "tries.min"].map(key).into());
        let shown: Vec<_> = texts
            .iter()
            .map(|(key, text)| {
                let example = text.example.as_ref().map(|example| example.toml.as_str());
                (key.as_str(), text.text.as_str(), example)
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("tries.max", "how many, at most. Left out: three.", Some("5")),
                ("tries.min", "how few, as in `min = 1`.", Some("1")),
                ("tries", "Tries.", Some("{ max = 5 }")),
            ]
        );
        assert_eq!(texts["tries.max"].absent, Absent::Said("three".to_owned()));
        assert_eq!(texts["tries.min"].absent, Absent::Shown);
    }

    #[test]
    fn left_out_is_what_a_text_says_of_it() {
        for (text, said) in [
            ("A limit. Left out: no limit.", Some("no limit")),
            ("The title; left out: none; of people.", Some("none")),
            ("Whom (left out, everybody) it asks.", Some("everybody")),
            (
                "How. Left out: hex (of a token: as it is; b).",
                Some("hex (of a token: as it is; b)"),
            ),
            ("A limit.", None),
        ] {
            assert_eq!(left_out(text).as_deref(), said, "{text}");
        }
    }
}
