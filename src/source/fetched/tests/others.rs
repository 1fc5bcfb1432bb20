//! Senders other than Amazon SNS.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use sha2::{Digest as _, Sha256};

use super::*;

#[tokio::test]
async fn paypal_signs_with_the_id_of_the_webhook_and_the_sum_of_the_body() {
    let signer = Signer::new();
    let url = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42";
    let source = configured("provider = \"paypal\"", &["4JH86294D6297924G"]);
    let (source, _) = fetching(source, &Hosts::of(url, signer.certificate.clone()));
    let body = r#"{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED","text":"ä"}"#;
    let time = "2023-11-14T22:13:20Z";
    let signature = |id: &str, body: &str| {
        let sum = crc32fast::hash(body.as_bytes());
        signer.sign(&format!("69cd13f0|{time}|{id}|{sum}"))
    };
    let headers = |signed: String, url: &str| {
        [
            ("paypal-transmission-id", "69cd13f0".to_owned()),
            ("paypal-transmission-time", time.to_owned()),
            ("paypal-transmission-sig", signed),
            ("paypal-cert-url", url.to_owned()),
            ("paypal-auth-algo", "SHA256withRSA".to_owned()),
        ]
    };
    let check = async |signed: String, url: &str, body: &str| {
        let headers = headers(signed, url);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        judge(&source, &headers, body).await
    };
    let good = signature("4JH86294D6297924G", body);
    let verified = check(good.clone(), url, body).await.unwrap();
    assert_eq!(verified.event_type().as_str(), "PAYMENT.CAPTURE.COMPLETED");
    assert_eq!(verified.delivery_id(), Some("WH-1"));
    let changed = check(good.clone(), url, &body.replace("WH-1", "WH-2")).await;
    assert_eq!(changed.unwrap_err(), Rejection::Mismatch);
    let other = check(signature("another", body), url, body).await;
    assert_eq!(other.unwrap_err(), Rejection::Mismatch);
    let foreign = check(good, "https://api.paypal.com.evil.example/v1/notifications/certs/1", body);
    let foreign = foreign.await.unwrap_err();
    assert_eq!(foreign, Rejection::ForeignKey("header `paypal-cert-url`".into()));
}

fn token(key: &EcdsaKeyPair, head: &Value, claims: &Value) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(head), encode(claims));
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn plaid_is_asked_for_the_key_by_its_id() {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = key.public_key().as_ref();
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
    let answer = |expired_at: Value| {
        json!({ "key": { "alg": "ES256", "crv": "P-256", "kid": "k-1", "kty": "EC", "use": "sig",
                         "x": x, "y": y, "created_at": 1, "expired_at": expired_at } })
    };
    let url = "https://production.plaid.com/webhook_verification_key/get";
    let hosts = Hosts::of(url, answer(Value::Null).to_string());
    let configured = || configured("provider = \"plaid\"", &["client:secret"]);
    let (source, _) = fetching(configured(), &hosts);
    let body = "{\n  \"webhook_code\": \"SYNC_UPDATES_AVAILABLE\"\n}";
    let hash = hex::encode(Sha256::digest(body));
    let claims = json!({ "iat": 1_700_000_000, "request_body_sha256": hash });
    let head = json!({ "alg": "ES256", "kid": "k-1", "typ": "JWT" });
    let good = token(&key, &head, &claims);
    let verified = judge(&source, &[("plaid-verification", &good)], body).await.unwrap();
    assert_eq!(verified.event_type().as_str(), "SYNC_UPDATES_AVAILABLE");
    {
        let asked = hosts.asked.lock().unwrap();
        let PostedJson(posted) = asked[0].post.as_ref().unwrap();
        let posted: Value = serde_json::from_str(posted).unwrap();
        let expected = json!({ "client_id": "client", "secret": "secret", "key_id": "k-1" });
        assert_eq!((posted, asked.len()), (expected, 1));
    }
    let changed = judge(&source, &[("plaid-verification", &good)], "{}").await.unwrap_err();
    assert_eq!(changed, Rejection::Claim("request_body_sha256".into()));
    let old = token(&key, &head, &json!({ "iat": 1_699_999_000, "request_body_sha256": hash }));
    let old = judge(&source, &[("plaid-verification", &old)], body).await.unwrap_err();
    assert!(matches!(old, Rejection::Stale { .. }));
    let hosts = Hosts::of(url, answer(json!(1_690_000_000)).to_string());
    let (source, _) = fetching(configured(), &hosts);
    let judged = judge(&source, &[("plaid-verification", &good)], body).await;
    assert!(is_not_fetched(judged, "what came is no key of its algorithm"));
}

const SET: &str = "https://id.example.com/keys";

fn by_key_set() -> Source {
    let verify = "algorithm = \"rsa-sha256\", header = \"X-S\", encoding = \"base64\"";
    let text = format!("verify = {{ {verify}, keys = \"{SET}\" }}");
    let (settings, problems) = read(&text);
    let settings = settings.unwrap_or_else(|| panic!("{problems}"));
    Source::with_secrets(SourceName::parse("s").unwrap(), settings, Vec::new()).unwrap()
}

#[tokio::test]
async fn changed_key_set_is_fetched_where_a_signature_does_not_match() {
    let (old, new) = (Signer::new(), Signer::new());
    let hosts = Hosts::of(SET, old.key_set());
    let (source, clock) = fetching(by_key_set(), &hosts);
    judge(&source, &[("x-s", &old.sign("{}"))], "{}").await.unwrap();
    hosts.answer(SET, new.key_set());
    // A wrong signature is no reason to ask again and again.
    for _ in 0..5 {
        let refused = judge(&source, &[("x-s", &new.sign("{}"))], "{}").await.unwrap_err();
        assert_eq!(refused, Rejection::Mismatch);
    }
    assert_eq!(hosts.n_asked(), 1);
    clock.advance(Duration::from_mins(1));
    judge(&source, &[("x-s", &new.sign("{}"))], "{}").await.unwrap();
    assert_eq!(hosts.n_asked(), 2);
    judge(&source, &[("x-s", &old.sign("{}"))], "{}").await.unwrap_err();
    clock.advance(Duration::from_mins(2));
    judge(&source, &[("x-s", &old.sign("{}"))], "{}").await.unwrap_err();
    assert_eq!(hosts.n_asked(), 3);
    // A key that is taken back is good for an hour at most.
    hosts.answer(SET, old.key_set());
    clock.advance(Duration::from_hours(1));
    judge(&source, &[("x-s", &new.sign("{}"))], "{}").await.unwrap_err();
}

#[tokio::test]
async fn outage_while_a_set_is_renewed_keeps_the_old_one() {
    let signer = Signer::new();
    let hosts = Hosts::of(SET, signer.key_set());
    let (source, clock) = fetching(by_key_set(), &hosts);
    judge(&source, &[("x-s", &signer.sign("{}"))], "{}").await.unwrap();
    hosts.is_silent(SET);
    clock.advance(Duration::from_mins(2));
    let other = Signer::new().sign("{}");
    assert_eq!(judge(&source, &[("x-s", &other)], "{}").await.unwrap_err(), Rejection::Mismatch);
    judge(&source, &[("x-s", &signer.sign("{}"))], "{}").await.unwrap();
}
