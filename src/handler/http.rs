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
//! With `rate_limit`, requests are spread evenly: `10/s` is one in 100 ms. What waits uses up no try.
//!
//! Done is any 2xx of which all came that its length or its chunks promised: what was broken off is
//! sent again, under the same id.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};

use super::rate_limit::MinInterval;
use super::web::{self, Guard, Private, Web};
use super::{BuildContext, BuildError, Handler, Kind, KindSettings, Plan, Text};
use crate::clock::Clock;
use crate::event::{Delivery, Failure, Output};
use crate::expr::{Escape, Template};
use crate::secret::SecretRef;
use crate::settings::{RateLimit, Table, TextOrSecret, show_duration, written_secrets};
use crate::trace;

mod chosen;
mod claims;
mod draft;
mod headers;
mod sign;
mod target;
#[cfg(test)]
mod tests;

use chosen::ChosenUrl;
use draft::{Draft, SIGNATURE, TIMESTAMP};
use headers::{Forward, Header};
use sign::Signer;
use target::{Target, has_fixed_host, parse_url, read_target};

/// The most events of one request.
const BATCH_MAX: usize = 1000;
/// The W3C's trace context.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// `[handler.NAME.http]`.
pub static KIND: Kind = Kind {
    name: "http",
    batch_max: BATCH_MAX,
    statuses: Some(200..=599),
    targets: &[],
    planned: &["body", "escape", "format", "forward_headers", "headers", "method", "secret", "url"],
    read: |table| Some(Box::new(Settings::read(table)?)),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Body,
    Json,
    Ndjson,
}

/// What the table says.
#[derive(Clone, Debug)]
pub struct Settings {
    target: Target,
    method: Method,
    format: Format,
    /// Secrets that stand in `url` and in `body` all the same: they are not shown.
    secrets_in_url: Vec<String>,
    secrets_in_body: Vec<String>,
    body: Option<Arc<Template>>,
    /// Of what the template gives.
    content_type: &'static str,
    headers: Vec<(HeaderName, Header)>,
    /// Their names as they are written.
    header_names: Vec<String>,
    forward: Forward,
    secret: Option<SecretRef>,
    rate_limit: Option<RateLimit>,
    /// Whom to believe in place of the system's authorities.
    ca: Option<PathBuf>,
    guard: Guard,
}

impl Settings {
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let url = table.text_of("url");
        let target = table.require("url").and_then(|url| match url {
            TextOrSecret::Text(url) => read_target(table, &url),
            TextOrSecret::Secret(url) => Some(Target::Secret(url)),
        });
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
        let (escape, content_type) = read_escape(table);
        let body = super::texts::template(table, "body", escape);
        check_body(table, format);
        let headers = table
            .table_like("headers", "{ X-Name = \"value\" }")
            .map(|mut table| {
                let names = table.entries().into_iter().map(|(name, _)| name.to_owned());
                (names.collect::<Vec<_>>(), headers::read(table))
            })
            .unwrap_or_default();
        let (header_names, headers) = headers;
        let forward = headers::read_forward(table);
        let secret = table.take("secret");
        let help = "for example `rate_limit = \"10/s\"`";
        let rate_limit = table.checked_or("rate_limit", help, |text: String| {
            RateLimit::parse(&text).map_err(|err| format!("{err}: {}", RateLimit::HELP))
        });
        let ca = table.take("ca");
        // A payload that chooses the machine must not choose this one.
        let private = match url {
            Some(url) if !has_fixed_host(url) => Private::Refused,
            _ => Private::Allowed,
        };
        let guard = Guard::read(table, private);
        if let Some(Target::Fixed(url)) = &target {
            guard.check_key(table, "url", url);
        }
        let written = |key| table.text_of(key).map(written_secrets).unwrap_or_default();
        Some(Self {
            secrets_in_url: written("url"),
            secrets_in_body: written("body"),
            target: target?,
            method,
            format,
            body,
            content_type,
            headers,
            header_names,
            forward,
            secret,
            rate_limit,
            ca,
            guard,
        })
    }

    /// The key of a header, as it is written.
    fn key_of(&self, name: &HeaderName) -> String {
        let written = self.header_names.iter().find(|one| one.eq_ignore_ascii_case(name.as_str()));
        format!("headers.{}", written.map_or(name.as_str(), String::as_str))
    }
}

/// What does not go together with `body`.
fn check_body(table: &mut Table<'_>, format: Format) {
    if table.has("body") && format != Format::Body {
        table.problem("body", "a batch has a body of its own", "leave `body` or `format` out");
    }
    if table.has("escape") && !table.has("body") {
        table.problem(
            "escape",
            "this is for the template `body`, which is missing",
            "leave `escape` out",
        );
    }
}

/// How values are put into `body`, and what it is then.
fn read_escape(table: &mut Table<'_>) -> (Escape, &'static str) {
    let is_json = table.text_of("body").is_some_and(|body| {
        // `{{` and `{%` are the template's.
        let body = body.trim();
        let is_template = ["{{", "{%", "{#"].iter().any(|sign| body.starts_with(sign));
        let is_in = |open, close| body.starts_with(open) && body.ends_with(close);
        is_in('[', ']') || (is_in('{', '}') && !is_template)
    });
    match table.choice("escape", &[("none", Escape::None), ("json", Escape::Json)]) {
        Some(Escape::Json) => (Escape::Json, "application/json"),
        _ if is_json => (Escape::None, "application/json"),
        _ => (Escape::None, "text/plain; charset=utf-8"),
    }
}

#[async_trait]
impl KindSettings for Settings {
    fn plan(&self, _context: &BuildContext, deliveries: &[Delivery]) -> Result<Plan, Failure> {
        let drafts = self.drafts(deliveries)?;
        Ok(drafts.into_iter().map(|draft| self.show(draft)).collect())
    }

    fn batch_needs(&self) -> Option<&'static str> {
        let is_single = self.format == Format::Body;
        is_single.then_some("`format = \"json\"` or `format = \"ndjson\"` in the `http` table")
    }

    fn texts(&self) -> Vec<Text> {
        let url = match &self.target {
            Target::Fixed(_) | Target::Secret(_) => None,
            Target::Template(template) | Target::Chosen(ChosenUrl { template, .. }) => {
                Some(Text::template("url", template))
            }
        };
        let body = self.body.as_ref().map(|body| Text::template("body", body));
        let headers = self.headers.iter().filter_map(|(name, header)| match header {
            Header::Template(template) => Some(Text::template(self.key_of(name), template)),
            Header::Secret { .. } => None,
        });
        url.into_iter().chain(body).chain(headers).collect()
    }

    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        let signer = match &self.secret {
            Some(secret) => Some(Signer::new(&context.secret(secret)?)?),
            None => None,
        };
        Ok(Box::new(HttpHandler {
            secret_url: self.target.secret_url(context)?,
            secrets: headers::secrets(&self.headers, context)?,
            settings: self.clone(),
            signer,
            web: Web::new(self.guard.clone(), self.ca.as_deref(), self.target.speaks(), context)?,
            interval: self
                .rate_limit
                .map(|rate| MinInterval::new(rate.per / rate.n_requests.get())),
            // The rest of the time is for the request.
            wait_max: context.timeout / 2,
            clock: Arc::clone(&context.clock),
        }))
    }

    fn other_end(&self) -> Option<String> {
        match &self.target {
            Target::Fixed(url) => web::place(url),
            Target::Secret(_) => Some("its server".to_owned()),
            Target::Template(_) | Target::Chosen(_) => None,
        }
    }

    async fn check_online(&self, context: &BuildContext) -> Result<(), BuildError> {
        let secret = self.target.secret_url(context)?;
        let url = match &self.target {
            Target::Fixed(url) => Some(url),
            Target::Secret(_) => secret.as_ref(),
            // Which machine it is, an event says.
            Target::Template(_) | Target::Chosen(_) => None,
        };
        let Some(url) = url else { return Ok(()) };
        Web::new(self.guard.clone(), self.ca.as_deref(), self.target.speaks(), context)?
            .reach(url)
            .await
    }
}

struct HttpHandler {
    settings: Settings,
    /// Where all of it is a secret.
    secret_url: Option<Url>,
    /// Headers with secrets in them.
    secrets: Vec<(HeaderName, HeaderValue)>,
    signer: Option<Signer>,
    web: Web,
    /// Between two requests.
    interval: Option<MinInterval>,
    /// How long a request waits for its turn within its call.
    wait_max: Duration,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Handler for HttpHandler {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        let mut output = Output::default();
        for draft in self.settings.drafts(deliveries)? {
            let result = self.act(draft).await;
            output = result.map_err(|failure| {
                let is_same = self.settings.target.has_fixed_host();
                if is_same { failure } else { failure.of_event() }
            })?;
        }
        Ok(output)
    }

    fn batch_max(&self) -> usize {
        match self.settings.format {
            Format::Body => 1,
            Format::Json | Format::Ndjson => BATCH_MAX,
        }
    }
}

impl HttpHandler {
    /// Sends one request, when its turn has come.
    async fn act(&self, draft: Draft) -> Result<Output, Failure> {
        self.take_turn().await?;
        let answer = self.web.send(self.request(draft)?).await?;
        match answer.judge_whole() {
            Ok(()) => Ok(answer.output),
            Err(failure) => Err(failure.with_output(answer.output)),
        }
    }

    /// What was worked out, with what is known by now only.
    fn request(&self, draft: Draft) -> Result<Request, Failure> {
        let Draft { id, url, mut headers, body } = draft;
        let Some(url) = url.or_else(|| self.secret_url.clone()) else {
            return Err(Failure::permanent("there is no URL"));
        };
        let seconds = self.clock.now().as_millis().div_euclid(1000).to_string();
        let signature = self.signer.as_ref().map(|signer| signer.sign(&id, &seconds, &body));
        headers.insert(TIMESTAMP, shared_value(Bytes::from(seconds))?);
        if let Some(signature) = signature {
            let mut signature = header_value(signature.as_bytes())?;
            signature.set_sensitive(true);
            headers.insert(SIGNATURE, signature);
        }
        for (name, value) in &self.secrets {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(span) = trace::current() {
            // The receiver's own spans belong under this try, not under the sender's.
            headers.insert(TRACE_PARENT, header_value(span.traceparent().as_bytes())?);
            headers.remove(TRACE_STATE);
            if !span.state.is_empty() {
                headers.insert(TRACE_STATE, header_value(span.state.as_bytes())?);
            }
        }
        Ok(web::request(self.settings.method.clone(), url, headers, body))
    }

    /// Waits until the rate limit lets a request go; where that takes long, it is no failure.
    async fn take_turn(&self) -> Result<(), Failure> {
        let Some(interval) = &self.interval else { return Ok(()) };
        interval.wait(self.clock.as_ref(), self.wait_max).await.map_err(|wait| {
            let text = format!("`rate_limit` leaves room in {}", show_duration(wait));
            Failure::paused(text, wait)
        })
    }
}

fn header_value(value: &[u8]) -> Result<HeaderValue, Failure> {
    HeaderValue::from_bytes(value).map_err(|_| no_value())
}

/// The same without a copy.
fn shared_value(value: Bytes) -> Result<HeaderValue, Failure> {
    HeaderValue::from_maybe_shared(value).map_err(|_| no_value())
}

fn no_value() -> Failure {
    Failure::permanent("the value has a line break or a control character")
}
