//! What makes two requests the same event.
//!
//! Losing an event is worse than delivering it twice. So an id counts alone only where it is under
//! the signature: an attacker who has seen one request can write another id into its headers, and
//! the event to which that id belongs must not be taken for a repeat.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::field_ref::{FieldRef, pairs};
use super::request::Inbound;
use super::scheme::Scheme;
use crate::event::{Dedupe, DedupeKey, KnownBy, SourceName};

/// Which requests count as repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupePolicy {
    /// As the sender can be told apart: by its id, else by a stamp in the body, both for
    /// [`DedupePolicy::WINDOW`]; else only where the first answer cannot have arrived.
    Identity,
    /// None: two equal requests are two events.
    Off,
    /// The same id and body, or without an id the same body, within this time.
    Window(Duration),
}

impl DedupePolicy {
    /// How long an identity is remembered: longer than any sender of the presets repeats by
    /// itself.
    pub const WINDOW: Duration = Duration::from_hours(24);
}

/// What a request is told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The sender's own id, under the signature.
    SignedId(String),
    /// The sender's own id, not signed: a replayed request can carry another one.
    Id {
        id: String,
        /// What of the headers counts with it: see [`beside_id`].
        beside: String,
    },
    /// The body, which carries a stamp of its event: two events never have the same.
    Stamp,
    /// The body, which two events may share.
    Body,
}

/// What senders write where they have no id, in whatever letters and between whatever signs (`<nil>`, `(null)`): it
/// is many events'.
const NO_IDS: [&str; 11] = [
    "false",
    "true",
    "nan",
    "infinity",
    "undefined",
    "null",
    "none",
    "nil",
    "n/a",
    "unknown",
    "object object",
];

/// Whether `id` is what stands where there is none: such a word, or nothing but zeros and signs, as are .NET's
/// `00000000-0000-0000-0000-000000000000` and a template's `-`.
fn says_nothing(id: &str) -> bool {
    let is_sign = |one: char| one.is_ascii_punctuation() || one == ' ';
    let word = id.trim_matches(is_sign);
    word.chars().all(|one| one == '0' || is_sign(one))
        || id == "-1"
        || NO_IDS.iter().any(|none| word.eq_ignore_ascii_case(none))
}

impl Identity {
    /// By the sender's own id. One that is none, or in which what could not be read became U+FFFD, is
    /// no event's alone: the body counts too, and what is `beside` the id.
    pub(super) fn of_id(id: String, is_signed: bool, beside: impl FnOnce() -> String) -> Self {
        let is_weak = says_nothing(&id) || id.contains(char::REPLACEMENT_CHARACTER);
        if is_signed && !is_weak { Self::SignedId(id) } else { Self::Id { id, beside: beside() } }
    }

    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::SignedId(id) | Self::Id { id, .. } => Some(id),
            Self::Stamp | Self::Body => None,
        }
    }

    /// How a repeat of an event is recognised that has `dedupe`, and for how long.
    pub(super) fn known_by(&self, dedupe: Dedupe) -> (KnownBy, Option<Duration>) {
        let window = match dedupe {
            Dedupe::Off => return (KnownBy::Nothing, None),
            Dedupe::Within { window, .. } => Some(window),
            Dedupe::Unanswered { .. } => None,
        };
        let known_by = match self {
            Self::SignedId(_) => KnownBy::SignedId,
            Self::Id { .. } => KnownBy::Id,
            Self::Stamp => KnownBy::Stamp,
            Self::Body => KnownBy::Body,
        };
        (known_by, window)
    }

    /// The same of one item of the request's list, where the id was the whole request's.
    pub(super) fn of_item(self, index: usize) -> Self {
        match self {
            Self::SignedId(id) => Self::SignedId(format!("{id}/{index}")),
            Self::Id { id, beside } => Self::Id { id: format!("{id}/{index}"), beside },
            Self::Stamp | Self::Body => self,
        }
    }
}

/// What a dedupe key is made of, beside the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestKey<'a> {
    pub(super) source: &'a SourceName,
    /// The request's method where it is another than POST: the same body may be put and deleted.
    pub(super) method: Option<&'a str>,
    /// What its query says: two devices may send one body to one address with their names behind it.
    pub(super) query: &'a str,
    pub(super) identity: &'a Identity,
}

/// What makes a repeat of this request a duplicate.
pub(super) fn dedupe(policy: DedupePolicy, request: RequestKey<'_>, body: &[u8]) -> Dedupe {
    let key = || key(request, body);
    match policy {
        DedupePolicy::Off => Dedupe::Off,
        DedupePolicy::Window(window) => Dedupe::Within { key: key(), window },
        DedupePolicy::Identity => match request.identity {
            Identity::SignedId(_) | Identity::Id { .. } | Identity::Stamp => {
                Dedupe::Within { key: key(), window: DedupePolicy::WINDOW }
            }
            Identity::Body => Dedupe::Unanswered { key: key() },
        },
    }
}

/// Equal for two requests that are the same event: the sender's own id, else the body.
pub fn dedupe_key(source: &SourceName, delivery_id: Option<&str>, body: &[u8]) -> DedupeKey {
    let identity = match delivery_id {
        Some(id) => Identity::SignedId(id.to_owned()),
        None => Identity::Body,
    };
    key(RequestKey { source, method: None, query: "", identity: &identity }, body)
}

/// The header of the id of `CloudEvents`, and that of what it is an id of (1.0.2, `id`).
const CE_ID: &str = "ce-id";
const CE_SOURCE: &str = "ce-source";

/// How the parts of a header's name begin that says something of one try, not of its event: `X-Webhook-Attempt`,
/// `webhook-timestamp`, a proxy's `X-Request-Start`. A repeat has them anew.
const OF_ONE_TRY: [&str; 9] =
    ["attempt", "retry", "retries", "redeliver", "time", "date", "start", "sent", "sign"];

/// Whether an id in `place` is an event's alone wherever it is signed. That of `CloudEvents` is so with its source only,
/// which may not be signed.
pub(super) fn is_alone(place: &FieldRef, scheme: &Scheme) -> bool {
    let is_of_cloud_events = matches!(place, FieldRef::Header(name) if *name == CE_ID);
    scheme.signs(place) && !is_of_cloud_events
}

/// What of the headers tells two events with one id apart, where that stands in `place`, a header.
///
/// An id in a header may be a count of its channel's (Google's `X-Goog-Message-Number`), and a request
/// without a body says all in its headers: then the sender's others count, which begin as the id's does.
pub(super) fn beside_id(place: &FieldRef, scheme: &Scheme, request: &Inbound<'_>) -> String {
    let FieldRef::Header(id) = place else { return String::new() };
    let family = family(id).filter(|_| request.body.is_empty());
    if family.is_none() && *id != CE_ID {
        return String::new();
    }
    let time = scheme.timestamp.as_ref().map(|rule| &rule.at);
    let is_proof = |name: &str| {
        let mut places = scheme.signature.places.iter().chain(time);
        places.any(|place| matches!(place, FieldRef::Header(own) if own == name))
    };
    let is_of_one_try = |name: &str| {
        name.split('-').any(|part| OF_ONE_TRY.iter().any(|word| part.starts_with(word)))
    };
    let counts = |name: &str| {
        let is_of_family = family.is_some_and(|family| name.starts_with(family));
        *id == CE_ID && name == CE_SOURCE || is_of_family && !is_of_one_try(name) && !is_proof(name)
    };
    let headers = request.headers.iter().filter(|(name, _)| counts(name));
    let mut lines: Vec<String> = headers
        .map(|(name, value)| format!("{name}:{}\n", String::from_utf8_lossy(value)))
        .collect();
    // A proxy may send them on in another order.
    lines.sort_unstable();
    lines.concat()
}

/// How a sender's own headers begin: `x-goog-` of `x-goog-message-number`.
fn family(name: &str) -> Option<&str> {
    let start = if name.starts_with("x-") { 2 } else { 0 };
    let end = name.get(start..)?.find('-')?;
    name.get(..start.checked_add(end)?.checked_add(1)?)
}

/// `query` without the parameter that has the time of sending, which a repeat may have anew.
pub(super) fn untimed(query: &str, scheme: &Scheme) -> String {
    // As most requests have it: nothing to be put together.
    if query.is_empty() {
        return String::new();
    }
    let time = scheme.timestamp.as_ref().map(|rule| &rule.at);
    let is_time = |pair: &str| {
        let name = pairs(pair.as_bytes()).next().map(|(name, _)| name);
        name.zip(time).is_some_and(|(name, place)| place.is_query(&name))
    };
    query.split('&').filter(|pair| !is_time(pair)).collect::<Vec<_>>().join("&")
}

fn key(request: RequestKey<'_>, body: &[u8]) -> DedupeKey {
    let RequestKey { source, method, query, identity } = request;
    let mut hash = Sha256::new();
    // Neither a name nor a method has a zero byte, and the letter keeps an id from being taken for
    // a body.
    hash.update(source.as_str());
    hash.update([0]);
    if let Some(method) = method {
        hash.update(b"m");
        hash.update(method);
        hash.update([0]);
    }
    match identity {
        Identity::SignedId(id) => {
            hash.update(b"i");
            hash.update(id);
        }
        Identity::Id { id, beside } => {
            let mut part = |letter: &[u8], text: &str| {
                hash.update(letter);
                hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
                hash.update(text);
            };
            if !beside.is_empty() {
                part(b"h", beside);
            }
            part(b"u", id);
            hash.update(body);
        }
        Identity::Stamp | Identity::Body => {
            if !query.is_empty() && *identity == Identity::Body {
                // A query has no zero byte.
                hash.update(b"q");
                hash.update(query);
                hash.update([0]);
            }
            hash.update(b"b");
            hash.update(body);
        }
    }
    let hash: [u8; 32] = hash.finalize().into();
    let (key, _) = hash.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    DedupeKey(*key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_no_id_does_not_stand_for_an_event() {
        for (id, is_alone) in [
            ("7", true),
            ("-7", true),
            ("null-1", true),
            ("00a0", true),
            ("{b6d1a3e5-0000-0000-0000-000000000000}", true),
            ("0", false),
            ("-0.0", false),
            ("-1", false),
            ("false", false),
            ("NaN", false),
            ("-Infinity", false),
            ("null", false),
            ("None", false),
            ("<nil>", false),
            ("N/A", false),
            ("[object Object]", false),
            ("-", false),
            ("00000000-0000-0000-0000-000000000000", false),
            ("a\u{fffd}", false),
        ] {
            let identity = Identity::of_id(id.to_owned(), true, String::new);
            assert_eq!(matches!(identity, Identity::SignedId(_)), is_alone, "{id}");
        }
    }

    #[test]
    fn equal_events_have_equal_keys_and_no_others() {
        let (a, b) = (SourceName::parse("a").unwrap(), SourceName::parse("b").unwrap());
        let beside =
            |id: &str, beside: &str| Identity::Id { id: id.to_owned(), beside: beside.to_owned() };
        let id = |id: &str| beside(id, "");
        let key = |source, method, query, identity: &Identity, body| {
            key(RequestKey { source, method, query, identity }, body)
        };
        let keys = [
            dedupe_key(&a, None, b"1"),
            dedupe_key(&b, None, b"1"),
            dedupe_key(&a, None, b"2"),
            dedupe_key(&a, Some("1"), b"1"),
            dedupe_key(&a, Some("2"), b"1"),
            key(&a, None, "", &id("1"), b"1"),
            key(&a, None, "", &id("1"), b"2"),
            key(&a, None, "", &id("11"), b""),
            key(&a, None, "", &beside("1", "1"), b"1"),
            key(&a, None, "", &beside("1", "2"), b"1"),
            key(&a, Some("PUT"), "", &Identity::Body, b"1"),
            key(&a, Some("DELETE"), "", &Identity::Body, b"1"),
            key(&a, None, "device=1", &Identity::Body, b"1"),
            key(&a, None, "device=2", &Identity::Body, b"1"),
        ];
        let distinct: BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(dedupe_key(&a, Some("1"), b"1"), dedupe_key(&a, Some("1"), b"changed"));
        let stamped = key(&a, None, "device=1", &Identity::Stamp, b"1");
        assert_eq!(stamped, dedupe_key(&a, None, b"1"));
    }
}
