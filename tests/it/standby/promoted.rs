//! The machine burns: nothing that was acknowledged is lost.

use std::collections::HashSet;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::process::{StandbyProcess, WAITS, waiting_folder};
use crate::crash::load::{Acknowledged, Load};
use crate::support::gateway::{Folder, signature};
use crate::support::patience::{Patience, wait_until};
use crate::support::program::{self, Served, printed};
use crate::support::proxy::{Direction, Proxy, Upstream};
use crate::support::wire;

/// Promotes the copy in the folder's `data`, as JSON says it.
fn promote(folder: &Folder) -> serde_json::Value {
    let text = printed(&program::run(folder, &["standby", "promote", "--json"]), 0);
    serde_json::from_str(&text).unwrap()
}

/// The ids of all events that a gateway has.
pub(super) fn ids(folder: &Folder) -> HashSet<String> {
    let text = printed(&program::run(folder, &["queue", "export"]), 0);
    let events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    events.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
pub(super) fn assert_all_there(folder: &Folder, acknowledged: &Acknowledged) {
    let there = ids(folder);
    let lost: Vec<&String> = acknowledged.keys().filter(|id| !there.contains(*id)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
}

#[test]
fn nothing_acknowledged_is_lost_when_the_machine_burns() {
    let mut random = StdRng::seed_from_u64(11);
    for seed in 0..3 {
        let (gateway, second) = (waiting_folder(), Folder::new("", WAITS));
        let served = Served::start(&gateway);
        let data = second.path().join("data");
        let mut standby = StandbyProcess::start(&gateway, served.admin(), &data);
        standby.wait_until_complete();
        let load = Load::start(served.public(), seed, 20_000);
        load.wait_for(random.random_range(100..900));
        served.kill();
        let delivered = gateway.path().join("data/events.jsonl");
        let before = std::fs::read_to_string(delivered).unwrap_or_default();
        std::fs::remove_dir_all(gateway.path().join("data")).unwrap();
        let acknowledged = load.stop();
        standby.kill();
        // Nobody serves from it before that.
        let refused = program::run(&second, &["serve"]);
        assert_eq!(refused.status.code(), Some(1));
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains("gatepost standby promote"), "{told}");
        let promoted = promote(&second);
        assert_eq!(promoted["was_complete"], true, "{promoted}");
        assert_eq!(promoted["damage"], serde_json::json!([]), "{promoted}");
        let served = Served::start(&second);
        served.wait_until_delivered("all");
        assert_all_there(&second, &acknowledged);
        let delivered = std::fs::read_to_string(second.path().join("data/events.jsonl")).unwrap();
        for id in acknowledged.keys() {
            // By the first one, and known to be so, or by the second one.
            let is_delivered = before.contains(id.as_str()) || delivered.contains(id.as_str());
            assert!(is_delivered, "{id} is not delivered");
        }
        assert_eq!(served.stop(), Some(0));
    }
}

#[test]
fn gateway_and_standby_may_be_killed_by_turns() {
    let (gateway, second) = (Folder::new("", WAITS), Folder::new("", ""));
    let data = second.path().join("data");
    let mut acknowledged = Acknowledged::new();
    let mut random = StdRng::seed_from_u64(12);
    for kill in 0..6 {
        let served = Served::start(&gateway);
        let mut standby = StandbyProcess::start(&gateway, served.admin(), &data);
        standby.wait_for("following");
        let load = Load::start(served.public(), 100 + kill, 20_000);
        load.wait_for(random.random_range(20..200));
        if kill % 2 == 0 {
            standby.kill();
            load.wait_for(random.random_range(200..300));
        }
        served.kill();
        acknowledged.extend(load.stop());
    }
    let served = Served::start(&gateway);
    let mut standby = StandbyProcess::start(&gateway, served.admin(), &data);
    standby.wait_until_complete();
    // What it says of itself is so: all that stands in the gateway is in the copy.
    wait_until_caught_up(&served);
    standby.kill();
    assert_eq!(served.stop(), Some(0));
    let promoted = promote(&second);
    assert_eq!(promoted["events_behind"], 0, "{promoted}");
    assert_all_there(&second, &acknowledged);
}

/// Waits until the standby's copy lacks nothing, as the gateway says.
#[track_caller]
pub(super) fn wait_until_caught_up(served: &Served) {
    let patience = Patience::new();
    loop {
        let status = served.ask("GET", "/api/v1/status").json();
        let standby = &status["standby"];
        if standby["connected"] == true && standby["lag"]["bytes"] == 0 {
            return;
        }
        patience.look_again(format_args!("the standby is {standby}"));
    }
}

#[test]
fn what_was_settled_is_not_delivered_again_by_the_promoted_gateway() {
    let (gateway, second) = (Folder::new("", WAITS), Folder::new("", ""));
    let served = Served::start(&gateway);
    let data = second.path().join("data");
    let mut standby = StandbyProcess::start(&gateway, served.admin(), &data);
    let load = Load::start(served.public(), 5, 2_000);
    load.wait_for(300);
    let acknowledged = load.stop();
    standby.wait_until_complete();
    served.wait_until_delivered("all");
    // By its answer all that was settled is recorded.
    assert_eq!(served.ask("POST", "/api/v1/compact").status, 200);
    wait_until_caught_up(&served);
    served.kill();
    standby.kill();
    promote(&second);
    let served = Served::start(&second);
    served.wait_until_delivered("all");
    assert_eq!(served.stop(), Some(0));
    let delivered = std::fs::read_to_string(second.path().join("data/events.jsonl"));
    assert_eq!(delivered.unwrap_or_default(), "", "all of it was delivered before");
    assert_all_there(&second, &acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_in_the_middle_of_a_segment_is_gone_on_with() {
    let (gateway, second) = (Folder::new("", WAITS), Folder::new("", ""));
    let served = Served::start(&gateway);
    let load = Load::start(served.public(), 6, 20_000);
    load.wait_for(400);
    let acknowledged = load.stop();
    let proxy = Proxy::start(Upstream::Tcp(served.admin())).await;
    for n_bytes in [1_000, 100_000, 700_000] {
        proxy.cut_after(Direction::ToClient, n_bytes);
        let data = second.path().join("data");
        let mut standby = StandbyProcess::start(&gateway, proxy.address, &data);
        standby.wait_until_complete();
        assert!(!proxy.is_uncut(Direction::ToClient), "it was cut once");
        standby.kill();
        if n_bytes < 700_000 {
            std::fs::remove_dir_all(&data).unwrap();
        }
    }
    assert_eq!(served.stop(), Some(0));
    promote(&second);
    assert_all_there(&second, &acknowledged);
}

#[test]
fn an_answer_that_the_copy_is_late_for_is_503_and_its_repeat_gets_the_first_id() {
    let gateway = waiting_folder();
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    std::fs::write(gateway.config(), text.replace("\"9s\"", "\"200ms\"")).unwrap();
    let served = Served::start(&gateway);
    let body = br#"{"event":"comment.create"}"#;
    let post = || {
        let headers = [("X-Signature", signature(body))];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        wire::post(served.public(), "/hooks/hyvor", &headers, body)
    };
    let refused = post();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let ready = served.ask("GET", "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("no standby has asked"), "{}", ready.text());
    let data = tempfile::tempdir().unwrap();
    let mut standby = StandbyProcess::start(&gateway, served.admin(), data.path());
    standby.wait_until_complete();
    let id = loop {
        // The copy has it within a moment.
        let answer = post();
        if answer.status == 200 {
            break answer.id();
        }
        assert_eq!(answer.status, 503, "{answer:?}");
    };
    let events = served.ask("GET", "/api/v1/events?source=hyvor").json();
    assert_eq!(events.as_array().unwrap().len(), 1, "stored once: {events}");
    assert_eq!(events[0]["id"], id.as_str());
    wait_until_caught_up(&served);
    wait_until("it is ready", || served.ask("GET", "/readyz").status == 200);
    let metrics = served.ask("GET", "/metrics").text();
    for name in ["connected", "lag_seconds", "lag_bytes"] {
        let name = format!("gatepost_standby_{name}");
        assert!(metrics.lines().any(|line| line.starts_with(&name)), "no `{name}` in\n{metrics}");
    }
    let page = served.ask("GET", "/").text();
    assert!(page.contains("Second copy"), "{page}");
    let status = printed(&program::run(&gateway, &["status"]), 0);
    assert!(status.contains("standby: `") && status.contains("answers wait for it"), "{status}");
    standby.kill();
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_restored_copy_is_a_gateway_with_all_of_its_events() {
    let (gateway, second) = (Folder::new("", WAITS), Folder::new("", ""));
    let served = Served::start(&gateway);
    let load = Load::start(served.public(), 8, 2_000);
    load.wait_for(200);
    let acknowledged = load.stop();
    let copy = tempfile::tempdir().unwrap();
    let mut standby = StandbyProcess::start(&gateway, served.admin(), copy.path());
    standby.wait_until_complete();
    wait_until_caught_up(&served);
    let from = copy.path().to_str().unwrap();
    let in_use = program::run(&second, &["restore", "--from", from]);
    assert_eq!(in_use.status.code(), Some(1), "a standby writes into it");
    standby.kill();
    assert_eq!(served.stop(), Some(0));
    let text = printed(&program::run(&second, &["restore", "--from", from, "--verify"]), 0);
    assert!(text.contains("the copy had all that it had by then"), "{text}");
    assert!(text.contains("records read"), "{text}");
    assert_all_there(&second, &acknowledged);
    let again = program::run(&second, &["restore", "--from", from]);
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(told.contains("is not empty"), "{told}");
    assert!(Path::new(from).join("queue/standby.json").exists(), "the copy stays one");
}
