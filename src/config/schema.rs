//! `gatepost schema`: the configuration as JSON Schema, for editors that check while one types.
//!
//! It is not written by hand: the reference with every option in it is read, the readers tell what
//! they asked for, and the reference says what each key is for.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::REFERENCE;
use super::reference::{self, Absent, KeyText};
use crate::handler::KINDS;
use crate::settings::{self, Key};

mod absent;
mod secret_parts;
mod tables;

use tables::ShownTables;

/// What cannot stand beside another option of the reference, and before which of its tables it is shown.
const OTHER_OPTIONS: [(&str, &str); 2] =
    [("server.acme", OWN_CERTIFICATE), ("standby", SHARED_LOG)];

const SHARED_LOG: &str = include_str!("shared_log.toml");

const OWN_CERTIFICATE: &str = "\
# A certificate that somebody else renews, such as certbot. Both files are read again every minute and at a
# reload; what cannot be used leaves the old one. Not beside `[server.acme]`.
[server.tls]
# The chain in PEM form, the server's own certificate first: a file, or { credential = \"NAME\" }.
cert = \"/etc/letsencrypt/live/hooks.example.com/fullchain.pem\"

# Its key in PEM form, without a passphrase.
key = \"/etc/letsencrypt/live/hooks.example.com/privkey.pem\"
";

/// [`REFERENCE`] with every option in it: a `#` without a space behind it is taken away.
pub fn with_every_option() -> String {
    let open = |line: &str| match line.strip_prefix('#') {
        Some(option) if !option.is_empty() && !option.starts_with(' ') => format!("{option}\n"),
        _ => format!("{line}\n"),
    };
    REFERENCE.lines().map(open).collect()
}

/// The JSON Schema of the configuration, as text without a newline at its end.
pub fn schema() -> String {
    format!("{:#}", value())
}

/// What the reference says of each of `keys`.
pub(super) fn texts(keys: &BTreeMap<String, Key>) -> IndexMap<String, KeyText> {
    let mut texts = reference::texts(REFERENCE, keys);
    for (before, others) in OTHER_OPTIONS {
        let first = texts.get_index_of(before).unwrap_or(texts.len());
        for (at, (key, text)) in (first..).zip(reference::texts(others, keys)) {
            texts.shift_insert(at, key, text);
        }
    }
    texts
}

/// Whether a key is a part of where a secret is kept, which is the same everywhere.
pub(super) fn is_secret_part(keys: &BTreeMap<String, Key>, key: &str) -> bool {
    let Some((secret, part)) = key.rsplit_once('.') else { return false };
    secret_parts::text(part).is_some() && keys.contains_key(&format!("{secret}.credential"))
}

/// What is said of a part of where a secret is kept.
fn secret_part(keys: &BTreeMap<String, Key>, key: &str) -> Option<KeyText> {
    secret_parts::text(key.rsplit_once('.').filter(|_| is_secret_part(keys, key))?.1)
}

/// Every key that a reader asks for, by its pattern.
pub(super) fn keys() -> BTreeMap<String, Key> {
    let read = |text: &str| settings::read(text, Path::new(""), super::read).keys;
    let mut keys = read(&with_every_option());
    for (path, key) in OTHER_OPTIONS.into_iter().flat_map(|(_, others)| read(others)) {
        keys.entry(path).or_insert(key);
    }
    keys
}

fn value() -> Value {
    let mut root = table();
    let keys = keys();
    let texts = texts(&keys);
    let shown = ShownTables::new();
    // What is known only to be refused is none of a file's keys.
    for (path, key) in keys.iter().filter(|(_, key)| is_taken(key)) {
        let part = secret_part(&keys, path).or_else(|| tables::unnamed(path));
        put(&mut root, path, (key, part.as_ref().or(texts.get(path)), &shown));
    }
    let kinds: Vec<Value> = KINDS.iter().map(|kind| json!({ "required": [kind.name] })).collect();
    if let Some(handler) = root.pointer_mut("/properties/handler/additionalProperties") {
        extend(handler, "oneOf", Value::Array(kinds));
    }
    let handshake = "/properties/source/additionalProperties/properties/handshake";
    if let Some(handshake) = root.pointer_mut(handshake) {
        let one = std::mem::take(handshake);
        *handshake = json!({ "anyOf": [one, { "type": "array", "items": one }] });
        for name in ["description", "examples", "default"] {
            if let Some(said) = one.get(name) {
                extend(handshake, name, said.clone());
            }
        }
    }
    extend(&mut root, "$schema", json!("https://json-schema.org/draft/2020-12/schema"));
    extend(&mut root, "title", json!("Gatepost's configuration"));
    root
}

/// Whether there is any value that the key may have: of a table that is refused nothing is known.
pub(super) fn is_taken(key: &Key) -> bool {
    let is_known = key.schema.as_object().is_some_and(|schema| !schema.is_empty());
    is_known || *key.expected != *"a table"
}

fn table() -> Value {
    json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

/// Puts the schema of one key to its place. Keys come sorted, so a table comes before its keys.
fn put(root: &mut Value, path: &str, of: (&Key, Option<&KeyText>, &ShownTables)) {
    let mut steps = path.split('.').peekable();
    let mut at = root;
    while let Some(step) = steps.next() {
        let Some(next) = enter(at, step) else { return };
        at = next;
        if steps.peek().is_none() {
            fill(at, path, of);
        }
    }
}

/// The schema of `step` within the schema of a table.
fn enter<'a>(table: &'a mut Value, step: &str) -> Option<&'a mut Value> {
    // The keys of a list's items are told by the list itself.
    let name = step.strip_suffix("[]").unwrap_or(step);
    table.get("properties")?;
    let table = table.as_object_mut()?;
    if name == "NAME" {
        let names = table.get_mut("additionalProperties")?;
        if !names.is_object() {
            *names = json!({});
        }
        return Some(names);
    }
    let properties = table.get_mut("properties")?.as_object_mut()?;
    Some(properties.entry(name).or_insert_with(|| json!({})))
}

fn fill(at: &mut Value, path: &str, (key, text, shown): (&Key, Option<&KeyText>, &ShownTables)) {
    let is_table = key
        .schema
        .as_object()
        .is_some_and(|schema| schema.get("type") == Some(&json!("object")) && schema.len() == 1);
    let schema = if is_table { table() } else { key.schema.clone() };
    let mut schema: Map<String, Value> = schema.as_object().cloned().unwrap_or_default();
    schema.values_mut().for_each(secret_parts::describe);
    let said = text.map(|text| text.text.as_str()).filter(|text| !text.is_empty());
    let absent = text.map_or(&Absent::Shown, |text| &text.absent);
    let said = absent::described(path, said.unwrap_or(&key.expected), absent);
    schema.insert("description".to_owned(), json!(said));
    let default = text.filter(|_| !is_table).and_then(|text| absent::default_of(&key.schema, text));
    schema.extend(default.map(|default| ("default".to_owned(), default)));
    let example = text.and_then(|text| text.example.as_ref()).map(|example| example.json.clone());
    let is_open = schema.get("additionalProperties") == Some(&json!(true));
    let example = match example.or_else(|| is_table.then(|| shown.get(path)).flatten()) {
        // A table whose names are its owner's.
        None if is_open => Some(json!({ "X-Name": "value" })),
        example => example,
    };
    schema.extend(example.map(|example| ("examples".to_owned(), json!([example]))));
    *at = Value::Object(schema);
}

fn extend(at: &mut Value, name: &str, value: Value) {
    if let Some(at) = at.as_object_mut() {
        at.insert(name.to_owned(), value);
    }
}
