//! JSON Web Tokens: the published ones, and what a sender's may not say.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::Sha256;

use super::*;

/// RFC 7515, A.1: HS256 over claims with `exp` 1300819380.
const HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const HS256_KEY: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
/// RFC 7515, A.2 and A.3: the same claims by RS256 and ES256, and their keys.
const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const RS256_KEY: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const ES256_KEY: &str = r#"{"keys":[{"kty":"oct","k":"AA"},{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
/// RFC 8037, A.4: Ed25519 over a text that is no claims.
const EDDSA: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
const EDDSA_KEY: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn source_of(algorithm: &str, jwt: &str, more: &str, secret: &str) -> Source {
    let text = format!(
        "verify = {{ algorithm = \"{algorithm}\", header = \"Authorization\", \
         prefix = \"Bearer \", jwt = {{ {jwt} }}, allow_unsigned_body = true, {more} }}"
    );
    configured(&text, &[secret])
}

fn judge(source: &Source, token: &str, body: &[u8], seconds: i64) -> Result<Verified, Rejection> {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_bytes())].into_iter().collect();
    let request = Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body };
    source.verify(&request, Timestamp::from_millis(seconds * 1000))
}

/// Wix and Dialpad: what is sent is in the claims.
#[test]
fn body_that_is_the_token_is_believed_and_read() {
    let verify = "verify = { algorithm = \"rsa-sha256\", jwt = { in_body = true, issuer = \"joe\" }, \
                  type = { json = \"iss\" } }";
    let source = configured(verify, &[RS256_KEY]);
    let judge = |body: &str, seconds: i64| {
        let headers = [("content-type", &b"text/plain"[..])].into_iter().collect();
        let body = body.as_bytes();
        let request =
            Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body };
        source.verify(&request, Timestamp::from_millis(seconds * 1000))
    };
    for body in [RS256.to_owned(), format!("{RS256}\n")] {
        let verified = judge(&body, 1_300_819_380).unwrap();
        let headers = [("content-type", &b"text/plain"[..])].into_iter().collect();
        let event =
            source.event(verified, Timestamp::from_millis(0), headers, body.into_bytes().into());
        assert_eq!(event.event_type.as_str(), "joe");
    }
    let late = judge(RS256, 1_300_819_500).unwrap_err();
    assert_eq!(late, Rejection::Stale { seconds: 120 });
    judge(&RS256.replace("eyJpc3", "eyJpc4"), 1_300_819_380).unwrap_err();
    judge(HS256, 1_300_819_380).unwrap_err();
    judge("{}", 1_300_819_380).unwrap_err();
    // What Gatepost signs by itself it believes.
    let verify = "verify = { algorithm = \"hmac-sha256\", jwt = { in_body = true, issuer = \"joe\", \
                  max_age = \"5m\" }, type = { json = \"a.b\" } }";
    let source = configured(verify, &["secret"]);
    let now = Timestamp::from_millis(1_300_819_380_000);
    let sign = |body: &[u8]| source.sign(&EventType::new("x"), body.to_vec(), "/hooks/s", now);
    let signed = sign(br#"{"a":{"b":"x"}}"#).unwrap();
    let headers = Headers::default();
    let body = &signed.body;
    let request = Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body };
    let verified = source.verify(&request, now).unwrap();
    assert_eq!(verified.event_type().as_str(), "x");
    assert!(matches!(sign(b"[1]"), Err(SignError::NoPlace(_))));
}

#[test]
fn tokens_of_rfc_7515_are_believed_and_nothing_near_them() {
    for (algorithm, token, key, more) in [
        ("hmac-sha256", HS256, HS256_KEY, "key = \"base64\""),
        ("rsa-sha256", RS256, RS256_KEY, ""),
        ("ecdsa-p256", ES256, ES256_KEY, ""),
    ] {
        let source = source_of(algorithm, "issuer = \"joe\"", more, key);
        judge(&source, token, b"", 1_300_819_380).unwrap();
        judge(&source, token, b"", 1_300_819_440).unwrap();
        let late = judge(&source, token, b"", 1_300_819_500).unwrap_err();
        assert_eq!(late, Rejection::Stale { seconds: 120 });
        // A character of each part is another one.
        for at in [10, token.find('.').unwrap() + 5, token.rfind('.').unwrap() + 9] {
            let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mut changed = token.to_owned();
            changed.replace_range(at..=at, other);
            judge(&source, &changed, b"", 1_300_819_380).unwrap_err();
        }
        let other = source_of(algorithm, "issuer = \"jim\"", more, key);
        let refused = judge(&other, token, b"", 1_300_819_380).unwrap_err();
        assert_eq!(refused, Rejection::Claim("iss".into()));
    }
}

#[test]
fn detached_token_signs_the_body() {
    let (header, rest) = EDDSA.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let body = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
    let source = source_of("ed25519", "detached = true", "", EDDSA_KEY);
    let token = format!("{header}..{signature}");
    judge(&source, &token, &body, 0).unwrap();
    assert_eq!(judge(&source, &token, b"x", 0).unwrap_err(), Rejection::Mismatch);
    assert_eq!(judge(&source, EDDSA, &body, 0).unwrap_err(), Rejection::NotWrapped);
}

fn hmac_token(header: &str, claims: &str, key: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", encode(header), encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Netlify's tokens hold neither `iat` nor `exp`.
#[test]
fn token_without_end_is_believed_only_where_it_binds_the_body() {
    let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let claims = format!(r#"{{"iss":"netlify","sha256":"{hash}"}}"#);
    let token = hmac_token(r#"{"alg":"HS256"}"#, &claims, b"k");
    let bound = source_of("hmac-sha256", "body_hash = \"sha256\"", "", "k");
    judge(&bound, &token, b"{}", 0).unwrap();
    judge(&bound, &token, b"{1}", 0).unwrap_err();
    let loose = source_of("hmac-sha256", "", "", "k");
    let refused = judge(&loose, &token, b"{}", 0).unwrap_err();
    assert_eq!(refused, Rejection::NoVariable("claim `exp`".into()));
}

#[test]
fn algorithm_is_never_the_tokens_to_choose() {
    let hmac = |alg: &str, key: &[u8]| {
        hmac_token(&format!(r#"{{"alg":"{alg}"}}"#), r#"{"exp":2000}"#, key)
    };
    let wrong = Rejection::Claim("alg".into());
    // The public key's text as an HMAC's key: CVE-2015-9235.
    let rsa = source_of("rsa-sha256", "", "", RS256_KEY);
    assert_eq!(judge(&rsa, &hmac("HS256", RS256_KEY.as_bytes()), b"", 0).unwrap_err(), wrong);
    let source = source_of("hmac-sha256", "", "", "k");
    judge(&source, &hmac("HS256", b"k"), b"", 0).unwrap();
    for alg in ["none", "HS512", "RS256", "hs256", ""] {
        assert_eq!(judge(&source, &hmac(alg, b"k"), b"", 0).unwrap_err(), wrong, "{alg}");
    }
    let none = hmac("none", b"k");
    let bare = none.rsplit_once('.').unwrap().0;
    judge(&source, &format!("{bare}."), b"", 0).unwrap_err();
    judge(&source, bare, b"", 0).unwrap_err();
}

#[test]
fn claims_bind_body_audience_and_time() {
    let rule = "body_hash = \"payload_hash\", audience = \"me\", max_age = \"5m\"";
    let source = source_of("hmac-sha256", rule, "", "k");
    let event_type = EventType::new("a");
    let now = Timestamp::from_millis(1_700_000_000_000);
    let signed = source.sign(&event_type, b"{}".to_vec(), "/hooks/s", now).unwrap();
    let bearer = signed.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    let token = bearer.1.strip_prefix("Bearer ").unwrap();
    judge(&source, token, b"{}", 1_700_000_000).unwrap();
    let refused = |body: &[u8], at| judge(&source, token, body, at).unwrap_err();
    assert_eq!(refused(b"{ }", 1_700_000_000), Rejection::Claim("payload_hash".into()));
    assert_eq!(refused(b"{}", 1_700_000_361), Rejection::Stale { seconds: 361 });
    assert_eq!(refused(b"{}", 1_699_999_939), Rejection::Stale { seconds: -61 });
    let other = source_of("hmac-sha256", "audience = \"you\"", "", "k");
    let refused = judge(&other, token, b"{}", 1_700_000_000).unwrap_err();
    assert_eq!(refused, Rejection::Claim("aud".into()));
    let plain = source_of("hmac-sha256", "body_hash = \"sha256\"", "", "k");
    let refused = judge(&plain, token, b"{}", 1_700_000_000).unwrap_err();
    assert_eq!(refused, Rejection::NoVariable("claim `sha256`".into()));
}
