//! Whose request it is, where it is not the configured sender's.

use super::*;

const CUSTOM: &str = "algorithm = \"hmac-sha256\", header = \"X-Own\"";

fn request(headers: &[(&str, &str)], body: &str) -> SignedRequest {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    SignedRequest { headers: headers.collect(), query: Vec::new(), body: body.as_bytes().to_vec() }
}

/// What is signed by nobody's secret, with `prefix`.
fn wrong(prefix: &str) -> String {
    let n_digits = match prefix {
        "sha1=" => 40,
        "sha512=" => 128,
        _ => 64,
    };
    format!("{prefix}{}", "ab".repeat(n_digits / 2))
}

#[track_caller]
fn check_provider(ours: &[Source], signed: &SignedRequest, expected: &str) {
    for source in ours {
        let told = explain_at(source, &[], signed, NOW);
        let provider = format!("provider `{expected}`");
        assert!(told.line.contains(&provider), "{} {told:?}", source.provider());
        let hint = told.config_hint.unwrap();
        assert!(hint.contains(&format!("provider = \"{expected}\"")), "{hint}");
    }
}

fn github_talk_and_own() -> [Source; 3] {
    [source("github", &["k"]), source("hyvor-talk", &["k"]), verify(CUSTOM, "k")]
}

#[test]
fn sender_that_shares_its_header_is_told_by_its_prefix() {
    let body = r#"{"type":"notification_event","topic":"user.created"}"#;
    for (prefix, expected) in
        [("sha1=", "intercom"), ("sha512=", "disqus"), ("sha256=", "bitbucket")]
    {
        let signed = request(&[("x-hub-signature", &wrong(prefix))], body);
        check_provider(&github_talk_and_own(), &signed, expected);
        // An id that every proxy writes says nothing.
        let signed = with_headers(signed, &[("x-request-id", "1")]);
        check_provider(&github_talk_and_own(), &signed, expected);
    }
    check_provider(
        &[source("meta", &["k"])],
        &request(&[("x-hub-signature", &wrong("sha1="))], body),
        "intercom",
    );
    // Nothing but a name that others have speaks for one of them.
    let other = request(&[("x-hub-signature", "md5=00")], body);
    let told = explain_at(&source("github", &["k"]), &[], &other, NOW);
    assert!(!told.line.contains("provider"), "{told:?}");
}

#[test]
fn sender_is_told_by_its_own_headers_before_all_else() {
    let bitbucket =
        request(&[("x-hub-signature", &wrong("sha256=")), ("x-event-key", "repo:push")], "{}");
    check_provider(&github_talk_and_own(), &bitbucket, "bitbucket");
    let talk_and_own = [source("hyvor-talk", &["k"]), verify(CUSTOM, "k")];
    // Gitea sends the headers of GitHub beside its own.
    let gitea = request(
        &[
            ("x-gitea-signature", &wrong("")),
            ("x-gitea-event", "push"),
            ("x-hub-signature", &wrong("sha1=")),
            ("x-hub-signature-256", &wrong("sha256=")),
            ("x-github-event", "push"),
        ],
        "{}",
    );
    check_provider(&talk_and_own, &gitea, "gitea");
    let whatsapp = request(
        &[("x-hub-signature-256", &wrong("sha256=")), ("user-agent", "facebookexternalua")],
        r#"{"object":"whatsapp_business_account"}"#,
    );
    check_provider(&talk_and_own, &whatsapp, "meta");
}

#[test]
fn senders_that_sign_alike_with_the_right_secret_are_told_apart() {
    let talk = [source("hyvor-talk", &["the secret"])];
    let github = sign(&source("github", &["the secret"]));
    check_provider(&talk, &github, "github");
    let mut whatsapp = with_headers(github, &[("user-agent", "facebookexternalua")]);
    whatsapp.headers.retain(|(name, _)| !name.starts_with("x-github"));
    check_provider(&talk, &whatsapp, "meta");
}

#[test]
fn sha1_alone_of_another_secret_is_of_the_source_s_own_sender() {
    let line = "it is signed by SHA-1 only, and with another secret";
    for (provider, type_header, body) in [
        ("github", ("x-github-event", "push"), "{}"),
        ("bitbucket", ("x-event-key", "repo:push"), "{}"),
        ("meta", ("x-a", "b"), r#"{"object":"page","entry":[]}"#),
    ] {
        let signed = request(&[("x-hub-signature", &wrong("sha1=")), type_header], body);
        let source = source(provider, &["k"]);
        check(&source, &signed, line, "copy the secret");
    }
    let own = r#"algorithm = "hmac-sha256", header = "X-Hub-Signature-256", prefix = "sha256=""#;
    let own = configured(
        &format!("[source.s.verify]\n{}\ntype = {{ json = \"type\" }}", own.replace(", ", "\n")),
        &["k"],
    );
    let body = r#"{"type":"notification_event"}"#;
    let signed = request(&[("x-hub-signature", &wrong("sha1="))], body);
    check_provider(&[own], &signed, "intercom");
}

#[test]
fn what_has_the_type_header_of_its_own_provider_is_of_no_other_one() {
    let sha1 = r#"algorithm = "hmac-sha1", header = "X-Hub-Signature", prefix = "sha1=""#;
    let signed = with_headers(sign(&verify(sha1, "the secret")), &[("x-gitea-event", "push")]);
    let gitea = source("gitea", &["the secret"]);
    check(&gitea, &signed, "it is signed with the secret, but otherwise", "x-hub-signature");
    let told = explain_at(&gitea, &[], &signed, NOW);
    assert!(!format!("{told:?}").contains("intercom"), "{told:?}");
    let other = explain_at(&source("gitea", &["another"]), &[], &signed, NOW);
    assert!(
        other.line.contains("the header `x-hub-signature` looks like a signature"),
        "{other:?}"
    );
    assert!(!format!("{other:?}").contains("intercom"), "{other:?}");
}
