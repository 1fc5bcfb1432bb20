//! The items of requests that carry several events, each signed by itself.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

/// An object of which the values keep their text. Of a repeated key the last counts, as for every
/// reader of the stored event.
type Object<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// The items of the list at a dotted path, in their own text.
pub(super) fn items<'a>(body: &'a [u8], path: &str) -> Option<Vec<&'a RawValue>> {
    let mut value: &RawValue = serde_json::from_slice(body).ok()?;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        value = serde_json::from_str::<Object<'a>>(value.get()).ok()?.remove(part)?;
    }
    serde_json::from_str(value.get()).ok()
}
