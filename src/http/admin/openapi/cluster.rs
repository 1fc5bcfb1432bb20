//! What the API says of the cluster, field by field.

use super::schemas::Field;

/// As [`super::schemas::SCHEMAS`].
pub(super) const SCHEMAS: &[(&str, &[Field])] = &[
    ("ClusterAnswer", &[("cluster", "Cluster?")]),
    (
        "Cluster",
        &[
            ("node", "string"),
            ("backend", "string"),
            ("ack", "string"),
            ("engine", "Engine"),
            ("applied", "integer"),
            ("head", "integer?"),
            ("spilled", "integer"),
            ("oldest_spilled_at", "time?"),
            ("void_settlements", "integer"),
            ("nodes", "[Node]"),
            ("handlers", "[Owner]"),
        ],
    ),
    (
        "Engine",
        &[("up", "boolean"), ("since", "time"), ("error", "string?"), ("durability", "string?")],
    ),
    (
        "Node",
        &[
            ("name", "string"),
            ("applied", "integer"),
            ("seen_ms_ago", "integer?"),
            ("alive", "boolean"),
        ],
    ),
    ("Owner", &[("handler", "string"), ("owner", "string?"), ("epoch", "integer")]),
];
