//! What stands between a gateway and `pebble` and says what Debian's version cannot: that there were too many
//! orders (RFC 8555, 6.6), and when a certificate is to be renewed (ARI, RFC 9773).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::tls::client_config;
use super::wire::connect;

/// Where `pebble` takes orders.
const ORDERS: &str = "/order-plz";
/// Where the front says when to renew.
const RENEWALS: &str = "/renewals";

/// What the front says in the authority's place, and what it saw.
#[derive(Default)]
struct State {
    is_limited: bool,
    has_window: bool,
    orders: Vec<Value>,
    renewals: Vec<String>,
}

/// A front that is running; it ends with the test's process.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Front {
    /// Before the authority at this port, with the certificate of its own that `folder` holds.
    pub(crate) fn start(authority: u16, folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let (ca, key) = (read("cert.pem"), read("key.pem"));
        let config = Arc::new(server_config(&ca, &key));
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (shared, ca) = (Arc::clone(&shared), ca.clone());
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut client = StreamOwned::new(connection, client.unwrap());
                std::thread::spawn(move || {
                    // One who only looks in, as `check --online` does, asks nothing.
                    let Some(request) = read_request(&mut client) else { return };
                    let answer = answer(&request, &shared)
                        .unwrap_or_else(|| forward(&request, authority, &ca, &shared, address));
                    drop(client.write_all(&answer));
                    client.conn.send_close_notify();
                    drop(client.flush());
                });
            }
        });
        Self { address, state }
    }

    /// From now on there were too many orders, or no more.
    pub(crate) fn limit(&self, is_limited: bool) {
        self.state.lock().unwrap().is_limited = is_limited;
    }

    /// From now on every certificate is to be renewed at once: its window is over.
    pub(crate) fn want_renewals(&self) {
        self.state.lock().unwrap().has_window = true;
    }

    /// What was ordered.
    pub(crate) fn orders(&self) -> Vec<Value> {
        self.state.lock().unwrap().orders.clone()
    }

    /// For which certificates it was asked when to renew.
    pub(crate) fn renewals(&self) -> Vec<String> {
        self.state.lock().unwrap().renewals.clone()
    }
}

fn server_config(cert: &str, key: &str) -> ServerConfig {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let chain = CertificateDer::pem_slice_iter(cert.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap()
}

/// The bytes of one request, of which the connection is then closed.
fn read_request(client: &mut StreamOwned<ServerConnection, TcpStream>) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    loop {
        if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&request[..at]).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if request.len() >= at + 4 + length {
                return Some(request);
            }
        }
        match client.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(n_read) => request.extend_from_slice(&part[..n_read]),
        }
    }
}

/// The method, the path and the body.
fn parts(request: &[u8]) -> (&str, &str, &[u8]) {
    let at = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut words = std::str::from_utf8(&request[..at]).unwrap().split(' ');
    (words.next().unwrap(), words.next().unwrap(), &request[at + 4..])
}

/// What the front says itself; `None` = the authority is to say it.
fn answer(request: &[u8], state: &Mutex<State>) -> Option<Vec<u8>> {
    let (_, path, body) = parts(request);
    let mut state = state.lock().unwrap();
    if path == ORDERS {
        let jws: Value = serde_json::from_slice(body).unwrap();
        let payload = URL_SAFE_NO_PAD.decode(jws["payload"].as_str().unwrap()).unwrap();
        state.orders.push(serde_json::from_slice(&payload).unwrap());
        let problem = json!({
            "type": "urn:ietf:params:acme:error:rateLimited",
            "detail": "too many certificates (5) already issued for this exact set of domains",
            "status": 429,
        });
        let headers = "Content-Type: application/problem+json\r\n";
        return state.is_limited.then(|| whole("429 Too Many Requests", headers, &problem));
    }
    let id = path.strip_prefix(RENEWALS)?.strip_prefix('/')?;
    state.renewals.push(id.to_owned());
    let window = json!({ "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z" });
    let window = json!({ "suggestedWindow": window });
    Some(whole("200 OK", "Content-Type: application/json\r\nRetry-After: 21600\r\n", &window))
}

fn whole(status: &str, headers: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What the authority says.
fn forward(
    request: &[u8],
    authority: u16,
    ca: &str,
    state: &Mutex<State>,
    own: SocketAddr,
) -> Vec<u8> {
    let (_, path, _) = parts(request);
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(client_config(ca, &[])), name).unwrap();
    let mut server = StreamOwned::new(connection, connect(([127, 0, 0, 1], authority).into()));
    // So that all that comes until its end is the answer.
    let line_end = request.windows(2).position(|window| window == b"\r\n").unwrap() + 2;
    let (line, rest) = request.split_at(line_end);
    server.write_all(&[line, b"Connection: close\r\n", rest].concat()).unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).unwrap();
    if path != "/dir" || !state.lock().unwrap().has_window {
        return answer;
    }
    let (_, _, body) = parts(&answer);
    let mut directory: Value = serde_json::from_slice(body).unwrap();
    directory["renewalInfo"] = json!(format!("https://{own}{RENEWALS}"));
    whole("200 OK", "Content-Type: application/json\r\n", &directory)
}
