//! Replays: counted first, paced, interrupted and gone on with.

use std::collections::HashMap;
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, command, printed, run};
use super::verbs::{REFUSING, delivered, json, lines};

fn send_many(folder: &Folder, served: &Served, count: usize) -> Vec<String> {
    let sent = (0..count).map(|n| {
        std::fs::write(folder.path().join("body.json"), format!(r#"{{"n":{n}}}"#)).unwrap();
        let url = format!("{}/hooks/hyvor", served.url);
        let said = ["send", "hyvor", "comment.create", "--url", &url, "--body", "body.json"];
        json(folder, &said)["id"].as_str().unwrap().to_owned()
    });
    let ids = sent.collect();
    delivered(folder, count);
    ids
}

/// Begins a replay, waits until `count` lines are there, and interrupts it.
fn interrupted(folder: &Folder, said: &[&str], count: usize) -> Output {
    let mut child = command(folder, said);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    delivered(folder, count);
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    child.wait_with_output().unwrap()
}

/// How often each event was delivered.
fn times(events: &[Value]) -> HashMap<&str, usize> {
    let mut times = HashMap::new();
    for event in events {
        *times.entry(event["id"].as_str().unwrap()).or_default() += 1;
    }
    times
}

#[test]
fn an_interrupted_replay_goes_on_where_it_stopped_also_after_a_restart_of_the_gateway() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let ids = send_many(&folder, &served, 12);
    let replay = ["events", "replay", "--source", "hyvor", "--rate", "4"];
    let output = interrupted(&folder, &replay, 12 + 3);
    printed(&output, 1);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("the same command goes on"), "{told}");

    assert_eq!(served.stop(), Some(0));
    let served = Served::start(&folder);
    let dry = json(&folder, &["events", "replay", "--source", "hyvor", "--dry-run"]);
    let rest = dry["count"].as_u64().unwrap();
    assert!((1..=9).contains(&rest), "{rest} are left");
    // Another command is another replay.
    let all = json(&folder, &["events", "replay", "--dry-run"]);
    assert_eq!((&all["count"], &all["deliveries"]), (&12.into(), &12.into()));

    let replay = ["events", "replay", "--source", "hyvor", "--rate", "1000"];
    assert_eq!(json(&folder, &replay)["count"], 12, "with those that were done before");
    let events = delivered(&folder, 24);
    assert_eq!(times(&events), ids.iter().map(|id| (id.as_str(), 2)).collect());
    // It is done: the next one begins anew.
    assert_eq!(json(&folder, &[&replay[..], &["--dry-run"]].concat())["count"], 12);
    let left = std::fs::read_dir(folder.path().join("data")).unwrap();
    let left = left.filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("replay-")
    });
    assert_eq!(left.count(), 0);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_replay_waits_for_a_gateway_that_is_restarted_meanwhile() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let ids = send_many(&folder, &served, 10);
    let mut replay = command(&folder, &["events", "replay", "--rate", "5", "--json"]);
    let replay = replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    delivered(&folder, 10 + 2);
    assert_eq!(served.stop(), Some(0));
    let served = Served::start(&folder);
    let output = replay.wait_with_output().unwrap();
    let answer: Value = serde_json::from_str(&printed(&output, 0)).unwrap();
    assert_eq!(answer["count"], 10);
    // A page that was under way may have been done twice, none is left out.
    loop {
        let events = delivered(&folder, 20);
        let times = times(&events);
        if ids.iter().all(|id| times[id.as_str()] >= 2) {
            break;
        }
    }
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_replay_is_narrowed_by_time_type_and_handler_and_can_begin_anew() {
    let folder = Folder::new("", REFUSING);
    let served = Served::start(&folder);
    send_many(&folder, &served, 3);
    lines(&folder, "data/alerts.jsonl", 3);
    let count = |said: &[&str]| {
        let said = [&["events", "replay", "--dry-run"], said].concat();
        let answer = json(&folder, &said);
        (answer["count"].as_u64().unwrap(), answer["deliveries"].as_u64().unwrap())
    };
    assert_eq!(count(&["--source", "hyvor"]), (3, 9));
    assert_eq!(count(&["--source", "hyvor", "--handler", "all"]), (3, 3));
    assert_eq!(count(&["--type", "dead_*", "--handler", "alerts"]), (3, 3));
    assert_eq!(count(&["--until", "1h"]), (0, 0));
    assert_eq!(count(&["--since", "1h", "--source", "hyvor", "--after", "1"]).0, 2);
    printed(&run(&folder, &["events", "replay", "--handler", "nobody"]), 1);

    let replay = ["events", "replay", "--source", "hyvor", "--handler", "all", "--rate", "2"];
    interrupted(&folder, &replay, 4);
    let anew = json(&folder, &[&replay[..6], &["--restart"]].concat());
    assert_eq!(anew["count"], 3);
    assert_eq!(served.stop(), Some(0));
    // Without a server the store takes it, and the next start delivers.
    let n_before = delivered(&folder, 0).len();
    assert_eq!(json(&folder, &["events", "replay", "--handler", "all"])["count"], 6);
    let served = Served::start(&folder);
    delivered(&folder, n_before + 3);
    assert_eq!(served.stop(), Some(0));
}
