//! The right secret, used otherwise than it is written down.

use super::*;

const TIMED: &str = r#"timestamp = { header = "X-T" }"#;

#[test]
fn another_text_that_is_signed_is_named() {
    for theirs in
        ["{timestamp}:{body}", "{timestamp}{body}", "{body}.{timestamp}", "v0:{timestamp}:{body}"]
    {
        let signed = sign(&verify(&format!("{HEX}, {TIMED}, signed = \"{theirs}\""), "the secret"));
        let ours = format!("{HEX}, {TIMED}, signed = \"{{timestamp}}.{{body}}\"");
        let line = format!("it matches over another text: `{theirs}`");
        let hint = format!("`signed = \"{theirs}\"` in [source.s.verify]");
        check(&verify(&ours, "the secret"), &signed, &line, &hint);
    }
    let body_only = sign(&verify(HEX, "the secret"));
    let body_only = with_headers(body_only, &[("x-t", "1700000000")]);
    let ours =
        verify(&format!("{HEX}, {TIMED}, signed = \"{{timestamp}}.{{body}}\""), "the secret");
    check(&ours, &body_only, "another text: `{body}`", "`signed = \"{body}\"`");
}

#[test]
fn time_that_is_signed_and_not_configured_is_named() {
    let theirs = format!(
        "{HEX}, timestamp = {{ header = \"X-Timestamp\" }}, signed = \"{{timestamp}}.{{body}}\""
    );
    let signed = sign(&verify(&theirs, "the secret"));
    let hint =
        "`signed = \"{timestamp}.{body}\"`, `timestamp = { header = \"x-timestamp\" }` in [source";
    check(&verify(HEX, "the secret"), &signed, "another text: `{timestamp}.{body}`", hint);
}

#[test]
fn sender_without_a_secret_is_named() {
    let github = source("github", &["the secret"]);
    for (theirs, what) in [("\0", "an empty secret"), ("undefined", "the word `undefined`")] {
        let signed = sign(&source("github", &[theirs]));
        check(&github, &signed, &format!("it is signed with {what}"), "at the sender");
    }
}

#[test]
fn secret_that_the_sender_has_in_another_dress_is_named() {
    let ours = verify(HEX, "a&b<c>'d'");
    for (theirs, what) in [
        ("a&amp;b&lt;c&gt;&#39;d&#39;", "with HTML entities in the secret"),
        ("\"a&b<c>'d'\"", "with quotes around the secret"),
    ] {
        check(&ours, &sign(&verify(HEX, theirs)), what, "enter the secret at the sender again");
    }
}

#[test]
fn token_at_another_place_is_found() {
    let ours = verify("algorithm = \"token\", header = \"X-Token\"", "the secret");
    let empty = SignedRequest { headers: Vec::new(), query: Vec::new(), body: BODY.to_vec() };
    for (name, value, hint) in [
        (
            "authorization",
            "Bearer the secret",
            "`header = \"authorization\", prefix = \"Bearer \"`",
        ),
        ("x-token", "Token the secret", "`header = \"x-token\", prefix = \"Token \"`"),
        ("x-api-key", "the secret", "`header = \"x-api-key\"` in [source.s.verify]"),
    ] {
        let request = with_headers(empty.clone(), &[(name, value)]);
        check(&ours, &request, &format!("the header `{name}` holds the token"), hint);
    }
    check(&ours, &empty, "there is no header `x-token`", "enter the secret");
}

#[test]
fn question_that_would_have_to_be_signed_is_named() {
    let table = "verify = { algorithm = \"token\", json = \"header.token\" }\n\
                 handshake = { echo = { json = \"challenge\" } }";
    let asked = SignedRequest {
        headers: Vec::new(),
        query: Vec::new(),
        body: br#"{"challenge":"c","type":"url_verification"}"#.to_vec(),
    };
    let line = "it is the question of this source's handshake";
    check(&configured(table, &["k"]), &asked, line, "`signed = false` in [source.s.handshake]");
    // One that is signed wrong is not to be believed unsigned.
    let body = br#"{"challenge":"c","header":{"token":"wrong"}}"#.to_vec();
    let wrong = SignedRequest { body, ..asked };
    check(&configured(table, &["k"]), &wrong, "matches none of the secrets", "copy the secret");
}

#[test]
fn prefix_that_is_not_there_is_named() {
    let ours = verify(&format!("{HEX}, prefix = \"sha256=\""), "the secret");
    let signed = sign(&verify(HEX, "the secret"));
    check(&ours, &signed, "it matches without the prefix `sha256=`", "`prefix = \"\"`");
}

#[test]
fn body_that_was_written_with_indents_is_named() {
    let hyvor = source("hyvor-talk", &["k"]);
    for indent in ["\n    ", "\n\t"] {
        let body = format!("{{{indent}\"a\": 1\n}}");
        let signed = hyvor.sign(&EventType::new("t"), body.into_bytes(), "/hooks/s", NOW).unwrap();
        let signed = SignedRequest { body: br#"{"a":1}"#.to_vec(), ..signed };
        check(&hyvor, &signed, "something wrote it with indents", "untouched");
    }
}
