//! `gatepost check --online`: the real table is compared with the configuration.

use super::{Database, Engine};
use crate::support::gateway::Folder;
use crate::support::kinds::{context, settings};
use crate::support::program::{printed, run};

pub(super) async fn check(database: &Database, text: &str) -> Result<(), String> {
    let text = format!("url = \"{}\"\n{text}", database.url);
    let settings = settings("sql", &text, database.folder.path());
    let checked = settings.check_online(&context(database.folder.path())).await;
    checked.map_err(|err| err.to_string())
}

async fn compare(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    // SQLite's file is not there before.
    database.run("CREATE TABLE other (id int)").await;
    let text = "table = \"own\"\nkey = \"id\"\n\
                columns = { id = \"data.id\", at = { value = \"data.at\", type = \"timestamp\" } }";
    let err = check(&database, text).await.unwrap_err();
    assert!(err.starts_with("table `own` does not exist"), "{err}");
    check(&database, &format!("create_table = true\n{text}")).await.unwrap();
    let tables = check(&database, text).await.unwrap_err();
    assert_eq!(tables, err, "checking makes nothing");

    database.run("CREATE TABLE own (id int, must int NOT NULL, at boolean)").await;
    let err = check(&database, text).await.unwrap_err();
    for part in [
        "column `must` of table `own` must have a value and gets none",
        "no unique index over just (id)",
        "it takes no timestamp",
    ] {
        assert!(err.contains(part), "{part} is not in {err}");
    }
    database.run("DROP TABLE own").await;
    database.run("CREATE TABLE own (id int PRIMARY KEY, at timestamp NULL)").await;
    check(&database, text).await.unwrap();
}

#[tokio::test]
async fn a_sqlite_table_is_compared() {
    compare(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_postgresql_table_is_compared() {
    compare(Engine::Postgres).await;
}

#[tokio::test]
async fn a_mariadb_table_is_compared() {
    compare(Engine::MySql).await;
}

/// The next event adds it: nothing is in the way.
async fn new_column(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    database.run("CREATE TABLE own (id int PRIMARY KEY)").await;
    let text = "table = \"own\"\ncreate_table = true\nkey = \"id\"\n\
                columns = { id = \"data.id\", url = \"data.url\" }";
    check(&database, text).await.unwrap();
    let row = crate::support::kinds::delivery(1, "x", &serde_json::json!({"id": 1, "url": "u"}));
    database.handler(text).handle(&[row]).await.unwrap();
    check(&database, text).await.unwrap();
    // All of them are new, and none is the key.
    database.run("CREATE TABLE bare (other int)").await;
    let text = "table = \"bare\"\ncreate_table = true\ncolumns = { url = \"data.url\" }";
    check(&database, text).await.unwrap();
    if engine == Engine::Postgres {
        database.run("CREATE ROLE site LOGIN").await;
        database.run("GRANT ALL ON bare, own, gatepost_ledger TO site").await;
        let url = database.url.replace("postgres://postgres@", "postgres://site@");
        let text = format!("url = \"{url}\"\n{text}");
        let checked = settings("sql", &text, database.folder.path());
        let checked = checked.check_online(&context(database.folder.path())).await;
        let err = checked.unwrap_err().to_string();
        assert!(err.contains("table \"bare\" lacks \"url\", and the user may not"), "{err}");
    }
}

#[tokio::test]
async fn right_to_add_a_column_that_a_mariadb_user_lacks_is_found() {
    let Some(database) = Database::start(Engine::MySql).await else { return };
    let text = "table = \"bare\"\ncreate_table = true\ncolumns = { other = \"data.id\", url = \"data.url\" }";
    for sql in [
        "CREATE TABLE bare (other int)",
        "CREATE TABLE gatepost_ledger (handler varchar(64), event_id char(36), at datetime(6))",
        "CREATE USER site@localhost",
        "GRANT SELECT, INSERT ON gatepost_ledger TO site@localhost",
        "GRANT SELECT, INSERT ON bare TO site@localhost",
    ] {
        database.run(sql).await;
    }
    let url = database.url.replace("mysql://root@", "mysql://site@");
    let of_site = format!("url = \"{url}\"\n{text}");
    let checked = async || {
        let settings = settings("sql", &of_site, database.folder.path());
        let checked = settings.check_online(&context(database.folder.path())).await;
        checked.map_err(|err| err.to_string())
    };
    let err = checked().await.unwrap_err();
    assert!(err.contains("table `bare` lacks `url`, and the user may not add that"), "{err}");
    for (grant, revoke) in [
        ("GRANT ALTER ON bare TO site@localhost", "REVOKE ALTER ON bare FROM site@localhost"),
        ("GRANT ALTER ON `si%`.* TO site@localhost", "REVOKE ALTER ON `si%`.* FROM site@localhost"),
        ("GRANT ALTER ON *.* TO site@localhost", "REVOKE ALTER ON *.* FROM site@localhost"),
    ] {
        database.run(grant).await;
        checked().await.unwrap();
        database.run(revoke).await;
        assert_eq!(checked().await.unwrap_err(), err, "{revoke}");
    }
    // By a role, whose rights only the server knows.
    for sql in [
        "CREATE ROLE writer",
        "GRANT ALTER ON bare TO writer",
        "GRANT writer TO site@localhost",
        "SET DEFAULT ROLE writer FOR site@localhost",
    ] {
        database.run(sql).await;
    }
    checked().await.unwrap();
}

/// With all other rights: what is not there is told to be made by the next event, which could not.
#[tokio::test]
async fn right_to_make_a_table_that_a_mariadb_user_lacks_is_found() {
    let Some(database) = Database::start(Engine::MySql).await else { return };
    for sql in
        ["CREATE USER site@localhost", "GRANT SELECT, INSERT, UPDATE ON site.* TO site@localhost"]
    {
        database.run(sql).await;
    }
    let url = database.url.replace("mysql://root@", "mysql://site@");
    let text = "table = \"own\"\ncreate_table = true\nkey = \"id\"\nnewer_by = \"data.v\"\n\
                columns = { id = { value = \"data.id\", type = \"integer\" } }";
    let of_site = format!("url = \"{url}\"\n{text}");
    let settings = settings("sql", &of_site, database.folder.path());
    let checked = async || {
        let checked = settings.check_online(&context(database.folder.path())).await;
        checked.map_err(|err| err.to_string())
    };
    for table in ["own", "gatepost_ledger", "gatepost_versions"] {
        let err = checked().await.unwrap_err();
        let expected =
            format!("there is no table `{table}`, and the user may not make it: `GRANT CREATE ON");
        assert!(err.contains(&expected), "{err}");
        database.run(&format!("GRANT CREATE ON {table} TO site@localhost")).await;
    }
    checked().await.unwrap();
    assert_eq!(database.texts("SHOW TABLES").await, Vec::<String>::new(), "checking makes nothing");
    let row = crate::support::kinds::delivery(1, "x", &serde_json::json!({"id": 1, "v": 1}));
    let sql = database.handler_at(&url, text);
    sql.handle(&[row]).await.unwrap();
    sql.close().await;
    assert_eq!(database.count("own").await, 1);
}

#[tokio::test]
async fn a_new_column_is_nothing_in_the_way_of_sqlite() {
    new_column(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_new_column_is_nothing_in_the_way_of_postgresql() {
    new_column(Engine::Postgres).await;
}

#[tokio::test]
async fn a_new_column_is_nothing_in_the_way_of_mariadb() {
    new_column(Engine::MySql).await;
}

#[tokio::test]
async fn rights_that_a_postgresql_user_lacks_are_found() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    for sql in [
        "CREATE ROLE site LOGIN",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "CREATE TABLE own (id int PRIMARY KEY, body text)",
    ] {
        database.run(sql).await;
    }
    let text = "table = \"own\"\nkey = \"id\"\nnewer_by = \"data.v\"\n\
                columns = { id = \"data.id\", body = \"data.body\" }";
    let url = database.url.replace("postgres://postgres@", "postgres://site@");
    let of_site = format!("url = \"{url}\"\n{text}");
    let checked = async || {
        let settings = settings("sql", &of_site, database.folder.path());
        let checked = settings.check_online(&context(database.folder.path())).await;
        checked.map_err(|err| err.to_string())
    };
    let refused = async |expected: &str| {
        let err = checked().await.unwrap_err();
        assert!(err.contains(expected), "{expected} is not in {err}");
    };
    refused("permission denied for table own (42501)").await;
    database.run("GRANT SELECT, INSERT ON own TO site").await;
    refused("permission denied for table own (42501)").await;
    database.run("GRANT UPDATE ON own TO site").await;
    refused("there is no table `gatepost_ledger`, and the user may not make it").await;
    // Its owner made them by an event of its own.
    let row = crate::support::kinds::delivery(1, "x", &serde_json::json!({"id": 1, "v": 1}));
    database.handler(text).handle(&[row]).await.unwrap();
    refused("permission denied for table gatepost_ledger (42501)").await;
    database.run("GRANT SELECT, INSERT ON gatepost_ledger TO site").await;
    refused("permission denied for table gatepost_versions (42501)").await;
    database.run("GRANT SELECT, INSERT, UPDATE ON gatepost_versions TO site").await;
    checked().await.unwrap();
    assert_eq!(database.count("own").await, 1, "checking writes nothing");
    assert_eq!(database.count("gatepost_ledger").await, 1);
}

#[tokio::test]
async fn rights_that_a_mariadb_user_lacks_are_found() {
    let Some(database) = Database::start(Engine::MySql).await else { return };
    database.run("CREATE TABLE own (id int PRIMARY KEY, body text)").await;
    let text =
        "table = \"own\"\nkey = \"id\"\ncolumns = { id = \"data.id\", body = \"data.body\" }";
    let row = crate::support::kinds::delivery(1, "x", &serde_json::json!({"id": 1}));
    database.handler(text).handle(&[row]).await.unwrap();
    for sql in
        ["CREATE USER site@localhost", "GRANT SELECT, INSERT, UPDATE ON own TO site@localhost"]
    {
        database.run(sql).await;
    }
    let url = database.url.replace("mysql://root@", "mysql://site@");
    let of_site = format!("url = \"{url}\"\n{text}");
    let settings = settings("sql", &of_site, database.folder.path());
    let checked = async || {
        let checked = settings.check_online(&context(database.folder.path())).await;
        checked.map_err(|err| err.to_string())
    };
    let err = checked().await.unwrap_err();
    assert!(err.contains("the user may not use table `gatepost_ledger`"), "{err}");
    database.run("GRANT SELECT, INSERT, UPDATE ON gatepost_ledger TO site@localhost").await;
    checked().await.unwrap();
}

/// By the command itself: every problem in one line, and an exit code that says so.
async fn by_the_command(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    let url = match engine {
        Engine::Sqlite => format!("sqlite:{}/site.db", database.folder.path().display()),
        Engine::Postgres | Engine::MySql => database.url.clone(),
    };
    let table = format!(
        "[handler.rows.sql]\nurl = \"{url}\"\ntable = \"own\"\nkey = \"id\"\n\
         columns = {{ id = \"data.id\", body = \"data.body\" }}\n"
    );
    let folder = Folder::new("", &table);
    let check = || run(&folder, &["check", "--online"]);
    database.run("CREATE TABLE own (id int PRIMARY KEY)").await;
    let output = check();
    printed(&output, 1);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("handler `rows` could not deliver now: table"), "{told}");
    assert!(told.contains("table `own` has no column `body`"), "{told}");
    database.run("ALTER TABLE own ADD COLUMN body text").await;
    printed(&check(), 0);
}

#[tokio::test]
async fn the_command_compares_a_sqlite_table() {
    by_the_command(Engine::Sqlite).await;
}

#[tokio::test]
async fn the_command_compares_a_postgresql_table() {
    by_the_command(Engine::Postgres).await;
}

#[test]
fn check_warns_where_an_older_event_may_overwrite_a_newer_one() {
    let table = "[handler.rows.sql]\nurl = \"sqlite:site.db\"\ntable = \"t\"\ncreate_table = true\n\
                 columns = { id = \"data.comment.id\", at = \"data.comment.created_at\" }\n";
    let told = |more: &str, order: &str| {
        let folder = Folder::new(
            "",
            &table.replace("[handler.rows.sql]\n", &format!("{order}[handler.rows.sql]\n{more}")),
        );
        let output = run(&folder, &["check"]);
        printed(&output, 0);
        String::from_utf8(output.stderr).unwrap().contains("may overwrite what a newer one wrote")
    };
    let key = "key = \"id\"\n";
    assert!(told(key, ""));
    assert!(!told(key, "[handler.rows]\norder_by = \"data.comment.id\"\n"));
    assert!(!told(&format!("{key}newer_by = \"data.comment.created_at\"\n"), ""));
    assert!(!told("", ""), "each event is a row of its own");

    // The same of an owner's own statements, which know neither `key` nor `newer_by`.
    let told = |sql: &str, order: &str| {
        let sql = format!("url = \"sqlite:site.db\"\nstatements = [\"{sql}\"]\n");
        let folder = Folder::new("", &format!("{order}[handler.rows.sql]\n{sql}"));
        let output = run(&folder, &["check"]);
        printed(&output, 0);
        let told = String::from_utf8(output.stderr).unwrap();
        let is_told = told.contains("may overwrite what a newer one wrote");
        assert_eq!(is_told, told.contains("or compare what is newer in the statement"), "{told}");
        is_told
    };
    let update = "UPDATE t SET body = {{ data.comment.body }} WHERE id = {{ data.comment.id }}";
    assert!(told(update, ""));
    assert!(!told(update, "[handler.rows]\norder_by = \"data.comment.id\"\n"));
    assert!(!told(&format!("{update} AND at < {{{{ data.comment.created_at }}}}"), ""));
}
