//! Questions that were not answered, and what one sender alone does.

use super::*;

fn ask(source: &Source, query: &str) -> Explanation {
    let path = format!("/hooks/s?{query}");
    let headers = crate::event::Headers::default();
    let request = Inbound { method: "GET", path_and_query: &path, headers: &headers, body: b"" };
    explain_request(source, &[], &Rejected { request, received_at: NOW })
}

#[test]
fn wrong_or_missing_verify_token_is_named() {
    let question = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=";
    let meta = source("meta", &["app-secret"]);
    let told = ask(&meta, &format!("{question}my-wrod"));
    assert!(told.line.contains("no `verify_token` is configured"), "{told:?}");
    assert!(told.config_hint.unwrap().contains("`verify_token = { file"));
    let mut meta = meta;
    meta.verify_token = Some(Secret::new("my-word"));
    for (word, line) in [
        ("my-wrod", "is not the `verify_token` of [source.s]"),
        ("my-word%20", "but for a blank or line break around it"),
        ("", "is not there"),
    ] {
        let told = ask(&meta, &format!("{question}{word}"));
        assert!(told.line.contains(line), "{told:?}");
        assert!(!format!("{told:?}").contains("my-wo"), "{told:?}");
    }
    let told = ask(&meta, "a=b");
    assert!(told.line.contains("it is not signed at all"), "{told:?}");
}

#[test]
fn raw_message_of_sns_is_named() {
    let sns = source("aws-sns", &["arn:aws:sns:us-east-1:1:t"]);
    let raw = SignedRequest {
        headers: vec![("x-amz-sns-rawdelivery".to_owned(), "true".to_owned())],
        query: Vec::new(),
        body: BODY.to_vec(),
    };
    check(&sns, &raw, "a raw message of SNS", "raw message delivery");
}

#[test]
fn form_of_mailgun_at_its_preset_is_named() {
    let own = "algorithm = \"hmac-sha256\", form = \"signature\", timestamp = { form = \"timestamp\" }, \
               signed = \"{timestamp}{form:token}\", allow_unsigned_body = true";
    let own = verify(own, "key-1234567");
    let token = "a".repeat(50);
    let signature = |time: &str, secret: &str| {
        let other = verify("algorithm = \"hmac-sha256\", header = \"x\"", secret);
        let text = format!("{time}{token}").into_bytes();
        let signed = other.sign(&EventType::new("t"), text, "/hooks/s", NOW).unwrap();
        signed.headers.into_iter().find(|(name, _)| name == "x").unwrap().1
    };
    let form = |secret: &str| {
        let time = "1700000000";
        let signature = signature(time, secret);
        let body = format!("event=opened&timestamp={time}&token={token}&signature={signature}");
        let form = "application/x-www-form-urlencoded".to_owned();
        SignedRequest {
            headers: vec![("content-type".to_owned(), form)],
            query: Vec::new(),
            body: body.into_bytes(),
        }
    };
    assert!(explain_at(&own, &[], &form("key-1234567"), NOW).is_good_now);
    let mailgun =
        configured("provider = \"mailgun\"\nallow_unsigned_body = true", &["key-1234567"]);
    let hint = "give the form a source of its own";
    check(&mailgun, &form("key-1234567"), "in the fields of a form", hint);
    let table = explain_at(&mailgun, &[], &form("key-1234567"), NOW).config_table.unwrap();
    assert!(table.contains("signed = \"{timestamp}{form:token}\""), "{table}");
    assert!(table.contains("id = { form = \"token\" }"), "{table}");
    check(&mailgun, &form("another"), "it is not signed at all", "");
}

#[test]
fn hint_is_that_of_the_claim_or_key() {
    let plaid = source("plaid", &["client:secret"]);
    let headers = crate::event::Headers::default();
    let request =
        Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body: BODY };
    let rejected = Rejected { request, received_at: NOW };
    let case = Case { source: &plaid, rejected: &rejected };
    let claim = |name: &str| Rejection::Claim(name.to_owned());
    let no_key = |why: &str| Rejection::KeyNotFetched(why.to_owned());
    for (rejection, hint) in [
        (claim("TopicArn"), "is the ARN of another topic"),
        (claim("request_body_sha256"), "the body was changed on its way here"),
        (claim("iss"), "compare `issuer`"),
        (claim("alg"), "compare `algorithm`"),
        (no_key("`h`: answered 400 Bad Request"), "of another environment"),
        (no_key("`h`: answered 503 Service Unavailable"), "let this machine reach"),
        (no_key("timed out"), "let this machine reach"),
    ] {
        let told = case.of_rejection(&rejection).unwrap();
        assert!(told.config_hint.as_ref().unwrap().contains(hint), "{told:?}");
    }
}

#[test]
fn sender_without_a_secret_is_named() {
    let github = source("github", &["k"]);
    let mut signed = sign(&github);
    signed.headers.retain(|(name, _)| name != "x-hub-signature-256");
    for (value, line) in [
        ("", "is empty: the sender has no secret"),
        ("sha256=", "is empty: the sender has no secret"),
        ("no-secret-provided", "is `no-secret-provided`: the sender has no secret"),
        ("undefined", "is `undefined`: the sender has no secret"),
    ] {
        let signed = SignedRequest {
            headers: signed.headers.clone(),
            query: Vec::new(),
            body: signed.body.clone(),
        };
        let signed = with_headers(signed, &[("x-hub-signature-256", value)]);
        check(&github, &signed, line, "enter the secret at the sender");
    }
}
