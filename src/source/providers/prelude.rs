//! What the providers' files are written with: the words of a row, and the schemes that several
//! senders share.

use std::borrow::Cow;

pub(super) use std::time::Duration;

pub(super) use url::Url;

pub(super) use crate::event::DataRoot;

pub(super) use super::super::answer::AnswerRule;
pub(super) use super::super::fetched::{FetchRule, KeyAddress, OriginPattern, PathPattern};
pub(super) use super::super::field_ref::FieldRef;
pub(super) use super::super::handshake::{Answer, Handshake};
pub(super) use super::super::jwt::JwtRule;
pub(super) use super::super::keys::{Algorithm, KeyRule};
pub(super) use super::super::scheme::Envelope;
pub(super) use super::super::signature::{Encoding, SignatureFormat};
pub(super) use super::super::split::Split;
pub(super) use super::super::timestamp::{TimestampRule, Unit};
pub(super) use super::preset::{Provider, Row};

/// The commonest scheme of all: an HMAC-SHA256 of the body in hexadecimal.
pub(super) const HEX_OF_BODY: Row = Row {
    algorithm: Algorithm::HmacSha256,
    places: Vec::new(),
    format: prefix(""),
    encoding: Encoding::Hex,
    signed: "{body}",
    timestamp: None,
    tolerance: TimestampRule::TOLERANCE,
    id: None,
    key: KeyRule::UTF8,
    body_sha256: None,
    each: None,
    envelope: Envelope::Plain,
    either_port: false,
    fetch: None,
};

/// A provider that tells nothing about itself.
pub(super) const PLAIN: Provider = Provider {
    name: "",
    known_as: &[],
    page: "",
    setup: &[],
    vector: None,
    rows: Vec::new(),
    event_type: Vec::new(),
    delivery_id: Vec::new(),
    user_agents: &[],
    stamps: Vec::new(),
    data_root: DataRoot::Payload,
    handshakes: Vec::new(),
    methods: &["POST"],
    answer: AnswerRule::Id,
    body_max: None,
    other_types: &[],
    split: Split::Off,
    samples: &[],
};

const WHSEC: KeyRule =
    KeyRule { encoding: Encoding::Base64, strip: text("whsec_"), is_prefix_needed: false };

/// <https://www.standardwebhooks.com>, `v1` with one set of header names.
pub(super) fn standard() -> Row {
    Row {
        places: vec![header("webhook-signature")],
        format: list(" ", ",", "v1"),
        encoding: Encoding::Base64,
        signed: "{id}.{timestamp}.{body}",
        timestamp: Some((header("webhook-timestamp"), Unit::Seconds)),
        id: Some(header("webhook-id")),
        key: WHSEC,
        ..HEX_OF_BODY
    }
}

/// Slack's scheme, which others have taken over.
pub(super) fn slack() -> Row {
    Row {
        places: vec![header("x-slack-signature")],
        format: prefix("v0="),
        signed: "v0:{timestamp}:{body}",
        timestamp: Some((header("x-slack-request-timestamp"), Unit::Seconds)),
        ..HEX_OF_BODY
    }
}

pub(super) const fn text(text: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(text)
}

/// A header, by its lower-case name.
pub(super) const fn header(name: &'static str) -> FieldRef {
    FieldRef::Header(text(name))
}

pub(super) const fn json(path: &'static str) -> FieldRef {
    FieldRef::Json(text(path))
}

pub(super) const fn prefix(prefix: &'static str) -> SignatureFormat {
    SignatureFormat::Whole { prefix: text(prefix) }
}

pub(super) fn list(item: &'static str, pair: &'static str, key: &'static str) -> SignatureFormat {
    SignatureFormat::List { item: text(item), pair: text(pair), keys: vec![text(key)] }
}
