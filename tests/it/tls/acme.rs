//! Certificates from an ACME authority: a real one, `pebble`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::yield_now;

use super::{own_events, post, problems};
use crate::support::gateway::{Folder, Gateway};
use crate::support::pebble::{Pebble, Ports};
use crate::support::program::{printed, run};
use crate::support::tls::{NAME, connect_as, connect_believing};
use crate::support::wire;

/// Longer than a test runs: 90 days.
pub(super) const LONG: u64 = 90 * 24 * 3600;

/// A configuration whose names are shown to be ours by `challenge`.
pub(super) fn folder(ports: &Ports, domains: &str, challenge: &str) -> Folder {
    let http = match challenge {
        "http-01" => format!("http = \"127.0.0.1:{}\"\n", ports.http),
        _ => String::new(),
    };
    let acme = format!(
        "[server.acme]\ndomains = [{domains}]\ncontact = \"me@example.com\"\nca = \"cert.pem\"\n\
         directory = \"https://127.0.0.1:{}/dir\"\nchallenge = \"{challenge}\"\n{http}",
        ports.directory
    );
    let folder = Folder::new(&acme, "");
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let text = text.replacen("127.0.0.1:0", &format!("127.0.0.1:{}", ports.tls), 1);
    std::fs::write(folder.config(), text).unwrap();
    folder
}

fn is_ready(gateway: &Gateway) -> bool {
    wire::request(gateway.admin, "GET", "/readyz", &[], b"").status == 200
}

pub(super) fn wait_until_ready(gateway: &Gateway) {
    while !is_ready(gateway) {
        yield_now();
    }
}

pub(super) fn certificate(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("data/acme/certificate.pem")).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn certificate_is_ordered_by_port_80_kept_and_used_again() {
    let ports = Ports::new();
    let folder = folder(&ports, &format!("\"{NAME}\""), "http-01");
    let Some(pebble) = Pebble::start(&ports, folder.path(), LONG) else { return };
    let gateway = Gateway::serve(folder);
    wait_until_ready(&gateway);
    let mut wire = connect_believing(gateway.public, &pebble.root(), &[b"http/1.1"]);
    post(&mut wire, b"{\"n\":1}").unwrap().id();
    // Port 80 answers nothing else.
    let plain = ([127, 0, 0, 1], ports.http).into();
    for path in ["/", "/hooks/hyvor", "/.well-known/acme-challenge/none"] {
        assert_eq!(wire::request(plain, "GET", path, &[], b"").status, 404, "{path}");
    }
    assert_eq!(wire::post(plain, "/hooks/hyvor", &[], b"{}").status, 404);

    let folder = gateway.folder.path().to_owned();
    let acme = folder.join("data/acme");
    assert_eq!(mode(&acme), 0o700);
    for name in ["account.json", "certificate.pem"] {
        assert_eq!(mode(&acme.join(name)), 0o600, "{name}");
    }
    let first = certificate(&folder);
    assert_eq!(own_events(&gateway), Vec::<String>::new(), "the first order is no trouble");
    let folder = gateway.stop_and_keep();
    let root = pebble.root();
    drop(pebble);
    // Without the authority: it goes on with what it has.
    let gateway = Gateway::serve(folder);
    assert!(is_ready(&gateway), "{}", problems(&gateway));
    let mut wire = connect_believing(gateway.public, &root, &[]);
    post(&mut wire, b"{\"n\":2}").unwrap().id();
    assert_eq!(certificate(gateway.folder.path()), first);
    gateway.stop();
}

#[test]
fn certificate_is_ordered_within_tls_for_a_name_and_an_address() {
    let ports = Ports::new();
    let folder = folder(&ports, &format!("\"{NAME}\", \"127.0.0.1\""), "tls-alpn-01");
    let Some(pebble) = Pebble::start(&ports, folder.path(), LONG) else { return };
    let gateway = Gateway::serve(folder);
    wait_until_ready(&gateway);
    let root = pebble.root();
    for name in [NAME, "127.0.0.1"] {
        let mut wire = connect_as(name, gateway.public, &root, &[]);
        post(&mut wire, format!("{{\"n\":\"{name}\"}}").as_bytes()).unwrap().id();
    }
    gateway.stop();
}

#[test]
fn certificate_is_renewed_at_two_thirds_of_its_life() {
    let ports = Ports::new();
    let folder = folder(&ports, &format!("\"{NAME}\""), "http-01");
    let Some(pebble) = Pebble::start(&ports, folder.path(), 30) else { return };
    let gateway = Gateway::serve(folder);
    wait_until_ready(&gateway);
    let first = certificate(gateway.folder.path());
    // Each reload looks whether it is time.
    gateway.ask("POST", "/api/v1/reload", "");
    assert_eq!(certificate(gateway.folder.path()), first, "not before");
    while certificate(gateway.folder.path()) == first {
        assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    }
    wait_until_ready(&gateway);
    let mut wire = connect_believing(gateway.public, &pebble.root(), &[]);
    post(&mut wire, b"{\"n\":1}").unwrap().id();
    gateway.stop();
}

#[test]
fn outage_of_the_authority_is_told_and_so_is_its_end() {
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
    while own_events(&gateway) != ["certificate.failed"] {
        yield_now();
    }
    let Some(pebble) = Pebble::start(&ports, gateway.folder.path(), LONG) else { return };
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    wait_until_ready(&gateway);
    let mut wire = connect_believing(gateway.public, &pebble.root(), &[]);
    post(&mut wire, b"{\"n\":1}").unwrap().id();
    while !own_events(&gateway).contains(&"certificate.renewed".to_owned()) {
        yield_now();
    }
    gateway.stop();
}

#[test]
fn name_that_is_not_ours_is_named_with_the_reason() {
    let ports = Ports::new();
    let folder = folder(&ports, &format!("\"{NAME}\""), "http-01");
    let Some(_pebble) = Pebble::start(&ports, folder.path(), LONG) else { return };
    // It listens elsewhere than the authority looks.
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let text =
        text.replace(&format!("http = \"127.0.0.1:{}\"", ports.http), "http = \"127.0.0.1:0\"");
    std::fs::write(folder.config(), text).unwrap();
    let gateway = Gateway::serve(folder);
    let told = || problems(&gateway);
    while !told().contains("could not be shown to be this machine") {
        yield_now();
    }
    assert!(told().contains("hooks.example.com") && told().contains("refused"), "{}", told());
    gateway.stop();
}

#[test]
fn check_names_what_is_wrong_with_acme() {
    for (lines, words) in [
        ("", "`domains` is missing"),
        ("domains = []", "no name that a certificate could be for"),
        ("domains = [\"*.example.com\"]", "DNS-01"),
        ("domains = [\"https://a.example\"]", "write the name alone"),
        ("domains = [\"a.example\"]\ncontact = \"me\"", "is not a mail address"),
        ("domains = [\"a.example\"]\ndirectory = \"http://a\"", "https://"),
        ("domains = [\"a.example\"]\nchallenge = \"dns-01\"", "\"http-01\" | \"tls-alpn-01\""),
        ("domains = [\"a.example\"]\nchallenge = \"tls-alpn-01\"\nhttp = \"0.0.0.0:80\"", "leave"),
    ] {
        let folder = Folder::new(&format!("[server.acme]\n{lines}"), "");
        let output = run(&folder, &["check"]);
        printed(&output, 3);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(words), "{lines}: {told}");
    }
    // What was kept and cannot be read keeps it from starting, and is told before.
    let folder = Folder::new("[server.acme]\ndomains = [\"a.example\"]", "");
    std::fs::create_dir_all(folder.path().join("data/acme/certificate.pem")).unwrap();
    let output = run(&folder, &["check"]);
    printed(&output, 3);
    assert!(String::from_utf8(output.stderr).unwrap().contains("certificate.pem` cannot be used"));
    // A name that leads nowhere.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let acme = format!(
        "[server.acme]\ndomains = [\"hooks.invalid\"]\ndirectory = \"https://{address}/dir\"\n\
         http = \"{address}\""
    );
    let folder = Folder::new(&acme, "");
    // It hangs up on whoever asks it for a directory.
    let hangs_up = taken.try_clone().unwrap();
    std::thread::spawn(move || hangs_up.accept().map(drop));
    let output = run(&folder, &["check", "--online"]);
    printed(&output, 1);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("`hooks.invalid` of `[server.acme]` cannot be resolved"), "{told}");
    assert!(
        told.contains(&format!("the authority at `https://{address}/dir` cannot be")),
        "{told}"
    );
    assert!(told.contains(&format!("an authority cannot look at {address} (HTTP-01)")), "{told}");
    let acme = format!("[server.acme]\ndomains = [\"a.example\"]\nhttp = \"{address}\"");
    let output = run(&Folder::new(&acme, ""), &["serve"]);
    printed(&output, 1);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!("cannot listen on {address}")), "{told}");
    assert!(told.contains("tls-alpn-01"), "{told}");
}

#[test]
fn authority_that_answers_and_a_port_that_is_free_are_no_problems() {
    let ports = Ports::new();
    let folder = folder(&ports, "\"127.0.0.1\"", "http-01");
    let Some(_pebble) = Pebble::start(&ports, folder.path(), LONG) else { return };
    let output = run(&folder, &["check", "--online"]);
    printed(&output, 0);
    // With a server that has the port.
    let gateway = Gateway::serve(folder);
    wait_until_ready(&gateway);
    printed(&run(&gateway.folder, &["check", "--online"]), 0);
}
