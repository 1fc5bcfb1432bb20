//! A redrive by stages is seen on every gateway, paused and resumed from any, and outlives the one that began it.

use serde_json::Value;

use super::Receiver;
use super::addresses;
use super::rig::Cluster;
use super::senders::{Acknowledged, Senders};
use crate::support::patience::wait_until;
use crate::support::program::Served;

fn rollout(node: &Served) -> Value {
    node.ask("GET", "/api/v1/rollouts").json()[0].clone()
}

fn state(node: &Served) -> String {
    rollout(node)["state"].as_str().unwrap_or("none").to_owned()
}

/// Kills a gateway, and waits until `other` knows that it is silent.
fn kill(node: Served, other: &Served) {
    node.kill();
    Cluster::wait_for_view(other, |view| {
        view["nodes"].as_array().unwrap().iter().any(|one| one["alive"] == false)
    });
}

/// Has the handler give up all of some events; gives them.
fn give_up_some(receiver: &Receiver, nodes: &[Served]) -> Vec<Acknowledged> {
    receiver.refuse(true);
    let senders = Senders::start(&addresses(nodes), 3);
    senders.wait_for(15);
    let acknowledged = senders.stop();
    for node in nodes {
        Cluster::wait_for_dead(node, acknowledged.len() as u64);
    }
    receiver.refuse(false);
    acknowledged
}

/// Has the handler paused, and waits until each gateway knows.
fn pause_everywhere<S>(cluster: &Cluster<S>, nodes: &[Served]) {
    cluster.run("a", &["handlers", "pause", "app"]);
    for node in nodes {
        Cluster::wait_for_view(node, |view| view["handlers"][0]["paused"] == true);
    }
}

#[test]
fn rollout_is_steered_from_any_gateway_and_another_goes_on_with_it() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let nodes = cluster.start_pair();
    let acknowledged = give_up_some(&receiver, &nodes);
    // The first letter is let go and waits, so that the rollout stands where it is.
    pause_everywhere(&cluster, &nodes);
    cluster.run("a", &["dead", "redrive", "--all", "--rollout"]);
    wait_until("b sees it", || state(&nodes[1]) == "running");
    assert_eq!(rollout(&nodes[1])["reported_by"]["node"], "a");
    let said = cluster.run("b", &["rollouts", "list"]);
    assert!(said.contains("a, told "), "{said}");
    let said = cluster.refused("b", &["dead", "redrive", "--all", "--rollout"]);
    assert!(said.contains("may be for some of the same dead letters"), "{said}");
    let said = cluster.run("b", &["rollouts", "pause", "1"]);
    assert!(said.contains("rollout 1 is paused"), "{said}");
    assert_eq!((state(&nodes[0]), state(&nodes[1])), ("paused".to_owned(), "paused".to_owned()));
    let said = cluster.refused("b", &["rollouts", "pause", "1"]);
    assert!(said.contains("rollout 1 is paused"), "{said}");
    let page = nodes[1].ask("GET", "/dead").text();
    assert!(page.contains("Rollout 1 is paused") && page.contains("on gateway a"), "{page}");
    cluster.run("b", &["rollouts", "resume", "1"]);
    assert_eq!(state(&nodes[0]), "running");
    let logged = nodes[1].ask("GET", "/api/v1/actions").text();
    assert!(logged.contains("pause rollout") && logged.contains("resume rollout"), "{logged}");
    // Its gateway dies: it stands still, and is gone on with where that is asked for.
    let [a, b] = nodes;
    kill(a, &b);
    let said = cluster.refused("b", &["rollouts", "pause", "1"]);
    assert!(said.contains("`resume` has this gateway go on with it"), "{said}");
    cluster.run("b", &["rollouts", "resume", "1"]);
    assert_eq!((rollout(&b)["continues"].clone(), state(&b)), ("a".into(), "running".to_owned()));
    assert_eq!(rollout(&b)["takeovers"], 1);
    let logged = b.ask("GET", "/api/v1/actions").text();
    let n_resumed = logged.matches("\"resume rollout\"").count();
    assert!(n_resumed >= 2, "the take-over is noted too: {logged}");
    cluster.run("b", &["handlers", "resume", "app"]);
    wait_until("it is done", || state(&b) == "done");
    receiver.wait_for(&acknowledged);
    Cluster::wait_for_dead(&b, 0);
    // The one that had it before does not go on with it.
    let a = cluster.start("a");
    wait_until("a knows that it is done", || state(&a) == "done");
    assert_eq!(rollout(&a)["reported_by"]["node"], "b");
    for node in [&a, &b] {
        let listed = node.ask("GET", "/api/v1/rollouts").json();
        assert_eq!(listed.as_array().unwrap().len(), 1, "it is one rollout: {listed}");
    }
    let file = cluster.queue("a").with_file_name("rollouts").join("1.json");
    let own = || serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap();
    // Before it hears of the other's it may find that nothing is left to do.
    wait_until("a has ended it", || own()["state"] == "cancelled" || own()["state"] == "done");
    assert_eq!((a.stop(), b.stop()), (Some(0), Some(0)));
}

#[test]
fn rollout_is_taken_back_by_the_gateway_on_which_it_began() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let nodes = cluster.start_pair();
    let acknowledged = give_up_some(&receiver, &nodes);
    pause_everywhere(&cluster, &nodes);
    cluster.run("a", &["dead", "redrive", "--all", "--rollout"]);
    wait_until("b sees it", || state(&nodes[1]) == "running");
    let [a, b] = nodes;
    kill(a, &b);
    cluster.run("b", &["rollouts", "resume", "1"]);
    let a = cluster.start("a");
    let told_by = |node: &Served| rollout(node)["reported_by"]["node"].clone();
    wait_until("a has ended its own", || told_by(&a) == "b" && rollout(&a)["takeovers"] == 1);
    // Its own file says that it has ended, and the one of b is out of reach.
    kill(b, &a);
    let said = cluster.run("a", &["rollouts", "resume", "1"]);
    assert!(said.contains("rollout 1 is running"), "{said}");
    let one = rollout(&a);
    assert_eq!((&one["continues"], &one["takeovers"]), (&"b".into(), &2.into()), "{one}");
    assert!(one["reported_by"].is_null(), "it is carried on here: {one}");
    let b = cluster.start("b");
    wait_until("b has ended its own", || told_by(&b) == "a" && rollout(&b)["takeovers"] == 2);
    cluster.run("b", &["handlers", "resume", "app"]);
    for node in [&a, &b] {
        wait_until("it is done", || state(node) == "done");
        Cluster::wait_for_dead(node, 0);
        let listed = node.ask("GET", "/api/v1/rollouts").json();
        assert_eq!(listed.as_array().unwrap().len(), 1, "it is one rollout: {listed}");
    }
    receiver.wait_for(&acknowledged);
    for node in [a, b] {
        assert_eq!(node.stop(), Some(0));
    }
}

#[test]
fn rollouts_that_begin_at_the_same_moment_on_two_gateways_have_two_numbers() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::new(&receiver) else { return };
    let other = format!(
        "[handler.other]\nstart = \"oldest\"\n[handler.other.http]\nurl = \"{}\"\n[handler.app]",
        receiver.url()
    );
    let nodes = ["a", "b"].map(|name| cluster.start_behind(name, ("[handler.app]", &other)));
    give_up_some(&receiver, &nodes);
    let n_dead = |node: &Served| node.ask("GET", "/api/v1/handlers").json()[1]["dead"].clone();
    for node in &nodes {
        wait_until("the other one gave them up", || {
            n_dead(node) == n_dead(&nodes[0]) && n_dead(node) != 0
        });
    }
    let begin = |node: &str, handler: &str| {
        let said = cluster.run(node, &["dead", "redrive", "--handler", handler, "--rollout"]);
        assert!(said.contains("dead letters began"), "{said}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| begin("a", "app"));
        scope.spawn(|| begin("b", "other"));
    });
    for node in &nodes {
        let numbers = || {
            let listed = node.ask("GET", "/api/v1/rollouts").json();
            let all = listed.as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap());
            all.collect::<Vec<_>>()
        };
        wait_until("both are known", || numbers().len() == 2);
        assert!(numbers()[0] > numbers()[1], "{:?}", numbers());
    }
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}
