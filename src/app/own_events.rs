//! What Gatepost's own events are made of, and a sample of each, so that handlers of them can be
//! checked and tried before anything goes wrong.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::deliver::OWN_SOURCE;
use crate::event::{Dedupe, Headers, NewEvent, SourceName};

/// The types that there are.
pub const TYPES: [&str; 17] = [
    "dead_letter",
    "handler.down",
    "handler.failed",
    "handler.back",
    "handler.orphaned",
    "source.silent",
    "source.back",
    "signature.rejected",
    "disk.low",
    "disk.back",
    "standby.lag",
    "standby.caught_up",
    "engine.down",
    "engine.back",
    "certificate.failed",
    "certificate.ending",
    "certificate.renewed",
];

/// One of Gatepost's own events.
pub(super) fn event(
    source: SourceName,
    event_type: &str,
    received_at: Timestamp,
    payload: &Value,
    dedupe: Dedupe,
) -> NewEvent {
    let mut headers = Headers::builder();
    headers.push("content-type", b"application/json");
    NewEvent {
        headers: headers.finish(),
        dedupe,
        ..NewEvent::new(source, event_type, received_at, payload.to_string())
    }
}

/// An event of this type as Gatepost could make it at `now`; `None` = it makes none.
pub fn own_sample(event_type: &str, now: Timestamp) -> Option<NewEvent> {
    let source = SourceName::parse(OWN_SOURCE).ok()?;
    Some(event(source, event_type, now, &payload(event_type, now)?, Dedupe::Off))
}

/// Whether a payload has the fields that the sample of its type has.
pub(super) fn is_like_sample(event_type: &str, found: &Value) -> bool {
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect()
    };
    payload(event_type, Timestamp::from_millis(0)).is_some_and(|one| names(&one) == names(found))
}

fn payload(event_type: &str, now: Timestamp) -> Option<Value> {
    let error = "no connection: Connection refused (os error 111)";
    Some(match event_type {
        "dead_letter" => json!({
            "handler": "mail",
            "id": "01890a5d-ac96-774b-bcce-b302099a8057",
            "source": "hyvor",
            "type": "comment.create",
            "received_at": now,
            "attempts": 1,
            "died_at": now,
            "reason": "answered 422 Unprocessable Content",
            "count": 1,
        }),
        "handler.down" => json!({
            "handler": "mail", "kind": "email", "since": now, "failures": 10, "error": error,
        }),
        "handler.failed" => json!({
            "handler": "mail", "kind": "email", "since": now, "reason": "a secret is missing",
        }),
        "handler.back" => json!({
            "handler": "mail", "kind": "email", "down_since": now, "down_seconds": 90,
        }),
        "handler.orphaned" => {
            let orphan =
                json!({ "name": "mail", "since": now, "in_log": 12, "waiting": 2, "dead": 1 });
            json!({ "handlers": [orphan], "bytes": 6_000_000_000_u64, "disk_max": 10_737_418_240_u64 })
        }
        "source.silent" => json!({
            "source": "hyvor",
            "silent_seconds": 86_401,
            "expect_every_seconds": 86_400,
            "newest_at": now,
        }),
        "source.back" => json!({ "source": "hyvor", "newest_at": now }),
        "signature.rejected" => json!({
            "source": "hyvor",
            "count": 2,
            "newest": 2,
            "reason": "the signature does not match",
        }),
        "disk.low" | "disk.back" => json!({
            "free_bytes": 400_000_000, "reserve_bytes": 268_435_456, "path": "data/queue",
            "unsettled_bytes": 20_000_000, "disk_max_bytes": 10_737_418_240_u64, "waits_for": null,
        }),
        other => return payload_of_machine(other, now),
    })
}

/// The same of what is told of this machine and of what it relies on.
fn payload_of_machine(event_type: &str, now: Timestamp) -> Option<Value> {
    Some(match event_type {
        "standby.lag" => json!({
            "standby": "two",
            "connected": false,
            "lag_seconds": 45.5,
            "lag_bytes": 4096,
            "lag_max_seconds": 30,
            "last_seen_at": now,
        }),
        "standby.caught_up" => json!({ "standby": "two", "since": now, "seconds": 90 }),
        "engine.down" => json!({
            "node": "a", "backend": "postgres", "since": now, "spilled": 412,
            "error": "the engine is not available: Connection refused (os error 111)",
        }),
        "engine.back" => json!({
            "node": "a", "backend": "postgres", "down_since": now, "down_seconds": 90, "spilled": 412,
        }),
        "certificate.failed" | "certificate.ending" | "certificate.renewed" => json!({
            "names": ["hooks.example.com"],
            "not_after": now,
            "reason": "the authority refused it",
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_own_type_has_a_sample() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        for event_type in TYPES {
            let sample = own_sample(event_type, now).unwrap();
            assert_eq!(sample.event_type.as_str(), event_type);
            let payload: Value = serde_json::from_slice(&sample.body).unwrap();
            assert!(is_like_sample(event_type, &payload));
            assert!(!is_like_sample(event_type, &json!({ "another": 1 })));
        }
        assert!(own_sample("handler.dwon", now).is_none());
    }

    #[test]
    fn each_own_type_is_named_where_the_lists_are() {
        let page = include_str!("../../docs/handlers/index.md");
        let page = page.rsplit("## Gatepost's own events").next().unwrap();
        let reference = crate::config::REFERENCE.replace("\n# ", " ");
        let all = reference.split("Gatepost's own events, gatepost:*: ").nth(1).unwrap();
        let all = all.split(". ").next().unwrap();
        let words: Vec<&str> = all.split([' ', ',', '\n', '#']).collect();
        for event_type in TYPES {
            assert!(page.contains(&format!("`{event_type}`")), "{event_type} in docs/handlers");
            let is_named = words.iter().any(|word| word.trim_end_matches('.') == event_type);
            assert!(is_named, "{event_type} in the reference: {all}");
        }
    }
}
