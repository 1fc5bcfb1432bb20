//! Replays write again, deletes go past the filter, and rows keep what only their insert wrote.

use gatepost::event::{Delivery, Origin};
use serde_json::{Value, json};

use super::{Database, Engine};
use crate::support::gateway::Gateway;
use crate::support::kinds::delivery;
use crate::support::program::{printed, run};

fn replay(delivery: Delivery, replay: u32) -> Delivery {
    Delivery { origin: Origin::Entry, replay, ..delivery }
}

fn comment(number: u64, data: &Value) -> Delivery {
    delivery(number, "comment.create", data)
}

#[tokio::test]
async fn rows_are_replayed_kept_and_deleted_in_sqlite() {
    over_all_promises(Engine::Sqlite).await;
}

#[tokio::test]
async fn rows_are_replayed_kept_and_deleted_in_postgresql() {
    over_all_promises(Engine::Postgres).await;
}

#[tokio::test]
async fn rows_are_replayed_kept_and_deleted_in_mariadb() {
    over_all_promises(Engine::MySql).await;
}

async fn over_all_promises(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    replay_writes_once_more(&database).await;
    replay_is_no_reason_to_go_back(&database).await;
    kept_columns_are_written_by_an_insert_only(&database).await;
    rows_that_are_only_inserted_stay(&database).await;
    delete_when_deletes(&database).await;
}

async fn replay_writes_once_more(database: &Database) {
    // Without a key every writing shows.
    let sql =
        database.handler("table = \"log\"\ncreate_table = true\ncolumns = { n = \"data.n\" }");
    let event = || comment(1, &json!({"n": 1}));
    for (number, expected) in [(0, 1), (0, 1), (1, 2), (1, 2), (0, 2), (2, 3)] {
        sql.handle(&[replay(event(), number)]).await.unwrap();
        assert_eq!(database.count("log").await, expected, "replay {number}");
    }
    let both = [replay(event(), 3), replay(event(), 3), replay(event(), 4)];
    sql.handle(&both).await.unwrap();
    assert_eq!(database.count("log").await, 5, "each replay once in one batch, too");

    let by_hand = || Delivery::by_hand(event().event);
    sql.handle(&[by_hand()]).await.unwrap();
    sql.handle(&[by_hand()]).await.unwrap();
    assert_eq!(database.count("log").await, 7, "by hand, each time");

    let text = "table = \"posts\"\ncreate_table = true\nkey = \"id\"\ncolumns = { id = \"data.id\"";
    let row = || comment(2, &json!({"id": "a", "title": "T"}));
    database.handler(&format!("{text} }}")).handle(&[row()]).await.unwrap();
    let sql = database.handler(&format!("{text}, title = \"data.title\" }}"));
    sql.handle(&[row()]).await.unwrap();
    assert_eq!(database.texts("SELECT title FROM posts").await, ["-"], "a repeat");
    sql.handle(&[replay(row(), 1)]).await.unwrap();
    assert_eq!(database.texts("SELECT title FROM posts").await, ["T"], "a replay");
    database.run("DELETE FROM posts").await;
    sql.handle(&[replay(row(), 2)]).await.unwrap();
    assert_eq!(database.texts("SELECT title FROM posts").await, ["T"], "what was deleted is back");
}

async fn replay_is_no_reason_to_go_back(database: &Database) {
    let text = "table = \"versioned\"\ncreate_table = true\nkey = \"id\"\nnewer_by = \"data.v\"\n\
                columns = { id = \"data.id\", v = \"data.v\" }";
    let sql = database.handler(text);
    let at = |number, v: u64| comment(number, &json!({"id": "a", "v": v}));
    sql.handle(&[at(11, 1), at(12, 2)]).await.unwrap();
    database.run("DELETE FROM versioned").await;
    sql.handle(&[replay(at(11, 1), 1)]).await.unwrap();
    assert_eq!(database.count("versioned").await, 0, "older than what was there");
    sql.handle(&[replay(at(12, 2), 1)]).await.unwrap();
    assert_eq!(database.texts("SELECT v FROM versioned").await, ["2"]);
}

async fn kept_columns_are_written_by_an_insert_only(database: &Database) {
    let text = r#"
        table = "kept"
        create_table = true
        key = "id"
        keep = ["created_at"]
        delete_on = ["hyvor:comment.delete"]
        columns = { id = "data.id", created_at = "data.at", updated_at = "data.at" }
    "#;
    let sql = database.handler(text);
    let at = |number, at: &str| comment(number, &json!({"id": "a", "at": at}));
    let times = match database.engine {
        Engine::Sqlite | Engine::Postgres => "SELECT created_at || ' ' || updated_at FROM kept",
        Engine::MySql => "SELECT concat(created_at, ' ', updated_at) FROM kept",
    };
    sql.handle(&[at(21, "1"), at(22, "2")]).await.unwrap();
    assert_eq!(database.texts(times).await, ["1 2"], "within a batch");
    sql.handle(&[at(23, "3")]).await.unwrap();
    assert_eq!(database.texts(times).await, ["1 3"]);
    let gone = delivery(24, "comment.delete", &json!({"id": "a"}));
    sql.handle(&[gone, at(25, "5"), at(26, "6")]).await.unwrap();
    assert_eq!(database.texts(times).await, ["5 6"], "a new row");
}

async fn rows_that_are_only_inserted_stay(database: &Database) {
    let text = r#"
        table = "first"
        create_table = true
        key = "id"
        on_conflict = "ignore"
        delete_on = ["hyvor:comment.delete"]
        columns = { id = "data.id", body = "data.body" }
    "#;
    let sql = database.handler(text);
    let says = |number, body: &str| comment(number, &json!({"id": "a", "body": body}));
    sql.handle(&[says(31, "first"), says(32, "second")]).await.unwrap();
    sql.handle(&[says(33, "third")]).await.unwrap();
    assert_eq!(database.texts("SELECT body FROM first").await, ["first"]);
    let gone = delivery(34, "comment.delete", &json!({"id": "a"}));
    sql.handle(&[gone, says(35, "new"), says(36, "newer")]).await.unwrap();
    assert_eq!(database.texts("SELECT body FROM first").await, ["new"]);
}

async fn delete_when_deletes(database: &Database) {
    let text = r#"
        table = "published"
        create_table = true
        key = "id"
        delete_when = 'data.status in ["spam", "deleted"]'
        columns = { id = "data.id", status = "data.status" }
    "#;
    let sql = database.handler(text);
    let is = |number, id: &str, status: &str| comment(number, &json!({"id": id, "status": status}));
    let batch = [is(41, "a", "published"), is(42, "b", "published"), is(43, "a", "spam")];
    sql.handle(&batch).await.unwrap();
    assert_eq!(database.texts("SELECT id FROM published").await, ["b"]);
}

const HANDLER: &str = r#"
[handler.rows]
on = ["hyvor:comment.*"]
when = 'data.comment.status == "published"'
[handler.rows.sql]
url = "sqlite:site.db"
table = "comments"
create_table = true
key = "id"
delete_on = ["hyvor:comment.delete"]
delete_when = 'data.comment.status != "published"'
columns = { id = "data.comment.id", body = "data.comment.body" }
"#;

fn body(event: &str, id: u64, status: &str) -> String {
    let comment = json!({"id": id, "status": status, "body": format!("body {id}")});
    json!({"event": event, "data": {"comment": comment}}).to_string()
}

async fn rows(gateway: &Gateway) -> Vec<String> {
    use sqlx::{Connection, Row};
    let url = format!("sqlite://{}/site.db", gateway.folder.path().display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let rows = sqlx::query("SELECT id || ' ' || body FROM comments ORDER BY id");
    let rows = rows.fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn change(gateway: &Gateway, sql: &'static str) {
    use sqlx::Connection;
    let url = format!("sqlite://{}/site.db", gateway.folder.path().display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_and_takedowns_go_past_when() {
    let gateway = Gateway::with("", HANDLER);
    let send = |event, id, status| {
        assert_eq!(gateway.send(body(event, id, status).as_bytes()).status, 200);
    };
    for id in 1..=4 {
        send("comment.create", id, "published");
    }
    send("comment.create", 5, "pending");
    gateway.wait_until_delivered("rows", 5);
    assert_eq!(rows(&gateway).await, ["1 body 1", "2 body 2", "3 body 3", "4 body 4"]);
    send("comment.update", 1, "spam");
    send("comment.delete", 2, "deleted");
    // A delete says little about what it deletes.
    let bare = r#"{"event":"comment.delete","data":{"comment":{"id":3}}}"#;
    assert_eq!(gateway.send(bare.as_bytes()).status, 200);
    gateway.wait_until_delivered("rows", 8);
    assert_eq!(rows(&gateway).await, ["4 body 4"]);
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_by_the_command_writes_rows_again_each_time() {
    let gateway = Gateway::with("", HANDLER);
    for id in 1..=3 {
        assert_eq!(gateway.send(body("comment.create", id, "published").as_bytes()).status, 200);
    }
    gateway.wait_until_delivered("rows", 3);
    let all = ["1 body 1", "2 body 2", "3 body 3"];
    assert_eq!(rows(&gateway).await, all);
    for round in 1..=3_u64 {
        change(&gateway, "DELETE FROM comments").await;
        let folder = &gateway.folder;
        let said = ["events", "replay", "--handler", "rows", "--source", "hyvor", "--restart"];
        printed(&run(folder, &said), 0);
        gateway.wait_until_delivered("rows", 3 + round * 3);
        assert_eq!(rows(&gateway).await, all, "replay {round}");
    }
    gateway.stop();
}
