//! Batches that wait for their turn.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::ManualClock;
use crate::handler::BuildContext;
use crate::handler::sql::tests::{COMMENTS, bodies, comment, open};
use crate::handler::testing::{NOW, context, handler, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_batches_are_written_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let sql = handler("sql", COMMENTS, folder.path());
    sql.handle(&[comment(1, 5, "first")]).await.unwrap();
    for round in 0..25 {
        let number = |n: u64| 2 + round * 4 + n;
        let batches = ["a", "b", "c", "last"].into_iter().zip(0..);
        let batches: Vec<_> = batches.map(|(body, n)| [comment(number(n), 5, body)]).collect();
        let calls = batches.iter().map(|batch| sql.handle(batch));
        for written in futures_util::future::join_all(calls).await {
            written.unwrap();
        }
        assert_eq!(bodies(folder.path()).await, ["5 last"], "round {round}");
    }
}

#[tokio::test]
async fn a_batch_that_waits_behind_a_failed_one_looks_at_the_table_again() {
    let folder = tempfile::tempdir().unwrap();
    let sql = handler("sql", COMMENTS, folder.path());
    sql.handle(&[comment(1, 5, "first")]).await.unwrap();
    sqlx::raw_sql("ALTER TABLE comments RENAME COLUMN author TO writer")
        .execute(&mut open(folder.path()).await)
        .await
        .unwrap();
    let (failed, waiting) = ([comment(2, 6, "a")], [comment(3, 7, "b")]);
    let (failed, waiting) = tokio::join!(sql.handle(&failed), sql.handle(&waiting));
    assert!(failed.unwrap_err().text.as_str().contains("author"));
    // It finds that the column is gone, and makes it.
    waiting.unwrap();
    assert_eq!(bodies(folder.path()).await, ["5 first", "7 b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_wait_behind_a_failed_one_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let sql = handler("sql", COMMENTS, folder.path());
    sql.handle(&[comment(1, 5, "first")]).await.unwrap();
    sqlx::raw_sql(
        "CREATE TRIGGER t BEFORE INSERT ON comments WHEN new.body = 'bad' BEGIN SELECT raise(abort, \
         'no'); END",
    )
    .execute(&mut open(folder.path()).await)
    .await
    .unwrap();
    for round in 0..25 {
        let batches = [("bad", 6), ("a", 5), ("b", 5), ("last", 5)].into_iter().zip(0..);
        let batches: Vec<_> =
            batches.map(|((body, row), n)| [comment(2 + round * 4 + n, row, body)]).collect();
        let calls = batches.iter().map(|batch| sql.handle(batch));
        let written = futures_util::future::join_all(calls).await;
        assert_eq!(written.iter().filter(|one| one.is_err()).count(), 1, "round {round}");
        assert_eq!(bodies(folder.path()).await, ["5 last"], "round {round}");
    }
}

/// 12,000 rows of 1970 in the ledger.
const OLD: &str = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 12000) \
                   INSERT INTO gatepost_ledger SELECT 'test', \
                   printf('00000000-0000-7000-8000-%012d', n), '1970-01-02 00:00:00.000000' FROM n";

async fn wait_for_count(folder: &std::path::Path, expected: i64) {
    let mut database = open(folder).await;
    let mut found = -1;
    for _ in 0..2_000 {
        let count = sqlx::query_scalar("SELECT count(*) FROM gatepost_ledger");
        found = count.fetch_one(&mut database).await.unwrap();
        if found == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{found} rows in place of {expected}");
}

#[tokio::test]
async fn what_was_removed_of_a_big_ledger_stays_removed_where_the_rest_fails() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let context = BuildContext { clock: Arc::clone(&clock) as _, ..context(folder.path()) };
    let sql = settings("sql", COMMENTS, folder.path()).build(&context).unwrap();
    sql.handle(&[comment(1, 5, "a")]).await.unwrap();
    let mut database = open(folder.path()).await;
    sqlx::raw_sql(OLD).execute(&mut database).await.unwrap();
    let fails = "CREATE TRIGGER t BEFORE DELETE ON gatepost_ledger WHEN old.event_id LIKE '%007000' \
                 BEGIN SELECT raise(abort, 'no'); END";
    sqlx::raw_sql(fails).execute(&mut database).await.unwrap();
    clock.advance(Duration::from_hours(1));
    sql.handle(&[comment(2, 6, "b")]).await.unwrap();
    wait_for_count(folder.path(), 7_002).await;
    // The next hour's goes on, to the end.
    sqlx::raw_sql("DROP TRIGGER t").execute(&mut database).await.unwrap();
    clock.advance(Duration::from_hours(1));
    sql.handle(&[comment(3, 7, "c")]).await.unwrap();
    wait_for_count(folder.path(), 3).await;
    sql.close().await;
}
