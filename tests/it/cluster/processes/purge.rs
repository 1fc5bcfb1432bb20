//! Somebody removes units of the shared log by hand.

use std::path::Path;

use serde_json::{Value, json};

use super::engine_faults::{ask, assert_whole, sql};
use super::rig::Cluster;
use super::senders::Senders;
use super::{Receiver, addresses};

/// Whether a gateway says that units are gone, and what becomes of what it takes in.
fn is_told(view: &Value) -> bool {
    let why = view["engine"]["error"].as_str().unwrap_or_default();
    why.contains("were removed by hand") && why.contains("waits in its spool")
}

/// Puts a copy of one gateway's folder in place of another's, but for what is its own.
fn copy_folder(from: &Path, to: &Path) {
    let is_own = |name: &std::ffi::OsStr| name == "spool" || name == "node.json";
    for entry in std::fs::read_dir(to).unwrap().map(Result::unwrap) {
        if is_own(&entry.file_name()) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            std::fs::remove_dir_all(entry.path()).unwrap();
        } else {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let mut copy = std::process::Command::new("cp");
    copy.arg("-a").arg("-t").arg(to);
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if !is_own(&entry.file_name()) {
            copy.arg(entry.path());
        }
    }
    assert!(copy.status().unwrap().success());
}

#[test]
fn units_that_were_purged_by_hand_are_told_and_nothing_is_lost() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::on_nats(&receiver) else { return };
    let [a, b] = cluster.start_pair();
    let send = |nodes: &[_], n_keys| {
        let senders = Senders::start(&addresses(nodes), n_keys);
        senders.wait_for(100);
        senders.stop()
    };
    let nodes = [a, b];
    let mut acknowledged = send(&nodes, 2);
    receiver.wait_for(&acknowledged);
    // All that both have applied.
    let applied = |node| Cluster::view(node)["applied"].as_u64().unwrap();
    let before = nodes.iter().map(applied).min().unwrap();
    ask(async {
        let client = async_nats::connect(cluster.server.urls()).await.unwrap();
        let body = json!({ "seq": before + 1 }).to_string().into();
        let answer = client.request("$JS.API.STREAM.PURGE.gatepost", body).await.unwrap();
        let answer = String::from_utf8_lossy(&answer.payload).into_owned();
        assert!(answer.contains(r#""success":true"#), "{answer}");
    });
    acknowledged.extend(send(&nodes, 4));
    receiver.wait_for(&acknowledged);
    for node in &nodes {
        let engine = Cluster::view(node)["engine"].clone();
        assert_eq!((&engine["up"], &engine["error"]), (&json!(true), &json!(null)), "{engine}");
    }
    let late = cluster.start("late");
    Cluster::wait_for_view(&late, is_told);
    let ready = late.ask("GET", "/readyz");
    assert!(
        ready.status == 503 && ready.text().contains("takes no part in the cluster"),
        "{ready:?}"
    );
    let taken = send(std::slice::from_ref(&late), 6);
    let [a, b] = nodes;
    assert_eq!((late.stop(), a.stop()), (Some(0), Some(0)));
    copy_folder(&cluster.queue("a"), &cluster.queue("late"));
    let (late, a) = (cluster.start("late"), cluster.start("a"));
    Cluster::wait_for_view(&late, |view| view["spilled"] == 0 && view["engine"]["error"].is_null());
    acknowledged.extend(taken);
    receiver.wait_for(&acknowledged);
    assert_whole(&receiver, &acknowledged, [a, late]);
    assert_eq!(b.stop(), Some(0));
}

/// The statement leaves the log's beginning where it was, other than a purge of a stream.
#[test]
fn units_that_were_deleted_while_no_gateway_ran_are_told() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let mut nodes = cluster.start_pair();
    let senders = Senders::start(&addresses(&nodes), 2);
    senders.wait_for(50);
    let acknowledged = senders.stop();
    receiver.wait_for(&acknowledged);
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
    sql(&cluster.server, "DELETE FROM gatepost.log_units");
    nodes = [cluster.start("a"), cluster.start("b")];
    for node in &nodes {
        Cluster::wait_for_view(node, is_told);
        assert_eq!(node.ask("GET", "/readyz").status, 503);
    }
    let senders = Senders::start(&addresses(&nodes), 4);
    senders.wait_for(10);
    let kept = senders.stop();
    assert!(!kept.is_empty());
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}
