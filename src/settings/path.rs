//! Keys as TOML writes them.

pub(super) fn join(path: &str, key: &str) -> String {
    let key = show_key(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A key as TOML writes it: bare where that is allowed.
pub(super) fn show_key(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(is_bare) {
        key.to_owned()
    } else {
        format!("\"{}\"", key.escape_debug())
    }
}
