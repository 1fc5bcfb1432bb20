//! What is printed to be pasted is whole: each kind of hint, from a source of a preset and from one of its own.

use super::found::mac;
use super::*;

const S: &str = "sec-1234567890";

/// The table that `source` is told to have for a request: it was pasted and took the request.
#[track_caller]
fn table(
    source: &Source,
    path_and_query: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    line: &str,
) -> String {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let request = Inbound { method: "POST", path_and_query, headers: &headers, body };
    let told = explain_request(source, &[], &Rejected { request, received_at: NOW });
    assert!(told.line.contains(line), "{told:?}");
    check_pasted(source, &request, &told);
    told.config_table.unwrap_or_else(|| panic!("no table: {}, {:?}", told.line, told.config_hint))
}

fn hyvor() -> Source {
    source("hyvor-talk", &[S])
}

#[test]
fn table_in_place_of_a_preset_keeps_its_type_and_id() {
    let hex = hex::encode(mac(BODY));
    let table = table(
        &source("github", &[S]),
        "/hooks/s",
        &[("x-acme-signature", &hex), ("x-github-event", "push"), ("x-github-delivery", "1")],
        BODY,
        "in the header `x-acme-signature`",
    );
    let expected = "[source.s.verify]\n\
        algorithm = \"hmac-sha256\"\n\
        header = \"x-acme-signature\"\n\
        id = { header = \"x-github-delivery\" }\n\
        type = { header = \"x-github-event\" }";
    assert_eq!(table, expected);
}

#[test]
fn hint_says_what_of_a_preset_goes() {
    let slack = configured("provider = \"slack\"\ntolerance = \"1h\"", &[S]);
    let hex = hex::encode(mac(BODY));
    let headers = [("x-slack-signature", hex.as_bytes())].into_iter().collect();
    let request =
        Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body: BODY };
    let told = explain_request(&slack, &[], &Rejected { request, received_at: NOW });
    let hint = told.config_hint.unwrap();
    assert!(hint.contains("take `provider`, `tolerance` out of [source.s]"), "{hint}");
    assert!(hint.contains("the questions of that provider are answered no more"), "{hint}");
    assert!(told.config_table.is_some());
}

#[test]
fn place_list_time_and_text_of_a_preset_s_request_are_pasted() {
    let signed = hex::encode(mac(&[b"1700000000.", BODY].concat()));
    let list = format!("t=1700000000,v1={signed}");
    table(&hyvor(), "/hooks/s", &[("x-signature", &list)], BODY, "otherwise");
    table(&source("github", &[S]), "/hooks/s", &[("x-other", &list)], BODY, "otherwise");
    table(
        &verify(&format!("{HEX}, prefix = \"sha256=\""), S),
        "/hooks/s",
        &[("x-s", &list)],
        BODY,
        "",
    );
    let query = format!("/hooks/s?sig={}", hex::encode(mac(BODY)));
    table(&verify(&format!("{HEX}, prefix = \"sha256=\""), S), &query, &[], BODY, "otherwise");
    let micros = hex::encode(mac(&[b"1700000000123456.", BODY].concat()));
    let headers = [("x-signature", micros.as_str()), ("x-request-time", "1700000000123456")];
    let pasted = table(&hyvor(), "/hooks/s", &headers, BODY, "another text");
    assert!(
        pasted.contains("timestamp = { header = \"x-request-time\", unit = \"us\" }"),
        "{pasted}"
    );
    let url = hex::encode(mac(&[b"https://site.example/hooks/s", BODY].concat()));
    let headers = [("x-signature", url.as_str()), ("host", "site.example")];
    table(&hyvor(), "/hooks/s", &headers, BODY, "with the address");
}

#[test]
fn form_of_a_preset_s_signature_is_pasted() {
    let sha512 = verify(r#"algorithm = "hmac-sha512", header = "X-Signature""#, S);
    let signed = sign(&sha512);
    let headers: Vec<_> =
        signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    table(&hyvor(), "/hooks/s", &headers, BODY, "as hmac-sha512");
    let sums = [("sha256", "{secret}{body}"), ("md5", "{body}.{secret}")];
    for (algorithm, text) in sums {
        let sum =
            format!("algorithm = \"{algorithm}\", header = \"X-Signature\", signed = \"{text}\"");
        let signed = sign(&verify(&sum, S));
        let headers: Vec<_> =
            signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        table(&hyvor(), "/hooks/s", &headers, BODY, "as the plain");
    }
    let post = hex::encode(mac(b"POST"));
    table(&hyvor(), "/hooks/s", &[("x-signature", &post)], BODY, "the word POST alone");
    let hex = hex::encode(mac(BODY));
    table(&hyvor(), "/hooks/s", &[("x_signature", &hex)], BODY, "there is `x_signature`");
}

#[test]
fn address_of_a_source_of_one_s_own_is_pasted() {
    let own =
        |url: &str| verify(&format!("{HEX}, signed = \"{{url}}{{body}}\", url = \"{url}\""), S);
    let signed = hex::encode(mac(&[b"https://site.example/hooks/s", BODY].concat()));
    table(
        &own("http://site.example/hooks/s"),
        "/hooks/s",
        &[("x-s", &signed)],
        BODY,
        "the address",
    );
}

#[test]
fn secret_that_was_sent_as_it_is_is_pasted_wherever_it_stands() {
    let json = format!("{{\"auth\":{{\"token\":\"{S}\"}},\"event\":\"a\"}}");
    let form = format!("event=a&token={S}");
    let none: &[(&str, &str)] = &[];
    for (source, holds) in [(hyvor(), "holds the secret itself"), (token(), "holds the token")] {
        for (path, headers, body, place) in [
            ("/hooks/s", &[("x-key", S)][..], BODY, "header `x-key`"),
            ("/hooks/s?key=sec-1234567890", none, BODY, "query parameter `key`"),
            ("/hooks/s", none, json.as_bytes(), "JSON field `auth.token`"),
            ("/hooks/s", none, form.as_bytes(), "form field `token`"),
        ] {
            let line = format!("the {place} {holds}");
            table(&source, path, headers, body, &line);
        }
    }
}

fn token() -> Source {
    verify("algorithm = \"token\", header = \"X-Token\"", S)
}

#[test]
fn token_of_the_body_that_is_none_of_the_secrets_is_named() {
    for (body, place) in [
        (&b"{\"verification_token\":\"abcdefgh\",\"a\":1}"[..], "JSON field `verification_token`"),
        (b"a=1&secret=abcdefgh", "form field `secret`"),
    ] {
        let headers = crate::event::Headers::default();
        let request =
            Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body };
        let told = explain_request(&hyvor(), &[], &Rejected { request, received_at: NOW });
        assert!(told.line.contains(&format!("the {place} looks like a token")), "{told:?}");
        assert!(told.config_hint.as_ref().unwrap().contains("algorithm = \"token\""), "{told:?}");
        assert!(!format!("{told:?}").contains("abcdefgh"), "{told:?}");
        let pasted = configured(told.config_table.as_deref().unwrap(), &["abcdefgh"]);
        assert!(pasted.verify(&request, NOW).is_ok(), "{told:?}");
    }
}

#[test]
fn list_and_object_in_a_signed_text_are_not_missing() {
    let ours = verify(&format!("{HEX}, signed = \"{{json:items}}.{{body}}\""), S);
    let hex = hex::encode(mac(b"x"));
    let headers = [("x-s", hex.as_bytes())].into_iter().collect();
    for (body, kind, part) in [
        (&b"{\"items\":[1,2]}"[..], "is there, but is a list", "{json:items.0}"),
        (b"{\"items\":{\"sum\":2}}", "is there, but is an object", "{json:items.sum}"),
    ] {
        let request =
            Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body };
        let told = explain_request(&ours, &[], &Rejected { request, received_at: NOW });
        assert!(told.line.contains(kind), "{told:?}");
        assert!(told.config_hint.as_ref().unwrap().contains(part), "{told:?}");
    }
}

#[test]
fn fields_of_a_form_where_json_is_usual_are_pasted() {
    let mailgun = configured("provider = \"mailgun\"\nallow_unsigned_body = true", &[S]);
    let signature = hex::encode(mac(b"1700000000abc"));
    let body = format!("timestamp=1700000000&token=abc&signature={signature}&event=delivered");
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    table(&mailgun, "/hooks/s", &headers, body.as_bytes(), "in the fields of a form");
    let payload = "%7B%22a%22%3A1%7D";
    let signed = hex::encode(mac(b"{\"a\":1}"));
    let headers =
        [("content-type", "application/x-www-form-urlencoded"), ("x-signature", signed.as_str())];
    table(
        &hyvor(),
        "/hooks/s",
        &headers,
        format!("payload={payload}").as_bytes(),
        "the field `payload`",
    );
}

/// The settings between ticks that the hint has, one a line.
fn ticked(told: &Explanation) -> String {
    let hint = told.config_hint.as_deref().unwrap();
    let settings = hint.split('`').skip(1).step_by(2).filter(|text| text.contains(" = "));
    settings.collect::<Vec<_>>().join("\n")
}

#[test]
fn line_of_a_source_is_pasted_beside_what_is_there() {
    // Another preset.
    let signed = sign(&source("github", &[S]));
    let told = explain_at(&hyvor(), &[], &signed, NOW);
    assert!(explain_at(&configured(&ticked(&told), &[S]), &[], &signed, NOW).is_good_now);
    // Another address.
    let of = |url: &str| format!("provider = \"square\"\nurl = \"{url}\"");
    let signed = sign(&configured(&of("https://site.example/hooks/s/"), &[S]));
    let told =
        explain_at(&configured(&of("https://site.example/hooks/s"), &[S]), &[], &signed, NOW);
    let pasted = format!("provider = \"square\"\n{}", ticked(&told));
    assert!(explain_at(&configured(&pasted, &[S]), &[], &signed, NOW).is_good_now);
    // A question that is not signed.
    let handshake = "verify = { algorithm = \"token\", header = \"X-T\" }\n[source.s.handshake]\n\
                     echo = { json = \"challenge\" }\nwhen = { json = \"type\", is = \"url_verification\" }\n";
    let body = br#"{"challenge":"c","type":"url_verification"}"#.to_vec();
    let asked = SignedRequest { headers: Vec::new(), query: Vec::new(), body };
    let told = explain_at(&configured(handshake, &[S]), &[], &asked, NOW);
    let mended = configured(&format!("{handshake}{}", ticked(&told)), &[S]);
    let told = explain_at(&mended, &[], &asked, NOW);
    assert!(told.line.contains("it was answered as a handshake"), "{told:?}");
}
