//! What a text says, key by key: to tell two configurations apart.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::path::{join, quoted};
use super::spelled_out::without_written_secrets;
use crate::secret::HIDDEN;

/// Every key that is set, with its value: `handler.mail.retry.min` → `"10s"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigEntries(pub BTreeMap<String, ConfigEntry>);

/// The value of one key.
#[derive(Clone)]
pub struct ConfigEntry {
    text: String,
    /// The text without secrets within it.
    shown: String,
    is_hidden: bool,
    place: Range<usize>,
    line: usize,
}

/// Two are the same where they say the same, wherever that is.
impl PartialEq for ConfigEntry {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ConfigEntry {}

impl ConfigEntry {
    /// Where the value is in the text, in bytes.
    pub fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// The line that the value begins in, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }
}

impl ConfigEntries {
    pub(super) fn of(table: &DeTable<'_>, hidden: &[Range<usize>], text: &str) -> Self {
        let mut entries = BTreeMap::new();
        collect(&mut entries, "", table, hidden);
        // Looked up, since counting anew for each of some thousand keys of a large file takes long.
        let ends: Vec<usize> = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
        for entry in entries.values_mut() {
            entry.line = ends.partition_point(|end| *end < entry.place.start) + 1;
        }
        Self(entries)
    }
}

/// As TOML writes it, on one line; `(hidden)` where it must not be shown.
impl fmt::Display for ConfigEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_hidden { HIDDEN } else { &self.shown })
    }
}

impl fmt::Debug for ConfigEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn collect(
    entries: &mut BTreeMap<String, ConfigEntry>,
    path: &str,
    table: &DeTable<'_>,
    hidden: &[Range<usize>],
) {
    for (key, value) in table {
        let path = join(path, key.get_ref());
        match value.get_ref() {
            DeValue::Table(table) if !table.is_empty() => collect(entries, &path, table, hidden),
            _ => {
                let entry = ConfigEntry {
                    text: show(value),
                    shown: match value.get_ref() {
                        DeValue::String(text) => quoted(&without_written_secrets(text, HIDDEN)),
                        _ => show(value),
                    },
                    is_hidden: is_hidden(value, hidden),
                    place: value.span(),
                    line: 0,
                };
                entries.insert(path, entry);
            }
        }
    }
}

fn is_hidden(value: &Spanned<DeValue<'_>>, hidden: &[Range<usize>]) -> bool {
    let span = value.span();
    hidden.iter().any(|range| range.start < span.end && span.start < range.end)
}

fn show(value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::Array(items) => {
            format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
        }
        DeValue::Table(table) if table.is_empty() => "{}".to_owned(),
        DeValue::Table(table) => {
            let entry = |(key, value): (&Spanned<_>, _)| {
                format!("{} = {}", join("", AsRef::<str>::as_ref(key.get_ref())), show(value))
            };
            format!("{{ {} }}", table.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}
