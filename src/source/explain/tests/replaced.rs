//! What stands in another place by now, or is only a part of what came.

use super::*;

#[test]
fn secret_that_was_replaced_in_its_file_is_found_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "the new one").unwrap();
    let place = SecretRef::File { path, create: false };
    let settings = SourceSettings::of_provider("hyvor-talk", vec![place]).unwrap();
    let name = crate::event::SourceName::parse("s").unwrap();
    let source = Source::with_secrets(name, settings, vec![Secret::new("the old one")]).unwrap();
    let signed = sign(&self::source("hyvor-talk", &["the new one"]));
    check(&source, &signed, "now, and the server has what was there before", "`gatepost reload`");
    // One that is yet to be learned is not made by looking for it.
    let path = folder.path().join("not-yet");
    let place = SecretRef::File { path: path.clone(), create: true };
    let settings = SourceSettings::of_provider("hyvor-talk", vec![place]).unwrap();
    let name = crate::event::SourceName::parse("s").unwrap();
    let source = Source::with_secrets(name, settings, vec![Secret::new("the old one")]).unwrap();
    explain_at(&source, &[], &signed, NOW);
    assert!(!path.exists());
}

#[test]
fn field_of_a_form_that_alone_is_signed_is_named() {
    let gitea = source("gitea", &["k"]);
    let json = br#"{"ref":"refs/heads/main"}"#;
    let mut signed = gitea.sign(&EventType::new("push"), json.to_vec(), "/hooks/s", NOW).unwrap();
    signed.body = b"payload=%7B%22ref%22%3A%22refs%2Fheads%2Fmain%22%7D&x=1".to_vec();
    check(&gitea, &signed, "the field `payload` of the form", "`signed = \"{form:payload}\"`");
}

#[test]
fn header_of_a_custom_source_comes_before_a_preset_that_signs_alike() {
    let custom = verify(r#"algorithm = "hmac-sha256", header = "X-My-Sig""#, "k");
    let signed = sign(&source("hyvor-talk", &["k"]));
    check(&custom, &signed, "", "`header = \"x-signature\"`");
}

#[test]
fn key_that_widens_the_tolerance_is_that_of_the_scheme() {
    let later = NOW.after(std::time::Duration::from_hours(3));
    for (table, key) in [
        (r#"jwt = { body_hash = "h" }, allow_unsigned_body = true"#, "`jwt.leeway` in"),
        (r#"jwt = { body_hash = "h", max_age = "5m" }"#, "`jwt.max_age`"),
    ] {
        let table = format!(r#"algorithm = "hmac-sha256", header = "Authorization", {table}"#);
        let source = verify(&table, "0123456789abcdef0123456789abcdef");
        let told = explain_at(&source, &[], &sign(&source), later);
        let hint = told.config_hint.unwrap_or_default();
        assert!(hint.contains(key), "{} {hint}", told.line);
    }
}
