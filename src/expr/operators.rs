//! The filters that operators are rewritten to (see [`super::rewrite`]): texts, numbers, `in` and
//! slices that know what is missing.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::order::is_equal;
use super::plain;
use super::values::{calculable, cost, is_missing, is_number, paid, text};
use crate::body::number;

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("_text", |value: &Value| text(value));
    environment.add_filter("_addend", paid(number::plain));
    environment.add_filter("_number", paid(calculable));
    // All of it is looked at for what is not in it.
    environment.add_filter("_container", paid(|value| Value::from_object(Container(value))));
    environment.add_filter("_slice", slice);
}

/// Whatever can be on the right side of `in`, as a map that has what is in it. Nothing is in what
/// is missing, and what is missing is in no text.
#[derive(Debug)]
struct Container(Value);

/// Whether `wanted` is in `container`.
pub(super) fn is_in(wanted: &Value, container: Value) -> bool {
    Arc::new(Container(container)).get_value(wanted).is_some()
}

impl Object for Container {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, wanted: &Value) -> Option<Value> {
        let is_in = match self.0.kind() {
            ValueKind::String => {
                let text = self.0.as_str().unwrap_or_default();
                !is_missing(wanted) && text.contains(&plain(wanted))
            }
            ValueKind::Map => !self.0.get_item(wanted).ok()?.is_undefined(),
            _ => self.0.try_iter().ok()?.any(|item| is_equal(&item, wanted)),
        };
        is_in.then(|| Value::from(true))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("container")
    }
}

/// `value[start:end:stride]` of a text or list.
fn slice(
    state: &mut State<'_, '_>,
    value: &Value,
    start: Value,
    end: Value,
    stride: Option<Value>,
) -> Result<Value, Error> {
    let whole = |value: Value| {
        if is_missing(&value) { Ok(None) } else { i64::try_from(number::plain(value)).map(Some) }
    };
    let (start, end, stride) =
        (whole(start)?, whole(end)?, whole(stride.unwrap_or_default())?.unwrap_or(1));
    if is_missing(value) {
        return Ok(Value::UNDEFINED);
    }
    let number = is_number(value).then(|| plain(value));
    if let Some(text) = value.as_str().or(number.as_deref()) {
        state.consume_fuel(cost(text.len()))?;
        let chars: Vec<char> = text.chars().collect();
        let places = places(chars.len(), start, end, stride)?;
        let cut: String = places.filter_map(|place| chars.get(place)).collect();
        return Ok(Value::from(cut));
    }
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        let message = format!("value of type {} cannot be sliced", value.kind());
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    let items = value.try_iter()?.checked().collect::<Result<Vec<_>, _>>()?;
    state.consume_fuel(cost(items.len().saturating_mul(32)))?;
    let places = places(items.len(), start, end, stride)?;
    Ok(Value::from(places.filter_map(|place| items.get(place).cloned()).collect::<Vec<_>>()))
}

/// The places of a slice, as Python counts them.
fn places(
    len: usize,
    start: Option<i64>,
    end: Option<i64>,
    stride: i64,
) -> Result<impl Iterator<Item = usize>, Error> {
    if stride == 0 {
        return Err(Error::new(ErrorKind::InvalidOperation, "cannot slice by step size of 0"));
    }
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let (low, high) = if stride > 0 { (0, len) } else { (-1, len.saturating_sub(1)) };
    let bound = |place: Option<i64>, default: i64| match place {
        None => default,
        Some(place) if place < 0 => place.saturating_add(len).clamp(low, high),
        Some(place) => place.clamp(low, high),
    };
    let (first, last) = if stride > 0 { (low, high) } else { (high, low) };
    let (start, end) = (bound(start, first), bound(end, last));
    let is_before_end = move |place: &i64| if stride > 0 { *place < end } else { *place > end };
    let places = std::iter::successors(Some(start), move |place| place.checked_add(stride));
    Ok(places.take_while(is_before_end).filter_map(|place| usize::try_from(place).ok()))
}
