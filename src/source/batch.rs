//! Requests that carry several events, each signed by itself: all of them must be good.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::clock::Timestamp;

use super::keys::Key;
use super::scheme::{Accepted, Scheme};
use super::{Inbound, Rejection};

/// An object of which the values keep their text. Of a repeated key the last counts, as for every
/// reader of the stored event.
type Object<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// Judges every item of the list at `path` as if it were the body. The first one that is not good
/// decides, so that a stranger pays for one.
pub(super) fn verify(
    scheme: &Scheme,
    path: &str,
    keys: &[Option<Key>],
    request: &Inbound<'_>,
    now: Timestamp,
) -> Result<Accepted, Rejection> {
    let items = items(request.body, path).ok_or(Rejection::Missing)?;
    let mut accepted = Err(Rejection::Missing);
    for item in items {
        let item = Inbound { body: item.get().as_bytes(), ..*request };
        accepted = Ok(scheme.verify_one(keys, &item, now)?);
    }
    // An id of one item is none of the request.
    accepted.map(|accepted| Accepted { id: None, ..accepted })
}

/// The items of the list at a dotted path, in their own text.
fn items<'a>(body: &'a [u8], path: &str) -> Option<Vec<&'a RawValue>> {
    let mut value: &RawValue = serde_json::from_slice(body).ok()?;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        value = serde_json::from_str::<Object<'a>>(value.get()).ok()?.remove(part)?;
    }
    serde_json::from_str(value.get()).ok()
}
