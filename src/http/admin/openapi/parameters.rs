//! What each parameter of a query says, and what it may be.

use serde_json::{Map, Value, json};

use super::super::lists::{DEAD_LIMIT, LOOKED_AT, NEXT};
use super::super::stream::LAST_EVENT_ID;
use super::kinds::schema;
use super::schemas::Field;
use crate::api::Actor;

/// As names of sources and handlers are checked.
const NAME: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";

/// The parameters that stand in a body only, or mean nothing at a path.
const LEFT_OUT: &[(&str, &str)] =
    &[("/stream", "before"), ("/stream", "limit"), ("/dead", "all"), ("/dead", "dry_run")];

/// What they say, by the question or for any.
const WORDS: &[(&str, &str, &str)] = &[
    ("EventsAsk", "contains", "Only events whose body has this text in it, as people read it."),
    (
        "EventsAsk",
        "field",
        "Only events with this value at a path into their body: `customer=cus_9`, `data.comment.id=5`.",
    ),
    (
        "EventsAsk",
        "q",
        "Words, at most 8, each of which must fit: a text, in small or large letters; a field of the body and its value, at its top (`customer:cus_9`, found as a text too) or at a path (`data.comment.id:5`, `$.data.items[0].id:5`, `$.type:x`); `source:`, `-source:`, `type:`, `handler:`, `has:dead`, `has:unasked` (no handler's `on` names it), `since:`, `before:`. In quotation marks it is a text: `\"a:b c\"`.",
    ),
    (
        "EventsAsk",
        "handler",
        "Only events that this handler was or will be given; with `state` in that state.",
    ),
    ("EventsAsk", "state", "Only events with a delivery in this state; `waiting` is `retry`."),
    ("EventsAsk", "before", "Only positions before this one, newest first. Not with `after`."),
    ("EventsAsk", "after", "Only positions after this one, oldest first. Not with `before`."),
    ("EventsAsk", "limit", "At most this many, and 1,000; 50 where it is left out."),
    ("PlanAsk", "handler", "The handler; it must be named."),
    ("DeadAsk", "id", "Only those of this event."),
    ("DeadAsk", "reason", "Only those whose reason has this text in it."),
    (
        "DeadAsk",
        "since",
        "Only those that died from this moment on: RFC 3339, a day, or how long ago (`1h`).",
    ),
    ("DeadAsk", "until", "Only those that died before this moment, said in the same way."),
    ("DeadAsk", "after", "Goes on behind a page: what its `gatepost-next` said."),
    (
        "DeadAsk",
        "limit",
        "At most this many, and 100,000; of groups, so many dead letters are looked at.",
    ),
    ("DeadAsk", "like", "Only those of this group: its `key`, or its `reason`."),
    ("DeadAsk", "group", "`reason`: groups in place of single dead letters."),
    ("RejectedAsk", "reason", "Only those that were turned down for exactly this reason."),
    ("RejectedAsk", "before", "Only numbers before this one."),
    ("RejectedAsk", "limit", "At most this many; 50 where it is left out."),
    ("ActionsAsk", "actor", "Only what was changed from there."),
    ("ActionsAsk", "action", "Only what is called so: `redrive`, `pause`, `reload`, …"),
    ("ActionsAsk", "target", "Only those with this text in what they were for."),
    ("ActionsAsk", "before", "Only what comes behind the one with this number, newest first."),
    ("ActionsAsk", "limit", "At most this many; 50 where it is left out."),
    ("ExportAsk", "after", "Only positions after this one."),
    ("ExportAsk", "limit", "At most this many, and 1,000; 50 where it is left out."),
    ("", "source", "Only this source."),
    ("", "handler", "Only this handler."),
    ("", "type", "Only types that fit, where `*` stands for any characters."),
    ("", "since", "Only from this moment on: RFC 3339, a day, or how long ago (`1h`)."),
    ("", "until", "Only before this moment, said in the same way."),
];

/// The parameters of a question that is asked at `path`.
pub(super) fn parameters(path: &str, ask: &str, fields: &[Field]) -> Vec<Value> {
    let fields = fields.iter().filter(|(name, _)| !LEFT_OUT.contains(&(path, name)));
    let described = fields.map(|(name, kind)| {
        json!({
            "name": name,
            "in": "query",
            "required": (ask, *name) == ("PlanAsk", "handler"),
            "description": words(ask, name),
            "schema": bounded(ask, name, schema(kind.trim_end_matches('?'))),
        })
    });
    described.collect()
}

fn words(ask: &str, name: &str) -> &'static str {
    let of = |of: &str| WORDS.iter().find(|(known, field, _)| *known == of && *field == name);
    of(ask).or_else(|| of("")).map_or("", |(_, _, words)| words)
}

/// The schema with what the server refuses or takes for less.
fn bounded(ask: &str, name: &str, plain: Value) -> Value {
    // More than there can be in one answer is no mistake: it is taken for that. None at all is refused.
    let limit = |unsaid: usize| json!({ "type": "integer", "minimum": 1, "default": unsaid });
    match (ask, name) {
        ("EventsAsk" | "ExportAsk" | "RejectedAsk" | "ActionsAsk", "limit") => limit(50),
        ("DeadAsk", "limit") => limit(DEAD_LIMIT),
        ("ActionsAsk", "actor") => json!({ "enum": Actor::ALL.map(Actor::name) }),
        ("RejectedAsk", "source") => plain,
        (_, "source" | "handler") => json!({ "type": "string", "pattern": NAME }),
        (_, "group") => json!({ "enum": ["reason"] }),
        (_, "state") => json!({
            "enum": ["pending", "delivered", "skipped", "retry", "waiting", "held", "dead"]
        }),
        (_, _) => plain,
    }
}

/// What a viewer of the stream says who comes again.
pub(super) fn last_event_id() -> Value {
    json!({
        "name": LAST_EVENT_ID,
        "in": "header",
        "required": false,
        "description": "The position that was seen last: the stream goes on behind it. A browser sends it by itself when it \
                        comes again. It counts for more than `after`.",
        "schema": schema("integer"),
    })
}

/// The headers of a list that is answered page by page.
pub(super) fn headers(path: &str) -> Option<Value> {
    let next = |what: &str, kind: &str| {
        let words = format!("{what} Left out where nothing is behind this page.");
        (NEXT.to_owned(), json!({ "description": words, "schema": schema(kind) }))
    };
    let mut headers = Map::new();
    headers.extend(match path {
        "/events" => {
            vec![next("The position to go on with, as `before`, or as `after` where that was asked: the \
                 page is full, or its time (2 s) was up.", "integer"),
                (LOOKED_AT.to_owned(), json!({
                    "description": "How many positions were looked at. Only beside `gatepost-next`.",
                    "schema": schema("integer"),
                }))]
        }
        "/dead" => vec![next("What to go on with, as `after`.", "string")],
        "/rejected" | "/actions" => {
            vec![next("The number to go on with, as `before`.", "integer")]
        }
        _ => return None,
    });
    Some(headers.into())
}

#[cfg(test)]
mod tests {
    use super::super::{OPERATIONS, document};
    use super::*;
    use crate::event::SourceName;

    #[test]
    fn every_parameter_of_a_query_says_what_it_is() {
        let document = document();
        for operation in OPERATIONS.iter().filter(|one| one.method == "get") {
            let described = &document["paths"][format!("/api/v1{}", operation.path)]["get"];
            for parameter in described["parameters"].as_array().into_iter().flatten() {
                let is_in_query = parameter["in"] == "query";
                let is_said =
                    parameter["description"].as_str().is_some_and(|text| !text.is_empty());
                assert!(is_said || !is_in_query, "{}: {parameter}", operation.path);
            }
        }
        let headers = &document["paths"]["/api/v1/events"]["get"]["responses"]["200"]["headers"];
        assert!(headers[NEXT].is_object() && headers[LOOKED_AT].is_object(), "{headers}");
        let dead = &document["paths"]["/api/v1/dead"]["get"]["responses"]["200"]["headers"];
        assert!(dead[NEXT].is_object());
    }

    #[test]
    fn pattern_of_names_is_what_is_checked() {
        let pattern = regex_lite::Regex::new(NAME).unwrap();
        for name in [
            "a",
            "hyvor",
            "a-b_c9",
            "",
            "UPPER",
            "-a",
            "a.b",
            "a b",
            &"x".repeat(64),
            &"x".repeat(65),
        ] {
            assert_eq!(pattern.is_match(name), SourceName::parse(name).is_ok(), "{name}");
        }
    }
}
