//! What `check` takes of an owner's time: `cargo bench --bench check` (`--events N`, 100,000).
//!
//! The program itself, over a folder as an owner has it: 20 handlers (10 write log lines, 10 send JSON
//! behind a `when`), once over all samples, and `--against` over as many recorded events where one
//! handler, and where each one, says something else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program that measures"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gatepost::clock::{Clock, SystemClock};
use gatepost::event::{DataRoot, Dedupe, EventType, Headers, NewEvent, SourceName};
use gatepost::queue::Queue;
use gatepost::queue::embedded::{EmbeddedQueue, Settings};

mod comment;

use comment::comment;

const SENDERS: usize = 64;
/// Of each measurement, the one in the middle counts.
const RUNS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let place = arguments.iter().position(|argument| argument == "--events");
    let n_events = place.map_or(100_000, |at| arguments[at + 1].parse().unwrap());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("secret"), "0123456789abcdef0123456789abcdef").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fill(folder, n_events));
    let write = |file: &str, n_changed| {
        std::fs::write(folder.join(file), configuration(n_changed)).unwrap();
    };
    write("config.toml", 0);
    let mut runs: Vec<Duration> = (0..RUNS).map(|_| check(folder, &[])).collect();
    runs.sort();
    show("check, 20 handlers, all samples", runs[RUNS / 2], Duration::from_secs(1));
    for n_changed in [1, 20] {
        write("new.toml", n_changed);
        let took = check(folder, &["--against", "7d", "new.toml"]);
        let what = format!("--against {n_events} events, {n_changed} changed");
        show(&what, took, Duration::from_secs(20));
    }
}

fn show(what: &str, took: Duration, target: Duration) {
    let verdict = if took <= target { "ok" } else { "MISSED" };
    println!("{what:<44} {:>7.2} s  ≤ {} s {verdict}", took.as_secs_f64(), target.as_secs());
}

/// How long it takes, from its start to its end.
fn check(folder: &Path, more: &[&str]) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.current_dir(folder).args(["--config", "config.toml", "check"]).args(more);
    let began = Instant::now();
    let output = command.output().unwrap();
    let took = began.elapsed();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    took
}

/// The first `n_changed` handlers say something else.
fn configuration(n_changed: usize) -> String {
    let mut text =
        "[source.hyvor]\nprovider = \"hyvor-talk\"\nsecrets = [{ file = \"secret\" }]\n".to_owned();
    for number in 0..20 {
        let word = if number < n_changed { "New" } else { "Old" };
        let head = format!("[handler.h{number}]\non = [\"hyvor:comment.*\"]\n");
        let kind = if number < 10 {
            format!(
                "[handler.h{number}.log]\nmessage = \"{word}: {{{{ data.comment.user.name }}}} on \
                 {{{{ data.comment.page.title | truncate(40) }}}}\"\n"
            )
        } else {
            format!(
                "when = \"data.comment.status == 'published'\"\n[handler.h{number}.http]\n\
                 url = \"http://127.0.0.1:9/\"\nescape = \"json\"\nbody = '{{\"say\": \"{word}\", \
                 \"id\": {{{{ data.comment.id }}}}, \"text\": {{{{ data.comment.body }}}}}}'\n"
            )
        };
        write!(text, "{head}{kind}").unwrap();
    }
    text
}

async fn fill(folder: &Path, n_events: usize) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let settings = Settings::new(folder.join("data/queue"));
    let queue = EmbeddedQueue::open(settings, Arc::clone(&clock)).unwrap();
    let mut numbers = 0..n_events;
    loop {
        let appends: Vec<_> =
            numbers.by_ref().take(SENDERS).map(|n| queue.append(event(n, &*clock))).collect();
        if appends.is_empty() {
            break;
        }
        for appended in join_all(appends).await {
            appended.unwrap();
        }
    }
    queue.close().await.unwrap();
}

fn event(number: usize, clock: &dyn Clock) -> NewEvent {
    let status = if number.is_multiple_of(4) { "spam" } else { "published" };
    NewEvent {
        source: SourceName::parse("hyvor").unwrap(),
        event_type: EventType::new("comment.create"),
        received_at: clock.now(),
        data_root: DataRoot::Data,
        is_json: true,
        headers: [("content-type", &b"application/json"[..])].into_iter().collect::<Headers>(),
        body: comment(number, status).into(),
        dedupe: Dedupe::Off,
    }
}
