//! Faults of the servers that keep the log, under load: NATS loses its leader or all of its servers for a
//! while, PostgreSQL its primary.

use std::path::Path;
use std::time::Duration;

use gatepost::clock::Stopwatch;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::rig::Cluster;
use super::senders::{Acknowledged, LOOK_AGAIN, Senders};
use super::{Receiver, addresses};
use crate::support::nats::NatsServers;
use crate::support::patience::{Patience, wait_until};
use crate::support::program::Served;
use crate::support::servers::Server;

/// Runs what the test asks of a server beside the gateways.
pub(super) fn ask<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(what)
}

pub(super) fn sql(server: &Server, text: &str) {
    ask(async {
        let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
    });
}

#[track_caller]
pub(super) fn leader(servers: &NatsServers) -> usize {
    let patience = Patience::new();
    loop {
        if let Some(leader) = ask(servers.leader("gatepost")) {
            return leader;
        }
        patience.look_again("no server leads the stream");
    }
}

/// All that was acknowledged has come in its order, and the gateways say the same of it.
pub(super) fn assert_whole(receiver: &Receiver, acknowledged: &[Acknowledged], nodes: [Served; 2]) {
    receiver.wait_for(acknowledged);
    receiver.assert_in_order();
    for node in &nodes {
        Cluster::wait_for_view(node, |view| {
            view["spilled"] == 0
                && view["engine"]["up"] == true
                && view["engine"]["error"].is_null()
        });
    }
    wait_until_agreed(&nodes);
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}

/// Between a sender's events: without it 40,000 come while no server leads, which their keys deliver in five minutes.
const REST: Duration = Duration::from_millis(50);
/// How long a gateway may take to read what the log has: one that stands still is told from a slow machine.
const CATCH_UP: Duration = Duration::from_mins(1);

/// Waits until each gateway has applied all that the log has, nothing is left to be delivered, and both say the
/// same of it. One that does not come to that is told with what it says of itself.
#[track_caller]
pub(super) fn wait_until_agreed(nodes: &[Served; 2]) {
    let began = Stopwatch::start();
    loop {
        let standings = nodes.each_ref().map(Cluster::standing);
        if let [Some(a), Some(b)] = &standings
            && a == b
        {
            return;
        }
        if began.elapsed() > CATCH_UP {
            let told = nodes.each_ref().map(|node| {
                let views = ["cluster", "status"]
                    .map(|what| node.ask("GET", &format!("/api/v1/{what}")).text());
                format!("{views:?}\n{}\n{}", node.says(&["cluster", "status"]), node.log())
            });
            panic!("{standings:?}\n--- a\n{}\n--- b\n{}", told[0], told[1]);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[test]
fn stream_leader_that_is_killed_loses_nothing() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::on_nats(&receiver) else { return };
    let nodes = cluster.start_pair();
    // Each key stays with its gateway: order over gateways needs the log.
    let senders = Senders::start_apart(&addresses(&nodes), 8);
    senders.rest(REST);
    for _ in 0..2 {
        senders.wait_for(senders.n_acknowledged() + 200);
        let leading = leader(&cluster.server);
        cluster.server.crash(leading);
        senders.wait_for(senders.n_acknowledged() + 200);
        assert_ne!(leader(&cluster.server), leading, "another one leads");
        cluster.server.restart(leading);
    }
    let acknowledged = senders.stop();
    assert_whole(&receiver, &acknowledged, nodes);
}

#[test]
fn stream_leader_that_is_cut_off_and_comes_back_loses_nothing() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::on_nats(&receiver) else { return };
    let nodes = cluster.start_pair();
    let senders = Senders::start_apart(&addresses(&nodes), 8);
    senders.wait_for(200);
    let leading = leader(&cluster.server);
    // Its connections stay open, and nothing comes over them.
    cluster.server.freeze(leading, true);
    senders.wait_for(senders.n_acknowledged() + 200);
    cluster.server.freeze(leading, false);
    senders.wait_for(senders.n_acknowledged() + 200);
    let acknowledged = senders.stop();
    assert_whole(&receiver, &acknowledged, nodes);
}

#[test]
fn all_servers_of_a_stream_that_are_killed_and_started_again_lose_nothing() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::on_nats(&receiver) else { return };
    let nodes = cluster.start_pair();
    let senders = Senders::start_apart(&addresses(&nodes), 8);
    senders.rest(REST);
    senders.wait_for(200);
    for index in 0..cluster.server.len() {
        cluster.server.crash(index);
    }
    senders.wait_for(senders.n_acknowledged() + 200);
    Cluster::wait_for_view(&nodes[0], |view| view["engine"]["up"] == false && view["spilled"] != 0);
    for index in 0..cluster.server.len() {
        cluster.server.restart(index);
    }
    senders.wait_for(senders.n_acknowledged() + 200);
    let acknowledged = senders.stop();
    assert_whole(&receiver, &acknowledged, nodes);
}

/// The server that has it is made the leader: what it gives out and what it lacks is the worst then.
#[test]
fn flipped_byte_in_a_followers_block_loses_nothing() {
    let receiver = Receiver::start();
    let Some(mut cluster) = Cluster::on_nats(&receiver) else { return };
    let nodes = cluster.start_pair();
    let senders = Senders::start_apart(&addresses(&nodes), 8);
    senders.wait_for(300);
    let damaged = (leader(&cluster.server) + 1) % 3;
    cluster.server.crash(damaged);
    let block = cluster.server.newest_block(damaged, "gatepost");
    let mut bytes = std::fs::read(&block).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&block, bytes).unwrap();
    senders.wait_for(senders.n_acknowledged() + 200);
    cluster.server.restart(damaged);
    senders.wait_for(senders.n_acknowledged() + 200);
    wait_until("the damaged server leads", || {
        ask(cluster.server.ask_to_lead("gatepost", damaged));
        leader(&cluster.server) == damaged
    });
    senders.wait_for(senders.n_acknowledged() + 300);
    let acknowledged = senders.stop();
    assert_whole(&receiver, &acknowledged, nodes);
}

/// A password that is changed, a `pg_hba.conf` with a slip in it: mended at the server, no gateway is restarted.
#[test]
fn gateways_whose_log_in_is_refused_for_a_while_go_on_by_themselves() {
    let receiver = Receiver::start();
    let Some(server) = Server::postgres() else { return };
    sql(&server, "CREATE ROLE gate LOGIN; GRANT CREATE ON DATABASE postgres TO gate");
    let url = format!("{:?}", server.url("postgres").replace("//postgres@", "//gate@"));
    let mut cluster = Cluster::on(server, ("postgres", &url), &receiver);
    let nodes = cluster.start_pair();
    let senders = Senders::start_apart(&addresses(&nodes), 4);
    senders.wait_for(100);
    senders.rest(Duration::from_millis(20));
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gate'";
    sql(&cluster.server, &format!("ALTER ROLE gate NOLOGIN; {end}"));
    for node in &nodes {
        let is_told = |view: &serde_json::Value| {
            let why = view["engine"]["error"].as_str();
            view["engine"]["up"] == false && why.is_some_and(|why| why.contains("log in"))
        };
        Cluster::wait_for_view(node, is_told);
    }
    senders.wait_for(senders.n_acknowledged() + 50);
    let late = cluster.start("late");
    Cluster::wait_for_view(&late, |view| view["engine"]["up"] == false);
    sql(&cluster.server, "ALTER ROLE gate LOGIN");
    Cluster::wait_for_view(&late, |view| view["engine"]["up"] == true);
    senders.wait_for(senders.n_acknowledged() + 100);
    let acknowledged = senders.stop();
    assert_whole(&receiver, &acknowledged, nodes);
    assert_eq!(late.stop(), Some(0));
}

#[test]
fn standby_that_is_promoted_has_all_that_was_acknowledged_and_gateways_go_on() {
    let receiver = Receiver::start();
    let Some(primary) = Server::postgres() else { return };
    let standby = primary.standby();
    sql(&primary, "ALTER SYSTEM SET synchronous_standby_names = '*'");
    sql(&primary, "SELECT pg_reload_conf()");
    // What a name or an address is elsewhere: it leads to the primary.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let address = folder.path().join("primary");
    lead_to(&address, &primary);
    let url = format!("\"postgres://postgres@localhost/postgres?host={}\"", address.display());
    let mut cluster = Cluster::on(primary, ("postgres", &url), &receiver);
    let nodes = cluster.start_pair();
    let senders = Senders::start_apart(&addresses(&nodes), 8);
    senders.wait_for(300);
    cluster.server.crash();
    senders.wait_for(senders.n_acknowledged() + 50);
    lead_to(&address, &standby);
    sql(&standby, "SELECT pg_promote()");
    for node in &nodes {
        Cluster::wait_for_view(node, |view| view["engine"]["up"] == true);
    }
    senders.wait_for(senders.n_acknowledged() + 300);
    let acknowledged = senders.stop();
    assert_whole(&receiver, &acknowledged, nodes);
}

fn lead_to(address: &Path, server: &Server) {
    let next = address.with_extension("next");
    std::os::unix::fs::symlink(server.socket().parent().unwrap(), &next).unwrap();
    std::fs::rename(next, address).unwrap();
}
