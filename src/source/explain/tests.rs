//! Each diagnosis, from the request that shows it.

use crate::event::EventType;
use crate::secret::SecretRef;
use crate::source::tests::{configured, source};
use crate::source::{SignedRequest, explain as explain_request};

use super::*;
use crate::clock::Timestamp;
use crate::source::SourceSettings;

mod asked;
mod beside;
mod foreign;
mod found;
mod meant;
mod password;
mod pasted;
mod replaced;
mod reworked;
mod token;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const BODY: &[u8] = br#"{"event":"comment.create","data":{"url":"https:\/\/a\/b","n":1}}"#;

fn sign(source: &Source) -> SignedRequest {
    source.sign(&EventType::new("t"), BODY.to_vec(), "/hooks/s", NOW).unwrap()
}

/// What `source` says about what `signed` is.
fn explain_at(
    source: &Source,
    all: &[&Source],
    signed: &SignedRequest,
    at: Timestamp,
) -> Explanation {
    let headers =
        signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = Inbound {
        method: "POST",
        path_and_query: "/hooks/s",
        headers: &headers,
        body: &signed.body,
    };
    let told = explain_request(source, all, &Rejected { request, received_at: at });
    check_pasted(source, &request, &told);
    told
}

/// What is printed to be pasted is taken by `check`, and then takes the request.
#[track_caller]
fn check_pasted(source: &Source, request: &Inbound<'_>, told: &Explanation) {
    let Some(table) = &told.config_table else { return };
    let (_, problems) =
        crate::source::tests::read(&format!("secrets = [{{ env = \"A\" }}]\n{table}"));
    assert!(!problems.contains("error "), "{table}\n{problems}");
    let secrets: Vec<&str> =
        source.secrets.iter().map(|secret| str::from_utf8(secret.expose()).unwrap()).collect();
    assert!(secrets.iter().all(|secret| secret.len() < 6 || !table.contains(secret)), "{table}");
    let pasted = configured(table, &secrets);
    let judged = pasted.verify(request, NOW);
    assert!(judged.is_ok(), "{table}\n{judged:?}");
}

#[track_caller]
fn check(source: &Source, signed: &SignedRequest, line: &str, hint: &str) {
    let explanation = explain_at(source, &[], signed, NOW);
    assert!(explanation.line.contains(line), "{explanation:?}");
    assert!(explanation.config_hint.as_ref().unwrap().contains(hint), "{explanation:?}");
    assert!(!explanation.is_good_now);
}

fn verify(table: &str, secret: &str) -> Source {
    configured(&format!("verify = {{ {table} }}"), &[secret])
}

const HEX: &str = r#"algorithm = "hmac-sha256", header = "X-S""#;

#[test]
fn what_is_good_can_be_released() {
    let hyvor = source("hyvor-talk", &["k"]);
    assert!(explain_at(&hyvor, &[], &sign(&hyvor), NOW).is_good_now);
}

#[test]
fn no_header() {
    let hyvor = source("hyvor-talk", &["k"]);
    let mut signed = sign(&hyvor);
    signed.headers.retain(|(name, _)| name == "content-type");
    check(&hyvor, &signed, "there is no header `x-signature`: it is not signed", "at the sender");
    let github = sign(&source("github", &["other"]));
    check(
        &hyvor,
        &github,
        "there is the header `x-hub-signature-256` that provider `github`",
        "`provider = \"github\"`",
    );
}

#[test]
fn another_configured_secret() {
    let hyvor = source("hyvor-talk", &["k"]);
    let mut settings = SourceSettings::of_provider("userecho", Vec::new()).unwrap();
    settings.secrets = vec![SecretRef::Env("A".into()); 2];
    let name = crate::event::SourceName::parse("forum").unwrap();
    let secrets = vec![Secret::new("x"), Secret::new("their secret")];
    let other = Source::with_secrets(name, settings, secrets).unwrap();
    let signed = sign(&source("hyvor-talk", &["their secret"]));
    let explanation = explain_at(&hyvor, &[&hyvor, &other], &signed, NOW);
    assert_eq!(explanation.line, "it is signed with the secret of source `forum`");
    let hint = "send it to /hooks/forum, or name environment variable `A` in `secrets` of \
        [source.s], too";
    assert_eq!(explanation.config_hint.as_deref(), Some(hint));
}

#[test]
fn a_newline_around_the_secret() {
    let signed = sign(&source("hyvor-talk", &["k"]));
    check(&source("hyvor-talk", &["k\n"]), &signed, "newline or blank around the secret", "printf");
    let signed = sign(&source("hyvor-talk", &["k\n"]));
    check(&source("hyvor-talk", &["k"]), &signed, "when a newline is added", "at the sender");
}

#[test]
fn another_algorithm_or_encoding() {
    let source = verify(HEX, "6b6b");
    let sha1 = sign(&verify(r#"algorithm = "hmac-sha1", header = "X-S""#, "6b6b"));
    check(
        &source,
        &sha1,
        "it matches as hmac-sha1",
        "`algorithm = \"hmac-sha1\"` in [source.s.verify]",
    );
    let base64 = sign(&verify(&format!("{HEX}, encoding = \"base64\""), "6b6b"));
    check(&source, &base64, "it matches as base64", "`encoding = \"base64\"`");
    let key = sign(&verify(&format!("{HEX}, key = \"hex\""), "6b6b"));
    check(&source, &key, "when the secret is read as hex", "`key = \"hex\"`");
    let prefix = sign(&verify(&format!("{HEX}, prefix = \"sha256=\""), "6b6b"));
    check(&source, &prefix, "behind the prefix `sha256=`", "`prefix = \"sha256=\"`");
    let both = r#"algorithm = "hmac-sha512", header = "X-S", encoding = "base64", key = "base64""#;
    check(&source, &sign(&verify(both, "6b6b")), "as hmac-sha512, as base64, when", "`algorithm");
}

#[test]
fn another_provider() {
    let github = sign(&source("github", &["k"]));
    check(
        &source("hyvor-talk", &["k"]),
        &github,
        "as provider `github` signs",
        "`provider = \"github\"`",
    );
}

#[test]
fn a_body_that_was_written_anew() {
    let hyvor = source("hyvor-talk", &["k"]);
    let mut signed = sign(&hyvor);
    let value: serde_json::Value = serde_json::from_slice(&signed.body).unwrap();
    signed.body = value.to_string().into_bytes();
    check(&hyvor, &signed, "the body was changed on its way here: it matches after JSON", "proxy");
}

// https://support.userecho.com/knowledge-bases/10/articles/7887-webhooks, read literally.
#[test]
fn the_word_post_alone() {
    let literal = r#"algorithm = "hmac-sha256", header = "X-UE-Signature", signed = "POST""#;
    let literal = verify(&format!("{literal}, allow_unsigned_body = true"), "k");
    let userecho = source("userecho", &["k"]);
    check(&userecho, &sign(&literal), "the word POST alone", "`allow_unsigned_body = true`");
}

#[test]
fn a_clock_that_is_off() {
    let slack = source("slack", &["k"]);
    let later = NOW.after(std::time::Duration::from_secs(412));
    let explanation = explain_at(&slack, &[], &sign(&slack), later);
    assert!(explanation.line.starts_with("the clock is 412 s off"), "{explanation:?}");
    assert!(explanation.config_hint.unwrap().contains("[source.s]"));
}

#[test]
fn a_secret_that_looks_like_base64_is_named_where_nothing_fits() {
    let signed = sign(&source("hyvor-talk", &["quite another"]));
    let secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    let own = verify(r#"algorithm = "hmac-sha256", header = "X-Signature""#, secret);
    check(&own, &signed, "matches none of the secrets", "looks like base64 but is used as text");
    // A preset knows how its sender's secrets are meant.
    for secret in ["k", secret] {
        let preset = source("hyvor-talk", &[secret]);
        check(&preset, &signed, "matches none of the secrets", "copy the secret");
    }
}

#[test]
fn a_signature_out_of_form() {
    let source = verify(&format!("{HEX}, prefix = \"v9=\""), "k");
    let with = |value: &str| SignedRequest {
        headers: vec![("x-s".to_owned(), value.to_owned())],
        query: Vec::new(),
        body: BODY.to_vec(),
    };
    check(&source, &with("abc"), "does not have the expected prefix or key: `v9=`", "copy");
    check(&source, &with("v9=xyz"), "is not hexadecimal", "copy");
    check(&source, &with("v9=00"), "too long or too short for hmac-sha256", "copy");
}

#[test]
fn no_explanation_shows_a_secret() {
    let hyvor = source("hyvor-talk", &["hunter2hunter2"]);
    let other = source("userecho", &["swordfish"]);
    for signed in [sign(&other), sign(&hyvor)] {
        let explanation = format!("{:?}", explain_at(&hyvor, &[&other], &signed, NOW));
        assert!(!explanation.contains("hunter2") && !explanation.contains("swordfish"));
    }
}

/// `signed`, with other headers beside its own.
fn with_headers(mut signed: SignedRequest, headers: &[(&str, &str)]) -> SignedRequest {
    let own = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    signed.headers.extend(own);
    signed
}

#[test]
fn quotes_and_entities_in_the_secret_are_named() {
    let signed = sign(&source("hyvor-talk", &["a<b&c"]));
    for quoted in ["\"a<b&c\"", "'a<b&c'"] {
        check(&source("hyvor-talk", &[quoted]), &signed, "quotes around the secret", "env-file");
    }
    let escaped = source("hyvor-talk", &["a&lt;b&amp;c"]);
    check(&escaped, &signed, "the HTML entities in the secret", "&amp;");
}

#[test]
fn published_test_secret_is_named() {
    let public = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==";
    let signed = sign(&source("zendesk", &[public]));
    let mine = source("zendesk", &["my own"]);
    check(&mine, &signed, "published test secret", "anybody could send it");
}

#[test]
fn sha1_only_sender_keeps_its_types_and_ids() {
    let older = r#"algorithm = "hmac-sha1", header = "X-Hub-Signature", prefix = "sha1=""#;
    let signed = sign(&verify(older, "k"));
    let github = source("github", &["k"]);
    check(&github, &signed, "SHA-1 only", "prefix = \"sha1=\"");
    let table = explain_at(&github, &[], &signed, NOW).config_table.unwrap();
    assert!(table.contains("type = { header = \"x-github-event\" }"), "{table}");
}

#[test]
fn address_in_another_form_is_found() {
    let real = "https://site.example/hooks/s";
    let of = |url: &str| configured(&format!("provider = \"square\"\nurl = \"{url}\""), &["k"]);
    for (wrong, signed_with) in [
        ("http://site.example/hooks/s", real),
        ("https://site.example:443/hooks/s", real),
        ("https://site.example/hooks/s/", real),
        (real, "https://site.example/hooks/s/"),
        ("https://10.0.0.5/hooks/s", real),
        (real, "https://site.example:8443/hooks/s"),
    ] {
        let host = signed_with.split('/').nth(2).unwrap();
        let signed = with_headers(sign(&of(signed_with)), &[("host", host)]);
        let line = format!("it matches with the address `{signed_with}`");
        check(&of(wrong), &signed, &line, &format!("`url = \"{signed_with}\"` in [source.s]"));
    }
}

#[test]
fn body_signed_before_it_was_packed_is_found() {
    use std::io::Write as _;
    let mut signed = sign(&source("github", &["k"]));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&signed.body).unwrap();
    signed.body = encoder.finish().unwrap();
    let github = source("github", &["k"]);
    let signed_by_it = "signed = \"{unpacked_body}\"";
    check(&github, &signed, "took `Content-Encoding` away", signed_by_it);
    let signed = with_headers(signed, &[("content-encoding", "gzip")]);
    check(&github, &signed, "before it was packed (`Content-Encoding", signed_by_it);
    let own = r#"algorithm = "hmac-sha256", header = "X-Hub-Signature-256", prefix = "sha256=", signed = "{unpacked_body}""#;
    assert!(explain_at(&verify(own, "k"), &[], &signed, NOW).is_good_now);
}

#[test]
fn header_that_a_proxy_drops_for_its_name_is_named() {
    let source = verify(r#"algorithm = "hmac-sha256", header = "X_Signature""#, "k");
    let mut signed = sign(&source);
    signed.headers.retain(|(name, _)| name == "content-type");
    check(&source, &signed, "it is not signed at all", "underscores_in_headers");
}

#[test]
fn late_repeat_is_told_from_a_wrong_clock() {
    let slack = source("slack", &["k"]);
    let signed = sign(&slack);
    let line = |seconds| {
        let later = NOW.after(std::time::Duration::from_secs(seconds));
        explain_at(&slack, &[], &signed, later).line
    };
    assert!(line(412).starts_with("the clock is 412 s off"), "{}", line(412));
    assert!(line(3600).contains("made 3600 s before"), "{}", line(3600));
    assert!(line(3600).contains("a repeat that kept its first time"), "{}", line(3600));
}

#[test]
fn unsigned_question_that_was_answered_is_named() {
    let handshake = "handshake = { echo = { json = \"token\" }, signed = false }";
    let source = configured(&format!("provider = \"hyvor-talk\"\n{handshake}"), &["k"]);
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let body = br#"{"token":"secret_1"}"#.to_vec();
    let question = SignedRequest { headers, query: Vec::new(), body };
    check(&source, &question, "answered as a handshake", "--raw");
}

#[test]
fn secret_that_is_sent_as_a_password_is_named_with_its_place() {
    let hyvor = source("hyvor-talk", &["the-secret"]);
    let plain = |headers: &[(&str, &str)]| {
        let mut signed = sign(&hyvor);
        signed.headers.retain(|(name, _)| name == "content-type");
        with_headers(signed, headers)
    };
    let bearer = plain(&[("authorization", "Bearer the-secret")]);
    check(
        &hyvor,
        &bearer,
        "header `authorization` holds the secret itself",
        "prefix = \"Bearer \"",
    );
    let token = plain(&[("x-signature", "the-secret")]);
    check(&hyvor, &token, "header `x-signature` holds the secret itself", "\"token\", header");
    let basic = plain(&[("authorization", "Basic dXNlcjp0aGUtc2VjcmV0")]);
    check(&hyvor, &basic, "header `authorization` holds the secret itself", "\"basic\"");
    let other = plain(&[("x-signature", "another-text")]);
    check(&hyvor, &other, "is not hexadecimal", "copy");
}

#[test]
fn check_sum_in_place_of_a_signature_is_named() {
    for (algorithm, signed, line) in [
        ("sha256", "{secret}{body}", "as the plain sha256 of the secret and the body"),
        ("md5", "{body}{secret}", "as the plain md5 of the body and the secret"),
    ] {
        let other = format!("algorithm = \"{algorithm}\", header = \"X-S\", signed = \"{signed}\"");
        let other = verify(&format!("{other}, allow_unsigned_body = true"), "k");
        check(&verify(HEX, "k"), &sign(&other), line, "s");
    }
    let plain = hex::encode(<sha2::Sha512 as sha2::Digest>::digest(BODY));
    let mut signed = sign(&verify(HEX, "k"));
    signed.headers.retain(|(name, _)| name == "content-type");
    let signed = with_headers(signed, &[("x-s", &plain)]);
    check(&verify(HEX, "k"), &signed, "the plain sha512 of the body: no secret is in it", "sign");
    let md5 = sign(&verify(r#"algorithm = "hmac-md5", header = "X-S""#, "k"));
    check(&verify(HEX, "k"), &md5, "it matches as hmac-md5", "`algorithm = \"hmac-md5\"`");
}

#[test]
fn signature_of_an_empty_body_and_a_body_that_was_lost_are_named() {
    let hyvor = source("hyvor-talk", &["k"]);
    let empty = hyvor.sign(&EventType::new("t"), Vec::new(), "/hooks/s", NOW).unwrap();
    let early = SignedRequest { body: BODY.to_vec(), ..empty };
    check(&hyvor, &early, "it matches an empty body", "ask the sender");
    let lost = SignedRequest { body: Vec::new(), ..sign(&hyvor) };
    check(&hyvor, &lost, "the body is empty", "copy the secret");
}

#[test]
fn time_in_another_unit_is_named() {
    let of = |unit: &str| {
        let timestamp = format!("timestamp = {{ header = \"X-T\", unit = \"{unit}\" }}");
        verify(&format!("{HEX}, {timestamp}, signed = \"{{timestamp}}.{{body}}\""), "k")
    };
    let (seconds, millis) = (of("s"), of("ms"));
    check(&seconds, &sign(&millis), "its time is in milliseconds", "`unit = \"ms\"`");
    check(&millis, &sign(&seconds), "its time is in seconds", "`unit = \"s\"`");
    let micros = |source: &Source| {
        let at = Timestamp::from_millis(NOW.as_millis() * 1000);
        source.sign(&EventType::new("t"), BODY.to_vec(), "/hooks/s", at).unwrap()
    };
    let line = "its time is in microseconds, and read as milliseconds";
    check(&millis, &micros(&millis), line, "`unit = \"us\"`");
    check(&seconds, &micros(&millis), "in microseconds, and read as seconds", "`unit = \"us\"`");
    let nanos = of("ns");
    check(&of("us"), &sign(&nanos), "in nanoseconds, and read as microseconds", "`unit = \"ns\"`");
    check(&nanos, &sign(&seconds), "in seconds, and read as nanoseconds", "`unit = \"s\"`");
    check(&seconds, &sign(&nanos), "its timestamp cannot be read", "`unit = \"ns\"`");
    let date = verify(
        &format!(
            "{HEX}, timestamp = {{ header = \"X-T\", unit = \"rfc3339\" }}, signed = \
             \"{{timestamp}}.{{body}}\""
        ),
        "k",
    );
    check(&seconds, &sign(&date), "its timestamp cannot be read", "`unit = \"rfc3339\"`");
    check(&date, &sign(&millis), "its timestamp cannot be read", "`unit = \"ms\"`");
}
