//! What holds where a key is left out: as a value where it is one, else in words.

use serde_json::{Value, json};

use crate::config::reference::{Absent, KeyText};
use crate::handler::KINDS;

/// The value of a key that is left out; `None` = there is none, or it depends on others.
pub(super) fn default_of(schema: &Value, text: &KeyText) -> Option<Value> {
    match &text.absent {
        Absent::Shown => text.example.as_ref().map(|example| example.json.clone()),
        Absent::Said(said) => said_value(schema, said.trim_matches('"'), &text.text),
        Absent::Required => None,
    }
}

/// A word that is one of the values that the key takes.
fn said_value(schema: &Value, word: &str, text: &str) -> Option<Value> {
    let names = schema.get("enum").and_then(Value::as_array);
    if names.is_some_and(|names| names.iter().any(|name| name == word)) {
        return Some(json!(word));
    }
    match (schema.get("type").and_then(Value::as_str)?, word) {
        ("boolean", "yes") => Some(json!(true)),
        ("boolean", "no") => Some(json!(false)),
        ("integer", number) => number.parse::<u64>().ok().map(|number| json!(number)),
        ("array", "none") => Some(json!([])),
        // A duration, or a word that the text quotes as a value.
        ("string", word) => {
            let is_number = word.starts_with(|c: char| c.is_ascii_digit()) && !word.contains(' ');
            let is_quoted = text.contains(&format!("\"{word}\""));
            (is_number || is_quoted).then(|| json!(word))
        }
        _ => None,
    }
}

/// The description of the key `path`, which says what holds where it is left out.
pub(super) fn described(path: &str, said: &str, absent: &Absent) -> String {
    let tells = |words: &str| said.to_ascii_lowercase().contains(words);
    if tells("left out") || tells("required") {
        return said.to_owned();
    }
    let of_table = match path.split('.').collect::<Vec<_>>().as_slice() {
        ["handler", "NAME", kind] if KINDS.iter().any(|one| one.name == *kind) => {
            "it is of another kind"
        }
        ["handler", "NAME", "chat", _service] => "another service",
        [.., "NAME"] => return said.to_owned(),
        _ => "its keys have their defaults",
    };
    match absent {
        Absent::Required => format!("{said} Required."),
        Absent::Said(_) => said.to_owned(),
        Absent::Shown => format!("{said} Left out: {of_table}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_values_are_defaults_and_others_are_not() {
        let text = "A day (\"daily\"), or \"never\".";
        for (schema, word, default) in [
            (json!({ "type": "boolean" }), "yes", json!(true)),
            (json!({ "type": "boolean" }), "no", json!(false)),
            (json!({ "type": "integer" }), "200", json!(200)),
            (json!({ "type": "string" }), "5m", json!("5m")),
            (json!({ "type": "string" }), "never", json!("never")),
            (json!({ "enum": ["hex", "base64"] }), "hex", json!("hex")),
            (json!({ "type": "array" }), "none", json!([])),
            (json!({ "type": "boolean" }), "yes, unless {{ }} chooses the host", Value::Null),
            (json!({ "type": "integer" }), "all of them", Value::Null),
            (json!({ "type": "string" }), "it is elsewhere", Value::Null),
            (json!({ "type": "string" }), "80 beside each address", Value::Null),
            (json!({ "enum": ["hex"] }), "hex (of a token: as it is)", Value::Null),
            (json!({}), "5m", Value::Null),
        ] {
            assert_eq!(said_value(&schema, word, text).unwrap_or_default(), default, "{word}");
        }
    }
}
