//! What is asked of the action log, and what is in it.

use super::schemas::Field;

pub(super) const SCHEMAS: &[(&str, &[Field])] = &[
    (
        "ActionsAsk",
        &[
            ("actor", "string?"),
            ("action", "string?"),
            ("target", "string?"),
            ("since", "moment?"),
            ("until", "moment?"),
            ("before", "integer?"),
            ("limit", "count?"),
        ],
    ),
    (
        "Action",
        &[
            ("number", "integer"),
            ("node", "string?"),
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
            ("made", "id?"),
            ("handler", "string?"),
            ("source", "string?"),
            ("rejected", "integer?"),
            ("rollout", "integer?"),
            ("list", "ActionList?"),
        ],
    ),
    ("EditAsk", &[("body", "string?"), ("body_base64", "string?"), ("dry_run", "boolean?")]),
    (
        "Edited",
        &[
            ("id", "id?"),
            ("parent", "id"),
            ("source", "string"),
            ("type", "string"),
            ("body_bytes", "integer"),
            ("handlers", "[string]"),
            ("no_longer_json", "string?"),
        ],
    ),
    ("Edit", &[("id", "id"), ("at", "time"), ("actor", "string")]),
    ("ActionList", &[("name", "string"), ("filter", "any")]),
];
