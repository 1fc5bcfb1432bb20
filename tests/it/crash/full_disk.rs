//! A disk that is full: senders are told to come back, deliveries go on, and it heals by itself.

use gatepost::clock::Stopwatch;
use sqlx::Connection;

use super::disk::Disk;
use crate::support::gateway::{Folder, Gateway, signature};
use crate::support::program::Served;
use crate::support::wire;

#[test]
fn a_full_disk_answers_503_and_200_again_once_there_is_room() {
    // Events leave 48 MiB to outcomes and upkeep, and want a segment of 16 MiB beside them.
    let Some(disk) = Disk::new(160) else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let events = elsewhere.path().join("events.jsonl");
    let handler = format!("[handler.elsewhere.file]\npath = {events:?}\n");
    let folder = Folder::new_in(&disk.path(), "", &handler);
    let served = Served::start(&folder);
    let ballast = disk.path().join("ballast");
    fill(&ballast);

    // What stands ready of the log still takes some; then there is no room for more.
    let mut n_stored = 0;
    let refused = loop {
        let answer = send(&served, n_stored);
        if answer.status != 200 {
            break answer;
        }
        n_stored += 1;
        assert!(n_stored < 10_000, "an endless disk");
    };
    assert_eq!(refused.status, 503, "{}", refused.text());
    let retry_after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(retry_after >= 1);
    // What was taken is delivered all the same, to a handler that writes elsewhere.
    served.wait_until_delivered("elsewhere");
    assert_eq!(std::fs::read_to_string(&events).unwrap().lines().count(), n_stored);

    std::fs::remove_file(&ballast).unwrap();
    let answer = loop {
        let answer = send(&served, n_stored);
        if answer.status == 200 {
            break answer;
        }
        assert_eq!(answer.status, 503);
        std::thread::yield_now();
    };
    assert!(!answer.id().is_empty());
    assert_eq!(served.ask("GET", "/readyz").status, 200);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn gateway_is_not_ready_while_there_is_no_room_for_another_segment() {
    let Some(disk) = Disk::new(160) else { return };
    let folder = Folder::new_in(&disk.path(), "", "");
    let served = Served::start(&folder);
    let ballast = disk.path().join("ballast");
    fill(&ballast);
    let file = std::fs::File::options().write(true).open(&ballast).unwrap();
    let (mut n_stored, mut n_rounds) = (0, 0);
    let told = loop {
        while send(&served, n_stored).status == 200 {
            n_stored += 1;
            assert!(n_stored < 10_000, "an endless disk");
        }
        let ready = served.ask("GET", "/readyz");
        assert_eq!(ready.status, 503, "{}", ready.text());
        if ready.text().contains("must stay so") {
            break ready.text();
        }
        // More than `disk_reserve` (48 MiB), and less than that and a segment (16 MiB).
        let disk = rustix::fs::statvfs(disk.path()).unwrap();
        let free = disk.f_bavail * disk.f_frsize;
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub((56_u64 << 20).saturating_sub(free))).unwrap();
        file.sync_all().unwrap();
        // The cleaner looks once a second.
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        n_rounds += 1;
        assert!(n_rounds < 10, "{}", ready.text());
    };
    assert!(told.contains("no room for another segment"), "{told}");
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    // It heals without another event.
    let began = Stopwatch::start();
    while served.ask("GET", "/readyz").status != 200 {
        assert!(began.elapsed() < std::time::Duration::from_secs(20));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(send(&served, n_stored).status, 200);
    assert_eq!(served.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_under_sqlite_loses_and_doubles_no_row() {
    let Some(disk) = Disk::new(16) else { return };
    let database = disk.path().join("site.db");
    // Without a key, so that an event that is written twice shows.
    let handler = format!(
        "[handler.rows]\nretry = {{ attempts = 10000, min = \"10ms\", max = \"20ms\" }}\n\
         breaker = {{ failures = 5, probe_interval = \"10ms\" }}\n\
         [handler.rows.sql]\nurl = \"sqlite:{}\"\ntable = \"log\"\ncreate_table = true\n\
         columns = {{ n = \"data.n\", fill = \"data.fill\" }}\n",
        database.display()
    );
    let gateway = Gateway::with("", &handler);
    let send = |numbers: std::ops::RangeInclusive<u64>| {
        for n in numbers {
            let fill = "x".repeat(30_000);
            let body = format!(r#"{{"event":"x","data":{{"n":{n},"fill":"{fill}"}}}}"#);
            assert_eq!(gateway.send(body.as_bytes()).status, 200);
        }
    };
    send(1..=5);
    gateway.wait_until_delivered("rows", 5);
    let ballast = disk.path().join("ballast");
    fill(&ballast);
    send(6..=60);
    gateway.wait_for_outcomes("rows", "retry", 20);
    std::fs::remove_file(&ballast).unwrap();
    gateway.wait_until_delivered("rows", 60);
    gateway.stop();

    let url = format!("sqlite://{}", database.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT n FROM log").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut numbers: Vec<u64> = rows.iter().map(|(n,)| n.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
}

fn send(served: &Served, n: usize) -> wire::Answer {
    let body = format!(r#"{{"event":"comment.create","n":{n},"fill":"{}"}}"#, "x".repeat(60_000));
    let body = body.as_bytes();
    wire::post(served.public(), "/hooks/hyvor", &[("X-Signature", &signature(body))], body)
}

/// Writes until nothing fits any more.
fn fill(path: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 4 << 10] {
        while file.write_all(&vec![1; size]).and_then(|()| file.sync_data()).is_ok() {}
    }
}
