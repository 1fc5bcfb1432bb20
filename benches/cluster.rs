//! The way in where gateways share a log, against what the engine takes in the same run: `cargo bench --bench
//! cluster [-- --secs N --engine postgres|nats --connections N --gateways N]`.
//!
//! The limit is the engine alone: as many clients as there are senders, each appends an event of the same
//! size and waits until it is acknowledged. For PostgreSQL each is a commit of one row over a connection of
//! its own; for NATS a publish into a stream of three replicas. The servers of the engine, the gateways and
//! the senders share this machine. A gateway does all it does: local fdatasync, the shared log, its copy,
//! and a file handler draining.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program that measures"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

mod load;

use load::request::BODY_BYTES;
use load::{SECRET, Server, Step, load, with_child};

#[path = "../tests/it/support/nats.rs"]
#[expect(dead_code, reason = "no fault is made here")]
mod nats;
#[path = "../tests/it/support/servers.rs"]
#[expect(dead_code, reason = "no fault is made here")]
mod servers;

const GATEPOST: &str = env!("CARGO_BIN_EXE_gatepost");
const CONNECTIONS: [usize; 3] = [16, 64, 256];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments[at + 1].as_str())
    };
    let number = |name| -> Option<usize> { Some(given(name)?.parse().unwrap()) };
    let secs = number("--secs").map_or(5, |secs| secs as u64);
    let is_asked = |engine| given("--engine").is_none_or(|asked| asked == engine);
    let all_connections = number("--connections").map_or(CONNECTIONS.to_vec(), |one| vec![one]);
    let all_gateways = number("--gateways").map_or(vec![1, 3], |one| vec![one]);
    println!(
        "engine     gateways  conns         rate        p99    CPU of 1,000   engine alone   \u{f7}"
    );
    for connections in all_connections {
        for &n_gateways in all_gateways.iter().filter(|_| is_asked("postgres")) {
            let server = servers::Server::postgres().unwrap();
            let limit = postgres_alone(&server.url("postgres"), connections, secs);
            let backend = format!("[queue.postgres]\nurl = \"{}\"\n", server.url("postgres"));
            let step = with_gateways("postgres", &backend, n_gateways, |servers| {
                load(servers, connections, secs)
            });
            print("postgres", n_gateways, connections, &step, limit);
        }
        for &n_gateways in all_gateways.iter().filter(|_| is_asked("nats")) {
            let servers = nats::NatsServers::start(3, "").unwrap();
            let limit = nats_alone(&servers.urls(), connections, secs);
            let urls = serde_json::to_string(&servers.urls()).unwrap();
            let backend = format!("[queue.nats]\nurl = {urls}\nreplicas = 3\n");
            let step = with_gateways("nats", &backend, n_gateways, |servers| {
                load(servers, connections, secs)
            });
            print("nats x 3", n_gateways, connections, &step, limit);
        }
    }
}

fn print(engine: &str, n_gateways: usize, connections: usize, step: &Step, limit: f64) {
    println!(
        "{engine:<10} {n_gateways:>8} {connections:>6} {:>10.0}/s {:>7.1} ms {:>10.1} ms {limit:>14.0}/s {:>5.2}",
        step.rate,
        step.p99_ms,
        step.cpu_ms,
        step.rate / limit,
    );
}

/// Runs so many gateways on one shared log.
fn with_gateways<T>(
    backend: &str,
    settings: &str,
    n_gateways: usize,
    measure: impl FnOnce(&[&Server]) -> T,
) -> T {
    fn nest<T>(
        folders: &[tempfile::TempDir],
        begun: &mut Vec<Server>,
        measure: impl FnOnce(&[&Server]) -> T,
    ) -> T {
        let Some((folder, rest)) = folders.split_first() else {
            return measure(&begun.iter().collect::<Vec<_>>());
        };
        let address = |line: &str| -> SocketAddr {
            let banner: serde_json::Value = serde_json::from_str(line).unwrap();
            let public = banner["public"][0].as_str().unwrap();
            public.split_once("://").unwrap().1.parse().unwrap()
        };
        let mut command = Command::new(GATEPOST);
        command.args(["serve", "--json"]).current_dir(folder.path());
        with_child(&mut command, address, |server| {
            begun.push(server);
            nest(rest, begun, measure)
        })
    }
    let folders: Vec<_> = (0..n_gateways)
        .map(|number| {
            let folder = tempfile::tempdir_in(target()).unwrap();
            std::fs::write(folder.path().join("secret"), SECRET).unwrap();
            let config = format!(
                r#"
                    [server]
                    listen = "127.0.0.1:0"
                    [admin]
                    listen = "127.0.0.1:0"
                    [queue]
                    backend = "{backend}"
                    node = "n{number}"
                    {settings}
                    [source.hook]
                    provider = "hyvor-talk"
                    secrets = [{{ file = "secret" }}]
                    [handler.archive.file]
                    path = "data/events.jsonl"
                "#
            );
            std::fs::write(folder.path().join("config.toml"), config).unwrap();
            folder
        })
        .collect();
    nest(&folders, &mut Vec::new(), measure)
}

/// On the disk of the checkout: a folder for temporary files may be in memory.
fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Appends by so many clients in a closed loop; acknowledged ones a second.
fn closed_loop<F: Future<Output = ()>>(
    secs: u64,
    clients: impl IntoIterator<Item = impl FnOnce(Instant, Arc<AtomicU64>) -> F>,
) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let n_appended = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + Duration::from_secs(secs);
    let clients = clients.into_iter().map(|client| client(end, Arc::clone(&n_appended)));
    runtime.block_on(futures_util::future::join_all(clients));
    n_appended.load(Ordering::Relaxed) as f64 / secs as f64
}

fn postgres_alone(url: &str, connections: usize, secs: u64) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // As many as Debian's configuration lets in, less those of the server itself.
    let connections = connections.min(90);
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let make = "CREATE TABLE events (place bigserial PRIMARY KEY, body bytea NOT NULL)";
        sqlx::raw_sql(make).execute(&mut connection).await.unwrap();
    });
    closed_loop(
        secs,
        (0..connections).map(|_| {
            |end: Instant, n_appended: Arc<AtomicU64>| async move {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let body = vec![b'x'; BODY_BYTES];
                while Instant::now() < end {
                    let insert = sqlx::query("INSERT INTO events (body) VALUES ($1)").bind(&body);
                    insert.execute(&mut connection).await.unwrap();
                    n_appended.fetch_add(1, Ordering::Relaxed);
                }
            }
        }),
    )
}

fn nats_alone(urls: &[String], connections: usize, secs: u64) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(make_stream(urls));
    closed_loop(
        secs,
        (0..connections).map(|_| {
            |end: Instant, n_appended: Arc<AtomicU64>| async move {
                let client = async_nats::connect(urls).await.unwrap();
                let body = bytes::Bytes::from(vec![b'x'; BODY_BYTES]);
                while Instant::now() < end {
                    let answer = client.request("bench.events", body.clone()).await.unwrap();
                    assert!(!answer.payload.starts_with(b"{\"error\""), "not acknowledged");
                    n_appended.fetch_add(1, Ordering::Relaxed);
                }
            }
        }),
    )
}

/// Makes the stream, once the servers have chosen a leader.
async fn make_stream(urls: &[String]) {
    let client = async_nats::connect(urls).await.unwrap();
    let config = serde_json::json!({
        "name": "bench", "subjects": ["bench.events"], "storage": "file", "num_replicas": 3,
    });
    loop {
        let made = client.request("$JS.API.STREAM.CREATE.bench", config.to_string().into()).await;
        match made {
            Ok(answer) if !answer.payload.windows(7).any(|some| some == b"\"error\"") => return,
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
