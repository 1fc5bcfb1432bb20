//! The items of a believed request's list, each of which becomes an event.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::body::{in_utf8, is_json_lines, starts_like_json, unpacked};
use crate::event::{EventType, Headers};

use super::field_ref::{FieldRef, query};
use super::fields::Fields;
use super::identity::Identity;
use super::request::Inbound;
use super::scheme::{Accepted, Scheme};
use super::settings::{SigningProfile, SourceSettings};
use super::split::{Split, is_list, items_of, list_of};

/// The items of a request's list.
#[derive(Clone, Debug)]
pub(super) struct ItemList {
    /// Headers and body, where the body came packed.
    pub(super) unpacked: Option<(Headers, Bytes)>,
    pub(super) items: Vec<Item>,
}

#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Where it is in the body.
    pub(super) bytes: Range<usize>,
    pub(super) event_type: EventType,
    pub(super) identity: Identity,
    pub(super) is_json: bool,
}

impl ItemList {
    /// The items that become events; `None` = the request is one event.
    pub(super) fn find(
        settings: &SourceSettings,
        request: &Inbound<'_>,
        scheme: &Scheme,
        accepted: &Accepted,
    ) -> Option<Self> {
        if settings.split == Split::Off {
            return None;
        }
        let unpacked = at_path(settings.list_path(), request, unpack(request)?)?;
        let (headers, body) = match &unpacked {
            Some((headers, body)) => (headers, &**body),
            None => (request.headers, request.body),
        };
        let n_each = headers.encoded().len() + query(request).len().min(Headers::QUERY_BYTES_MAX);
        let items = items_of(body, are_lines(request.headers), n_each)?;
        let items = items.into_iter().enumerate().filter_map(|(index, bytes)| {
            let item = Inbound { headers, body: body.get(bytes.clone())?, ..*request };
            Some(Item::new(&settings.profile, &item, bytes, index, scheme, accepted))
        });
        let items = items.collect();
        Some(Self { unpacked, items })
    }
}

impl Item {
    fn new(
        profile: &SigningProfile,
        item: &Inbound<'_>,
        bytes: Range<usize>,
        index: usize,
        scheme: &Scheme,
        accepted: &Accepted,
    ) -> Self {
        let types = profile.event_type.places();
        let ids = scheme.id.iter().chain(&profile.delivery_id);
        let places = types.iter().chain(ids.clone()).chain(&profile.stamps);
        let fields = Fields::find(item, places);
        let is_in_body = |place: &&FieldRef| matches!(place, FieldRef::Json(_) | FieldRef::Form(_));
        let of_scheme = scheme.id.as_ref().filter(is_in_body);
        let of_scheme = of_scheme.and_then(|place| fields.text(place));
        let is_own = of_scheme.is_some()
            || accepted.id.is_none()
                && ids
                    .clone()
                    .find(|place| fields.text(place).is_some())
                    .is_some_and(|place| is_in_body(&place));
        let id = of_scheme.or_else(|| accepted.id.clone());
        let identity = profile.identify(&fields, item, scheme, id);
        let identity = if is_own { identity } else { identity.of_item(index) };
        let event_type = profile.type_in(item, &fields);
        Self { bytes, event_type, identity, is_json: fields.is_json() }
    }
}

/// The list at `path` in the place of the body; `None` = there is none.
#[expect(
    clippy::option_option,
    reason = "no list, the body as it came, and another are three things"
)]
fn at_path(
    path: &str,
    request: &Inbound<'_>,
    unpacked: Option<(Headers, Bytes)>,
) -> Option<Option<(Headers, Bytes)>> {
    let (headers, body) = match &unpacked {
        Some((headers, body)) => (headers, &**body),
        None => (request.headers, request.body),
    };
    let list = list_of(path, headers.get("content-type"), body)?;
    if list.len() == body.len() {
        return Some(unpacked);
    }
    let json = |(name, value)| match name {
        "content-type" => (name, b"application/json".as_slice()),
        _ => (name, value),
    };
    Some(Some((headers.iter().map(json).collect(), Bytes::from(list.into_owned()))))
}

fn are_lines(headers: &Headers) -> bool {
    let content_type = headers.get("content-type").unwrap_or_default();
    is_json_lines(&String::from_utf8_lossy(content_type))
}

/// Headers and body as they were before the body was packed, where it was; `None` = it cannot be
/// unpacked. What is in UTF-16 has no items until it is in UTF-8, and of lines each is JSON by itself.
#[expect(clippy::option_option, reason = "unreadable, as it came, and unpacked are three things")]
fn unpack(request: &Inbound<'_>) -> Option<Option<(Headers, Bytes)>> {
    let encoding = request.headers.get("content-encoding");
    let body = unpacked(encoding, request.body).ok()?;
    let body = if starts_like_json(&body) && body.get(1) != Some(&0) {
        body
    } else {
        let content_type = request.headers.get("content-type");
        match in_utf8(content_type, Some(b"identity"), &body).ok()? {
            Cow::Owned(text) => Cow::Owned(text),
            Cow::Borrowed(_) => body,
        }
    };
    let are_lines = are_lines(request.headers);
    match body {
        Cow::Borrowed(_) if encoding.is_none() && !are_lines => Some(None),
        body => {
            let others = request.headers.iter().filter(|(name, _)| *name != "content-encoding");
            let others = others.map(|(name, value)| match name {
                "content-type" if are_lines => (name, b"application/json".as_slice()),
                _ => (name, value),
            });
            Some(Some((others.collect(), Bytes::from(body.into_owned()))))
        }
    }
}

impl SourceSettings {
    /// Where the list is that is split, as a dotted path; empty = the body is the list.
    pub(super) fn list_path(&self) -> &str {
        let each = || self.profile.schemes.iter().find_map(|scheme| scheme.each.as_deref());
        self.split_at.as_deref().or_else(each).unwrap_or_default()
    }

    /// Whether such a request has a list that is to be split.
    pub(super) fn has_list(&self, request: &Inbound<'_>) -> bool {
        let content_type = request.headers.get("content-type");
        let list = || list_of(self.list_path(), content_type, request.body);
        self.split != Split::Off && list().is_some_and(|list| is_list(&list))
    }

    /// The first item of a list that is to be split, and any other body as it is.
    pub(super) fn first_item(&self, body: Vec<u8>) -> Vec<u8> {
        let first = || {
            let list = list_of(self.list_path(), None, &body)?;
            let items = items_of(&list, false, 0)?;
            list.get(items.first()?.clone()).map(<[u8]>::to_vec)
        };
        let first = if self.split == Split::Off { None } else { first() };
        first.unwrap_or(body)
    }
}
