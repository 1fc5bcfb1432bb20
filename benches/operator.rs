//! What an operator's looking costs, with a million events kept: `cargo bench --bench operator`.
//!
//! Fills a gateway over HTTP, then prints beside their bounds: memory when idle, the newest 100
//! events, a search of all bodies that finds nothing, each page's time and length, and what a
//! search and a viewer of the stream leave of the way in. The way in is an open loop: requests are
//! sent by the clock, and late ones count from when they should have been. With and without, it is
//! measured in turn. `--events N` (1,000,000), `--program FILE` measures another build, `--rounds N`
//! (3) and `--secs N` (10) say how often and for how long.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program that measures"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[path = "operator/sender.rs"]
mod sender;
#[path = "operator/viewer.rs"]
mod viewer;

use sender::{Paced, SECRET, fill, paced};
use viewer::{Admin, watch};

/// Requests a second while somebody searches, and while somebody watches.
const SEARCHED: u32 = 500;
const WATCHED: u32 = 5_000;
/// Each page is asked for so often.
const LOOKS: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map(|at| arguments[at + 1].as_str())
    };
    let number = |name: &str, usual: u64| given(name).map_or(usual, |n| n.parse().unwrap());
    let program = given("--program").unwrap_or(env!("CARGO_BIN_EXE_gatepost"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (rounds, secs) = (number("--rounds", 3), number("--secs", 10));
    println!("load average {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
    idle(program);
    let mut gateway = Gateway::start(program, folder.path());
    fill(gateway.public, number("--events", 1_000_000));
    gateway.wait_until_settled();
    newest(&gateway.admin);
    pages(&gateway.admin);
    beside_searches(&gateway, rounds, secs);
    beside_viewer(&gateway, rounds, secs);
    gateway.stop();
}

/// A gateway as it comes, some seconds after its start, before and after each page was looked at.
fn idle(program: &str) {
    for _ in 0..3 {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut gateway = Gateway::start(program, folder.path());
        std::thread::sleep(Duration::from_secs(6));
        let before = gateway.resident_mib();
        for path in gateway.admin.pages() {
            gateway.admin.get(&path);
        }
        let after = gateway.resident_mib();
        println!(
            "idle       {before:.1} MiB resident (≤ 20), {after:.1} after a look at each page"
        );
        gateway.stop();
    }
}

fn newest(admin: &Admin) {
    let mut millis: Vec<f64> =
        (0..LOOKS).map(|_| admin.get("/api/v1/events?limit=100").millis).collect();
    millis.sort_by(f64::total_cmp);
    println!(
        "newest     100 events in {:.1} ms, the slowest of {LOOKS} in {:.1} ms (≤ 100)",
        millis[LOOKS / 2],
        millis[LOOKS - 1]
    );
}

fn pages(admin: &Admin) {
    for path in admin.pages() {
        let looks: Vec<_> = (0..LOOKS).map(|_| admin.get(&path)).collect();
        let mut millis: Vec<f64> = looks.iter().map(|look| look.millis).collect();
        millis.sort_by(f64::total_cmp);
        let longest = looks.iter().map(|look| look.body.len()).max().unwrap();
        println!(
            "page       {:>6.1} ms, the slowest of {LOOKS} {:>6.1} ms (≤ 50), {:>4.1} KB (≤ 60)  {path}",
            millis[LOOKS / 2],
            millis[LOOKS - 1],
            longest as f64 / 1024.0
        );
    }
}

/// The way in alone, and while one search after the other goes through all that is kept.
fn beside_searches(gateway: &Gateway, rounds: u64, secs: u64) {
    for _ in 0..rounds {
        let alone = paced(gateway.public, SEARCHED, secs);
        let (beside, searches) = std::thread::scope(|scope| {
            let load = scope.spawn(|| paced(gateway.public, SEARCHED, secs));
            let mut searches = Vec::new();
            while !load.is_finished() {
                searches.push(search(&gateway.admin));
            }
            (load.join().unwrap(), searches)
        });
        let slowest = searches.iter().map(|(secs, _)| *secs).fold(0.0, f64::max);
        println!(
            "search     {:>8} events in {slowest:.2} s, the slowest of {} (≤ 3)",
            searches[0].1,
            searches.len()
        );
        told("in, beside", &alone, &beside, "≤ 1.5");
    }
}

/// All that is kept is looked at, page by page: how long that took, and at how many events. One whose
/// pages leave some out is not measured.
fn search(admin: &Admin) -> (f64, u64) {
    // More come in meanwhile.
    let n_all = admin.get("/api/v1/status").json()["queue"]["events"].as_u64().unwrap();
    // The last page says only that nothing is behind it: it looked at what the others left.
    let (began, mut n_looked_at, mut n_left) = (Instant::now(), 0, n_all);
    let mut path = "/api/v1/events?q=nothing-has-this-text".to_owned();
    loop {
        let answer = admin.get(&path);
        let Some(next) = answer.header("gatepost-next") else { break };
        n_looked_at += answer.header("gatepost-looked-at").unwrap().parse::<u64>().unwrap();
        n_left = next.parse::<u64>().unwrap() - 1;
        path = format!("/api/v1/events?q=nothing-has-this-text&before={next}");
    }
    let (secs, n_looked_at) = (began.elapsed().as_secs_f64(), n_looked_at + n_left);
    assert!(n_looked_at >= n_all, "{n_looked_at} of {n_all} events were looked at");
    (secs, n_looked_at)
}

/// The way in alone, and while somebody watches all of it.
fn beside_viewer(gateway: &Gateway, rounds: u64, secs: u64) {
    for _ in 0..rounds {
        let alone = paced(gateway.public, WATCHED, secs);
        let (stop, n_told) = watch(&gateway.admin);
        let beside = paced(gateway.public, WATCHED, secs);
        drop(stop);
        let n_told = n_told.join().unwrap();
        told("in, viewed", &alone, &beside, "about 1");
        println!("           the viewer was told of {n_told} events, or that they were skipped");
    }
}

fn told(what: &str, alone: &Paced, beside: &Paced, bound: &str) {
    println!(
        "{what:<10} {:.0}/s alone, {:.0}/s beside; p99 {:.2} ms, {:.2} ms: {:.2}x ({bound})",
        alone.rate,
        beside.rate,
        alone.p99_ms,
        beside.p99_ms,
        beside.p99_ms / alone.p99_ms
    );
}

/// The program with a source and a handler, on ports of the system's choice.
struct Gateway {
    child: std::process::Child,
    public: std::net::SocketAddr,
    admin: Admin,
}

impl Gateway {
    fn start(program: &str, folder: &Path) -> Self {
        use std::io::BufRead as _;
        std::fs::write(folder.join("secret"), SECRET).unwrap();
        let config = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
                      [source.hook]\nprovider = \"hyvor-talk\"\nsecrets = [{ file = \"secret\" }]\n\
                      [handler.archive.file]\npath = \"data/events.jsonl\"\n";
        std::fs::write(folder.join("config.toml"), config).unwrap();
        let mut child = Command::new(program)
            .args(["serve", "--json"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        std::io::BufReader::new(output).read_line(&mut line).unwrap();
        let banner: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = |text: &serde_json::Value| {
            let text = text.as_str().unwrap();
            text.split_once("://").map_or(text, |(_, rest)| rest).parse().unwrap()
        };
        let token = std::fs::read_to_string(folder.join("data/admin-token")).unwrap();
        let admin = Admin::new(address(&banner["admin"]), token.trim().to_owned());
        Self { child, public: address(&banner["public"][0]), admin }
    }

    /// Until the handler has all, and search knows of all.
    fn wait_until_settled(&self) {
        loop {
            let status = self.admin.get("/api/v1/status").json();
            let pending = |key: &str| status["handlers"][0][key].as_u64().unwrap();
            if pending("in_log")
                + pending("waiting")
                + status["queue"]["lag_bytes"].as_u64().unwrap()
                == 0
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
