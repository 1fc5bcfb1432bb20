//! Pebble, Let's Encrypt's own authority for tests (Debian: `pebble`), with a name server that knows
//! every name as this machine.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::json;

use super::servers::{find, skip};
use super::tls::{NAME, Pair, connect_believing};
use super::wire;

/// Ports that are free at this moment.
pub(crate) struct Ports {
    pub(crate) directory: u16,
    management: u16,
    names: u16,
    names_management: u16,
    /// Where names are looked for (HTTP-01), in place of 80.
    pub(crate) http: u16,
    /// The same within TLS, in place of 443.
    pub(crate) tls: u16,
}

impl Ports {
    pub(crate) fn new() -> Self {
        // Bound together, so that they differ.
        let bound = [(); 6].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [directory, management, names, names_management, http, tls] =
            bound.map(|one| one.local_addr().unwrap().port());
        Self { directory, management, names, names_management, http, tls }
    }
}

/// An authority that is running.
pub(crate) struct Pebble {
    authority: Child,
    names: Child,
    /// What its own address shows, in PEM form.
    ca: String,
    management: SocketAddr,
}

impl Pebble {
    /// `None` where it is not installed. Its certificates are good for so many seconds.
    pub(crate) fn start(ports: &Ports, folder: &std::path::Path, seconds: u64) -> Option<Self> {
        let [Some(pebble), Some(names)] = ["pebble", "pebble-challtestsrv"].map(find) else {
            skip("`pebble` is not installed");
            return None;
        };
        let own = Pair::own(&[NAME, "127.0.0.1"]);
        own.write(folder);
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", ports.directory),
            "managementListenAddress": format!("127.0.0.1:{}", ports.management),
            "certificate": folder.join("cert.pem"),
            "privateKey": folder.join("key.pem"),
            "httpPort": ports.http,
            "tlsPort": ports.tls,
            "certificateValidityPeriod": seconds,
        }});
        let file = folder.join("pebble.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
        let mut command = Command::new(names);
        command.args(off).args(["-defaultIPv4", "127.0.0.1"]);
        command.args(["-dns01", &format!("127.0.0.1:{}", ports.names)]);
        command.args(["-management", &format!("127.0.0.1:{}", ports.names_management)]);
        let names = spawn(&mut command, "Starting management server");
        let mut command = Command::new(pebble);
        command.arg("-config").arg(file);
        command.args(["-dnsserver", &format!("127.0.0.1:{}", ports.names)]);
        // It would wait up to 15 s before it looks.
        command.env("PEBBLE_VA_NOSLEEP", "1");
        let authority = spawn(&mut command, "ACME directory available");
        let management = SocketAddr::from(([127, 0, 0, 1], ports.management));
        Some(Self { authority, names, ca: own.cert, management })
    }

    /// The authority's root, in PEM form: it makes one at each start.
    pub(crate) fn root(&self) -> String {
        let mut wire = connect_believing(self.management, &self.ca, &[]);
        let head = wire::head("GET", "/roots/0", &[]);
        wire.write(head.as_bytes()).answer().unwrap().text()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in [&mut self.authority, &mut self.names] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// Starts a server and waits for its own word that it is ready.
fn spawn(command: &mut Command, ready: &str) -> Child {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains(ready) {
        let n_bytes = lines.read_line(&mut said).unwrap();
        assert!(n_bytes > 0, "the server ended: {said}");
    }
    // Somebody must read on: a full pipe would stop the server.
    thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    child
}
