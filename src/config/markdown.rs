//! `gatepost schema --markdown`: the reference of all keys for people, `docs/configuration.md`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value;

use super::reference::{Absent, KeyText};
use super::{REFERENCE, schema};
use crate::settings::Key;
use crate::text::put;

const HEAD: &str = "\
# Configuration

Every key of `config.toml`. This page is printed by `gatepost schema --markdown`; a test holds it equal to
what the program reads. `gatepost schema` prints the same as a JSON Schema for editors, and `gatepost check`
names every mistake of a file at once.

NAME stands for a name of your own. Relative paths start from the folder of `config.toml`. Durations are
written as `\"10s\"`, `\"5m\"` or `\"1h30m\"`, sizes as `\"1MiB\"`. Secrets do not stand in the file: each is one of
`{ file = \"…\" }`, `{ env = \"NAME\" }` and `{ credential = \"NAME\" }` (systemd's `LoadCredential=`).
";

const TAIL: &str = "
## All of it as one file

What stands behind a `#` without a space is an option: take the `#` away to set it.

";

pub fn markdown() -> String {
    let keys = schema::keys();
    let texts = schema::texts(&keys);
    let mut page = String::from(HEAD);
    for (table, text) in texts.iter().filter(|(_, text)| text.is_table) {
        put_table(&mut page, table, text, (&keys, &texts));
    }
    page.push_str(TAIL);
    put(&mut page, format_args!("```toml\n{}\n```\n", REFERENCE.trim_end()));
    page
}

type Everything<'a> = (&'a BTreeMap<String, Key>, &'a IndexMap<String, KeyText>);

/// A table with its own keys: those of inline tables too, but not those that have a head of their
/// own.
fn put_table(page: &mut String, table: &str, text: &KeyText, (keys, texts): Everything<'_>) {
    put(page, format_args!("\n## `[{table}]`\n"));
    if !text.text.is_empty() {
        put(page, format_args!("\n{}\n", text.text));
    }
    let own = |key: &str| key.strip_prefix(table)?.strip_prefix('.').map(str::to_owned);
    let has_head = |key: &str| {
        texts.iter().any(|(head, text)| {
            text.is_table && head.len() > table.len() && is_at_or_below(key, head)
        })
    };
    let order = |key: &str| texts.get_index_of(key).unwrap_or(usize::MAX);
    let mut rows: Vec<(String, &str, &Key)> = keys
        .iter()
        .filter(|(pattern, _)| !has_head(pattern) && !pattern.contains("[]"))
        .filter(|(pattern, _)| !schema::is_secret_part(keys, pattern))
        .filter_map(|(pattern, key)| Some((own(pattern)?, pattern.as_str(), key)))
        .collect();
    rows.sort_by(|one, other| (order(one.1), one.1).cmp(&(order(other.1), other.1)));
    // A text for several keys is above the first of them only.
    let mut said = "";
    for (name, pattern, key) in rows {
        let text = texts.get(pattern);
        let words = text.map_or("", |text| text.text.as_str());
        put(page, format_args!("\n### `{name}`\n\n"));
        if !words.is_empty() && words != said {
            put(page, format_args!("{words}\n\n"));
            said = words;
        }
        put(page, format_args!("{}\n", facts(&name, key, text)));
    }
}

fn is_at_or_below(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Type, limits, default and an example, in one line.
fn facts(name: &str, key: &Key, text: Option<&KeyText>) -> String {
    let mut facts = vec![format!("Type: {}", kind(key))];
    facts.extend(limits(&key.schema).map(|limits| format!("Limits: {limits}")));
    let Some(text) = text else { return facts.join(" · ") };
    let example = text.example.as_ref().map(|example| example.toml.as_str());
    match (&text.absent, example) {
        (Absent::Required, _) => facts.push("Required".to_owned()),
        (Absent::Said(said), _) => facts.push(format!("Default: {said}")),
        (Absent::Shown, Some(value)) => facts.push(format!("Default: `{value}`")),
        (Absent::Shown, None) => {}
    }
    if let Some(value) = example {
        let last = name.rsplit('.').next().unwrap_or(name);
        facts.push(format!("Example: `{last} = {value}`"));
    }
    facts.join(" · ")
}

/// What it takes. Words in quotes become code.
fn kind(key: &Key) -> String {
    if key.expected.contains('"') && !key.expected.contains('`') {
        let words = key.expected.split(" | ").map(|word| format!("`{word}`"));
        words.collect::<Vec<_>>().join(", ")
    } else {
        key.expected.clone()
    }
}

fn limits(schema: &Value) -> Option<String> {
    let bound = |name: &str| schema.get(name).map(ToString::to_string);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("at least {least}")),
        (None, Some(most)) => Some(format!("at most {most}")),
        (None, None) => None,
    }
}
