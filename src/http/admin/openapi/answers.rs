//! What stands within larger answers of the API, field by field.

use super::schemas::Field;

/// Answers that hold all of another one, and then fields of their own.
pub(super) const EXTENDED: &[(&str, &str)] = &[
    ("EventDetail", "Event"),
    ("HandlerDetail", "Handler"),
    ("SourceDetail", "Source"),
    ("RejectedDetail", "Rejected"),
];

/// As [`super::schemas::SCHEMAS`].
pub(super) const SCHEMAS: &[(&str, &[Field])] = &[
    (
        "Secret",
        &[
            ("index", "integer"),
            ("place", "string"),
            ("fingerprint", "string?"),
            ("last_matched_at", "time?"),
        ],
    ),
    (
        "Refused",
        &[
            ("status", "integer?"),
            ("reason", "string"),
            ("path", "string?"),
            ("source", "string?"),
            ("count", "integer"),
            ("last_at", "time"),
            ("client", "string?"),
        ],
    ),
    (
        "Proxy",
        &[
            ("peer", "string"),
            ("trusted", "boolean"),
            ("headers", "[string]"),
            ("client", "string"),
            ("claimed", "string"),
            ("count", "integer"),
            ("last_at", "time"),
            ("advice", "string"),
        ],
    ),
    ("LastError", &[("at", "time"), ("event", "id"), ("text", "string")]),
    ("SeenValue", &[("field", "string"), ("value", "string")]),
    (
        "Wants",
        &[
            ("handler", "string"),
            ("kind", "string"),
            ("answer", "string"),
            ("because", "string"),
            ("values", "[SeenValue]"),
        ],
    ),
    ("RejectedDetail", &[("headers", "[[string]]"), ("body_base64", "string")]),
    (
        "Explanation",
        &[
            ("number", "integer"),
            ("line", "string"),
            ("config_hint", "string?"),
            ("config_table", "string?"),
            ("is_good_now", "boolean"),
        ],
    ),
    ("Forgotten", &[("handler", "string"), ("forgotten", "boolean")]),
    (
        "Rates",
        &[
            ("sources", "[SourceRates]"),
            ("handlers", "[HandlerRates]"),
            ("ack", "Latency?"),
            ("levels", "Levels"),
        ],
    ),
    ("Series", &[("minutes", "[integer]"), ("hours", "[integer]")]),
    ("SourceRates", &[("source", "string"), ("accepted", "Series"), ("rejected", "Series")]),
    (
        "HandlerRates",
        &[
            ("handler", "string"),
            ("delivered", "Series"),
            ("failed", "Series"),
            ("calls", "Latency?"),
            ("calls_reported_by", "ReportedBy?"),
        ],
    ),
    (
        "Levels",
        &[
            ("waiting", "[integer]"),
            ("oldest_seconds", "[integer]"),
            ("dead", "[integer]"),
            ("ack_p99_micros", "[integer?]"),
        ],
    ),
    ("Latency", &[("count", "integer"), ("p50_micros", "integer"), ("p99_micros", "integer")]),
];

#[cfg(test)]
mod tests {
    use super::super::{OPERATIONS, all_schemas};

    /// What is left open is a part of a body, or is told to people and read by no program.
    #[test]
    fn answers_are_described_down_to_their_fields() {
        let open: Vec<String> = all_schemas()
            .filter(|(name, _)| !name.starts_with("NodeReport") && *name != "ReportedSource")
            .flat_map(|(name, own)| own.iter().map(move |(field, kind)| (name, field, kind)))
            .filter(|(_, _, kind)| kind.contains("any"))
            .map(|(name, field, _)| format!("{name}.{field}"))
            .collect();
        let expected = [
            "Rollout.stages",
            "Rollout.let_go",
            "Status.standby",
            "Attempt.output",
            "Fixture.event",
            "Plan.steps",
            "EventDetail.payload",
            "ActionList.filter",
        ];
        assert_eq!(open, expected);
        let anything = ["/export", "/standby/hello", "/openapi.json"];
        for operation in OPERATIONS.iter().filter(|one| one.answer.contains("any")) {
            assert!(anything.contains(&operation.path), "{}", operation.path);
        }
    }
}
