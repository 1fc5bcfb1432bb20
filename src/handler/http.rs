//! `http`: forwards each event to a URL.
//!
//! | `format` | what is sent |
//! |---|---|
//! | `body` (default) | the body byte for byte, or what the template `body` gives |
//! | `json` | a JSON array of events, for batches |
//! | `ndjson` | a JSON line for each event, for batches |
//!
//! With every request go `webhook-id` and `idempotency-key` (the event's id: a repeat can be
//! recognised), `webhook-timestamp`, `gatepost-source`, `gatepost-type` and `gatepost-attempt`;
//! with a `secret` also `webhook-signature` as Standard Webhooks has it. A batch has an id made
//! from those of its events.
//!
//! Done is any 2xx of which all came that its length or its chunks promised: what was broken off is
//! sent again, under the same id.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use sha2::{Digest, Sha256};

use super::envelope::write_event;
use super::web::{Guard, Private, Web};
use super::{BuildContext, BuildError, Handler, Kind, KindSettings};
use crate::clock::Clock;
use crate::event::{Delivery, Failure};
use crate::expr::{Escape, Scope, Template};
use crate::secret::SecretRef;
use crate::settings::Table;

mod headers;
mod sign;
#[cfg(test)]
mod tests;

use headers::{Forward, Header};
use sign::Signer;

/// The most events of one request.
const BATCH_MAX: usize = 1000;

/// The largest request that is made of a batch; a larger one is sent event by event.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// `[handler.NAME.http]`.
pub static KIND: Kind = Kind {
    name: "http",
    batch_max: BATCH_MAX,
    read: |table| Some(Box::new(Settings::read(table)?)),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Body,
    Json,
    Ndjson,
}

/// Where to.
#[derive(Clone, Debug)]
enum Target {
    Fixed(Url),
    Template(Arc<Template>),
}

/// What the table says.
#[derive(Clone, Debug)]
pub struct Settings {
    target: Target,
    method: Method,
    format: Format,
    body: Option<Arc<Template>>,
    /// Of what the template gives.
    content_type: &'static str,
    headers: Vec<(HeaderName, Header)>,
    forward: Forward,
    secret: Option<SecretRef>,
    guard: Guard,
}

impl Settings {
    /// Reads the table.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let url = table.require::<String>("url");
        let target = url.as_deref().and_then(|url| read_target(table, url));
        let methods = [
            ("POST", Method::POST),
            ("PUT", Method::PUT),
            ("PATCH", Method::PATCH),
            ("DELETE", Method::DELETE),
            ("GET", Method::GET),
        ];
        let method = table.choice("method", &methods).unwrap_or(Method::POST);
        let formats = [("body", Format::Body), ("json", Format::Json), ("ndjson", Format::Ndjson)];
        let format = table.choice("format", &formats).unwrap_or(Format::Body);
        let escape = table.choice("escape", &[("none", Escape::None), ("json", Escape::Json)]);
        let (escape, content_type) = match escape {
            Some(Escape::Json) => (Escape::Json, "application/json"),
            _ => (Escape::None, "text/plain; charset=utf-8"),
        };
        let body = super::texts::template(table, "body", escape);
        if table.has("body") && format != Format::Body {
            table.problem("body", "a batch has a body of its own", "leave `body` or `format` out");
        }
        if table.has("escape") && !table.has("body") {
            table.problem("escape", "this is for the template `body`, which is missing", "");
        }
        let headers = table.table("headers").map(headers::read).unwrap_or_default();
        let forward = headers::read_forward(table);
        let secret = table.take("secret");
        // A payload that chooses the machine must not choose this one.
        let private = match url.as_deref() {
            Some(url) if has_fixed_host(url) => Private::Allowed,
            _ => Private::Refused,
        };
        let guard = Guard::read(table, private);
        Some(Self {
            target: target?,
            method,
            format,
            body,
            content_type,
            headers,
            forward,
            secret,
            guard,
        })
    }
}

fn read_target(table: &mut Table<'_>, url: &str) -> Option<Target> {
    if url.contains("{{") || url.contains("{%") {
        return super::texts::template(table, "url", Escape::Url).map(Target::Template);
    }
    match parse_url(url) {
        Ok(url) => Some(Target::Fixed(url)),
        Err(message) => {
            // There may be a password in it.
            table.hide("url");
            table.problem("url", message, "as in `http://127.0.0.1:9000/webhooks`");
            None
        }
    }
}

fn parse_url(text: &str) -> Result<Url, &'static str> {
    let url: Url = text.parse().map_err(|_| "this is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("this is not an http or https URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user or password is not taken: use `headers` with a secret");
    }
    Ok(url)
}

/// Whether a part of the path is one that a URL parser takes out together with the part before it:
/// the dots may be written as `%2e`, and `\\` counts as `/`.
fn has_dot_segment(url: &str) -> bool {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let mut parts = path.split(['/', '\\']);
    // The host.
    parts.next();
    parts.any(|part| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
}

/// Whether the template leaves the host as it is.
fn has_fixed_host(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !scheme.contains('{') && !host.contains('{')
}

impl KindSettings for Settings {
    fn batch_needs(&self) -> Option<&'static str> {
        let is_single = self.format == Format::Body;
        is_single.then_some("`format = \"json\"` or `format = \"ndjson\"` in the `http` table")
    }

    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        let signer = match &self.secret {
            Some(secret) => Some(Signer::new(&secret.resolve()?)?),
            None => None,
        };
        Ok(Box::new(HttpHandler {
            headers: headers::build(&self.headers)?,
            settings: self.clone(),
            signer,
            web: Web::new(self.guard.clone(), context)?,
            clock: Arc::clone(&context.clock),
        }))
    }
}

struct HttpHandler {
    settings: Settings,
    headers: Vec<(HeaderName, headers::Ready)>,
    signer: Option<Signer>,
    web: Web,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Handler for HttpHandler {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<(), Failure> {
        match self.settings.format {
            Format::Body => {
                for delivery in deliveries {
                    self.send_body(delivery).await?;
                }
                Ok(())
            }
            Format::Json | Format::Ndjson => self.send_batch(deliveries).await,
        }
    }

    fn batch_max(&self) -> usize {
        match self.settings.format {
            Format::Body => 1,
            Format::Json | Format::Ndjson => BATCH_MAX,
        }
    }
}

impl HttpHandler {
    async fn send_body(&self, delivery: &Delivery) -> Result<(), Failure> {
        let event = &delivery.event;
        let scope = Scope::of(event);
        let mut headers = HeaderMap::new();
        let body = match &self.settings.body {
            None => {
                // Both say what the bytes are, which are passed on as they came.
                for name in [CONTENT_TYPE, CONTENT_ENCODING] {
                    let value = event.headers.get(name.as_str());
                    if let Some(value) = value.and_then(|value| header_value(value).ok()) {
                        headers.insert(name, value);
                    }
                }
                event.body.clone()
            }
            Some(template) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.settings.content_type));
                Bytes::from(template.render(&scope).map_err(Failure::permanent)?)
            }
        };
        self.settings.forward.apply(&mut headers, &event.headers);
        self.send(&event.id.to_string(), delivery, &scope, headers, body).await
    }

    async fn send_batch(&self, deliveries: &[Delivery]) -> Result<(), Failure> {
        let Some(first) = deliveries.first() else { return Ok(()) };
        let is_array = self.settings.format == Format::Json;
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
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let id = match deliveries {
            [_] => first.event.id.to_string(),
            _ => format!("batch-{}", hex::encode(ids.finalize().get(..16).unwrap_or_default())),
        };
        let scope = Scope::of_batch(deliveries);
        self.send(&id, first, &scope, headers, Bytes::from(body)).await
    }

    async fn send(
        &self,
        id: &str,
        delivery: &Delivery,
        scope: &Scope,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), Failure> {
        let event = &delivery.event;
        let seconds = self.clock.now().as_millis().div_euclid(1000).to_string();
        for (name, value) in [
            ("webhook-id", id),
            ("idempotency-key", id),
            ("webhook-timestamp", &seconds),
            ("gatepost-source", event.source.as_str()),
            ("gatepost-type", event.event_type.as_str()),
            ("gatepost-attempt", &delivery.attempt.to_string()),
        ] {
            headers.insert(HeaderName::from_static(name), header_value(value.as_bytes())?);
        }
        if let Some(signer) = &self.signer {
            let signature = signer.sign(id, &seconds, &body);
            let value = header_value(signature.as_bytes())?;
            headers.insert(HeaderName::from_static("webhook-signature"), value);
        }
        // Last: what the owner wrote counts.
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.value(scope)?);
        }
        let url = match &self.settings.target {
            Target::Fixed(url) => url.clone(),
            Target::Template(template) => {
                let text = template.render(scope).map_err(Failure::permanent)?;
                if has_dot_segment(&text) {
                    let why = "the URL's path has a part `.` or `..`, which would lead elsewhere";
                    return Err(Failure::permanent(why));
                }
                parse_url(&text).map_err(Failure::permanent)?
            }
        };
        self.web.send(self.settings.method.clone(), url, headers, body).await?.judge_whole()
    }
}

fn header_value(value: &[u8]) -> Result<HeaderValue, Failure> {
    HeaderValue::from_bytes(value)
        .map_err(|_| Failure::permanent("a header's value has a line break or a control character"))
}
