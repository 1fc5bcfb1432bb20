//! How fast the kinds take a backlog: `cargo bench --bench handlers`.
//!
//! Events of 1 KB wait in the durable queue; the real loop hands them to a real handler. Beside
//! each rate stands what the same work takes without a gateway, measured in the same run:
//!
//! | kind | limit |
//! |---|---|
//! | `sql` | the same rows by `sqlx` alone, in transactions of the same size, without a ledger |
//! | `http` | the same bodies by `reqwest` alone, as many requests at once, to the same sink |
//! | `command` | the same worker at a bare pipe |
//!
//! `cargo bench --bench handlers -- [sqlite|postgres|http|command]… [--events N]` (50,000).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program that measures"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use gatepost::clock::{Clock, SystemClock};
use gatepost::deliver::{
    Attempts, Batch, Context, Deliverer, FailureLog, Policy, SystemEvents, Wait,
};
use gatepost::event::{
    DataRoot, Delivery, Failure, HandlerName, Headers, NewEvent, Output, SourceName,
};
use gatepost::handler::{BuildContext, Handler, Purpose, kind};
use gatepost::metrics::Metrics;
use gatepost::queue::embedded::{EmbeddedQueue, Settings};
use gatepost::queue::{DeadLetter, Queue, Start};
use gatepost::trace::Traces;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

mod comment;
#[path = "handlers/sql.rs"]
mod sql;

use comment::{comment, words};

/// As in `batch = { max = 1000 }`, and the limit's transactions.
const BATCH: usize = 1_000;
/// Requests at once.
const REQUESTS: usize = 64;

fn main() {
    // Fails only where a provider is installed already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let n_events = arguments.iter().position(|argument| argument == "--events");
    let n_events = n_events.map_or(50_000, |at| arguments[at + 1].parse().unwrap());
    let kinds = ["sqlite", "postgres", "http", "command"];
    let named: Vec<&str> =
        kinds.into_iter().filter(|kind| arguments.iter().any(|one| one == kind)).collect();
    let wanted = if named.is_empty() { kinds.to_vec() } else { named };
    // As many threads as `gatepost serve` has for its handlers.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let bench = Bench::new(n_events).await;
        println!("{:<34} {:>12} {:>12} {:>6}  target", "", "limit", "gatepost", "ratio");
        for kind in wanted {
            match kind {
                "sqlite" => sql::sqlite(&bench).await,
                "postgres" => sql::postgres(&bench).await,
                "http" => http(&bench).await,
                _ => command(&bench).await,
            }
        }
        bench.queue.close().await.unwrap();
    });
}

/// A queue full of events.
struct Bench {
    folder: tempfile::TempDir,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    n_events: usize,
}

/// Events per second.
#[derive(Clone, Copy)]
struct Rate(f64);

impl Rate {
    fn of(n_events: usize, time: Duration) -> Self {
        Self(n_events as f64 / time.as_secs_f64())
    }
}

impl Bench {
    async fn new(n_events: usize) -> Self {
        // On the disk of the checkout: a folder for temporary files may be in memory.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let settings = Settings::new(folder.path().join("queue"));
        let queue: Arc<dyn Queue> =
            Arc::new(EmbeddedQueue::open(settings, Arc::clone(&clock)).unwrap());
        let mut numbers = 0..n_events;
        loop {
            let appends: Vec<_> =
                numbers.by_ref().take(64).map(|n| queue.append(event(n, &*clock))).collect();
            if appends.is_empty() {
                break;
            }
            for appended in join_all(appends).await {
                appended.unwrap();
            }
        }
        Self { folder, queue, clock, n_events }
    }

    /// How fast a handler takes everything.
    async fn run(&self, name: &str, kind_name: &str, text: &str, policy: Policy) -> Rate {
        let reading =
            gatepost::settings::read(text, self.folder.path(), kind(kind_name).unwrap().read);
        assert!(reading.problems.is_empty(), "{:?}", reading.problems);
        let name = HandlerName::parse(name).unwrap();
        let context = BuildContext {
            handler: name.clone(),
            config_folder: self.folder.path().to_owned(),
            clock: Arc::clone(&self.clock),
            timeout: policy.timeout,
            own_timeout: None,
            concurrency: policy.concurrency.get(),
            batch: policy.batch.as_ref().map(|batch| batch.max),
            samples: Vec::new(),
            purpose: Purpose::Call,
        };
        let done = CancellationToken::new();
        let handler = Arc::new(Counted {
            inner: reading.value.unwrap().build(&context).unwrap(),
            n_left: self.n_events.into(),
            ended_at: OnceLock::new(),
            done: done.clone(),
        });
        let subscription = self.queue.subscribe(&name, Start::Oldest).await.unwrap();
        let context = Context {
            metrics: Metrics::new().handler(&name),
            name,
            policy,
            handler: Arc::clone(&handler) as Arc<dyn Handler>,
            clock: Arc::clone(&self.clock),
            attempts: Arc::new(Attempts::default()),
            system_events: Arc::new(Nobody),
            traces: Traces::default(),
            log: FailureLog::default(),
            seed: 1,
        };
        let (deliverer, _control) = Deliverer::new(context, subscription, Arc::clone(&self.queue));
        let began = Instant::now();
        tokio::spawn(deliverer.run(done)).await.unwrap().unwrap();
        Rate::of(self.n_events, handler.ended_at.get().unwrap().duration_since(began))
    }

    fn show(what: &str, limit: Rate, gatepost: Rate, target: u32) {
        let verdict = if gatepost.0 >= f64::from(target) { "ok" } else { "MISSED" };
        println!(
            "{what:<34} {:>10.0}/s {:>10.0}/s {:>5.2}x  ≥ {target}/s {verdict}",
            limit.0,
            gatepost.0,
            gatepost.0 / limit.0
        );
    }
}

/// Counts what a handler has taken.
struct Counted {
    inner: Box<dyn Handler>,
    n_left: AtomicUsize,
    ended_at: OnceLock<Instant>,
    done: CancellationToken,
}

#[async_trait]
impl Handler for Counted {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        let output = self.inner.handle(deliveries).await?;
        if self.n_left.fetch_sub(deliveries.len(), Ordering::SeqCst) == deliveries.len() {
            self.ended_at.get_or_init(Instant::now);
            self.done.cancel();
        }
        Ok(output)
    }

    fn batch_max(&self) -> usize {
        self.inner.batch_max()
    }

    fn default_batch(&self) -> usize {
        self.inner.default_batch()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

struct Nobody;

#[async_trait]
impl SystemEvents for Nobody {
    async fn dead_letter(&self, letter: DeadLetter) {
        panic!("a dead letter in a measurement: {letter:?}");
    }
}

fn event(number: usize, clock: &dyn Clock) -> NewEvent {
    let (source, body) = (SourceName::parse("hyvor").unwrap(), comment(number, "published"));
    NewEvent {
        data_root: DataRoot::Data,
        headers: [("content-type", &b"application/json"[..])].into_iter().collect::<Headers>(),
        ..NewEvent::new(source, "comment.create", clock.now(), body)
    }
}

fn batches(max: usize) -> Policy {
    let batch =
        Batch { max: NonZeroUsize::new(max).unwrap(), wait: Wait::For(Duration::from_millis(100)) };
    Policy { batch: Some(batch), ..Policy::default() }
}

async fn http(bench: &Bench) {
    let address = sink();
    let url = format!("http://{address}/hook");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let senders = (0..REQUESTS).map(|_| {
        let (client, url, next) = (client.clone(), url.clone(), &next);
        async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= bench.n_events {
                    return;
                }
                let answer =
                    client.post(&url).body(comment(number, "published")).send().await.unwrap();
                assert!(answer.bytes().await.unwrap().is_empty());
            }
        }
    });
    join_all(senders).await;
    let limit = Rate::of(bench.n_events, began.elapsed());
    let policy = Policy { concurrency: NonZeroUsize::new(REQUESTS).unwrap(), ..Policy::default() };
    let rate = bench.run("http", "http", &format!("url = \"{url}\""), policy).await;
    Bench::show("http, 64 at once", limit, rate, 5_000);
}

/// An HTTP server on loopback that reads each request and answers 200.
fn sink() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
    });
    address
}

async fn answer(mut stream: tokio::net::TcpStream) {
    let mut read = Vec::with_capacity(16 * 1024);
    loop {
        let head = read.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        let request = head.map(|head| {
            let text = std::str::from_utf8(&read[..head]).unwrap().to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            head + length.unwrap().parse::<usize>().unwrap()
        });
        match request {
            Some(end) if read.len() >= end => {
                read.drain(..end);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
            _ => match stream.read_buf(&mut read).await {
                Ok(1..) => {}
                _ => return,
            },
        }
    }
}

async fn command(bench: &Bench) {
    let program: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/worker.py");
    let Some(limit) = bare_worker(&program, bench.n_events) else {
        println!("command: skipped, `python3` is not installed");
        return;
    };
    let run = format!("run = [\"python3\", \"{}\"]\nmode = \"worker\"", program.display());
    let rate = bench.run("worker", "command", &run, Policy::default()).await;
    Bench::show("command worker, 4 at once", limit, rate, 10_000);
    let rate = bench.run("workers", "command", &run, batches(256)).await;
    Bench::show("command worker, batches of 256", limit, rate, 10_000);
}

/// The worker of the examples at a pipe: everything in at one end, its answers out at the other.
fn bare_worker(program: &Path, n_events: usize) -> Option<Rate> {
    let mut command = Command::new("python3");
    command.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut stdin = std::io::BufWriter::new(child.stdin.take().unwrap());
    let began = Instant::now();
    let writer = std::thread::spawn(move || {
        for number in 0..n_events {
            let payload = comment(number, "published");
            writeln!(
                stdin,
                r#"{{"id":"{number}","source":"hyvor","type":"comment.create","attempt":1,"headers":[["content-type","application/json"]],"payload":{payload}}}"#
            )
            .unwrap();
        }
    });
    let answers = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(answers.count(), n_events);
    let time = began.elapsed();
    writer.join().unwrap();
    child.wait().unwrap();
    Some(Rate::of(n_events, time))
}
