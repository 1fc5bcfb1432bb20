//! What filters and operators ask of a value.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::plain;

/// Whether it is not there, or null.
pub(super) fn is_missing(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

/// The value as text; what is missing as the empty one.
pub(super) fn text(value: &Value) -> Value {
    match value.kind() {
        ValueKind::String => value.clone(),
        ValueKind::Undefined | ValueKind::None => Value::from(""),
        _ => Value::from(plain(value)),
    }
}

/// The fuel for going once through so many bytes.
pub(super) fn cost(n_bytes: usize) -> u64 {
    u64::try_from(n_bytes / 64).unwrap_or(u64::MAX)
}
