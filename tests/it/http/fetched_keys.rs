//! Keys that a source's sender publishes, fetched by the program over TLS.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use gatepost::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use super::super::support::gateway::{Folder, SECRET, signature};
use super::super::support::key_host::KeyHost;
use super::super::support::program::{Served, printed, run};
use super::super::support::wire::{self, Answer};
use crate::support::patience::wait_until;

const OWN: &str = r#"["127.0.0.0/8", "::1/128"]"#;

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn key_set(&self) -> String {
        let point = self.0.public_key().as_ref();
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y }] }).to_string()
    }

    fn post(&self, served: &Served, source: &str, body: &[u8]) -> Answer {
        let signature = self.0.sign(&SystemRandom::new(), body).unwrap();
        let signature = BASE64_STANDARD.encode(signature);
        let path = format!("/hooks/{source}");
        wire::post(served.public(), &path, &[("X-Signature", &signature)], body)
    }
}

fn source(name: &str, keys: &str) -> String {
    format!(
        "[source.{name}.verify]\nalgorithm = \"ecdsa-p256\"\nheader = \"X-Signature\"\n\
         encoding = \"base64\"\nkeys = {keys}\n"
    )
}

fn start(host: &KeyHost, sources: &str) -> (Folder, Served) {
    let folder = Folder::new("", sources);
    let authority = folder.path().join("authority.pem");
    host.write_authority(&authority);
    let served = Served::start_in(&folder, &[("SSL_CERT_FILE", authority.to_str().unwrap())]);
    (folder, served)
}

/// Why the newest request was rejected.
fn reason(served: &Served) -> String {
    let rejected: Value = served.ask("GET", "/api/v1/rejected").json();
    rejected[0]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn published_key_is_fetched_once_and_believes_its_owner_only() {
    let (host, signer) = (KeyHost::start(), Signer::new());
    host.publish("/keys", signer.key_set().as_bytes());
    let keys = format!("{{ url = \"{}\", allow = {OWN} }}", host.url("/keys"));
    let (_folder, served) = start(&host, &source("keyed", &keys));
    for body in [&b"{}"[..], b"", "\u{e4}".as_bytes()] {
        assert_eq!(signer.post(&served, "keyed", body).status, 200);
    }
    assert_eq!(Signer::new().post(&served, "keyed", b"{}").status, 401);
    assert_eq!(wire::post(served.public(), "/hooks/keyed", &[], b"{}").status, 401);
    assert_eq!(host.n_asked(), 1);
}

#[test]
fn fetched_key_outlives_a_reload_and_is_fetched_anew_where_its_place_changed() {
    let (host, signer) = (KeyHost::start(), Signer::new());
    host.publish("/keys", signer.key_set().as_bytes());
    let keys = |path: &str| format!("{{ url = \"{}\", allow = {OWN} }}", host.url(path));
    let (folder, served) = start(&host, &source("keyed", &keys("/keys")));
    assert_eq!(signer.post(&served, "keyed", b"{}").status, 200);
    // The host is away when something else of the configuration changes.
    host.answer("/keys", b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n");
    let changed = format!("[source.keyed]\ndedupe = \"off\"\n{}", source("keyed", &keys("/keys")));
    folder.write_config("", &changed);
    printed(&run(&folder, &["reload"]), 0);
    assert_eq!(signer.post(&served, "keyed", b"[]").status, 200);
    assert_eq!(host.n_asked(), 1);

    folder.write_config("", &source("keyed", &keys("/moved")));
    printed(&run(&folder, &["reload"]), 0);
    assert_eq!(signer.post(&served, "keyed", b"[1]").status, 503);
    assert_eq!(host.n_asked(), 2);
}

#[test]
fn sender_is_asked_to_come_again_while_its_key_cannot_be_had() {
    let (host, signer) = (KeyHost::start(), Signer::new());
    host.publish("/keys", signer.key_set().as_bytes());
    host.publish("/huge", &vec![b' '; 1 << 20]);
    host.answer("/moved", b"HTTP/1.1 302 Found\r\nLocation: /keys\r\nContent-Length: 0\r\n\r\n");
    host.answer("/gone", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    host.answer("/half", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
    host.publish("/page", b"<html>");
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let own = |url: &str| format!("{{ url = \"{url}\", allow = {OWN} }}");
    let mut sources = source("private", &format!("\"{}\"", host.url("/keys")));
    sources += &source("away", &own(&format!("https://localhost:{unused}/keys")));
    for name in ["huge", "moved", "gone", "half", "page"] {
        sources += &source(name, &own(&host.url(&format!("/{name}"))));
    }
    let (folder, served) = start(&host, &sources);
    for (name, expected) in [
        ("private", "is refused"),
        ("away", "no connection"),
        ("huge", "too long"),
        ("moved", "302"),
        ("gone", "404"),
        ("half", "broke"),
        ("page", "no key of its algorithm"),
    ] {
        let answer = signer.post(&served, name, b"{}");
        assert_eq!(answer.status, 503, "{name}");
        assert!(answer.header("retry-after").is_some(), "{name}");
        let reason = reason(&served);
        let is_expected =
            reason.starts_with("its key could not be fetched") && reason.contains(expected);
        assert!(is_expected, "{name}: {reason}");
    }
    // A private address without `allow` was never connected to; the page that moved not followed.
    assert_eq!(host.n_asked(), 5);
    let explained = printed(&run(&folder, &["rejected", "explain", "7"]), 0);
    assert!(explained.contains("its key is missing"), "{explained}");
}

#[test]
fn slow_host_of_keys_holds_up_no_other_source() {
    let (host, signer) = (KeyHost::start(), Signer::new());
    let keys = format!("{{ url = \"{}\", allow = {OWN} }}", host.url("/slow"));
    let (_folder, served) = start(&host, &source("slow", &keys));
    std::thread::scope(|scope| {
        // More than there are threads that answer.
        let post = || signer.post(&served, "slow", b"{}").status;
        let slow: Vec<_> = (0..32).map(|_| scope.spawn(post)).collect();
        wait_until("the host is asked", || host.n_asked() != 0);
        for n in 0..50 {
            let body = format!(r#"{{"event":"t","data":{{"n":{n}}}}}"#);
            let made = signature(body.as_bytes());
            let headers = [("X-Signature", made.as_str())];
            let answer = wire::post(served.public(), "/hooks/hyvor", &headers, body.as_bytes());
            assert_eq!(answer.status, 200);
        }
        assert!(slow.iter().all(|one| !one.is_finished()));
        assert!(slow.into_iter().all(|one| one.join().unwrap() == 503));
    });
    assert!(reason(&served).contains("no answer"), "{}", reason(&served));
}

/// A message of Amazon SNS, signed by `key`.
fn sns_message(key: &RsaKeyPair, certificate_url: &str, kind: &str) -> String {
    let mut message = json!({
        "Type": kind,
        "MessageId": format!("165545c9-2a5c-472c-8df2-{}", kind.len()),
        "Token": "2336412f37fb687f5d51e6e241d09c805a5a57b30d712f794cc5f6a988666d92768dd60a",
        "TopicArn": SECRET,
        "Message": "You have chosen to subscribe to the topic.",
        "SubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription",
        "Timestamp": SystemClock::new().now().to_string(),
        "SigningCertURL": certificate_url,
    });
    let names = match kind {
        "Notification" => "Message MessageId Timestamp TopicArn Type",
        _ => "Message MessageId SubscribeURL Timestamp Token TopicArn Type",
    };
    let mut text = String::new();
    for name in names.split(' ') {
        text.extend([name, "\n", message[name].as_str().unwrap(), "\n"]);
    }
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    message["Signature"] = BASE64_STANDARD.encode(signature).into();
    message.to_string()
}

#[test]
fn sns_notification_is_an_event_and_its_confirmation_is_kept_for_its_link() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(der.as_ref().to_vec());
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".to_owned()]).unwrap();
    let host = KeyHost::start();
    host.publish("/sns.pem", params.self_signed(&pair).unwrap().pem().as_bytes());
    let url = host.url("/sns.pem");
    let origin = url.trim_end_matches("/sns.pem");
    let source = format!(
        "[source.sns]\nprovider = \"aws-sns\"\nsecrets = [{{ file = \"secret\" }}]\n\
         keys = {{ origins = [\"{origin}\"], allow = {OWN} }}\n"
    );
    let (folder, served) = start(&host, &source);
    let post = |kind: &str| {
        let text = "text/plain; charset=UTF-8";
        let body = sns_message(&key, &url, kind);
        wire::post(served.public(), "/hooks/sns", &[("Content-Type", text)], body.as_bytes())
    };
    assert_eq!(post("SubscriptionConfirmation").status, 200);
    assert_eq!(post("Notification").status, 200);
    let events = served.ask("GET", "/api/v1/events?source=sns").json();
    assert_eq!(events.as_array().unwrap().len(), 1);
    assert_eq!(events[0]["type"], "Notification");
    assert_eq!(reason(&served), "answered as a handshake, and no event");
    let kept = printed(&run(&folder, &["rejected", "show", "1", "--raw"]), 0);
    assert!(kept.contains("?Action=ConfirmSubscription"), "{kept}");
    let explained = printed(&run(&folder, &["rejected", "explain", "1"]), 0);
    assert!(explained.contains("open its `SubscribeURL`"), "{explained}");
    assert_eq!(host.n_asked(), 1);
}
