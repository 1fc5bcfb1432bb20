//! Each question, and what is answered.

mod fixed;
mod hashed;
mod own;

use super::super::tests::{configured, source};
use super::*;
use crate::clock::Timestamp;
use crate::event::{Headers, SourceName};
use crate::secret::Secret;
use crate::source::{Inbound, Rejection, Reply, SigningProfile, Source, SourceSettings, Verified};

fn ask(source: &Source, path_and_query: &str, body: &str, signed: bool) -> Option<Reply> {
    let headers = Headers::default();
    let method = if body.is_empty() { "GET" } else { "POST" };
    let request = Inbound { method, path_and_query, headers: &headers, body: body.as_bytes() };
    let proof = Verified {
        event_type: crate::event::EventType::unknown(),
        identity: super::super::identity::Identity::Body,
        method: None,
        query: String::new(),
        form_for_body: None,
        data_root: crate::event::DataRoot::Payload,
        is_json: false,
        algorithm: crate::source::Algorithm::HmacSha256,
        is_by_fetched: false,
        client: None,
        secret_index: 0,
        items: None,
        is_unsplit: false,
    };
    if signed {
        source.answer_verified(&request, &proof).map(|answered| answered.reply)
    } else {
        source.answer_unverified(&request, &Rejection::Missing).map(|answered| answered.reply)
    }
}

fn body(reply: Option<Reply>) -> String {
    String::from_utf8(reply.unwrap().body).unwrap()
}

#[test]
fn slack_gets_its_challenge_back_once_the_signature_is_good() {
    let slack = source("slack", &["k"]);
    let question = r#"{"type":"url_verification","challenge":"3eZbrw1a"}"#;
    assert_eq!(ask(&slack, "/", question, false), None);
    let reply = ask(&slack, "/", question, true).unwrap();
    assert_eq!(reply.content_type, "text/plain; charset=utf-8");
    assert_eq!(reply.body, b"3eZbrw1a");
    assert_eq!(ask(&slack, "/", r#"{"type":"event_callback","challenge":"x"}"#, true), None);
}

#[test]
fn slack_s_look_at_a_certificate_is_no_event() {
    let slack = source("slack", &["k"]);
    for signed in [false, true] {
        assert_eq!(body(ask(&slack, "/", "ssl_check=1&token=x", signed)), "");
        assert_eq!(ask(&slack, "/", "command=%2Fa&text=ssl_check%3D1", signed), None);
    }
    assert_eq!(body(ask(&slack, "/?ssl_check=1&token=x", "", false)), "");
}

// A question of Feishu's, whose console shows the token that comes with it.
#[test]
fn question_that_shows_the_token_need_not_be_signed() {
    let text = "verify = { algorithm = \"token\", json = \"header.token\" }\n\
                verify_token = { env = \"T\" }\n\
                [source.s.handshake]\n\
                when = { json = \"challenge\" }\n\
                token = { json = \"token\" }\n\
                answer = '{\"challenge\": {{ payload.challenge }}}'";
    let mut feishu = configured(text, &["k"]);
    feishu.verify_token = Some(Secret::new("shown"));
    let question = |token| format!(r#"{{"challenge":"c","token":"{token}","type":"t"}}"#);
    assert_eq!(ask(&feishu, "/", &question("other"), false), None);
    // Read as tolerantly as events are.
    for mark in ["", "\u{feff}"] {
        let question = format!("{mark}{}", question("shown"));
        let reply = body(ask(&feishu, "/", &question, false));
        assert_eq!(reply, r#"{"challenge": "c"}"#);
    }
}

// https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint has the form;
// the hash was worked out with Python's hmac.
#[test]
fn zoom_gets_its_token_hashed() {
    let zoom = source("zoom", &["zoom-secret"]);
    let question =
        r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
    let expected = r#"{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"b17f0320a1322a509340a1a835b3d9edbc491f0b0790ed2d20d0604d39dfe922"}"#;
    assert_eq!(body(ask(&zoom, "/", question, true)), expected);
}

fn meta(token: Option<&str>) -> Source {
    let settings = SourceSettings::new(SigningProfile::provider("meta").unwrap(), Vec::new());
    let name = SourceName::parse("s").unwrap();
    let mut source = Source::with_secrets(name, settings, vec![Secret::new("k")]).unwrap();
    source.verify_token = token.map(Secret::new);
    source
}

#[test]
fn meta_is_answered_only_where_it_knows_the_token() {
    let question = "/hooks/s?hub.mode=subscribe&hub.challenge=11582&hub.verify_token=meaty%20y";
    let source = meta(Some("meaty y"));
    assert_eq!(body(ask(&source, question, "", false)), "11582");
    assert_eq!(ask(&source, question, "{}", false), None, "what has a body is no question");
    assert_eq!(ask(&meta(Some("other")), question, "", false), None);
    assert_eq!(ask(&meta(None), question, "", false), None);
    assert_eq!(ask(&source, "/hooks/s?hub.mode=subscribe", "", false), None);
    assert_eq!(ask(&source, "/hooks/s", "", false), None);
}

#[test]
fn hub_that_denies_a_subscription_is_answered_and_kept() {
    let hub = "verify = { algorithm = \"hmac-sha1\", header = \"X-Hub-Signature\", prefix = \"sha1=\" }\n\
               handshake = { echo = { query = \"hub.challenge\" } }";
    let (headers, hub) = (Headers::default(), configured(hub, &["k"]));
    let denial = |source: &Source, method, path_and_query| {
        let request = Inbound { method, path_and_query, headers: &headers, body: b"" };
        source.answer_unverified(&request, &Rejection::Missing)?.denial
    };
    let told = "/hooks/s?hub.mode=denied&hub.topic=t&hub.reason=no%20lease";
    for source in [&hub, &meta(Some("t"))] {
        assert_eq!(denial(source, "GET", told).as_deref(), Some("no lease"));
        let bare = denial(source, "GET", "/hooks/s?hub.mode=denied");
        assert_eq!(bare.as_deref(), Some("no reason given"));
        assert_eq!(denial(source, "POST", told), None);
        // An event by another secret is refused, whatever its query says.
        let signed = Inbound { method: "GET", path_and_query: told, headers: &headers, body: b"x" };
        assert!(source.answer_unverified(&signed, &Rejection::Missing).is_none(), "it has a body");
        let request = Inbound { body: b"", ..signed };
        assert!(
            source.answer_unverified(&request, &Rejection::Undecodable).is_none(),
            "it is signed"
        );
    }
    let gets = "methods = [\"GET\"]\nverify = { algorithm = \"token\", query = \"key\" }\n\
                handshake = { echo = { query = \"hub.challenge\" } }";
    assert_eq!(denial(&configured(gets, &["k"]), "GET", told), None, "it may be an event");
    let long = format!("/hooks/s?hub.mode=denied&hub.reason={}", "x".repeat(1_000));
    assert_eq!(denial(&hub, "GET", &long).map(|reason| reason.len()), Some(100));
    assert_eq!(denial(&source("slack", &["k"]), "GET", told), None, "it knows no hub");
}

#[test]
fn discord_gets_a_pong() {
    let key = "c31e3a69fb9270077dee4796c55c31cf81cb3ad225e446459347abe17dd5178f";
    let discord = source("discord", &[key]);
    assert_eq!(body(ask(&discord, "/", r#"{"type":0}"#, true)), "");
    assert_eq!(body(ask(&discord, "/", r#"{"type":1}"#, true)), r#"{"type":1}"#);
    let event = r#"{"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}"#;
    // `event` is no text: what it holds tells an event from a PING.
    assert_eq!(ask(&discord, "/", event, true), None);
}

#[test]
fn long_answers_are_not_given() {
    let source = meta(Some("t"));
    let challenge = "x".repeat(answer::ECHO_BYTES_MAX + 1);
    let question = format!("/?hub.mode=subscribe&hub.verify_token=t&hub.challenge={challenge}");
    assert_eq!(ask(&source, &question, "", false), None);
}

/// Asks a custom source without a signature.
fn ask_custom(
    handshake: &str,
    method: &str,
    path_and_query: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Reply> {
    let text = format!(
        "verify_token = {{ env = \"T\" }}\n[source.s.verify]\nalgorithm = \"hmac-sha256\"\n\
         header = \"X-S\"\n[source.s.handshake]\n{handshake}"
    );
    let mut source = configured(&text, &["signs events"]);
    source.verify_token = Some(Secret::new("token"));
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let body = body.as_bytes();
    let request = Inbound { method, path_and_query, headers: &headers, body };
    source.answer_unverified(&request, &Rejection::Missing).map(|answered| answered.reply)
}

#[test]
fn question_in_the_query_is_asked_by_get_or_without_a_body() {
    let ask = |handshake: &str, method: &str, body: &str| {
        ask_custom(handshake, method, "/hooks/s?key=abc", &[], body)
    };
    let echo = "echo = { query = \"key\" }";
    assert_eq!(body(ask(echo, "GET", "")), "abc");
    assert_eq!(body(ask(echo, "POST", "")), "abc", "Microsoft Graph");
    assert_eq!(ask(echo, "POST", "{}"), None);
    assert_eq!(ask(echo, "PUT", ""), None);
    let said = "echo = { query = \"key\" }\nmethods = [\"POST\"]";
    assert_eq!(body(ask(said, "POST", "{}")), "abc");
    assert_eq!(ask(said, "GET", ""), None);
}

#[test]
fn field_that_is_the_whole_question_is_given_back_as_the_object_it_came_in() {
    let ask = |body: &str| {
        let handshake = "echo = { json = \"challenge\" }\nsigned = false";
        ask_custom(handshake, "POST", "/hooks/s", &[], body).unwrap()
    };
    let reply = ask(r#"{"challenge":"a\"b"}"#);
    assert_eq!(reply.content_type, "application/json");
    assert_eq!(reply.body, br#"{"challenge":"a\"b"}"#);
    assert_eq!(ask(r#"{"challenge": 7174}"#).body, br#"{"challenge":7174}"#);
    let reply = ask(r#"{"challenge":"ab","type":"x"}"#);
    assert_eq!((&*reply.content_type, &*reply.body), ("text/plain; charset=utf-8", &b"ab"[..]));
    // Feishu's takes the object only, and Slack's either.
    let feishu = ask(r#"{"challenge":"ab","token":"t","type":"url_verification"}"#);
    assert_eq!(feishu.body, br#"{"challenge":"ab"}"#);
}

#[test]
fn url_verification_beside_a_password_is_no_event() {
    let text = "[source.s.verify]\nalgorithm = \"token\"\nquery = \"key\"\n\
                [source.s.handshake]\necho = { json = \"challenge\" }";
    let source = configured(text, &["tok-123456"]);
    let answered = |body: &str| {
        let headers = Headers::default();
        let path_and_query = "/hooks/s?key=tok-123456";
        let body = body.as_bytes();
        let request = Inbound { method: "POST", path_and_query, headers: &headers, body };
        let verified = source.verify(&request, Timestamp::from_millis(5)).unwrap();
        source.answer_verified(&request, &verified).is_some()
    };
    assert!(answered(r#"{"challenge":"ab","token":"t","type":"url_verification"}"#));
    assert!(!answered(r#"{"challenge":"ab","token":"t","type":"message"}"#));
}

#[test]
fn event_grid_is_answered_in_both_of_its_forms() {
    let handshake = "echo = { json = \"0.data.validationCode\" }\nsigned = false\n\
        when = { json = \"0.eventType\", is = \"V\" }";
    let question = r#"[{"eventType":"V","data":{"validationCode":"512d"}}]"#;
    let reply = ask_custom(handshake, "POST", "/hooks/s", &[], question);
    assert_eq!(body(reply), r#"{"validationResponse":"512d"}"#);
    let origin = [("webhook-request-origin", "eventgrid.azure.net")];
    let handshake = "echo = { header = \"WebHook-Request-Origin\" }";
    let reply = ask_custom(handshake, "OPTIONS", "/hooks/s", &origin, "").unwrap();
    assert_eq!(reply.status, 200);
    let allowed = ("webhook-allowed-origin".to_owned(), "eventgrid.azure.net".to_owned());
    assert!(reply.headers.contains(&allowed), "{reply:?}");
    assert_eq!(ask_custom(handshake, "OPTIONS", "/hooks/s", &[], ""), None);
}

#[test]
fn header_is_given_back_as_the_same_header() {
    let handshake = "echo = { header = \"X-Hook-Secret\" }";
    let secret = [("x-hook-secret", "b537")];
    let reply = ask_custom(handshake, "POST", "/hooks/s", &secret, "{}").unwrap();
    assert_eq!(reply.headers, [("x-hook-secret".to_owned(), "b537".to_owned())]);
    // RingCentral and Smartsheet take nothing else; Asana takes it, too.
    assert_eq!(reply.status, 200);
    let smartsheet = "echo = { header = \"Smartsheet-Hook-Challenge\" }";
    let asked = [("smartsheet-hook-challenge", "2ea4")];
    let reply = ask_custom(smartsheet, "POST", "/hooks/s", &asked, "{}").unwrap();
    assert_eq!(reply.headers, [("smartsheet-hook-response".to_owned(), "2ea4".to_owned())]);
    let okta = "echo = { header = \"X-Okta-Verification-Challenge\" }";
    let asked = [("x-okta-verification-challenge", "a\"b")];
    let reply = ask_custom(okta, "GET", "/hooks/s", &asked, "");
    assert_eq!(body(reply), r#"{"verification":"a\"b"}"#);
    for bad in ["", "\u{e9}", &"x".repeat(answer::ECHO_BYTES_MAX + 1)] {
        let asked = [("x-hook-secret", bad)];
        assert_eq!(ask_custom(handshake, "POST", "/hooks/s", &asked, "{}"), None);
    }
}

#[test]
fn template_sees_the_question_and_escapes_it() {
    let handshake = r#"
        when = { header = "X-Okta-Verification-Challenge" }
        answer = '{"verification": {{ headers["x-okta-verification-challenge"] }}}'"#;
    let asked = [("x-okta-verification-challenge", "a\"b")];
    let reply = ask_custom(handshake, "GET", "/hooks/s", &asked, "").unwrap();
    assert_eq!(reply.content_type, "application/json");
    assert_eq!(reply.body, br#"{"verification": "a\"b"}"#);
    let handshake = r#"
        when = { json = "challenge" }
        signed = false
        answer = "{{ payload.challenge }}/{{ query.a }}/{{ method }}""#;
    let reply = ask_custom(handshake, "POST", "/hooks/s?a=1", &[], r#"{"challenge":"c"}"#);
    assert_eq!(body(reply), "c/1/POST");
}

/// A handshake whose question is known by a field alone, at a source of a password.
fn password_source(handshake: &str) -> Source {
    let text = format!(
        "[source.s.verify]\nalgorithm = \"token\"\nheader = \"X-Token\"\n[source.s.handshake]\n{handshake}"
    );
    configured(&text, &["the password"])
}

#[test]
fn what_comes_with_the_password_and_a_body_is_an_event() {
    let ask = |handshake: &str, path_and_query: &str, body: &str| {
        let source = password_source(handshake);
        let headers = [("x-token", &b"the password"[..]), ("x-event", b"push")];
        let headers = headers.into_iter().collect();
        let body = body.as_bytes();
        let request = Inbound { method: "POST", path_and_query, headers: &headers, body };
        let verified = source.verify(&request, Timestamp::from_millis(0)).unwrap();
        source.answer_verified(&request, &verified).map(|answered| answered.reply)
    };
    let event = r#"{"id":1,"x":"abc"}"#;
    for handshake in [
        "when = { header = \"X-Event\" }\nanswer = \"ok\"",
        "echo = { header = \"X-Event\" }",
        "when = { query = \"k\" }\nmethods = [\"POST\"]\nanswer = \"ok\"",
        "echo = { query = \"k\" }\nmethods = [\"POST\"]",
        "echo = { json = \"x\" }",
        "when = { json = \"x\" }\nanswer = \"ok\"",
    ] {
        assert_eq!(ask(handshake, "/hooks/s?k=abc", event), None, "{handshake}");
        let question = if handshake.contains("json") { r#"{"x":"abc"}"# } else { "{}" };
        assert!(ask(handshake, "/hooks/s?k=abc", question).is_some(), "{handshake}");
    }
    for handshake in
        ["echo = { form = \"challenge\" }", "when = { form = \"challenge\" }\nanswer = \"ok\""]
    {
        assert_eq!(ask(handshake, "/hooks/s", "challenge=a&x=1"), None, "{handshake}");
        assert!(ask(handshake, "/hooks/s", "challenge=a").is_some(), "{handshake}");
    }
    let said = "when = { header = \"X-Event\", is = \"push\" }\nanswer = \"ok\"";
    assert_eq!(body(ask(said, "/hooks/s", event)), "ok", "its owner says so");
}

#[test]
fn numbers_of_a_question_are_given_back_as_they_were_written() {
    let ask_with = |handshake: &str, question: &str| {
        let text = format!(
            "[source.s.verify]\nalgorithm = \"token\"\nheader = \"X-S\"\n\
             [source.s.handshake]\nsigned = false\n{handshake}"
        );
        body(ask(&configured(&text, &["k"]), "/hooks/s", question, false))
    };
    let answer = "when = { json = \"challenge\" }\nanswer = '{\"again\": {{ payload.challenge }}}'";
    for number in ["12345678901234567890123", "1.10", "100", "1E2", "-0", "1e400"] {
        let question = format!("{{\"challenge\":{number}}}");
        assert_eq!(ask_with("echo = { json = \"challenge\" }", &question), question);
        assert_eq!(ask_with(answer, &question), format!("{{\"again\": {number}}}"));
    }
}

#[test]
fn an_event_that_is_signed_by_another_secret_is_no_question() {
    for (place, question, event) in [
        ("json", r#"{"challenge":"3ds"}"#, r#"{"challenge":"3ds","amount":5}"#),
        ("form", "challenge=3ds", "challenge=3ds&order=1"),
    ] {
        let text = format!(
            "[source.s.verify]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"\n\
             [source.s.handshake]\nsigned = false\necho = {{ {place} = \"challenge\" }}"
        );
        let source = configured(&text, &["signs events"]);
        let ask = |body: &str, rejection| {
            let (headers, body) = (Headers::default(), body.as_bytes());
            let request =
                Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body };
            source.answer_unverified(&request, &rejection).map(|answered| answered.reply)
        };
        assert_eq!(ask(event, Rejection::Mismatch), None);
        assert!(ask(question, Rejection::Mismatch).is_some());
        assert!(ask(event, Rejection::Missing).is_some());
    }
}

// Fitbit asks by `?verify=CODE`, once with a wrong code, and wants 204 and 404.
#[test]
fn statuses_of_answers_are_the_owner_s_to_say() {
    let text = "verify_token = { file = \"v\" }\n\
                [source.s.verify]\nalgorithm = \"hmac-sha1\"\nheader = \"X-S\"\n\
                [source.s.handshake]\nwhen = { query = \"verify\" }\ntoken = { query = \"verify\" }\n\
                answer = \"\"\nstatus = 204\nrefuse_status = 404";
    let mut source = configured(text, &["k"]);
    source.verify_token = Some(Secret::new("code-1"));
    let status = |query, body| ask(&source, query, body, false).map(|reply| reply.status);
    assert_eq!(status("/hooks/s?verify=code-1", ""), Some(204));
    assert_eq!(status("/hooks/s?verify=wrong", ""), Some(404));
    assert_eq!(status("/hooks/s?verify=wrong", "{\"n\":1}"), None, "it may be an event");
    assert_eq!(status("/hooks/s", ""), None);
}
