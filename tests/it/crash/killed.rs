//! SIGKILL at random moments: nothing acknowledged is lost, and all of it is delivered.

use std::collections::{HashMap, HashSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::Connection;

use super::load::{Acknowledged, Load};
use crate::support::gateway::Folder;
use crate::support::program::{self, Served};

/// How often the program is killed.
const KILLS: u64 = 50;
const SQL_KILLS: u64 = 15;

#[test]
fn a_killed_program_loses_nothing_and_delivers_everything() {
    let folder = Folder::new("", "");
    let mut random = StdRng::seed_from_u64(5);
    let mut acknowledged = Acknowledged::new();
    for kill in 0..KILLS {
        let served = Served::start(&folder);
        let load = Load::start(served.public(), kill, 20_000);
        load.wait_for(random.random_range(1..300));
        served.kill();
        acknowledged.extend(load.stop());
    }
    let served = Served::start(&folder);
    served.wait_until_delivered("all");
    redrive_dead_letters(&folder);
    served.wait_until_delivered("all");
    assert_eq!(served.stop(), Some(0));
    let after = delivered(&folder);
    for (id, body) in &acknowledged {
        let (_, payload) = after.get(id).unwrap_or_else(|| panic!("{id} is not delivered"));
        assert_eq!(payload.as_bytes(), body, "{id}");
    }
    // Lives of less than 100 ms may repeat what they did not get to record; a clean end records
    // everything, so that nothing comes back.
    let served = Served::start(&folder);
    served.wait_until_delivered("all");
    assert_eq!(served.stop(), Some(0));
    assert!(delivered(&folder) == after);
}

#[tokio::test]
async fn a_killed_program_writes_each_event_into_sql_once() {
    // Without a key, so that an event that is written twice shows.
    let folder = Folder::new(
        "",
        "[handler.rows]\nstart = \"oldest\"\n[handler.rows.sql]\nurl = \"sqlite:rows.db\"\n\
         table = \"log\"\ncreate_table = true\ncolumns = { id = \"event.id\" }\n",
    );
    let mut random = StdRng::seed_from_u64(6);
    let mut acknowledged = Acknowledged::new();
    for kill in 0..SQL_KILLS {
        let served = Served::start(&folder);
        let load = Load::start(served.public(), kill, 2_000);
        load.wait_for(random.random_range(1..300));
        served.kill();
        acknowledged.extend(load.stop());
    }
    let served = Served::start(&folder);
    served.wait_until_delivered("rows");
    redrive_dead_letters(&folder);
    served.wait_until_delivered("rows");
    assert_eq!(served.stop(), Some(0));

    let url = format!("sqlite://{}", folder.path().join("rows.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT id FROM log").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let ids: HashSet<&str> = rows.iter().map(|(id,)| id.as_str()).collect();
    assert_eq!(ids.len(), rows.len(), "none is there twice");
    for id in acknowledged.keys() {
        assert!(ids.contains(id.as_str()), "{id} is not there");
    }
}

/// As an owner does: what was being delivered at two kills is set aside as a dead letter, not lost.
fn redrive_dead_letters(folder: &Folder) {
    program::printed(&program::run(folder, &["dead", "redrive", "--all"]), 0);
}

/// How often each event was delivered, and its payload.
fn delivered(folder: &Folder) -> HashMap<String, (u64, String)> {
    #[derive(serde::Deserialize)]
    struct Line {
        id: String,
        payload: Box<serde_json::value::RawValue>,
    }
    let text = std::fs::read_to_string(folder.path().join("data/events.jsonl")).unwrap();
    let mut delivered: HashMap<String, (u64, String)> = HashMap::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).unwrap();
        let payload = line.payload.get().to_owned();
        delivered.entry(line.id).or_insert((0, payload)).0 += 1;
    }
    delivered
}
