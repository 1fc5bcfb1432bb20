//! What every source promises.

use std::fmt::Write as _;
use std::path::Path;

use super::*;

mod properties;
mod vectors;

/// Reads `text` as the table of one source: the settings and every problem, one a line.
pub(super) fn read(text: &str) -> (Option<SourceSettings>, String) {
    let text = format!("[source.s]\n{text}");
    let reading = crate::settings::read(&text, Path::new("/"), |root| {
        let mut sources = root.tables("source", SourceName::parse);
        let (_, mut table) = sources.pop()?;
        let settings = SourceSettings::read(&mut table);
        table.finish();
        settings
    });
    let mut problems = String::new();
    for problem in &reading.problems {
        let (severity, message) = (problem.severity.as_str(), &problem.message);
        writeln!(problems, "{severity} {}: {message} ({})", problem.path, problem.help).unwrap();
    }
    (reading.value, problems)
}

/// The source that `text` configures, with other secrets than it says.
pub(super) fn configured(text: &str, secrets: &[&str]) -> Source {
    let (settings, problems) = read(&format!("secrets = [{{ env = \"A\" }}]\n{text}"));
    let settings = settings.unwrap_or_else(|| panic!("{text}\n{problems}"));
    let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    Source::with_secrets(SourceName::parse("s").unwrap(), settings, secrets).unwrap()
}

pub(super) fn source(provider: &str, secrets: &[&str]) -> Source {
    let settings = SourceSettings::of_provider(provider, Vec::new()).unwrap();
    let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    Source::with_secrets(SourceName::parse("s").unwrap(), settings, secrets).unwrap()
}

pub(super) fn verify(
    source: &Source,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Verified, Rejection> {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let request = Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body };
    source.verify(&request, Timestamp::from_millis(1_700_000_000_000))
}

// Bodies modelled on the providers' documentation, signed with the secrets named beside them.
const USERECHO: &[u8] = br#"{"hook": "topic.created", "created": "2014-04-25T04:17:38.306Z", "data": {"id": 439181, "header": "Test header", "description": "Test description", "type": {"id": 2, "name": "Questions"}}}"#;
const USERECHO_SHA256: &str = "47c30cb41bdf85618538f39f68c7a0dd69260a539b3a018d1c635cef6b526a7f";
const USERECHO_SHA1: &str = "4a4250452f240ff2fc7f81e9ab4311b8f787674f";

#[test]
fn userecho_is_verified_by_either_hash_and_its_type_is_found() {
    let source = source("userecho", &["other", "userecho-sample-key"]);
    for signature in [USERECHO_SHA256, USERECHO_SHA1] {
        let verified = verify(&source, &[("x-ue-signature", signature)], USERECHO).unwrap();
        assert_eq!(verified.event_type().as_str(), "topic.created");
        assert_eq!(verified.secret_index(), 1);
        assert_eq!(verified.data_root(), DataRoot::Data);
        assert_eq!(verified.delivery_id(), None);
    }
}

#[test]
fn every_way_of_not_being_signed_is_told_apart() {
    let source = source("hyvor-talk", &["k"]);
    let check = |headers: &[(&str, &str)], expected: Rejection| {
        assert_eq!(verify(&source, headers, b"{}").unwrap_err(), expected, "{headers:?}");
    };
    let wrong = "0".repeat(64);
    check(&[], Rejection::Missing);
    check(&[("x-other", "x")], Rejection::Missing);
    check(&[("x-signature", "")], Rejection::WrongLength);
    check(&[("x-signature", "zz")], Rejection::Undecodable);
    check(&[("x-signature", "abc")], Rejection::Undecodable);
    check(&[("x-signature", &"0".repeat(62))], Rejection::WrongLength);
    check(&[("x-signature", &format!("sha256={wrong}"))], Rejection::Undecodable);
    check(&[("x-signature", &wrong)], Rejection::Mismatch);
}

// hyvor/hyvor-blogs-symfony Tests/Unit/Service/Request/RequestValidationServiceTest.php.
const CONTENT: &str = "230d8225fa8d7c42c0d16356ff175a660c11960fc035616023b8d22a8f36f03a";

#[test]
fn a_body_that_is_not_json_is_verified_and_has_an_unknown_type() {
    let source = source("hyvor-talk", &["secret"]);
    let verified = verify(&source, &[("x-signature", CONTENT)], b"content").unwrap();
    assert_eq!(verified.event_type().as_str(), "unknown");
    verify(&source, &[("x-signature", CONTENT)], b"content\n").unwrap_err();
}

#[test]
fn hexadecimal_has_no_case() {
    let source = source("hyvor-talk", &["secret"]);
    verify(&source, &[("x-signature", &CONTENT.to_uppercase())], b"content").unwrap();
}

#[test]
fn a_source_without_secrets_is_not_built() {
    let settings = SourceSettings::of_provider("userecho", Vec::new()).unwrap();
    let name = SourceName::parse("s").unwrap();
    let built = Source::with_secrets(name, settings, Vec::new());
    assert!(matches!(built, Err(SourceError::NoSecrets(_))));
}

#[test]
fn equal_events_have_equal_keys_and_no_others() {
    let (a, b) = (SourceName::parse("a").unwrap(), SourceName::parse("b").unwrap());
    let keys = [
        dedupe_key(&a, None, b"1"),
        dedupe_key(&b, None, b"1"),
        dedupe_key(&a, None, b"2"),
        dedupe_key(&a, Some("1"), b"1"),
        dedupe_key(&a, Some("2"), b"1"),
    ];
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
    assert_eq!(dedupe_key(&a, Some("1"), b"1"), dedupe_key(&a, Some("1"), b"changed"));
}
