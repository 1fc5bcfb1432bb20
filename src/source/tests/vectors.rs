//! Signatures that others have published, each as published and with one byte changed.

use base64::Engine as _;

use super::*;

mod published;

/// A hundred years: the vectors are old.
const TOLERANCE: &str = "36500d";

/// A published request.
struct Vector<'a> {
    source: &'a Source,
    method: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
}

impl Vector<'_> {
    fn verify(&self, headers: &[(&str, &str)], body: &[u8]) -> Result<Verified, Rejection> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), *value))
            .collect::<Vec<_>>();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let headers = headers.collect();
        let request =
            Inbound { method: self.method, path_and_query: "/hooks/s", headers: &headers, body };
        self.source.verify(&request, Timestamp::from_millis(1_763_800_000_000))
    }

    /// Accepted as published; refused with any one byte of the body or of the signature (the
    /// first header) changed.
    #[track_caller]
    fn check(&self) -> Verified {
        let verified = self.verify(self.headers, self.body).unwrap();
        for at in [0, self.body.len() / 2, self.body.len() - 1] {
            let mut body = self.body.to_vec();
            body[at] ^= 1;
            self.verify(self.headers, &body).unwrap_err();
        }
        let (name, value) = self.headers[0];
        let at = value.len() / 2;
        let other = if value.as_bytes()[at] == b'0' { "1" } else { "0" };
        let mut changed = value.to_owned();
        changed.replace_range(at..=at, other);
        let mut headers = self.headers.to_vec();
        headers[0] = (name, &changed);
        self.verify(&headers, self.body).unwrap_err();
        headers.remove(0);
        assert_eq!(self.verify(&headers, self.body).unwrap_err(), Rejection::Missing);
        verified
    }
}

#[track_caller]
fn check(source: &Source, headers: &[(&str, &str)], body: &str) -> Verified {
    Vector { source, method: "POST", headers, body: body.as_bytes() }.check()
}

fn preset(name: &str, more: &str, secret: &str) -> Source {
    configured(&format!("provider = \"{name}\"\n{more}"), &[secret])
}

fn tolerant(name: &str, secret: &str) -> Source {
    preset(name, &format!("tolerance = \"{TOLERANCE}\""), secret)
}

// github/docs content/webhooks/using-webhooks/validating-webhook-deliveries.md; Atlassian's page
// on Bitbucket gives the same one.
#[test]
fn github_as_documented() {
    const SIGNATURE: &str =
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    const SECRET: &str = "It's a Secret to Everybody";
    let github = preset("github", "", SECRET);
    let headers = [
        ("X-Hub-Signature-256", SIGNATURE),
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", "72d3162e"),
    ];
    let verified = check(&github, &headers, "Hello, World!");
    assert_eq!(verified.event_type().as_str(), "push");
    assert_eq!(verified.delivery_id(), Some("72d3162e"));
    let bitbucket = preset("bitbucket", "", SECRET);
    check(&bitbucket, &[("X-Hub-Signature", SIGNATURE)], "Hello, World!");
    let meta = preset("meta", "", SECRET);
    check(&meta, &[("X-Hub-Signature-256", SIGNATURE)], "Hello, World!");
}

// octokit/webhooks-methods.js test/verify.test.ts.
#[test]
fn github_as_octokit_tests_it() {
    let signature = "sha256=4864d2759938a15468b5df9ade20bf161da9b4f737ea61794142f3484236bda3";
    let github = preset("github", "", "mysecret");
    check(&github, &[("X-Hub-Signature-256", signature)], r#"{"foo":"bar"}"#);
}

// standard-webhooks/standard-webhooks libraries/python/tests/test_webhooks.py.
#[test]
fn standard_webhooks_v1() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const BODY: &str = r#"{"test": 2432232314}"#;
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    for provider in ["standard-webhooks", "svix", "gitlab"] {
        let source = tolerant(provider, SECRET);
        let headers = |signature| {
            [
                ("webhook-signature", signature),
                ("webhook-id", id),
                ("webhook-timestamp", "1614265330"),
            ]
        };
        let verified = check(&source, &headers(SIGNATURE), BODY);
        assert_eq!(verified.delivery_id(), Some(id));
        let bad = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=";
        assert_eq!(
            verify(&source, &headers(bad), BODY.as_bytes()).unwrap_err(),
            Rejection::Mismatch
        );
        // Any of several will do, and others beside them do no harm.
        let several = format!("v1,AAAA v2,{} {SIGNATURE} {bad}", "x".repeat(40));
        verify(&source, &headers(&several), BODY.as_bytes()).unwrap();
    }
    let svix = tolerant("svix", SECRET);
    let headers =
        [("svix-signature", SIGNATURE), ("svix-id", id), ("svix-timestamp", "1614265330")];
    check(&svix, &headers, BODY);
    let strict = preset("standard-webhooks", "", SECRET);
    let headers =
        [("webhook-signature", SIGNATURE), ("webhook-id", id), ("webhook-timestamp", "1614265330")];
    let rejection = verify(&strict, &headers, BODY.as_bytes()).unwrap_err();
    assert!(matches!(rejection, Rejection::Stale { seconds: 85_734_670 }), "{rejection:?}");
}

// docs.slack.dev/authentication/verifying-requests-from-slack.
#[test]
fn slack_as_documented() {
    let slack = tolerant("slack", "8f742231b10e8888abcd99yyyzzz85a5");
    let headers = [
        (
            "X-Slack-Signature",
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        ),
        ("X-Slack-Request-Timestamp", "1531420618"),
    ];
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&\
        channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&\
        command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands\
        %2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
        trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let verified = check(&slack, &headers, body);
    assert_eq!(verified.event_type().as_str(), "/webhook-collect");
}

// HubSpot/hubspot-api-python tests/spec/utils/test_signature.py.
#[test]
fn hubspot_v3_by_a_verify_table() {
    let hubspot = configured(
        r#"
        [source.s.verify]
        algorithm = "hmac-sha256"
        header = "X-HubSpot-Signature-v3"
        encoding = "base64"
        signed = "{method}{url}{body}{timestamp}"
        timestamp = { header = "X-HubSpot-Request-Timestamp", unit = "ms", tolerance = "36500d" }
        url = "https://www.example.com/webhook_uri"
        "#,
        &["yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"],
    );
    let headers = [
        ("X-HubSpot-Signature-v3", "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
        ("X-HubSpot-Request-Timestamp", "1693657560000"),
    ];
    check(&hubspot, &headers, "{'example_field':'example_value'}");
}

// twilio/twilio-python tests/unit/test_request_validator.py. The body is one way of writing the
// published fields: only their decoded, sorted pairs are signed.
#[test]
fn twilio_as_its_library_tests_it() {
    let url = "url = \"https://mycompany.com/myapp.php?foo=1&bar=2\"";
    let twilio = preset("twilio", url, "12345");
    let headers = [("X-Twilio-Signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=")];
    let body = "Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&\
        CallSid=CA1234567890ABCDE";
    check(&twilio, &headers, body);
    let reordered = "CallSid=CA1234567890ABCDE&Caller=%2b14158675309&Digits=1234&\
        From=%2B14158675309&To=%2B18005551212";
    verify(
        &twilio,
        &[("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=")],
        reordered.as_bytes(),
    )
    .unwrap();
}

// Some of its services sign the port and some do not: its library tries both (`add_port`, `remove_port`).
#[test]
fn twilio_may_sign_the_port_of_its_address() {
    let of = |url: &str| preset("twilio", &format!("url = \"{url}\""), "12345");
    for (theirs, ours, is_good) in [
        ("https://a.example:443/hooks/s", "https://a.example/hooks/s", true),
        ("https://a.example/hooks/s", "https://a.example:443/hooks/s", true),
        ("http://a.example:80", "http://a.example", true),
        ("https://[::1]:443/", "https://[::1]/", true),
        ("https://a.example:8443/", "https://a.example/", false),
        ("https://a.example/", "https://a.example:8443/", false),
        ("https://a.example:80/", "https://a.example/", false),
    ] {
        let now = Timestamp::from_millis(0);
        let signed = of(theirs).sign(&EventType::new("t"), b"A=1".to_vec(), "/hooks/s", now);
        let signed = signed.unwrap();
        let header = signed.headers.iter().find(|(name, _)| name == "x-twilio-signature").unwrap();
        let header = [("x-twilio-signature", header.1.as_str())];
        let judged = verify(&of(ours), &header, b"A=1");
        assert_eq!(judged.is_ok(), is_good, "{theirs} at {ours}: {judged:?}");
    }
}

// box/box-node-sdk tests/lib/managers/webhooks-test.js.
#[test]
fn box_by_a_verify_table() {
    let source = configured(
        r#"
        [source.s.verify]
        algorithm = "hmac-sha256"
        header = ["BOX-SIGNATURE-PRIMARY", "BOX-SIGNATURE-SECONDARY"]
        encoding = "base64"
        signed = "{body}{timestamp}"
        timestamp = { header = "BOX-DELIVERY-TIMESTAMP", unit = "rfc3339", tolerance = "36500d" }
        type = { json = "trigger" }
        "#,
        &["SamplePrimaryKey"],
    );
    let headers = [
        ("BOX-SIGNATURE-PRIMARY", "6TfeAW3A1PASkgboxxA5yqHNKOwFyMWuEXny/FPD5hI="),
        ("BOX-DELIVERY-TIMESTAMP", "2020-01-01T00:00:00-07:00"),
    ];
    let body = r#"{"type":"webhook_event","webhook":{"id":"1234567890"},"trigger":"FILE.UPLOADED","source":{"id":"1234567890","type":"file","name":"Test.txt"}}"#;
    assert_eq!(check(&source, &headers, body).event_type().as_str(), "FILE.UPLOADED");
}

#[test]
fn every_hash_as_the_rfcs_have_it() {
    let body = "what do ya want for nothing?";
    for (algorithm, signature) in [
        // RFC 2202 section 2 test case 2.
        ("hmac-md5", "750c783e6ab0b503eaa86e310a5db738"),
        // RFC 2202 section 3 test case 2.
        ("hmac-sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        // RFC 4231 section 4.3 test case 2.
        ("hmac-sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            "hmac-sha384",
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ec\
             fab21649",
        ),
        (
            "hmac-sha512",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d03\
             4f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let text = format!("verify = {{ algorithm = \"{algorithm}\", header = \"X-S\" }}");
        check(&configured(&text, &["Jefe"]), &[("X-S", signature)], body);
    }
}

// hyvor/hyvor-blogs-symfony Tests/Unit/Service/Request/RequestValidationServiceTest.php: a body
// that is not JSON.
#[test]
fn hyvor_as_its_receiver_tests_it() {
    for provider in ["hyvor-talk", "hyvor-blogs", "hyvor-relay"] {
        check(&preset(provider, "", "secret"), &[("X-Signature", CONTENT)], "content");
    }
}

// RFC 8032 section 7.1 test 2.
#[test]
fn ed25519_as_the_rfc_has_it() {
    let key = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
        085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    let text = "verify = { algorithm = \"ed25519\", header = \"X-S\" }";
    let raw = hex::decode(key).unwrap();
    let der = [hex::decode("302a300506032b6570032100").unwrap(), raw.clone()].concat();
    let der = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
    let base64 = base64::engine::general_purpose::STANDARD.encode(&raw);
    // As environment files hold it, and as it is copied out of such a file.
    let escaped = [pem.replace('\n', "\\n"), pem.replace('\n', "\\r\\n")];
    let wrapped = {
        let (begin, rest) = der.split_at(30);
        format!("{begin}\r\n{rest}")
    };
    for form in [key, &der, &pem, &base64, &escaped[0], &escaped[1], &wrapped] {
        check(&configured(text, &[form]), &[("X-S", signature)], "\x72");
    }
    let settings = read(&format!("secrets = [{{ env = \"A\" }}]\n{text}")).0.unwrap();
    let name = SourceName::parse("s").unwrap();
    let built = Source::with_secrets(name, settings, vec![Secret::new("not a key")]);
    assert!(matches!(built, Err(SourceError::Key { n: 1, reason: BadKey::Public, .. })));
}

/// By `openssl genrsa 1024`.
const RSA_OF_1024_BITS: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDEX/XA4eiDz3JJNw146q/NQrqO\
    6c5kZjnnQ8AlLsSPw+4mF+mfJypoOT3idsYqcZhZmkVSpFB+HZWngioPKnAjmSyhz7vSLJ9Byrz+r5DBZ1D0reGI40NkmRVN\
    tv7QgpsS+hX1HQiWmo7hK/KTm1omEvt875xUFDWL3TZucv8URwIDAQAB";

// Made for this test: `openssl dgst -sha256 -sign`, the key once as SPKI and once as PKCS #1.
#[test]
fn rsa_as_openssl_signs() {
    let text = "verify = { algorithm = \"rsa-sha256\", header = \"X-S\", encoding = \"base64\" }";
    let body = "what do ya want for nothing?";
    for key in [include_str!("rsa-spki.pem"), include_str!("rsa-pkcs1.pem")] {
        let signature = include_str!("rsa-sha256.txt").trim_end();
        check(&configured(text, &[key]), &[("X-S", signature)], body);
    }
    let settings = read(&format!("secrets = [{{ env = \"A\" }}]\n{text}")).0.unwrap();
    let name = SourceName::parse("s").unwrap();
    for (key, expected) in [
        ("MFkwEwYHKoZIzj0CAQYI", BadKey::Public),
        (RSA_OF_1024_BITS, BadKey::ShortRsa),
        (r#"{"kty":"RSA","n":"AQ","e":"AQAB"}"#, BadKey::Public),
    ] {
        let secrets = vec![Secret::new(key)];
        let built = Source::with_secrets(name.clone(), settings.clone(), secrets);
        assert!(
            matches!(built, Err(SourceError::Key { reason, .. }) if reason == expected),
            "{key}"
        );
    }
}
