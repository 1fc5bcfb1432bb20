//! What every source promises.

use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;

use super::*;
use crate::clock::Timestamp;
use crate::event::{DataRoot, Dedupe, EventType, Headers, SourceName};
use crate::secret::Secret;

mod batches;
mod identity;
mod messages;
mod properties;
mod queries;
mod senders;
mod tokens;
mod vectors;

/// Reads `text` as the table of one source: the settings and every problem, one a line.
pub(super) fn read(text: &str) -> (Option<SourceSettings>, String) {
    let text = format!("[source.s]\n{text}");
    let reading = crate::settings::read(&text, Path::new("/"), |root| {
        let mut sources = root.tables("source", SourceName::parse);
        let (_, mut table) = sources.pop()?;
        let settings = SourceSettings::read(&mut table, None);
        table.finish();
        settings
    });
    let mut problems = String::new();
    for problem in &reading.problems {
        let (severity, message) = (problem.severity.as_str(), &problem.message);
        writeln!(problems, "{severity} {}: {message} ({})", problem.path, problem.help).unwrap();
    }
    (reading.value, problems)
}

/// The source that `text` configures, with other secrets than it says.
pub(super) fn configured(text: &str, secrets: &[&str]) -> Source {
    let named = if text.contains("\"none\"") { "" } else { "secrets = [{ env = \"A\" }]\n" };
    let (settings, problems) = read(&format!("{named}{text}"));
    let settings = settings.unwrap_or_else(|| panic!("{text}\n{problems}"));
    let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    Source::with_secrets(SourceName::parse("s").unwrap(), settings, secrets).unwrap()
}

pub(super) fn source(provider: &str, secrets: &[&str]) -> Source {
    let settings = SourceSettings::of_provider(provider, Vec::new()).unwrap();
    let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    Source::with_secrets(SourceName::parse("s").unwrap(), settings, secrets).unwrap()
}

pub(super) fn verify(
    source: &Source,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Verified, Rejection> {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let request = Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body };
    source.verify(&request, Timestamp::from_millis(1_700_000_000_000))
}

// Bodies modelled on the providers' documentation, signed with the secrets named beside them.
const USERECHO: &[u8] = br#"{"hook": "topic.created", "created": "2014-04-25T04:17:38.306Z", "data": {"id": 439181, "header": "Test header", "description": "Test description", "type": {"id": 2, "name": "Questions"}}}"#;
const USERECHO_SHA256: &str = "47c30cb41bdf85618538f39f68c7a0dd69260a539b3a018d1c635cef6b526a7f";
const USERECHO_SHA1: &str = "4a4250452f240ff2fc7f81e9ab4311b8f787674f";

#[test]
fn userecho_is_verified_by_either_hash_and_its_type_is_found() {
    let source = source("userecho", &["other", "userecho-sample-key"]);
    for signature in [USERECHO_SHA256, USERECHO_SHA1] {
        let verified = verify(&source, &[("x-ue-signature", signature)], USERECHO).unwrap();
        assert_eq!(verified.event_type().as_str(), "topic.created");
        assert_eq!(verified.secret_index(), 1);
        assert_eq!(verified.data_root(), DataRoot::Data);
        assert_eq!(verified.delivery_id(), None);
    }
}

#[test]
fn every_way_of_not_being_signed_is_told_apart() {
    let source = source("hyvor-talk", &["k"]);
    let check = |headers: &[(&str, &str)], expected: Rejection| {
        assert_eq!(verify(&source, headers, b"{}").unwrap_err(), expected, "{headers:?}");
    };
    let wrong = "0".repeat(64);
    check(&[], Rejection::Missing);
    check(&[("x-other", "x")], Rejection::Missing);
    check(&[("x-signature", "")], Rejection::WrongLength);
    check(&[("x-signature", "zz")], Rejection::Undecodable);
    check(&[("x-signature", "abc")], Rejection::Undecodable);
    check(&[("x-signature", &"0".repeat(62))], Rejection::WrongLength);
    check(&[("x-signature", &format!("sha256={wrong}"))], Rejection::Undecodable);
    check(&[("x-signature", &wrong)], Rejection::Mismatch);
}

// hyvor/hyvor-blogs-symfony Tests/Unit/Service/Request/RequestValidationServiceTest.php.
const CONTENT: &str = "230d8225fa8d7c42c0d16356ff175a660c11960fc035616023b8d22a8f36f03a";

#[test]
fn a_body_that_is_not_json_is_verified_and_has_an_unknown_type() {
    let source = source("hyvor-talk", &["secret"]);
    let verified = verify(&source, &[("x-signature", CONTENT)], b"content").unwrap();
    assert_eq!(verified.event_type().as_str(), "unknown");
    verify(&source, &[("x-signature", CONTENT)], b"content\n").unwrap_err();
}

#[test]
fn hexadecimal_has_no_case() {
    let source = source("hyvor-talk", &["secret"]);
    verify(&source, &[("x-signature", &CONTENT.to_uppercase())], b"content").unwrap();
}

#[test]
fn a_source_without_secrets_is_not_built() {
    let settings = SourceSettings::of_provider("userecho", Vec::new()).unwrap();
    let name = SourceName::parse("s").unwrap();
    let built = Source::with_secrets(name, settings, Vec::new());
    assert!(matches!(built, Err(SourceError::NoSecrets(_))));
}

const LIST: &str = r#"
    [source.s.verify]
    algorithm = "hmac-sha256"
    header = ["X-New", "X-Old"]
    list = { item = ",", pair = "=", key = "v1" }
    timestamp = { list = "t", tolerance = "36500d" }
    signed = "{timestamp}.{body}"
    "#;

/// HMAC-SHA256 of `17.{}` by `k`, worked out with Python's hmac.
const GOOD: &str = "v1=bd99635732284660511c87d0719be6865abfda44a64564cf7d2b74e0f48525a1";

#[test]
fn any_signature_of_a_list_will_do_but_one_timestamp_only() {
    let source = configured(LIST, &["k"]);
    let check = |value: &str, expected: Option<Rejection>| {
        assert_eq!(verify(&source, &[("x-new", value)], b"{}").err(), expected, "{value}");
    };
    let wrong = format!("v1={}", "0".repeat(64));
    let timestamp = "key `t` of the signature's list";
    check(&format!("t=17,{GOOD}"), None);
    check(&format!("{GOOD},t=17"), None);
    check(&format!("t=17, {wrong} ,v0=x, {GOOD}"), None);
    check(&format!("t=17,{wrong}"), Some(Rejection::Mismatch));
    check(&format!("t=18,{GOOD}"), Some(Rejection::Mismatch));
    check(GOOD, Some(Rejection::NoVariable(timestamp.into())));
    check(&format!("t=17,t=18,{GOOD}"), Some(Rejection::Repeated(timestamp.into())));
    // Persona, while a secret is changed: two whole lists.
    check(&format!("t=17,{wrong} t=17,{GOOD}"), None);
    check(&format!("t=17,{GOOD} t=17,{wrong}"), None);
    check(&format!("t=17,{GOOD} t=18,{wrong}"), Some(Rejection::Repeated(timestamp.into())));
    check("t=17", Some(Rejection::NotWrapped));
    check("", Some(Rejection::NotWrapped));
    check("t=17,v1=zz", Some(Rejection::Undecodable));
}

#[test]
fn each_of_several_headers_is_a_candidate() {
    let source = configured(LIST, &["k"]);
    let good = format!("t=17,{GOOD}");
    verify(&source, &[("x-old", &good)], b"{}").unwrap();
    verify(&source, &[("x-old", "t=1,v1=00"), ("x-new", &good)], b"{}").unwrap();
    // DocuSign and Box sign with the old and the new key while a key is changed.
    for other in ["t=17", "t=18,v1=00", &format!("t=17,v1={}", "0".repeat(64)), "", "x"] {
        verify(&source, &[("x-old", &good), ("x-new", other)], b"{}").unwrap();
        verify(&source, &[("x-new", &good), ("x-old", other)], b"{}").unwrap();
    }
    let wrong = format!("t=17,v1={}", "0".repeat(64));
    let refused = verify(&source, &[("x-new", &wrong), ("x-old", "x")], b"{}");
    assert_eq!(refused.unwrap_err(), Rejection::Mismatch, "the closest one is told");
    // A proxy doubles the header.
    verify(&source, &[("x-new", &good), ("x-new", &good)], b"{}").unwrap();
    let doubled = verify(&source, &[("x-new", &good), ("x-new", "t=18")], b"{}");
    assert!(matches!(doubled, Err(Rejection::Repeated(_))), "which time is meant?");
}

#[test]
fn signature_of_a_list_may_stand_under_a_second_key() {
    // BoldSign: the newer secret signs `s1` while a secret is changed.
    let list = LIST.replace("\"v1\"", "[\"s0\", \"v1\"]");
    let source = configured(&list, &["k"]);
    let header = format!("t=17, s0={}, {GOOD}", "0".repeat(64));
    verify(&source, &[("x-new", &header)], b"{}").unwrap();
    let only_second = verify(&configured(LIST, &["k"]), &[("x-new", "t=17, s0=00")], b"{}");
    assert_eq!(only_second.unwrap_err(), Rejection::NotWrapped);
}

#[test]
fn list_items_without_keys_are_told_by_their_place() {
    // Recurly: `recurly-signature: 1659000000000,first,second`.
    let signature = GOOD.strip_prefix("v1=").unwrap();
    for list in [r#"{ item = "," }"#, r#"{ pair = "" }"#, r#"{ item = ",", pair = "", key = "1" }"#]
    {
        let source = configured(
            &format!(
                "[source.s.verify]\nalgorithm = \"hmac-sha256\"\nheader = \"recurly-signature\"\n\
                 list = {list}\nsigned = \"{{timestamp}}.{{body}}\"\n\
                 timestamp = {{ list = \"0\", tolerance = \"36500d\" }}"
            ),
            &["k"],
        );
        let check = |value: &str| verify(&source, &[("recurly-signature", value)], b"{}");
        check(&format!("17,{signature}")).unwrap();
        check(&format!("17, {signature} ,{}", "0".repeat(64))).unwrap();
        assert_eq!(check(&format!("18,{signature}")).unwrap_err(), Rejection::Mismatch);
        check(signature).unwrap_err();
        check("").unwrap_err();
        let second = format!("17,{},{signature}", "0".repeat(64));
        assert_eq!(check(&second).is_ok(), !list.contains("key"), "{list}");
    }
}

#[test]
fn quotes_around_a_signature_are_no_part_of_it() {
    let signature = GOOD.strip_prefix("v1=").unwrap();
    let source = configured(LIST, &["k"]);
    for value in
        [format!("t=\"17\",v1=\"{signature}\""), format!("keyId=\"a,b\", t=17 ,v1=\"{signature}\"")]
    {
        verify(&source, &[("x-new", &value)], b"{}").unwrap();
    }
    for (prefix, value) in [
        ("", format!("\"{CONTENT}\"")),
        ("sig=", format!("sig=\"{CONTENT}\"")),
        ("sig=\\\"", format!("sig=\"{CONTENT}\"")),
    ] {
        let text = format!(
            "verify = {{ algorithm = \"hmac-sha256\", header = \"X-S\", prefix = \"{prefix}\" }}"
        );
        let source = configured(&text, &["secret"]);
        verify(&source, &[("x-s", &value)], b"content").unwrap();
    }
    // A token is taken as it is.
    let token = configured("verify = { algorithm = \"token\", header = \"X-S\" }", &["k"]);
    verify(&token, &[("x-s", "\"k\"")], b"").unwrap_err();
}

#[test]
fn optional_field_may_be_absent_or_null() {
    // Adyen signs an absent `originalReference` as nothing.
    let text = r#"verify = { algorithm = "hmac-sha256", header = "X-S", signed = "{json:a}{json:b?}", allow_unsigned_body = true }"#;
    let source = configured(text, &["secret"]);
    let signed = [("x-s", CONTENT)];
    for body in [r#"{"a":"content"}"#, r#"{"a":"content","b":null}"#, r#"{"a":"con","b":"tent"}"#] {
        verify(&source, &signed, body.as_bytes()).unwrap();
    }
    for body in [r#"{"b":"content"}"#, r#"{"a":"content","b":"x"}"#] {
        verify(&source, &signed, body.as_bytes()).unwrap_err();
    }
}

// @shopify/shopify-api 13.1 lib/webhooks: Events come with the same headers without `x-`.
#[test]
fn shopify_signs_under_either_name() {
    let shopify = source("shopify", &["secret"]);
    let hmac = "Iw2CJfqNfELA0WNW/xdaZgwRlg/ANWFgI7jSKo828Do=";
    for prefix in ["x-shopify", "shopify"] {
        let named = |name: &str| format!("{prefix}-{name}");
        let (signature, topic, id) = (named("hmac-sha256"), named("topic"), named("webhook-id"));
        let headers = [(signature.as_str(), hmac), (&topic, "orders/create"), (&id, "w1")];
        let verified = verify(&shopify, &headers, b"content").unwrap();
        assert_eq!(verified.event_type().as_str(), "orders/create");
        assert_eq!(verified.delivery_id(), Some("w1"));
    }
}

// Worked out with twilio-python 9.13: compute_signature("https://a.example/t", {"Body": "Hi",
// "To": "+1"}, "HMAC_SHA256"), and of the address with the body's hash alone.
#[test]
fn twilio_signs_by_sha256_with_a_shared_key() {
    let twilio = configured("provider = \"twilio\"\nurl = \"https://a.example/t\"", &["12345"]);
    let settings =
        ("x-twilio-webhooks-signature-settings", "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256");
    let signed = [("x-twilio-signature", "mBjZ8itwbWDYHL/KsPPHA7LijZ9Ilsxs4cVd6NEKNqM="), settings];
    verify(&twilio, &signed, b"To=%2B1&Body=Hi").unwrap();
    verify(&twilio, &signed, b"To=%2B1&Body=Ho").unwrap_err();
    let headers =
        [("x-twilio-signature", b"ig8n/Wykro5La8Sav5w27IE373VWBJRXQzpqlj5NVm4=".as_slice())]
            .into_iter()
            .collect();
    let path_and_query =
        "/hooks/s?bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
    let check = |body: &[u8]| {
        let request = Inbound { method: "POST", path_and_query, headers: &headers, body };
        twilio.verify(&request, Timestamp::from_millis(0))
    };
    check(br#"{"a":1}"#).unwrap();
    check(br#"{"a":2}"#).unwrap_err();
}

#[test]
fn an_id_must_be_there_only_where_it_is_signed() {
    let source = |signed: &str| {
        let verify = "algorithm = \"hmac-sha256\", header = \"X-S\", id = { header = \"X-Id\" }";
        configured(&format!("verify = {{ {verify}, signed = \"{signed}\" }}"), &["secret"])
    };
    let plain = source("{body}");
    let id = |headers: &[(&str, &str)]| {
        let verified = verify(&plain, headers, b"content").unwrap();
        verified.delivery_id().map(str::to_owned)
    };
    assert_eq!(id(&[("x-s", CONTENT)]), None);
    assert_eq!(id(&[("x-s", CONTENT), ("x-id", "7")]).as_deref(), Some("7"));
    // Ids that say nothing would make one event of all.
    for empty in ["", " "] {
        assert_eq!(id(&[("x-s", CONTENT), ("x-id", empty)]), None);
    }
    let signed = verify(&source("{id}{body}"), &[("x-s", CONTENT), ("x-id", "")], b"content");
    assert_eq!(signed.unwrap().delivery_id(), None);
    let missing = verify(&source("{id}{body}"), &[("x-s", CONTENT)], b"content");
    assert_eq!(missing.unwrap_err(), Rejection::NoVariable("header `x-id`".into()));
}

#[test]
fn a_word_before_the_credentials_has_no_case() {
    let text = r#"verify = { algorithm = "token", header = "Authorization", prefix = "Bearer " }"#;
    let source = configured(text, &["s3cret"]);
    for good in ["Bearer s3cret", "bearer  s3cret"] {
        verify(&source, &[("authorization", good)], b"").unwrap();
    }
    for bad in ["s3cret", "Bearer S3cret", "Bearer s3cret2", "Bearer", "Bearer "] {
        verify(&source, &[("authorization", bad)], b"").unwrap_err();
    }
    let basic = configured("verify = { algorithm = \"basic\" }", &["ann:s3cret"]);
    verify(&basic, &[("authorization", "Basic YW5uOnMzY3JldA==")], b"").unwrap();
    verify(&basic, &[("authorization", "Basic YW5uOnMzY3JldD==")], b"").unwrap_err();
}

// https://www.twilio.com/docs/usage/webhooks/webhooks-security#validate-signature-of-request: a
// JSON body is signed through its hash in the address. Worked out with Python's hmac.
#[test]
fn twilio_signs_json_through_its_address() {
    let twilio = configured("provider = \"twilio\"\nurl = \"https://a.example/t\"", &["12345"]);
    let body = br#"{"a":1}"#;
    let check = |body: &[u8]| {
        let headers = [("x-twilio-signature", b"Um070R9e7qU+jFD5Ev1iu37SkEY=".as_slice())]
            .into_iter()
            .collect();
        let path_and_query =
            "/hooks/s?bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
        let request = Inbound { method: "POST", path_and_query, headers: &headers, body };
        twilio.verify(&request, Timestamp::from_millis(0))
    };
    check(body).unwrap();
    check(br#"{"a":2}"#).unwrap_err();
}

#[test]
fn a_secret_of_another_kind_is_named_when_the_source_is_built() {
    let settings = SourceSettings::of_provider("standard-webhooks", Vec::new()).unwrap();
    let name = SourceName::parse("s").unwrap();
    let secrets = vec![Secret::new("whsec_AAAA"), Secret::new("not base64!")];
    let built = Source::with_secrets(name, settings, secrets);
    assert!(matches!(built, Err(SourceError::Key { n: 2, reason: BadKey::Base64, .. })));
}

#[test]
fn an_event_is_what_was_verified() {
    let source = source("hyvor-talk", &["secret"]);
    let verified = verify(&source, &[("x-signature", CONTENT)], b"content").unwrap();
    let now = Timestamp::from_millis(5);
    let event = source.event(verified, now, Headers::default(), Bytes::from_static(b"content"));
    assert_eq!((event.source.as_str(), event.received_at), ("s", now));
    let key = dedupe_key(&event.source, None, b"content");
    assert_eq!(event.dedupe, Dedupe::Unanswered { key });
}

#[test]
fn prefix_is_found_in_whatever_case_it_is_written() {
    let github = source("github", &["k"]);
    let now = Timestamp::from_millis(1_700_000_000_000);
    let signed = github.sign(&EventType::new("push"), b"{}".to_vec(), "/hooks/s", now).unwrap();
    let of = |name: &str| signed.headers.iter().find(|(own, _)| own == name).unwrap().1.clone();
    let signature = of("x-hub-signature-256").replace("sha256=", "SHA256=");
    verify(&github, &[("x-hub-signature-256", &signature)], b"{}").unwrap();
    let token = "verify = { algorithm = \"token\", header = \"X-Token\", prefix = \"Bearer \" }";
    let token = configured(token, &["Secret"]);
    verify(&token, &[("x-token", "bearer Secret")], b"{}").unwrap();
    assert!(verify(&token, &[("x-token", "Bearer secret")], b"{}").is_err());
    assert!(verify(&token, &[("x-token", "Secret")], b"{}").is_err());
}
