//! What is missing, and values as filters take them.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::escape::plain;
use crate::body::number;

/// Undefined or `null`.
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

/// What can be calculated with or put into a text; what is missing as the empty one.
pub(super) fn calculable_or_empty(value: &Value) -> Value {
    if is_missing(value) { Value::from("") } else { number::plain(value.clone()) }
}

/// The fuel for going once through so many bytes.
pub(super) fn cost(n_bytes: usize) -> u64 {
    u64::try_from(n_bytes / 64).unwrap_or(u64::MAX)
}
