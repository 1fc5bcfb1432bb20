//! Redrives by stages, against a real handler that fails when it is told to.

use serde_json::{Value, json};

use super::super::support::bad_server::{BadServer, status};
use super::super::support::gateway::{Folder, Gateway, http_handler, signature};
use super::super::support::program::{Served, printed, run};
use super::super::support::wire;
use super::verbs;
use crate::support::patience::{Patience, wait_until};

/// A receiver that refuses the first `n_refused`, takes `n_taken`, and refuses the next one.
fn receiver(n_refused: usize, n_taken: usize) -> BadServer {
    let refused = (0..n_refused).map(|_| status(422));
    let taken = (0..n_taken).map(|_| status(200));
    BadServer::start(refused.chain(taken).chain([status(422)]))
}

fn config(receiver: &BadServer) -> String {
    http_handler("app", "concurrency = 1", receiver)
}

fn ask(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Value {
    gateway.ask(method, &format!("/api/v1/{path}"), &body.to_string()).json()
}

/// A gateway with so many dead letters of `app`.
fn with_dead(receiver: &BadServer, n: usize) -> Gateway {
    let gateway = Gateway::with("", &config(receiver));
    for n in 0..n {
        gateway.send(format!(r#"{{"event":"comment.create","n":{n}}}"#).as_bytes()).id();
    }
    gateway.wait_for_outcomes("app", "dead", n as u64);
    gateway
}

/// Waits until a rollout stands so and nothing of it is under way.
#[track_caller]
fn wait_for(gateway: &Gateway, number: u64, state: &str) -> Value {
    let patience = Patience::new();
    loop {
        let one = ask(gateway, "GET", &format!("rollouts/{number}"), &json!({}));
        let under_way = one["let_go"].as_array().unwrap().iter();
        if one["state"] == state
            && under_way.filter(|one| one["result"] == "under_way").count() == 0
        {
            return one;
        }
        patience.look_again(format_args!("rollout {number} is {one}, not {state}"));
    }
}

fn sizes(one: &Value) -> Vec<(u64, u64)> {
    let stages = one["stages"].as_array().unwrap().iter();
    let number = |value: &Value| value.as_u64().unwrap();
    stages.map(|stage| (number(&stage["size"]), number(&stage["let_go"]))).collect()
}

#[test]
fn rollout_stops_at_the_seventh_that_fails_and_goes_on_with_one_after_the_mend() {
    let receiver = receiver(20, 6);
    let gateway = with_dead(&receiver, 20);
    let begun = ask(&gateway, "POST", "rollouts", &json!({ "handler": "app", "rate": 1000 }));
    assert_eq!((&begun["number"], &begun["matched"]), (&json!(1), &json!(20)));
    let stopped = wait_for(&gateway, 1, "stopped");
    assert_eq!(sizes(&stopped), [(1, 1), (10, 10), (9, 0)], "the third stage never began");
    assert_eq!((&stopped["delivered"], &stopped["failed"]), (&json!(10), &json!(1)));
    let why = stopped["why"].as_str().unwrap();
    assert!(why.contains("answered 422"), "{why}");
    // 20 dead letters, 10 of them delivered by now; the one that failed is one again.
    assert_eq!(ask(&gateway, "GET", "dead", &json!({})).as_array().unwrap().len(), 10);

    let resumed = ask(&gateway, "POST", "rollouts/1/resume", &json!({}));
    assert_eq!(resumed["state"], "running");
    let done = wait_for(&gateway, 1, "done");
    assert_eq!(sizes(&done), [(1, 1), (9, 9)]);
    assert_eq!(
        (&done["delivered"], &done["failed"]),
        (&json!(20), &json!(0)),
        "by its last result"
    );
    assert_eq!(ask(&gateway, "GET", "dead", &json!({})), json!([]));
    wait_until("its end is noted", || {
        ask(&gateway, "GET", "actions", &json!({}))[0]["action"] == "rollout done"
    });
    assert_eq!(gateway.ask("POST", "/api/v1/rollouts/1/pause", "").status, 409, "it has ended");
    assert_eq!(gateway.ask("GET", "/api/v1/rollouts/7", "").status, 404);

    let actions = ask(&gateway, "GET", "actions", &json!({}));
    let told: Vec<&str> =
        actions.as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    let expected =
        ["pause rollout", "rollout done", "resume rollout", "rollout stopped", "rollout"];
    assert_eq!(told, expected);
    assert_eq!(actions[3]["is_done"], false);
    assert!(actions[3]["result"].as_str().unwrap().contains("answered 422"), "{actions}");
}

#[test]
fn paused_rollout_lets_nothing_go_and_a_cancelled_one_leaves_the_rest_dead() {
    let receiver = receiver(30, 1_000);
    let gateway = with_dead(&receiver, 30);
    let none_a_second = gateway.ask("POST", "/api/v1/rollouts", r#"{"all":true,"rate":0}"#);
    assert_eq!(none_a_second.status, 400, "{}", none_a_second.text());
    // One a second: the second stage is under way for ten.
    ask(&gateway, "POST", "rollouts", &json!({ "handler": "app", "rate": 1 }));
    let overlapping = gateway.ask("POST", "/api/v1/rollouts", r#"{"all":true}"#);
    assert_eq!(overlapping.status, 409, "{}", overlapping.text());
    wait_until("a letter is delivered", || {
        ask(&gateway, "GET", "rollouts/1", &json!({}))["delivered"] != 0
    });
    assert_eq!(ask(&gateway, "POST", "rollouts/1/pause", &json!({}))["state"], "paused");
    let paused = wait_for(&gateway, 1, "paused");
    let n_let_go: u64 = sizes(&paused).iter().map(|(_, let_go)| let_go).sum();
    assert!((1..=3).contains(&n_let_go), "{paused}");
    let cancelled = ask(&gateway, "POST", "rollouts/1/cancel", &json!({}));
    assert_eq!(sizes(&cancelled), sizes(&paused), "nothing was let go meanwhile");
    assert!(cancelled["ended_at"].is_string());
    let n_dead = ask(&gateway, "GET", "dead", &json!({})).as_array().unwrap().len() as u64;
    assert_eq!(n_dead, 30 - n_let_go);
    assert_eq!(gateway.ask("POST", "/api/v1/rollouts/1/resume", "").status, 409);
}

#[test]
fn rollout_goes_on_after_a_restart_and_delivers_each_once() {
    let receiver = receiver(40, 1_000);
    let folder = Folder::new("", &config(&receiver));
    let served = Served::start(&folder);
    for n in 0..40 {
        let body = format!(r#"{{"event":"comment.create","n":{n}}}"#);
        let signed = [("X-Signature", signature(body.as_bytes()))];
        let headers = signed.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(
            wire::post(served.public(), "/hooks/hyvor", &headers, body.as_bytes()).status,
            200
        );
    }
    let n_dead = || verbs::json(&folder, &["dead", "list"]).as_array().unwrap().len();
    wait_until("40 dead letters", || n_dead() >= 40);
    let text =
        printed(&run(&folder, &["dead", "redrive", "--all", "--rollout", "--rate", "10"]), 0);
    let expected = "rollout 1 of 40 dead letters began: 1, 10, then 29\n\
                    next: gatepost rollouts show 1\n";
    assert_eq!(text, expected);
    let show = || verbs::json(&folder, &["rollouts", "show", "1"]);
    wait_until("5 letters are delivered", || show()["delivered"].as_u64().unwrap() >= 5);
    served.kill();
    let served = Served::start(&folder);
    wait_until("it is done", || show()["state"] == "done");
    let done = show();
    assert_eq!(
        (&done["delivered"], &done["failed"], &done["gone"]),
        (&json!(40), &json!(0), &json!(0))
    );
    assert_eq!(n_dead(), 0);
    let text = printed(&run(&folder, &["rollouts", "show", "1"]), 0);
    assert!(text.starts_with("rollout 1: done\n"), "{text}");
    let text = printed(&run(&folder, &["rollouts", "list"]), 0);
    assert!(text.contains("all dead letters"), "{text}");
    printed(&run(&folder, &["rollouts", "cancel", "1"]), 1);
    assert_eq!(served.stop(), Some(0));
    // At least once: what was under way when it was killed may have come twice.
    let n_requests = receiver.requests().len();
    assert!((80..=91).contains(&n_requests), "{n_requests}");
}

#[test]
fn dead_letters_are_counted_before_they_are_redriven_or_dropped() {
    let receiver = receiver(3, 1_000);
    let folder = Folder::new("", &config(&receiver));
    let served = Served::start(&folder);
    for _ in 0..3 {
        verbs::send(&folder, &served, "hyvor", "comment.create");
    }
    wait_until("3 dead letters", || {
        verbs::json(&folder, &["dead", "list"]).as_array().unwrap().len() >= 3
    });
    for (arguments, expected) in [
        (vec!["redrive"], "3 dead letters would be tried again\n"),
        (
            vec!["redrive", "--limit", "2"],
            "2 dead letters would be tried again; left out by `--limit`: 1\n",
        ),
        (vec!["redrive", "--rollout"], "3 dead letters would be tried again: 1, then 2\n"),
        (vec!["drop"], "3 dead letters would be dropped\n"),
    ] {
        let command = [&["dead"], &arguments[..], &["--handler", "app", "--dry-run"]].concat();
        assert_eq!(printed(&run(&folder, &command), 0), expected, "{command:?}");
    }
    assert_eq!(verbs::json(&folder, &["dead", "list"]).as_array().unwrap().len(), 3);
    assert_eq!(served.stop(), Some(0));
    printed(&run(&folder, &["rollouts", "list"]), 4);
    printed(&run(&folder, &["dead", "redrive", "--all", "--rollout"]), 4);
}
