//! How a question is answered.

use std::sync::Arc;

use minijinja::value::ValueKind;
use serde_json::json;

use crate::body::{self, json::Layout};
use crate::expr::{self, Value};
use crate::secret::Secret;

use super::super::field_ref::{FieldRef, pairs, query};
use super::super::keys::{Algorithm, Key, KeyRule};
use super::super::reply::Reply;
use super::super::request::Inbound;
use super::super::signature::Encoding;
use super::super::template::{Message, Template, Values};

/// The longest text that is sent back, in bytes: no challenge is longer, and no stranger gets to
/// use this endpoint for pages of his own.
pub(super) const ECHO_BYTES_MAX: usize = 1024;
/// The longest answer that a template gives.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// The most fields of a query or form that a template sees.
const FIELDS_MAX: usize = 100;

/// The names that a template of an answer may use.
pub(in crate::source) const NAMES: [&str; 6] =
    ["payload", "query", "form", "headers", "method", "hash"];

/// An answer with a text of the owner's own.
#[derive(Clone, Debug)]
pub struct AnswerTemplate {
    /// The text, over `NAMES`.
    pub text: Arc<expr::Template>,
    /// What it is; empty where it stands in a header.
    pub content_type: &'static str,
    /// The header that it stands in; nothing where it is the body.
    pub header: Option<String>,
    /// What `hash` is in it.
    pub hash: Option<HashRule>,
}

impl PartialEq for AnswerTemplate {
    fn eq(&self, other: &Self) -> bool {
        let same = (self.text.source(), &self.hash, &self.header);
        same == (other.text.source(), &other.hash, &other.header)
    }
}

impl Eq for AnswerTemplate {}

/// A hash of some of the question, which proves to its sender that this side knows a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashRule {
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    pub signed: Template,
}

/// The text in `place`, where it is there, not too long and without control characters.
pub(super) fn text_at(place: &FieldRef, request: &Inbound<'_>) -> Option<String> {
    let text = place.find(request).text()?;
    let is_good = (1..=ECHO_BYTES_MAX).contains(&text.len());
    (is_good && !text.chars().any(char::is_control)).then_some(text)
}

/// How a text of a JSON body is given back that is not all of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EchoForm {
    AsText,
    /// As text too, but within its object where the question is a `url_verification`.
    ByType,
}

/// Gives back what is in `place`, in the form that its senders want.
pub(super) fn echo(place: &FieldRef, request: &Inbound<'_>, form: EchoForm) -> Option<Reply> {
    let text = text_at(place, request)?;
    let is_object = |path: &str| {
        is_whole_body(path, request.body)
            || form == EchoForm::ByType && is_url_verification(place, request)
    };
    match place {
        FieldRef::Header(name) if name == ORIGIN => allow_origin(&text, request),
        FieldRef::Header(name) if name == OKTA => {
            Some(Reply::json(&json!({ "verification": text })))
        }
        FieldRef::Header(name) => {
            let name = if name == SMARTSHEET { SMARTSHEET_ANSWER } else { name };
            let headers = vec![(name.to_owned(), header_value(text)?)];
            Some(Reply { status: 200, headers, ..Reply::default() })
        }
        // Azure Event Grid takes no other answer.
        FieldRef::Json(path) if path.rsplit('.').next() == Some("validationCode") => {
            Some(Reply::json(&json!({ "validationResponse": text })))
        }
        // monday.com, Feishu and others want the object back that they sent: a number as a number.
        FieldRef::Json(path) if !path.contains('.') && is_object(path) => {
            let value = payload(request)?.get_attr(path).ok()?;
            let answer = map([(path.as_ref(), value)]);
            Some(Reply::json_text(body::json::write(&answer, Layout::Compact).ok()?))
        }
        FieldRef::Json(_) | FieldRef::Query(_) | FieldRef::Form(_) | FieldRef::List(_) => {
            Some(Reply::text(text))
        }
    }
}

/// Where the question of `CloudEvents` is, whether it may send here (HTTP 1.1 Web Hooks for Event
/// Delivery, section 4).
pub(super) const ORIGIN: &str = "webhook-request-origin";

/// Okta wants its text back in JSON (Event hooks, One-time verification request).
const OKTA: &str = "x-okta-verification-challenge";

/// Smartsheet wants its text back under another name (its API's guide, Webhook verification).
const SMARTSHEET: &str = "smartsheet-hook-challenge";
const SMARTSHEET_ANSWER: &str = "smartsheet-hook-response";

fn allow_origin(origin: &str, request: &Inbound<'_>) -> Option<Reply> {
    let rate =
        text_at(&FieldRef::header("webhook-request-rate"), request).unwrap_or("*".to_owned());
    let headers = vec![
        ("webhook-allowed-origin".to_owned(), header_value(origin.to_owned())?),
        ("webhook-allowed-rate".to_owned(), header_value(rate)?),
    ];
    Some(Reply { status: 200, headers, ..Reply::default() })
}

/// Text that can stand in a header.
fn header_value(text: String) -> Option<String> {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()).then_some(text)
}

/// Whether `place` is the challenge of Slack, and of Feishu and others who copied it: an event has no such type.
pub(super) fn is_url_verification(place: &FieldRef, request: &Inbound<'_>) -> bool {
    let of_body = |name: &'static str| FieldRef::Json(name.into());
    *place == of_body("challenge")
        && of_body("type").find(request).text().as_deref() == Some("url_verification")
}

/// Whether the body is an object with this field alone, and so on down a dotted path.
pub(super) fn is_whole_body(path: &str, body: &[u8]) -> bool {
    let Ok((mut value, _)) = body::json::read(body) else { return false };
    path.split('.').all(|name| {
        let is_alone = value.kind() == ValueKind::Map && value.len() == Some(1);
        value = value.get_attr(name).unwrap_or_default();
        is_alone && !value.is_undefined()
    })
}

impl AnswerTemplate {
    /// The answer to `request`; nothing where it cannot be made of it, or `secret` may not hash it.
    pub(super) fn reply(
        &self,
        url: Option<&str>,
        request: &Inbound<'_>,
        secret: Option<&Secret>,
        may_hash: impl Fn(&Secret, &[u8]) -> bool,
    ) -> Option<Reply> {
        let hash = match &self.hash {
            Some(rule) => Some(rule.hash(url, request, secret?, may_hash)?),
            None => None,
        };
        let payload = payload(request).unwrap_or(Value::from(()));
        let values = [
            ("payload", payload.clone()),
            // What a template asks for a field of the payload: see `expr::rewrite`.
            ("payload_fields", payload),
            ("query", fields(query(request).as_bytes())),
            ("form", fields(request.body)),
            ("headers", headers(request)),
            ("method", Value::from(request.method)),
            ("hash", Value::from(hash)),
        ];
        let body = self.text.render_value(map(values)).ok()?;
        if let Some(name) = &self.header {
            let headers = vec![(name.clone(), header_value(body)?)];
            return Some(Reply { status: 200, headers, ..Reply::default() });
        }
        let is_json = self.content_type == "application/json";
        let body = if is_json { body::json::without_spare_commas(body) } else { body };
        (body.len() <= ANSWER_BYTES_MAX).then(|| Reply {
            status: 200,
            content_type: self.content_type.into(),
            headers: Vec::new(),
            body: body.into_bytes(),
        })
    }
}

impl HashRule {
    fn hash(
        &self,
        url: Option<&str>,
        request: &Inbound<'_>,
        secret: &Secret,
        may_hash: impl Fn(&Secret, &[u8]) -> bool,
    ) -> Option<String> {
        let key = Key::new(self.algorithm, &KeyRule::UTF8, secret).ok()?;
        let values = Values { url, ..Values::default() };
        let message = Message::of(&self.signed, request, &values).ok()?;
        may_hash(secret, &message.whole(secret.expose())).then_some(())?;
        Some(self.encoding.encode(&key.sign(&message)?))
    }
}

/// The question's body as every reader sees it, its numbers as they were written; what is packed stays so, as
/// long as nothing is believed.
fn payload(request: &Inbound<'_>) -> Option<Value> {
    let content_type = request.headers.get("content-type");
    let payload = body::read(content_type, Some(b"identity"), request.body).ok()?;
    Some(payload.value().clone()).filter(|value| !value.is_undefined())
}

/// The fields of a query or form; of a repeated one the last.
fn fields(text: &[u8]) -> Value {
    let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = pairs(text).take(FIELDS_MAX);
    map(fields.map(|(name, value)| (text_of(&name), Value::from(text_of(&value)))))
}

fn headers(request: &Inbound<'_>) -> Value {
    let text = |value: &[u8]| Value::from(String::from_utf8_lossy(value));
    map(request.headers.iter().map(|(name, value)| (name, text(value))))
}

/// A map as payloads have them; of a repeated name the last.
fn map(fields: impl IntoIterator<Item = (impl Into<Box<str>>, Value)>) -> Value {
    body::json::map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}
