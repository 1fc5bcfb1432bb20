//! How a sender signs: the one piece of code behind every provider and every `verify` table.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::body;
use crate::clock::Timestamp;

use super::batch;
use super::fetched::FetchRule;
use super::field_ref::{FieldRef, Lookup};
use super::http_message::MessageRule;
use super::jwt::JwtRule;
use super::keys::{Algorithm, Key, KeyRule};
use super::rejection::Rejection;
use super::request::Inbound;
use super::signature::{Encoding, SignatureRule};
use super::signed_query::SignedQuery;
use super::template::{Message, Part, Template, Values, other_port};
use super::timestamp::TimestampRule;

mod weakness;

pub use weakness::Weakness;

/// How a sender signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// How the signature is made.
    pub algorithm: Algorithm,
    pub signature: SignatureRule,
    /// What is signed; nothing for a token, `basic` and `none`.
    pub signed: Option<Template>,
    /// When it was sent.
    pub timestamp: Option<TimestampRule>,
    /// Where `{id}` is.
    pub id: Option<FieldRef>,
    /// How a secret's text becomes a key.
    pub key: KeyRule,
    /// The public address, where `{url}` is signed.
    pub url: Option<String>,
    /// Where the body's SHA-256 is in hexadecimal: a place that is signed, and so signs the
    /// body.
    pub body_sha256: Option<FieldRef>,
    /// What the signature comes in.
    pub envelope: Envelope,
    /// The list in the JSON body (a dotted path) of which every item is signed by itself; empty =
    /// the body is the list.
    pub each: Option<Cow<'static, str>>,
    /// Whether an address is the same with its scheme's port and without (Twilio).
    pub either_port: bool,
    /// Where the keys are fetched, where they are not among the secrets.
    pub fetch: Option<FetchRule>,
}

/// What a signature comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// By itself: what is signed is a template.
    Plain,
    Jwt(JwtRule),
    HttpMessage(MessageRule),
}

/// What a good signature came with.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Which of the keys matched.
    pub(super) key_index: usize,
    /// The id, where the scheme names one.
    pub(super) id: Option<String>,
    /// What an HTTP Message Signature covers of the query; of others their scheme says it.
    pub(super) query: SignedQuery,
}

impl Scheme {
    /// What makes this scheme weaker than its owner may think.
    pub fn weaknesses(&self) -> Vec<Weakness> {
        let covers_body = match &self.envelope {
            Envelope::Plain => true,
            Envelope::Jwt(rule) => rule.covers_body(),
            Envelope::HttpMessage(rule) => rule.covers_body(),
        };
        if !covers_body {
            return vec![Weakness::BodyNotSigned];
        }
        let Some(signed) = &self.signed else { return Vec::new() };
        let mut weaknesses = Vec::new();
        if signed.is_constant() && self.body_sha256.is_none() {
            weaknesses.push(Weakness::ConstantMessage);
        } else if !signed.covers_body() && self.body_sha256.is_none() {
            weaknesses.push(Weakness::BodyNotSigned);
        }
        if self.timestamp.as_ref().is_some_and(|rule| !signs_timestamp(signed, rule)) {
            weaknesses.push(Weakness::TimestampNotSigned);
        }
        if matches!(self.algorithm, Algorithm::HmacMd5 | Algorithm::Md5) {
            weaknesses.push(Weakness::Md5);
        }
        if signed.has(&Part::BodyCrc32) {
            weaknesses.push(Weakness::Crc32);
        }
        weaknesses
    }

    /// Whether what comes lets its reader in: a password, or a signature that is the same
    /// for every body.
    pub(super) fn sends_password(&self) -> bool {
        let is_reusable = |weakness: &Weakness| match weakness {
            Weakness::ConstantMessage => true,
            Weakness::BodyNotSigned => matches!(self.envelope, Envelope::Jwt(_)),
            Weakness::TimestampNotSigned | Weakness::Md5 | Weakness::Crc32 => false,
        };
        match self.algorithm {
            Algorithm::None => false,
            algorithm => !algorithm.signs() || self.weaknesses().iter().any(is_reusable),
        }
    }

    /// Whether nothing can be judged without a secret of the owner's.
    pub(super) fn needs_secret(&self) -> bool {
        let is_in_text = || self.signed.as_ref().is_some_and(|signed| signed.has(&Part::Secret));
        match &self.fetch {
            Some(rule) => rule.needs_secret || is_in_text(),
            None => self.algorithm != Algorithm::None,
        }
    }

    /// Whether anything stands where its signature should.
    pub(super) fn has_signature(&self, request: &Inbound<'_>) -> bool {
        let mut places = self.signature.places.iter();
        places.any(|place| place.find(request) != Lookup::Absent)
    }

    /// Judges one request. `keys` are this scheme's own; a secret that is no key for it is
    /// nothing in its place.
    pub(super) fn verify(
        &self,
        keys: &[Option<Key>],
        request: &Inbound<'_>,
        now: Timestamp,
    ) -> Result<Accepted, Rejection> {
        if self.algorithm == Algorithm::None {
            return Ok(self.accepted(0, request));
        }
        match &self.each {
            Some(path) => self.verify_each(path, keys, request, now),
            None => self.verify_one(keys, request, now),
        }
    }

    /// Judges every item of the list at `path` as if it were the body. The first one that is not
    /// good decides, so that a stranger pays for one.
    fn verify_each(
        &self,
        path: &str,
        keys: &[Option<Key>],
        request: &Inbound<'_>,
        now: Timestamp,
    ) -> Result<Accepted, Rejection> {
        // What is packed stays so, as long as nothing is believed.
        let content_type = request.headers.get("content-type");
        let text = body::in_utf8(content_type, Some(b"identity"), request.body);
        let text = text.map_err(|_| Rejection::Missing)?;
        let items = batch::items(&text, path).ok_or(Rejection::Missing)?;
        let mut accepted = Err(Rejection::Missing);
        for item in items {
            let item = Inbound { body: item, ..*request };
            accepted = Ok(self.verify_one(keys, &item, now)?);
        }
        // An id of one item is none of the request.
        accepted.map(|accepted| Accepted { id: None, ..accepted })
    }

    /// Judges a request, or an item of one, by its signature.
    fn verify_one(
        &self,
        keys: &[Option<Key>],
        request: &Inbound<'_>,
        now: Timestamp,
    ) -> Result<Accepted, Rejection> {
        if let Envelope::HttpMessage(rule) = &self.envelope {
            let (key_index, query) = rule.verify(self.algorithm, keys, request, self.url(), now)?;
            return Ok(Accepted { query, ..self.accepted(key_index, request) });
        }
        if let Envelope::Jwt(rule) = &self.envelope
            && rule.is_body
        {
            let token = request.body.trim_ascii();
            let key_index = rule.verify(self.algorithm, token, keys, token, now)?;
            return Ok(self.accepted(key_index, request));
        }
        let mut closest = Rejection::Missing;
        for place in &self.signature.places {
            let values = SignatureRule::values(place, request);
            let judged = values.and_then(|values| match &self.envelope {
                Envelope::Jwt(rule) => self.verify_token(rule, &values, keys, request, now),
                Envelope::Plain | Envelope::HttpMessage(_) => {
                    self.verify_by(&values, keys, request, now)
                }
            });
            match judged {
                Ok(accepted) => return Ok(accepted),
                Err(rejection) => closest = closest.max(rejection),
            }
        }
        Err(closest)
    }

    /// Judges the tokens of one place.
    fn verify_token(
        &self,
        rule: &JwtRule,
        values: &[Cow<'_, [u8]>],
        keys: &[Option<Key>],
        request: &Inbound<'_>,
        now: Timestamp,
    ) -> Result<Accepted, Rejection> {
        let mut closest = Rejection::NotWrapped;
        for token in self.signature.raw_signatures(values) {
            match rule.verify(self.algorithm, token, keys, request.body, now) {
                Ok(key_index) => return Ok(self.accepted(key_index, request)),
                Err(rejection) => closest = closest.max(rejection),
            }
        }
        Err(closest)
    }

    /// What is accepted where the id is no part of a template.
    fn accepted(&self, key_index: usize, request: &Inbound<'_>) -> Accepted {
        let id = self.id.as_ref().and_then(|place| place.find(request).text());
        Accepted { key_index, id, query: SignedQuery::default() }
    }

    /// Judges the signatures of one place.
    fn verify_by(
        &self,
        values: &[Cow<'_, [u8]>],
        keys: &[Option<Key>],
        request: &Inbound<'_>,
        now: Timestamp,
    ) -> Result<Accepted, Rejection> {
        // Lengths first: a hash is worth its time only for something that can be a signature.
        let mut candidates = self.signature.candidates(values)?;
        candidates.retain(|candidate: &mut Vec<u8>| self.algorithm.takes_length(candidate.len()));
        if candidates.is_empty() {
            return Err(Rejection::WrongLength);
        }
        let timestamp = match &self.timestamp {
            Some(rule) => Some(self.required_value(&rule.at, values, request)?),
            None => None,
        };
        let id = match self.id.as_ref().map(|place| self.required_value(place, values, request)) {
            Some(Err(rejection)) if self.signs_id() => return Err(rejection),
            // An id that is not signed only tells deliveries apart.
            Some(Err(_)) | None => None,
            Some(Ok(id)) => Some(id),
        };
        let filled = Values { timestamp: timestamp.clone(), id: id.clone(), url: self.url() };
        let mut key_index = self.key_of(keys, request, &filled, &candidates)?;
        if key_index.is_none()
            && self.either_port
            && let Some(url) = filled.url.and_then(other_port)
        {
            let other = Values { url: Some(&url), ..filled.clone() };
            key_index = self.key_of(keys, request, &other, &candidates)?;
        }
        let key_index = key_index.ok_or(Rejection::Mismatch)?;
        if let Some(place) = &self.body_sha256 {
            let hash = self.required_value(place, values, request)?;
            let is_equal = Encoding::Hex.decode(&hash).as_deref()
                == Some(Sha256::digest(request.body).as_slice());
            is_equal.then_some(()).ok_or(Rejection::Mismatch)?;
        }
        // Judged last: a wrong clock is worth telling about only where the sender is known.
        if let (Some(rule), Some(text)) = (&self.timestamp, &timestamp) {
            rule.judge(text, now)?;
        }
        let id = id.and_then(|id| String::from_utf8(id.into_owned()).ok());
        Ok(Accepted { key_index, id, query: SignedQuery::default() })
    }

    /// Which key made one of `candidates`. All keys are tried against all signatures: during a rotation both may
    /// be several.
    fn key_of(
        &self,
        keys: &[Option<Key>],
        request: &Inbound<'_>,
        values: &Values<'_>,
        candidates: &[Vec<u8>],
    ) -> Result<Option<usize>, Rejection> {
        let message = self.message(request, values)?;
        let matches =
            |key: &Option<Key>| key.as_ref().is_some_and(|key| key.matches(&message, candidates));
        Ok(keys.iter().position(matches))
    }

    /// Whether what is in `place` is under the signature.
    pub(super) fn signs(&self, place: &FieldRef) -> bool {
        match &self.envelope {
            Envelope::Plain => {}
            Envelope::Jwt(rule) => {
                return rule.covers_body()
                    && matches!(place, FieldRef::Json(_) | FieldRef::Form(_));
            }
            Envelope::HttpMessage(rule) => return rule.signs(place),
        }
        let Some(signed) = self.signed.as_ref().filter(|_| self.algorithm.signs()) else {
            return false;
        };
        let is_within = match place {
            FieldRef::Json(_) | FieldRef::Form(_) => {
                signed.covers_body() || self.body_sha256.is_some()
            }
            // The address is signed with the query that came.
            FieldRef::Query(name) => signed.covers_query(name.as_bytes()),
            FieldRef::Header(_) | FieldRef::List(_) => false,
        };
        let is_id = self.id.as_ref() == Some(place) && signed.has(&Part::Id);
        is_within || is_id || signed.places().any(|signed| signed == place)
    }

    fn signs_id(&self) -> bool {
        self.signed.as_ref().is_some_and(|signed| signed.has(&Part::Id))
    }

    pub(super) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The bytes under the signature.
    pub(super) fn message<'a>(
        &'a self,
        request: &Inbound<'a>,
        values: &Values<'a>,
    ) -> Result<Message<'a>, Rejection> {
        match &self.signed {
            Some(signed) => Message::of(signed, request, values),
            None => Ok(Message::default()),
        }
    }

    /// A value that the scheme cannot do without.
    fn required_value<'v, 'a: 'v>(
        &self,
        place: &FieldRef,
        values: &'v [Cow<'a, [u8]>],
        request: &Inbound<'a>,
    ) -> Result<Cow<'v, [u8]>, Rejection> {
        let found = match place {
            FieldRef::List(key) => self.signature.in_list(values, key),
            FieldRef::Header(_) | FieldRef::Query(_) | FieldRef::Json(_) | FieldRef::Form(_) => {
                place.find(request)
            }
        };
        match found {
            Lookup::One(value) => Ok(value),
            Lookup::Absent => Err(Rejection::NoVariable(place.to_string())),
            Lookup::Ambiguous => Err(Rejection::Repeated(place.to_string())),
        }
    }
}

fn signs_timestamp(signed: &Template, rule: &TimestampRule) -> bool {
    let is_in_body =
        matches!(rule.at, FieldRef::Json(_) | FieldRef::Form(_)) && signed.covers_body();
    let mut places = signed.places();
    is_in_body || signed.has(&Part::Timestamp) || places.any(|place| *place == rule.at)
}
