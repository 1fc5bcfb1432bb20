//! The way in, against a limit measured in the same run: `cargo bench --bench ingest`.
//!
//! The limit does the least that a durable receiver can: it verifies an HMAC over the body and
//! appends it to a growing file, one fdatasync for all that waits, before its 200. The gateway
//! does all it does, with a file handler draining. Prints requests per second, p99 and what the
//! server's processor does for 1,000 requests, and the ratios to the limit. `--secs N` measures
//! each step for so long (3); `--beside PROGRAM` measures another build of the gateway in turn
//! with this one; `--drain` takes the last step only: what three handlers leave of the way in.
//! `--tls` measures instead what TLS 1.3 leaves of it: the same requests on connections that are
//! kept, in turn without TLS and with it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program that measures"
)]

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use hmac::{Hmac, KeyInit, Mac};
use rustls::{ClientConfig, RootCertStore};
use sha2::Sha256;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

mod load;

use load::{NAME, SECRET, Server, Step, load, with_child};

const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--limit") {
        return limit(&arguments[at + 1]);
    }
    let secs = arguments.iter().position(|argument| argument == "--secs");
    let secs = secs.map_or(3, |at| arguments[at + 1].parse().unwrap());
    if arguments.iter().any(|argument| argument == "--drain") {
        return beside_handlers(secs);
    }
    if arguments.iter().any(|argument| argument == "--tls") {
        return beside_tls(secs);
    }
    let other = arguments.iter().position(|argument| argument == "--beside");
    let other = other.map(|at| arguments[at + 1].as_str());
    println!("conns   server           rate        p99    CPU of 1,000   ÷ limit: rate  p99   CPU");
    for connections in CONNECTIONS {
        let limit = with_limit(|server| load(&[&server], connections, secs));
        print(connections, "limit", &limit, &limit);
        let gateway = with_gateway(GATEPOST, ONE, |server| load(&[&server], connections, secs));
        print(connections, "gateway", &gateway, &limit);
        if let Some(other) = other {
            let other = with_gateway(other, ONE, |server| load(&[&server], connections, secs));
            print(connections, "other", &other, &limit);
        }
    }
    beside_handlers(secs);
}

fn print(connections: usize, server: &str, step: &Step, limit: &Step) {
    println!(
        "{connections:>5}   {server:<8} {:>10.0}/s {:>7.2} ms {:>10.1} ms {:>13.2} {:>6.2} {:>5.2}",
        step.rate,
        step.p99_ms,
        step.cpu_ms,
        step.rate / limit.rate,
        step.p99_ms / limit.p99_ms,
        step.cpu_ms / limit.cpu_ms,
    );
}

/// What handlers that take everything at once leave of the way in.
fn beside_handlers(secs: u64) {
    let alone = with_gateway(GATEPOST, "", |server| load(&[&server], 64, secs));
    let drained = with_gateway(GATEPOST, THREE, |server| load(&[&server], 64, secs));
    println!(
        "   64  {:>8.0}/s without a handler, {:>8.0}/s while three drain: {:.2}x (≥ 0.70)",
        alone.rate,
        drained.rate,
        drained.rate / alone.rate
    );
}

/// What TLS 1.3 leaves of the way in.
fn beside_tls(secs: u64) {
    println!(
        "conns        plain      TLS 1.3   rate: TLS ÷ plain   p99: plain      TLS   CPU of 1,000"
    );
    for connections in CONNECTIONS {
        let plain = with_gateway(GATEPOST, ONE, |server| load(&[&server], connections, secs));
        let tls = with_tls_gateway(ONE, |server| load(&[&server], connections, secs));
        println!(
            "{connections:>5} {:>10.0}/s {:>10.0}/s {:>11.2}x (≥ 0.70) {:>9.2} ms {:>5.2} ms {:>6.1}, {:.1} ms",
            plain.rate,
            tls.rate,
            tls.rate / plain.rate,
            plain.p99_ms,
            tls.p99_ms,
            plain.cpu_ms,
            tls.cpu_ms,
        );
    }
}

const GATEPOST: &str = env!("CARGO_BIN_EXE_gatepost");

const ONE: &str = r#"
        [handler.archive.file]
        path = "data/events.jsonl"
"#;

const THREE: &str = r#"
        [handler.one.file]
        path = "data/one.jsonl"
        [handler.two.file]
        path = "data/two.jsonl"
        [handler.three.file]
        path = "data/three.jsonl"
"#;

fn with_gateway<T>(program: &str, handlers: &str, measure: impl FnOnce(Server) -> T) -> T {
    let folder = tempfile::tempdir_in(target()).unwrap();
    with_gateway_in(folder.path(), program, handlers, measure)
}

/// The same with a certificate of its own.
fn with_tls_gateway<T>(handlers: &str, measure: impl FnOnce(Server) -> T) -> T {
    let folder = tempfile::tempdir_in(target()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let cert = cert.self_signed(&key).unwrap();
    std::fs::write(folder.path().join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = Some(TlsConnector::from(Arc::new(client)));
    let config = format!("[server.tls]\ncert = 'cert.pem'\nkey = 'key.pem'\n{handlers}");
    with_gateway_in(folder.path(), GATEPOST, &config, |server| measure(Server { tls, ..server }))
}

fn with_gateway_in<T>(
    folder: &Path,
    program: &str,
    rest: &str,
    measure: impl FnOnce(Server) -> T,
) -> T {
    std::fs::write(folder.join("secret"), SECRET).unwrap();
    let config = r#"
        [server]
        listen = "127.0.0.1:0"
        [admin]
        listen = "127.0.0.1:0"
        [source.hook]
        provider = "hyvor-talk"
        secrets = [{ file = "secret" }]
    "#;
    let config = config.to_owned() + rest;
    std::fs::write(folder.join("config.toml"), config).unwrap();
    let address = |line: &str| {
        let banner: serde_json::Value = serde_json::from_str(line).unwrap();
        let (_scheme, address) = banner["public"][0].as_str().unwrap().split_once("://").unwrap();
        address.parse().unwrap()
    };
    let mut command = Command::new(program);
    command.args(["serve", "--json"]).current_dir(folder);
    with_child(&mut command, address, measure)
}

fn with_limit<T>(measure: impl FnOnce(Server) -> T) -> T {
    let folder = tempfile::tempdir_in(target()).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--limit").arg(folder.path().join("log"));
    with_child(&mut command, |line| line.parse().unwrap(), measure)
}

/// On the disk of the checkout: a folder for temporary files may be in memory.
fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

type Waiting = (web::Bytes, oneshot::Sender<()>);

/// The limit's server.
fn limit(path: &str) {
    let (tx, rx) = mpsc::channel::<Waiting>();
    let file = std::fs::File::create(path).unwrap();
    std::thread::spawn(move || {
        let mut end = 0;
        while let Ok(first) = rx.recv() {
            let mut waiting = vec![first];
            waiting.extend(std::iter::from_fn(|| rx.try_recv().ok()).take(4_095));
            let mut bytes = Vec::new();
            for (body, _) in &waiting {
                bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
                bytes.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
                bytes.extend_from_slice(body);
            }
            file.write_all_at(&bytes, end).unwrap();
            file.sync_data().unwrap();
            end += bytes.len() as u64;
            for (_, done) in waiting {
                // Whoever asked may be gone.
                let _is_gone = done.send(()).is_err();
            }
        }
    });
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    let server = HttpServer::new(move || {
        let state = web::Data::new((mac.clone(), tx.clone()));
        App::new().app_data(state).default_service(web::post().to(limit_hook))
    });
    let server = server.workers(2).bind(("127.0.0.1", 0)).unwrap();
    println!("{}", server.addrs()[0]);
    std::io::stdout().flush().unwrap();
    actix_web::rt::System::new().block_on(async { server.run().await.unwrap() });
}

async fn limit_hook(
    request: HttpRequest,
    body: web::Bytes,
    state: web::Data<(Hmac<Sha256>, mpsc::Sender<Waiting>)>,
) -> HttpResponse {
    let signature = request.headers().get("x-signature").map(|value| hex::decode(value.as_bytes()));
    let mut mac = state.0.clone();
    mac.update(&body);
    let is_good = signature.is_some_and(|s| s.is_ok_and(|s| mac.verify_slice(&s).is_ok()));
    let (done, wait) = oneshot::channel();
    if !is_good || state.1.send((body, done)).is_err() || wait.await.is_err() {
        return HttpResponse::Unauthorized().finish();
    }
    HttpResponse::Ok().finish()
}
