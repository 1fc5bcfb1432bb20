//! The kinds of values, in the words of the tables, as schemas.

use serde_json::{Value, json};

pub(super) fn schema(kind: &str) -> Value {
    if kind.contains('|') {
        return json!({ "anyOf": kind.split('|').map(schema).collect::<Vec<_>>() });
    }
    if let Some(kind) = kind.strip_suffix('?') {
        return match kind {
            "any" => json!({}),
            // Left out it is `false`; null is refused.
            "boolean" => schema(kind),
            kind => json!({ "anyOf": [schema(kind), { "type": "null" }] }),
        };
    }
    if let Some(kind) = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
        return json!({ "type": "array", "items": schema(kind) });
    }
    match kind {
        "any" => json!({}),
        // As people write it; what is none is refused.
        "moment" => json!({
            "type": "string",
            "description": "RFC 3339 (`2026-01-31T15:04:05Z`), a day (`2026-01-31`), or how long ago (`1h`).",
            "examples": ["2026-01-31T15:04:05Z", "2026-01-31", "1h"],
        }),
        "time" => json!({ "type": "string", "format": "date-time" }),
        "id" => json!({ "type": "string", "format": "uuid" }),
        "integer" => json!({ "type": "integer", "minimum": 0 }),
        // How many at most: none at all is refused.
        "count" => json!({ "type": "integer", "minimum": 1 }),
        "string" | "boolean" => json!({ "type": kind }),
        name => reference(name),
    }
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
