//! The configurations in `deploy/proxies`, each run by the real proxy: Gatepost gets what the sender
//! sent, and knows who it was.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::gateway::{Gateway, signature};
use crate::support::patience::wait_until;
use crate::support::program;
use crate::support::servers::{find, skip};
use crate::support::wire::{self, Wire};

/// Where the sender of the tests is, another address than the proxy's.
const SENDER: &str = "127.0.0.7";

/// A sender whose signature's header has a `_`, one that may send from [`SENDER`] only, and one that
/// may not.
const SOURCES: &str = r#"
[source.custom]
secrets = [{ file = "secret" }]
[source.custom.verify]
algorithm = "hmac-sha256"
header = "X_Signature"
[source.near]
provider = "hyvor-talk"
secrets = [{ file = "secret" }]
allow = ["127.0.0.7"]
[source.far]
provider = "hyvor-talk"
secrets = [{ file = "secret" }]
allow = ["203.0.113.9"]
"#;

/// A proxy that is running.
pub(crate) struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.0);
        // Some have workers, which a plain kill would leave behind.
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.0.wait().unwrap();
    }
}

fn configuration(name: &str, changes: &[(&str, String)]) -> String {
    configuration_of(&format!("proxies/{name}"), changes)
}

/// The configuration in `deploy` with addresses of this run; each change must find its place.
pub(crate) fn configuration_of(name: &str, changes: &[(&str, String)]) -> String {
    let path = format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(path).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "`{from}` is not in {name}");
        text = text.replace(from, to);
    }
    text
}

/// Starts `program` with these arguments in `folder`, and waits until it listens on `address`.
pub(crate) fn start(
    program: &str,
    arguments: &[&str],
    folder: &Path,
    address: SocketAddr,
) -> Proxy {
    let mut command = Command::new(find(program).unwrap());
    command.args(arguments).current_dir(folder).env("HOME", folder).env("XDG_DATA_HOME", folder);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(folder.join("proxy.log")).unwrap());
    let mut proxy = Proxy(command.spawn().unwrap());
    while TcpStream::connect(address).is_err() {
        let log = || std::fs::read_to_string(folder.join("proxy.log")).unwrap();
        assert!(proxy.0.try_wait().unwrap().is_none(), "{program} ended: {}", log());
        std::thread::yield_now();
    }
    proxy
}

/// Posts a body that is signed by `header`, from [`SENDER`].
fn post(
    address: SocketAddr,
    source: &str,
    (header, claim): (&str, Option<&str>),
    body: &[u8],
) -> wire::Answer {
    let (length, signature) = (body.len().to_string(), signature(body));
    let mut headers = vec![("Content-Length", &*length), (header, &*signature)];
    headers.extend(claim.map(|claim| ("X-Forwarded-For", claim)));
    let mut bytes = wire::head("POST", &format!("/hooks/{source}"), &headers).into_bytes();
    bytes.extend_from_slice(body);
    let stream = wire::connect_from(SENDER.parse().unwrap(), address);
    Wire::over(stream).write(&bytes).answer().expect("an answer")
}

/// Runs `program` between senders and a gateway, and looks at what comes through.
fn check(program: &str, run: impl FnOnce(&Path, SocketAddr, SocketAddr) -> Proxy) {
    if find(program).is_none() {
        return skip(&format!("`{program}` is not installed"));
    }
    let gateway = Gateway::with("trusted_proxies = [\"127.0.0.1\"]", SOURCES);
    let folder = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _proxy = run(folder.path(), address, gateway.public);
    let signed = ("X-Signature", None);
    // Every byte, in a body longer than any buffer of a proxy: the signature is over all of it.
    let body: Vec<u8> =
        (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let stored = post(address, "hyvor", signed, &body).id();
    let raw = gateway.ask("GET", &format!("/api/v1/events/{stored}/raw"), "");
    assert!(raw.body == body, "the body is not what was sent");
    post(address, "custom", ("X_Signature", None), &body).id();
    // Who sends is known, and what a sender claims to be is not believed.
    post(address, "near", signed, b"{}").id();
    assert_eq!(post(address, "far", ("X-Signature", Some("203.0.113.9")), b"{}").status, 401);
    post(address, "near", ("X-Signature", Some("203.0.113.9")), b"{ }").id();
    // Gatepost's limit decides, and not the proxy's.
    let refused = post(address, "hyvor", signed, &vec![b'x'; 1_500_000]);
    assert_eq!(refused.status, 413);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let proxies = &gateway.ask("GET", "/api/v1/status", "").json()["proxies"];
    let advice = proxies[0]["advice"].as_str().unwrap();
    assert!(advice.contains("x-forwarded-for"), "{advice}");
    assert!(advice.ends_with("believed, its last client is 127.0.0.7"), "{advice}");
    let said = checked(&gateway);
    assert!(said.contains("proxy 127.0.0.1 sends x-forwarded-for"), "{said}");
    assert!(said.contains("believed, its last client is 127.0.0.7"), "{said}");
    gateway.stop();
}

#[test]
fn nginx_passes_on_what_the_sender_sent() {
    check("nginx", |folder, address, gateway| {
        let site = configuration(
            "nginx.conf",
            &[
                ("listen 80;", format!("listen {address};")),
                ("127.0.0.1:8080", gateway.to_string()),
            ],
        );
        nginx_around(&site, folder, address)
    });
}

/// Runs nginx with this site and nothing else.
pub(crate) fn nginx_around(site: &str, folder: &Path, address: SocketAddr) -> Proxy {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};", folder.display()));
    let temporary = folders.join("\n");
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let text = format!(
        "{user}\npid {}/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}\n{site}\n}}\n",
        folder.display()
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    start("nginx", &["-e", "stderr", "-c", file, "-g", "daemon off;"], folder, address)
}

#[test]
fn caddy_passes_on_what_the_sender_sent() {
    check("caddy", |folder, address, gateway| {
        let site = configuration(
            "Caddyfile",
            &[
                // By the name that the tests' requests ask for; plain, since nobody certifies it.
                ("hooks.example.com {", format!("http://localhost:{} {{", address.port())),
                ("127.0.0.1:8080", gateway.to_string()),
            ],
        );
        std::fs::write(folder.join("Caddyfile"), format!("{{\n\tadmin off\n}}\n{site}")).unwrap();
        start("caddy", &["run", "--config", "Caddyfile"], folder, address)
    });
}

#[test]
fn haproxy_passes_on_what_the_sender_sent() {
    check("haproxy", |folder, address, gateway| {
        let text = configuration(
            "haproxy.cfg",
            &[("bind :80", format!("bind {address}")), ("127.0.0.1:8080", gateway.to_string())],
        );
        std::fs::write(folder.join("haproxy.cfg"), text).unwrap();
        start("haproxy", &["-db", "-f", "haproxy.cfg"], folder, address)
    });
}

#[test]
fn apache_passes_on_what_the_sender_sent() {
    check("apache2", |folder, address, gateway| {
        let site = configuration(
            "apache.conf",
            &[
                ("<VirtualHost *:80>", format!("<VirtualHost *:{}>", address.port())),
                ("127.0.0.1:8080", gateway.to_string()),
            ],
        );
        let modules = ["mpm_event", "authz_core", "proxy", "proxy_http", "headers"]
            .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"));
        let modules = modules.join(
            "
",
        );
        let text = format!(
            "ServerRoot {0}\nServerName localhost\n{modules}\nPidFile {0}/pid\n\
             ErrorLog {0}/error.log\nDefaultRuntimeDir {0}\nListen {address}\n{site}",
            folder.display()
        );
        let file = folder.join("apache.conf");
        std::fs::write(&file, text).unwrap();
        start("apache2", &["-X", "-f", file.to_str().unwrap()], folder, address)
    });
}

#[test]
fn traefik_passes_on_what_the_sender_sent() {
    check("traefik", |folder, address, gateway| {
        let text = configuration(
            "traefik.yml",
            &[
                ("hooks.example.com", "localhost".to_owned()),
                ("127.0.0.1:8080", gateway.to_string()),
            ],
        );
        std::fs::write(folder.join("dynamic.yml"), text).unwrap();
        let entry = format!("--entryPoints.websecure.address={address}");
        let arguments =
            ["--providers.file.filename=dynamic.yml", "--global.checkNewVersion=false", &entry];
        let proxy = start("traefik", &arguments, folder, address);
        // It listens before it has read its routers.
        wait_until("the proxy has its route", || {
            wire::request(address, "GET", "/hooks/hyvor", &[], b"").status != 404
        });
        proxy
    });
}

/// What `gatepost check` says to its user while `gateway` serves.
fn checked(gateway: &Gateway) -> String {
    let output = program::run(&gateway.folder, &["check"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

#[test]
fn check_says_which_client_each_proxy_would_be_believed() {
    let gateway = Gateway::start();
    let headers = |extra| {
        let signed = signature(b"{}");
        gateway.post("hyvor", &[("X-Signature", &*signed), extra], b"{}").id();
        checked(&gateway)
    };
    assert!(!checked(&gateway).contains("proxy"));
    let sends = |header: &str| {
        format!("proxy 127.0.0.1 sends {header}: not believed, all clients count as")
    };
    let said = headers(("X-Real-IP", "203.0.113.9"));
    assert!(said.contains(&sends("x-real-ip")), "{said}");
    assert!(said.contains("Let the proxy set x-forwarded-for (deploy/proxies)"), "{said}");
    for (header, value) in [
        ("X-Forwarded-For", "198.51.100.1, 203.0.113.9"),
        ("Forwarded", "for=198.51.100.1, for=203.0.113.9;proto=https"),
    ] {
        let said = headers((header, value));
        assert!(said.contains(&sends(&header.to_ascii_lowercase())), "{said}");
        let expected = "all clients count as 127.0.0.1. With `trusted_proxies = [\"127.0.0.1\"]` in \
                        `[server]` its last client would be 203.0.113.9";
        assert!(said.contains(expected), "{said}");
    }
    gateway.stop();
}

#[test]
fn proxy_protocol_is_named_where_it_is_refused() {
    let gateway = Gateway::start();
    let request = wire::head("POST", "/hooks/hyvor", &[]);
    let beginnings: [&[u8]; 2] = [
        b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 8080\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\x12\x67\x1f\x90",
    ];
    for beginning in beginnings {
        let answer = wire::raw(gateway.public, &[beginning, request.as_bytes()].concat());
        assert_eq!(answer.unwrap().status, 400);
    }
    let status = gateway.ask("GET", "/api/v1/status", "").json();
    let rows = status["refused"].as_array().unwrap();
    let row = rows.iter().find(|row| row["reason"].as_str().unwrap().contains("PROXY protocol"));
    assert_eq!(row.unwrap()["count"], 2, "{rows:?}");
    gateway.stop();
}
