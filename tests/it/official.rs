//! What senders give their own customers signs for a running gateway, and verifies what Gatepost
//! signs: `tests/official` says which libraries, `./test` installs them into `target/official`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatepost::clock::{Clock, SystemClock};
use gatepost::event::{EventType, SourceName};
use gatepost::secret::Secret;
use gatepost::source::{Source, SourceSettings};
use serde::{Deserialize, Serialize};

use super::support::gateway::{Folder, SECRET, signature};
use super::support::program::Served;
use super::support::servers::skip;
use super::support::wire;

/// In the form of Standard Webhooks.
const STANDARD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Those that sign by [`SECRET`], `whsec` and what `official.py` has itself.
const SOURCES: &str = r#"
[source.stripe]
provider = "stripe"
secrets = [{ file = "secret" }]
[source.slack]
provider = "slack"
secrets = [{ file = "secret" }]
[source.github]
provider = "github"
secrets = [{ file = "secret" }]
[source.twilio]
provider = "twilio"
secrets = [{ file = "secret" }]
url = "https://hooks.example.com/hooks/twilio"
[source.svix]
provider = "svix"
secrets = [{ file = "whsec" }]
[source.standard]
provider = "standard-webhooks"
secrets = [{ file = "whsec" }]
[source.discord]
provider = "discord"
secrets = [{ file = "ed25519" }]
[source.livekit]
provider = "livekit"
secrets = [{ file = "secret" }]
[source.qstash]
provider = "qstash"
secrets = [{ file = "secret" }]
[source.adyen]
provider = "adyen"
allow_unsigned_body = true
secrets = [{ file = "adyen" }]
[source.message]
secrets = [{ file = "secret" }]
[source.message.verify]
algorithm = "hmac-sha256"
message_signature = { components = ["@method", "@path", "@query", "content-digest"] }
"#;

/// Those whose libraries verify what Gatepost signs in their place.
const VERIFIED: &str = r#"
[source.square]
provider = "square"
secrets = [{ file = "secret" }]
url = "https://hooks.example.com/hooks/square"
[source.paddle]
provider = "paddle"
secrets = [{ file = "secret" }]
[source.linear]
provider = "linear"
secrets = [{ file = "secret" }]
[source.razorpay]
secrets = [{ file = "secret" }]
verify = { algorithm = "hmac-sha256", header = "X-Razorpay-Signature" }
[source.gocardless]
secrets = [{ file = "secret" }]
verify = { algorithm = "hmac-sha256", header = "Webhook-Signature" }
[source.line]
secrets = [{ file = "secret" }]
verify = { algorithm = "hmac-sha256", header = "X-Line-Signature", encoding = "base64" }
"#;

const FILES: &[(&str, &str)] = &[
    ("whsec", STANDARD),
    // Of the seed 00 01 02 … 1f.
    ("ed25519", "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"),
    // Of Adyen's own tests.
    ("adyen", "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"),
];

#[derive(Serialize)]
struct Task {
    secret: &'static str,
    standard: &'static str,
    now: i64,
    bodies: Vec<String>,
    to_verify: Vec<ToVerify>,
}

/// A request that Gatepost signed, for a library to judge.
#[derive(Clone, Serialize)]
struct ToVerify {
    library: String,
    headers: BTreeMap<String, String>,
    body: String,
}

#[derive(Deserialize)]
struct Done {
    signed: Vec<SignedBy>,
    verified: Vec<(String, serde_json::Value)>,
}

/// A request that a library signed.
#[derive(Deserialize)]
struct SignedBy {
    library: String,
    source: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Python and Node with the libraries; fewer where they are not installed, which is told.
fn programs() -> Vec<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = root.join("target/official");
    let python = installed.join("venv/bin/python");
    let mut programs = Vec::new();
    if python.exists() {
        let mut command = Command::new(python);
        command.arg(root.join("tests/official/official.py"));
        programs.push(command);
    } else {
        skip("the senders' libraries of PyPI are not installed");
    }
    if installed.join("node_modules").exists() {
        // Node looks for libraries beside the script.
        let script: PathBuf = installed.join("official.mjs");
        std::fs::copy(root.join("tests/official/official.mjs"), &script).unwrap();
        let mut command = Command::new("node");
        command.arg(script);
        programs.push(command);
    } else {
        skip("the senders' libraries of npm are not installed");
    }
    programs
}

fn run(command: &mut Command, task: &Task) -> Done {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    serde_json::to_writer(&mut stdin, task).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn task(bodies: &[&str], to_verify: Vec<ToVerify>) -> Task {
    let now = SystemClock::new().now().as_millis() / 1000;
    let bodies = bodies.iter().map(|body| BASE64_STANDARD.encode(body)).collect();
    Task { secret: SECRET, standard: STANDARD, now, bodies, to_verify }
}

/// Sends what a library signed, with this body.
fn send(served: &Served, signed: &SignedBy, body: &[u8]) -> u16 {
    let path = format!("/hooks/{}{}", signed.source, signed.query);
    let headers = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    wire::post(served.public(), &path, &headers.collect::<Vec<_>>(), body).status
}

#[test]
fn requests_signed_by_official_libraries_are_believed_and_no_changed_one() {
    let folder = Folder::new("failed_verification_limit = \"off\"", SOURCES);
    for (name, text) in FILES {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mebibyte = "x".repeat(1 << 20);
    let bodies = [r#"{"event":"a","id":1}"#, r#"{"event":"ä€👍"}"#, "", &mebibyte];
    let programs = programs();
    let served = Served::start(&folder);
    for mut program in programs {
        let done = run(&mut program, &task(&bodies, Vec::new()));
        assert!(done.signed.len() >= 10, "{}", done.signed.len());
        for signed in &done.signed {
            let body = BASE64_STANDARD.decode(&signed.body).unwrap();
            let what = format!("{} with {} bytes", signed.library, body.len());
            assert!(send(&served, signed, &body) < 300, "{what} is not believed");
            let mut changed = body;
            match changed.last_mut() {
                Some(last) => *last ^= 1,
                None => changed.push(b'x'),
            }
            assert_eq!(send(&served, signed, &changed), 401, "{what}, changed");
        }
    }
}

/// A request as the sender of `provider` would make it.
fn made(library: &str, provider: &str, secret: &str, body: &str) -> ToVerify {
    let settings = SourceSettings::of_provider(provider, Vec::new()).unwrap();
    let name = SourceName::parse(provider).unwrap();
    let source = Source::with_secrets(name, settings, vec![Secret::new(secret)]).unwrap();
    signed_by(&source, library, body)
}

fn signed_by(source: &Source, library: &str, body: &str) -> ToVerify {
    let now = SystemClock::new().now();
    let path = format!("/hooks/{}", source.name());
    let signed = source.sign(&EventType::new("t"), body.into(), &path, now).unwrap();
    ToVerify {
        library: library.to_owned(),
        headers: signed.headers.into_iter().collect(),
        body: BASE64_STANDARD.encode(&signed.body),
    }
}

/// What each of [`VERIFIED`] makes of `body`, for the library of its name.
fn by_configured_sources(body: &str) -> Vec<ToVerify> {
    let folder = Folder::new("", VERIFIED);
    let Ok((config, _)) = gatepost::config::load(&folder.config()) else {
        panic!("the configuration is good")
    };
    let wanted = |name: &SourceName| VERIFIED.contains(&format!("[source.{name}]"));
    let sources = config.sources.into_iter().filter(|(name, _)| wanted(name));
    let made = sources.map(|(name, settings)| {
        let source = Source::build(name, settings).unwrap();
        signed_by(&source, source.name().as_str(), body)
    });
    made.collect()
}

/// What the handler `http` sends for an event with this body.
fn delivered(body: &str) -> ToVerify {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let handler = format!(
        "[handler.app.http]\nurl = \"http://127.0.0.1:{port}/\"\nsecret = {{ file = \"whsec\" }}\n"
    );
    let folder = Folder::new("", &handler);
    std::fs::write(folder.path().join("whsec"), STANDARD).unwrap();
    let served = Served::start(&folder);
    let headers = [("X-Signature", signature(body.as_bytes()))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(wire::post(served.public(), "/hooks/hyvor", &headers, body.as_bytes()).status, 200);
    let (mut stream, _) = listener.accept().unwrap();
    let mut received = Vec::new();
    let (head, length) = loop {
        let mut bytes = [0; 4096];
        let n_bytes = stream.read(&mut bytes).unwrap();
        received.extend_from_slice(&bytes[..n_bytes]);
        let text = String::from_utf8_lossy(&received).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let head: BTreeMap<_, _> =
            lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let length: usize = head["content-length"].parse().unwrap();
        if received.len() >= text.find("\r\n\r\n").unwrap() + 4 + length {
            break (head, length);
        }
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    let body = BASE64_STANDARD.encode(&received[received.len() - length..]);
    ToVerify { library: String::new(), headers: head, body }
}

#[test]
fn what_gatepost_signs_is_believed_by_official_libraries_and_no_changed_one() {
    let body = r#"{"event":"ä€👍","id":1,"object":"event","events":[],"webhookTimestamp":0}"#;
    let handed_on = delivered(body);
    let mut good = vec![
        made("stripe", "stripe", SECRET, body),
        made("slack_sdk", "slack", SECRET, body),
        made("@octokit/webhooks-methods", "github", SECRET, body),
        made("svix", "svix", STANDARD, body),
        made("standardwebhooks", "standard-webhooks", STANDARD, body),
    ];
    for library in ["svix", "standardwebhooks"] {
        good.push(ToVerify { library: library.to_owned(), ..handed_on.clone() });
    }
    good.extend(by_configured_sources(body));
    let changed = |one: &ToVerify| {
        let body = BASE64_STANDARD.decode(&one.body).unwrap();
        let body = String::from_utf8(body).unwrap().replace("\"id\":1", "\"id\":2");
        ToVerify { body: BASE64_STANDARD.encode(body), ..one.clone() }
    };
    let bad: Vec<_> = good.iter().map(changed).collect();
    for mut program in programs() {
        let verified = run(&mut program, &task(&[], good.clone())).verified;
        assert!(verified.len() >= 10, "{verified:?}");
        for (library, verdict) in verified {
            assert_eq!(verdict, serde_json::Value::Bool(true), "{library}");
        }
        for (library, verdict) in run(&mut program, &task(&[], bad.clone())).verified {
            assert_ne!(verdict, serde_json::Value::Bool(true), "{library}");
        }
    }
}
