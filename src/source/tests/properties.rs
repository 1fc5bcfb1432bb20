//! What holds for every provider and any bytes.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_123_456);
const PATH: &str = "/hooks/s";

/// A source of every provider, with the key of the asymmetric ones.
fn sources() -> Vec<Source> {
    let make = |provider: &'static Provider| {
        let more = match provider.name {
            "twilio" | "square" => "url = \"https://example.com/hooks/s\"",
            "mailgun" | "adyen" => "allow_unsigned_body = true",
            _ => "",
        };
        let secret = match provider.name {
            "standard-webhooks" | "svix" | "gitlab" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "discord" => &hex::encode(ed25519().public_key().as_ref()),
            "sendgrid" => &hex::encode(ecdsa().public_key().as_ref()),
            "adyen" => "00ff11",
            _ => "It's a Secret to Everybody",
        };
        configured(&format!("provider = \"{}\"\n{more}", provider.name), &[secret])
    };
    PROVIDERS.iter().map(make).collect()
}

/// Those whose requests can be made here: not where keys are fetched, nor where each item is signed.
fn signable() -> Vec<Source> {
    let is_signable = |source: &Source| {
        let scheme = &source.settings.profile.schemes[0];
        scheme.fetch.is_none() && scheme.each.is_none()
    };
    sources().into_iter().filter(is_signable).collect()
}

fn ed25519() -> &'static Ed25519KeyPair {
    static KEY: std::sync::LazyLock<Ed25519KeyPair> =
        std::sync::LazyLock::new(|| Ed25519KeyPair::generate().unwrap());
    &KEY
}

fn ecdsa() -> &'static EcdsaKeyPair {
    static KEY: std::sync::LazyLock<EcdsaKeyPair> = std::sync::LazyLock::new(|| {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
    });
    &KEY
}

/// Signs as the provider does, also where only the provider can.
fn sign(source: &Source, event_type: &str, body: Vec<u8>) -> SignedRequest {
    let event_type = EventType::new(event_type);
    let scheme = &source.settings.profile.schemes[0];
    let by = |make: &dyn Fn(&[u8]) -> Vec<u8>| {
        source.sign_by(scheme, &event_type, body.clone(), PATH, NOW, |message| {
            Some(Zeroizing::new(make(&message.whole(b""))))
        })
    };
    match scheme.algorithm {
        Algorithm::Ed25519 => by(&|message| ed25519().sign(message).as_ref().to_vec()),
        Algorithm::EcdsaP256 => {
            by(&|message| ecdsa().sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec())
        }
        _ => source.sign(&event_type, body, PATH, NOW),
    }
    .unwrap()
}

fn verify(source: &Source, signed: &SignedRequest, body: &[u8]) -> Result<Verified, Rejection> {
    let headers =
        signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let path_and_query = &signed.address(PATH);
    source.verify(&Inbound { method: "POST", path_and_query, headers: &headers, body }, NOW)
}

#[test]
fn what_is_signed_is_accepted_with_its_type_for_every_sample() {
    for source in signable() {
        for event_type in source.sample_types() {
            let signed = sign(&source, event_type, source.sample(event_type, NOW));
            let verified = verify(&source, &signed, &signed.body).unwrap();
            assert_eq!(verified.event_type().as_str(), event_type, "{}", source.provider());
        }
    }
}

#[test]
fn an_unknown_type_gets_a_sample_of_its_own() {
    for source in signable() {
        if source.provider() == "ghost" {
            continue;
        }
        let signed = sign(&source, "made.up", source.sample("made.up", NOW));
        let verified = verify(&source, &signed, &signed.body).unwrap();
        assert_eq!(verified.event_type().as_str(), "made.up", "{}", source.provider());
    }
}

#[test]
fn two_samples_are_two_events() {
    for source in sources() {
        let later = NOW.after(std::time::Duration::from_secs(1));
        let types = source.sample_types();
        assert_ne!(source.sample(types[0], NOW), source.sample(types[0], later), "{types:?}");
    }
}

#[test]
fn only_the_sender_signs_with_a_private_key() {
    for source in sources() {
        let event_type = EventType::new("t");
        let signed = source.sign(&event_type, source.sample("t", NOW), PATH, NOW);
        let is_theirs = matches!(signed, Err(SignError::OnlyTheSender(_)));
        let theirs = ["discord", "sendgrid", "aws-sns", "paypal", "plaid"];
        assert_eq!(is_theirs, theirs.contains(&source.provider()), "{}", source.provider());
    }
}

/// Schemes that no provider has, one for each thing that a `verify` table can say.
fn custom() -> Vec<Source> {
    let texts = [
        r#"algorithm = "hmac-sha512", header = "X-S", encoding = "base64", key = "hex""#,
        r#"algorithm = "sha256", header = "X-S", signed = "{secret}.{body}""#,
        r#"algorithm = "sha512", header = "X-S", signed = "{body}{secret}""#,
        r#"algorithm = "sha1", query = "sig", signed = "{body}{secret}{method}""#,
        r#"algorithm = "hmac-sha256", json = "meta.sig", signed = "{json:data.id}", allow_unsigned_body = true"#,
        r#"algorithm = "hmac-sha256", header = "Authorization", prefix = "HMAC ", signed = "{body_sha256}{header:X-More}""#,
        r#"algorithm = "hmac-sha1", header = "X-S", list = { item = ";", pair = ":", key = "s" }, timestamp = { list = "t", unit = "ms" }, id = { list = "i" }, signed = "{id}{timestamp}{body}""#,
        r#"algorithm = "hmac-sha256", header = ["X-New", "X-Old"], timestamp = { query = "t", unit = "rfc3339" }, signed = "{timestamp}{query:more}{body}""#,
        r#"algorithm = "token", header = "Authorization", prefix = "Bearer ""#,
        r#"algorithm = "token", query = "token""#,
        r#"algorithm = "basic""#,
        r#"algorithm = "hmac-sha256", header = "X-S", signed = "{url}|{body}", url = "https://a/b?c=d""#,
        r#"algorithm = "none""#,
    ];
    texts.iter().map(|text| configured(&format!("verify = {{ {text} }}"), &["00ff11"])).collect()
}

#[test]
fn what_is_signed_by_a_custom_scheme_is_accepted() {
    for source in custom() {
        let body = br#"{"data":{"id":5}}"#.to_vec();
        let signed = sign(&source, "t", body);
        let scheme = &source.settings.profile.schemes[0];
        verify(&source, &signed, &signed.body).unwrap();
        if scheme.algorithm.signs() && scheme.weaknesses().is_empty() {
            let mut changed = signed.body.clone();
            changed[3] ^= 1;
            verify(&source, &signed, &changed).unwrap_err();
        }
    }
}

/// Whether changing a byte of this provider's body must be noticed: Mailgun and Event Grid sign none
/// of it, and of a form only the decoded fields count.
fn signs_every_byte(source: &Source) -> bool {
    !["mailgun", "twilio", "azure-event-grid"].contains(&source.provider())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_byte_is_refused(
        text in "[a-zA-Z0-9 \u{e9}\u{1f44d}\\\\\"/]{0,200}",
        at in any::<prop::sample::Index>(),
        flip in 1_u8..=255,
    ) {
        for source in signable() {
            let body = serde_json::json!({ "text": text, "data": { "id": 1 } });
            let signed = sign(&source, "t", body.to_string().into_bytes());
            verify(&source, &signed, &signed.body).unwrap();
            if signs_every_byte(&source) {
                let mut changed = signed.body.clone();
                changed[at.index(signed.body.len())] ^= flip;
                prop_assert!(verify(&source, &signed, &changed).is_err(), "{}", source.provider());
            }
        }
    }

    #[test]
    fn raw_bytes_are_signed_and_verified(body in prop::collection::vec(any::<u8>(), 0..300)) {
        for source in signable() {
            // These two write into the body.
            if !["mailgun", "linear"].contains(&source.provider()) {
                let signed = sign(&source, "t", body.clone());
                prop_assert_eq!(&signed.body, &body);
                verify(&source, &signed, &body).unwrap();
            }
        }
    }

    #[test]
    fn no_request_makes_it_panic(
        values in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                "(t=[0-9]{0,12},|v1[=,][a-zA-Z0-9+/=]{0,64} ?|sha256=[0-9a-f]{0,64}|Basic [a-z=]*){1,3}"
                    .prop_map(String::into_bytes),
            ],
            8,
        ),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[\\[\\]{}:,\"a-z0-9%&=+]{0,100}".prop_map(String::into_bytes),
        ],
        query in "[a-zA-Z0-9%&=+?\u{e9}]{0,60}",
    ) {
        for source in sources().iter().chain(&custom()) {
            let places = source.settings.profile.schemes.iter().flat_map(|scheme| {
                let timestamp = scheme.timestamp.iter().map(|rule| &rule.at);
                scheme.signature.places.iter().chain(timestamp).chain(&scheme.id)
            });
            let names = places.filter_map(|place| match place {
                FieldRef::Header(name) => Some(name.as_ref()),
                _ => None,
            });
            let headers = names.zip(values.iter().map(Vec::as_slice)).collect();
            let path_and_query = &format!("/hooks/s?{query}");
            let request = Inbound { method: "POST", path_and_query, headers: &headers, body: &body };
            let verified = source.verify(&request, NOW);
            let is_open = source.settings.profile.schemes[0].algorithm == Algorithm::None;
            prop_assert_eq!(verified.is_ok(), is_open);
            source.answer_unverified(&request, &Rejection::Missing);
            source.answer_unverified(&request, &Rejection::Mismatch);
            if let Ok(verified) = &verified {
                source.answer_verified(&request, verified);
            }
        }
    }

    #[test]
    fn no_template_makes_it_panic(text in "\\PC{0,60}|[{}a-z:_.]{0,40}") {
        if let Ok(template) = Template::parse(&text) {
            prop_assert_eq!(Template::parse(&template.to_string()), Ok(template));
        }
    }
}
