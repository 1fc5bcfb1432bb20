//! Where in a request a value is, and how it is read from there.

use std::borrow::Cow;
use std::fmt;

use super::payload;
use super::request::Inbound;
use crate::body;

pub(super) use crate::body::{Pair, pairs};

/// Where in a request a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldRef {
    /// A header, by its lower-case name.
    Header(Cow<'static, str>),
    /// A parameter of the query.
    Query(Cow<'static, str>),
    /// A field of the JSON body, as a dotted path: `data.id`, `0.event`. Of a list
    /// that becomes one event for each item it is a field of the item.
    Json(Cow<'static, str>),
    /// A field of a form body.
    Form(Cow<'static, str>),
    /// A key of the list that the signature is in.
    List(Cow<'static, str>),
}

impl FieldRef {
    /// The header `name`, in whatever case it is written.
    pub fn header(name: &str) -> Self {
        Self::Header(name.to_ascii_lowercase().into())
    }

    /// What it is called there.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Header(name)
            | Self::Query(name)
            | Self::Json(name)
            | Self::Form(name)
            | Self::List(name) => name,
        }
    }

    /// Whether it is the query's parameter `name`.
    pub(super) fn is_query(&self, name: &[u8]) -> bool {
        matches!(self, Self::Query(own) if own.as_bytes() == name)
    }

    /// The path, where it is a JSON field.
    pub(super) fn json_path(&self) -> Option<&str> {
        match self {
            Self::Json(path) => Some(path),
            Self::Header(_) | Self::Query(_) | Self::Form(_) | Self::List(_) => None,
        }
    }
}

impl fmt::Display for FieldRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header `{name}`"),
            Self::Query(name) => write!(f, "query parameter `{name}`"),
            Self::Json(path) => write!(f, "JSON field `{path}`"),
            Self::Form(name) => write!(f, "form field `{name}`"),
            Self::List(key) => write!(f, "key `{key}` of the signature's list"),
        }
    }
}

/// What is in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup<'a> {
    Absent,
    One(Cow<'a, [u8]>),
    /// More than one: which one the sender meant is unknown.
    Ambiguous,
}

impl<'a> Lookup<'a> {
    fn of(mut values: impl Iterator<Item = Cow<'a, [u8]>>) -> Self {
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::One(value),
            (Some(_), Some(_)) => Self::Ambiguous,
        }
    }

    /// The value as text; nothing where it is absent, repeated or not UTF-8.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::One(value) => String::from_utf8(value.into_owned()).ok(),
            Self::Absent | Self::Ambiguous => None,
        }
    }
}

impl FieldRef {
    /// Looks the place up in `request`. A list's keys are not the request's own: see
    /// [`super::signature`].
    pub(super) fn find<'a>(&self, request: &Inbound<'a>) -> Lookup<'a> {
        match self {
            Self::Header(name) => Lookup::of(request.headers.get_all(name).map(Cow::Borrowed)),
            Self::Query(name) => named(pairs(query(request).as_bytes()), name),
            Self::Form(name) => {
                let content_type = request.headers.get("content-type");
                named(body::form_fields(content_type, request.body).into_iter(), name)
            }
            Self::Json(path) => {
                match payload::find_one(request.headers.get("content-type"), request.body, path) {
                    Some(text) => Lookup::One(Cow::Owned(text.into_bytes())),
                    None => Lookup::Absent,
                }
            }
            Self::List(_) => Lookup::Absent,
        }
    }
}

/// The query as sent, without its `?`.
pub(super) fn query<'a>(request: &Inbound<'a>) -> &'a str {
    request.path_and_query.split_once('?').map_or("", |(_, query)| query)
}

fn named<'a>(pairs: impl Iterator<Item = Pair<'a>>, name: &str) -> Lookup<'a> {
    Lookup::of(pairs.filter(|(key, _)| **key == *name.as_bytes()).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_value_is_nobodys() {
        let headers = [("x-a", &b"1"[..]), ("x-b", b"2"), ("x-a", b"3")].into_iter().collect();
        let request = Inbound {
            method: "POST",
            path_and_query: "/?q=1&r=2&q=3",
            headers: &headers,
            body: b"",
        };
        assert_eq!(FieldRef::header("X-A").find(&request), Lookup::Ambiguous);
        assert_eq!(FieldRef::header("X-B").find(&request).text().as_deref(), Some("2"));
        assert_eq!(FieldRef::Query("q".into()).find(&request), Lookup::Ambiguous);
        assert_eq!(FieldRef::Query("r".into()).find(&request).text().as_deref(), Some("2"));
        assert_eq!(FieldRef::Form("r".into()).find(&request), Lookup::Absent);
    }
}
