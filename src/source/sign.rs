//! Signs as the sender does: for `gatepost send` and for tests.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::event::{EventType, Headers};
use crate::text::percent_encoded;

use super::configured::Source;
use super::field_ref::{FieldRef, Lookup, pairs};
use super::http_message::{self, MessageRule};
use super::jwt::JwtRule;
use super::keys::Algorithm;
use super::rejection::Rejection;
use super::request::Inbound;
use super::samples::{content_type, put};
use super::scheme::{Envelope, Scheme};
use super::signature::SignatureFormat;
use super::template::{Message, Values};

/// A request as the source's sender would make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// Headers to be set, `content-type` among them; names are in lower case.
    pub headers: Vec<(String, String)>,
    /// Parameters to be added to the query, not encoded yet.
    pub query: Vec<(String, String)>,
    /// The body; changed only where the sender puts time or signature into it.
    pub body: Vec<u8>,
}

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    #[error(
        "only the sender can sign by `{0}`: what is known here is a public key, and the private key \
         that belongs to it never leaves the provider"
    )]
    OnlyTheSender(&'static str),
    /// The sender writes into the body, which is none of its kind.
    #[error("the sender puts its {0} into the body, and this body has no such fields")]
    NoPlace(String),
    #[error("the source would refuse this request: {0}")]
    Refused(Rejection),
    #[error("only the sender can sign each item of a batch: send a body that it signed")]
    Batch,
    #[error("the source has no secret that fits its scheme")]
    NoKey,
}

/// A request that lacks its signature only.
struct Draft {
    request: SignedRequest,
    path_and_query: String,
    timestamp: Option<String>,
    id: Option<String>,
}

impl Source {
    /// Whether a body says by itself which type of event it is.
    pub fn has_type_in_body(&self) -> bool {
        self.settings.profile.event_type.place_beside_body().is_none()
    }

    /// Signs `body` with the source's first secret as of `now`, to be posted to `path_and_query`.
    pub fn sign(
        &self,
        event_type: &EventType,
        body: Vec<u8>,
        path_and_query: &str,
        now: Timestamp,
    ) -> Result<SignedRequest, SignError> {
        let schemes = self.settings.profile.schemes.iter().zip(&self.keys);
        if let Some(scheme) = self.settings.profile.schemes.first()
            && scheme.fetch.is_some()
        {
            return Err(SignError::OnlyTheSender(scheme.algorithm.name()));
        }
        let mut keyed = schemes.filter_map(|(scheme, keys)| {
            if scheme.algorithm == Algorithm::None {
                return Some((scheme, None));
            }
            keys.first()?.as_ref().map(|key| (scheme, Some(key)))
        });
        let (scheme, key) = keyed.next().ok_or(SignError::NoKey)?;
        self.sign_by(scheme, event_type, body, path_and_query, now, |message| match key {
            Some(key) => key.sign(message),
            None => Some(Zeroizing::default()),
        })
    }

    /// Signs by `scheme` with what `make` makes of the message.
    pub(super) fn sign_by(
        &self,
        scheme: &Scheme,
        event_type: &EventType,
        body: Vec<u8>,
        path_and_query: &str,
        now: Timestamp,
        make: impl FnOnce(&Message<'_>) -> Option<Zeroizing<Vec<u8>>>,
    ) -> Result<SignedRequest, SignError> {
        let mut draft = self.draft(scheme, event_type, body, path_and_query, now)?;
        if scheme.each.is_some() {
            return Err(SignError::Batch);
        }
        let plain = match &scheme.envelope {
            Envelope::Jwt(rule) => {
                draft.add_token(scheme, rule, now, make)?;
                None
            }
            Envelope::HttpMessage(rule) => {
                draft.add_message_signature(scheme, rule, now, make)?;
                None
            }
            Envelope::Plain => Some(make),
        };
        if let Some(make) = plain.filter(|_| scheme.algorithm != Algorithm::None) {
            let headers = draft.headers();
            let values = Values {
                timestamp: draft.timestamp.as_deref().map(|text| text.as_bytes().into()),
                id: draft.id.as_deref().map(|text| text.as_bytes().into()),
                url: scheme.url(),
            };
            let signature = {
                // The message looks into the draft: it must be gone before that is changed.
                let request = draft.inbound(&headers);
                let message = scheme.message(&request, &values).map_err(SignError::Refused)?;
                make(&message).ok_or(SignError::OnlyTheSender(scheme.algorithm.name()))?
            };
            let text = scheme.signature.encoding.encode(&signature);
            let text = draft.wrap(scheme, &text);
            let place = scheme.signature.places.first().ok_or(SignError::NoKey)?;
            draft.set(place, &text)?;
        }
        let headers = draft.headers();
        self.verify(&draft.inbound(&headers), now).map_err(SignError::Refused)?;
        Ok(draft.request)
    }

    /// The request with everything in it that is signed.
    fn draft(
        &self,
        scheme: &Scheme,
        event_type: &EventType,
        body: Vec<u8>,
        path_and_query: &str,
        now: Timestamp,
    ) -> Result<Draft, SignError> {
        let headers = vec![("content-type".to_owned(), content_type(&body).to_owned())];
        let timestamp = scheme.timestamp.as_ref().map(|rule| rule.unit.write(now));
        let mut draft = Draft {
            request: SignedRequest { headers, query: Vec::new(), body },
            path_and_query: path_and_query.to_owned(),
            timestamp: timestamp.clone(),
            id: None,
        };
        if let (Some(rule), Some(text)) = (&scheme.timestamp, &timestamp) {
            draft.set(&rule.at, text)?;
        }
        if let Some(place) = self.settings.profile.event_type.place_beside_body() {
            draft.set(place, event_type.as_str())?;
        }
        let id = draft.make_id(now);
        if let Some(place) = &scheme.id {
            draft.set(place, &id)?;
            draft.id = Some(id.clone());
        }
        if let Some(place @ FieldRef::Header(_)) = self.settings.profile.delivery_id.first() {
            draft.set(place, &id)?;
        }
        if let Envelope::HttpMessage(rule) = &scheme.envelope
            && rule.covers_body()
        {
            let digest = http_message::content_digest(&draft.request.body);
            draft.set(&FieldRef::header("content-digest"), &digest)?;
        }
        let others = scheme.signed.iter().flat_map(super::Template::places);
        for place in others {
            let headers = draft.headers();
            if place.find(&draft.inbound(&headers)) == Lookup::Absent {
                draft.set(place, &id)?;
            }
        }
        Ok(draft)
    }
}

impl Draft {
    /// A JSON Web Token, where the scheme looks for it.
    fn add_token(
        &mut self,
        scheme: &Scheme,
        rule: &JwtRule,
        now: Timestamp,
        make: impl FnOnce(&Message<'_>) -> Option<Zeroizing<Vec<u8>>>,
    ) -> Result<(), SignError> {
        let signed = rule.draft(scheme.algorithm, &self.request.body, now);
        let signed = signed.ok_or_else(|| SignError::NoPlace("claims".to_owned()))?;
        let signature = make(&Message::whole_of(signed.clone().into_bytes()))
            .ok_or(SignError::OnlyTheSender(scheme.algorithm.name()))?;
        let signature = BASE64_URL_SAFE_NO_PAD.encode(&*signature);
        let token = match signed.split_once('.') {
            Some((header, _)) if rule.is_detached => format!("{header}..{signature}"),
            Some(_) | None => format!("{signed}.{signature}"),
        };
        if rule.is_body {
            self.request.body = token.into_bytes();
            return Ok(());
        }
        let text = self.wrap(scheme, &token);
        self.set(scheme.signature.places.first().ok_or(SignError::NoKey)?, &text)
    }

    /// `Signature-Input` and `Signature`.
    fn add_message_signature(
        &mut self,
        scheme: &Scheme,
        rule: &MessageRule,
        now: Timestamp,
        make: impl FnOnce(&Message<'_>) -> Option<Zeroizing<Vec<u8>>>,
    ) -> Result<(), SignError> {
        let input = rule.draft(scheme.algorithm, now).ok_or(SignError::NoKey)?;
        let headers = self.headers();
        let base = http_message::signature_base(&self.inbound(&headers), scheme.url(), &input)
            .map_err(SignError::Refused)?;
        let signature = make(&Message::whole_of(base.into_bytes()))
            .ok_or(SignError::OnlyTheSender(scheme.algorithm.name()))?;
        let signature = format!(":{}:", BASE64_STANDARD.encode(&*signature));
        let label = rule.written_label();
        let input = http_message::written(&input).ok_or(SignError::NoKey)?;
        self.set(&FieldRef::header(http_message::INPUT), &format!("{label}={input}"))?;
        self.set(&FieldRef::header(http_message::SIGNATURE), &format!("{label}={signature}"))
    }

    fn headers(&self) -> Headers {
        let headers = self.request.headers.iter();
        headers.map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
    }

    fn inbound<'a>(&'a self, headers: &'a Headers) -> Inbound<'a> {
        Inbound {
            method: "POST",
            path_and_query: &self.path_and_query,
            headers,
            body: &self.request.body,
        }
    }

    /// An id that another body or another moment does not have.
    fn make_id(&self, now: Timestamp) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        hash.update(now.as_millis().to_le_bytes());
        hash.update(&self.request.body);
        let hash = hex::encode(hash.finalize());
        let (id, _) = hash.split_at_checked(24).unwrap_or_default();
        format!("msg_{id}")
    }

    /// Writes a value where the sender puts it.
    fn set(&mut self, place: &FieldRef, value: &str) -> Result<(), SignError> {
        match place {
            FieldRef::Header(name) => {
                self.request.headers.retain(|(known, _)| known != name);
                self.request.headers.push((name.clone().into_owned(), value.to_owned()));
            }
            FieldRef::Query(name) => {
                add_parameter(&mut self.path_and_query, name, value);
                self.request.query.push((name.clone().into_owned(), value.to_owned()));
            }
            FieldRef::Json(path) => {
                let no_place = |_| SignError::NoPlace(place.to_string());
                let mut body: serde_json::Value =
                    serde_json::from_slice(&self.request.body).map_err(no_place)?;
                // A number stays a number: that is how Linear writes the time.
                let is_number = super::payload::find_one(None, &self.request.body, path)
                    .is_some_and(|old| old.parse::<i64>().is_ok())
                    && !is_string(&body, path);
                let value = match value.parse::<i64>() {
                    Ok(number) if is_number => number.into(),
                    _ => value.into(),
                };
                put(&mut body, path, value);
                self.request.body = body.to_string().into_bytes();
            }
            FieldRef::Form(name) => {
                let others = pairs(&self.request.body).filter(|(key, _)| **key != *name.as_bytes());
                let mut fields: Vec<String> = others
                    .map(|(key, value)| {
                        let text = String::from_utf8_lossy;
                        format!(
                            "{}={}",
                            percent_encoded(&text(&key)),
                            percent_encoded(&text(&value))
                        )
                    })
                    .collect();
                fields.push(format!("{}={}", percent_encoded(name), percent_encoded(value)));
                self.request.body = fields.join("&").into_bytes();
            }
            // Written together with the signature.
            FieldRef::List(_) => {}
        }
        Ok(())
    }

    /// The signature with what is around it.
    fn wrap(&self, scheme: &Scheme, signature: &str) -> String {
        match &scheme.signature.format {
            SignatureFormat::Whole { prefix } => format!("{prefix}{signature}"),
            SignatureFormat::List { item, pair, keys } => {
                let mut items = Vec::new();
                let timestamp = scheme.timestamp.as_ref().map(|rule| &rule.at);
                let in_list = [(timestamp, &self.timestamp), (scheme.id.as_ref(), &self.id)];
                for (place, value) in in_list {
                    if let (Some(FieldRef::List(key)), Some(value)) = (place, value) {
                        items.push(format!("{key}{pair}{value}"));
                    }
                }
                items.extend(keys.first().map(|key| format!("{key}{pair}{signature}")));
                items.join(item)
            }
            SignatureFormat::Items { item, at } => self.wrap_items(scheme, item, *at, signature),
        }
    }
}

impl Draft {
    /// The signature among items without keys, each where the scheme looks for it.
    fn wrap_items(
        &self,
        scheme: &Scheme,
        item: &str,
        at: Option<usize>,
        signature: &str,
    ) -> String {
        let timestamp = scheme.timestamp.as_ref().map(|rule| &rule.at);
        let in_list = [(timestamp, &self.timestamp), (scheme.id.as_ref(), &self.id)];
        let mut placed: Vec<(usize, &str)> = Vec::new();
        for (place, value) in in_list {
            if let (Some(FieldRef::List(key)), Some(value)) = (place, value)
                && let Ok(index) = key.parse()
            {
                placed.push((index, value));
            }
        }
        let behind = placed.iter().map(|(index, _)| index.saturating_add(1)).max().unwrap_or(0);
        placed.push((at.unwrap_or(behind), signature));
        placed.sort_unstable_by_key(|(index, _)| *index);
        let mut items: Vec<&str> = Vec::new();
        for (index, value) in placed {
            items.resize(index.min(ITEMS_MAX).max(items.len()), "");
            items.push(value);
        }
        items.join(item)
    }
}

/// The most items that `gatepost send` writes in front of a signature.
const ITEMS_MAX: usize = 100;

fn is_string(body: &serde_json::Value, path: &str) -> bool {
    let pointer = format!("/{}", path.replace('.', "/"));
    body.pointer(&pointer).is_some_and(serde_json::Value::is_string)
}

/// Adds a parameter to an address.
fn add_parameter(address: &mut String, name: &str, value: &str) {
    address.push(if address.contains('?') { '&' } else { '?' });
    address.push_str(&percent_encoded(name));
    address.push('=');
    address.push_str(&percent_encoded(value));
}

impl SignedRequest {
    /// `path_and_query` with the parameters added that the sender puts there.
    pub fn address(&self, path_and_query: &str) -> String {
        let mut address = path_and_query.to_owned();
        for (name, value) in &self.query {
            add_parameter(&mut address, name, value);
        }
        address
    }
}
