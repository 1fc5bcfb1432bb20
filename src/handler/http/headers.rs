//! The headers of a request: the owner's own, and those that are passed on.

use std::sync::Arc;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::claims::is_claim;
use crate::event::Headers;
use crate::expr::{Escape, Template};
use crate::handler::texts::template_of;
use crate::handler::{BuildContext, BuildError};
use crate::secret::HIDDEN;
use crate::settings::{SecretHeader, Table, Value};

/// A header's value, as configured.
#[derive(Clone, Debug)]
pub(super) enum Header {
    Template(Arc<Template>),
    Secret(SecretHeader),
}

/// Set by the connection or by this kind itself.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Meant for Gatepost, or of no concern behind it. Passed on only where they are named.
const PRIVATE: &[&str] = &["authorization", "cookie", "from", "proxy-authorization", "via"];
/// The beginnings of names of that sort.
const PRIVATE_BEGINNINGS: &[&str] =
    &["cf-", "fastly-client-", "fly-", "x-amzn-", "x-envoy-", "x-vercel-"];

pub(super) fn read(mut table: Table<'_>) -> Vec<(HeaderName, Header)> {
    let mut headers = Vec::new();
    for (name, value) in table.entries() {
        let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
            value.problem("this is not the name of a header", "for example `X-Source`");
            continue;
        };
        let is_claim = is_claim(parsed.as_str());
        if RESERVED.contains(&parsed.as_str()) {
            value.problem("this header is set by Gatepost itself", "leave it out");
        } else if is_claim && value.as_str().is_some_and(|text| text.contains("{{")) {
            value.problem(
                "your application would believe this of its proxy, and no signature covers what \
                 comes in",
                "a fixed value can stand here; or give the header another name",
            );
        } else if let Some(header) = read_header(&parsed, &value) {
            headers.push((parsed, header));
        }
    }
    table.finish();
    headers
}

/// A template, or `{ secret = { … }, prefix = "Bearer " }`.
fn read_header(name: &HeaderName, value: &Value<'_>) -> Option<Header> {
    if value.is_table() {
        return SecretHeader::read(value).map(Header::Secret);
    }
    if value.as_str().is_some_and(|text| !text.contains("{{")) {
        SecretHeader::warn_of_plain(name, value);
    }
    template_of(value, Escape::None).map(Header::Template)
}

/// The headers that hold secrets, ready to be sent.
pub(super) fn secrets(
    headers: &[(HeaderName, Header)],
    context: &BuildContext,
) -> Result<Vec<(HeaderName, HeaderValue)>, BuildError> {
    let mut ready = Vec::new();
    for (name, header) in headers {
        let Header::Secret(header) = header else { continue };
        let secret = context.secret(header.secret())?;
        let value = header.value_of(&secret).map_err(|_| {
            BuildError::Unfit(format!(
                "the secret of header `{name}` has a line break: write it on one line"
            ))
        })?;
        ready.push((name.clone(), value));
    }
    Ok(ready)
}

/// Which of the event's own headers are passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Forward {
    None,
    /// All but those of the connection and those meant for Gatepost.
    All,
    Named(Vec<HeaderName>),
}

/// `forward_headers`: `true`, `false` or a list of names.
pub(super) fn read_forward(table: &mut Table<'_>) -> Forward {
    let key = "forward_headers";
    let Some(value) = table.raw(key, "true, false or a list of headers") else {
        return Forward::None;
    };
    if let Some(is_all) = value.as_bool() {
        return if is_all { Forward::All } else { Forward::None };
    }
    if value.as_str().is_some_and(is_for_all) {
        value.problem("this is no list of headers", FOR_ALL);
        return Forward::None;
    }
    let mut names = Vec::new();
    for name in value.read::<Vec<String>>().unwrap_or_default() {
        if is_for_all(&name) {
            table.problem(key, format_args!("`{name}` is no header's name"), FOR_ALL);
            continue;
        }
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if is_claim(name.as_str()) => table.problem(
                key,
                format_args!("`{name}` is never passed on: no signature covers it"),
                "your application would believe of its proxy what any stranger wrote",
            ),
            Ok(name) if !RESERVED.contains(&name.as_str()) => names.push(name),
            _ => table.problem(key, format_args!("`{name}` cannot be passed on"), "leave it out"),
        }
    }
    Forward::Named(names)
}

const FOR_ALL: &str = "for all of them write `forward_headers = true`";

fn is_for_all(name: &str) -> bool {
    name.contains('*') || ["all", "any", "true", "yes"].contains(&name.to_lowercase().as_str())
}

fn is_private(name: &str) -> bool {
    PRIVATE.contains(&name) || PRIVATE_BEGINNINGS.iter().any(|begin| name.starts_with(begin))
}

impl Forward {
    pub(super) fn apply(&self, headers: &mut HeaderMap, original: &Headers) {
        for (name, value) in original.iter() {
            let is_wanted = match self {
                Self::None => false,
                Self::All => !RESERVED.contains(&name) && !is_private(name) && !is_claim(name),
                Self::Named(names) => names.iter().any(|wanted| wanted.as_str() == name),
            };
            // A password was not stored. What stands in its place is of no use.
            let is_hidden = value == HIDDEN.as_bytes();
            // Set already, from the event: what its body is.
            let is_set = matches!(name, "content-type" | "content-encoding");
            if !is_wanted || is_hidden || is_set {
                continue;
            }
            // What HTTP cannot carry did not come by HTTP.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
            {
                headers.append(name, value);
            }
        }
    }
}
