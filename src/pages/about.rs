//! What an event is about, in a line.

use serde_json::Value;

use super::words;
use crate::api::ROW_BODY_MAX;
use crate::deliver::OWN_SOURCE;
use crate::event::Event;

/// Names of fields that mostly say it, the best first.
const FIELDS: &[&str] = &[
    "title",
    "subject",
    "header",
    "summary",
    "name",
    "full_name",
    "text",
    "body",
    "message",
    "email",
];
/// What Gatepost's own events are about, and what is the matter with it.
const OWN_FIELDS: [&[&str]; 2] = [&["handler", "source", "domain", "path"], &["reason", "error"]];
/// The longest one.
const CHARS_MAX: usize = 90;

/// What an event is about; empty where that is unknown.
pub(super) fn about(event: &Event) -> String {
    // A longer one costs more than that is worth, and was left out of the list.
    if event.body.len() > ROW_BODY_MAX {
        return String::new();
    }
    let Ok(Some(json)) = event.json() else { return String::new() };
    let Ok(value) = serde_json::from_str::<Value>(&json) else { return String::new() };
    let text = if event.source.as_str() == OWN_SOURCE { of_own(&value) } else { best(&value) };
    words::shown(text.trim(), CHARS_MAX)
}

/// `mail: answered 503`
fn of_own(value: &Value) -> String {
    let found = OWN_FIELDS
        .iter()
        .filter_map(|names| names.iter().find_map(|name| value.get(*name).and_then(Value::as_str)));
    found.collect::<Vec<_>>().join(": ")
}

/// The text of the best field, from the top down, so that a comment's text counts for more than its
/// author's.
fn best(value: &Value) -> String {
    let mut best: Option<(usize, &str)> = None;
    let mut level = vec![value];
    for _ in 0..4 {
        let mut below = Vec::new();
        for value in level {
            let Value::Object(fields) = value else { continue };
            for (name, value) in fields.iter().take(64) {
                let rank = FIELDS.iter().position(|known| known == name);
                let text = value.as_str().filter(|text| !text.trim().is_empty());
                if let (Some(rank), Some(text)) = (rank, text)
                    && best.is_none_or(|(known, _)| rank < known)
                {
                    best = Some((rank, text));
                }
                below.push(value);
            }
        }
        level = below;
    }
    best.map(|(_, text)| text.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_field_from_the_top_down_says_it() {
        for (json, expected) in [
            (r#"{"data":{"header":"Dark mode","author":{"name":"Ann"}}}"#, "Dark mode"),
            (r#"{"data":{"comment":{"body":"Hi","page":{"title":"Hours"}}}}"#, "Hours"),
            (r#"{"data":{"id":5}}"#, ""),
            ("[1]", ""),
        ] {
            assert_eq!(best(&serde_json::from_str(json).unwrap()), expected, "{json}");
        }
    }

    #[test]
    fn own_events_name_the_handler_and_what_is_the_matter() {
        let value = serde_json::json!({ "handler": "mail", "reason": "answered 422", "id": "x" });
        assert_eq!(of_own(&value), "mail: answered 422");
        assert_eq!(of_own(&serde_json::json!({ "free_bytes": 5 })), "");
    }
}
