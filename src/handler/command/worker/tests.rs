use std::io::BufRead;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use super::super::tests::{read_number, sh, wait_until_gone};
use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::event::{EventId, FailureClass, FailureKind};
use crate::handler::testing::{NOW, context, id, numbered, settings};
use crate::secret::SecretRef;

mod ends;
mod lines;

/// A worker that does what the payload, a word, says.
const OBEDIENT: &str = r#"
    echo $$ > pid
    while read -r line; do
        id=${line#*'"id":"'}; id=${id%%'"'*}
        case "$line" in
            *'"payload":"ok"'*) echo '{"id":"'$id'","ok":true}';;
            *'"payload":"chatty"'*) echo hello; echo '{"id":"'$id'","ok":true}';;
            *'"payload":"dead"'*) echo '{"id":"'$id'","dead":"no such user"}';;
            *'"payload":"later"'*) echo '{"id":"'$id'","retry_after":30}';;
            *'"payload":"silent"'*) ;;
            *'"payload":"exit"'*) echo oops >&2; exit 3;;
        esac
    done
    echo > closed"#;

struct Bench {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    handler: Box<dyn Handler>,
}

impl Bench {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(NOW));
        let context = BuildContext { clock: Arc::clone(&clock) as _, ..context(folder.path()) };
        let handler = build(script, &context);
        Self { folder, clock, handler }
    }

    async fn handle(&self, words: &[&str]) -> Result<(), Failure> {
        self.handler.handle(&batch(words)).await.map(drop)
    }

    async fn pid(&self) -> i32 {
        read_number(&self.folder.path().join("pid")).await
    }
}

/// With a time limit that a test can wait for.
fn hasty(folder: &Path) -> BuildContext {
    BuildContext {
        clock: Arc::new(SystemClock::new()),
        timeout: Duration::from_secs(3),
        ..context(folder)
    }
}

fn build(script: &str, context: &BuildContext) -> Box<dyn Handler> {
    let text = format!("{}\nmode = 'worker'", sh(script));
    settings("command", &text, &context.config_folder).build(context).unwrap()
}

fn batch(words: &[&str]) -> Vec<Delivery> {
    let delivery = |(number, word): (u64, &&str)| numbered(number, format!("\"{word}\""));
    (1..).zip(words).map(delivery).collect()
}

#[tokio::test]
async fn each_answer_leads_to_its_outcome_and_the_process_stays() {
    let bench = Bench::new(OBEDIENT);
    bench.handle(&["ok"]).await.unwrap();
    let pid = bench.pid().await;
    let failure = bench.handle(&["dead"]).await.unwrap_err();
    assert_eq!(failure, Failure::permanent("no such user"));
    let failure = bench.handle(&["later"]).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.retry_after),
        (FailureKind::Transient, Some(Duration::from_secs(30)))
    );
    bench.handle(&["chatty"]).await.unwrap();
    assert_eq!(bench.pid().await, pid);
}

/// What a batch that was not done as a whole came to, event by event.
fn each(failure: &Failure) -> Vec<(EventId, FailureKind)> {
    failure.each.iter().map(|(id, failure)| (*id, failure.kind)).collect()
}

#[tokio::test]
async fn each_answer_to_a_batch_counts_for_its_own_event() {
    let bench = Bench::new(OBEDIENT);
    bench.handle(&["ok"; 256]).await.unwrap();
    let failure = bench.handle(&["ok", "dead", "ok", "later"]).await.unwrap_err();
    assert_eq!(failure.done, [id(1), id(3)]);
    let (dead, later) = (FailureKind::Permanent, FailureKind::Transient);
    assert_eq!(each(&failure), [(id(2), dead), (id(4), later)]);
    assert_eq!(failure.each[1].1.retry_after, Some(Duration::from_secs(30)));
    assert_eq!(failure.text.as_str(), "2 of 4: no such user");
}

#[tokio::test]
async fn what_a_worker_answered_before_it_ended_or_hung_is_done() {
    let bench = Bench::new(OBEDIENT);
    let failure = bench.handle(&["ok", "dead", "exit", "ok"]).await.unwrap_err();
    assert_eq!(failure.done, [id(1)]);
    let (dead, lost) = (FailureKind::Permanent, FailureKind::Transient);
    // The one behind it was not begun.
    let waits = FailureKind::Deferred;
    assert_eq!(each(&failure), [(id(2), dead), (id(3), lost), (id(4), waits)]);

    let folder = tempfile::tempdir().unwrap();
    let context = BuildContext { timeout: Duration::from_secs(3), ..context(folder.path()) };
    let failure =
        build(OBEDIENT, &context).handle(&batch(&["ok", "silent", "ok"])).await.unwrap_err();
    assert_eq!(failure.done, [id(1), id(3)]);
    assert_eq!(each(&failure), [(id(2), lost)]);
    assert_eq!(failure.each[0].1.class, Some(FailureClass::Timeout));
}

#[tokio::test]
async fn answers_may_come_in_any_order() {
    // Answers the second line first, and the first one only then.
    let bench = Bench::new(
        r#"
        read -r one; read -r two
        for line in "$two" "$one"; do
            id=${line#*'"id":"'}; id=${id%%'"'*}
            echo '{"id":"'$id'","dead":"'$id'"}'
        done
        read -r more"#,
    );
    let (one, two) = ([numbered(1, "1")], [numbered(2, "2")]);
    let (one, two) = tokio::join!(bench.handler.handle(&one), bench.handler.handle(&two));
    assert_eq!(one.unwrap_err().text.as_str(), id(1).to_string());
    assert_eq!(two.unwrap_err().text.as_str(), id(2).to_string());
}

#[tokio::test]
async fn a_worker_that_ends_is_started_again_after_a_pause() {
    let bench = Bench::new(OBEDIENT);
    bench.handle(&["ok"]).await.unwrap();
    let failure = bench.handle(&["silent", "exit"]).await.unwrap_err();
    let (lost, waits) = (FailureKind::Transient, FailureKind::Deferred);
    assert_eq!(each(&failure), [(id(1), lost), (id(2), waits)]);
    let text = "the worker ended with exit code 3: oops";
    assert_eq!(failure.each[0].1.text.as_str(), text);
    let failure = bench.handle(&["ok"]).await.unwrap_err();
    let text = "the worker ended with exit code 3: oops; it starts again in 100ms";
    assert_eq!(failure.text.as_str(), text);
    assert_eq!(failure.retry_after, Some(Duration::from_millis(100)));
    assert_eq!(failure.kind, FailureKind::Paused, "no try is used up");
    bench.clock.advance(Duration::from_millis(100));
    bench.handle(&["ok"]).await.unwrap();
}

#[tokio::test]
async fn event_that_ends_its_worker_costs_its_neighbours_no_try() {
    let bench = Bench::new(OBEDIENT);
    let (poison, one, two) =
        ([numbered(1, "\"exit\"")], [numbered(2, "\"ok\"")], [numbered(3, "\"ok\"")]);
    let (poison, one, two) = tokio::join!(
        bench.handler.handle(&poison),
        bench.handler.handle(&one),
        bench.handler.handle(&two)
    );
    assert_eq!(poison.unwrap_err().kind, FailureKind::Transient);
    for neighbour in [one, two] {
        assert!(neighbour.unwrap_err().kind.is_wait());
    }
}

#[tokio::test]
async fn event_that_hangs_its_worker_costs_its_neighbours_no_try() {
    let folder = tempfile::tempdir().unwrap();
    let context = hasty(folder.path());
    let script = "while read -r line; do sleep 1000; done";
    let handler = build(script, &context);
    let all = ["1", "2", "3"].map(|word| numbered(word.parse().unwrap(), word));
    let calls = all.iter().map(|delivery| handler.handle(std::slice::from_ref(delivery)));
    let kinds: Vec<_> =
        join_all(calls).await.into_iter().map(|call| call.unwrap_err().kind).collect();
    let (late, waits) = (FailureKind::Transient, FailureKind::Deferred);
    assert_eq!(kinds, [late, waits, waits]);
    // In a batch as well.
    let failure = build(script, &context).handle(&all).await.unwrap_err();
    assert_eq!(each(&failure), [(id(1), late), (id(2), waits), (id(3), waits)]);
}

#[tokio::test]
async fn worker_whose_answers_are_none_is_told_what_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let context = BuildContext { timeout: Duration::from_secs(3), ..context(folder.path()) };
    let script = "while read -r line; do echo '{\"ok\":true}'; done";
    let failure = build(script, &context).handle(&batch(&["ok"])).await.unwrap_err();
    let expected = "no answer after 2s700ms of its 3s: it has printed what is no answer; one is \
                    `{\"id\":\"…\",\"ok\":true}` in a line of its own";
    assert_eq!(failure.text.as_str(), expected);
}

#[tokio::test]
async fn a_pause_begins_with_the_workers_end_and_not_when_it_is_noticed() {
    let bench = Bench::new(OBEDIENT);
    bench.handle(&["exit"]).await.unwrap_err();
    bench.clock.advance(Duration::from_secs(17));
    bench.handle(&["ok"]).await.unwrap();
}

#[tokio::test]
async fn one_worker_that_pauses_leaves_its_deliveries_to_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let context = BuildContext { clock: Arc::clone(&clock) as _, ..context(folder.path()) };
    let text = format!("{}\nmode = 'worker'\nworkers = 2", sh(OBEDIENT));
    let handler = settings("command", &text, folder.path()).build(&context).unwrap();
    handler.handle(&batch(&["exit"])).await.unwrap_err();
    for _ in 0..6 {
        handler.handle(&batch(&["ok"])).await.unwrap();
    }
    handler.handle(&batch(&["exit"])).await.unwrap_err();
    let pause = handler.handle(&batch(&["ok"])).await.unwrap_err();
    assert_eq!(pause.kind, FailureKind::Paused);
}

#[tokio::test]
async fn the_pause_doubles_until_the_worker_answers() {
    let bench = Bench::new("exit 1");
    let mut pauses = Vec::new();
    for _ in 0..11 {
        bench.handle(&["ok"]).await.unwrap_err();
        let pause = bench.handle(&["ok"]).await.unwrap_err().retry_after.unwrap();
        bench.clock.advance(pause);
        pauses.push(pause.as_millis());
    }
    let doubled = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000];
    assert_eq!(pauses, doubled);
}

#[tokio::test]
async fn a_killed_worker_loses_nothing_but_time() {
    let bench = Bench::new(OBEDIENT);
    bench.handle(&["ok"]).await.unwrap();
    let pid = rustix::process::Pid::from_raw(bench.pid().await).unwrap();
    let deliveries = batch(&["silent"]);
    let kill = async {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    };
    let (failure, ()) = tokio::join!(bench.handler.handle(&deliveries), kill);
    let failure = failure.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert!(failure.text.as_str().contains("signal: 9"), "{failure}");
    bench.handle(&["ok"]).await.unwrap_err();
    bench.clock.advance(Duration::from_millis(100));
    bench.handle(&["ok"]).await.unwrap();
}

#[tokio::test]
async fn a_dropped_handler_leaves_no_process_behind() {
    let bench = Bench::new("echo $$ > pid; sleep 1000 & sleep 1000");
    let deliveries = batch(&["ok"]);
    let pid_file = bench.folder.path().join("pid");
    let pid = tokio::select! {
        result = bench.handler.handle(&deliveries) => panic!("{result:?}"),
        pid = read_number(&pid_file) => pid,
    };
    drop(bench.handler);
    wait_until_gone(pid).await;
}

#[tokio::test]
async fn several_workers_share_the_deliveries() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "{}\nmode = 'worker'\nworkers = 3",
        sh(r#"
        while read -r line; do
            id=${line#*'"id":"'}; id=${id%%'"'*}
            echo '{"id":"'$id'","dead":"'$$'"}'
        done"#)
    );
    let handler = settings("command", &text, folder.path()).build(&context(folder.path())).unwrap();
    let mut pids = std::collections::BTreeSet::new();
    for _ in 0..6 {
        pids.insert(handler.handle(&batch(&["ok"])).await.unwrap_err().text.as_str().to_owned());
    }
    assert_eq!(pids.len(), 3);
}

/// Whether there is such a program; in CI there must be.
#[expect(clippy::print_stderr, reason = "a test that did not run has to say so")]
fn has_program(name: &str) -> bool {
    let folder = Path::new(".");
    let settings = settings("command", &format!("run = ['{name}']"), folder);
    let context = context(folder);
    let check = std::pin::pin!(settings.check_online(&context));
    let found = futures_util::FutureExt::now_or_never(check).unwrap().is_ok();
    let is_ci = SecretRef::Env("CI".to_owned()).resolve().is_ok_and(|ci| ci.expose() == b"true");
    assert!(found || !is_ci, "`{name}` is missing: install it for the tests in CI");
    if !found {
        eprintln!("skipped: there is no `{name}` here to run the example with");
    }
    found
}

async fn try_example(interpreter: &str, file: &str) {
    if !has_program(interpreter) {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples").join(file);
    let folder = tempfile::tempdir().unwrap();
    let text = format!("run = ['{interpreter}', '{}']\nmode = 'worker'", path.display());
    let handler = settings("command", &text, folder.path()).build(&context(folder.path())).unwrap();
    let good: Vec<_> = (1..=100)
        .map(|number| {
            numbered(number, r#"{"text":"<\/b> \u00e9 \ud83d\ude00","n":12345678901234567890}"#)
        })
        .collect();
    handler.handle(&good).await.unwrap();
    for number in 101..=110 {
        handler.handle(&[numbered(number, "[]")]).await.unwrap();
    }
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let odd =
        [r#"{"text":"cut \ud83d"}"#, "[NaN,1e400]", "\u{feff}{\"a\":\"\u{1}\"}", &deep, "1.10"];
    for (number, body) in (111..).zip(odd) {
        let result = handler.handle(&[numbered(number, body)]).await;
        assert_eq!(result.map(drop), Ok(()), "{body}");
    }
    let failure = handler.handle(&[numbered(200, "not JSON")]).await.unwrap_err();
    let expected = "the body is not JSON: a value expected at line 1, column 1";
    // Not what it said: that may still be of the line before.
    assert_eq!((failure.kind, failure.text.as_str()), (FailureKind::Permanent, expected));
    let too_deep = "[".repeat(100_000);
    let failure = handler.handle(&[numbered(201, too_deep)]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    handler.handle(&[numbered(202, "[]")]).await.unwrap();
    handler.close().await;
    check_answers(interpreter, &path);
}

/// Lines that no gateway writes: each is answered with the id that it begins with.
fn check_answers(interpreter: &str, example: &Path) {
    use std::io::Write;
    let ids = [1, 2, 3].map(|number| id(number).to_string());
    let deep = "[".repeat(200_000);
    let lines = format!(
        "{{\"id\":\"{}\",\"payload\":{deep}\n{{\"id\":\"{}\",\"payload\":\n{{\"id\":\"{}\",\"type\":\"t\",\"payload\":1}}\n",
        ids[0], ids[1], ids[2]
    );
    let mut command = std::process::Command::new(interpreter);
    command.arg(example).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut worker = command.spawn().unwrap();
    worker.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = worker.wait_with_output().unwrap();
    assert!(output.status.success());
    let said: Vec<serde_json::Value> =
        output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let said: Vec<_> = said.iter().map(|said| (&said["id"], said.get("dead").is_some())).collect();
    let expected = [(ids[0].as_str(), true), (ids[1].as_str(), true), (ids[2].as_str(), false)];
    for (id, is_dead) in expected {
        assert!(said.contains(&(&serde_json::json!(id), is_dead)), "{said:?}");
    }
}

#[tokio::test]
async fn the_example_in_python_works() {
    try_example("python3", "worker.py").await;
}

#[tokio::test]
async fn the_example_in_php_works() {
    try_example("php", "worker.php").await;
}

#[tokio::test]
async fn the_example_in_node_works() {
    try_example("node", "worker.mjs").await;
}
