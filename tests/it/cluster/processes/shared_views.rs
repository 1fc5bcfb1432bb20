//! What is shown on every gateway, wherever it happened: what was done, what was turned down, how handlers do.

use gatepost::clock::Stopwatch;
use serde_json::Value;

use super::retry::final_owner;
use super::rig::Cluster;
use super::senders::Senders;
use super::{Receiver, addresses};
use crate::support::patience::wait_until;
use crate::support::program::Served;
use crate::support::servers::Server;
use crate::support::wire;

/// Gateway and kind of each action, the oldest first.
fn actions(node: &Served) -> Vec<(String, String)> {
    let listed = node.ask("GET", "/api/v1/actions").json();
    let one = |action: &Value| {
        let text = |name: &str| action[name].as_str().unwrap_or("none").to_owned();
        (text("node"), text("action"))
    };
    listed.as_array().unwrap().iter().rev().map(one).collect()
}

fn done(all: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(node, action): &(&str, &str)| ((*node).to_owned(), (*action).to_owned());
    all.iter().map(owned).collect()
}

#[test]
fn what_is_done_on_one_gateway_is_in_the_action_log_of_all() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let [a, b] = cluster.start_pair();
    cluster.run("a", &["handlers", "pause", "app", "--reason", "a move"]);
    cluster.run("b", &["handlers", "resume", "app"]);
    let expected = done(&[("a", "pause"), ("b", "resume")]);
    for node in [&a, &b] {
        wait_until("both have both", || actions(node) == expected);
        let page = node.ask("GET", "/log").text();
        assert!(page.contains("command line on a") && page.contains("command line on b"), "{page}");
    }
    // What is done while the log is away shows at once where it was done, everywhere once the log is back, and
    // outlives the process that did it.
    cluster.server.crash();
    Cluster::wait_for_view(&a, |view| view["engine"]["up"] == false);
    cluster.run("a", &["reload"]);
    let more = done(&[("a", "pause"), ("b", "resume"), ("a", "reload")]);
    assert_eq!((actions(&a), actions(&b)), (more.clone(), expected));
    a.kill();
    let a = cluster.start("a");
    assert_eq!(actions(&a), more);
    cluster.server.restart();
    wait_until("b has it", || actions(&b) == more);
    a.kill();
    b.kill();
    let nodes = [cluster.start("a"), cluster.start("b")];
    for node in nodes {
        wait_until("it is on its disk", || actions(&node) == more);
        assert_eq!(node.stop(), Some(0));
    }
}

/// Sends what no secret has signed.
pub(super) fn send_unsigned(node: &Served, n_requests: usize) {
    let mut n_sent = 0;
    while n_sent < n_requests {
        let headers = [("X-Signature", "00"), ("Content-Type", "application/json")];
        let answer = wire::request(node.public(), "POST", "/hooks/hyvor", &headers, b"{}");
        assert!([401, 429].contains(&answer.status), "{answer:?}");
        n_sent += 1;
    }
}

#[test]
fn what_one_gateway_turns_down_is_shown_by_the_others_and_costs_the_log_little() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let nodes = cluster.start_pair();
    send_unsigned(&nodes[0], 3);
    assert_eq!(wire::request(nodes[0].public(), "POST", "/hooks/hyvr", &[], b"{}").status, 404);
    let told = || nodes[1].ask("GET", "/api/v1/cluster").json()["reports"][0].clone();
    wait_until("b was told", || told()["report"]["n_rejected"] == 3);
    wait_until("b was told", || told()["report"]["n_refused"] == 1);
    assert_eq!(told()["node"], "a");
    let page = nodes[1].ask("GET", "/rejected").text();
    for expected in
        ["On gateway a", "3 rejected requests are kept there", "/hooks/hyvr", "on machine"]
    {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let listed = cluster.run("b", &["rejected", "list"]);
    assert!(listed.contains("on gateway `a`") && listed.contains("NUMBER THERE"), "{listed}");
    let status = cluster.run("b", &["cluster", "status"]);
    assert!(status.contains("`a` keeps 3 rejected requests"), "{status}");
    assert_eq!(nodes[1].ask("GET", "/api/v1/rejected").json(), serde_json::json!([]));
    // The whole of one is there alone, which is said by whatever asks for it here.
    let number = told()["report"]["rejected"][0]["number"].as_u64().unwrap().to_string();
    for verb in ["show", "explain", "release"] {
        let said = cluster.refused("b", &["rejected", verb, &number]);
        assert!(said.contains("gateway `a` (machine ") && said.contains("/hooks/hyvor"), "{said}");
    }
    let said = cluster.run("b", &["rejected", "release", "--all", "--dry-run"]);
    assert!(said.contains("0 of 0 requests") && said.contains("`a` keeps 3"), "{said}");
    let page = nodes[1].ask("GET", &format!("/rejected/{number}"));
    assert_eq!(page.status, 404);
    assert!(page.text().contains("gateway `a` (machine "), "{}", page.text());
    cluster.run("a", &["rejected", "show", &number]);
    assert_narrowed(&cluster, &nodes);
    // A flood is told as seldom as one request: signs of life are most of what the log gets meanwhile.
    let head = || Cluster::view(&nodes[0])["head"].as_u64().unwrap();
    let (before, began) = (head(), Stopwatch::start());
    send_unsigned(&nodes[0], 1_000);
    wait_until("b is told of it", || told()["report"]["n_rejected"].as_u64() > Some(3));
    let n_seconds = began.elapsed().as_secs();
    // Two gateways give a sign of life each 0.75 s, and two reports in 10 s.
    let most = 2 * (n_seconds * 4 / 3 + 1) + 2 * (n_seconds / 10 + 1) + 20;
    let n_units = head() - before;
    assert!(n_units <= most, "{n_units} units in {n_seconds} s, at most {most}");
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}

/// What `b` shows of what `a` has turned down follows the filter, and says of what is its own that it is.
fn assert_narrowed(cluster: &Cluster<Server>, nodes: &[Served; 2]) {
    let page = |path: &str| nodes[1].ask("GET", path).text();
    let narrowed = page("/rejected?source=hyvor");
    assert!(narrowed.contains("On gateway a") && !narrowed.contains("/hooks/hyvr"), "{narrowed}");
    let narrowed = page("/rejected?source=another");
    assert!(!narrowed.contains("On gateway a"), "{narrowed}");
    let answer = wire::request(nodes[0].public(), "PUT", "/hooks/hyvor", &[], b"{}");
    assert_eq!(answer.status, 405);
    wait_until("b is told for which source", || {
        page("/rejected?source=hyvor").contains("not a method that the source takes")
    });
    let headers = [("X-Forwarded-For", "192.0.2.7"), ("X-Signature", "00")];
    wire::request(nodes[1].public(), "POST", "/hooks/hyvor", &headers, b"{}");
    let said = cluster.run("b", &["status"]);
    assert!(said.contains("on this gateway: proxy 127.0.0.1"), "{said}");
    let source = page("/sources/hyvor");
    assert!(source.contains("of those that are kept on gateway b"), "{source}");
    assert!(page("/").contains("acknowledged on gateway b"), "{}", page("/"));
}

#[test]
fn how_a_handler_does_is_known_on_the_gateway_that_does_not_call_it() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::on_nats(&receiver) else { return };
    let nodes = cluster.start_pair();
    // One that takes a handler over knows of no call yet.
    let owner = final_owner(&nodes);
    receiver.fail(true);
    let senders = Senders::start(&addresses(&nodes), 1);
    senders.wait_for(1);
    let acknowledged = senders.stop();
    let other = &nodes[usize::from(owner == "a")];
    let view = || other.ask("GET", "/api/v1/handlers").json()[0].clone();
    let has_error = || view()["last_error"]["text"].as_str().is_some_and(|it| it.contains("503"));
    wait_until("the other one knows the error", has_error);
    assert!(view()["reported_by"]["node"].is_string(), "{}", view());
    let page = other.ask("GET", "/handlers/app").text();
    assert!(page.contains("503") && page.contains("delivers to it, and told this"), "{page}");
    receiver.fail(false);
    cluster.run("a", &["handlers", "retry", "app"]);
    receiver.wait_for(&acknowledged);
    wait_until("it knows that it is well again", || view()["failing_since"].is_null());
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}
