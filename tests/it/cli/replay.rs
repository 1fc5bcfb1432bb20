//! Replays: counted first, paced, interrupted and gone on with.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::super::support::gateway::{Folder, signature};
use super::super::support::program::{Served, command, printed, run};
use super::super::support::wire;
use super::verbs::{REFUSING, delivered, json, lines, send};
use crate::support::patience::wait_until;

/// So many events that a replay of one a second is never done before the test is.
const MANY: usize = 40;

fn send_many(folder: &Folder, served: &Served, count: usize) -> Vec<String> {
    let sent = (0..count).map(|n| {
        let body = format!(r#"{{"n":{n}}}"#).into_bytes();
        let headers = [("X-Signature", &*signature(&body))];
        wire::post(served.public(), "/hooks/hyvor", &headers, &body).id()
    });
    let ids = sent.collect();
    delivered(folder, count);
    ids
}

fn begun(folder: &Folder, said: &[&str]) -> Child {
    let mut command = command(folder, said);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn interrupt(child: &Child) {
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
}

/// Asserts that it was interrupted, and says so.
#[track_caller]
fn assert_stopped(output: &Output) {
    printed(output, 1);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("the same command goes on"), "{told}");
}

/// Begins a replay, waits until `count` lines are there, and interrupts it.
fn interrupted(folder: &Folder, said: &[&str], count: usize) {
    let child = begun(folder, said);
    delivered(folder, count);
    interrupt(&child);
    assert_stopped(&child.wait_with_output().unwrap());
}

/// Begins a replay of one a second, lets it do some of it, and stops the gateway. It is waited for
/// once this returns.
fn left_alone(folder: &Folder, served: Served, said: &[&str]) -> Child {
    let n_before = delivered(folder, 0).len();
    let mut child = begun(folder, said);
    delivered(folder, n_before + 1);
    assert_eq!(served.stop(), Some(0));
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("; waiting for it") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "it ended");
    }
    child.stderr = Some(told.into_inner());
    child
}

/// How often each event was delivered.
fn times(events: &[Value]) -> HashMap<&str, usize> {
    let mut times = HashMap::new();
    for event in events {
        *times.entry(event["id"].as_str().unwrap()).or_default() += 1;
    }
    times
}

/// Waits until each event was delivered so often; says how many deliveries that made.
fn each_delivered(folder: &Folder, ids: &[String], count: usize) -> usize {
    loop {
        let events = delivered(folder, ids.len() * count);
        let times = times(&events);
        if ids.iter().all(|id| times.get(id.as_str()).is_some_and(|found| *found >= count)) {
            return events.len();
        }
    }
}

/// Where replays that were interrupted are remembered.
fn remembered(folder: &Folder) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.path().join("data")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let is_ours =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("replay-");
    files.filter(is_ours).collect()
}

#[test]
fn an_interrupted_replay_goes_on_where_it_stopped_also_after_a_restart_of_the_gateway() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let ids = send_many(&folder, &served, MANY);
    let replay = ["events", "replay", "--source", "hyvor", "--rate", "1"];
    interrupted(&folder, &replay, MANY + 2);

    assert_eq!(served.stop(), Some(0));
    let served = Served::start(&folder);
    let dry = json(&folder, &["events", "replay", "--source", "hyvor", "--dry-run"]);
    let rest = dry["count"].as_u64().unwrap();
    assert!((1..MANY as u64).contains(&rest), "{rest} are left");
    // Another command is another replay.
    let all = json(&folder, &["events", "replay", "--all", "--dry-run"]);
    assert_eq!((&all["count"], &all["deliveries"]), (&MANY.into(), &MANY.into()));

    let replay = ["events", "replay", "--source", "hyvor", "--rate", "1000"];
    assert_eq!(json(&folder, &replay)["count"], MANY, "with those that were done before");
    let n_delivered = each_delivered(&folder, &ids, 2);
    assert!(n_delivered <= 2 * MANY + 1, "one page was under way at most: {n_delivered}");
    // It is done: the next one begins anew.
    assert_eq!(json(&folder, &[&replay[..], &["--dry-run"]].concat())["count"], MANY);
    assert_eq!(remembered(&folder), <[PathBuf; 0]>::default());
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_replay_waits_for_a_gateway_that_is_restarted_meanwhile() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let ids = send_many(&folder, &served, MANY);
    let child = left_alone(&folder, served, &["events", "replay", "--all", "--rate", "1"]);
    let n_before = delivered(&folder, 0).len();
    let served = Served::start(&folder);
    // One may have been on its way before; two are its going on.
    delivered(&folder, n_before + 2);
    interrupt(&child);
    assert_stopped(&child.wait_with_output().unwrap());

    let replay = ["events", "replay", "--all", "--rate", "1000"];
    assert_eq!(json(&folder, &replay)["count"], MANY);
    // A page that was under way may have been done twice, none is left out.
    each_delivered(&folder, &ids, 2);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_replay_that_waits_for_the_gateway_can_be_interrupted() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    send_many(&folder, &served, MANY);
    let child = left_alone(&folder, served, &["events", "replay", "--all", "--rate", "1"]);
    interrupt(&child);
    assert_stopped(&child.wait_with_output().unwrap());
    assert_eq!(remembered(&folder).len(), 1);
}

#[test]
fn a_replay_begins_anew_where_that_is_wanted_and_must_where_its_time_has_moved_on() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let ids = send_many(&folder, &served, MANY);
    let replay = ["events", "replay", "--since", "2h", "--handler", "all"];
    interrupted(&folder, &[&replay[..], &["--rate", "1"]].concat(), MANY + 2);
    let dry_run = [&replay[..], &["--dry-run"]].concat();
    let rest = json(&folder, &dry_run)["count"].as_u64().unwrap();
    assert!(rest < MANY as u64, "two hours ago is still about the same: {rest}");

    // As if that had been days ago.
    let file = remembered(&folder).remove(0);
    let mut progress: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(progress["range"]["since"].is_string(), "{progress}");
    progress["range"]["since"] = "2026-01-02T03:04:05Z".into();
    std::fs::write(&file, progress.to_string()).unwrap();
    for said in [&replay[..], &dry_run] {
        let output = run(&folder, said);
        printed(&output, 1);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("begin anew with `--restart`"), "{told}");
    }

    served.wait_until_delivered("all");
    let n_before = delivered(&folder, 0).len();
    assert!(n_before >= MANY + 2, "{n_before}");
    let anew = json(&folder, &[&replay[..], &["--restart"]].concat());
    assert_eq!((&anew["count"], &anew["deliveries"]), (&MANY.into(), &MANY.into()));
    let events = delivered(&folder, n_before + MANY);
    served.wait_until_delivered("all");
    assert_eq!(delivered(&folder, 0).len(), n_before + MANY);
    assert!(times(&events)[ids[0].as_str()] >= 3, "it was done, and once more");
    assert_eq!(remembered(&folder), <[PathBuf; 0]>::default());
    assert_eq!(served.stop(), Some(0));
}

/// Answers on the admin socket, one request after the other.
fn answering(folder: &Folder, answers: Vec<(&'static str, &'static str)>) -> JoinHandle<()> {
    std::fs::create_dir_all(folder.path().join("data")).unwrap();
    let listener = UnixListener::bind(folder.path().join("data/admin.sock")).unwrap();
    std::thread::spawn(move || {
        for (status, body) in answers {
            // Whoever only looks whether somebody is there says nothing.
            while !answered(listener.accept().unwrap().0, status, body) {}
        }
    })
}

/// `false` = nothing was asked.
fn answered(mut stream: UnixStream, status: &str, body: &str) -> bool {
    let mut asked = BufReader::new(&stream);
    let (mut n_lines, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        asked.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        n_lines += 1;
        let line = line.to_ascii_lowercase();
        length = line.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap());
    }
    asked.read_exact(&mut vec![0; length]).unwrap();
    if n_lines > 0 {
        let n_bytes = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {n_bytes}\r\nConnection: close");
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
    }
    n_lines > 0
}

const BUSY: (&str, &str) = ("503 Service Unavailable", r#"{"detail":"the queue is behind"}"#);

#[test]
fn a_store_that_cannot_just_now_is_a_failure_but_a_replay_waits_for_it() {
    let folder = Folder::new("", "");
    let server = answering(&folder, vec![BUSY]);
    let output = run(&folder, &["events", "list"]);
    printed(&output, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the queue is behind"));
    server.join().unwrap();

    std::fs::remove_file(folder.path().join("data/admin.sock")).unwrap();
    let last = ("200 OK", r#"{"queue":{"last":3}}"#);
    let page = (
        "200 OK",
        r#"{"matched":3,"done":3,"skipped":0,"failed":0,"count":3,"deliveries":3,"after":3,
        "is_last":true}"#,
    );
    let server = answering(&folder, vec![last, BUSY, page]);
    let output = run(&folder, &["events", "replay", "--all", "--json"]);
    let answer: Value = serde_json::from_str(&printed(&output, 0)).unwrap();
    assert_eq!(answer["count"], 3);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("the queue is behind; waiting for it"), "{told}");
    server.join().unwrap();
}

#[test]
fn one_event_that_nobody_gets_again_is_a_failure() {
    let folder = Folder::new("", REFUSING);
    let served = Served::start(&folder);
    let id = send_many(&folder, &served, 1).remove(0);
    let deliveries = |said: &[&str]| {
        let answer = json(&folder, &[&["events", "replay", &id], said].concat());
        assert_eq!(answer["count"], 1);
        answer["deliveries"].as_u64().unwrap()
    };
    // The third one wants Gatepost's own events only.
    assert_eq!(deliveries(&["--dry-run"]), 2);
    printed(&run(&folder, &["events", "replay", &id, "--handler", "alerts"]), 1);
    assert_eq!(deliveries(&["--handler", "all", "--dry-run"]), 1);
    assert_eq!(deliveries(&["--handler", "all"]), 1);
    delivered(&folder, 2);
    printed(&run(&folder, &["events", "replay", &id, "--handler", "nobody", "--dry-run"]), 1);

    // Not one handler is left.
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let (text, _handlers) = text.split_once("[handler.all]").unwrap();
    std::fs::write(folder.config(), text).unwrap();
    printed(&run(&folder, &["reload"]), 0);
    for handler in ["all", "refusing", "alerts"] {
        printed(&run(&folder, &["handlers", "forget", handler]), 0);
    }
    for said in [&["--dry-run"][..], &[]] {
        let output = run(&folder, &[&["events", "replay", &id], said].concat());
        printed(&output, 1);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("no handler has a place"), "{told}");
    }
    assert_eq!(served.stop(), Some(0));
}

/// Where it begins, how fast it goes and that it only counts say nothing of which events are meant,
/// and no more does a text that is empty, as that of a shell's variable that is not set.
#[test]
fn everything_to_every_handler_has_to_be_meant() {
    let folder = Folder::new("", "");
    for said in [
        &[][..],
        &["--dry-run"],
        &["--after", "0"],
        &["--after", "0", "--dry-run"],
        &["--rate", "1000"],
        &["--restart", "--dry-run"],
    ] {
        let output = run(&folder, &[&["events", "replay"], said].concat());
        printed(&output, 2);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("--all"), "{said:?}: {told}");
    }
    for empty in [["--contains", ""], ["--search", ""], ["--search", " "]] {
        for verb in ["replay", "list"] {
            let output = run(&folder, &[&["events", verb], &empty[..]].concat());
            printed(&output, 2);
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(told.contains(empty[0]), "{empty:?}: {told}");
        }
    }
    // That it would count: only a store is missing.
    printed(&run(&folder, &["events", "replay", "--all", "--after", "0", "--dry-run"]), 4);
}

#[test]
fn a_replay_is_narrowed_by_time_type_and_handler() {
    let folder = Folder::new("", REFUSING);
    let served = Served::start(&folder);
    send_many(&folder, &served, 3);
    lines(&folder, "data/alerts.jsonl", 3);
    let count = |said: &[&str]| {
        let said = [&["events", "replay", "--dry-run"], said].concat();
        let answer = json(&folder, &said);
        (answer["count"].as_u64().unwrap(), answer["deliveries"].as_u64().unwrap())
    };
    assert_eq!(count(&["--source", "hyvor"]), (3, 6));
    assert_eq!(count(&["--handler", "all"]), (3, 3));
    assert_eq!(count(&["--all", "--after", "1"]).0, 5);
    assert_eq!(count(&["--source", "hyvor", "--handler", "all"]), (3, 3));
    assert_eq!(count(&["--type", "dead_*", "--handler", "alerts"]), (3, 3));
    assert_eq!(count(&["--until", "1h"]), (0, 0));
    assert_eq!(count(&["--since", "1h", "--source", "hyvor", "--after", "1"]).0, 2);
    printed(&run(&folder, &["events", "replay", "--handler", "nobody"]), 1);

    assert_eq!(served.stop(), Some(0));
    // Without a server the store takes it, and the next start delivers.
    let n_before = delivered(&folder, 0).len();
    assert_eq!(json(&folder, &["events", "replay", "--handler", "all"])["count"], 3);
    let served = Served::start(&folder);
    delivered(&folder, n_before + 3);
    assert_eq!(served.stop(), Some(0));
}

/// A handler whose calls say that they began, and end once they are let.
const SLOW: &str = "[handler.slow]\nretry = { min = \"1h\" }\n[handler.slow.command]\n\
    run = [\"sh\", \"-c\", \"echo '\\\"called\\\"' >> said; read line < go; exit $line\"]\n";

#[test]
fn an_event_is_delivered_again_once_the_call_under_way_has_ended() {
    let folder = Folder::new("", SLOW);
    let go = folder.path().join("go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &go, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let end = |code: &str| std::fs::write(&go, format!("{code}\n")).unwrap();
    let served = Served::start(&folder);
    let id = send(&folder, &served, "hyvor", "comment.create");
    lines(&folder, "said", 1);
    let replay = ["events", "replay", &id, "--handler", "slow"];
    let left = json(&folder, &replay);
    assert_eq!((&left["deliveries"], &left["unsettled"]), (&0.into(), &1.into()), "after 10 s");
    let child = begun(&folder, &replay);
    end("0");
    let told = printed(&child.wait_with_output().unwrap(), 0);
    assert!(told.contains("1 delivery in all"), "{told}");
    lines(&folder, "said", 2);

    // It fails, and waits for an hour: that is said, and nothing is promised.
    end("1");
    let is_waiting = || {
        let deliveries = json(&folder, &["events", "show", &id])["deliveries"].clone();
        let mut deliveries = deliveries.as_array().unwrap().iter();
        deliveries.any(|one| one["handler"] == "slow" && one["state"] == "retry")
    };
    wait_until("it is waiting", is_waiting);
    let told = printed(&run(&folder, &replay), 0);
    assert!(told.contains("1 delivery is not settled yet"), "{told}");
    // Nor is it counted among those that a filter finds.
    for range in [&["--handler", "slow"][..], &["--handler", "slow", "--dry-run"]] {
        let left = json(&folder, &[&["events", "replay"], range].concat());
        let told = ["count", "deliveries", "pending"].map(|key| left[key].as_u64());
        assert_eq!(told, [Some(0), Some(0), Some(1)], "{range:?}: {left}");
    }
    assert_eq!(lines(&folder, "said", 2).len(), 2);
    assert_eq!(served.stop(), Some(0));
}
