//! Columns of bits, which a text of digits fills with the codes of its characters.

use serde_json::json;

use super::{Database, Engine};
use crate::support::kinds::{assert_permanent, delivery};

const BITS: &str = "table = \"t\"\nkey = \"id\"\ncolumns = { id = \"data.id\", yes = \"data.yes\", n = \"data.n\" }";

#[tokio::test]
async fn bits_of_mariadb_take_numbers_and_truth_values() {
    let Some(database) = Database::start(Engine::MySql).await else { return };
    database.run("CREATE TABLE t (id bit(16) PRIMARY KEY, yes bit(1), n bit(8))").await;
    let sql = database.handler(BITS);
    for (number, data) in [
        (1, json!({"id": 300, "yes": true, "n": 5})),
        (2, json!({"id": 2, "yes": false, "n": "5"})),
        (3, json!({"id": 3, "yes": 1, "n": true})),
        (4, json!({"id": 4, "yes": null, "n": 255})),
        // The same row again, found by its bits.
        (5, json!({"id": 300, "yes": "0", "n": 6})),
    ] {
        sql.handle(&[delivery(number, "x", &data)]).await.unwrap();
    }
    let rows = "SELECT CAST(CONCAT_WS(' ', id + 0, IFNULL(yes + 0, '-'), n + 0) AS CHAR) FROM t \
                ORDER BY id";
    assert_eq!(database.texts(rows).await, ["2 0 5", "3 1 1", "4 - 255", "300 0 6"]);
    // What has no place there is no other number.
    for n in [json!(256), json!("five")] {
        let refused = delivery(9, "x", &json!({"id": 9, "n": n}));
        assert_permanent(&sql.handle(&[refused]).await.unwrap_err());
    }
}

#[tokio::test]
async fn single_bit_of_postgresql_takes_truth_values() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, yes bit(1), n bit varying(8))").await;
    let sql = database.handler(BITS);
    for (number, data) in [
        (1, json!({"id": 1, "yes": true, "n": "101"})),
        (2, json!({"id": 2, "yes": false})),
        (3, json!({"id": 3, "yes": 1})),
        (4, json!({"id": 4, "yes": "0"})),
        (5, json!({"id": 5})),
    ] {
        sql.handle(&[delivery(number, "x", &data)]).await.unwrap();
    }
    let rows = "SELECT concat_ws(' ', id, coalesce(yes::text, '-'), n::text) FROM t ORDER BY id";
    assert_eq!(database.texts(rows).await, ["1 1 101", "2 0", "3 1", "4 0", "5 -"]);
    let refused = delivery(9, "x", &json!({"id": 9, "yes": "perhaps"}));
    assert_permanent(&sql.handle(&[refused]).await.unwrap_err());
}

#[tokio::test]
async fn several_bits_of_postgresql_take_numbers_and_digits() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    database
        .run("CREATE TABLE t (id int PRIMARY KEY, yes bit(8), n bit varying(4), free bit varying)")
        .await;
    let columns =
        "columns = { id = \"data.id\", yes = \"data.yes\", n = \"data.n\", free = \"data.n\" }";
    let sql = database.handler(&format!("table = \"t\"\nkey = \"id\"\n{columns}"));
    for (number, data) in [
        (1, json!({"id": 1, "yes": 5, "n": 5})),
        (2, json!({"id": 2, "yes": "00000101", "n": "0101"})),
        (3, json!({"id": 3, "yes": true, "n": false})),
        (4, json!({"id": 4, "yes": "", "n": null})),
    ] {
        sql.handle(&[delivery(number, "x", &data)]).await.unwrap();
    }
    let rows = "SELECT concat_ws(' ', id, yes::text, n::text, free::text) FROM t ORDER BY id";
    let expected = ["1 00000101 101 101", "2 00000101 0101 0101", "3 00000001 0 0", "4"];
    assert_eq!(database.texts(rows).await, expected);
    // No bit is cut off, and none is added where the text says which there are.
    for yes in [json!(256), json!("101"), json!(-1), json!("five")] {
        let refused = delivery(9, "x", &json!({"id": 9, "yes": yes}));
        assert_permanent(&sql.handle(&[refused]).await.unwrap_err());
    }
}
