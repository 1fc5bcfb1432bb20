//! HTTP Message Signatures: those of RFC 9421, appendix B.2, over the request of B.2.

use super::*;

const BODY: &[u8] = br#"{"hello": "world"}"#;
const DIGEST: &str = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
const CREATED: i64 = 1_618_884_473;

/// B.1.4 and B.1.5.
const ED25519_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n";
const SHARED_KEY: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

type SentHeaders = Vec<(&'static str, String)>;

fn source_of(algorithm: &str, rule: &str, more: &str, secret: &str) -> Source {
    let text = format!(
        "verify = {{ algorithm = \"{algorithm}\", message_signature = {{ {rule} }}, {more} }}"
    );
    configured(&text, &[secret])
}

fn judge(
    source: &Source,
    input: &str,
    signature: &str,
    change: impl Fn(&mut SentHeaders),
) -> Result<Verified, Rejection> {
    let mut headers: SentHeaders = [
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-digest", DIGEST),
        ("content-length", "18"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec();
    headers.push(("signature-input", input.to_owned()));
    headers.push(("signature", signature.to_owned()));
    change(&mut headers);
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let path_and_query = "/foo?param=Value&Pet=dog";
    let request = Inbound { method: "POST", path_and_query, headers: &headers, body: BODY };
    source.verify(&request, Timestamp::from_millis(CREATED * 1000))
}

// B.2.6.
#[test]
fn ed25519_of_rfc_9421_is_believed() {
    let rule = "components = [\"@method\", \"@path\", \"@authority\", \"content-length\"]";
    let source = source_of("ed25519", rule, "allow_unsigned_body = true", ED25519_KEY);
    let input = "sig-b26=(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"";
    let signature = "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:";
    judge(&source, input, signature, |_| {}).unwrap();
    let refused =
        |change: &dyn Fn(&mut SentHeaders)| judge(&source, input, signature, change).unwrap_err();
    assert_eq!(refused(&|headers| headers[0].1 = "example.org".into()), Rejection::Mismatch);
    assert_eq!(refused(&|headers| headers[4].1 = "19".into()), Rejection::Mismatch);
    assert_eq!(refused(&|headers| headers.truncate(6)), Rejection::Missing);
    let late = input.replace("1618884473", "1618884173");
    assert_eq!(judge(&source, &late, signature, |_| {}).unwrap_err(), Rejection::Mismatch);
    // Another host in front, over TLS at the default port.
    let url = "allow_unsigned_body = true, url = \"https://Example.com:443/foo\"";
    let behind = source_of("ed25519", rule, url, ED25519_KEY);
    judge(&behind, input, signature, |headers| headers[0].1 = "10.0.0.1:8080".into()).unwrap();
}

// B.2.5.
#[test]
fn hmac_of_rfc_9421_is_believed() {
    let rule = "label = \"sig-b25\", components = [\"@authority\"]";
    let more = "allow_unsigned_body = true, key = \"base64\"";
    let source = source_of("hmac-sha256", rule, more, SHARED_KEY);
    let input = "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
    let signature = "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:";
    judge(&source, input, signature, |_| {}).unwrap();
    let strict = source_of("hmac-sha256", "", "key = \"base64\"", SHARED_KEY);
    let refused = judge(&strict, input, signature, |_| {}).unwrap_err();
    let missing = "`content-digest` under the signature";
    assert_eq!(refused, Rejection::NoVariable(missing.into()), "the body is not signed");
    let other = source_of("hmac-sha256", "label = \"sig1\"", more, SHARED_KEY);
    assert_eq!(judge(&other, input, signature, |_| {}).unwrap_err(), Rejection::NotWrapped);
}

#[test]
fn what_is_signed_here_is_believed_and_bound_to_body_and_time() {
    let rule = "components = [\"@method\", \"@target-uri\", \"Content-Digest\"], tag = \"app\"";
    let url = "url = \"https://example.com/foo\"";
    let source = source_of("hmac-sha256", rule, url, "k");
    let now = Timestamp::from_millis(CREATED * 1000);
    let event_type = EventType::new("a");
    let signed = source.sign(&event_type, BODY.to_vec(), "/hooks/s?a=1", now).unwrap();
    let check = |body: &[u8], path_and_query: &str, at: i64| {
        let headers = signed.headers.iter();
        let headers =
            headers.map(|(name, value)| (name.as_str(), value.as_bytes())).collect::<Headers>();
        let request = Inbound { method: "POST", path_and_query, headers: &headers, body };
        source.verify(&request, Timestamp::from_millis(at * 1000)).err()
    };
    assert_eq!(check(BODY, "/hooks/s?a=1", CREATED + 300), None);
    assert_eq!(check(b"{}", "/hooks/s?a=1", CREATED), Some(Rejection::Mismatch));
    assert_eq!(check(BODY, "/hooks/s?a=2", CREATED), Some(Rejection::Mismatch));
    let stale = Some(Rejection::Stale { seconds: 301 });
    assert_eq!(check(BODY, "/hooks/s?a=1", CREATED + 301), stale);
    let other = source_of("hmac-sha256", "tag = \"other\"", url, "k");
    let headers = signed.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.as_str(), value.as_bytes())).collect::<Headers>();
    let path_and_query = "/hooks/s?a=1";
    let request = Inbound { method: "POST", path_and_query, headers: &headers, body: BODY };
    assert_eq!(other.verify(&request, now).unwrap_err(), Rejection::Claim("tag".into()));
}
