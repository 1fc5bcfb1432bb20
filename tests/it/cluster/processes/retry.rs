//! `gatepost handlers retry` on whichever gateway.

use std::time::Duration;

use gatepost::clock::Stopwatch;

use super::rig::{Cluster, LEASE};
use super::senders::{Acknowledged, LOOK_AGAIN, Senders};
use super::{Receiver, addresses};
use crate::support::program::Served;

/// How soon a delivery is tried that is to be tried at once.
const AT_ONCE: Duration = Duration::from_secs(5);

fn wait_until(what: &str, most: Duration, is_so: impl Fn() -> bool) {
    let asked = Stopwatch::start();
    while !is_so() {
        assert!(asked.elapsed() < most, "{what}: not within {most:?}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Sends events of so many keys, of which one at least fails and then waits for an hour.
fn fail_some(receiver: &Receiver, nodes: &[Served], n_keys: usize) -> Vec<Acknowledged> {
    let n_failed = receiver.n_failed();
    receiver.fail(true);
    let senders = Senders::start(&addresses(nodes), n_keys);
    senders.rest(Duration::from_millis(200));
    wait_until("a call fails", Duration::from_mins(1), || receiver.n_failed() > n_failed);
    let acknowledged = senders.stop();
    for node in nodes {
        let waiting = || node.ask("GET", "/api/v1/handlers").json()[0]["waiting"].as_u64();
        wait_until("it waits", Duration::from_mins(1), || waiting() > Some(0));
    }
    assert!(!receiver.has_all(&acknowledged));
    acknowledged
}

/// Which of the gateways has the handler: it may move when the second one joins.
pub(super) fn final_owner(nodes: &[Served]) -> String {
    let owner = || Cluster::wait_for_owner(&nodes[0], |owner| owner.is_some()).unwrap();
    let (mut found, mut since) = (owner(), Stopwatch::start());
    while since.elapsed() < LEASE {
        std::thread::sleep(LOOK_AGAIN);
        let now = owner();
        if now != found {
            (found, since) = (now, Stopwatch::start());
        }
    }
    found
}

/// Has it tried by each gateway, then by the one that is left when the other died.
fn retry_anywhere<S>(mut cluster: Cluster<S>, receiver: &Receiver) -> (Cluster<S>, Served) {
    let nodes = cluster.start_pair();
    let owner = final_owner(&nodes);
    let (owning, other) = if owner == "a" { ("a", "b") } else { ("b", "a") };
    let waits = fail_some(receiver, &nodes, 1);
    let due = || {
        let view = nodes[usize::from(owner == "b")].ask("GET", "/api/v1/handlers/app").json();
        view["next_tries"][0]["at"].as_str().map(ToOwned::to_owned)
    };
    for node in [owning, other] {
        let (n_failed, due_before) = (receiver.n_failed(), due());
        let told = cluster.run(node, &["handlers", "retry", "app"]);
        assert!(told.starts_with("`app` is tried"), "{told}");
        wait_until(node, AT_ONCE, || receiver.n_failed() > n_failed);
        // A call that is under way is not tried at once.
        wait_until("it waits again", AT_ONCE, || ![None, due_before.clone()].contains(&due()));
    }
    receiver.fail(false);
    let page = nodes[usize::from(owner == "a")].ask("GET", "/handlers/app").text();
    assert!(page.contains("/handlers/app/retry"), "the page has the button: {page}");
    cluster.run(other, &["handlers", "retry", "app"]);
    receiver.wait_for(&waits);
    // The events of the first key are known by now.
    fail_some(receiver, &nodes, 2);
    let n_received = receiver.n_received();
    let [a, b] = nodes;
    let (dying, left) = if owner == "a" { (a, b) } else { (b, a) };
    dying.kill();
    receiver.fail(false);
    cluster.run(other, &["handlers", "retry", "app"]);
    wait_until("it is taken over", LEASE + AT_ONCE, || receiver.n_received() > n_received);
    (cluster, left)
}

#[test]
fn handler_that_waits_is_tried_at_once_from_any_gateway() {
    let receiver = Receiver::start();
    let Some(cluster) = Cluster::new(&receiver) else { return };
    let (mut cluster, left) = retry_anywhere(cluster, &receiver);
    cluster.server.crash();
    let refused = || {
        let answer = left.ask("POST", "/api/v1/handlers/app/retry");
        (answer.status, answer.text().contains("the shared log is away"))
    };
    // As long as its lease is good it may deliver, and does.
    crate::support::patience::wait_until("it is refused", || refused() == (503, true));
    cluster.server.restart();
    assert_eq!(left.stop(), Some(0));
}

#[test]
fn handler_that_waits_is_tried_at_once_from_any_gateway_over_nats() {
    let receiver = Receiver::start();
    let Some(cluster) = Cluster::on_nats(&receiver) else { return };
    let (_cluster, left) = retry_anywhere(cluster, &receiver);
    assert_eq!(left.stop(), Some(0));
}
