//! JSON Web Tokens and HTTP Message Signatures that are good, and looked for otherwise.

use super::*;

const S: &str = "0123456789abcdef0123456789abcdef";

fn jwt(more: &str, rule: &str) -> Source {
    verify(&format!("algorithm = \"hmac-sha256\", {more}, jwt = {{ {rule} }}"), S)
}

const PLAIN: &str = "header = \"Authorization\"";
const BEARER: &str = "header = \"Authorization\", prefix = \"Bearer \"";
const HASH: &str = "body_hash = \"sha256\"";

#[test]
fn token_behind_another_prefix_is_found() {
    let bearer = sign(&jwt(BEARER, HASH));
    let line = "it matches behind `prefix = \"Bearer \"`";
    let hint = "`prefix = \"Bearer \"` in [source.s.verify]";
    check(&jwt(PLAIN, HASH), &bearer, line, hint);
    check(&source("livekit", &[S]), &bearer, line, "`prefix = \"Bearer \"`");
    let raw = sign(&jwt(PLAIN, HASH));
    let line = "it matches without the prefix `Bearer `";
    check(&jwt(BEARER, HASH), &raw, line, "no `prefix` in [source.s.verify]");
    let elsewhere = sign(&jwt("header = \"X-Token\"", HASH));
    check(&jwt(BEARER, HASH), &elsewhere, "in the header `x-token`", "`header = \"x-token\"`");
}

#[test]
fn body_s_hash_in_another_claim_is_found() {
    let theirs = sign(&jwt(PLAIN, "body_hash = \"request_body_sha256\""));
    let line = "it matches with the body's hash in the claim `request_body_sha256`";
    let hint = "`jwt.body_hash = \"request_body_sha256\"` in [source.s.verify]";
    check(&jwt(PLAIN, HASH), &theirs, line, hint);
    // One thing with another.
    check(&jwt(BEARER, HASH), &theirs, "without the prefix `Bearer `, with the body's hash", hint);
    let detached = sign(&jwt(PLAIN, "detached = true"));
    check(&jwt(PLAIN, HASH), &detached, "as a token without its payload", "`jwt.detached = true`");
}

#[test]
fn token_with_the_hash_of_no_body_names_its_claims() {
    let mut signed = sign(&jwt(PLAIN, "body_hash = \"h\""));
    let ours = jwt(PLAIN, HASH);
    signed.body = b"{}".to_vec();
    check(&ours, &signed, "its token has no claim `sha256`", "`h`");
    let own = jwt(PLAIN, "body_hash = \"h\"");
    check(&own, &signed, "its `h` is not the expected one", "the body was changed on its way here");
}

#[test]
fn what_is_no_token_is_said_in_words_of_tokens() {
    let with = |value: &str| SignedRequest {
        headers: vec![("authorization".to_owned(), value.to_owned())],
        query: Vec::new(),
        body: BODY.to_vec(),
    };
    let line = "what the header `authorization` holds is no JSON Web Token";
    for value in ["abc", "a.b.c", "Bearer a.b.c"] {
        check(&jwt(PLAIN, HASH), &with(value), line, "see by the sender's page");
    }
    let line = "holds is no JSON Web Token behind `Bearer `";
    check(&jwt(BEARER, HASH), &with("abc"), line, "in [source.s.verify]");
}

/// An HMAC with the text of a public key, which anybody may know, is nothing to be recommended.
#[test]
fn token_by_an_hmac_of_a_public_key_is_not_told_as_nearly_good() {
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let text = |algorithm: &str, more: &str| {
        format!("verify = {{ algorithm = \"{algorithm}\", {more}, jwt = {{ {HASH} }} }}")
    };
    let forged = sign(&configured(&text("hmac-sha256", BEARER), &[key]));
    let told = explain_at(&configured(&text("ed25519", PLAIN), &[key]), &[], &forged, NOW);
    assert!(!format!("{told:?}").contains("hmac"), "{told:?}");
}

#[test]
fn message_signature_over_the_whole_address_asks_for_it() {
    let of = |components: &str, url: &str| {
        let rule = format!("message_signature = {{ components = [{components}] }}");
        verify(&format!("algorithm = \"hmac-sha256\", {rule}{url}"), "the secret")
    };
    let theirs =
        of("\"content-digest\", \"@target-uri\"", ", url = \"https://site.example/hooks/s\"");
    let ours = of("\"content-digest\"", "");
    let signed = sign(&theirs);
    let line = "its signature covers the whole address (`@target-uri`)";
    check(&ours, &signed, line, "`url = \"https://…\"` in [source.s.verify]");
    // Where the request says by which host it was asked, that is tried.
    let told = with_headers(signed.clone(), &[("host", "site.example")]);
    let found = "it matches with the address `https://site.example/hooks/s`";
    check(
        &ours,
        &told,
        found,
        "write `url = \"https://site.example/hooks/s\"` in [source.s.verify]",
    );
    let behind = with_headers(signed.clone(), &[("host", "10.0.0.5:8080")]);
    check(&ours, &behind, line, "`url = \"https://…\"` in [source.s.verify]");
    let own = of("\"content-digest\", \"@target-uri\"", ", url = \"https://site.example/other\"");
    check(&own, &signed, found, "change it");
    let mut broken = signed;
    broken.headers.iter_mut().for_each(|(_, value)| *value = "x y".to_owned());
    check(&ours, &broken, "is not written as RFC 9421 says", "see by the sender's page");
}
