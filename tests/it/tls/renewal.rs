//! Certificates that an authority does not renew, or wants renewed: behind a front that says so in its place.

use std::thread::yield_now;

use super::acme::{LONG, certificate, folder, wait_until_ready};
use super::{own_events, post, problems};
use crate::support::acme_front::Front;
use crate::support::gateway::{Folder, Gateway};
use crate::support::pebble::{Pebble, Ports};
use crate::support::tls::{NAME, connect_believing};

/// A configuration that asks the front, with `lines` more.
fn behind(front: &Front, ports: &Ports, folder: Folder, lines: &str) -> Folder {
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let own = format!("https://127.0.0.1:{}/dir\"\n", ports.directory);
    assert!(text.contains(&own), "{text}");
    let text = text.replace(&own, &format!("https://{}/dir\"\n{lines}", front.address));
    std::fs::write(folder.config(), text).unwrap();
    folder
}

fn reload(gateway: &Gateway) {
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
}

#[test]
fn rate_limit_is_told_with_its_reason_and_waited_for() {
    let ports = Ports::new();
    let folder = folder(&ports, &format!("\"{NAME}\""), "http-01");
    let Some(pebble) = Pebble::start(&ports, folder.path(), LONG) else { return };
    let front = Front::start(ports.directory, folder.path());
    front.limit(true);
    let gateway = Gateway::serve(behind(&front, &ports, folder, "profile = \"shortlived\"\n"));
    while own_events(&gateway) != ["certificate.failed"] {
        yield_now();
    }
    let told = problems(&gateway);
    assert!(told.contains("there is no certificate yet; "), "{told}");
    assert!(told.contains("too many certificates (5) already issued"), "{told}");
    // A first failure is tried again within a minute; this one in an hour.
    let at = told.split("it is tried again at ").nth(1).unwrap_or_else(|| panic!("{told}"));
    let at: jiff::Timestamp = at.get(.."2026-01-01T00:00:00.000Z".len()).unwrap().parse().unwrap();
    let events = gateway.ask("GET", "/api/v1/events?source=gatepost", "").json();
    let failed: jiff::Timestamp = events[0]["received_at"].as_str().unwrap().parse().unwrap();
    let wait = at.duration_since(failed).as_mins();
    assert!((58..=60).contains(&wait), "{told}");

    // Its owner says when it is over.
    front.limit(false);
    reload(&gateway);
    wait_until_ready(&gateway);
    let mut wire = connect_believing(gateway.public, &pebble.root(), &[]);
    post(&mut wire, b"{\"n\":1}").unwrap().id();
    let orders = front.orders();
    assert!(orders.len() >= 2, "{orders:?}");
    for order in orders {
        assert_eq!(order["profile"], "shortlived");
        assert_eq!(order["identifiers"][0]["value"], NAME);
    }
    while own_events(&gateway) != ["certificate.renewed", "certificate.failed"] {
        yield_now();
    }
    gateway.stop();
}

#[test]
fn certificate_that_its_authority_wants_back_is_renewed_at_once() {
    let ports = Ports::new();
    let folder = folder(&ports, &format!("\"{NAME}\""), "http-01");
    let Some(pebble) = Pebble::start(&ports, folder.path(), LONG) else { return };
    let front = Front::start(ports.directory, folder.path());
    let gateway = Gateway::serve(behind(&front, &ports, folder, ""));
    wait_until_ready(&gateway);
    let first = certificate(gateway.folder.path());
    let folder = gateway.stop_and_keep();

    // 60 days before two thirds of its life are over.
    front.want_renewals();
    let gateway = Gateway::serve(folder);
    while certificate(gateway.folder.path()) == first {
        yield_now();
    }
    // RFC 9773: what its issuer's key is called, and its own number.
    let asked = front.renewals();
    let (issuer, serial) = asked[0].split_once('.').unwrap();
    assert!(!issuer.is_empty() && !serial.is_empty(), "{asked:?}");
    wait_until_ready(&gateway);
    let mut wire = connect_believing(gateway.public, &pebble.root(), &[]);
    post(&mut wire, b"{\"n\":1}").unwrap().id();
    assert!(!own_events(&gateway).contains(&"certificate.failed".to_owned()));
    gateway.stop();
}

#[test]
fn certificate_that_cannot_be_renewed_is_told_of_before_it_ends() {
    let ports = Ports::new();
    let folder = folder(&ports, &format!("\"{NAME}\""), "http-01");
    let Some(pebble) = Pebble::start(&ports, folder.path(), 40) else { return };
    let gateway = Gateway::serve(folder);
    wait_until_ready(&gateway);
    let root = pebble.root();
    drop(pebble);
    // Each reload looks whether it is time. At two thirds it cannot be renewed, which is told in the last
    // quarter at the latest.
    let wait_for = |words: &str| {
        while !problems(&gateway).contains(words) {
            reload(&gateway);
        }
        problems(&gateway)
    };
    let told = wait_for("hooks.example.com ends on");
    assert!(told.contains("does not answer"), "{told}");
    while !own_events(&gateway).contains(&"certificate.failed".to_owned()) {
        yield_now();
    }
    let mut wire = connect_believing(gateway.public, &root, &[]);
    post(&mut wire, b"{\"n\":1}").unwrap().id();
    let told = wait_for("hooks.example.com ended on");
    assert!(told.contains("does not answer"), "{told}");
    gateway.stop();
}
