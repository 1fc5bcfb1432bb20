//! Keys that are fetched, from hosts that answer as they are told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::event::{Headers, SourceName};
use crate::secret::Secret;
use crate::source::tests::{configured, read};
use crate::source::{
    Inbound, Overrides, Rejection, SigningProfile, Source, SourceSettings, Verified,
};

mod others;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TOPIC: &str = "arn:aws:sns:us-west-2:123456789012:MyTopic";
const SNS_URL: &str = "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem";

/// The hosts that keys are fetched from.
#[derive(Debug, Default)]
struct Hosts {
    answers: Mutex<HashMap<String, Vec<u8>>>,
    asked: Mutex<Vec<KeyRequest>>,
    n_asked: AtomicUsize,
    /// Nobody is answered before it is rung.
    gate: Option<tokio::sync::Semaphore>,
}

impl Hosts {
    fn of(url: &str, answer: impl Into<Vec<u8>>) -> Arc<Self> {
        let hosts = Self::default();
        hosts.answer(url, answer);
        Arc::new(hosts)
    }

    fn answer(&self, url: &str, answer: impl Into<Vec<u8>>) {
        self.answers.lock().unwrap().insert(url.to_owned(), answer.into());
    }

    fn is_silent(&self, url: &str) {
        self.answers.lock().unwrap().remove(url);
    }

    fn n_asked(&self) -> usize {
        self.n_asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl KeyFetch for Hosts {
    async fn fetch(&self, request: KeyRequest) -> Result<Vec<u8>, KeyFetchError> {
        self.n_asked.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let url = request.url.to_string();
        self.asked.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().get(&url).cloned();
        answer.ok_or_else(|| KeyFetchError("no connection".to_owned()))
    }
}

/// A key pair and a certificate for it.
struct Signer {
    key: RsaKeyPair,
    certificate: String,
}

impl Signer {
    /// Good for these years.
    fn of(from: i32, to: i32) -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let der = der.as_ref().to_vec();
        let der = rustls::pki_types::PrivatePkcs8KeyDer::from(der);
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256);
        let mut params = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".into()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let certificate = params.self_signed(&pair.unwrap()).unwrap().pem();
        Self { key, certificate }
    }

    fn new() -> Self {
        Self::of(2020, 2040)
    }

    fn sign(&self, text: &str) -> String {
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
        BASE64_STANDARD.encode(signature)
    }

    /// Its public key as a JSON Web Key Set.
    fn key_set(&self) -> String {
        // RFC 8017, A.1.1: a sequence of 257 and 3 bytes.
        let public = self.key.public_key().as_ref();
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let (n, e) = (encode(&public[9..265]), encode(&public[267..]));
        json!({ "keys": [{ "kty": "RSA", "use": "sig", "n": n, "e": e }] }).to_string()
    }

    /// A message of SNS.
    fn notification(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut message = json!({
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Message": "{\"n\":\"\u{e4}\n\"}",
            "Timestamp": "2023-11-14T22:13:20.000Z",
            "SignatureVersion": "2",
            "SigningCertURL": SNS_URL,
        });
        change(&mut message);
        let names = match message["Type"].as_str().unwrap() {
            "Notification" => "Message MessageId Subject Timestamp TopicArn Type",
            _ => "Message MessageId SubscribeURL Timestamp Token TopicArn Type",
        };
        let mut text = String::new();
        for name in names.split(' ') {
            if let Some(value) = message[name].as_str() {
                text.extend([name, "\n", value, "\n"]);
            }
        }
        message["Signature"] = self.sign(&text).into();
        message.to_string()
    }
}

fn fetching(source: Source, hosts: &Arc<Hosts>) -> (Source, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW));
    let fetch = Arc::clone(hosts) as Arc<dyn KeyFetch>;
    (source.with_key_fetch(fetch, Arc::clone(&clock) as Arc<dyn Clock>), clock)
}

fn sns() -> Source {
    configured("provider = \"aws-sns\"", &[TOPIC])
}

async fn judge(
    source: &Source,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Verified, Rejection> {
    let headers: Headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let body = body.as_bytes();
    let request = Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body };
    source.verify_fetching(&request, NOW).await
}

fn is_not_fetched(judged: Result<Verified, Rejection>, why: &str) -> bool {
    judged.unwrap_err() == Rejection::KeyNotFetched(why.to_owned())
}

#[tokio::test]
async fn sns_message_is_verified_by_its_certificate_and_no_changed_one() {
    let signer = Signer::new();
    let (source, _) = fetching(sns(), &Hosts::of(SNS_URL, signer.certificate.clone()));
    let good = signer.notification(|_| {});
    let verified = judge(&source, &[], &good).await.unwrap();
    assert_eq!(verified.event_type().as_str(), "Notification");
    assert_eq!(verified.delivery_id(), Some("22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"));
    let titled = signer.notification(|message| message["Subject"] = "Hello".into());
    judge(&source, &[], &titled).await.unwrap();
    // A subject that was not signed is no subject.
    let mut added: Value = serde_json::from_str(&good).unwrap();
    added["Subject"] = "added".into();
    for changed in [
        added.to_string(),
        titled.replace("Hello", "Hullo"),
        good.replace("bdfb0c7bf324", "bdfb0c7bf325"),
        good.replace("Notification\"", "SubscriptionConfirmation\""),
        Signer::new().notification(|_| {}),
    ] {
        judge(&source, &[], &changed).await.unwrap_err();
    }
    let other = signer.notification(|message| message["TopicArn"] = "arn:aws:sns:x:1:other".into());
    let refused = judge(&source, &[], &other).await.unwrap_err();
    assert_eq!(refused, Rejection::Claim("TopicArn".into()));
    let late = signer.notification(|message| message["Timestamp"] = "2023-11-14T19:00:00Z".into());
    assert!(matches!(judge(&source, &[], &late).await, Err(Rejection::Stale { .. })));
}

#[tokio::test]
async fn sns_confirmation_is_a_question() {
    let signer = Signer::new();
    let (source, _) = fetching(sns(), &Hosts::of(SNS_URL, signer.certificate.clone()));
    let body = signer.notification(|message| {
        message["Type"] = "SubscriptionConfirmation".into();
        message["Token"] = "2336412f".into();
        message["SubscribeURL"] = "https://sns.us-west-2.amazonaws.com/?Action=Confirm".into();
    });
    let verified = judge(&source, &[], &body).await.unwrap();
    let headers = Headers::default();
    let body = body.as_bytes();
    let request = Inbound { method: "POST", path_and_query: "/hooks/s", headers: &headers, body };
    let answered = source.answer_verified(&request, &verified).unwrap();
    assert_eq!(answered.reply.status, 200);
    assert!(
        source.answer_unverified(&request, &Rejection::Missing).is_none(),
        "a stranger's is no question"
    );
}

// Signed by OpenSSL through `cryptography` 46 for this test, with a certificate of its own.
#[tokio::test]
async fn sns_message_of_version_1_is_verified_unless_sha1_is_switched_off() {
    let hosts = Hosts::of(SNS_URL, include_str!("tests/sns-v1.pem"));
    let body = include_str!("tests/sns-v1.json").trim_end();
    let (source, _) = fetching(sns(), &hosts);
    judge(&source, &[], body).await.unwrap();
    judge(&source, &[], &body.replace("Hello", "Hullo")).await.unwrap_err();
    let strict = configured("provider = \"aws-sns\"\nalgorithm = \"rsa-sha256\"", &[TOPIC]);
    let (strict, _) = fetching(strict, &hosts);
    assert_eq!(judge(&strict, &[], body).await.unwrap_err(), Rejection::Mismatch);
}

#[tokio::test]
async fn address_of_a_key_that_is_not_the_senders_is_never_asked() {
    let signer = Signer::new();
    let hosts = Arc::new(Hosts::default());
    for url in [
        "https://evil.example/SimpleNotificationService-1.pem",
        "https://sns.us-west-2.amazonaws.com.evil.example/SimpleNotificationService-1.pem",
        "https://sns.us-west-2.amazonaws.com@evil.example/SimpleNotificationService-1.pem",
        "https://sns.us-west-2.amazonaws.com:8443/SimpleNotificationService-1.pem",
        "http://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-west-2.amazonaws.com/other.pem",
        "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem?x=.pem",
        "https://s3.amazonaws.com/sns/SimpleNotificationService-1.pem",
        "https://127.0.0.1/SimpleNotificationService-1.pem",
        "file:///etc/passwd",
    ] {
        hosts.answer(url, signer.certificate.clone());
        let (source, _) = fetching(sns(), &hosts);
        let body = signer.notification(|message| message["SigningCertURL"] = url.into());
        let refused = judge(&source, &[], &body).await.unwrap_err();
        assert_eq!(refused, Rejection::ForeignKey("JSON field `SigningCertURL`".into()), "{url}");
    }
    assert_eq!(hosts.n_asked(), 0);
}

#[tokio::test]
async fn what_is_not_signed_or_not_for_its_owner_is_refused_without_a_fetch() {
    let signer = Signer::new();
    let hosts = Hosts::of(SNS_URL, signer.certificate.clone());
    let (source, _) = fetching(sns(), &hosts);
    assert_eq!(judge(&source, &[], "{}").await.unwrap_err(), Rejection::Missing);
    let mut unsigned: Value = serde_json::from_str(&signer.notification(|_| {})).unwrap();
    unsigned["Signature"] = Value::Null;
    let refused = judge(&source, &[], &unsigned.to_string()).await.unwrap_err();
    assert_eq!(refused, Rejection::Missing);
    let other = signer.notification(|message| message["TopicArn"] = "arn:aws:sns:x:1:other".into());
    let refused = judge(&source, &[], &other).await.unwrap_err();
    assert_eq!(refused, Rejection::Claim("TopicArn".into()));
    assert_eq!(hosts.n_asked(), 0);
}

#[tokio::test]
async fn key_that_cannot_be_fetched_leaves_it_open_and_is_not_asked_for_again_at_once() {
    let signer = Signer::new();
    let hosts = Arc::new(Hosts::default());
    let (source, clock) = fetching(sns(), &hosts);
    let body = signer.notification(|_| {});
    for _ in 0..5 {
        assert!(is_not_fetched(judge(&source, &[], &body).await, "no connection"));
    }
    assert_eq!(hosts.n_asked(), 1);
    hosts.answer(SNS_URL, signer.certificate.clone());
    clock.advance(Duration::from_secs(31));
    for _ in 0..5 {
        judge(&source, &[], &body).await.unwrap();
    }
    assert_eq!(hosts.n_asked(), 2);
    // Its host may be away for a day.
    hosts.is_silent(SNS_URL);
    clock.advance(Duration::from_hours(2));
    judge(&source, &[], &body).await.unwrap();
    assert_eq!(hosts.n_asked(), 3);
    clock.advance(Duration::from_hours(22));
    assert!(is_not_fetched(judge(&source, &[], &body).await, "no connection"));
}

#[tokio::test]
async fn certificate_that_is_not_good_now_is_not_used() {
    for (signer, why) in [
        (Signer::of(2020, 2023), "its certificate has expired"),
        (Signer::of(2024, 2030), "its certificate is not good yet: is the clock right?"),
    ] {
        let (source, _) = fetching(sns(), &Hosts::of(SNS_URL, signer.certificate.clone()));
        assert!(is_not_fetched(judge(&source, &[], &signer.notification(|_| {})).await, why));
    }
    for text in ["", "not a key", "<html>", "{\"keys\":[]}"] {
        let (source, _) = fetching(sns(), &Hosts::of(SNS_URL, text));
        let judged = judge(&source, &[], &Signer::new().notification(|_| {})).await;
        assert!(is_not_fetched(judged, "what came is no key of its algorithm"), "{text}");
    }
}

#[tokio::test]
async fn made_up_addresses_push_no_good_key_out() {
    let signer = Signer::new();
    let hosts = Hosts::of(SNS_URL, signer.certificate.clone());
    let (source, _) = fetching(sns(), &hosts);
    let good = signer.notification(|_| {});
    judge(&source, &[], &good).await.unwrap();
    for n in 0..100 {
        let url = SNS_URL.replace("-1.pem", &format!("-made-up-{n}.pem"));
        let body = signer.notification(|message| message["SigningCertURL"] = url.into());
        judge(&source, &[], &body).await.unwrap_err();
    }
    let n_asked = hosts.n_asked();
    judge(&source, &[], &good).await.unwrap();
    assert_eq!(hosts.n_asked(), n_asked);
}

#[tokio::test]
async fn requests_that_need_the_same_key_share_one_fetch() {
    let signer = Signer::new();
    let hosts = Hosts { gate: Some(tokio::sync::Semaphore::new(0)), ..Hosts::default() };
    hosts.answer(SNS_URL, signer.certificate.clone());
    let hosts = Arc::new(hosts);
    let (source, _) = fetching(sns(), &hosts);
    let body = signer.notification(|_| {});
    let all = futures_util::future::join_all((0..20).map(|_| judge(&source, &[], &body)));
    let open = async {
        tokio::task::yield_now().await;
        hosts.gate.as_ref().unwrap().add_permits(1);
    };
    let (judged, ()) = tokio::join!(all, open);
    assert!(judged.iter().all(Result::is_ok));
    assert_eq!(hosts.n_asked(), 1);
}

#[test]
fn keys_of_a_provider_are_changed_as_its_owner_wants() {
    let keys = KeySettings {
        origins: vec![OriginPattern::parse("http://localhost:4566", true).unwrap()],
        ..KeySettings::default()
    };
    let overrides = Overrides { keys: Some(keys), ..Overrides::default() };
    let profile = SigningProfile::provider("aws-sns").unwrap().with(overrides);
    let settings = SourceSettings::new(profile, Vec::new());
    let secrets = vec![Secret::new(TOPIC)];
    let source = Source::with_secrets(SourceName::parse("s").unwrap(), settings, secrets).unwrap();
    let url = "http://localhost:4566/_aws/sns/x.pem";
    let body = json!({ "SigningCertURL": url, "Signature": "x", "TopicArn": TOPIC }).to_string();
    let body = body.as_bytes();
    let headers = Headers::default();
    let request = Inbound { method: "POST", path_and_query: "/", headers: &headers, body };
    let wanted = source.wanted_keys(&request);
    assert_eq!(wanted[0].name, "http://localhost:4566/_aws/sns/x.pem");
    assert_eq!(wanted.len(), 1, "both versions have the same key");
}

#[test]
fn nothing_is_judged_where_nobody_fetches() {
    let body = Signer::new().notification(|_| {});
    let headers = Headers::default();
    let body = body.as_bytes();
    let request = Inbound { method: "POST", path_and_query: "/", headers: &headers, body };
    let judged = sns().verify(&request, NOW);
    assert!(is_not_fetched(judged, "nothing fetches keys here"));
}
