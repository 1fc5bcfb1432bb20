//! The parts of where a secret is kept, which are the same at every key that is one.

use serde_json::{Map, Value, json};

use super::absent;
use crate::config::reference::{Absent, Example, KeyText};

/// What is said of `part`: a secret is in exactly one of three places, and a file may be made.
pub(super) fn text(part: &str) -> Option<KeyText> {
    let (text, toml, json, absent) = match part {
        "file" => (
            "The file that holds the secret; one newline at its end is not part of it.",
            "\"data/secrets/name\"",
            json!("data/secrets/name"),
            "it is kept elsewhere",
        ),
        "env" => (
            "The environment variable that holds the secret.",
            "\"NAME\"",
            json!("NAME"),
            "it is kept elsewhere",
        ),
        "credential" => (
            "The systemd credential that holds the secret (`LoadCredential=`).",
            "\"name\"",
            json!("name"),
            "it is kept elsewhere",
        ),
        "create" => {
            ("Whether a missing file is made, with a random secret.", "false", json!(false), "")
        }
        _ => return None,
    };
    let is_switch = absent.is_empty();
    Some(KeyText {
        text: if is_switch { text.to_owned() } else { format!("{text} Left out: {absent}.") },
        is_table: false,
        example: Some(Example { toml: toml.to_owned(), json }),
        absent: if is_switch { Absent::Shown } else { Absent::Said(absent.to_owned()) },
    })
}

/// Describes the parts within `schema`, where a key is one secret of several forms or a list of them.
/// The schema has a handful of levels, which the readers gave it.
pub(super) fn describe(schema: &mut Value) {
    match schema {
        Value::Object(table) => {
            if let Some(properties) = table.get_mut("properties").and_then(Value::as_object_mut) {
                describe_properties(properties);
            }
            table.values_mut().for_each(describe);
        }
        Value::Array(forms) => forms.iter_mut().for_each(describe),
        _ => {}
    }
}

fn describe_properties(properties: &mut Map<String, Value>) {
    for (part, schema) in properties {
        let Some(text) = text(part) else { continue };
        let default = absent::default_of(schema, &text);
        let Some(schema) = schema.as_object_mut() else { continue };
        schema.insert("description".to_owned(), json!(text.text));
        schema.extend(default.map(|default| ("default".to_owned(), default)));
        let example = text.example.map(|example| json!([example.json]));
        schema.extend(example.map(|example| ("examples".to_owned(), example)));
    }
}
