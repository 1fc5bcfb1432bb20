//! A good signature of another shape.

use super::*;
use crate::source::signature::Encoding;

const S: &str = "sec-1234567890";

/// The HMAC-SHA256 of `text`.
pub(super) fn mac(text: &[u8]) -> Vec<u8> {
    use hmac::{KeyInit as _, Mac as _};
    let mut state = hmac::Hmac::<sha2::Sha256>::new_from_slice(S.as_bytes()).unwrap();
    state.update(text);
    state.finalize().into_bytes().to_vec()
}

fn explain_of(source: &Source, query: &str, headers: &[(&str, &str)]) -> Explanation {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let path = format!("/hooks/s{query}");
    let request = Inbound { method: "POST", path_and_query: &path, headers: &headers, body: BODY };
    let told = explain_request(source, &[], &Rejected { request, received_at: NOW });
    check_pasted(source, &request, &told);
    assert!(!format!("{told:?}").contains(S), "{told:?}");
    told
}

#[track_caller]
fn check_found(query: &str, headers: &[(&str, &str)], parts: &[&str]) {
    let told = explain_of(&verify(HEX, S), query, headers);
    assert!(told.line.contains("it is signed with the secret, but otherwise"), "{told:?}");
    for part in parts {
        let is_told = told.line.contains(part) || told.config_hint.as_ref().unwrap().contains(part);
        assert!(is_told, "{part}: {told:?}");
    }
}

#[test]
fn signature_at_another_place_is_found() {
    let hex = hex::encode(mac(BODY));
    check_found("", &[("x-acme-signature", &hex)], &["`header = \"x-acme-signature\"`"]);
    check_found(&format!("?signature={hex}"), &[], &["`query = \"signature\"`"]);
    let base64 = format!("HMAC {}", Encoding::Base64.encode(&mac(BODY)));
    let lines = ["header = \"authorization\"", "encoding = \"base64\"", "prefix = \"HMAC \""];
    check_found("", &[("authorization", &base64)], &lines);
}

#[test]
fn signature_in_a_list_is_found_with_its_time_and_text() {
    let signed = hex::encode(mac(&[b"1700000000.", BODY].concat()));
    check_found(
        "",
        &[("x-s", &format!("t=1700000000,v1={signed}"))],
        &[
            "list = { item = \",\", pair = \"=\", key = \"v1\" }",
            "timestamp = { list = \"t\" }",
            "signed = \"{timestamp}.{body}\"",
        ],
    );
    check_found(
        "",
        &[("x-s", &format!("1700000000,{signed}"))],
        &["`list = { item = \",\" }`", "list = \"0\""],
    );
    let of_body = hex::encode(mac(BODY));
    check_found(
        "",
        &[("x-s", &format!("keyId=1;signature={of_body}"))],
        &["item = \";\"", "key = \"signature\""],
    );
}

#[test]
fn text_of_id_and_time_is_found() {
    let signed = hex::encode(mac(&[b"id1.1700000000.", BODY].concat()));
    let headers =
        [("x-s", signed.as_str()), ("x-timestamp", "1700000000"), ("x-delivery-id", "id1")];
    let parts = [
        "signed = \"{id}.{timestamp}.{body}\"",
        "timestamp = { header = \"x-timestamp\" }",
        "id = { header = \"x-delivery-id\" }",
    ];
    check_found("", &headers, &parts);
    let signed = hex::encode(mac(&[b"1700000000123", BODY].concat()));
    let headers = [("x-s", signed.as_str()), ("x-request-time", "1700000000123")];
    let told = explain_of(&verify(HEX, S), "", &headers);
    let unit = "timestamp = { header = \"x-request-time\", unit = \"ms\" }";
    assert!(told.config_hint.as_ref().unwrap().contains(unit), "{told:?}");
    let signed = hex::encode(mac(&[b"/hooks/s", BODY].concat()));
    check_found("", &[("x-s", &signed)], &["signed = \"{path}{body}\""]);
}

#[test]
fn text_with_the_address_is_found() {
    let signed = hex::encode(mac(&[b"https://site.example/hooks/s", BODY].concat()));
    let headers =
        [("x-s", signed.as_str()), ("x-forwarded-host", "site.example"), ("host", "10.0.0.1")];
    check_found(
        "",
        &headers,
        &["signed = \"{url}{body}\"", "url = \"https://site.example/hooks/s\""],
    );
}

#[test]
fn hex_in_base64_and_digits_in_pairs_are_named() {
    let digits = hex::encode(mac(BODY));
    let twice = Encoding::Base64.encode(digits.as_bytes());
    check_found("", &[("x-s", &twice)], &["the base64 of its hex digits"]);
    let pairs: Vec<_> =
        digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap()).collect();
    check_found("", &[("x-s", &pairs.join(":"))], &["in pairs"]);
    check_found("", &[("x-s", &format!("0x{digits}"))], &["behind the prefix `0x`"]);
}

#[test]
fn header_that_was_joined_is_named() {
    let source = verify(&format!("{HEX}, prefix = \"sha256=\""), S);
    let one = format!("sha256={}", hex::encode(mac(BODY)));
    let told = explain_of(&source, "", &[("x-s", &format!("{one}, {one}"))]);
    assert!(told.line.contains("it was joined by a comma"), "{told:?}");
}

#[test]
fn time_that_is_missing_is_found_in_another_header() {
    let source = verify(
        &format!("{HEX}, timestamp = {{ header = \"X-T\" }}, signed = \"{{timestamp}}.{{body}}\""),
        S,
    );
    let signed = hex::encode(mac(&[b"1700000000.", BODY].concat()));
    let told = explain_of(&source, "", &[("x-s", &signed), ("x-sent-time", "1700000000")]);
    assert!(told.config_hint.as_ref().unwrap().contains("header = \"x-sent-time\""), "{told:?}");
    let told = explain_of(&source, "", &[("x-s", &signed)]);
    assert!(told.line.contains("the header `x-t` is missing"), "{told:?}");
}

#[test]
fn what_looks_like_a_signature_is_named_where_nothing_fits() {
    let other = "ab".repeat(32);
    let told = explain_of(&verify(HEX, S), "", &[("x-acme-signature", &other)]);
    assert!(told.line.contains("but the header `x-acme-signature` looks like"), "{told:?}");
    let prefixed = verify(&format!("{HEX}, prefix = \"sha256=\""), S);
    let told = explain_of(&prefixed, "", &[("x-s", &format!("t=1700000000,v1={other}"))]);
    assert!(told.config_hint.unwrap().contains("}` in place of `prefix` in [source.s.verify]"));
    let told = explain_of(&verify(HEX, S), "", &[("x-s", &format!("t=1700000000,v1={other}"))]);
    assert!(
        told.config_hint.unwrap().contains("list = { item = \",\", pair = \"=\", key = \"v1\" }")
    );
}

/// A stranger's request is explained too: however many values it has, the search ends.
#[test]
fn search_is_bounded() {
    let values: Vec<(String, String)> =
        (0..2000).map(|n| (format!("x-{n}-id"), format!("t{n}={n:064x},").repeat(20))).collect();
    let headers: crate::event::Headers =
        values.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request =
        Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body: BODY };
    let all = sighting::values(&request);
    assert!(all.len() <= 256, "{}", all.len());
    let seen = sighting::sightings(&all);
    assert!(seen.len() <= 64 && !seen.is_empty(), "{}", seen.len());
    let (times, ids) = sighting::beside_the_body(&all);
    assert!(times.len() <= 3 && ids.len() <= 3);
}
