//! The vectors that are kept in a file.

use std::path::Path;

use base64::Engine as _;
use serde::Deserialize;

use super::*;

/// One of `vectors.json`.
#[derive(Deserialize)]
struct Published {
    name: String,
    algorithm: String,
    secret: String,
    key_encoding: String,
    #[serde(default)]
    strip_prefix: String,
    encoding: String,
    template: String,
    signature: String,
    #[serde(default)]
    vars: std::collections::BTreeMap<String, String>,
    expect: bool,
    body_base64: String,
}

impl Published {
    /// The source that its words configure.
    fn source(&self) -> Source {
        let mut text = String::from("[source.s.verify]\nheader = \"X-S\"\n");
        let algorithm = self.algorithm.replace("ecdsa-p256-sha256", "ecdsa-p256");
        writeln!(text, "algorithm = \"{algorithm}\"\nencoding = \"{}\"", self.encoding).unwrap();
        writeln!(text, "signed = \"{}\"\nstrip = \"{}\"", self.template, self.strip_prefix)
            .unwrap();
        if self.key_encoding != "spki-der-base64" {
            writeln!(text, "key = \"{}\"", self.key_encoding).unwrap();
        }
        if let Some(timestamp) = self.vars.get("timestamp") {
            let unit = match timestamp.len() {
                10 => "s",
                13 => "ms",
                _ => "rfc3339",
            };
            let rule = format!("header = \"X-T\", unit = \"{unit}\", tolerance = \"{TOLERANCE}\"");
            writeln!(text, "timestamp = {{ {rule} }}").unwrap();
        }
        if self.vars.contains_key("id") {
            writeln!(text, "id = {{ header = \"X-Id\" }}").unwrap();
        }
        if let Some(url) = self.vars.get("url") {
            writeln!(text, "url = \"{url}\"").unwrap();
        }
        configured(&text, &[&self.secret])
    }

    fn headers(&self) -> Vec<(&'static str, &str)> {
        let mut headers = vec![("x-s", self.signature.as_str())];
        for (name, header) in [("timestamp", "x-t"), ("id", "x-id")] {
            headers.extend(self.vars.get(name).map(|value| (header, value.as_str())));
        }
        headers
    }
}

/// The vectors with somebody else's longer bodies are not part of the project.
#[expect(clippy::print_stdout, reason = "a test that checks nothing says so")]
fn published() -> Vec<Published> {
    let places = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(1).take(2);
    let mut files = places.map(|folder| folder.join("shared/vectors/vectors.json"));
    let Some(file) = files.find(|file| file.exists()) else {
        println!("skipped: ../shared/vectors/vectors.json is not there");
        return Vec::new();
    };
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn every_vector_beside_the_project_is_verified_and_no_changed_one() {
    for vector in published() {
        let (source, headers) = (vector.source(), vector.headers());
        let body = base64::engine::general_purpose::STANDARD.decode(&vector.body_base64).unwrap();
        let vector_ = Vector { source: &source, method: "POST", headers: &headers, body: &body };
        if vector.expect {
            vector_.check();
        } else {
            vector_.verify(&headers, &body).unwrap_err();
        }
    }
}

#[test]
fn the_presets_take_the_longer_vectors() {
    for vector in published() {
        let body = base64::engine::general_purpose::STANDARD.decode(&vector.body_base64).unwrap();
        let timestamp = vector.vars.get("timestamp").map_or("", String::as_str);
        let signature = match vector.name.as_str() {
            "stripe-dotnet" => &format!("t={timestamp},v1={},v0=00", vector.signature),
            _ => &vector.signature,
        };
        let (source, headers) = match vector.name.as_str() {
            "stripe-dotnet" => {
                (tolerant("stripe", &vector.secret), vec![("Stripe-Signature", signature.as_str())])
            }
            "square" => {
                let url = format!("url = \"{}\"", vector.vars["url"]);
                let headers = vec![("x-square-hmacsha256-signature", signature.as_str())];
                (preset("square", &url, &vector.secret), headers)
            }
            "sendgrid-ecdsa" => {
                let headers = vec![
                    ("X-Twilio-Email-Event-Webhook-Signature", signature.as_str()),
                    ("X-Twilio-Email-Event-Webhook-Timestamp", timestamp),
                ];
                (tolerant("sendgrid", &vector.secret), headers)
            }
            _ => continue,
        };
        let verified =
            Vector { source: &source, method: "POST", headers: &headers, body: &body }.check();
        let expected = match vector.name.as_str() {
            "stripe-dotnet" => "customer.created",
            "square" => "webhooks.test_notification",
            _ => "dropped",
        };
        assert_eq!(verified.event_type().as_str(), expected);
    }
}
