//! Questions whose answer is a hash.

use super::*;

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

// The same by the names of their parameters, and LinkedIn's; worked out with Python's hashlib and hmac.
#[test]
fn questions_of_known_senders_are_hashed_as_they_want_it() {
    let ask = |name: &str, headers: &[(&str, &str)]| {
        let handshake = format!("hash = {{ query = \"{name}\" }}");
        body(ask_custom(&handshake, "GET", &format!("/hooks/s?{name}=7174&a=b"), headers, ""))
    };
    let host = [("host", "in.example"), ("x-forwarded-host", "a.example, b.example")];
    let expected = "0d241440a6b79ecd4782a4e4453ad07fa1947c93924d61fa1b312f983c71c195";
    assert_eq!(ask("challenge_code", &host), format!(r#"{{"challengeResponse":"{expected}"}}"#));
    assert_eq!(ask("challenge_code", &[("host", "a.example")]), ask("challenge_code", &host));
    let expected = "3FVZvl+iv+C0AfHdX5XCvXKD8vzF3mBi4+ewQSHYN2I=";
    assert_eq!(ask("crc_token", &[]), format!(r#"{{"response_token":"sha256={expected}"}}"#));
    let expected = "dc5559be5fa2bfe0b401f1dd5f95c2bd7283f2fcc5de6062e3e7b04121d83762";
    let linkedin = format!(r#"{{"challengeCode":"7174","challengeResponse":"{expected}"}}"#);
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
