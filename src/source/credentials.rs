//! Passwords that requests carry: where they stand, and how they are kept out of what is shown.
//!
//! A token and HTTP Basic sign nothing: a reader of one can send as its sender. So what stands in a
//! header is not stored with an event, and what stands in a query or a body is taken out of every
//! view. The body itself stays what it is: handlers get it, and `events show --raw` writes it for the owner.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::body::{self, form_fields, pairs};
use crate::event::{Headers, SourceName};
use crate::secret::HIDDEN;

use super::field_ref::FieldRef;
use super::settings::SourceSettings;
use super::split::Split;

mod json;

use json::JsonPath;

/// Headers that hold passwords, whatever a source makes of them. They are shown of no request.
const ALWAYS_HIDDEN: [&str; 6] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
    "x-gitlab-token",
    "x-telegram-bot-api-secret-token",
];

/// The credentials of each source.
pub type SourceCredentials = BTreeMap<SourceName, Credentials>;

/// Where requests to a source carry passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    places: Vec<FieldRef>,
    /// Those in JSON bodies.
    paths: Vec<JsonPath>,
}

impl SourceSettings {
    /// Where requests to this source carry passwords.
    pub fn credentials(&self) -> Credentials {
        let mut credentials = Credentials::default();
        for scheme in self.profile.schemes.iter().filter(|scheme| scheme.sends_password()) {
            for place in &scheme.signature.places {
                credentials.add(place, scheme.each.as_deref(), self.split_path());
            }
        }
        for place in self.profile.handshakes.iter().filter_map(|one| one.token.as_ref()) {
            credentials.add(place, None, None);
        }
        credentials
    }

    /// Where the list is whose items become events, if they do.
    fn split_path(&self) -> Option<&str> {
        (self.split != Split::Off).then(|| self.list_path())
    }
}

impl Credentials {
    /// Whether the query's parameter `name` is a password.
    pub(super) fn are_in_query(&self, name: &[u8]) -> bool {
        self.places.iter().any(|place| place.is_query(name))
    }

    /// `each` is the list of which every item holds it, `split` the one whose items become events.
    fn add(&mut self, place: &FieldRef, each: Option<&str>, split: Option<&str>) {
        self.places.push(place.clone());
        if let FieldRef::Json(path) = place {
            self.paths.extend(JsonPath::all_of(path, each, split));
        }
    }

    /// The headers as they are stored with an event.
    pub(super) fn strip(&self, headers: Headers) -> Headers {
        let is_hidden = |name: &str| self.is_in_header(name);
        if headers.iter().any(|(name, _)| is_hidden(name)) {
            masked_headers(&headers, is_hidden)
        } else {
            headers
        }
    }

    pub(super) fn is_in_header(&self, name: &str) -> bool {
        self.places.iter().any(|place| matches!(place, FieldRef::Header(known) if known == name))
    }

    /// The headers as they are shown.
    pub fn mask_headers(&self, headers: &Headers) -> Headers {
        masked_headers(headers, |name| ALWAYS_HIDDEN.contains(&name) || self.is_in_header(name))
    }

    /// The path and the query as they are shown.
    pub fn mask_path(&self, path_and_query: &str) -> String {
        let Some((path, query)) = path_and_query.split_once('?') else {
            return path_and_query.to_owned();
        };
        format!("{path}?{}", self.mask_query(query))
    }

    /// The query as it is shown.
    pub fn mask_query(&self, query: &str) -> String {
        let masked =
            masked_form(query.as_bytes(), |name, _| self.are_in_query(name).then(|| HIDDEN.into()));
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// The body as it is shown. Where a password cannot be told from the rest, nothing of it is.
    pub fn mask_body<'b>(&self, headers: &Headers, body: &'b [u8]) -> Cow<'b, [u8]> {
        let is_in_body = |place: &FieldRef| matches!(place, FieldRef::Json(_) | FieldRef::Form(_));
        if !self.places.iter().any(is_in_body) {
            return Cow::Borrowed(body);
        }
        let content_type = headers.get("content-type");
        let encoding = headers.get("content-encoding");
        let text = match body::unpacked(encoding, body) {
            // Two bytes for each sign: a password is not seen in them.
            Ok(text) if text.contains(&0) => body::in_utf8(content_type, encoding, body),
            text => text,
        };
        match text {
            Ok(Cow::Borrowed(body)) => self.mask_unpacked(content_type, body),
            Ok(Cow::Owned(text)) => match self.mask_unpacked(content_type, &text) {
                masked if *masked == *text => Cow::Borrowed(body),
                _ => Cow::Borrowed(HIDDEN.as_bytes()),
            },
            Err(_) => Cow::Borrowed(HIDDEN.as_bytes()),
        }
    }

    fn mask_unpacked<'b>(&self, content_type: Option<&[u8]>, body: &'b [u8]) -> Cow<'b, [u8]> {
        if !self.paths.is_empty() && body::is_token(body) {
            return Cow::Borrowed(HIDDEN.as_bytes());
        }
        if body::starts_like_json(body) {
            return json::masked(&self.paths, body).unwrap_or(Cow::Borrowed(HIDDEN.as_bytes()));
        }
        if body::is_multipart(content_type) {
            return self.mask_multipart(content_type, body);
        }
        let masked = masked_form(body, |name, value| self.masked_field(name, value));
        if masked == body { Cow::Borrowed(body) } else { Cow::Owned(masked) }
    }

    /// What stands in place of a form's field; `None` = there is no password in it.
    fn masked_field(&self, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let mut places = self.places.iter();
        if places.any(|place| matches!(place, FieldRef::Form(known) if known.as_bytes() == name)) {
            return Some(HIDDEN.into());
        }
        // The fields that are read as the payload itself.
        if self.paths.is_empty() || !matches!(name, b"payload" | b"data") {
            return None;
        }
        match json::masked(&self.paths, value) {
            Some(Cow::Borrowed(_)) => None,
            Some(Cow::Owned(masked)) => Some(masked),
            None => Some(HIDDEN.into()),
        }
    }

    /// A part stands as it is between its boundaries, so its content is found by itself.
    fn mask_multipart<'b>(&self, content_type: Option<&[u8]>, body: &'b [u8]) -> Cow<'b, [u8]> {
        let mut shown = Cow::Borrowed(body);
        for (name, value) in form_fields(content_type, body) {
            if let Some(masked) = self.masked_field(&name, &value)
                && !value.is_empty()
            {
                shown = Cow::Owned(replaced(&shown, &value, &masked));
            }
        }
        shown
    }
}

fn masked_headers(headers: &Headers, is_hidden: impl Fn(&str) -> bool) -> Headers {
    let shown = headers.iter().map(|(name, value)| {
        let value = if is_hidden(name) { HIDDEN.as_bytes() } else { value };
        (name, value)
    });
    shown.collect()
}

/// A form or query with other values where `mask` gives some. The rest stays as it is written.
fn masked_form(text: &[u8], mask: impl Fn(&[u8], &[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut shown = Vec::with_capacity(text.len());
    for (index, written) in text.split(|byte| *byte == b'&').enumerate() {
        if index > 0 {
            shown.push(b'&');
        }
        let masked = pairs(written).next().and_then(|(name, value)| mask(&name, &value));
        let Some(masked) = masked else {
            shown.extend_from_slice(written);
            continue;
        };
        let name = written.split(|byte| *byte == b'=').next().unwrap_or_default();
        shown.extend_from_slice(name);
        shown.push(b'=');
        if masked == HIDDEN.as_bytes() {
            shown.extend_from_slice(&masked);
        } else {
            shown.extend(url::form_urlencoded::byte_serialize(&masked).flat_map(str::bytes));
        }
    }
    shown
}

/// `text` with `new` for each `old`, which is not empty.
fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(old) {
            made.extend_from_slice(new);
            rest = behind;
        } else {
            made.push(*first);
            rest = tail;
        }
    }
    made
}

#[cfg(test)]
mod tests;
