//! Senders in a closed loop, and servers as processes.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(crate) mod request;

pub(crate) use request::SECRET;
use request::Signer;

/// In the certificate.
pub(crate) const NAME: &str = "localhost";

/// What a step of a measurement came to.
pub(crate) struct Step {
    pub(crate) rate: f64,
    pub(crate) p99_ms: f64,
    /// What the server's processor did for 1,000 requests, warming up included.
    pub(crate) cpu_ms: f64,
}

/// A server that runs.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    /// It speaks TLS with a certificate that this client believes.
    pub(crate) tls: Option<TlsConnector>,
}

impl Server {
    /// What its threads have used of the processor.
    fn cpu_ms(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        let (_name, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = |n: usize| fields.split(' ').nth(n).unwrap().parse::<f64>().unwrap();
        // Fields 14 and 15 of proc(5), user and system, in ticks of 10 ms.
        (ticks(11) + ticks(12)) * 10.0
    }
}

/// A closed loop: each connection sends its next request when the last one is answered. The servers share
/// the connections.
pub(crate) fn load(servers: &[&Server], connections: usize, secs: u64) -> Step {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let counter = Arc::new(AtomicU64::new(0));
    let cpu_now = || servers.iter().map(|server| server.cpu_ms()).sum::<f64>();
    let cpu_before = cpu_now();
    let begin = Instant::now() + Duration::from_millis(700);
    let end = begin + Duration::from_secs(secs);
    let mut micros = local.block_on(&runtime, async {
        let clients: Vec<_> = (0..connections)
            .map(|number| {
                let server = servers[number % servers.len()];
                let (address, tls) = (server.address, server.tls.clone());
                let counter = Arc::clone(&counter);
                tokio::task::spawn_local(async move {
                    let stream = TcpStream::connect(address).await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let Some(tls) = tls else { return client(stream, begin, end, counter).await };
                    let name = ServerName::try_from(NAME).unwrap();
                    let stream = tls.connect(name, stream).await.unwrap();
                    client(stream, begin, end, counter).await
                })
            })
            .collect();
        let mut all = Vec::new();
        for client in clients {
            all.extend(client.await.unwrap());
        }
        all
    });
    let cpu_ms = cpu_now() - cpu_before;
    // Each connection counts one more than it sends.
    let n_requests = counter.load(Ordering::Relaxed) - connections as u64;
    micros.sort_unstable();
    let p99 = micros[(micros.len() * 99 / 100).min(micros.len() - 1)];
    Step {
        rate: f64::from(u32::try_from(micros.len()).unwrap())
            / Duration::from_secs(secs).as_secs_f64(),
        p99_ms: f64::from(p99) / 1000.0,
        cpu_ms: cpu_ms / n_requests as f64 * 1000.0,
    }
}

/// The latencies of one connection, in microseconds.
async fn client(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    begin: Instant,
    end: Instant,
    counter: Arc<AtomicU64>,
) -> Vec<u32> {
    let signer = Signer::new();
    let mut micros = Vec::new();
    let mut answer = [0; 2048];
    loop {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        let request = signer.request(number);
        let sent = Instant::now();
        if sent >= end {
            return micros;
        }
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let n = stream.read(&mut answer).await.unwrap();
        assert!(answer[..n].starts_with(b"HTTP/1.1 200"), "not a 200");
        if sent >= begin {
            micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap());
        }
    }
}

/// Runs a child whose first line of output tells its address.
pub(crate) fn with_child<T>(
    command: &mut Command,
    address: impl Fn(&str) -> SocketAddr,
    measure: impl FnOnce(Server) -> T,
) -> T {
    let mut child: Child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let measured = measure(Server { address: address(line.trim()), pid: child.id(), tls: None });
    child.kill().unwrap();
    child.wait().unwrap();
    measured
}
