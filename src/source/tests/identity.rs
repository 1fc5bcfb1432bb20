//! What makes two requests the same event.

use hmac::{KeyInit as _, Mac as _};

use super::*;
use crate::event::{Dedupe, DedupeKey};

/// What makes a repeat of this request a duplicate.
fn dedupe_of(source: &Source, headers: &[(&str, &str)], body: &[u8]) -> Dedupe {
    let verified = verify(source, headers, body).unwrap();
    let now = Timestamp::from_millis(5);
    source.event(verified, now, Headers::default(), Bytes::copy_from_slice(body)).dedupe
}

fn within(dedupe: &Dedupe) -> DedupeKey {
    match dedupe {
        Dedupe::Within { key, window } if *window == DedupePolicy::WINDOW => *key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn unsigned_id_is_no_identity_by_itself() {
    let github = source("github", &["secret"]);
    let signed = |body: &str| {
        let mut key = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"secret").unwrap();
        key.update(body.as_bytes());
        format!("sha256={}", hex::encode(key.finalize().into_bytes()))
    };
    let key = |body: &str, id: &str| {
        let signature = signed(body);
        let headers = [("x-hub-signature-256", signature.as_str()), ("x-github-delivery", id)];
        within(&dedupe_of(&github, &headers, body.as_bytes()))
    };
    // A captured request with the next id must not stand in the way of the event with that id.
    assert_ne!(key("captured", "next"), key("honest", "next"));
    assert_eq!(key("honest", "next"), key("honest", "next"));
    assert_ne!(key("honest", "next"), key("honest", "other"));
}

#[test]
fn body_with_a_stamp_is_an_identity_and_without_one_it_is_none() {
    let userecho = source("userecho", &["userecho-sample-key"]);
    let key = within(&dedupe_of(&userecho, &[("x-ue-signature", USERECHO_SHA256)], USERECHO));
    assert_eq!(key, dedupe_key(&SourceName::parse("s").unwrap(), None, USERECHO));
    for text in ["provider = \"hyvor-talk\"", "provider = \"userecho\""] {
        let plain = configured(text, &["secret"]);
        let name = if text.contains("hyvor") { "x-signature" } else { "x-ue-signature" };
        let dedupe = dedupe_of(&plain, &[(name, CONTENT)], b"content");
        assert!(matches!(dedupe, Dedupe::Unanswered { .. }), "{dedupe:?}");
    }
    let window = configured("provider = \"hyvor-talk\"\ndedupe = \"1h\"", &["secret"]);
    let dedupe = dedupe_of(&window, &[("x-signature", CONTENT)], b"content");
    let hour = std::time::Duration::from_hours(1);
    assert!(matches!(dedupe, Dedupe::Within { window, .. } if window == hour), "{dedupe:?}");
    let off = configured("provider = \"hyvor-talk\"\ndedupe = \"off\"", &["secret"]);
    assert_eq!(dedupe_of(&off, &[("x-signature", CONTENT)], b"content"), Dedupe::Off);
}

#[test]
fn zendesk_invocation_goes_before_the_id_in_the_body() {
    let zendesk = configured("provider = \"zendesk\"\ntolerance = \"36500d\"", &["secret"]);
    let key = |invocation: &str, body: &str| {
        let body = body.as_bytes().to_vec();
        let event_type = EventType::new("t");
        let signed =
            zendesk.sign(&event_type, body, "/hooks/s", Timestamp::from_millis(0)).unwrap();
        let mut headers: Vec<_> =
            signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        headers.retain(|(name, _)| *name != "x-zendesk-webhook-invocation-id");
        headers.push(("x-zendesk-webhook-invocation-id", invocation));
        within(&dedupe_of(&zendesk, &headers, &signed.body))
    };
    let first = key("1", r#"{"id":"35436","comment":"first"}"#);
    assert_ne!(first, key("2", r#"{"id":"35436","comment":"second"}"#));
    assert_ne!(first, key("1", r#"{"id":"35436","comment":"second"}"#));
    assert_eq!(first, key("1", r#"{"id":"35436","comment":"first"}"#));
}

// Linear repeats after 1 minute, 1 hour and 6 hours with the first `webhookTimestamp`.
#[test]
fn linear_repeats_are_taken_with_their_first_time() {
    let linear = source("linear", &["secret"]);
    let sent = Timestamp::from_millis(1_700_000_000_000);
    let signed = linear.sign(&EventType::new("Issue"), b"{}".to_vec(), "/hooks/s", sent).unwrap();
    let headers = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers = headers.collect();
    let request =
        Inbound { method: "POST", path_and_query: "/", headers: &headers, body: &signed.body };
    let verify = |minutes| {
        let at = sent.after(std::time::Duration::from_mins(minutes));
        linear.verify(&request, at)
    };
    let first = verify(0).unwrap();
    for minutes in [1, 60, 421] {
        assert_eq!(verify(minutes).unwrap().identity, first.identity);
    }
    assert!(matches!(verify(481), Err(Rejection::Stale { .. })));
}

#[test]
fn mailgun_token_is_used_once_whatever_the_body() {
    let mailgun = configured("provider = \"mailgun\"\nallow_unsigned_body = true", &["secret"]);
    let event_type = EventType::new("delivered");
    let now = Timestamp::from_millis(1_700_000_000_070);
    let signed = mailgun.sign(&event_type, mailgun.sample("delivered", now), "/hooks/s", now);
    let body = String::from_utf8(signed.unwrap().body).unwrap();
    let other = body.replace("ann@example.com", "eve@example.com");
    assert_ne!(body, other);
    let key = |body: &str| within(&dedupe_of(&mailgun, &[], body.as_bytes()));
    assert_eq!(key(&body), key(&other));
}

#[test]
fn query_tells_equal_bodies_apart_but_not_its_password_signature_and_time() {
    let table = "dedupe = \"1h\"\nverify = { algorithm = \"hmac-sha256\", query = \"sig\", \
                 timestamp = { query = \"t\", tolerance = \"36500d\" }, \
                 signed = \"{timestamp}.{body}\" }";
    let source = configured(table, &["k"]);
    let key = |t: &str, rest: &str| {
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"k").unwrap();
        mac.update(format!("{t}.{{}}").as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let path_and_query = format!("/hooks/s?t={t}{rest}&sig={signature}");
        let headers = Headers::default();
        let (path_and_query, body) = (&*path_and_query, &b"{}"[..]);
        let request = Inbound { method: "POST", path_and_query, headers: &headers, body };
        let verified = source.verify(&request, Timestamp::from_millis(5)).unwrap();
        source.event(verified, Timestamp::from_millis(5), headers, Bytes::from_static(b"{}")).dedupe
    };
    assert_eq!(key("17", "&device=1"), key("18", "&device=1"));
    assert_ne!(key("17", "&device=1"), key("17", "&device=2"));
    assert_ne!(key("17", "&device=1"), key("17", ""));
}

#[test]
fn request_without_a_body_has_type_and_id_in_its_query_as_a_form() {
    let table = "methods = [\"GET\"]\nverify = { algorithm = \"token\", query = \"key\", \
                 type = { form = \"status\" }, id = { form = \"uid\" } }";
    let source = configured(table, &["tok-123456"]);
    let headers = Headers::default();
    let path_and_query = "/hooks/s?key=tok-123456&status=paid&uid=1";
    let request = Inbound { method: "GET", path_and_query, headers: &headers, body: b"" };
    let verified = source.verify(&request, Timestamp::from_millis(5)).unwrap();
    assert_eq!((verified.event_type().as_str(), verified.delivery_id()), ("paid", Some("1")));
}

// Google's Calendar and Drive: all in headers, and each channel counts its own messages.
#[test]
fn headers_tell_bodyless_requests_with_one_id_apart() {
    let table = "verify = { algorithm = \"token\", header = \"X-Goog-Channel-Token\", \
                 id = { header = \"X-Goog-Message-Number\" } }";
    let source = configured(table, &["tok-123456"]);
    let key = |channel: &str, trace: &str, body: &str| {
        let headers = [
            ("x-goog-channel-token", "tok-123456"),
            ("x-goog-message-number", "7"),
            ("x-goog-channel-id", channel),
            ("x-request-id", trace),
        ];
        within(&dedupe_of(&source, &headers, body.as_bytes()))
    };
    assert_ne!(key("a", "1", ""), key("b", "1", ""));
    assert_eq!(key("a", "1", ""), key("a", "2", ""));
    // What a body says is enough.
    assert_eq!(key("a", "1", "{}"), key("b", "2", "{}"));
}

/// What a request without a body is known by at a source of a token, `table` beside it in `verify`.
fn bodyless(table: &str, path_and_query: &str, headers: &[(&str, &str)]) -> DedupeKey {
    let verify = format!("verify = {{ algorithm = \"token\", header = \"X-Token\", {table} }}");
    let source = configured(&verify, &["tok-123456"]);
    let headers = headers.iter().chain(&[("x-token", "tok-123456")]);
    let headers = headers.map(|(name, value)| (*name, value.as_bytes())).collect();
    let request = Inbound { method: "POST", path_and_query, headers: &headers, body: b"" };
    let now = Timestamp::from_millis(5);
    let verified = source.verify(&request, now).unwrap();
    within(&source.event(verified, now, Headers::default(), Bytes::new()).dedupe)
}

#[test]
fn headers_tell_bodyless_requests_apart_whatever_their_address_says() {
    let key = |channel: &str| {
        let headers = [("x-goog-message-number", "7"), ("x-goog-channel-id", channel)];
        let table = "id = { header = \"X-Goog-Message-Number\" }";
        bodyless(table, "/hooks/s?env=prod", &headers)
    };
    assert_ne!(key("a"), key("b"));
    assert_eq!(key("a"), key("a"));
}

#[test]
fn another_try_of_a_bodyless_request_is_a_repeat() {
    for (id, of_one_try) in [
        ("X-Webhook-Id", "x-webhook-attempt"),
        ("X-Webhook-Id", "x-webhook-retry-count"),
        ("X-Webhook-Id", "x-webhook-sent-at"),
        ("webhook-id", "webhook-timestamp"),
        ("webhook-id", "webhook-signature"),
        ("X-Request-Id", "x-request-start"),
        ("ce-id", "ce-time"),
    ] {
        let table = format!("id = {{ header = \"{id}\" }}");
        let key = |name: &str, value: &str| {
            bodyless(&table, "/hooks/s", &[(&id.to_ascii_lowercase(), "7"), (name, value)])
        };
        assert_eq!(key(of_one_try, "1"), key(of_one_try, "2"), "{of_one_try}");
    }
    let key = |name: &str, value: &str| {
        let table = "id = { header = \"X-Webhook-Id\" }";
        bodyless(table, "/hooks/s", &[("x-webhook-id", "7"), (name, value)])
    };
    // Words that only look like them.
    for name in ["x-webhook-update", "x-webhook-status", "x-webhook-runtime", "x-webhook-consent"] {
        assert_ne!(key(name, "1"), key(name, "2"), "{name}");
    }
}

#[test]
fn cloud_events_have_their_ids_from_their_source() {
    let table = "verify = { algorithm = \"token\", header = \"X-Token\", \
                 id = { header = \"ce-id\" } }";
    let source = configured(table, &["tok-123456"]);
    let key = |from: &str, retry: &str| {
        let headers =
            [("x-token", "tok-123456"), ("ce-id", "1"), ("ce-source", from), ("ce-retry", retry)];
        within(&dedupe_of(&source, &headers, b"{}"))
    };
    assert_ne!(key("/a", ""), key("/b", ""));
    assert_eq!(key("/a", "1"), key("/a", "2"));
}

// Signed or not, an id of CloudEvents is one of its source's; that may come unsigned, so the body counts.
#[test]
fn signed_ids_of_cloud_events_are_their_source_s_too() {
    let table = "verify = { algorithm = \"hmac-sha256\", header = \"X-S\", \
                 id = { header = \"ce-id\" }, signed = \"{header:ce-id}.{body}\" }";
    let source = configured(table, &["k"]);
    let key = |from: &str, body: &str| {
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"k").unwrap();
        mac.update(format!("1.{body}").as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let headers = [("x-s", &*signature), ("ce-id", "1"), ("ce-source", from)];
        within(&dedupe_of(&source, &headers, body.as_bytes()))
    };
    assert_ne!(key("/a", "{}"), key("/b", "{}"));
    assert_eq!(key("/a", "{}"), key("/a", "{}"));
    // Who has seen one request may write another source into it: the event there is not taken for a repeat.
    assert_ne!(key("/b", "captured"), key("/b", "honest"));
}
