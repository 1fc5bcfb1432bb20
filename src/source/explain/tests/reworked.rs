//! A secret that became another one on its way into the file.

use super::*;
use crate::source::signature::Encoding;

#[track_caller]
fn check_secret(ours: &str, theirs: &[u8], line: &str) {
    let theirs = String::from_utf8(theirs.to_vec()).unwrap();
    let signed = sign(&verify(HEX, &theirs));
    let told = explain_at(&verify(HEX, ours), &[], &signed, NOW);
    assert!(told.line.contains(line), "{ours:?}: {told:?}");
    assert!(!format!("{told:?}").contains(&theirs), "{told:?}");
}

#[test]
fn what_the_file_holds_beside_the_secret_is_named() {
    for ours in [
        "s3cr3t-value\u{a0}",
        "\u{feff}s3cr3t-value",
        "s3cr3t\u{200b}-value",
        "\u{200b}s3cr3t-value",
    ] {
        check_secret(ours, b"s3cr3t-value", "that are not seen");
    }
    for ours in ["s3cr3t-value\\n", "s3cr3t-value\\r\\n\n"] {
        check_secret(ours, b"s3cr3t-value", "without the `\\n` at");
    }
    for ours in [
        "WEBHOOK_SECRET=s3cr3t-value",
        "export SECRET=\"s3cr3t-value\"",
        "secret: s3cr3t-value",
        "Secret = 's3cr3t-value';",
        "PORT=80\nHYVOR_SECRET=s3cr3t-value\n",
    ] {
        check_secret(ours, b"s3cr3t-value", "a line of an environment file");
    }
    check_secret("# of the shop\ns3cr3t-value\n", b"s3cr3t-value", "one line of the secret");
    check_secret("{\"a\":\"s3cr3t-value\"}", b"s3cr3t-value", "one field of the JSON");
    check_secret("Bearer s3cr3t-value", b"s3cr3t-value", "without the word before");
    check_secret("<s3cr3t-value>", b"s3cr3t-value", "the brackets or quotes");
    check_secret("“s3cr3t-value”", b"s3cr3t-value", "the brackets or quotes");
}

#[test]
fn secret_that_was_copied_wrong_is_named() {
    check_secret("realrealreal", b"whsec_realrealreal", "`whsec_` before the secret");
    check_secret("s3cr3t-value,", b"s3cr3t-value", "without the secret's last character");
    check_secret("xs3cr3t-value", b"s3cr3t-value", "without the secret's first character");
    check_secret("czNjcjN0LXZhbHVl", b"czNjcjN0LXZhbHVl==", "with `=` at the secret's end");
    check_secret("s3cr3t-values3cr3t-value", b"s3cr3t-value", "it stands there twice");
    let long = "0123456789abcdefghijklmnopqrstuvwxyz";
    check_secret(long, &long.as_bytes()[..32], "the sender's form has cut it");
    check_secret("user:s3cr3t-value", b"s3cr3t-value", "a line of an environment file");
    check_secret("us/er:s3cr3t-value", b"s3cr3t-value", "one side of the colon");
}

#[test]
fn secret_that_is_written_otherwise_is_named() {
    check_secret("s3CR3t-value", b"s3cr3t-value", "in other letters");
    check_secret("s3%2Bcr3t", b"s3+cr3t", "is percent-decoded");
    check_secret("s3+cr3t/=", b"s3%2Bcr3t%2F%3D", "is percent-encoded");
    check_secret("s3+cr3t%", b"s3 cr3t%", "a blank for each `+`");
    check_secret("s3$$cr3t", b"s3$cr3t", "a backslash or another escape");
    check_secret("s3\\/cr3t", b"s3/cr3t", "a backslash or another escape");
    check_secret("s3\\u002bcr3t", b"s3+cr3t", "a backslash or another escape");
    check_secret("s3–cr3t", b"s3-cr3t", "the typographic ones");
}

#[test]
fn secret_that_is_hashed_or_encoded_first_is_named() {
    let digest = <sha2::Sha256 as sha2::Digest>::digest(b"s3cr3t-value");
    check_secret("s3cr3t-value", hex::encode(digest).as_bytes(), "the sha256 hash of the secret");
    let base64 = Encoding::Base64.encode(b"s3cr3t-value");
    check_secret("s3cr3t-value", base64.as_bytes(), "the secret in base64");
    let theirs =
        configured(&format!("verify = {{ {HEX}, key = \"hex\" }}"), &[&hex::encode(digest)]);
    let told = explain_at(&verify(HEX, "s3cr3t-value"), &[], &sign(&theirs), NOW);
    assert!(told.line.contains("the sha256 hash of the secret"), "{told:?}");
    assert!(told.config_hint.unwrap().contains("`key = \"hex\"`"));
    let md5 = <md5::Md5 as sha2::Digest>::digest(b"s3cr3t-value");
    for (theirs, command) in [
        (hex::encode(md5), "md5sum | cut"),
        (Encoding::Base64.encode(&md5), "dgst -md5 -binary | openssl base64"),
        (hex::encode(b"s3cr3t-value"), "od -An -v -tx1"),
    ] {
        let told = explain_at(&verify(HEX, "s3cr3t-value"), &[], &sign(&verify(HEX, &theirs)), NOW);
        let hint = told.config_hint.unwrap();
        assert!(hint.contains(command), "{command}: {hint}");
    }
}

#[test]
fn preset_whose_secret_lost_its_beginning_is_told_so() {
    let signed = sign(&source("stripe", &["whsec_realrealreal"]));
    check(&source("stripe", &["realrealreal"]), &signed, "`whsec_` before the secret", "copy");
}

#[test]
fn secret_of_another_kind_is_named_where_nothing_fits() {
    let signed = sign(&source("stripe", &["whsec_real"]));
    for (ours, hint) in [
        ("we_1Habc0123456", "secret 1 of this source looks like the endpoint's id"),
        ("sk_test_51Habc", "secret 1 of this source looks like an API key"),
        ("changeme", "is a word that stands in for a secret"),
    ] {
        check(&source("stripe", &[ours]), &signed, "matches none of the secrets", hint);
    }
}

#[test]
fn mandrills_test_key_is_named() {
    let sign =
        "algorithm = \"hmac-sha1\", header = \"X-Mandrill-Signature\", encoding = \"base64\"";
    let table =
        format!("{sign}, url = \"https://a.example/s\", signed = \"{{url}}{{sorted_form}}\"");
    let list = b"mandrill_events=%5B%5D".to_vec();
    let first = verify(&table, "test-webhook").sign(&EventType::new("t"), list, "/hooks/s", NOW);
    let mine = verify(&table, "my own");
    check(&mine, &first.unwrap(), "Mandrill's published test key", "that is no event");
}
