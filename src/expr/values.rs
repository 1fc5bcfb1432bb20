//! What is missing, and values as filters take them.

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

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

/// What can be calculated with: a text that is a number as one. Others are as they are.
pub(super) fn calculable(value: Value) -> Value {
    number::numeric(&value).unwrap_or_else(|| number::plain(value))
}

/// What can be calculated with or put into a text; what is missing as the empty one.
pub(super) fn calculable_or_empty(value: &Value) -> Value {
    if is_missing(value) { Value::from("") } else { number::plain(value.clone()) }
}

/// The fuel for looking once at all of a value, as a comparison may.
pub(super) fn weight(value: &Value) -> u64 {
    let of_text = |value: &Value| {
        let text = value.as_str().or_else(|| number::written(value));
        text.map_or(1, |text| cost(text.len()).saturating_add(1))
    };
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            // What is a list in a list counts by its length: a comparison ends at the first difference.
            let of_item =
                |item: Value| item.len().map_or_else(|| of_text(&item), |len| len as u64 + 1);
            value.try_iter().map_or(1, |items| items.map(of_item).fold(1, u64::saturating_add))
        }
        ValueKind::Map => value.len().unwrap_or_default() as u64,
        _ => of_text(value),
    }
}

/// A filter of one value, for which is paid by all that it may look at.
pub(super) fn paid(
    filter: impl Fn(Value) -> Value + Send + Sync + 'static,
) -> impl Fn(&mut State<'_, '_>, Value) -> Result<Value, Error> + Send + Sync + 'static {
    move |state, value| {
        state.consume_fuel(weight(&value))?;
        Ok(filter(value))
    }
}

/// Whether it is a number, also as it is written in the body.
pub(super) fn is_number(value: &Value) -> bool {
    value.is_number() || number::written(value).is_some()
}

/// The fuel for going once through so many bytes.
pub(super) fn cost(n_bytes: usize) -> u64 {
    u64::try_from(n_bytes / 64).unwrap_or(u64::MAX)
}
