//! What each gateway counts is shown by every one as the sum, with the share of each beside it.

use std::net::TcpStream;

use serde_json::Value;

use super::Receiver;
use super::retry::final_owner;
use super::rig::Cluster;
use super::shared_views::send_unsigned;
use crate::crash::load::post;
use crate::support::patience::wait_until;
use crate::support::program::Served;
use crate::support::wire;

/// Sends events whose bodies have not come before; gives how many.
fn send_events(node: &Served, key: &str, n_events: u64) -> u64 {
    let mut stream = TcpStream::connect(node.public()).unwrap();
    for number in 0..n_events {
        let body = format!(r#"{{"event":"x","data":{{"key":"{key}","number":{number}}}}}"#);
        assert_eq!(post(&mut stream, "hyvor", body.as_bytes()).unwrap().0, 200);
    }
    n_events
}

fn status(node: &Served) -> Value {
    node.ask("GET", "/api/v1/status").json()
}

/// Accepted and rejected requests of the source.
fn counted(status: &Value) -> (u64, u64) {
    let source = &status["sources"][0];
    let rejected = source["rejected"].as_u64().unwrap() + source["turned_away"].as_u64().unwrap();
    (source["accepted"].as_u64().unwrap(), rejected)
}

/// How often a path without a source was asked for.
fn refused(status: &Value, path: &str) -> u64 {
    let rows = status["refused"].as_array().unwrap().iter();
    rows.filter(|row| row["path"] == path).map(|row| row["count"].as_u64().unwrap()).sum()
}

/// The state and accepted events of a gateway.
fn share(status: &Value, node: &str) -> (String, u64) {
    let gateways = status["gateways"].as_array().unwrap();
    let one = gateways.iter().find(|one| one["node"] == node);
    let Some(one) = one else { return ("not told of".to_owned(), 0) };
    let accepted = one["sources"][0]["accepted"].as_u64().unwrap_or_default();
    (one["state"].as_str().unwrap().to_owned(), accepted)
}

/// What happened in the last hour and in the last day, with the source and with the handler.
fn charted(node: &Served) -> [u64; 4] {
    let rates = node.ask("GET", "/api/v1/rates").json();
    let sum = |slots: &Value| -> u64 {
        slots.as_array().unwrap().iter().map(|slot| slot.as_u64().unwrap()).sum()
    };
    let (source, handler) = (&rates["sources"][0]["accepted"], &rates["handlers"][0]["delivered"]);
    [&source["minutes"], &source["hours"], &handler["minutes"], &handler["hours"]].map(sum)
}

#[test]
fn counts_and_charts_are_of_all_gateways_and_stay_told_of_one_that_is_gone() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let nodes = cluster.start_pair();
    let owner = final_owner(&nodes);
    let (of_a, of_b) = (send_events(&nodes[0], "a", 20), send_events(&nodes[1], "b", 10));
    for (node, n_requests) in nodes.iter().zip([2, 1]) {
        for _ in 0..n_requests {
            let answer = wire::request(node.public(), "POST", "/hooks/nothing-here", &[], b"{}");
            assert_eq!(answer.status, 404);
        }
        send_unsigned(node, 3);
    }
    let all = (of_a + of_b, 6);
    for node in &nodes {
        wait_until("counts are summed", || counted(&status(node)) == all);
        wait_until("refusals are summed", || refused(&status(node), "/hooks/nothing-here") == 3);
        wait_until("charts are summed", || charted(node) == [all.0; 4]);
        assert_eq!(share(&status(node), "a"), ("alive".to_owned(), of_a));
        assert_eq!(share(&status(node), "b"), ("alive".to_owned(), of_b));
        assert_eq!(status(node)["gateways"][0]["admin"], node.admin().to_string());
        assert_eq!(status(node)["rejected"], 6);
    }
    // How long calls take is known to the gateway that calls, and told to the other.
    let other = &nodes[usize::from(owner == "a")];
    let calls = || other.ask("GET", "/api/v1/rates").json()["handlers"][0].clone();
    wait_until("the other one knows how long calls take", || {
        calls()["calls"]["count"].as_u64() > Some(0)
    });
    assert_eq!(calls()["calls_reported_by"]["node"], owner.as_str());
    let said = cluster.run("b", &["status"]);
    assert!(said.contains("b (this one)") && said.contains("ANSWERS, 99 %"), "{said}");
    let page = nodes[1].ask("GET", "/sources/hyvor").text();
    assert!(page.contains(&format!("{of_a} accepted")) && page.contains("as it told"), "{page}");
    // One that is killed and one that is stopped: what they told last stands, with when that was.
    let [a, b] = nodes;
    a.kill();
    wait_until("it is silent", || share(&status(&b), "a") == ("silent".to_owned(), of_a));
    assert_eq!((counted(&status(&b)), charted(&b)), (all, [all.0; 4]));
    let a = cluster.start("a");
    // It counts anew, and the others with it.
    wait_until("it is told of b", || counted(&status(&a)).0 == of_b);
    wait_until("b counts it anew", || counted(&status(&b)) == (of_b, 3));
    let of_a = send_events(&a, "a, started anew", 5);
    send_unsigned(&a, 1);
    wait_until("b is told", || share(&status(&b), "a") == ("alive".to_owned(), of_a));
    assert_eq!(a.stop(), Some(0));
    wait_until("it has left", || share(&status(&b), "a") == ("left".to_owned(), of_a));
    assert_eq!(counted(&status(&b)).0, of_a + of_b);
    let page = b.ask("GET", "/").text();
    assert!(page.contains("stopped") && page.contains("told "), "{page}");
    assert_eq!(b.stop(), Some(0));
}
