//! Batches that wait for their turn.

use crate::handler::sql::tests::{COMMENTS, bodies, comment, open};
use crate::handler::testing::handler;

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
