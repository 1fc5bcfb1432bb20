//! `[traces]`.

use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use crate::settings::{SecretHeader, Table, Value};

/// Where the spans of events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracesSettings {
    /// The collector's address, without the path of traces.
    pub endpoint: Url,
    /// What the collector calls this program.
    pub service: String,
    /// What else is sent with each request, such as the collector's key.
    pub headers: Vec<(HeaderName, TracesHeader)>,
}

/// A header's value, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TracesHeader {
    Text(HeaderValue),
    Secret(SecretHeader),
}

/// Set by the connection or by the protocol.
const RESERVED: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The path of traces (OTLP over HTTP).
const PATH: &str = "/v1/traces";

impl TracesSettings {
    /// Where spans are posted.
    pub fn address(&self) -> Url {
        let mut address = self.endpoint.clone();
        let path = address.path().trim_end_matches('/');
        if !path.ends_with(PATH) {
            let path = format!("{path}{PATH}");
            address.set_path(&path);
        }
        address
    }
}

/// Reads `[traces]`; nothing where the table is not there.
pub(super) fn read(root: &mut Table<'_>) -> Option<TracesSettings> {
    let mut table = root.table("traces")?;
    if !cfg!(feature = "otel") {
        let help = "take one with the feature `otel`, or leave the table out";
        table.problem_here("this program was built without traces", help);
    }
    let endpoint = table.require::<String>("endpoint");
    let endpoint = endpoint.and_then(|text| match check_endpoint(&text) {
        Ok(endpoint) => Some(endpoint),
        Err(message) => {
            // There may be a password in it.
            table.hide("endpoint");
            table.problem(
                "endpoint",
                message,
                "for example `endpoint = \"http://127.0.0.1:4318\"`",
            );
            None
        }
    });
    let service = table.take_or("service", "gatepost".to_owned());
    let headers = table.table("headers").map(headers).unwrap_or_default();
    table.finish();
    Some(TracesSettings { endpoint: endpoint?, service, headers })
}

fn headers(mut table: Table<'_>) -> Vec<(HeaderName, TracesHeader)> {
    let mut headers = Vec::new();
    for (name, value) in table.entries() {
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => value.problem("this is not the name of a header", "for example `X-Api-Key`"),
            Ok(name) if RESERVED.contains(&name.as_str()) => {
                value.problem("this header is set by Gatepost itself", "leave it out");
            }
            Ok(name) => {
                if let Some(header) = header(&name, &value) {
                    headers.push((name, header));
                }
            }
        }
    }
    table.finish();
    headers
}

/// A text, or `{ secret = { … }, prefix = "Bearer " }`.
fn header(name: &HeaderName, value: &Value<'_>) -> Option<TracesHeader> {
    if value.is_table() {
        return SecretHeader::read(value).map(TracesHeader::Secret);
    }
    let Some(text) = value.as_str() else {
        value.problem(
            "a header is a text, or says where its secret is kept",
            "for example `X-Api-Key = { secret = { file = \"data/secrets/collector\" } }`",
        );
        return None;
    };
    SecretHeader::warn_of_plain(name, value);
    let parsed = HeaderValue::from_str(text);
    if parsed.is_err() {
        value.problem(
            "no header can have this value",
            "take out line breaks and control characters",
        );
    }
    parsed.ok().map(TracesHeader::Text)
}

fn check_endpoint(text: &str) -> Result<Url, &'static str> {
    let url: Url =
        text.parse().map_err(|_| "this is no address, as in \"http://127.0.0.1:4318\"")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("a collector is reached by http or https, as in \"http://127.0.0.1:4318\"");
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err("neither a user nor a query belongs into the address of a collector");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_traces_is_added_where_it_is_missing() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://c.example/otlp/", "https://c.example/otlp/v1/traces"),
            ("https://c.example/v1/traces", "https://c.example/v1/traces"),
        ] {
            let endpoint = check_endpoint(endpoint).unwrap();
            let settings =
                TracesSettings { endpoint, service: "x".to_owned(), headers: Vec::new() };
            assert_eq!(settings.address().as_str(), expected);
        }
        for wrong in
            ["", "127.0.0.1:4318", "ftp://c.example", "http://u:p@c.example", "http://c/?x"]
        {
            assert!(check_endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
