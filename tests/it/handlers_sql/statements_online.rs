//! `gatepost check --online` over statements of the owner's own: the database reads each, and runs none.

use super::statements::{STATEMENTS, make_tables};
use super::{Database, Engine};
use crate::support::kinds::{context, settings};

async fn check_at(database: &Database, url: &str, text: &str) -> Result<(), String> {
    let settings = settings("sql", &format!("url = \"{url}\"\n{text}"), database.folder.path());
    let checked = settings.check_online(&context(database.folder.path())).await;
    checked.map_err(|err| err.to_string())
}

async fn read_by_the_server(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    let check = async |text: &str| check_at(&database, &database.url, text).await;
    database.run("CREATE TABLE other (id int)").await;
    let err = check(STATEMENTS).await.unwrap_err();
    let (first, second) = err.split_once("; ").unwrap();
    assert!(first.starts_with("statement 1: ") && first.contains("orders"), "{err}");
    assert!(second.starts_with("statement 2: ") && second.contains("log"), "{err}");

    make_tables(&database).await;
    check(STATEMENTS).await.unwrap();
    let err = check(&STATEMENTS.replace("note =", "nota =")).await.unwrap_err();
    assert!(err.starts_with("statement 1: ") && err.contains("nota"), "{err}");
    let err = check("statements = ['UPDATE orders SET note = {{ data.a }}', 'UPDAT orders']").await;
    let err = err.unwrap_err();
    assert!(err.starts_with("statement 2: ") && err.contains("UPDAT"), "{err}");
    assert_eq!(database.count("log").await, 0, "nothing runs");
    let tables = check("statements = 'DELETE FROM gatepost_ledger'").await;
    assert!(tables.unwrap_err().contains("gatepost_ledger"), "nor is the ledger made");
    check("statements = ['DELETE FROM orders', 'SELECT {{ 1 }} + 1']").await.unwrap();
    assert_eq!(database.count("orders").await, 3);
}

#[tokio::test]
async fn sqlite_reads_statements_without_running_them() {
    read_by_the_server(Engine::Sqlite).await;
}

#[tokio::test]
async fn postgresql_reads_statements_without_running_them() {
    read_by_the_server(Engine::Postgres).await;
}

#[tokio::test]
async fn mariadb_reads_statements_without_running_them() {
    read_by_the_server(Engine::MySql).await;
}

async fn rights(engine: Engine, user: &str, url: &str) {
    let Some(database) = Database::start(engine).await else { return };
    make_tables(&database).await;
    let (root, site) = url.split_once(' ').unwrap();
    let url = database.url.replace(root, site);
    let make = if engine == Engine::Postgres {
        "CREATE ROLE site LOGIN"
    } else {
        "CREATE USER site@localhost"
    };
    database.run(make).await;
    let check = async || check_at(&database, &url, STATEMENTS).await;
    let denied = async |expected: &str| {
        let err = check().await.unwrap_err();
        assert!(err.contains(expected), "{expected} is not in {err}");
    };
    database.run(&format!("GRANT SELECT ON orders TO {user}")).await;
    denied("statement 1: ").await;
    database.run(&format!("GRANT UPDATE ON orders TO {user}")).await;
    denied("statement 2: ").await;
    assert!(!check().await.unwrap_err().contains("statement 1"), "that one is allowed now");
    database.run(&format!("GRANT INSERT ON log TO {user}")).await;
    if engine == Engine::Postgres {
        denied("there is no table `gatepost_ledger`, and the user may not make it").await;
    }
    let text = "statements = 'UPDATE orders SET note = {{ 1 }}'";
    let event = crate::support::kinds::delivery(1, "x", &serde_json::json!({}));
    database.handler(text).handle(&[event]).await.unwrap();
    denied("the user may not use table `gatepost_ledger`").await;
    database.run(&format!("GRANT SELECT, INSERT, UPDATE ON gatepost_ledger TO {user}")).await;
    check().await.unwrap();
}

#[tokio::test]
async fn rights_that_statements_need_are_asked_in_postgresql() {
    rights(Engine::Postgres, "site", "postgres://postgres@ postgres://site@").await;
}

#[tokio::test]
async fn rights_that_statements_need_are_asked_in_mariadb() {
    rights(Engine::MySql, "site@localhost", "mysql://root@ mysql://site@").await;
}
