//! A gateway that the network cuts off from the log, and a log without a majority of its servers.

use std::time::Duration;

use gatepost::clock::Stopwatch;
use tokio::runtime::Runtime;

use super::engine_faults::assert_whole;
use super::rig::{Cluster, LEASE};
use super::senders::Senders;
use super::{Receiver, addresses};
use crate::support::patience::wait_until;
use crate::support::program::Served;
use crate::support::proxy::{Proxy, Upstream};

/// What proxies run in.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// The owner of the handler is cut off under load: another one takes over, the one that is cut off goes on to
/// answer, and nothing is lost or settled by two.
fn cut_off(receiver: &Receiver, nodes: [Served; 2], names: [&str; 2], cables: [&[Proxy]; 2]) {
    let owner = Cluster::wait_for_owner(&nodes[0], |owner| owner.is_some()).unwrap();
    let owning = usize::from(owner == names[1]);
    let other = 1 - owning;
    // Each key stays with its gateway: order over gateways needs the log.
    let senders = Senders::start_apart(&addresses(&nodes), 4);
    senders.wait_for(300);
    cables[owning].iter().for_each(|cable| cable.pull(true));
    let cut = Stopwatch::start();
    Cluster::wait_for_owner(&nodes[other], |now| now == Some(names[other]));
    let took = cut.elapsed();
    assert!(took <= LEASE + Duration::from_secs(2), "taken over after {took:?}");
    Cluster::wait_for_view(&nodes[owning], |view| {
        view["engine"]["up"] == false
            && view["spilled"].as_u64().is_some_and(|spilled| spilled > 50)
    });
    let n_received = receiver.n_received();
    wait_until("100 more are received", || receiver.n_received() >= n_received + 100);
    cables[owning].iter().for_each(|cable| cable.pull(false));
    senders.wait_for(senders.n_acknowledged() + 300);
    let acknowledged = senders.stop();
    assert_whole(receiver, &acknowledged, nodes);
}

#[test]
fn gateway_that_is_cut_off_from_postgres_answers_and_another_takes_over() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let runtime = runtime();
    let socket = cluster.server.socket();
    let url = cluster.server.url("postgres");
    let cables =
        ["a", "b"].map(|_| [runtime.block_on(Proxy::start(Upstream::Unix(socket.clone())))]);
    let nodes = [("a", 0), ("b", 1)].map(|(name, at)| {
        let behind = cluster.server.url_through("postgres", cables[at][0].address);
        cluster.start_behind(name, (&url, &behind))
    });
    cut_off(&receiver, nodes, ["a", "b"], [&cables[0], &cables[1]]);
}

#[test]
fn gateway_that_is_cut_off_from_nats_answers_and_another_takes_over() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::on_nats(&receiver) else { return };
    let runtime = runtime();
    let urls = cluster.server.urls();
    let cables = ["a", "b"].map(|_| {
        let of = |url: &String| {
            let address = url.trim_start_matches("nats://").parse().unwrap();
            runtime.block_on(Proxy::start(Upstream::Tcp(address)))
        };
        urls.iter().map(of).collect::<Vec<_>>()
    });
    let nodes = [("a", 0), ("b", 1)].map(|(name, at)| {
        let behind: Vec<_> =
            cables[at].iter().map(|cable| format!("nats://{}", cable.address)).collect();
        cluster.start_behind(name, (&format!("{urls:?}"), &format!("{behind:?}")))
    });
    cut_off(&receiver, nodes, ["a", "b"], [&cables[0], &cables[1]]);
}

/// Two of three servers are away for `time`: events are answered all the while, and all arrive in their order.
fn without_a_majority(time: Duration) {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::on_nats(&receiver) else { return };
    let nodes = cluster.start_pair();
    let senders = Senders::start_apart(&addresses(&nodes), 4);
    senders.wait_for(200);
    cluster.server.crash(0);
    cluster.server.crash(1);
    let since = Stopwatch::start();
    // What comes in meanwhile has to be delivered behind it, one after the other of each key.
    senders.rest(Duration::from_millis(100));
    Cluster::wait_for_view(&nodes[0], |view| view["engine"]["up"] == false && view["spilled"] != 0);
    while since.elapsed() < time {
        senders.wait_for(senders.n_acknowledged() + 20);
    }
    cluster.server.restart(0);
    cluster.server.restart(1);
    senders.wait_for(senders.n_acknowledged() + 200);
    let acknowledged = senders.stop();
    assert_whole(&receiver, &acknowledged, nodes);
}

#[test]
fn stream_without_a_majority_loses_nothing() {
    without_a_majority(Duration::from_secs(10));
}

#[test]
#[ignore = "takes ten minutes and more: cargo test --test it -- --ignored ten_minutes"]
fn stream_without_a_majority_for_ten_minutes_loses_nothing() {
    without_a_majority(Duration::from_mins(10));
}
