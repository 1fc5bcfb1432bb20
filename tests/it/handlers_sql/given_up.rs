//! Calls that nobody waits for any more, as at a reload or behind a time limit: what comes after them is
//! written, once.

use super::faults::{LOG, assert_each_once, numbered};
use super::{Database, Engine};
use crate::support::kinds::until_taken;
use crate::support::proxy::{Direction, Proxy, Upstream};

/// More than a handler has connections: where each of them is left waiting for an answer that nobody reads,
/// nothing is written any more.
const TIMES: usize = 4;

async fn give_up_at_any_byte(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    let server = database.server.as_ref().unwrap();
    let proxy = Proxy::start(Upstream::Unix(server.socket())).await;
    let url = server.url_through("site", proxy.address);
    let (mut n_events, mut n_given_up) = (0, 0);
    for n_bytes in (0..).step_by(53) {
        // A new one logs in, looks at its tables and has each of its statements prepared.
        let sql = database.handler_at(&url, LOG);
        let batch = numbered(n_events + 1..=n_events + 3);
        n_events += 3;
        let mut is_whole = false;
        for _ in 0..TIMES {
            proxy.pull_after(Direction::ToClient, n_bytes);
            tokio::select! {
                _answered = sql.handle(&batch) => {}
                () = proxy.until_pulled() => n_given_up += 1,
            }
            is_whole |= proxy.is_uncut(Direction::ToClient);
            proxy.pull(false);
        }
        until_taken(sql.as_ref(), &batch).await;
        sql.close().await;
        if is_whole {
            break;
        }
    }
    assert!(n_given_up > 100, "{n_given_up} calls prove little");
    assert_each_once(&database, n_events).await;
}

#[tokio::test]
async fn calls_that_are_given_up_leave_postgresql_usable() {
    give_up_at_any_byte(Engine::Postgres).await;
}

#[tokio::test]
async fn calls_that_are_given_up_leave_mariadb_usable() {
    give_up_at_any_byte(Engine::MySql).await;
}
