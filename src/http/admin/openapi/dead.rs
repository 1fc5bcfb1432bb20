//! What answers on dead letters hold.

use super::schemas::Field;

/// As [`super::schemas::SCHEMAS`].
pub(super) const SCHEMAS: &[(&str, &[Field])] = &[
    (
        "DeadLetter",
        &[
            ("handler", "string"),
            ("id", "id"),
            ("position", "integer"),
            ("source", "string"),
            ("type", "string"),
            ("received_at", "time"),
            ("attempts", "integer"),
            ("died_at", "time"),
            ("reason", "string"),
        ],
    ),
    (
        "DeadGroups",
        &[("groups", "[DeadGroup]"), ("looked_at", "integer"), ("is_complete", "boolean")],
    ),
    (
        "DeadGroup",
        &[
            ("handler", "string"),
            ("reason", "string"),
            ("key", "string"),
            ("count", "integer"),
            ("within", "[integer]"),
            ("first_at", "time"),
            ("last_at", "time"),
            ("example", "integer"),
            ("example_reason", "string"),
        ],
    ),
];
