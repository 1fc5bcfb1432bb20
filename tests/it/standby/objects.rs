//! S3-compatible storage on this machine: moto, which `./test` installs into `target/objects`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::servers::skip;
use crate::support::wire;

/// The bucket of every test.
pub(super) const BUCKET: &str = "copies";
/// Where in it the copy is.
pub(super) const PREFIX: &str = "shop/one";

/// Keys of nobody.
pub(super) const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "not-a-secret-of-anybody")];

/// Moto believes every signature, but wants one for objects that were written with one.
const SIGNED: (&str, &str) = (
    "Authorization",
    "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260101/us-east-1/s3/aws4_request, \
     SignedHeaders=host, Signature=x",
);

/// Storage that is running.
pub(super) struct Storage {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Storage {
    /// `None` where it is not installed.
    pub(super) fn start() -> Option<Self> {
        let storage = Self::start_in(&[])?;
        let answer = wire::request(storage.address, "PUT", &format!("/{BUCKET}"), &[], b"");
        assert_eq!(answer.status, 200, "{answer:?}");
        Some(storage)
    }

    /// The same, without a bucket, with more in its environment.
    pub(super) fn start_in(environment: &[(&str, &str)]) -> Option<Self> {
        let program =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("target/objects/venv/bin/moto_server");
        if !program.exists() {
            skip("moto is not installed in `target/objects`");
            return None;
        }
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("it has ended").unwrap();
            if let Some((_, address)) = line.split_once("Running on http://") {
                break address.trim().parse().unwrap();
            }
        };
        // It writes a line for each request, and would wait.
        thread::spawn(move || lines.count());
        Some(Self { child, address })
    }

    /// All objects of the copy, by their names in the bucket.
    pub(super) fn names(&self) -> Vec<String> {
        let path = format!("/{BUCKET}?list-type=2&max-keys=1000");
        let listed = wire::request(self.address, "GET", &path, &[], b"").text();
        let parts = listed.split("<Key>").skip(1);
        parts.map(|part| part.split_once("</Key>").unwrap().0.to_owned()).collect()
    }

    /// The names of the objects in this folder of the copy.
    pub(super) fn names_in(&self, folder: &str) -> Vec<String> {
        let folder = format!("{PREFIX}/{folder}/");
        self.names().into_iter().filter(|name| name.starts_with(&folder)).collect()
    }

    pub(super) fn get(&self, name: &str) -> Vec<u8> {
        let answer = self.ask("GET", name, b"");
        assert_eq!(answer.status, 200, "{name}");
        answer.body
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        assert_eq!(self.ask("PUT", name, bytes).status, 200, "{name}");
    }

    pub(super) fn remove(&self, name: &str) {
        assert_eq!(self.ask("DELETE", name, b"").status, 204, "{name}");
    }

    fn ask(&self, method: &str, name: &str, bytes: &[u8]) -> wire::Answer {
        wire::request(self.address, method, &format!("/{BUCKET}/{name}"), &[SIGNED], bytes)
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Storage that answers every request alike.
pub(super) struct Refusing {
    pub(super) address: SocketAddr,
    /// The heads of what it was asked.
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

impl Refusing {
    pub(super) fn start(status: &'static str, code: &str, message: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}\
             </Message><AWSAccessKeyId>{}</AWSAccessKeyId></Error>",
            KEYS[0].1
        );
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{xml}",
            xml.len()
        );
        let (is_over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (over, heads) = (Arc::clone(&is_over), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let mut stream = stream.unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                // Requests without a body: a manifest is read first.
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                    head.push(byte[0]);
                }
                heads.lock().unwrap().push(String::from_utf8(head).unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { address, asked, is_over }
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(std::net::TcpStream::connect(self.address));
    }
}
