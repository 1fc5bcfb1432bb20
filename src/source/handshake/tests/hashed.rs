//! Questions whose answer is a hash.

use super::*;
use crate::event::EventType;
use crate::source::sign::SignError;

// eBay: sha256 of code, token and address (developer.ebay.com, Marketplace account deletion);
// X: HMAC-SHA256 of crc_token in base64. Worked out with Python's hashlib.
#[test]
fn template_answers_with_a_hash_of_the_question() {
    let handshake = r#"
        when = { query = "challenge_code" }
        hash = { algorithm = "sha256", signed = "{query:challenge_code}{secret}https://a.example/e" }
        answer = '{"challengeResponse": {{ hash }}}'"#;
    let reply = ask_custom(handshake, "GET", "/hooks/s?challenge_code=7174", &[], "");
    let expected = "33bdd084daa479833f35682224a9fa56af9a5c5d000893dc3962a0aedbced6a8";
    assert_eq!(body(reply), format!(r#"{{"challengeResponse": "{expected}"}}"#));
    assert_eq!(ask_custom(handshake, "GET", "/hooks/s?code=7174", &[], ""), None);
    let handshake = r#"
        when = { query = "crc_token" }
        hash = { algorithm = "hmac-sha256", encoding = "base64", signed = "{query:crc_token}" }
        answer = '{"response_token": "sha256={{ hash | safe }}"}'"#;
    let reply = ask_custom(handshake, "GET", "/hooks/s?crc_token=7174", &[], "");
    assert_eq!(
        body(reply),
        r#"{"response_token": "sha256=3FVZvl+iv+C0AfHdX5XCvXKD8vzF3mBi4+ewQSHYN2I="}"#
    );
}

const UUID: &str = "890e4665-4dfe-4ab1-b689-ed553bceeed0";

// The same by the names of their parameters, and LinkedIn's; worked out with Python's hashlib and hmac.
#[test]
fn questions_of_known_senders_are_hashed_as_they_want_it() {
    let ask = |name: &str, headers: &[(&str, &str)]| {
        let handshake = format!("hash = {{ query = \"{name}\" }}");
        let text = if name == "challengeCode" { UUID } else { "7174" };
        body(ask_custom(&handshake, "GET", &format!("/hooks/s?{name}={text}"), headers, ""))
    };
    let host = [("host", "in.example"), ("x-forwarded-host", "a.example, b.example")];
    let expected = "0d241440a6b79ecd4782a4e4453ad07fa1947c93924d61fa1b312f983c71c195";
    assert_eq!(ask("challenge_code", &host), format!(r#"{{"challengeResponse":"{expected}"}}"#));
    assert_eq!(ask("challenge_code", &[("host", "a.example")]), ask("challenge_code", &host));
    let expected = "3FVZvl+iv+C0AfHdX5XCvXKD8vzF3mBi4+ewQSHYN2I=";
    assert_eq!(ask("crc_token", &[]), format!(r#"{{"response_token":"sha256={expected}"}}"#));
    let expected = "a3397195bce020c76f2991be7f1ab186277ef6688c48e70e520d47a2ec5d3487";
    let linkedin = format!(r#"{{"challengeCode":"{UUID}","challengeResponse":"{expected}"}}"#);
    assert_eq!(ask("challengeCode", &[]), linkedin);
}

#[test]
fn address_that_is_configured_is_hashed_as_it_stands() {
    let text = "[source.s.verify]\nalgorithm = \"token\"\nquery = \"key\"\nurl = \"https://b.example/e\"\n\
                [source.s.handshake]\nhash = { query = \"challenge_code\" }";
    let source = configured(text, &["token"]);
    let headers = Headers::default();
    let path_and_query = "/hooks/s?key=token&challenge_code=7174";
    let request = Inbound { method: "GET", path_and_query, headers: &headers, body: b"" };
    let verified = source.verify(&request, Timestamp::from_millis(5)).unwrap();
    let reply = source.answer_verified(&request, &verified).map(|answered| answered.reply);
    let expected = "1f613d8654774d9e7182eb86d650e5041a0d7fc0368e57388d3b1f347803f56e";
    assert_eq!(body(reply), format!(r#"{{"challengeResponse":"{expected}"}}"#));
    // A stranger has nothing hashed with what lets events in.
    assert!(source.answer_unverified(&request, &Rejection::Missing).is_none());
}

// eBay hashes the address that was registered, and the password in it: worked out with Python's hashlib.
#[test]
fn address_of_the_request_is_hashed_with_its_password() {
    let text = "verify_token = { env = \"T\" }\n[source.s.verify]\nalgorithm = \"token\"\nquery = \"key\"\n\
                [source.s.handshake]\nhash = { query = \"challenge_code\" }";
    let mut source = configured(text, &["token"]);
    source.verify_token = Some(Secret::new("ebay-token"));
    let headers = [("host", &b"a.example"[..])].into_iter().collect();
    let expected = "5f19559bac877f1551ae8a3f6f4c61b072f0930d05625dfa551c275d637dc866";
    for query in ["key=token&challenge_code=7174", "challenge_code=7174&key=token"] {
        let path_and_query = &format!("/hooks/e?{query}");
        let request = Inbound { method: "GET", path_and_query, headers: &headers, body: b"" };
        let verified = source.verify(&request, Timestamp::from_millis(5)).unwrap();
        let reply = source.answer_verified(&request, &verified).map(|answered| answered.reply);
        assert_eq!(body(reply), format!(r#"{{"challengeResponse":"{expected}"}}"#), "{query}");
    }
}

/// A source of X or `LinkedIn`, whose questions are hashed with what signs its events.
fn hashing(name: &str, verify: &str) -> Source {
    let text = format!(
        "verify_token = {{ env = \"A\" }}\n[source.s.verify]\nalgorithm = \"hmac-sha256\"\n\
         header = \"X-S\"\n{verify}\n[source.s.handshake]\nhash = {{ query = \"{name}\" }}"
    );
    let mut source = configured(&text, &["k"]);
    source.verify_token = Some(Secret::new("k"));
    source
}

// Both sign events with what they want their question hashed by: it is among the secrets.
#[test]
fn what_signs_events_hashes_without_a_verify_token() {
    for (name, text, verify) in [
        ("crc_token", "7174", "prefix = \"sha256=\"\nencoding = \"base64\""),
        ("challengeCode", UUID, "signed = \"hmacsha256={body}\""),
    ] {
        let with_token = hashing(name, verify);
        let question = format!("/hooks/s?{name}={text}");
        let expected = body(ask(&with_token, &question, "", false));
        let text = format!(
            "[source.s.verify]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"\n{verify}\n\
             [source.s.handshake]\nhash = {{ query = \"{name}\" }}"
        );
        let source = configured(&text, &["k", "an older one"]);
        assert_eq!(body(ask(&source, &question, "", false)), expected);
        assert_eq!(ask(&source, &format!("/hooks/s?{name}=%7B%7D"), "", false), None);
    }
    // What a stranger asks could be what these sign.
    for signed in ["{timestamp}.{body}", "{body_sha256}", "{sorted_form}", "{unpacked_body}"] {
        let timestamp =
            if signed.contains("timestamp") { "timestamp = { header = \"X-T\" }\n" } else { "" };
        let text = format!(
            "secrets = [{{ env = \"A\" }}]\n[source.s.verify]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"\n\
             signed = \"{signed}\"\n{timestamp}[source.s.handshake]\nhash = {{ query = \"crc_token\" }}"
        );
        let told = super::super::super::tests::read(&text).1;
        assert!(told.contains("`verify_token` is missing"), "{signed}: {told}");
    }
    // A password is hashed for no stranger, who would learn whether a guess is right.
    let password = "[source.s.verify]\nalgorithm = \"token\"\nheader = \"X-T\"\n\
                    [source.s.handshake]\nhash = { query = \"crc_token\" }";
    let source = configured(password, &["k"]);
    assert_eq!(ask(&source, "/hooks/s?crc_token=7174", "", false), None);
    // eBay's is another one, which lets no events in.
    let ebay = "secrets = [{ env = \"A\" }]\n[source.s.verify]\nalgorithm = \"hmac-sha256\"\n\
                header = \"X-S\"\n[source.s.handshake]\nhash = { query = \"challenge_code\" }";
    assert!(super::super::super::tests::read(ebay).1.contains("`verify_token` is missing"));
}

#[test]
fn stranger_has_no_event_signed_by_asking() {
    let linkedin = hashing("challengeCode", "signed = \"hmacsha256={body}\"");
    let x = hashing("crc_token", "prefix = \"sha256=\"\nencoding = \"base64\"");
    let asked = |source: &Source, name: &str, text: &str| {
        ask(source, &format!("/hooks/s?{name}={text}"), "", false).is_some()
    };
    for (text, is_asked) in [
        ("7174", true),
        ("NDk5NDc4ODctYWUzZQ%3D%3D", true),
        (UUID, true),
        ("%7B%22for_user_id%22%3A%221%22%7D", false),
        ("%5B1%5D", false),
        ("a%3Db%26c%3Dd", false),
        ("%221%22", false),
        (&"a".repeat(201), false),
        ("", false),
    ] {
        assert_eq!(asked(&x, "crc_token", text), is_asked, "{text}");
    }
    for (text, is_asked) in [
        (UUID, true),
        ("7174", false),
        ("hmacsha256%3D%7B%22a%22%3A1%7D", false),
        ("hmacsha256%3D0e4665-4dfe-4ab1-b689-ed553bceee", false),
        ("hmacsha256-4dfe-4ab1-b689-ed553bceeed0", false),
    ] {
        assert_eq!(asked(&linkedin, "challengeCode", text), is_asked, "{text}");
    }
}

// A body may be anything: also what a question of X's may be, which is no event then.
#[test]
fn text_that_a_stranger_may_have_hashed_is_no_event() {
    let x = hashing("crc_token", "prefix = \"sha256=\"\nencoding = \"base64\"");
    // What is signed is verified at once.
    let sign = |text: &str| {
        x.sign(&EventType::unknown(), text.into(), "/hooks/s", Timestamp::from_millis(0))
    };
    for text in ["deploy=now", "7174", "null"] {
        let signed = sign(text);
        assert!(matches!(signed, Err(SignError::Refused(Rejection::Mismatch))), "{signed:?}");
    }
    assert!(sign(r#"{"for_user_id":"1"}"#).is_ok());
}

// Its hash is made with what signs events, whatever else is configured.
#[test]
fn zoom_s_token_is_hashed_with_its_secret_beside_a_verify_token() {
    let question =
        r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
    let mut zoom = source("zoom", &["zoom-secret"]);
    let expected = body(ask(&zoom, "/", question, true));
    zoom.verify_token = Some(Secret::new("another"));
    assert_eq!(body(ask(&zoom, "/", question, true)), expected);
    // The same in a query: it is asked like an event, under a signature.
    let text = "[source.s.verify]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"\n\
                [source.s.handshake]\nhash = { query = \"t\" }";
    let mut custom = configured(text, &["zoom-secret"]);
    custom.verify_token = Some(Secret::new("another"));
    let path_and_query = "/?t=qgg8vlvZRS6UYooatFL8Aw";
    assert_eq!(ask(&custom, path_and_query, "", false), None);
    assert_eq!(body(ask(&custom, path_and_query, "", true)), expected);
}
