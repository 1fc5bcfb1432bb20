//! What of a query is believed where it stands in the place of a body.

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// What a request without a body that the source itself signed for `signed` has for its payload, once it comes with the
/// query `sent`.
fn payload(source: &Source, method: &str, signed: &str, sent: &str) -> Result<String, Rejection> {
    let path = |query: &str| format!("/hooks/s?{query}");
    let request = source.sign(&EventType::new("a"), Vec::new(), &path(signed), NOW).unwrap();
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers: Headers = headers.collect();
    let added = request.query.iter().map(|(name, value)| format!("&{name}={value}"));
    let path_and_query = path(&format!("{sent}{}", added.collect::<Vec<_>>().concat()));
    let inbound = Inbound { method, path_and_query: &path_and_query, headers: &headers, body: b"" };
    let verified = source.verify(&inbound, NOW)?;
    Ok(verified.form_for_body().unwrap_or_default().to_owned())
}

#[test]
fn payload_of_request_without_body_is_what_its_signature_covers() {
    let verify = |more: &str| {
        format!(
            "verify = {{ algorithm = \"hmac-sha256\", header = \"X-S\", allow_unsigned_body = true, {more} }}"
        )
    };
    let message = |components: &str| {
        format!(
            "verify = {{ algorithm = \"hmac-sha256\", url = \"https://a.example/hooks/s\", \
             message_signature = {{ components = [{components}] }} }}"
        )
    };
    let all = ["a=1&b=2", "a=1&b=2"];
    for (settings, [own, other]) in [
        (verify("signed = \"{body}\""), ["", ""]),
        (verify("signed = \"{path}{body}\""), [all[0], "refused"]),
        (verify("signed = \"{url}\", url = \"https://a.example/hooks/s\""), [all[0], "refused"]),
        (verify("signed = \"{sorted_query:=:&}\""), [all[0], "refused"]),
        (verify("signed = \"{sorted_query:=:&:b}\""), ["a=1", "a=1"]),
        (verify("signed = \"{query:a}{body}\""), ["a=1", "a=1"]),
        (verify("jwt = { body_hash = \"hash\" }"), ["", ""]),
        (verify("jwt = { max_age = \"5m\" }"), ["", ""]),
        (message("\"content-digest\""), ["", ""]),
        (message("\"content-digest\", \"@query\""), [all[0], "refused"]),
        (message("\"content-digest\", \"@target-uri\""), [all[0], "refused"]),
        ("verify = { algorithm = \"token\", header = \"X-S\" }".to_owned(), [all[0], "a=1&b=3"]),
    ] {
        let source = configured(&settings, &["k"]);
        for method in ["GET", "POST"] {
            let said = payload(&source, method, "a=1&b=2", "a=1&b=2").unwrap();
            assert_eq!(said, own, "{method} {settings}");
            let said = payload(&source, method, "a=1&b=2", "a=1&b=3");
            assert_eq!(said.unwrap_or("refused".into()), other, "{method} {settings}");
        }
    }
}

/// What the signature itself says that it covers counts, not only what the configuration asks for.
#[test]
fn query_that_a_message_signature_covers_unasked_is_believed() {
    let settings = |components: &str| {
        let url = "https://a.example/hooks/s";
        let rule = format!("message_signature = {{ components = [{components}] }}");
        format!("verify = {{ algorithm = \"hmac-sha256\", url = \"{url}\", {rule} }}")
    };
    let sender = configured(&settings("\"content-digest\", \"@query\""), &["k"]);
    let source = configured(&settings("\"content-digest\""), &["k"]);
    let path_and_query = "/hooks/s?a=1&b=2";
    let signed = sender.sign(&EventType::new("a"), Vec::new(), path_and_query, NOW).unwrap();
    let headers = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers: Headers = headers.collect();
    let request = Inbound { method: "GET", path_and_query, headers: &headers, body: b"" };
    assert_eq!(source.verify(&request, NOW).unwrap().form_for_body(), Some("a=1&b=2"));
    // A parameter that is signed by its name.
    let key = hmac_of(
        "\"content-digest\": sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\n\
         \"@query-param\";name=\"b\": 2\n\
         \"@signature-params\": (\"content-digest\" \"@query-param\";name=\"b\");created=1700000000",
    );
    let input = "sig=(\"content-digest\" \"@query-param\";name=\"b\");created=1700000000";
    let headers: Headers = [
        ("content-digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
        ("signature-input", input),
        ("signature", &format!("sig=:{key}:")),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.as_bytes()))
    .collect();
    let request = Inbound { method: "GET", path_and_query, headers: &headers, body: b"" };
    assert_eq!(source.verify(&request, NOW).unwrap().form_for_body(), Some("b=2"));
}

fn hmac_of(text: &str) -> String {
    use base64::Engine as _;
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"k").unwrap();
    mac.update(text.as_bytes());
    base64::prelude::BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

/// Two schemes of one sender: what one of them covers says nothing of a request that the other believed.
#[test]
fn what_another_scheme_covers_is_not_believed() {
    let mut settings = SourceSettings::of_provider("twilio", Vec::new()).unwrap();
    let by_body = Scheme {
        signed: Some(Template::parse("{body}").unwrap()),
        ..settings.profile.schemes[0].clone()
    };
    settings.profile.schemes.push(by_body);
    settings.profile = settings
        .profile
        .with(Overrides { url: Some("https://a.example/hooks/s".into()), ..Overrides::default() });
    let source =
        Source::with_secrets(SourceName::parse("s").unwrap(), settings, vec![Secret::new("k")])
            .unwrap();
    let mut by_body = source.settings().clone();
    by_body.profile.schemes.drain(..by_body.profile.schemes.len() - 1);
    let sender =
        Source::with_secrets(SourceName::parse("s").unwrap(), by_body, vec![Secret::new("k")])
            .unwrap();
    let signed = sender.sign(&EventType::new("a"), Vec::new(), "/hooks/s?a=1", NOW).unwrap();
    let headers = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers: Headers = headers.collect();
    let request =
        Inbound { method: "POST", path_and_query: "/hooks/s?a=2", headers: &headers, body: b"" };
    assert_eq!(source.verify(&request, NOW).unwrap().form_for_body(), None);
}
