//! Which of two ways a log that several nodes share should take, before either is built: 3 nodes with 64
//! connections each append units to one PostgreSQL, and answer a request once it is known whether it
//! repeats another.
//!
//! * *decide at apply*: a unit is appended whatever it holds; a request is answered when its node has
//!   applied all units up to its own. What repeats is void by the order of the log.
//! * *compare and append*: a node decides by what it has applied, and appends only if nobody else has
//!   meanwhile; otherwise it reads what came in between, decides again and tries again.
//!
//! `cargo bench --bench shared_log -- [SECONDS]`, PostgreSQL as Debian packages it; figures, no verdict.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot go on has failed, and prints what it found"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, Row};
use tokio::sync::{mpsc, oneshot};

#[path = "../tests/it/support/servers.rs"]
#[expect(dead_code, reason = "only PostgreSQL is started here")]
mod servers;

const NODES: usize = 3;
const CLIENTS: usize = 64;
const RUNS: usize = 5;
/// Two requests in a hundred are the same one, by two clients of any two nodes.
const REPEATS_PERCENT: u64 = 1;
const BODY_BYTES: usize = 1024;
/// Key and body of each event, one behind the other.
const EVENT_BYTES: usize = 8 + BODY_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    DecideAtApply,
    CompareAndAppend,
}

/// A request that waits for its answer: `true` = it is new.
struct Request {
    key: u64,
    answer: oneshot::Sender<bool>,
}

/// What a node has applied.
#[derive(Default)]
struct Applied {
    seq: i64,
    /// Each key, and the unit and place in it that has it.
    keys: HashMap<u64, (i64, usize)>,
}

impl Applied {
    fn apply(&mut self, seq: i64, unit: &[u8]) {
        assert_eq!(seq, self.seq + 1, "a unit was left out");
        self.seq = seq;
        for (place, event) in unit.chunks(EVENT_BYTES).enumerate() {
            let key = u64::from_le_bytes(event[..8].try_into().unwrap());
            self.keys.entry(key).or_insert((seq, place));
        }
    }

    /// Reads what others have appended, up to and without `to`.
    async fn catch_up(&mut self, log: &mut PgConnection, to: i64) {
        let read = "SELECT seq, body FROM units WHERE seq > $1 AND seq < $2 ORDER BY seq";
        for row in sqlx::query(read).bind(self.seq).bind(to).fetch_all(log).await.unwrap() {
            self.apply(row.get(0), row.get(1));
        }
    }
}

fn unit_of<'a>(requests: impl Iterator<Item = &'a Request>) -> Vec<u8> {
    let mut unit = Vec::new();
    for request in requests {
        unit.extend_from_slice(&request.key.to_le_bytes());
        unit.resize(unit.len() + BODY_BYTES, b'x');
    }
    unit
}

/// Takes all that waits. Empty = no client is left.
async fn gather(inbox: &mut mpsc::UnboundedReceiver<Request>) -> Vec<Request> {
    let mut requests = Vec::new();
    inbox.recv_many(&mut requests, 2 * CLIENTS).await;
    requests
}

/// Appends without asking; a second connection follows, applies and answers.
async fn decide_at_apply(url: &str, mut inbox: mpsc::UnboundedReceiver<Request>) -> (Applied, u64) {
    let mut log = PgConnection::connect(url).await.unwrap();
    let mut reader = PgConnection::connect(url).await.unwrap();
    let (appended, mut follow) = mpsc::unbounded_channel::<(i64, Vec<u8>, Vec<Request>)>();
    let follower = tokio::spawn(async move {
        let mut applied = Applied::default();
        while let Some((seq, unit, requests)) = follow.recv().await {
            if applied.seq + 1 < seq {
                applied.catch_up(&mut reader, seq).await;
            }
            applied.apply(seq, &unit);
            for (place, request) in requests.into_iter().enumerate() {
                let is_new = applied.keys[&request.key] == (seq, place);
                request.answer.send(is_new).unwrap();
            }
        }
        applied
    });
    let append = "WITH head AS (UPDATE head SET seq = seq + 1 RETURNING seq) \
                  INSERT INTO units SELECT seq, $1 FROM head RETURNING seq";
    loop {
        let requests = gather(&mut inbox).await;
        if requests.is_empty() {
            break;
        }
        let unit = unit_of(requests.iter());
        let row = sqlx::query(append).bind(&unit).fetch_one(&mut log).await.unwrap();
        appended.send((row.get(0), unit, requests)).unwrap();
    }
    drop(appended);
    (follower.await.unwrap(), 0)
}

/// Appends only behind what it has applied.
async fn compare_and_append(
    url: &str,
    mut inbox: mpsc::UnboundedReceiver<Request>,
) -> (Applied, u64) {
    let mut log = PgConnection::connect(url).await.unwrap();
    let mut applied = Applied::default();
    let mut n_conflicts = 0;
    let append = "WITH head AS (UPDATE head SET seq = seq + 1 WHERE seq = $2 RETURNING seq) \
                  INSERT INTO units SELECT seq, $1 FROM head RETURNING seq";
    loop {
        let mut requests = gather(&mut inbox).await;
        if requests.is_empty() {
            break;
        }
        loop {
            let mut fresh = Vec::new();
            for request in requests {
                let is_in_unit = fresh.iter().any(|one: &Request| one.key == request.key);
                if is_in_unit || applied.keys.contains_key(&request.key) {
                    request.answer.send(false).unwrap();
                } else {
                    fresh.push(request);
                }
            }
            if fresh.is_empty() {
                break;
            }
            let unit = unit_of(fresh.iter());
            let ask = sqlx::query(append).bind(&unit).bind(applied.seq);
            if let Some(row) = ask.fetch_optional(&mut log).await.unwrap() {
                applied.apply(row.get(0), &unit);
                for request in fresh {
                    request.answer.send(true).unwrap();
                }
                break;
            }
            n_conflicts += 1;
            applied.catch_up(&mut log, i64::MAX).await;
            requests = fresh;
        }
    }
    (applied, n_conflicts)
}

/// What one run showed.
struct Figures {
    events_per_second: f64,
    units_per_second: f64,
    p50: Duration,
    p99: Duration,
    conflicts_per_unit: f64,
}

async fn run(url: &str, way: Way, seconds: u64) -> Figures {
    let mut control = PgConnection::connect(url).await.unwrap();
    for step in [
        "DROP TABLE IF EXISTS head, units",
        "CREATE TABLE head (seq bigint NOT NULL)",
        "INSERT INTO head VALUES (0)",
        "CREATE TABLE units (seq bigint PRIMARY KEY, body bytea NOT NULL)",
        "ALTER TABLE units ALTER body SET STORAGE EXTERNAL",
        "CHECKPOINT",
    ] {
        sqlx::query(step).execute(&mut control).await.unwrap();
    }
    let (ends, keys) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (mut nodes, mut clients) = (Vec::new(), Vec::new());
    for _node in 0..NODES {
        let (inbox, requests) = mpsc::unbounded_channel();
        let url = url.to_owned();
        nodes.push(tokio::spawn(async move {
            match way {
                Way::DecideAtApply => decide_at_apply(&url, requests).await,
                Way::CompareAndAppend => compare_and_append(&url, requests).await,
            }
        }));
        for _client in 0..CLIENTS {
            clients.push(tokio::spawn(client(inbox.clone(), Arc::clone(&ends), Arc::clone(&keys))));
        }
    }
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    ends.store(true, Ordering::SeqCst);
    let (mut times, mut new) = (Vec::new(), Vec::new());
    for client in clients {
        let (took, found_new) = client.await.unwrap();
        times.extend(took);
        new.extend(found_new);
    }
    let took = began.elapsed().as_secs_f64();
    let mut n_conflicts = 0;
    let head: i64 =
        sqlx::query("SELECT seq FROM head").fetch_one(&mut control).await.unwrap().get(0);
    for node in nodes {
        let (mut applied, conflicts) = node.await.unwrap();
        applied.catch_up(&mut control, i64::MAX).await;
        assert_eq!(applied.seq, head);
        assert_eq!(applied.keys.len(), new.len(), "each key was answered as new by one node, once");
        assert!(new.iter().all(|key| applied.keys.contains_key(key)), "an answered event is lost");
        n_conflicts += conflicts;
    }
    times.sort_unstable();
    Figures {
        events_per_second: times.len() as f64 / took,
        units_per_second: head as f64 / took,
        p50: times[times.len() / 2],
        p99: times[times.len() * 99 / 100],
        conflicts_per_unit: n_conflicts as f64 / head as f64,
    }
}

/// One request after the other; how long each took, and the keys that were new.
async fn client(
    inbox: mpsc::UnboundedSender<Request>,
    ends: Arc<AtomicBool>,
    keys: Arc<AtomicU64>,
) -> (Vec<Duration>, Vec<u64>) {
    let (mut times, mut new) = (Vec::new(), Vec::new());
    while !ends.load(Ordering::SeqCst) {
        let number = keys.fetch_add(1, Ordering::SeqCst);
        // A repeat has the key of the request before it, which waits for its answer as well.
        let is_repeat = number % 100 < REPEATS_PERCENT && number > 0;
        let key = if is_repeat { number - 1 } else { number };
        let (answer, answered) = oneshot::channel();
        let began = Instant::now();
        inbox.send(Request { key, answer }).unwrap_or_else(|_| panic!("the node has ended"));
        if answered.await.unwrap() {
            new.push(key);
        }
        times.push(began.elapsed());
    }
    (times, new)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let seconds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(5);
    let Some(server) = servers::Server::postgres() else { return };
    let url = server.url("postgres");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ways = [Way::DecideAtApply, Way::CompareAndAppend];
    let mut found = ways.map(|_| Vec::new());
    for _run in 0..RUNS {
        for (way, found) in ways.into_iter().zip(&mut found) {
            let figures = runtime.block_on(run(&url, way, seconds));
            println!(
                "{way:?}: {:.0} events/s, {:.0} units/s, p50 {:.1?}, p99 {:.1?}, {:.2} conflicts a unit",
                figures.events_per_second,
                figures.units_per_second,
                figures.p50,
                figures.p99,
                figures.conflicts_per_unit
            );
            found.push(figures);
        }
    }
    let [apply, compare] = found.map(|runs| {
        let of = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure).collect());
        [
            of(|one| one.events_per_second),
            of(|one| one.units_per_second),
            of(|one| one.p99.as_secs_f64()),
        ]
    });
    for (name, place) in [("events/s", 0), ("units/s", 1), ("p99", 2)] {
        println!(
            "compare and append / decide at apply, {name}: {:.2}",
            compare[place] / apply[place]
        );
    }
}
