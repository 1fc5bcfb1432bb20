//! Columns that must have a value and get it from the database: by a trigger, or as a generated one.

use serde_json::json;

use super::online::check;
use super::{Database, Engine};
use crate::support::kinds::{assert_permanent, assert_transient, delivery};

const ROWS: &str = "table = \"t\"\nkey = \"id\"\ncolumns = { id = \"data.id\", n = \"data.n\" }";

#[tokio::test]
async fn column_that_a_trigger_of_postgresql_fills_needs_no_value() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    let table = "CREATE TABLE t (id int PRIMARY KEY, n int, must int NOT NULL, twice int GENERATED ALWAYS AS \
                 (n * 2) STORED NOT NULL)";
    database.run(table).await;
    let told = check(&database, ROWS).await.unwrap_err();
    assert!(told.contains("column `must` of table `t` must have a value"), "{told}");
    let sql = database.handler(ROWS);
    let row = |number| delivery(number, "x", &json!({"id": number, "n": 5}));
    assert_transient(&sql.handle(&[row(1)]).await.unwrap_err());
    database
        .run(
            "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN NEW.must := NEW.n + 1; RETURN NEW; END'; \
             CREATE TRIGGER fill AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION fill()",
        )
        .await;
    // One that runs after the insert fills nothing.
    assert_transient(&sql.handle(&[row(1)]).await.unwrap_err());
    database
        .run(
            "DROP TRIGGER fill ON t; \
             CREATE TRIGGER fill BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION fill()",
        )
        .await;
    check(&database, ROWS).await.unwrap();
    sql.handle(&[row(1)]).await.unwrap();
    assert_eq!(database.texts("SELECT concat_ws(' ', id, must, twice) FROM t").await, ["1 6 10"]);
    // A trigger that fills something else is no fault of the row, a value that is missing is.
    database
        .run(
            "CREATE OR REPLACE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN NEW.n := NEW.n + 1; RETURN NEW; END'; ALTER TABLE t ALTER n SET NOT NULL",
        )
        .await;
    let failure = sql.handle(&[row(2)]).await.unwrap_err();
    assert_transient(&failure);
    assert!(failure.text.as_str().contains("\"must\""), "{failure}");
    database.run("ALTER TABLE t ALTER must SET DEFAULT 0").await;
    let absent = delivery(3, "x", &json!({"id": 3}));
    assert_permanent(&sql.handle(&[absent]).await.unwrap_err());
    // One that only runs for copies of another server's rows fills nothing here.
    database.run("ALTER TABLE t ALTER must DROP DEFAULT, ENABLE REPLICA TRIGGER fill").await;
    let told = check(&database, ROWS).await.unwrap_err();
    assert!(told.contains("column `must` of table `t` must have a value"), "{told}");
}

#[tokio::test]
async fn column_that_a_trigger_of_mariadb_fills_needs_no_value() {
    let Some(database) = Database::start(Engine::MySql).await else { return };
    let table = "CREATE TABLE t (id int PRIMARY KEY, n int, must int NOT NULL, twice int AS (n * 2) STORED)";
    database.run(table).await;
    let told = check(&database, ROWS).await.unwrap_err();
    assert!(told.contains("column `must` of table `t` must have a value"), "{told}");
    let sql = database.handler(ROWS);
    let row = |number| delivery(number, "x", &json!({"id": number, "n": 5}));
    let failure = sql.handle(&[row(1)]).await.unwrap_err();
    assert_transient(&failure);
    assert!(failure.text.as_str().contains("'must'"), "{failure}");
    database
        .run("CREATE TRIGGER fill BEFORE INSERT ON t FOR EACH ROW SET NEW.must = NEW.n + 1")
        .await;
    check(&database, ROWS).await.unwrap();
    sql.handle(&[row(1)]).await.unwrap();
    // A user who is not told of triggers.
    database.run("CREATE USER site@localhost").await;
    database.run("GRANT SELECT, INSERT, UPDATE, CREATE ON site.* TO site@localhost").await;
    let url = database.url.replace("root@", "site@");
    database.handler_at(&url, ROWS).handle(&[row(2)]).await.unwrap();
    let rows = "SELECT CAST(CONCAT_WS(' ', id, must, twice) AS CHAR) FROM t ORDER BY id";
    assert_eq!(database.texts(rows).await, ["1 6 10", "2 6 10"]);
}
