//! A body whose hash is signed beside it, and another body.

use super::*;

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
    let signed = signer.sign(&EventType::new("t"), BODY.to_vec(), &path, NOW).unwrap();
    let headers =
        signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
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
