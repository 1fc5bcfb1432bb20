//! What each verb prints, against a running gateway and without one, when it does what it is told and when
//! it cannot. What differs from run to run (ids, times, ports, sizes on disk) has a word in its place.

use std::fmt::Write;
use std::sync::LazyLock;

use regex_lite::Regex;

use super::super::support::bad_server::{BadServer, status};
use super::super::support::gateway::{Folder, http_handler, signature};
use super::super::support::program::{Served, run};
use super::super::support::wire;

/// What is of one run only, and the word in its place.
static OF_THIS_RUN: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let figures = "answered_after_micros|bytes|disk_free|disk_max|lag_bytes|duration_ms|oldest_pending_seconds|records";
    let patterns = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}".to_owned(), "ID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z".to_owned(), "TIME"),
        (r"127\.0\.0\.1:\d+".to_owned(), "ADDRESS"),
        (r"\b[0-9a-f]{40,}\b".to_owned(), "HEX"),
        ("\"gateway\":\"[0-9a-f]{32}\"".to_owned(), "\"gateway\":\"HEX\""),
        ("\"key\":\"[0-9a-f]{32}\"".to_owned(), "\"key\":\"HEX\""),
        (r"-[0-9a-f]{12}\.event".to_owned(), "-HEX.event"),
        (r"(\d+(\.\d+)? (µs|ms|s|min|h)|just now)( ago)?\b".to_owned(), "SPAN"),
        (r"\d+(\.\d+)? (B|kB|MB|GB)\b( of \d+ GB)?".to_owned(), "SIZE"),
        (r"\d+ records".to_owned(), "N records"),
        (format!("\"({figures})\":\\d+"), "\"$1\":N"),
        (r"\b1[78]\d{8}(\d{3})?\b".to_owned(), "UNIX"),
        ("\"id\":\\d{9}".to_owned(), "\"id\":SAMPLE"),
        ("  +".to_owned(), "  "),
        // Of the last full minute: one may be over since what it counts, or not.
        (r"\d+\.\d events a second".to_owned(), "RATE events a second"),
        (r"(?m)^((all|app)  .*  \d/\d)  \d+  \d+  ".to_owned(), "$1  RATE  RATE  "),
        (r"(?m)^(hyvor  hyvor-talk|userecho  userecho)  \d+((  \d+){3})$".to_owned(), "$1  RATE$2"),
    ];
    patterns.map(|(pattern, word)| (Regex::new(&pattern).unwrap(), word)).to_vec()
});

/// This version, and no part of an address (`192.0.2.0/24` has 0.2.0 in it).
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION").replace('.', r"\.");
    Regex::new(&format!(r"(^|[^0-9.]){version}([^0-9.]|$)")).unwrap()
});

#[test]
fn version_is_redacted_and_no_part_of_an_address_is() {
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("{version}\n\"{version}\" 19{version}/24 192.{version} {version}.1");
    let expected = format!("VERSION\n\"VERSION\" 19{version}/24 192.{version} {version}.1");
    assert_eq!(VERSION.replace_all(&text, "${1}VERSION$2"), expected);
}

pub(super) fn redacted(text: &str, folder: &Folder) -> String {
    let text = text.replace(&folder.path().display().to_string(), "FOLDER");
    let text = text.replace(&std::env::temp_dir().display().to_string(), "TMP");
    let text = VERSION.replace_all(&text, "${1}VERSION$2").into_owned();
    let replaced = OF_THIS_RUN
        .iter()
        .fold(text, |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned());
    replaced.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

/// What each of `commands` prints: `$` before the command, `!` before lines on standard error, and the exit
/// code where it is not 0. Lines of the log are left out: what they say of the sandbox depends on the
/// kernel.
pub(crate) fn transcript(folder: &Folder, commands: &[&str]) -> String {
    let mut text = String::new();
    for command in commands {
        let arguments: Vec<&str> = command.split(' ').collect();
        let output = run(folder, &arguments);
        let (told, said) =
            (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        writeln!(text, "$ gatepost {command}").unwrap();
        text.push_str(&said);
        let told = told.lines().filter(|line| !line.contains(" INFO ") && !line.contains(" WARN "));
        told.for_each(|line| writeln!(text, "! {line}").unwrap());
        match output.status.code() {
            Some(0) => {}
            code => writeln!(text, "[{}]", code.unwrap_or(-1)).unwrap(),
        }
        text.push('\n');
    }
    redacted(&text, folder)
}

/// Two events, of which a handler gave one up, and a request that was rejected.
pub(super) struct World {
    pub(super) folder: Folder,
    pub(super) served: Served,
    _receiver: BadServer,
    pub(super) ids: [String; 2],
}

pub(super) fn world() -> World {
    let receiver = BadServer::start([status(422)]);
    let folder = Folder::new("", &http_handler("app", "concurrency = 1", &receiver));
    let served = Served::start(&folder);
    let send = |n: u32| {
        let body = format!(r#"{{"event":"comment.create","data":{{"comment":{{"id":{n}}}}}}}"#);
        let headers = [("X-Signature", &*signature(body.as_bytes()))];
        let id = wire::post(served.public(), "/hooks/hyvor", &headers, body.as_bytes()).id();
        served.wait_until_delivered("app");
        served.wait_until_delivered("all");
        id
    };
    let first = send(1);
    // What Gatepost says of the dead letter has a place in the log as well.
    while served.ask("GET", "/api/v1/events?source=gatepost").json() == serde_json::json!([]) {}
    let ids = [first, send(2)];
    let answer = wire::post(served.public(), "/hooks/hyvor", &[("X-Signature", "00")], b"{}");
    assert_eq!(answer.status, 401);
    World { folder, served, _receiver: receiver, ids }
}

#[test]
fn verbs_of_events_print_this() {
    let World { folder, served, ids: [first, second], .. } = world();
    std::fs::write(folder.path().join("edited.json"), r#"{"event":"comment.update"}"#).unwrap();
    let commands = [
        "events list --source hyvor",
        "events list --source hyvor --search data.comment.id:2 --json",
        "events list --handler app --state dead",
        "events list --state nonsense",
        "events list --search has:nothing",
        "events list --handler nobody",
        "events list --source hyvr --json",
        "events replay --source elsewhere",
        "events replay --handler ap",
        &format!("events show {first}"),
        &format!("events show {first} --raw"),
        &format!("events show {second} --json"),
        "events show 01a21bd1-20ac-7000-8564-87eb927273ab",
        "events show nonsense",
        &format!("events save {second} --to saved"),
        &format!("events replay {second} --dry-run"),
        &format!("events replay {second}"),
        "events replay --source hyvor --dry-run --json",
        &format!("events edit {first} --body edited.json --dry-run"),
        &format!("events edit {first} --body edited.json --dry-run --json"),
        &format!("events edit {first} --body nothing.json"),
        "events replay",
    ];
    let text = transcript(&folder, &commands);
    assert_eq!(served.stop(), Some(0));
    insta::assert_snapshot!(text);
}

#[test]
fn verbs_of_dead_letters_and_rollouts_print_this() {
    let World { folder, served, ids: [first, _], .. } = world();
    let commands = [
        "dead list",
        "dead list --json",
        "dead list --handler nobody",
        &format!("dead show {first}"),
        "dead show 01a21bd1-20ac-7000-8564-87eb927273ab",
        "dead redrive --handler app --dry-run",
        "dead redrive --handler nobody --dry-run --json",
        "dead redrive",
        "dead redrive --handler app --rollout",
    ];
    let mut text = transcript(&folder, &commands);
    // The rollout is done once its one letter is.
    while !String::from_utf8_lossy(&run(&folder, &["rollouts", "list"]).stdout).contains("done") {}
    let commands = [
        "rollouts list",
        "rollouts show 1",
        "rollouts show 1 --json",
        "rollouts show 7",
        "rollouts pause 1",
        "rollouts resume 1",
        "rollouts cancel 1",
        "dead drop --all --json",
        "dead list",
    ];
    text.push_str(&transcript(&folder, &commands));
    assert_eq!(served.stop(), Some(0));
    insta::assert_snapshot!(text);
}

#[test]
fn verbs_of_handlers_and_rejected_requests_print_this() {
    let World { folder, served, .. } = world();
    let commands = [
        "handlers list",
        "handlers pause app --for 1h --reason lunch",
        "handlers pause app --for 1h --reason lunch --json",
        "handlers list --json",
        "handlers resume app",
        "handlers resume app",
        "handlers resume nobody",
        "handlers retry app",
        "handlers forget app",
        "handlers forget nobody",
        "handlers try app --sample hyvor comment.create",
        "handlers try nobody",
        "rejected list",
        "rejected list --json",
        "rejected show 1",
        "rejected show 7",
        "rejected explain 1",
        "rejected explain 1 --json",
        "rejected release 1",
        "rejected release --all --dry-run --json",
        "rejected release",
    ];
    let text = transcript(&folder, &commands);
    assert_eq!(served.stop(), Some(0));
    insta::assert_snapshot!(text);
}

#[test]
fn verbs_of_the_gateway_print_this() {
    let World { folder, served, .. } = world();
    let url = format!("{}/hooks/userecho", served.url);
    let commands = [
        "check",
        "check --json",
        "check --diff",
        "check --diff --json",
        "status",
        "status --json",
        "status --ready",
        "top --once",
        "reload",
        "reload --json",
        &format!("send userecho topic.created --url {url}"),
        "send nobody comment.create",
        &format!("send userecho topic.created --url {}/hooks/nobody", served.url),
        "queue check",
        "queue check --json",
        "queue compact",
        "queue import nowhere.jsonl",
        "test",
        "cluster status",
        "cluster status --json",
    ];
    let text = transcript(&folder, &commands);
    assert_eq!(served.stop(), Some(0));
    insta::assert_snapshot!(text);
}

#[test]
fn verbs_print_this_where_no_gateway_runs() {
    let World { folder, served, ids: [first, _], .. } = world();
    let fresh = Folder::new("", "");
    let commands = ["status", "events list", "dead list --json", "queue check", "handlers list"];
    let mut text = transcript(&fresh, &commands);
    assert_eq!(served.stop(), Some(0));
    let commands = [
        "status",
        "status --ready",
        "top --once",
        "reload",
        "events list --source hyvor",
        &format!("events show {first}"),
        "dead list",
        "dead drop --handler app --json",
        "handlers list",
        "handlers pause app",
        "handlers retry app",
        "rollouts list",
        "rejected list",
        "rejected explain 1",
        "rejected release 1",
        "queue check",
        "queue compact --json",
        "send hyvor comment.create --url http://127.0.0.1:1/",
        "standby promote --data nowhere",
        "restore --from nowhere --data made",
        "status --config nowhere.toml",
    ];
    text.push_str(&transcript(&folder, &commands));
    insta::assert_snapshot!(text);
}
