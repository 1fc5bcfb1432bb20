//! Passwords that are sent along and are not quite right.

use super::*;
use crate::source::signature::Encoding;

/// A request to `query` with these headers and a body that nothing signs.
fn explain_of(source: &Source, query: &str, headers: &[(&str, &[u8])]) -> Explanation {
    let headers = headers.iter().map(|(name, value)| (*name, *value)).collect();
    let path = format!("/hooks/s{query}");
    let request =
        Inbound { method: "POST", path_and_query: &path, headers: &headers, body: b"{\"a\":1}" };
    explain_request(source, &[], &Rejected { request, received_at: NOW })
}

#[track_caller]
fn check_basic(secret: &str, sent: &[u8], line: &str) {
    let source = verify("algorithm = \"basic\"", secret);
    let value = format!("Basic {}", Encoding::Base64.encode(sent));
    let told = explain_of(&source, "", &[("authorization", value.as_bytes())]);
    assert!(told.line.contains(line), "{told:?}");
    let shown = format!("{told:?}");
    assert!(!shown.contains("pass-123") && !shown.contains("admin"), "{shown}");
}

#[test]
fn part_of_a_name_and_password_that_is_wrong_is_named() {
    check_basic("pass-123", b"user:pass-123", "the user name before it is missing");
    check_basic("user", b"user:pass-123", "the secret has no password");
    check_basic("other-1", b"user:pass-123", "the secret has no `:`");
    check_basic("user:pass-123", b"admin:pass-123", "the user name is another");
    check_basic("user:pass-123", b"user:wrong", "the user name is right, but the password");
    check_basic("user:pass-123", b"user:PASS-123", "upper and lower case differ");
    check_basic("User:pass-123", b"USER:Pass-123", "upper and lower case differ");
    check_basic("user:pass-123", b"pass-123:user", "have changed their places");
    check_basic("user:pass-123", b"pass-123", "no `:` between");
    check_basic("user:pass-123 ", b"user:pass-12 3", "the user name is right");
    check_basic("user:p\u{e4}ss", b"user:p\xe4ss", "in Latin-1 and not in UTF-8");
    check_basic("user:pass-123", b"admin:wrong", "matches none of the secrets");
}

#[test]
fn what_is_no_http_basic_is_named() {
    let source = verify("algorithm = \"basic\"", "user:pass-123");
    for (value, line) in [
        ("Bearer abc", "another word in place of `Basic"),
        ("abc", "something in place of `Basic"),
        ("Basic user:wrong", "is not base64"),
    ] {
        let told = explain_of(&source, "", &[("authorization", value.as_bytes())]);
        assert!(told.line.contains(line), "{told:?}");
    }
}

#[test]
fn bare_plus_in_a_query_is_named() {
    let source = verify("algorithm = \"token\", query = \"key\"", "q+Zx/7Kd0w==");
    for query in ["?key=q+Zx/7Kd0w==", "?a=b&key=q+Zx%2F7Kd0w%3D%3D"] {
        let told = explain_of(&source, query, &[]);
        assert!(told.line.contains("a bare `+`, which is a blank"), "{told:?}");
        assert!(told.config_hint.unwrap().contains("`%2B` for each `+`"));
    }
    let other = explain_of(&source, "?key=q+other", &[]);
    assert!(other.line.contains("matches none of the secrets"), "{other:?}");
}

#[test]
fn token_in_another_dress_is_named() {
    let source = verify("algorithm = \"token\", header = \"X-Token\"", "Tok/ABC+456=");
    let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"Tok/ABC+456="));
    for (value, line) in [
        ("tok/abc+456=", "in other letters: the case"),
        ("VG9rL0FCQys0NTY9", "in base64"),
        ("VG9rL0FCQys0NTY9Og==", "in base64"),
        ("Tok%2FABC%2B456%3D", "percent-encoded"),
        ("Tok/ABC 456=", "a blank for each `+`"),
        ("Tok/ABC+456=, Tok/ABC+456=", "joined two equal headers by a comma"),
        ("token=Tok/ABC+456=", "behind a name"),
        ("Tok/ABC+456=;", "with a sign behind it"),
        ("\"Tok/ABC+456=\"", "quotes around"),
        (sha256.as_str(), "the sha256 hash of the secret"),
    ] {
        let told = explain_of(&source, "", &[("x-token", value.as_bytes())]);
        assert!(told.line.contains(line), "{value}: {told:?}");
        assert!(!format!("{told:?}").contains("ABC+456"), "{told:?}");
    }
    let other = explain_of(&source, "", &[("x-token", b"quite another")]);
    assert!(other.line.contains("matches none of the secrets"), "{other:?}");
}

#[test]
fn token_without_its_prefix_is_named() {
    let verify_text = "algorithm = \"token\", header = \"authorization\", prefix = \"Bearer \"";
    let source = verify(verify_text, "Tok/ABC+456=");
    for value in ["Tok/ABC+456=", "\"Tok/ABC+456=\""] {
        let told = explain_of(&source, "", &[("authorization", value.as_bytes())]);
        assert!(told.line.contains("holds the token without `Bearer ` before it"), "{told:?}");
        assert!(told.config_hint.unwrap().contains("take `prefix` out of"));
    }
}
