//! A host that publishes keys, over TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::tls::Pair;

/// How long a path that is not told anything else holds its answer back: longer than any client
/// waits.
const SLOW: Duration = Duration::from_secs(20);

pub(crate) struct KeyHost {
    address: SocketAddr,
    pair: Pair,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The whole answer for each path.
    answers: Mutex<Vec<(&'static str, Vec<u8>)>>,
    n_asked: AtomicUsize,
}

impl KeyHost {
    /// Listens as `localhost`.
    pub(crate) fn start() -> Self {
        let pair = Pair::own(&["localhost"]);
        let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        // They end with the test's process.
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (shared, config) = (Arc::clone(&of_thread), Arc::clone(&config));
                std::thread::spawn(move || shared.serve(stream, config));
            }
        });
        Self { address, pair, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// What it answers 200 with under `path`.
    pub(crate) fn publish(&self, path: &'static str, body: &[u8]) {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        self.answer(path, &[head.as_bytes(), body].concat());
    }

    /// The whole answer under `path`.
    pub(crate) fn answer(&self, path: &'static str, answer: &[u8]) {
        let mut answers = self.shared.answers.lock().unwrap();
        answers.retain(|(known, _)| *known != path);
        answers.push((path, answer.to_vec()));
    }

    /// Writes the certificate by which it is believed.
    pub(crate) fn write_authority(&self, file: &Path) {
        std::fs::write(file, &self.pair.cert).unwrap();
    }

    /// How many requests came.
    pub(crate) fn n_asked(&self) -> usize {
        self.shared.n_asked.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// One connection with one request.
    fn serve(&self, stream: TcpStream, config: Arc<ServerConfig>) {
        let connection = ServerConnection::new(config).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            // A client that goes away is no failure of the server.
            if !matches!(stream.read(&mut byte), Ok(1)) {
                return;
            }
            head.push(byte[0]);
        }
        self.n_asked.fetch_add(1, Ordering::SeqCst);
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap();
        let answer = self.answers.lock().unwrap().iter().find(|(known, _)| *known == path).cloned();
        let Some((_, answer)) = answer else { return std::thread::sleep(SLOW) };
        drop(stream.write_all(&answer));
        stream.conn.send_close_notify();
        drop(stream.flush());
    }
}
