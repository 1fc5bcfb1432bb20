//! What strangers, owners and disks hand us, as functions of any bytes: the bodies of the fuzz
//! targets in `fuzz/`, which a test runs over the same seeds (`tests/it/fuzz.rs`).
//!
//! Each must return, whatever it is given; a panic is a finding.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use crate::body;
use crate::clock::Timestamp;
use crate::config;
use crate::event::{DataRoot, Event, EventId, EventType, Headers, NewEvent, Position, SourceName};
use crate::expr::{Escape, Expression, Scope, Template as ExprTemplate};
use crate::http::client;
use crate::ingest::RejectedRing;
use crate::queue::embedded::record::{HEADER_BYTES, Kind, Next, Record, Scan, SegmentId};
use crate::queue::embedded::take_over;
use crate::secret::Secret;
use crate::settings::ReportStyle;
use crate::source::{
    self, FieldRef, Inbound, Overrides, PROVIDERS, Rejected, SigningProfile, Source,
    SourceSettings, Template, TimestampRule, Unit,
};

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its folder of seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("headers", headers),
    ("template", template),
    ("config", config),
    ("record", record),
    ("rejected", rejected),
    ("body", body),
    ("expression", expression),
];

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A request as its lines `name: value`, an empty line and the body, shown to every provider.
pub fn headers(data: &[u8]) {
    let (head, body) = match data.windows(2).position(|window| window == b"\n\n") {
        Some(at) => data.split_at_checked(at).unwrap_or_default(),
        None => (data, &b""[..]),
    };
    let body = body.get(2..).unwrap_or_default();
    let mut builder = Headers::builder();
    for line in head.split(|byte| *byte == b'\n') {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at_checked(at).unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_lowercase();
        builder.push(&name, value.get(1..).unwrap_or_default().trim_ascii());
    }
    let headers = builder.finish();
    let again = Headers::from_encoded(headers.encoded().clone());
    assert!(headers.iter().eq(again.iter()), "what is stored comes back");
    // As a file on disk may hold it.
    assert!(Headers::from_encoded(Bytes::copy_from_slice(data)).iter().count() <= data.len());
    for name in ["x-forwarded-for", "forwarded"] {
        let lists: Vec<_> = headers.get_all(name).collect();
        let hops = client::hops_in(name, lists.into_iter());
        client::address([10, 0, 0, 1].into(), |address| address.is_ipv4(), hops);
    }

    let path_and_query = headers.get("path").map_or("/hooks/s".into(), String::from_utf8_lossy);
    let path_and_query = &path_and_query;
    let request = Inbound { method: "POST", path_and_query, headers: &headers, body };
    for source in SOURCES.iter() {
        match source.verify(&request, NOW) {
            Ok(verified) => {
                source.answer_verified(&request, &verified);
            }
            Err(rejection) => {
                source.answer_unverified(&request, &rejection);
            }
        }
    }
    // Tries hundreds of things: one source for each request is enough.
    let which = data.len().checked_rem(SOURCES.len()).unwrap_or(0);
    if let Some(source) = SOURCES.get(which) {
        let all: Vec<&Source> = SOURCES.iter().collect();
        source::explain(source, &all, &Rejected { request, received_at: NOW });
    }
}

/// The text of `signed`: read, shown again, signed by and verified.
pub fn template(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(template) = Template::parse(&text) else { return };
    assert_eq!(Template::parse(&template.to_string()).ok().as_ref(), Some(&template));
    let Some(mut profile) = SigningProfile::provider("hyvor-talk") else { return };
    for scheme in &mut profile.schemes {
        scheme.signed = Some(template.clone());
        scheme.url = Some("https://example.com/hook?a=b".to_owned());
        scheme.id = Some(FieldRef::header("x-id"));
        let (at, tolerance) = (FieldRef::header("x-time"), TimestampRule::TOLERANCE);
        scheme.timestamp = Some(TimestampRule { at, unit: Unit::Seconds, tolerance });
        scheme.weaknesses();
    }
    let Some(source) = source(SourceSettings::new(profile, Vec::new()), "k") else { return };
    for body in [&br#"{"a":{"b":1}}"#[..], b"a=1&b=%32", b""] {
        // Some things cannot be put where they are wanted.
        let signed = source.sign(&EventType::new("t"), body.to_vec(), "/hooks/s", NOW);
        let Ok(signed) = signed else { continue };
        let headers = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let request = Inbound {
            method: "POST",
            path_and_query: &signed.address("/hooks/s"),
            headers: &headers.collect(),
            body: &signed.body,
        };
        assert!(source.verify(&request, NOW).is_ok(), "what is signed is believed");
    }
}

/// A configuration file.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let checked = config::check_text(&text, "config.toml", Path::new("/srv"), None);
    for style in [ReportStyle::Plain, ReportStyle::Coloured] {
        checked.report.render(style);
    }
    checked.report.entries();
    let is_good = checked.report.counts().0 == 0;
    assert_eq!(checked.config.is_some(), is_good, "settings or what is wrong with them");
    if let Some(config) = &checked.config {
        assert!(config::diff(config, config).is_empty());
    }
}

/// Bytes of a segment of the log, or the payload of one of its records or of version 1's.
pub fn record(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    let mut scan = Scan::new(data, 0, SegmentId { number: 3, salt: 7 });
    let mut end = 0;
    while let Some(found) = scan.next(end) {
        let (at, header) = found.place();
        end = at + header.record_bytes();
        if let Next::Whole { kind, .. } = found {
            drop(Record::decode(kind, &payload.slice(at + HEADER_BYTES..end)));
        }
    }
    for kind in Kind::ALL {
        if let Some(Record::Event(event, _)) = Record::decode(kind, &payload) {
            assert!(event.headers.iter().count() + event.body.len() <= data.len());
        }
    }
    take_over::decode_any(&payload);
}

/// The file of rejected requests, or the payload of one of its records: a checksum guards those.
pub fn rejected(data: &[u8]) {
    let sources: Vec<&Source> = SOURCES.iter().take(1).collect();
    for ring in [RejectedRing::of_bytes(data), RejectedRing::of_payload(data)] {
        assert!(ring.len() <= RejectedRing::ENTRIES_MAX);
        for request in ring.list(usize::MAX) {
            assert!(request.headers.iter().count() + request.body.len() <= data.len());
            assert!(ring.get(request.number).is_some());
            ring.explain(request.number, &sources);
        }
    }
}

/// A body: a content type, a line end, a content encoding, a line end, and what came with them.
pub fn body(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (content_type, encoding, bytes) = (part(), part(), part());
    let given = |value| Some(value).filter(|value: &&[u8]| !value.is_empty());
    let read = body::read(given(content_type), given(encoding), bytes);
    let Ok(payload) = read else { return };
    let Some(json) = payload.to_json() else { return };
    if payload.is_own_json() {
        let own: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(bytes);
        assert!(own.is_ok() && std::str::from_utf8(bytes).is_ok(), "what all readers take");
    }
    let again = body::read(Some(b"application/json"), None, json.as_bytes());
    let again = again.ok().and_then(|again| again.to_json());
    assert_eq!(again.as_ref(), Some(&json), "what is written is read as the same");
}

/// An expression and a template of the same text, over a payload with something of every kind.
pub fn expression(data: &[u8]) {
    const BODY: &str = r#"{"data":{"a":null,"b":[1.10,2,"x"],"c":{"d":"<&>"},"e":1e400,"f":true}}"#;
    let text = String::from_utf8_lossy(data);
    let Ok(source) = SourceName::parse("s") else { return };
    let new = NewEvent { data_root: DataRoot::Data, ..NewEvent::new(source, "unknown", NOW, BODY) };
    let event = Event::new(new, EventId(uuid::Uuid::nil()), Position(1));
    let scope = Scope::of(&Arc::new(event));
    if let Ok(expression) = Expression::compile(&text) {
        drop((expression.eval(&scope), expression.text(&scope)));
    }
    for escape in [Escape::None, Escape::Html, Escape::Json, Escape::Url] {
        if let Ok(template) = ExprTemplate::compile(&text, escape)
            && let Ok(rendered) = template.render(&scope)
        {
            let has_word = |word: &str| rendered.contains(word) && !text.contains(word);
            assert!(!has_word("None") && !has_word("undefined"), "nothing prints as nothing");
        }
    }
}

/// A source of each provider and of some tables that no provider has.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let providers = PROVIDERS.iter().filter_map(|provider| {
        let url = Some("https://example.com/hooks/s".to_owned());
        let profile = SigningProfile::provider(provider.name)?
            .with(Overrides { url, ..Overrides::default() });
        source(SourceSettings::new(profile, Vec::new()), secret(provider.name))
    });
    let tables = TABLES.iter().filter_map(|table| {
        let text = format!("[source.s]\nsecrets = [{{ env = \"A\" }}]\nverify = {{ {table} }}");
        let reading = crate::settings::read(&text, Path::new("/"), |root| {
            let (_, mut table) = root.tables("source", SourceName::parse).pop()?;
            SourceSettings::read(&mut table, None)
        });
        source(reading.value?, "00ff11")
    });
    providers.chain(tables).collect()
});

const TABLES: &[&str] = &[
    r#"algorithm = "hmac-sha1", header = "X-S", list = { item = ";", pair = ":", key = "s" }, timestamp = { list = "t", unit = "ms" }, id = { list = "i" }, signed = "{id}{timestamp}{body}""#,
    r#"algorithm = "sha256", header = "X-S", signed = "{secret}{sorted_form}{json:a.b}{body}""#,
    r#"algorithm = "hmac-sha512", header = ["X-New", "X-Old"], encoding = "base64", timestamp = { header = "X-T", unit = "rfc3339" }, signed = "{timestamp}{query:q}{form:f}{body}""#,
    r#"algorithm = "token", header = "Authorization", prefix = "Bearer ""#,
    r#"algorithm = "basic""#,
];

/// Text that is a key of the provider's scheme; the public ones are RFC 8032's and P-256's own
/// point.
fn secret(provider: &str) -> &'static str {
    match provider {
        "discord" => "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "sendgrid" => {
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
             4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
        }
        _ => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }
}

fn source(settings: SourceSettings, secret: &str) -> Option<Source> {
    let name = SourceName::parse("s").ok()?;
    Source::with_secrets(name, settings, vec![Secret::new(secret)]).ok()
}
