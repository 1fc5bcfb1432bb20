//! A start while the shared log cannot be reached: senders are answered at once all the same.

use std::time::Duration;

use gatepost::clock::Stopwatch;

use super::rig::Cluster;
use super::senders::{Acknowledged, Senders};
use super::{Receiver, addresses};
use crate::support::nats::NatsServers;
use crate::support::program::Served;

/// Within this the process has begun, opened its queue and answered its first event: about a second, and more on a
/// busy machine. One that waited for the engine with each of its handlers would take 10 s.
const SOON: Duration = Duration::from_secs(5);

/// A gateway, what it has answered, and how long after its start it had done so.
pub(super) type Started = (Served, Vec<Acknowledged>, Duration);

/// Starts a gateway with several handlers.
pub(super) fn start_alone<S>(cluster: &mut Cluster<S>, receiver: &Receiver) -> Started {
    let one = |name: &str| {
        let url = receiver.url();
        format!("[handler.{name}]\nstart = \"oldest\"\n[handler.{name}.http]\nurl = \"{url}\"\n")
    };
    let handlers = ["b", "c", "d", "e"].map(one).concat() + "[handler.app]";
    let began = Stopwatch::start();
    let node = cluster.start_behind("a", ("[handler.app]", &handlers));
    let senders = Senders::start(&addresses(std::slice::from_ref(&node)), 1);
    senders.wait_for(1);
    let took = began.elapsed();
    let acknowledged = senders.stop();
    let view = Cluster::wait_for_view(&node, |view| view["spilled"] != 0);
    assert_eq!(view["engine"]["up"], false, "{view}");
    let ready = node.ask("GET", "/readyz");
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("ready")));
    let said = ready.json()["note"].clone();
    assert!(said.as_str().is_some_and(|said| said.contains("kept on this machine")), "{said}");
    // It is open on this machine, and the engine's words may name hosts, roles and files.
    let why = view["engine"]["error"].as_str().unwrap();
    assert!(!said.as_str().unwrap().contains(why), "{said}");
    let told = cluster.run("a", &["status", "--ready"]);
    assert!(told.starts_with("ready: the shared log cannot be reached"), "{told}");
    let told = cluster.run("a", &["status"]);
    assert!(told.contains("cannot be reached since"), "{told}");
    (node, acknowledged, took)
}

/// It was answered soon, and once the log is back all of it is delivered.
fn go_on_after_a_soon_answer(started: Started, receiver: &Receiver) {
    let took = started.2;
    assert!(took < SOON, "the first event was answered after {took:?}");
    go_on(started, receiver);
}

/// Once the log is back all of it is delivered.
pub(super) fn go_on((node, acknowledged, _): Started, receiver: &Receiver) {
    receiver.wait_for(&acknowledged);
    Cluster::wait_for_view(&node, |view| view["engine"]["up"] == true && view["spilled"] == 0);
    assert_eq!(node.ask("GET", "/readyz").json()["note"], serde_json::Value::Null);
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn gateway_that_starts_while_its_database_is_down_answers_at_once() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    cluster.server.crash();
    let started = start_alone(&mut cluster, &receiver);
    cluster.server.restart();
    go_on_after_a_soon_answer(started, &receiver);
}

/// Its connections are accepted, and nothing comes over them.
#[test]
fn gateway_that_starts_while_its_database_hangs_answers_at_once() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    cluster.server.freeze(true);
    let started = start_alone(&mut cluster, &receiver);
    cluster.server.freeze(false);
    go_on_after_a_soon_answer(started, &receiver);
}

#[test]
fn gateway_that_starts_while_its_stream_is_down_answers_at_once() {
    let receiver = Receiver::start();
    let Some(mut servers) = NatsServers::start(3, "") else { return };
    for index in 0..servers.len() {
        servers.crash(index);
    }
    let urls = format!("{:?}", servers.urls());
    let mut cluster = Cluster::on(servers, ("nats", &urls), &receiver);
    let started = start_alone(&mut cluster, &receiver);
    for index in 0..cluster.server.len() {
        cluster.server.restart(index);
    }
    go_on_after_a_soon_answer(started, &receiver);
}
