//! What is asked of the action log, and what is in it.

use super::schemas::Field;

pub(super) const SCHEMAS: &[(&str, &[Field])] = &[
    (
        "ActionsAsk",
        &[
            ("actor", "string?"),
            ("action", "string?"),
            ("target", "string?"),
            ("since", "time?"),
            ("until", "time?"),
            ("before", "integer?"),
            ("limit", "integer?"),
        ],
    ),
    (
        "Action",
        &[
            ("number", "integer"),
            ("at", "time"),
            ("actor", "string"),
            ("action", "string"),
            ("target", "string"),
            ("about", "ActedOn"),
            ("result", "string"),
            ("is_done", "boolean"),
        ],
    ),
    (
        "ActedOn",
        &[
            ("event", "id?"),
            ("handler", "string?"),
            ("source", "string?"),
            ("rejected", "integer?"),
            ("rollout", "integer?"),
            ("list", "ActionList?"),
        ],
    ),
    ("ActionList", &[("name", "string"), ("filter", "any")]),
];
