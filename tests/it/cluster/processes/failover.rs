//! The primary dies with events that its asynchronous standby never got, and the standby takes its place.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::engine_faults::{ask, assert_whole, sql, wait_until_agreed};
use super::rig::Cluster;
use super::senders::{Acknowledged, Senders};
use super::{Receiver, addresses};
use crate::support::patience::Patience;
use crate::support::program::Served;
use crate::support::servers::Server;

/// One value.
fn value(server: &Server, query: &str) -> String {
    ask(async {
        let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
        let query = AssertSqlSafe(format!("SELECT ({query})::text"));
        sqlx::raw_sql(query).fetch_one(&mut connection).await.unwrap().get(0)
    })
}

#[track_caller]
fn wait_for_value(server: &Server, query: &str, expected: &str) {
    let patience = Patience::new();
    loop {
        let found = value(server, query);
        if found == expected {
            return;
        }
        patience.look_again(format_args!("`{query}` is {found}, not {expected}"));
    }
}

/// Between a sender's events: each is asked for at both gateways in the end, and at full speed there were thousands.
const REST: Duration = Duration::from_millis(20);

/// Sends until so many more are acknowledged. Each key stays with its gateway: order over gateways needs the log.
fn send(nodes: &[Served], first: u64, n_events: u64) -> Vec<Acknowledged> {
    let senders = Senders::start_apart_at(&addresses(nodes), (8, first));
    senders.rest(REST);
    senders.wait_for(n_events);
    senders.stop()
}

/// Every event is on each gateway, delivered by one try that counted.
fn assert_settled_once(nodes: &[Served], acknowledged: &[Acknowledged]) {
    for node in nodes {
        for one in acknowledged {
            let event = node.ask("GET", &format!("/api/v1/events/{}", one.id)).json();
            let of_app = |delivery: &&Value| delivery["handler"] == "app";
            let mut deliveries = event["deliveries"].as_array().into_iter().flatten();
            let delivery = deliveries.find(of_app).expect("the event is in the log");
            let n_tries = delivery["attempts"].as_array().unwrap().len();
            assert_eq!((&delivery["state"], n_tries), (&json!("delivered"), 1), "{event}");
        }
    }
}

#[test]
fn failover_to_a_standby_that_is_behind_is_found_out_and_repaired() {
    let receiver = Receiver::start();
    let Some(primary) = Server::postgres() else { return };
    let standby = primary.standby();
    let urls = [&primary, &standby].map(|server| server.url("postgres"));
    let mut cluster = Cluster::on(primary, ("postgres", &format!("{urls:?}")), &receiver);
    let nodes = cluster.start_pair();
    let whole = send(&nodes, 0, 100);
    receiver.wait_for(&whole);
    wait_until_agreed(&nodes);
    // The standby has all of it, what was settled too, and gets nothing from here on.
    let end = value(&cluster.server, "pg_current_wal_lsn()");
    wait_for_value(&standby, &format!("pg_last_wal_replay_lsn() >= '{end}'"), "true");
    sql(&standby, "ALTER SYSTEM SET primary_conninfo = ''");
    sql(&standby, "SELECT pg_reload_conf()");
    wait_for_value(&standby, "SELECT count(*) FROM pg_stat_wal_receiver", "0");
    let mut lost = send(&nodes, 1_000_000, 100);
    receiver.wait_for(&lost);
    let length = |server: &Server| -> u64 {
        value(server, "SELECT next FROM gatepost.log_head").parse().unwrap()
    };
    let (had, has) = (length(&cluster.server), length(&standby));
    assert!(had > has + 10, "{has} of {had} units");
    cluster.server.kill();
    lost.extend(send(&nodes, 2_000_000, 50));
    sql(&standby, "SELECT pg_promote()");
    for node in &nodes {
        Cluster::wait_for_view(node, |view| {
            let why = view["engine"]["error"].as_str();
            why.is_some_and(|why| why.contains("restart this gateway"))
        });
        assert_eq!(node.ask("GET", "/readyz").status, 503);
    }
    lost.extend(send(&nodes, 3_000_000, 25));
    assert_eq!(nodes.map(Served::stop), [Some(0), Some(0)]);
    let nodes = [cluster.start("a"), cluster.start("b")];
    let mut acknowledged = send(&nodes, 4_000_000, 50);
    acknowledged.extend(lost);
    receiver.wait_for(&acknowledged);
    for one in &whole {
        assert_eq!(receiver.n_calls(one), 1, "what was settled and not lost is not made again");
    }
    acknowledged.extend(whole);
    wait_until_agreed(&nodes);
    assert_settled_once(&nodes, &acknowledged);
    let own = nodes[0].ask("GET", "/api/v1/events?source=gatepost&limit=1000").json();
    let status = nodes[0].ask("GET", "/api/v1/status").json();
    let n_own = own.as_array().unwrap().len() as u64;
    let n_events = status["queue"]["events"].as_u64().unwrap() - n_own;
    assert_eq!(n_events, acknowledged.len() as u64, "each is there once");
    assert_whole(&receiver, &acknowledged, nodes);
}
