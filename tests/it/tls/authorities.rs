//! From one ACME authority to another, and a certificate that cannot be kept.

use std::thread::yield_now;

use super::acme::{LONG, certificate, folder, wait_until_ready};
use super::{post, problems};
use crate::support::gateway::Gateway;
use crate::support::pebble::{Pebble, Ports};
use crate::support::tls::{NAME, connect_believing};

#[test]
fn another_directory_has_an_account_and_a_certificate_of_its_own() {
    let ports = Ports::new();
    let folder = folder(&ports, &format!("\"{NAME}\""), "http-01");
    let Some(pebble) = Pebble::start(&ports, folder.path(), LONG) else { return };
    let gateway = Gateway::serve(folder);
    wait_until_ready(&gateway);
    let (first, first_root) = (certificate(gateway.folder.path()), pebble.root());
    let folder = gateway.stop_and_keep();
    drop(pebble);
    let mut others = Ports::new();
    (others.http, others.tls) = (ports.http, ports.tls);
    let Some(pebble) = Pebble::start(&others, folder.path(), LONG) else { return };
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let of = |ports: &Ports| format!("https://127.0.0.1:{}/dir", ports.directory);
    std::fs::write(folder.config(), config.replace(&of(&ports), &of(&others))).unwrap();
    let gateway = Gateway::serve(folder);
    wait_until_ready(&gateway);
    let mut wire = connect_believing(gateway.public, &pebble.root(), &[]);
    post(&mut wire, b"{\"n\":1}").unwrap().id();
    assert_eq!(certificate(gateway.folder.path()), first, "it is kept");
    let folder = gateway.stop_and_keep();
    drop(pebble);
    // And back, without any authority.
    std::fs::write(folder.config(), config).unwrap();
    let gateway = Gateway::serve(folder);
    let mut wire = connect_believing(gateway.public, &first_root, &[]);
    post(&mut wire, b"{\"n\":2}").unwrap().id();
    gateway.stop();
}

#[test]
fn certificate_that_cannot_be_written_is_served_all_the_same() {
    let ports = Ports::new();
    let folder = folder(&ports, &format!("\"{NAME}\""), "http-01");
    let authority = tempfile::tempdir().unwrap();
    let Some(pebble) = Pebble::start(&ports, authority.path(), LONG) else { return };
    let ca = std::fs::read(authority.path().join("cert.pem")).unwrap();
    std::fs::write(folder.path().join("cert.pem"), ca).unwrap();
    drop(pebble);
    let gateway = Gateway::serve(folder);
    while !problems(&gateway).contains("there is no certificate yet; ") {
        yield_now();
    }
    // A folder is no file that could be replaced.
    std::fs::create_dir_all(gateway.folder.path().join("data/acme/certificate.pem")).unwrap();
    let Some(pebble) = Pebble::start(&ports, gateway.folder.path(), LONG) else { return };
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    wait_until_ready(&gateway);
    let mut wire = connect_believing(gateway.public, &pebble.root(), &[]);
    post(&mut wire, b"{\"n\":1}").unwrap().id();
    gateway.stop();
}
