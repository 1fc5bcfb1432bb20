//! Signed requests: as many as there are to be, or so many a second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "../load/request.rs"]
mod request;

pub(crate) use request::SECRET;
use request::Signer;

/// Connections of a closed loop, and of one by the clock.
const FILLERS: u64 = 64;
const SENDERS: u64 = 32;

/// Numbers bodies over the whole run: no two are alike.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// What a loop by the clock came to.
pub(crate) struct Paced {
    pub(crate) rate: f64,
    pub(crate) p99_ms: f64,
}

struct Sender {
    stream: TcpStream,
    signer: Signer,
}

impl Sender {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, signer: Signer::new() }
    }

    async fn send(&mut self) {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let request = self.signer.request(number);
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 2048];
        let n = self.stream.read(&mut answer).await.unwrap();
        assert!(answer[..n].starts_with(b"HTTP/1.1 200"), "not a 200");
    }
}

fn run<T: Send + 'static>(tasks: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await.unwrap());
        }
        done
    })
}

/// Sends so many, as fast as they are answered.
pub(crate) fn fill(address: SocketAddr, n_events: u64) {
    let (began, left) = (Instant::now(), Arc::new(AtomicU64::new(n_events)));
    let sender = || {
        let left = Arc::clone(&left);
        async move {
            let mut sender = Sender::connect(address).await;
            let take = |n: u64| n.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                sender.send().await;
            }
        }
    };
    run((0..FILLERS).map(|_| sender()).collect());
    println!("filled     {n_events} events in {:.0} s", began.elapsed().as_secs_f64());
}

/// Sends `rate` a second for so long. A connection that comes late sends at once, and the time counts from
/// when it should have sent.
pub(crate) fn paced(address: SocketAddr, rate: u32, secs: u64) -> Paced {
    let step = Duration::from_secs(1) * u32::try_from(SENDERS).unwrap() / rate;
    let begin = Instant::now() + Duration::from_millis(300);
    let n_each = u64::from(rate) * secs / SENDERS;
    let sender = |n: u64| async move {
        let mut sender = Sender::connect(address).await;
        let mut micros = Vec::new();
        let first = begin + step * u32::try_from(n).unwrap() / u32::try_from(SENDERS).unwrap();
        for round in 0..n_each {
            let due = first + step * u32::try_from(round).unwrap();
            tokio::time::sleep_until(due.into()).await;
            sender.send().await;
            micros.push(due.elapsed().as_micros());
        }
        (micros, Instant::now())
    };
    let done = run((0..SENDERS).map(sender).collect());
    let end = done.iter().map(|(_, end)| *end).max().unwrap();
    let mut micros: Vec<u128> = done.into_iter().flat_map(|(micros, _)| micros).collect();
    micros.sort_unstable();
    let p99 = micros[micros.len() * 99 / 100];
    Paced {
        rate: micros.len() as f64 / end.duration_since(begin).as_secs_f64(),
        p99_ms: p99 as f64 / 1000.0,
    }
}
