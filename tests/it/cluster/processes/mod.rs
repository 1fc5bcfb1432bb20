//! Real gateways as processes on one real PostgreSQL: what senders were told holds whatever is killed,
//! paused or taken away, and each event is handled in the order of its key.

mod cut_off;
mod engine_faults;
mod failover;
mod full_disk;
mod purge;
mod receiver;
mod retry;
mod rig;
mod senders;
mod shared_counts;
mod shared_rollouts;
mod shared_views;
mod start;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use gatepost::clock::Stopwatch;

use rustix::process::Signal;

use engine_faults::wait_until_agreed;
use receiver::Receiver;
use rig::{Cluster, LEASE};
use senders::Senders;

use crate::support::patience::wait_until;
use crate::support::program::Served;

/// Where senders find them.
fn addresses(nodes: &[Served]) -> Vec<SocketAddr> {
    nodes.iter().map(Served::public).collect()
}

#[test]
fn every_event_is_handled_once_whichever_gateway_took_it_in() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let nodes = [cluster.start("a"), cluster.start("b"), cluster.start("c")];
    Cluster::wait_for_owner(&nodes[0], |owner| owner.is_some());
    let senders = Senders::start(&addresses(&nodes), 12);
    senders.wait_for(2_000);
    let acknowledged = senders.stop();
    receiver.wait_for(&acknowledged);
    receiver.assert_in_order();
    assert_eq!(receiver.n_repeated(), 0);
    for node in &nodes {
        let view = Cluster::view(node);
        assert_eq!(view["nodes"].as_array().unwrap().len(), 3, "{view}");
        assert!(view["nodes"].as_array().unwrap().iter().all(|node| node["alive"] == true));
        assert_eq!(
            (&view["engine"]["up"], view["void_settlements"].as_u64()),
            (&true.into(), Some(0))
        );
    }
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}

#[test]
fn gateway_that_is_killed_under_load_loses_nothing_and_another_takes_over() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let nodes = [cluster.start("a"), cluster.start("b")];
    let owner = Cluster::wait_for_owner(&nodes[0], |owner| owner.is_some()).unwrap();
    let [a, b] = nodes;
    let (owning, other) = if owner == "a" { (a, b) } else { (b, a) };
    let senders = Senders::start(&[owning.public(), other.public()], 12);
    senders.wait_for(500);
    owning.kill();
    let killed = Stopwatch::start();
    Cluster::wait_for_owner(&other, |now| now.is_some_and(|now| now != owner));
    let took = killed.elapsed();
    assert!(took <= LEASE + Duration::from_secs(2), "taken over after {took:?}");
    senders.wait_for(senders.n_acknowledged() + 500);
    // What it had answered and not forwarded comes with it.
    let again = cluster.start(&owner);
    let acknowledged = senders.stop();
    receiver.wait_for(&acknowledged);
    receiver.assert_in_order();
    assert_eq!((again.stop(), other.stop()), (Some(0), Some(0)));
}

#[test]
fn owner_that_was_stopped_beyond_its_lease_settles_nothing() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let nodes = [cluster.start("a"), cluster.start("b")];
    let owner = Cluster::wait_for_owner(&nodes[0], |owner| owner.is_some()).unwrap();
    let [a, b] = nodes;
    let (owning, other) = if owner == "a" { (a, b) } else { (b, a) };
    let senders = Senders::start(&[other.public()], 8);
    senders.wait_for(300);
    owning.signal(Signal::STOP);
    Cluster::wait_for_owner(&other, |now| now.is_some_and(|now| now != owner));
    let n_received = receiver.n_received();
    wait_until("100 more are received", || receiver.n_received() >= n_received + 100);
    owning.signal(Signal::CONT);
    senders.wait_for(senders.n_acknowledged() + 300);
    let acknowledged = senders.stop();
    receiver.wait_for(&acknowledged);
    receiver.assert_in_order();
    // Both say the same of every delivery: nothing was settled twice or differently.
    let nodes = [owning, other];
    wait_until_agreed(&nodes);
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}

#[test]
fn events_go_on_to_be_answered_while_the_database_is_away_and_all_arrive() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let nodes = cluster.start_pair();
    // Each key stays with its gateway: order over gateways needs the log.
    let senders = Senders::start_apart(&addresses(&nodes), 12);
    senders.wait_for(500);
    cluster.server.crash();
    let before = senders.n_acknowledged();
    senders.wait_for(before + 500);
    let view = Cluster::view(&nodes[0]);
    assert_eq!(view["engine"]["up"], false, "{view}");
    assert!(view["spilled"].as_u64().unwrap() > 0, "{view}");
    assert!(
        nodes.iter().all(|node| node.ask("GET", "/readyz").status == 200),
        "it takes events in"
    );
    let metrics = nodes[0].ask("GET", "/metrics").text();
    assert!(metrics.contains("gatepost_engine_up{} 0"), "{metrics}");
    cluster.server.restart();
    senders.wait_for(senders.n_acknowledged() + 500);
    let acknowledged = senders.stop();
    receiver.wait_for(&acknowledged);
    receiver.assert_in_order();
    for node in &nodes {
        Cluster::wait_for_view(node, |view| view["spilled"] == 0 && view["engine"]["up"] == true);
    }
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}

#[test]
fn what_the_database_loses_in_a_failover_is_there_again_after_a_restart() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let nodes = cluster.start_pair();
    let senders = Senders::start(&addresses(&nodes), 8);
    senders.wait_for(200);
    // Each event is asked for at both gateways in the end: at full speed there were thousands.
    senders.rest(Duration::from_millis(20));
    cluster.server.back_up();
    senders.wait_for(senders.n_acknowledged() + 200);
    cluster.server.lose_what_came_since();
    senders.wait_for(senders.n_acknowledged() + 100);
    for node in &nodes {
        let says = |view: &serde_json::Value| {
            view["engine"]["error"].as_str().is_some_and(|why| why.contains("restart this gateway"))
        };
        Cluster::wait_for_view(node, says);
        assert_eq!(node.ask("GET", "/readyz").status, 503);
    }
    let acknowledged = senders.stop();
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
    let nodes = [cluster.start("a"), cluster.start("b")];
    for node in &nodes {
        Cluster::wait_for_view(node, |view| {
            view["spilled"] == 0 && view["engine"]["error"].is_null()
        });
        // Each gateway appends again what it had answered, and reads what the others do: one after the other.
        for one in &acknowledged {
            let path = format!("/api/v1/events/{}", one.id);
            wait_until(format!("{path} is there"), || node.ask("GET", &path).status == 200);
        }
    }
    receiver.wait_for(&acknowledged);
    let own = nodes[0].ask("GET", "/api/v1/events?source=gatepost&limit=1000").json();
    let status = nodes[0].ask("GET", "/api/v1/status").json();
    let n_events =
        status["queue"]["events"].as_u64().unwrap() - own.as_array().unwrap().len() as u64;
    assert_eq!(n_events, acknowledged.len() as u64, "each is there once");
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}

#[test]
fn handler_is_paused_and_redriven_and_replayed_from_any_gateway() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let nodes = [cluster.start("a"), cluster.start("b")];
    let owner = Cluster::wait_for_owner(&nodes[0], |owner| owner.is_some()).unwrap();
    let other = usize::from(owner == "a");
    receiver.refuse(true);
    let senders = Senders::start(&addresses(&nodes), 1);
    senders.wait_for(3);
    let acknowledged = senders.stop();
    for node in &nodes {
        Cluster::wait_for_dead(node, acknowledged.len() as u64);
    }
    receiver.refuse(false);
    cluster.run(["a", "b"][other], &["dead", "redrive", "--all"]);
    receiver.wait_for(&acknowledged);
    for node in &nodes {
        Cluster::wait_for_dead(node, 0);
    }
    // Paused where it is not delivered, and shown as such on both.
    cluster.run(["a", "b"][other], &["handlers", "pause", "app", "--reason", "a move"]);
    for node in &nodes {
        let pause = || node.ask("GET", "/api/v1/handlers").json()[0]["pause"]["reason"].clone();
        wait_until("it is paused", || pause() == "a move");
        Cluster::wait_for_view(node, |view| view["handlers"][0]["paused"] == true);
    }
    let n_before = receiver.n_received();
    let senders = Senders::start(&addresses(&nodes), 1);
    senders.wait_for(20);
    let waits = senders.stop();
    assert_eq!(receiver.n_received(), n_before, "nothing is delivered");
    cluster.run(["a", "b"][1 - other], &["handlers", "resume", "app"]);
    receiver.wait_for(&waits);
    for node in &nodes {
        wait_until("it runs", || {
            node.ask("GET", "/api/v1/handlers").json()[0]["state"] == "running"
        });
    }
    let id = &acknowledged[0].id;
    let n_before = receiver.n_received();
    cluster.run(["a", "b"][other], &["events", "replay", id]);
    wait_until("it is received again", || receiver.n_received() > n_before);
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}
