//! From deliveries to requests. Nothing here waits, and no secret is known here.

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use sha2::{Digest, Sha256};

use super::headers::Header;
use super::{Format, Settings, Target, header_value, parse_url, shared_value};
use crate::body::json::without_spare_commas;
use crate::event::{Delivery, Failure};
use crate::expr::Scope;
use crate::handler::envelope::write_event;
use crate::handler::plan::{Content, SECRET, Step, Unshown};
use crate::settings::{is_secret_header, without_secrets};

pub(super) const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// In place of what is known only then.
const WHEN_SENT: &str = "(made when it is sent)";

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const SOURCE: HeaderName = HeaderName::from_static("gatepost-source");
const TYPE: HeaderName = HeaderName::from_static("gatepost-type");
const ATTEMPT: HeaderName = HeaderName::from_static("gatepost-attempt");

/// Headers that no secret is in, whatever the words of their names: `check --against` asks for each of a
/// million requests.
const PLAIN: [HeaderName; 7] =
    [CONTENT_TYPE, CONTENT_ENCODING, WEBHOOK_ID, IDEMPOTENCY_KEY, SOURCE, TYPE, ATTEMPT];

/// What most events are, which needs no memory.
const JSON: &[u8] = b"application/json";

/// As many as most requests have, with those that are added when they are sent.
const HEADERS_USUAL: usize = 12;

/// The largest request that is made of a batch; a larger one is sent event by event.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A request that lacks what is known only when it is sent: the time, the signature and headers with
/// secrets.
pub(super) struct Draft {
    /// What its repeat is recognised by.
    pub(super) id: String,
    /// `None` = all of it is a secret.
    pub(super) url: Option<Url>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Draft {
    /// The same with a body that is JSON, where commas are all that is wrong with it.
    fn without_spare_commas(mut self) -> Self {
        let content_type = self.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let is_json = content_type.split_at_checked(JSON.len()).is_some_and(|(head, rest)| {
            head.eq_ignore_ascii_case(JSON)
                && !matches!(rest, [b'a'..=b'z' | b'-' | b'0'..=b'9', ..])
        });
        if is_json {
            self.body = match String::from_utf8(self.body.into()) {
                Ok(text) => without_spare_commas(text).into(),
                Err(err) => err.into_bytes().into(),
            };
        }
        self
    }
}

impl Settings {
    /// The requests that a call makes.
    pub(super) fn drafts(&self, deliveries: &[Delivery]) -> Result<Vec<Draft>, Failure> {
        match self.format {
            Format::Body => deliveries.iter().map(|delivery| self.single(delivery)).collect(),
            Format::Json | Format::Ndjson => self.batch(deliveries).map(Vec::from_iter),
        }
    }

    /// What is shown of a request.
    pub(super) fn show(&self, draft: Draft) -> Step {
        let Draft { id: _, url, headers, body } = draft;
        let mut shown: Vec<(String, String)> = Vec::new();
        let mut masked: Vec<&HeaderValue> = Vec::new();
        let mut references = Vec::new();
        for (name, value) in &headers {
            let shown_value = String::from_utf8_lossy(value.as_bytes());
            let is_secret = !PLAIN.contains(name) && is_secret_header(name.as_str(), &shown_value);
            let plain = match (PLAIN.contains(name), is_secret) {
                (_, true) => SECRET.to_owned(),
                (true, false) => shown_value.into_owned(),
                (false, false) => without_secrets(&shown_value, SECRET),
            };
            if plain.as_bytes() != value.as_bytes() {
                masked.push(value);
            }
            shown.push((name.to_string(), plain));
        }
        for (name, header) in &self.headers {
            if let Header::Secret(header) = header {
                references.push(header);
                shown.push((name.to_string(), format!("{}{SECRET}", header.prefix)));
            }
        }
        shown.push((TIMESTAMP.to_string(), WHEN_SENT.to_owned()));
        if self.secret.is_some() {
            shown.push((SIGNATURE.to_string(), WHEN_SENT.to_owned()));
        }
        let place = match &self.target {
            Target::Secret(place) => Some(place),
            Target::Fixed(_) | Target::Template(_) | Target::Chosen(_) => None,
        };
        let hidden_body = (!self.secrets_in_body.is_empty()).then_some(&body);
        let secret = Unshown::of((&url, place, masked, references, &self.secret, hidden_body));
        let url = match &url {
            None => SECRET.to_owned(),
            Some(url) => without_secrets(&without(url.as_str(), &self.secrets_in_url), SECRET),
        };
        let body = match (hidden_body, std::str::from_utf8(&body)) {
            (Some(_), Ok(text)) => without(text, &self.secrets_in_body).into_bytes(),
            _ => body.into(),
        };
        let method = self.method.to_string();
        Step::Request { method, url, headers: shown, body: Content(body), secret }
    }

    fn single(&self, delivery: &Delivery) -> Result<Draft, Failure> {
        let event = &delivery.event;
        let scope = Scope::of(event);
        let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
        let body = match &self.body {
            // Some servers and caches refuse a GET with a body, and none needs one.
            None if self.method == Method::GET => Bytes::new(),
            None => {
                // Both say what the bytes are, which are passed on as they came.
                for name in [CONTENT_TYPE, CONTENT_ENCODING] {
                    let value = event.headers.get(name.as_str()).map(|value| match value {
                        JSON => Ok(HeaderValue::from_static("application/json")),
                        _ => header_value(value),
                    });
                    if let Some(Ok(value)) = value {
                        headers.insert(name, value);
                    }
                }
                event.body.clone()
            }
            Some(template) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
                Bytes::from(template.render(&scope).map_err(Failure::permanent)?)
            }
        };
        self.forward.apply(&mut headers, &event.headers);
        let draft = self.draft(event.id.to_string(), delivery, &scope, headers, body)?;
        // Commas that parts of a template leave where other parts are not written for this event.
        Ok(if self.body.is_some() { draft.without_spare_commas() } else { draft })
    }

    fn batch(&self, deliveries: &[Delivery]) -> Result<Option<Draft>, Failure> {
        let Some(first) = deliveries.first() else { return Ok(None) };
        let is_array = self.format == Format::Json;
        let mut body = Vec::new();
        let mut ids = Sha256::new();
        for (index, delivery) in deliveries.iter().enumerate() {
            if is_array {
                body.push(if index == 0 { b'[' } else { b',' });
            }
            write_event(&mut body, &delivery.event, Some(delivery.attempt));
            if !is_array {
                body.push(b'\n');
            }
            ids.update(delivery.event.id.0);
            if body.len() > BATCH_BYTES_MAX && deliveries.len() > 1 {
                // The caller then tries one by one.
                return Err(Failure::permanent("the batch is larger than 16 MiB"));
            }
        }
        if is_array {
            body.push(b']');
        }
        let content_type = if is_array { "application/json" } else { "application/x-ndjson" };
        let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let id = match deliveries {
            [_] => first.event.id.to_string(),
            _ => format!("batch-{}", hex::encode(ids.finalize().get(..16).unwrap_or_default())),
        };
        let scope = Scope::of_batch(deliveries);
        self.draft(id, first, &scope, headers, Bytes::from(body)).map(Some)
    }

    fn draft(
        &self,
        id: String,
        delivery: &Delivery,
        scope: &Scope,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Draft, Failure> {
        let event = &delivery.event;
        let attempt = delivery.attempt.to_string();
        let [message_id, source, event_type, attempt] =
            header_values([&id, event.source.as_str(), event.event_type.as_str(), &attempt]);
        let message_id = message_id?;
        headers.insert(WEBHOOK_ID, message_id.clone());
        headers.insert(IDEMPOTENCY_KEY, message_id);
        headers.insert(SOURCE, source?);
        headers.insert(TYPE, event_type?);
        headers.insert(ATTEMPT, attempt?);
        // Last: what the owner wrote counts.
        for (name, header) in &self.headers {
            if let Header::Template(template) = header {
                let text = template.render(scope).map_err(Failure::permanent)?;
                // A title of two lines is one in a header, as in a mail's.
                let text = text
                    .split(|c: char| c.is_ascii_control() && c != '\t')
                    .map(str::trim)
                    .filter(|line| !line.is_empty());
                let value = header_value(text.collect::<Vec<_>>().join(" ").as_bytes());
                let named = |err| Failure::permanent(format_args!("header `{name}`: {err}"));
                headers.insert(name.clone(), value.map_err(named)?);
            }
        }
        let url = self.url(scope)?;
        if let Some(url) = &url {
            self.guard.check_url(url).map_err(|refused| {
                let failure = Failure::permanent(refused);
                if self.target.has_fixed_host() { failure } else { failure.of_event() }
            })?;
        }
        Ok(Draft { id, url, headers, body })
    }

    fn url(&self, scope: &Scope) -> Result<Option<Url>, Failure> {
        let text = match &self.target {
            Target::Fixed(url) => return Ok(Some(url.clone())),
            Target::Secret(_) => return Ok(None),
            Target::Template(template) => template.render(scope),
            Target::Chosen(chosen) => chosen.render(scope),
        };
        checked(&text.map_err(Failure::permanent)?).map(Some)
    }
}

/// `values` as those of headers, all in one piece of memory: the client copies its headers three times, and
/// each value with memory of its own costs two allocations.
fn header_values<const N: usize>(values: [&str; N]) -> [Result<HeaderValue, Failure>; N] {
    let mut rest = Bytes::from(values.concat());
    values.map(|value| shared_value(rest.split_to(value.len())))
}

fn without(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, SECRET))
}

fn checked(text: &str) -> Result<Url, Failure> {
    if has_dot_segment(text) {
        let why = "the URL's path has a part `.` or `..`, which would lead elsewhere";
        return Err(Failure::permanent(why));
    }
    parse_url(text).map_err(Failure::permanent)
}

/// Whether a part of the path is one that a URL parser takes out together with the part before it:
/// the dots may be written as `%2e`, and `\\` counts as `/`.
pub(super) fn has_dot_segment(url: &str) -> bool {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let mut parts = path.split(['/', '\\']);
    // The host.
    parts.next();
    parts.any(|part| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
}
