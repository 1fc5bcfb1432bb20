//! What verification costs, against a limit measured in the same run: `cargo bench --bench verify`.
//!
//! The limit is the bare HMAC-SHA256 of the same 1 KB body with a key that is ready, and the
//! comparison of the decoded signature. Prints nanoseconds of CPU for each, best of several
//! rounds, and the ratio.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program that measures"
)]

use std::hint::black_box;

use gatepost::clock::Timestamp;
use gatepost::event::{EventType, Headers, SourceName};
use gatepost::secret::Secret;
use gatepost::source::{Inbound, Source, SourceSettings};
use hmac::{Hmac, KeyInit, Mac};
use rustix::time::{ClockId, clock_gettime};
use sha2::Sha256;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY_BYTES: usize = 1024;
const ROUNDS: usize = 15;
const PER_ROUND: u32 = 20_000;
/// What one verification may cost.
const TARGET_NS: f64 = 3_000.0;
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn main() {
    let plain = body(r#"{"event":"comment.create","type":"comment.create","#);
    let nested = body(r#"{"type":"event_callback","event":{"type":"message"},"event_id":"Ev1","#);
    let limit = limit(&plain);
    println!("{:>20}  {:>7.0} ns", "bare HMAC-SHA256", limit);
    for provider in ["hyvor-talk", "userecho", "github", "standard-webhooks", "stripe", "slack"] {
        let body = if provider == "slack" { &nested } else { &plain };
        let ns = verification(provider, body);
        let verdict = if ns <= TARGET_NS { "within" } else { "OVER" };
        println!("{provider:>20}  {ns:>7.0} ns  {:.2}x the limit, {verdict} 3 µs", ns / limit);
    }
}

/// A body of 1 KB that begins so.
fn body(begin: &str) -> Vec<u8> {
    let mut body = format!("{begin}\"fill\":\"").into_bytes();
    body.resize(BODY_BYTES - 2, b'x');
    body.extend_from_slice(b"\"}");
    body
}

fn limit(body: &[u8]) -> f64 {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    let mut signed = mac.clone();
    signed.update(body);
    let signature = hex::encode(signed.finalize().into_bytes());
    best(|| {
        let decoded = hex::decode(black_box(&signature)).unwrap();
        let mut mac = mac.clone();
        mac.update(black_box(body));
        assert!(mac.verify_slice(&decoded).is_ok());
    })
}

/// A signed request with the headers that a proxy passes on.
fn verification(provider: &str, body: &[u8]) -> f64 {
    let name = SourceName::parse("hook").unwrap();
    let settings = SourceSettings::of_provider(provider, Vec::new()).unwrap();
    let source = Source::with_secrets(name, settings, vec![Secret::new(SECRET)]).unwrap();
    let event_type = EventType::new("comment.create");
    let signed = source.sign(&event_type, body.to_vec(), "/hooks/hook", NOW).unwrap();
    let usual: [(&str, &[u8]); 5] = [
        ("host", b"example.com"),
        ("user-agent", b"webhook/1.0"),
        ("accept", b"*/*"),
        ("content-length", b"1024"),
        ("x-forwarded-for", b"203.0.113.7"),
    ];
    let own = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers: Headers = usual.into_iter().chain(own).collect();
    let request = Inbound {
        method: "POST",
        path_and_query: "/hooks/hook",
        headers: &headers,
        body: &signed.body,
    };
    best(|| {
        assert!(source.verify(black_box(&request), NOW).is_ok());
    })
}

/// Nanoseconds of this thread's CPU for one call, in the best of the rounds.
fn best(mut call: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let began = cpu_ns();
        for _ in 0..PER_ROUND {
            call();
        }
        (cpu_ns() - began) as f64 / f64::from(PER_ROUND)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn cpu_ns() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
