//! The bytes under a signature.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use smallvec::{SmallVec, smallvec};

use super::super::field_ref::{Lookup, pairs, query};
use super::super::payload;
use super::super::rejection::Rejection;
use super::super::request::Inbound;
use super::super::signature::Encoding;
use super::super::unpacked::unpack;
use super::parsed::{Part, Template};
use super::sorted::FORM_FIELDS_MAX;

/// What of a template does not stand in the request itself.
#[derive(Clone, Debug, Default)]
pub(in crate::source) struct Values<'a> {
    pub(in crate::source) timestamp: Option<Cow<'a, [u8]>>,
    pub(in crate::source) id: Option<Cow<'a, [u8]>>,
    pub(in crate::source) url: Option<&'a str>,
}

/// As many pieces as a message mostly has: `{id}.{timestamp}.{body}`. They are not on the heap.
const PIECES: usize = 5;

/// The bytes under a signature, piece by piece: the body is never copied.
#[derive(Debug, Default)]
pub(in crate::source) struct Message<'a>(SmallVec<[Piece<'a>; PIECES]>);

#[derive(Debug)]
pub(in crate::source) enum Piece<'a> {
    Bytes(Cow<'a, [u8]>),
    /// Stands for whichever secret is tried.
    Secret,
}

impl<'a> Message<'a> {
    /// Bytes that are at hand.
    pub(in crate::source) fn whole_of(bytes: Vec<u8>) -> Self {
        Self(smallvec![Piece::Bytes(Cow::Owned(bytes))])
    }

    pub(in crate::source) fn of(
        template: &'a Template,
        request: &Inbound<'a>,
        values: &Values<'a>,
    ) -> Result<Self, Rejection> {
        let pieces = template.0.iter().map(|part| piece(part, request, values));
        pieces.collect::<Result<_, _>>().map(Self)
    }

    /// Feeds every piece to `take`, with `secret` where the template names it.
    pub(in crate::source) fn feed(&self, secret: &[u8], mut take: impl FnMut(&[u8])) {
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => take(bytes),
                Piece::Secret => take(secret),
            }
        }
    }

    /// The whole message in one piece, copied only where it has several.
    pub(in crate::source) fn whole(&self, secret: &[u8]) -> Cow<'_, [u8]> {
        if let [Piece::Bytes(bytes)] = self.0.as_slice() {
            return Cow::Borrowed(bytes);
        }
        let mut whole = Vec::new();
        self.feed(secret, |bytes| whole.extend_from_slice(bytes));
        Cow::Owned(whole)
    }
}

fn piece<'a>(
    part: &'a Part,
    request: &Inbound<'a>,
    values: &Values<'a>,
) -> Result<Piece<'a>, Rejection> {
    let given = |value: &Option<Cow<'a, [u8]>>| {
        value.clone().ok_or_else(|| Rejection::NoVariable("the signed text's variable".into()))
    };
    let bytes = match part {
        Part::Literal(text) => Cow::Borrowed(text.as_bytes()),
        Part::Body => Cow::Borrowed(request.body),
        Part::BodySha256 => hex::encode(Sha256::digest(request.body)).into_bytes().into(),
        Part::BodySha256Base64 => {
            Encoding::Base64.encode(&Sha256::digest(request.body)).into_bytes().into()
        }
        Part::UnpackedBody => unpack(request)?,
        Part::Path => Cow::Borrowed(request.path_and_query.as_bytes()),
        Part::SortedForm => sorted_form(request.body)?.into(),
        Part::Sorted(rule) => rule.text(request)?.into(),
        Part::BodyCrc32 => crc32fast::hash(request.body).to_string().into_bytes().into(),
        Part::Sns => sns_text(request.body)?.into(),
        Part::Timestamp => given(&values.timestamp)?,
        Part::Id => given(&values.id)?,
        Part::Method => Cow::Borrowed(request.method.as_bytes()),
        Part::Url => full_url(values.url.unwrap_or_default(), request),
        Part::Secret => return Ok(Piece::Secret),
        Part::At(place) | Part::AtOptional(place) => match (place.find(request), part) {
            (Lookup::One(value), _) => value,
            (Lookup::Absent, Part::AtOptional(_)) => Cow::Borrowed(b"".as_slice()),
            (Lookup::Absent, _) => return Err(Rejection::NoVariable(place.to_string())),
            (Lookup::Ambiguous, _) => return Err(Rejection::Repeated(place.to_string())),
        },
    };
    Ok(Piece::Bytes(bytes))
}

/// The public URL; where the request came with a query, that one is in it. One that says what the configured one
/// says, escaped in another way, is signed as the owner wrote it: `HubSpot` signs the address decoded.
fn full_url<'a>(url: &'a str, request: &Inbound<'a>) -> Cow<'a, [u8]> {
    let query = query(request);
    if query.is_empty() {
        return Cow::Borrowed(url.as_bytes());
    }
    let (base, own) = url.split_once('?').unwrap_or((url, ""));
    if pairs(own.as_bytes()).eq(pairs(query.as_bytes())) {
        return Cow::Borrowed(url.as_bytes());
    }
    format!("{base}?{query}").into_bytes().into()
}

/// An address with its scheme's port, where it has none, and without, where it has that; `None` = it has another.
pub(in crate::source) fn other_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let named = host.rsplit('@').next().unwrap_or(host);
    let has_port = named.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    match host.strip_suffix(port) {
        Some(host) => Some(format!("{scheme}://{host}{path}")),
        None if has_port => None,
        None => Some(format!("{scheme}://{host}{port}{path}")),
    }
}

/// Twilio's way with forms: names and values run together, sorted, equal ones once.
pub(super) fn sorted_form(body: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut fields: Vec<_> = pairs(body).take(FORM_FIELDS_MAX + 1).collect();
    if fields.len() > FORM_FIELDS_MAX {
        return Err(Rejection::TooManyFields);
    }
    fields.sort_unstable();
    fields.dedup();
    let mut text = Vec::with_capacity(body.len());
    for (name, value) in fields {
        text.extend_from_slice(&name);
        text.extend_from_slice(&value);
    }
    Ok(text)
}

/// The fields of a notification that SNS signs; `Subject` where it is there.
const SNS_NOTIFICATION: [&str; 6] =
    ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
/// The same of the two messages that ask for something.
const SNS_CONFIRMATION: [&str; 7] =
    ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];

/// The text that SNS signs: which fields those are, the message's type says, which is one of them.
fn sns_text(body: &[u8]) -> Result<Vec<u8>, Rejection> {
    let absent = |name: &str| Rejection::NoVariable(format!("JSON field `{name}`"));
    let kind = payload::find_one(None, body, "Type").ok_or_else(|| absent("Type"))?;
    let names: &[&str] = match kind.as_str() {
        "Notification" => &SNS_NOTIFICATION,
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => &SNS_CONFIRMATION,
        _ => return Err(Rejection::Claim("Type".to_owned())),
    };
    let fields = payload::find_all(body, names).ok_or_else(|| absent("Message"))?;
    let mut text = Vec::with_capacity(body.len());
    for (name, value) in names.iter().zip(fields.texts) {
        let value = match value {
            Some(value) => value,
            None if *name == "Subject" => continue,
            None => return Err(absent(name)),
        };
        for line in [name.as_bytes(), value.as_bytes()] {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
    }
    Ok(text)
}
