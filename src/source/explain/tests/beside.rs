//! A body whose hash is signed beside it, and what proxies do to signed addresses and signatures.

use super::*;
use crate::event::Headers;

const URL: &str = "url = \"https://example.com/hooks/s\"";

/// What Twilio's source says about `body` where the signed address has the hash of `BODY`.
fn explain_body(query: &str, body: &[u8]) -> Explanation {
    let path = format!("/hooks/s{query}");
    let twilio = configured(&format!("provider = \"twilio\"\n{URL}"), &["the token"]);
    let table = format!(
        "verify = {{ algorithm = \"hmac-sha1\", header = \"X-Twilio-Signature\", encoding = \
         \"base64\", signed = \"{{url}}\", {URL}, allow_unsigned_body = true }}"
    );
    let signer = configured(&table, &["the token"]);
    let sent = signer.sign(&EventType::new("t"), BODY.to_vec(), &path, NOW).unwrap();
    let headers =
        sent.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = Inbound { method: "POST", path_and_query: &path, headers: &headers, body };
    explain_request(&twilio, &[], &Rejected { request, received_at: NOW })
}

#[test]
fn body_that_is_not_the_one_whose_hash_is_signed_was_changed() {
    use sha2::Digest as _;
    let query = format!("?bodySHA256={}", hex::encode(sha2::Sha256::digest(BODY)));
    assert!(explain_body(&query, BODY).is_good_now);
    let other = explain_body(&query, b"{\"x\":2}");
    let line = "the body does not match the query parameter `bodySHA256`, which is signed";
    assert!(other.line.starts_with(line), "{other:?}");
    assert!(other.config_hint.unwrap().contains("untouched"));
    let anew = serde_json::from_slice::<serde_json::Value>(BODY).unwrap().to_string();
    let anew = explain_body(&query, anew.as_bytes());
    assert!(anew.line.contains("it matches after JSON normalisation"), "{anew:?}");
    // Where no hash came, nothing says that the body was changed.
    let unhashed = explain_body("", BODY);
    assert!(!unhashed.line.contains("bodySHA256"), "{unhashed:?}");
}

#[test]
fn quotes_around_a_signature_are_named() {
    let github = source("github", &["the secret"]);
    for quote in ["\"", "'"] {
        let mut signed = sign(&github);
        for (name, value) in &mut signed.headers {
            if name == "x-hub-signature-256" {
                *value = format!("{quote}{value}{quote}");
            }
        }
        let place = "without the quotes around the signature in the header `x-hub-signature-256`";
        check(&github, &signed, place, "send the signature alone");
    }
}

#[test]
fn path_that_a_proxy_took_a_part_of_is_found_in_its_headers_or_asked_for() {
    let table = "algorithm = \"hmac-sha256\", header = \"X-S\", signed = \"{url}{body}\"";
    let with = |url: &str| verify(&format!("{table}, url = \"{url}\""), "the secret");
    let theirs = sign(&with("https://example.com/in/hooks/s"));
    let ours = with("https://example.com/hooks/s");
    check(&ours, &theirs, "in no form that was tried", "`url` must be the one that the sender has");
    for (name, value) in [("x-forwarded-prefix", "/in"), ("x-original-uri", "/in/hooks/s?a=1")] {
        let told = with_headers(theirs.clone(), &[(name, value)]);
        let address = "it matches with the address `https://example.com/in/hooks/s`";
        check(&ours, &told, address, "`url = \"https://example.com/in/hooks/s\"`");
    }
}

#[test]
fn blank_around_the_sender_s_secret_is_named() {
    let hyvor = source("hyvor-talk", &["k"]);
    for theirs in ["k ", " k"] {
        let signed = sign(&source("hyvor-talk", &[theirs]));
        check(&hyvor, &signed, "when a blank is added", "at the sender again");
    }
}

#[test]
fn body_that_was_wrapped_is_found() {
    let hyvor = source("hyvor-talk", &["k"]);
    let mut signed = sign(&hyvor);
    signed.body = serde_json::to_vec(&String::from_utf8(signed.body).unwrap()).unwrap();
    check(&hyvor, &signed, "it matches what is wrapped in it", "proxy");
}

#[test]
fn header_with_underscores_is_found() {
    let hyvor = source("hyvor-talk", &["k"]);
    let mut signed = sign(&hyvor);
    for (name, _) in &mut signed.headers {
        *name = name.replace("x-signature", "x_signature");
    }
    check(&hyvor, &signed, "no header `x-signature`, but there is `x_signature`", "as they are");
}

#[test]
fn address_with_or_without_www_and_a_query_is_found() {
    let of = |url: &str| configured(&format!("provider = \"square\"\nurl = \"{url}\""), &["k"]);
    let plain = "https://site.example/hooks/s";
    let www = "https://www.site.example/hooks/s";
    for (ours, theirs) in [(plain, www), (www, plain), ("https://site.example/hooks/s?a=1", plain)]
    {
        let line = format!("it matches with the address `{theirs}`");
        check(&of(ours), &sign(&of(theirs)), &line, &format!("`url = \"{theirs}\""));
    }
}

#[test]
fn port_and_host_that_proxies_tell_are_tried() {
    let of = |url: &str| configured(&format!("provider = \"twilio\"\nurl = \"{url}\""), &["k"]);
    let own = of("https://site.example/hooks/s");
    for (theirs, header, value) in [
        ("https://site.example:8443/hooks/s", "x-forwarded-port", "8443"),
        ("http://site.example:8080/hooks/s", "x-forwarded-port", "8080, 443"),
        ("https://shop.example:8443/hooks/s", "x-forwarded-host", "shop.example:8443"),
        ("https://site.example:8443/hooks/s", "x-forwarded-host", "shop.example:8443"),
        ("https://shop.example/hooks/s", "x-forwarded-host", "shop.example, inner"),
        ("https://f.example/hooks/s", "forwarded", "for=1.1.1.1;host=\"f.example\";proto=https"),
    ] {
        let body = b"A=1&B=x+y".to_vec();
        let signed = of(theirs).sign(&EventType::new("t"), body, "/hooks/s", NOW).unwrap();
        let signed = with_headers(signed, &[(header, value)]);
        let line = format!("it matches with the address `{theirs}`");
        check(&own, &signed, &line, &format!("`url = \"{theirs}\"` in [source.s]"));
    }
}

#[test]
fn public_port_and_a_second_slash_that_nobody_tells_are_tried() {
    let of = |url: &str| configured(&format!("provider = \"square\"\nurl = \"{url}\""), &["k"]);
    let own = of("https://site.example/hooks/s");
    for theirs in [
        "https://site.example:8443/hooks/s",
        "http://site.example:8080/hooks/s",
        "https://site.example//hooks/s",
        "https://www.site.example//hooks/s/",
    ] {
        let line = format!("it matches with the address `{theirs}`");
        check(&own, &sign(&of(theirs)), &line, &format!("`url = \"{theirs}\""));
    }
    let doubled = of("https://site.example//hooks/s");
    let line = "it matches with the address `https://site.example/hooks/s`";
    check(&doubled, &sign(&own), line, "url = ");
}

#[test]
fn addresses_that_are_tried_are_bounded() {
    let of = |url: &str| configured(&format!("provider = \"square\"\nurl = \"{url}\""), &["k"]);
    let own = of("https://site.example/hooks/s?a=1");
    let many =
        |name: &str| (1..=9).map(|n| format!("{name}{n}.example")).collect::<Vec<_>>().join(",");
    let headers: Headers = [
        ("x-forwarded-host", many("a")),
        ("x-original-host", many("b")),
        ("x-forwarded-server", many("c")),
        ("x-forwarded-port", "1,2,3,4,5,6".to_owned()),
        ("x-original-port", "11,12,13,14".to_owned()),
    ]
    .iter()
    .map(|(name, value)| (*name, value.as_bytes()))
    .collect();
    let request =
        Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body: BODY };
    let case = Case { source: &own, rejected: &Rejected { request, received_at: NOW } };
    let tried = |case: &Case<'_>| case.urls("https://site.example/hooks/s?a=1").len();
    assert_eq!(tried(&case), address::URLS_MAX);
    // One header of what a head holds would make 100 million addresses.
    let hosts: Vec<_> = (0..3_000).map(|n| format!("host=h{n}.example:{n}")).collect();
    let hosts = hosts.join(";");
    let headers: Headers = [("forwarded", hosts.as_bytes())].into_iter().collect();
    let path = format!("/hooks/{}", "s".repeat(40_000));
    let forwarded = Inbound { path_and_query: &path, headers: &headers, ..request };
    let case = Case { source: &own, rejected: &Rejected { request: forwarded, received_at: NOW } };
    let urls = case.urls("https://site.example/hooks/s?a=1");
    assert!(urls.len() <= address::URLS_MAX && urls.iter().all(|url| url.len() < 3_000));
    let body = vec![b' '; 8 << 20];
    let request = Inbound { body: &body, ..request };
    let large = Case { source: &own, rejected: &Rejected { request, received_at: NOW } };
    assert_eq!(tried(&large), 63, "512 MiB are hashed at most");
}
