//! Keys that have had another name: a configuration that still has it is told the new one.

/// The path of an old key, as a reader asks for it, and the key that is there now.
pub const RENAMED: &[(&str, &str)] = &[
    ("server.unverified_limit", "failed_verification_limit"),
    ("handler.NAME.on_dead", "on_dead_letter"),
    ("handler.NAME.breaker.probe_every", "probe_interval"),
    ("handler.NAME.file.keep", "max_files"),
    ("handler.NAME.sql.version", "newer_by"),
    ("handler.NAME.sql.ledger_keep", "ledger_retention"),
    ("handler.NAME.http.refuse", "deny"),
    ("handler.NAME.chat.refuse", "deny"),
    ("handler.NAME.chat.pace", "min_interval"),
    ("handler.NAME.command.folder", "cwd"),
];

/// What the key at `pattern` is called now; `None` where it has always been called so.
pub(super) fn new_name(pattern: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == pattern).map(|(_, new)| *new)
}
