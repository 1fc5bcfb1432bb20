//! Signatures that others have published, through the real listener: each as published, and with
//! one byte changed. The sources of the short ones stand beside them in `src/source/tests/vectors.rs`.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::support::gateway::{Folder, Gateway};

/// The vectors are old.
const TOLERANCE: &str = "tolerance = \"36500d\"";

/// A published request, and the source that takes it.
struct Vector {
    name: String,
    /// What stands in the source's table beside `secrets`.
    source: String,
    secret: String,
    /// The signature comes first.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    is_good: bool,
}

fn vector(name: &str, source: &str, secret: &str, headers: &[(&str, &str)], body: &str) -> Vector {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Vector {
        name: name.to_owned(),
        source: source.to_owned(),
        secret: secret.to_owned(),
        headers: headers.iter().map(own).collect(),
        body: body.into(),
        is_good: true,
    }
}

fn preset(name: &str) -> String {
    format!("provider = \"{name}\"")
}

/// Those that are short enough to be typed.
fn short() -> Vec<Vector> {
    let everybody = "It's a Secret to Everybody";
    let hello = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let mut vectors = Vec::new();
    for (name, header) in [
        ("github", "X-Hub-Signature-256"),
        ("bitbucket", "X-Hub-Signature"),
        ("meta", "X-Hub-Signature-256"),
    ] {
        vectors.push(vector(name, &preset(name), everybody, &[(header, hello)], "Hello, World!"));
    }
    for name in ["hyvor-talk", "hyvor-blogs", "hyvor-relay"] {
        let content = "230d8225fa8d7c42c0d16356ff175a660c11960fc035616023b8d22a8f36f03a";
        vectors.push(vector(name, &preset(name), "secret", &[("X-Signature", content)], "content"));
    }
    for name in ["standard-webhooks", "svix", "gitlab"] {
        let headers = [
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
        ];
        let source = format!("{}\n{TOLERANCE}", preset(name));
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        vectors.push(vector(name, &source, secret, &headers, r#"{"test": 2432232314}"#));
    }
    let octokit = "sha256=4864d2759938a15468b5df9ade20bf161da9b4f737ea61794142f3484236bda3";
    let octokit = [("X-Hub-Signature-256", octokit)];
    vectors.push(vector("octokit", &preset("github"), "mysecret", &octokit, r#"{"foo":"bar"}"#));
    let twilio =
        format!("{}\nurl = \"https://mycompany.com/myapp.php?foo=1&bar=2\"", preset("twilio"));
    let body = "Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&\
        CallSid=CA1234567890ABCDE";
    let signature = [("X-Twilio-Signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=")];
    vectors.push(vector("twilio", &twilio, "12345", &signature, body));
    // RFC 8032 section 7.1 test 2.
    let key = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
        085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    let ed25519 = "verify = { algorithm = \"ed25519\", header = \"X-S\" }";
    vectors.push(vector("ed25519", ed25519, key, &[("X-S", signature)], "\x72"));
    vectors
}

/// Those with somebody else's longer bodies, which are not part of the project, and the short
/// ones once more by a `verify` table.
#[expect(clippy::print_stdout, reason = "a test that checks less says so")]
fn beside_the_project() -> Vec<Vector> {
    let places = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(1).take(2);
    let mut files = places.map(|folder| folder.join("shared/vectors/vectors.json"));
    let Some(file) = files.find(|file| file.exists()) else {
        println!("skipped in part: ../shared/vectors/vectors.json is not there");
        return Vec::new();
    };
    let vectors: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    vectors
        .iter()
        .flat_map(|vector| [Some(by_table(vector)), by_preset(vector)])
        .flatten()
        .collect()
}

fn by_table(vector: &Value) -> Vector {
    let text = |key: &str| vector[key].as_str().unwrap_or_default();
    let vars = &vector["vars"];
    let algorithm = text("algorithm").replace("ecdsa-p256-sha256", "ecdsa-p256");
    let mut table = format!("algorithm = \"{algorithm}\", header = \"X-S\"");
    write!(table, ", encoding = \"{}\", signed = \"{}\"", text("encoding"), text("template"))
        .unwrap();
    write!(table, ", strip = \"{}\"", text("strip_prefix")).unwrap();
    if text("key_encoding") != "spki-der-base64" {
        write!(table, ", key = \"{}\"", text("key_encoding")).unwrap();
    }
    let mut headers = vec![("X-S".to_owned(), text("signature").to_owned())];
    if let Some(timestamp) = vars["timestamp"].as_str() {
        let unit = match timestamp.len() {
            10 => "s",
            13 => "ms",
            _ => "rfc3339",
        };
        write!(table, ", timestamp = {{ header = \"X-T\", unit = \"{unit}\", {TOLERANCE} }}")
            .unwrap();
        headers.push(("X-T".to_owned(), timestamp.to_owned()));
    }
    if let Some(id) = vars["id"].as_str() {
        table += ", id = { header = \"X-Id\" }";
        headers.push(("X-Id".to_owned(), id.to_owned()));
    }
    if let Some(url) = vars["url"].as_str() {
        write!(table, ", url = \"{url}\"").unwrap();
    }
    Vector {
        name: text("name").to_owned(),
        source: format!("verify = {{ {table} }}"),
        secret: text("secret").to_owned(),
        headers,
        body: STANDARD.decode(text("body_base64")).unwrap(),
        is_good: vector["expect"] == true,
    }
}

fn by_preset(vector: &Value) -> Option<Vector> {
    let text = |key: &str| vector[key].as_str().unwrap_or_default();
    let (timestamp, signature) = (vector["vars"]["timestamp"].as_str(), text("signature"));
    let timestamp = timestamp.unwrap_or_default();
    let tolerant = |name: &str| format!("{}\n{TOLERANCE}", preset(name));
    let (source, headers) = match text("name") {
        "stripe-dotnet" => {
            let list = format!("t={timestamp},v1={signature}");
            (tolerant("stripe"), vec![("Stripe-Signature", list)])
        }
        "slack-docs" => {
            let headers = vec![
                ("X-Slack-Signature", format!("v0={}", signature.trim_start_matches("v0="))),
                ("X-Slack-Request-Timestamp", timestamp.to_owned()),
            ];
            (tolerant("slack"), headers)
        }
        "square" => {
            let url = vector["vars"]["url"].as_str()?;
            let source = format!("{}\nurl = \"{url}\"", preset("square"));
            (source, vec![("x-square-hmacsha256-signature", signature.to_owned())])
        }
        "sendgrid-ecdsa" => {
            let headers = vec![
                ("X-Twilio-Email-Event-Webhook-Signature", signature.to_owned()),
                ("X-Twilio-Email-Event-Webhook-Timestamp", timestamp.to_owned()),
            ];
            (tolerant("sendgrid"), headers)
        }
        _ => return None,
    };
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Some(Vector { source, headers, name: format!("{}-preset", text("name")), ..by_table(vector) })
}

fn post(gateway: &Gateway, number: usize, headers: &[(String, String)], body: &[u8]) -> u16 {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    gateway.post(&format!("v{number}"), &headers, body).status
}

#[test]
fn every_published_signature_is_taken_and_no_changed_one() {
    let vectors: Vec<Vector> = short().into_iter().chain(beside_the_project()).collect();
    let mut rest = String::new();
    for (number, vector) in vectors.iter().enumerate() {
        writeln!(rest, "[source.v{number}]\nsecrets = [{{ file = \"secret-{number}\" }}]").unwrap();
        writeln!(rest, "{}", vector.source).unwrap();
    }
    let folder = Folder::new("", &rest);
    for (number, vector) in vectors.iter().enumerate() {
        let file = folder.path().join(format!("secret-{number}"));
        std::fs::write(file, format!("{}\n", vector.secret)).unwrap();
    }
    let gateway = Gateway::serve(folder);
    for (number, vector) in vectors.iter().enumerate() {
        let Vector { name, headers, body, .. } = vector;
        let expected = if vector.is_good { 200 } else { 401 };
        assert_eq!(post(&gateway, number, headers, body), expected, "{name}");
        for at in [0, body.len() / 2, body.len() - 1] {
            let mut changed = body.clone();
            changed[at] ^= 1;
            assert_eq!(post(&gateway, number, headers, &changed), 401, "{name}: byte {at}");
        }
        let mut changed = headers.clone();
        let signature = &mut changed[0].1;
        let at = signature.len() / 2;
        let other = if signature.as_bytes()[at] == b'0' { "1" } else { "0" };
        signature.replace_range(at..=at, other);
        assert_eq!(post(&gateway, number, &changed, body), 401, "{name}: the signature");
        assert_eq!(post(&gateway, number, &headers[1..], body), 401, "{name}: none");
    }
}
