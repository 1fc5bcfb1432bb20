//! What the API says of the cluster, field by field.

use super::schemas::Field;

/// As [`super::schemas::SCHEMAS`].
pub(super) const SCHEMAS: &[(&str, &[Field])] = &[
    ("ClusterAnswer", &[("cluster", "Cluster?"), ("reports", "[NodeReportView]")]),
    ("NodeReportView", &[("node", "string"), ("at", "time"), ("report", "NodeReport")]),
    (
        "NodeReport",
        &[
            ("handlers", "[ReportedHandler]"),
            ("n_rejected", "integer"),
            ("rejected", "[ReportedRejected]"),
            ("refused", "[ReportedRefused]"),
            ("n_refused", "integer"),
        ],
    ),
    (
        "ReportedHandler",
        &[
            ("name", "string"),
            ("state", "string?"),
            ("reason", "string?"),
            ("in_flight", "integer"),
            ("failing_since", "time?"),
            ("failures", "integer"),
            ("given_up_since", "time?"),
            ("given_up_in_a_row", "integer"),
            ("probe_at", "time?"),
            ("last_error", "any?"),
            ("last_success_at", "time?"),
        ],
    ),
    (
        "ReportedRejected",
        &[
            ("number", "integer"),
            ("received_at", "time"),
            ("source", "string"),
            ("client", "string?"),
            ("what", "string"),
            ("reason", "string"),
        ],
    ),
    (
        "ReportedRefused",
        &[
            ("status", "integer?"),
            ("path", "string?"),
            ("reason", "string"),
            ("count", "integer"),
            ("last_at", "time"),
        ],
    ),
    ("ReportedBy", &[("node", "string"), ("at", "time")]),
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
