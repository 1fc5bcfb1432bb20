//! What a source's table may say, and what is answered where it is wrong.

use std::time::Duration;

use super::*;
use crate::source::tests::read;
use crate::source::{FieldRef, SignatureFormat, TypeRule, Unit};

mod remedies;

#[track_caller]
fn good(text: &str) -> SourceSettings {
    let (settings, problems) = read(text);
    assert_eq!(problems, "");
    settings.unwrap()
}

/// Every problem of `text`, one a line.
#[track_caller]
fn bad(text: &str) -> String {
    let (_, problems) = read(text);
    assert!(problems.contains("error"), "no error in:\n{text}\n{problems}");
    problems
}

const SECRETS: &str = "secrets = [{ env = \"A\" }]\n";

#[test]
fn a_provider_needs_nothing_but_its_secrets() {
    let settings = good("provider = \"hyvor-talk\"\nsecrets = [{ file = \"k\", create = true }]");
    assert_eq!(settings.profile.name(), "hyvor-talk");
    assert_eq!(settings.dedupe, DedupePolicy::Identity);
    assert_eq!(settings.rate_limit, None);
}

#[test]
fn what_is_no_name_of_a_header_is_told() {
    for name in ["X-Token:", "X-Token: abc", "X Token", "", "$http_x_token"] {
        let scheme = |more: &str| {
            bad(&format!("{SECRETS}verify = {{ algorithm = \"hmac-sha256\", {more} }}"))
        };
        let message = format!("`{name}` is not the name of a header");
        let signature = scheme(&format!("header = \"{name}\""));
        let id = scheme(&format!("header = \"X-S\", id = {{ header = \"{name}\" }}"));
        for problems in [signature, id] {
            assert!(problems.contains(&message), "{name}: {problems}");
        }
    }
}

#[test]
fn what_belongs_into_the_verify_table_is_sent_there() {
    let problems = bad(&format!("algorithm = \"hmac-sha256\"\nheader = \"X-S\"\n{SECRETS}"));
    assert!(problems.contains("says how it signs stand in `[source.s.verify]`"), "{problems}");
    let problems = bad(SECRETS);
    assert!(problems.contains("or write a `verify` table"), "{problems}");
}

#[test]
fn every_setting_beside_the_provider_is_read() {
    let settings = good(
        r#"
        provider = "slack"
        secrets = [{ env = "A" }, { credential = "b" }]
        dedupe = "off"
        rate_limit = "50/s"
        allow = ["203.0.113.0/24", "2001:db8::/32"]
        expect_every = "24h"
        body_max = "64KiB"
        tolerance = "1h"
        "#,
    );
    assert_eq!(settings.dedupe, DedupePolicy::Off);
    assert_eq!(settings.rate_limit, RateLimit::parse("50/s").ok());
    assert_eq!(settings.allow.len(), 2);
    assert_eq!(settings.expect_every, Some(Duration::from_hours(24)));
    assert_eq!(settings.body_max, Some(65_536));
    let rule = settings.profile.schemes[0].timestamp.as_ref().unwrap();
    assert_eq!(rule.tolerance, Duration::from_hours(1));
}

#[test]
fn one_algorithm_can_be_pinned() {
    let text = format!("provider = \"userecho\"\nalgorithm = \"hmac-sha256\"\n{SECRETS}");
    let schemes = good(&text).profile.schemes;
    assert_eq!(schemes.len(), 1);
    assert_eq!(schemes[0].algorithm, Algorithm::HmacSha256);
    let text = format!("provider = \"github\"\nalgorithm = \"hmac-sha1\"\n{SECRETS}");
    assert!(bad(&text).contains("it signs by: hmac-sha256"));
}

#[test]
fn the_verify_table_says_all_of_a_scheme() {
    let settings = good(
        r#"
        secrets = [{ env = "A" }]
        [source.s.verify]
        algorithm = "hmac-sha512"
        header = ["X-Signature", "X-Old-Signature"]
        encoding = "base64"
        list = { item = ";", pair = ":", key = "v1" }
        signed = "{timestamp}.{id}.{body}"
        timestamp = { list = "t", unit = "ms", tolerance = "10m" }
        id = { header = "X-Id" }
        type = { json = "event" }
        key = "hex"
        strip = "key_"
        "#,
    );
    let scheme = &settings.profile.schemes[0];
    assert_eq!(scheme.algorithm, Algorithm::HmacSha512);
    assert_eq!(
        scheme.signature.places,
        [FieldRef::header("x-signature"), FieldRef::header("x-old-signature")]
    );
    assert!(
        matches!(&scheme.signature.format, SignatureFormat::List { keys, .. } if *keys == ["v1"])
    );
    let timestamp = scheme.timestamp.as_ref().unwrap();
    assert_eq!((timestamp.unit, timestamp.tolerance), (Unit::Millis, Duration::from_mins(10)));
    assert_eq!(scheme.signed.as_ref().unwrap().to_string(), "{timestamp}.{id}.{body}");
    assert_eq!(scheme.key.strip, "key_");
    assert_eq!(settings.profile.event_type, TypeRule::At(vec![FieldRef::Json("event".into())]));
    assert_eq!(settings.profile.name(), "custom");
}

#[test]
fn none_needs_no_secrets_and_nothing_else_goes_without() {
    good("verify = { algorithm = \"none\", type = { literal = \"ping\" } }");
    assert!(bad("provider = \"github\"").contains("`secrets` is missing"));
    assert!(bad("provider = \"github\"\nsecrets = []").contains("name at least one"));
    assert!(bad("verify = { algorithm = \"token\", header = \"x\" }").contains("`secrets`"));
}

#[test]
fn a_signature_that_is_a_password_needs_consent() {
    let verify = |more: &str| {
        format!("{SECRETS}verify = {{ algorithm = \"hmac-sha1\", header = \"x\", {more} }}")
    };
    assert!(bad(&verify("signed = \"POST\"")).contains("the same for every request"));
    let half = "signed = \"{timestamp}\", timestamp = { header = \"t\" }";
    assert!(bad(&verify(half)).contains("leaves the body out"));
    let (settings, problems) = read(&verify("signed = \"POST\", allow_unsigned_body = true"));
    assert!(settings.is_some() && problems.starts_with("warning source.s.verify.signed"));
    let (settings, problems) = read(&verify("timestamp = { header = \"t\" }"));
    assert!(settings.is_some() && problems.contains("checked but not signed"), "{problems}");
    assert!(bad(&format!("provider = \"mailgun\"\n{SECRETS}")).contains("leaves the body out"));
    let consent = format!("provider = \"mailgun\"\nallow_unsigned_body = true\n{SECRETS}");
    assert!(read(&consent).0.is_some());
}

#[test]
fn an_address_that_is_signed_must_be_known() {
    assert!(bad(&format!("provider = \"twilio\"\n{SECRETS}")).contains("`url` is missing"));
    good(&format!("provider = \"twilio\"\nurl = \"https://a/b\"\n{SECRETS}"));
}

#[test]
fn all_mistakes_of_a_source_are_found_at_once() {
    let problems = bad(r#"
        provider = "hyvortalk"
        secrets = "hunter2"
        dedupe = "1 fortnight"
        rate_limit = "50"
        allow = ["203.0.113.0/99"]
        body_max = "big"
        colour = "red"
        "#);
    for expected in [
        "source.s.provider: no provider `hyvortalk` (did you mean \"hyvor-talk\"?",
        "source.s.secrets: expected a reference to a secret",
        "source.s.dedupe:",
        "source.s.rate_limit: `50` is not a rate: write a whole number and a unit",
        "source.s.allow",
        "source.s.body_max:",
        "source.s.colour: unknown key `colour`",
    ] {
        assert!(problems.contains(expected), "{expected} in:\n{problems}");
    }
    assert_eq!(problems.lines().count(), 7, "{problems}");
}

#[test]
fn body_of_a_source_is_no_larger_than_a_servers_may_be() {
    for (size, why) in [("100MiB", "at most 64MiB are possible"), ("0B", "no body would be let in")]
    {
        let problems = bad(&format!("provider = \"hyvor-talk\"\n{SECRETS}body_max = \"{size}\""));
        assert!(problems.contains(why), "{problems}");
    }
}

#[test]
fn another_name_of_a_sender_is_led_to_its_provider() {
    for (name, provider) in
        [("sns", "aws-sns"), ("WhatsApp", "meta"), ("forgejo", "gitea"), ("hyvor", "hyvor-talk")]
    {
        let problems = bad(&format!("provider = \"{name}\""));
        assert!(problems.contains(&format!("did you mean \"{provider}\"?")), "{problems}");
    }
}

#[test]
fn all_mistakes_of_a_verify_table_are_found_at_once() {
    let problems = bad(&format!(
        "{SECRETS}{}",
        r#"
        [source.s.verify]
        algorithm = "hmac-md4"
        header = "a"
        query = "b"
        encoding = "base32"
        signed = "{bdy}"
        timestamp = { unit = "min" }
        id = { header = "a", json = "b" }
        key = "utf16"
        prefx = "x"
        "#
    ));
    for expected in [
        "source.s.verify.algorithm: `hmac-md4` is not known here",
        "source.s.verify: the signature stands in one place",
        "source.s.verify.encoding:",
        "source.s.verify.timestamp.unit:",
        "source.s.verify.timestamp: this names no place",
        "source.s.verify.id: this names two places",
        "source.s.verify.key:",
        "source.s.verify.signed: `{bdy}` is not a variable (variables: {body} ",
        "source.s.verify.prefx: unknown key `prefx` (did you mean `prefix`?)",
    ] {
        assert!(problems.contains(expected), "{expected} in:\n{problems}");
    }
}

#[test]
fn tokens_and_messages_are_told_what_cannot_stand_beside_them() {
    let verify = |rest: &str| format!("{SECRETS}verify = {{ {rest} }}");
    let jwt = "header = \"A\", jwt = { body_hash = \"h\" }";
    good(&verify(&format!("algorithm = \"ed25519\", {jwt}")));
    let problems = bad(&verify(&format!("algorithm = \"rsa-sha1\", {jwt}")));
    assert!(problems.contains("it is signed by: hmac-sha256, "), "{problems}");
    let problems = bad(&verify(&format!("algorithm = \"ed25519\", signed = \"{{body}}\", {jwt}")));
    assert!(problems.contains("leave `signed` out: `jwt` says"), "{problems}");
    let detached = "jwt = { body_hash = \"h\", detached = true }";
    let problems = bad(&verify(&format!("algorithm = \"ed25519\", header = \"A\", {detached}")));
    assert!(problems.contains("this token has no such claim"), "{problems}");
    let in_body = "jwt = { in_body = true }";
    good(&verify(&format!("algorithm = \"rsa-sha256\", {in_body}")));
    let problems = bad(&verify(&format!("algorithm = \"rsa-sha256\", header = \"A\", {in_body}")));
    assert!(problems.contains("leave `header` out: the body is the token"), "{problems}");
    let both = "jwt = { in_body = true, detached = true }";
    let problems = bad(&verify(&format!("algorithm = \"rsa-sha256\", {both}")));
    assert!(problems.contains("is detached from it"), "{problems}");
    let problems = bad(&verify("algorithm = \"hmac-sha256\", header = \"A\", jwt = { }"));
    assert!(problems.contains("allow_unsigned_body"), "{problems}");

    let message = |rule: &str, rest: &str| {
        verify(&format!("algorithm = \"ed25519\", message_signature = {{ {rule} }} {rest}"))
    };
    good(&message("", ""));
    let problems = bad(&message("components = [\"@method\"]", ""));
    assert!(problems.contains("allow_unsigned_body"), "{problems}");
    let problems = bad(&message("", ", header = \"X-S\""));
    assert!(problems.contains("the place of this signature is fixed"), "{problems}");
    let target = "components = [\"@target-uri\", \"content-digest\"]";
    let problems = bad(&message(target, ""));
    assert!(problems.contains("write `url = "), "{problems}");
    let problems = bad(&message("", ", header = \"A\", jwt = { body_hash = \"h\" }"));
    assert!(problems.contains("one of the two, not both"), "{problems}");
}

#[test]
fn variables_without_a_place_are_found() {
    let verify = |algorithm: &str, more: &str| {
        format!("{SECRETS}verify = {{ algorithm = \"{algorithm}\", header = \"x\", {more} }}")
    };
    let check = |algorithm: &str, more: &str, expected: &str| {
        let problems = bad(&verify(algorithm, more));
        assert!(problems.contains(expected), "{expected} in:\n{problems}");
    };
    check("hmac-sha256", "signed = \"{timestamp}{body}\"", "`{timestamp}` is signed, but where");
    check("hmac-sha256", "signed = \"{id}{body}\"", "`{id}` is signed, but where");
    check("hmac-sha256", "signed = \"{bdy}\"", "`{bdy}` is not a variable");
    check("hmac-sha256", "timestamp = { list = \"t\" }", "the signature stands in no list");
    check("sha256", "signed = \"{body}\"", "a plain digest without the secret");
    check("token", "signed = \"{body}\"", "this algorithm signs nothing");
    check("hmac-sha256", "signed = \"{url}{body}\"", "`url` is missing");
    check(
        "hmac-sha256",
        "list = { item = \"\", pair = \"=\", key = \"v\" }",
        "nothing separates nothing",
    );
    check("hmac-sha256", "list = { pair = \"=\" }", "`key` is missing");
    check("hmac-sha256", "list = { item = \",\", key = \"1\" }", "`pair` is missing");
    check(
        "hmac-sha256",
        "list = { pair = \"\", key = \"v\" }",
        "items without `pair` have no keys",
    );
    let unnamed = "list = { item = \",\" }, timestamp = { list = \"t\" }";
    check("hmac-sha256", unnamed, "the items of the signature's list have no keys");
}

#[test]
fn a_provider_and_a_verify_table_are_not_both() {
    let text = format!(
        "provider = \"github\"\nverify = {{ algorithm = \"hmac-sha1\", header = \"x\" }}\n{SECRETS}"
    );
    assert!(bad(&text).contains("not both"));
    assert!(bad(SECRETS).contains("`provider` is missing"));
}

#[test]
fn a_handshake_is_read() {
    let text = format!(
        "provider = \"hyvor-talk\"\nverify_token = {{ env = \"B\" }}\n{SECRETS}{}",
        r#"
        [source.s.handshake]
        echo = { query = "challenge" }
        when = { query = "mode", is = "subscribe" }
        token = { query = "token" }
        "#
    );
    let handshake = good(&text).profile.handshakes.pop().unwrap();
    assert_eq!(handshake.signing, crate::source::Signing::Open);
    let text = format!(
        "provider = \"hyvor-talk\"\n{SECRETS}handshake = {{ hash = {{ json = \"a\" }}, signed = false }}"
    );
    assert!(bad(&text).contains("hashed with the secret"));
}

/// What `check` says to a handshake beside `verify`.
fn handshake_said(verify: &str, handshake: &str) -> String {
    read(&format!("{SECRETS}verify = {{ {verify} }}\nhandshake = {{ {handshake} }}")).1
}

const SIGNED: &str = "algorithm = \"hmac-sha256\", header = \"X-S\", type = { json = \"type\" }";
const PASSWORD: &str = "algorithm = \"token\", header = \"X-T\"";

#[test]
fn answer_to_every_request_is_refused() {
    for verify in [SIGNED, PASSWORD] {
        for more in ["", ", signed = false", ", methods = [\"GET\", \"POST\"]"] {
            let said = handshake_said(verify, &format!("answer = \"ok\"{more}"));
            assert!(
                said.contains("error") && said.contains("no event is stored"),
                "{more}: {said}"
            );
        }
        for more in ["methods = [\"GET\"]", "when = { query = \"q\" }"] {
            let said = handshake_said(verify, &format!("answer = \"ok\", {more}"));
            assert!(!said.contains("error"), "{more}: {said}");
        }
    }
}

#[test]
fn question_that_every_event_looks_like_is_warned_of() {
    for field in ["type", "challenge"] {
        for kind in ["when", "echo"] {
            let answer = if kind == "when" { ", answer = \"ok\"" } else { "" };
            let said =
                handshake_said(SIGNED, &format!("{kind} = {{ json = \"{field}\" }}{answer}"));
            assert!(said.contains("takes every request"), "{kind} {field}: {said}");
        }
    }
    let said = handshake_said(SIGNED, "when = { json = \"type\", is = \"q\" }, answer = \"ok\"");
    assert_eq!(said, "");
    let content_type = "{ header = \"Content-Type\" }";
    for (verify, more, told) in [
        (SIGNED, "", "each that is not signed is answered"),
        (SIGNED, ", signed = true", "each that is signed is answered"),
        (PASSWORD, "", "each without a body is answered"),
    ] {
        for text in ["echo = @", "when = @, answer = \"ok\""] {
            let text = format!("{}{more}", text.replace('@', content_type));
            let said = handshake_said(verify, &text);
            assert!(said.contains(told), "{text}: {said}");
        }
    }
}

#[test]
fn answer_without_a_type_is_what_it_begins_like() {
    let answered = |body: &str| {
        let verify = "verify = { algorithm = \"token\", header = \"X-T\" }";
        let secrets = "secrets = [{ file = \"k\", create = true }]";
        let (settings, said) =
            read(&format!("{secrets}\n{verify}\nanswer = {{ body = '{body}' }}"));
        let answer = settings.unwrap().answer.body().unwrap().content_type.clone();
        (answer.unwrap(), said.contains("would break this JSON"))
    };
    let json = "application/json".to_owned();
    let text = "text/plain; charset=utf-8".to_owned();
    assert_eq!(answered(r#"{"id":"{{ event.id }}"}"#), (json.clone(), false));
    assert_eq!(answered(r#"{"a":{{ payload.a | tojson }}}"#), (json.clone(), false));
    assert_eq!(answered(r#"{"a":"{{ payload.a }}"}"#), (json, true));
    assert_eq!(answered("[accepted]"), (text.clone(), false));
    assert_eq!(answered("{{ payload.a }}"), (text, false));
}
