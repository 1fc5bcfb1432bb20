//! The handler over SQLite; `tests/it` runs it over the servers.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row, SqliteConnection};

use super::*;
use crate::event::{
    DataRoot, Dedupe, Event, EventType, FailureKind, Headers, NewEvent, Origin, Position,
    SourceName,
};
use crate::handler::testing::{NOW, context, handler, id, settings, try_settings};

pub(super) const COMMENTS: &str = r#"
url = "sqlite:data/site.db"
table = "comments"
create_table = true
key = ["id"]
delete_on = ["hyvor:comment.delete"]
columns = { id = "data.comment.id", author = "data.comment.user.name", body = "data.comment.body" }
"#;

pub(super) fn event(number: u64, event_type: &str, body: &serde_json::Value) -> Delivery {
    let new = NewEvent {
        source: SourceName::parse("hyvor").unwrap(),
        event_type: EventType::new(event_type),
        received_at: NOW,
        data_root: DataRoot::Data,
        is_json: false,
        headers: Headers::default(),
        body: Bytes::from(body.to_string()),
        dedupe: Dedupe::Off,
    };
    let event = Arc::new(Event::new(new, id(number), Position(number)));
    Delivery {
        event,
        attempt: 1,
        first_attempt_at: None,
        origin: Origin::Log,
        replay: 0,
        progress: None,
        order_key: None,
    }
}

pub(super) fn comment(number: u64, comment_id: u64, body: &str) -> Delivery {
    let comment = json!({"id": comment_id, "user": {"name": "Ann"}, "body": body});
    event(number, "comment.create", &json!({"data": {"comment": comment}}))
}

fn removal(number: u64, comment_id: u64) -> Delivery {
    event(number, "comment.delete", &json!({"data": {"comment": {"id": comment_id}}}))
}

pub(super) async fn open(folder: &Path) -> SqliteConnection {
    let path = folder.join("data/site.db");
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

/// The first column of every row, as text.
async fn column(folder: &Path, sql: &'static str) -> Vec<Option<String>> {
    let rows = sqlx::query(sql).fetch_all(&mut open(folder).await).await.unwrap();
    rows.iter().map(|row| row.get_unchecked(0)).collect()
}

pub(super) async fn bodies(folder: &Path) -> Vec<String> {
    let rows = column(folder, "SELECT id || ' ' || coalesce(body, '-') FROM comments ORDER BY id");
    rows.await.into_iter().map(Option::unwrap).collect()
}

#[tokio::test]
async fn an_event_becomes_a_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let sql = handler("sql", COMMENTS, folder.path());
    sql.handle(&[comment(1, 5, "first")]).await.unwrap();
    sql.handle(&[comment(2, 5, "second"), comment(3, 6, "other")]).await.unwrap();
    assert_eq!(bodies(folder.path()).await, ["5 second", "6 other"]);

    sql.handle(&[comment(1, 5, "first"), comment(4, 7, "new")]).await.unwrap();
    assert_eq!(bodies(folder.path()).await, ["5 second", "6 other", "7 new"], "1 is in already");
    let ledger = column(folder.path(), "SELECT handler || ' ' || event_id FROM gatepost_ledger");
    assert_eq!(ledger.await.len(), 4);
    sql.close().await;
}

#[tokio::test]
async fn a_batch_keeps_the_order_of_its_events() {
    let folder = tempfile::tempdir().unwrap();
    let sql = handler("sql", COMMENTS, folder.path());
    let batch = [
        comment(1, 5, "one"),
        removal(2, 5),
        comment(3, 6, "one"),
        comment(4, 5, "two"),
        comment(5, 6, "two"),
        removal(6, 6),
        comment(6, 7, "a second delivery of event 6"),
    ];
    sql.handle(&batch).await.unwrap();
    assert_eq!(bodies(folder.path()).await, ["5 two"]);
}

#[tokio::test]
async fn what_is_missing_is_null_and_a_key_must_not_be() {
    let folder = tempfile::tempdir().unwrap();
    let sql = handler("sql", COMMENTS, folder.path());
    sql.handle(&[event(1, "x", &json!({"data": {"comment": {"id": 1}}}))]).await.unwrap();
    assert_eq!(bodies(folder.path()).await, ["1 -"]);

    let failure = sql.handle(&[event(2, "x", &json!({"data": {}}))]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert_eq!(failure.text.as_str(), "key column `id` would be NULL");
    let n_rows = column(folder.path(), "SELECT count(*) FROM gatepost_ledger").await;
    assert_eq!(n_rows, [Some("1".to_owned())], "a refused event is not in the ledger");
}

#[tokio::test]
async fn an_older_version_changes_nothing_even_after_a_delete() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{COMMENTS}newer_by = \"data.comment.updated_at\"");
    let sql = handler("sql", &text, folder.path());
    let at = |number, event_type, time: &str| {
        let comment = json!({"id": 5, "body": time, "updated_at": time});
        event(number, event_type, &json!({"data": {"comment": comment}}))
    };
    sql.handle(&[at(1, "comment.create", "2026-01-02T10:00:00Z")]).await.unwrap();
    sql.handle(&[at(2, "comment.edit", "2026-01-02T10:30:00+01:00")]).await.unwrap();
    assert_eq!(bodies(folder.path()).await, ["5 2026-01-02T10:00:00Z"]);
    // In one batch, too: the newest is in the middle.
    let batch = [
        at(3, "comment.edit", "2026-01-02T11:00:00Z"),
        at(4, "comment.edit", "2026-01-02T12:00:00Z"),
        at(5, "comment.edit", "2026-01-02T11:30:00Z"),
    ];
    sql.handle(&batch).await.unwrap();
    assert_eq!(bodies(folder.path()).await, ["5 2026-01-02T12:00:00Z"]);

    sql.handle(&[at(6, "comment.delete", "2026-01-02T13:00:00Z")]).await.unwrap();
    sql.handle(&[at(7, "comment.edit", "2026-01-02T12:30:00Z")]).await.unwrap();
    assert_eq!(bodies(folder.path()).await, [""; 0], "a late edit does not bring it back");
    sql.handle(&[at(8, "comment.create", "2026-01-02T14:00:00Z")]).await.unwrap();
    assert_eq!(bodies(folder.path()).await, ["5 2026-01-02T14:00:00Z"]);

    let failure = sql.handle(&[at(9, "comment.edit", "soon")]).await.unwrap_err();
    assert_eq!(failure.text.as_str(), "`newer_by`: a string is neither number nor time");
}

#[tokio::test]
async fn without_a_key_every_event_is_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
        url = "sqlite:data/site.db"
        table = "log"
        create_table = true
        columns.kind = "event.type"
        columns.at = { value = "event.received_at", type = "timestamp" }
        columns.likes = { value = "data.likes", type = "integer" }
        columns.raw = { value = "payload", type = "json" }
        columns.is_good = { value = "(data.likes | int) > 2", type = "bool" }
    "#;
    let sql = handler("sql", text, folder.path());
    let body = json!({"data": {"likes": "3"}});
    sql.handle(&[event(1, "a", &body), event(2, "b", &body)]).await.unwrap();
    sql.handle(&[event(1, "a", &body)]).await.unwrap();
    let rows = column(
        folder.path(),
        "SELECT kind || ' ' || at || ' ' || typeof(likes) || ' ' || raw || ' ' || \
         coalesce(is_good, '-') FROM log ORDER BY kind",
    );
    let row = |kind: &str| {
        Some(format!("{kind} 2026-11-22T12:00:00.000Z integer {{\"data\":{{\"likes\":\"3\"}}}} 1"))
    };
    assert_eq!(rows.await, [row("a"), row("b")]);
}

#[tokio::test]
async fn a_table_of_the_owners_own_is_extended_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    sqlx::query("CREATE TABLE Comments (ID integer primary key, note text not null default 'x')")
        .execute(&mut open(folder.path()).await)
        .await
        .unwrap();
    let text = COMMENTS.replace("create_table = true", "");
    let sql = handler("sql", &text, folder.path());
    let failure = sql.handle(&[comment(1, 5, "b")]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient, "somebody will add the columns");
    assert!(failure.text.as_str().contains("has no column `author`"), "{failure}");

    let sql = handler("sql", COMMENTS, folder.path());
    sql.handle(&[comment(1, 5, "b")]).await.unwrap();
    let rows =
        column(folder.path(), "SELECT typeof(id) || ' ' || body || ' ' || note FROM comments");
    assert_eq!(rows.await, [Some("integer b x".to_owned())]);
}

#[tokio::test]
async fn a_key_without_a_unique_index_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    sqlx::query(
        "CREATE TABLE comments (id text, author text, body text not null, must int not null)",
    )
    .execute(&mut open(folder.path()).await)
    .await
    .unwrap();
    let settings = settings("sql", COMMENTS, folder.path());
    let err = settings.check_online(&context(folder.path())).await.unwrap_err().to_string();
    assert!(err.contains("no unique index over just (id)"), "{err}");
    assert!(err.contains("column `must` of table `comments` must have a value"), "{err}");
}

#[tokio::test]
async fn checking_online_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings("sql", COMMENTS, folder.path());
    settings.check_online(&context(folder.path())).await.unwrap();
    assert!(!folder.path().join("data/site.db").exists());
}

#[tokio::test]
async fn a_constraint_is_permanent_and_takes_nothing_in() {
    let folder = tempfile::tempdir().unwrap();
    let sql = handler("sql", COMMENTS, folder.path());
    sql.handle(&[comment(1, 5, "ok")]).await.unwrap();
    sqlx::query(
        "CREATE TRIGGER t BEFORE INSERT ON comments WHEN new.body = 'bad' BEGIN SELECT \
                 raise(abort, 'no'); END",
    )
    .execute(&mut open(folder.path()).await)
    .await
    .unwrap();
    let batch = [comment(2, 6, "good"), comment(3, 7, "bad")];
    let failure = sql.handle(&batch).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent, "{failure}");
    assert_eq!(bodies(folder.path()).await, ["5 ok"], "all of a batch or none");
    sql.handle(&batch[..1]).await.unwrap();
    assert_eq!(bodies(folder.path()).await, ["5 ok", "6 good"]);
}

#[tokio::test]
async fn a_full_disk_is_transient_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sql = handler("sql", COMMENTS, folder.path());
    let large = "x".repeat(100_000);
    sql.handle(&[comment(1, 1, "small")]).await.unwrap();
    let mut failed = None;
    // The limit is the connection's own: set through the handler's own database file instead.
    sqlx::query("PRAGMA journal_mode = DELETE").execute(&mut open(folder.path()).await).await.ok();
    drop(sql);
    let full = handler_with_pages(folder.path(), 64);
    for number in 2..20 {
        if let Err(failure) = full.handle(&[comment(number, number, &large)]).await {
            failed = Some((number, failure));
            break;
        }
    }
    let (number, failure) = failed.expect("64 pages hold no 1.8 MB");
    assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
    assert!(failure.text.as_str().contains("full"), "{failure}");

    let roomy = handler("sql", COMMENTS, folder.path());
    for again in 1..=number {
        roomy.handle(&[comment(again, again, "again")]).await.unwrap();
    }
    let n_rows = column(folder.path(), "SELECT count(*) FROM comments").await;
    assert_eq!(n_rows, [Some(number.to_string())]);
    let again = column(folder.path(), "SELECT id FROM comments WHERE body = 'again'").await;
    assert_eq!(again, [Some(number.to_string())], "only the one that failed was taken in anew");
}

/// A handler whose database has room for `n_pages` pages only.
fn handler_with_pages(folder: &Path, n_pages: u32) -> SqlHandler {
    let reading = crate::settings::read(COMMENTS, folder, Settings::read);
    let settings = Arc::new(reading.value.unwrap());
    let DatabaseUrl::Sqlite(path) = &settings.url else { unreachable!() };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .pragma("max_page_count", n_pages.to_string())
        .busy_timeout(Duration::from_secs(5));
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
    let types = made::types(&settings, &[]).to_vec();
    let context = context(folder);
    let database = SqlDatabase::with_pool(&context.handler, &settings, session::Pool::Sqlite(pool));
    SqlHandler(Arc::new(Writer::new(database, types, &context.clock)))
}

#[tokio::test]
async fn old_ledger_rows_are_removed_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(crate::clock::ManualClock::new(NOW));
    let mut context = context(folder.path());
    context.clock = Arc::<crate::clock::ManualClock>::clone(&clock);
    let text = format!("{COMMENTS}ledger_retention = \"7d\"");
    let sql = settings("sql", &text, folder.path()).build(&context).unwrap();
    let count = "SELECT count(*) FROM gatepost_ledger";
    sql.handle(&[comment(1, 5, "a")]).await.unwrap();
    clock.advance(Duration::from_hours(6 * 24));
    sql.handle(&[comment(2, 6, "b")]).await.unwrap();
    assert_eq!(column(folder.path(), count).await, [Some("2".to_owned())]);
    clock.advance(Duration::from_hours(2 * 24));
    sql.handle(&[comment(3, 7, "c")]).await.unwrap();
    // The first one goes, beside the deliveries.
    while column(folder.path(), count).await != [Some("2".to_owned())] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn names_and_values_are_never_sql() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
        url = "sqlite:data/site.db"
        table = 'co"mm; DROP TABLE x; --'
        create_table = true
        key = ['i"d']
        columns = { 'i"d' = "data.id", "sel'ect" = "data.body" }
    "#;
    let sql = handler("sql", text, folder.path());
    let hostile = "'); DROP TABLE gatepost_ledger; --\0\u{1f600}";
    sql.handle(&[event(1, "x", &json!({"data": {"id": "a'b", "body": hostile}}))]).await.unwrap();
    let rows = column(folder.path(), r#"SELECT "sel'ect" FROM "co""mm; DROP TABLE x; --""#);
    assert_eq!(rows.await, [Some(hostile.to_owned())]);
}

fn check(text: &str, expected: &str) {
    let (settings, problems) = try_settings("sql", text, Path::new("/etc"));
    assert!(settings.is_none());
    assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
}

#[test]
fn every_mistake_in_the_table_is_found() {
    let good = "url = \"sqlite:x.db\"\ntable = \"t\"\n";
    check("", "`url` is missing");
    check(good, "`columns` is missing");
    check(&format!("{good}columns = {{}}"), "expected 1 to 200 columns");
    check(&format!("{good}columns = {{ a = \"data..x\" }}"), "syntax error");
    check(&format!("{good}columns = {{ a = \"dta.x\" }}"), "`dta` is not in scope");
    check(&format!("{good}columns = {{ a = {{ type = \"text\" }} }}"), "`value` is missing");
    check(
        &format!("{good}columns = {{ a = {{ value = \"1\", type = \"date\" }} }}"),
        "`date` is not",
    );
    check(&format!("{good}key = \"id\"\ncolumns = {{ a = \"1\" }}"), "key column `id` is none of");
    check(&format!("{good}delete_on = [\"*\"]\ncolumns = {{ a = \"1\" }}"), "without `key`");
    check("url = \"postgres://u:secret@h/d\"\ntable = \"t\"", "a password does not stand");
    check(
        "url = \"sqlite:x.db\"\ntable = \"Gatepost_ledger\"\ncolumns = { a = \"1\" }",
        "Gatepost's own table",
    );
    check(
        &format!("{good}columns = {{ a = \"1\", A = \"1\" }}"),
        "`a` and `A` are the same column",
    );
    check("url = \"sqlite:x.db\"\ntable = \"a.b\"\ncolumns = { a = \"1\" }", "no schemas");
}

#[tokio::test]
async fn a_try_says_why_the_database_cannot_be_reached() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = unused.local_addr().unwrap().port();
    drop(unused);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "hunter2").unwrap();
    for scheme in ["postgres", "mysql"] {
        let url =
            format!("url = \"{scheme}://me@127.0.0.1:{port}/site\"\nstatement_timeout = \"1s\"");
        let text = COMMENTS.replace("url = \"sqlite:data/site.db\"", &url);
        let text = format!("password = {{ file = \"key\" }}\n{text}");
        let sql = handler("sql", &text, folder.path());
        let failure = sql.handle(&[comment(1, 5, "first")]).await.unwrap_err();
        assert_eq!(failure.class, Some(crate::event::FailureClass::Connection));
        let told = failure.text.as_str();
        let place = format!("database `127.0.0.1:{port}`: ");
        assert!(told.starts_with(&place) && told.contains("Connection refused"), "{told}");
        assert!(!told.contains("hunter2") && !told.contains("me@"), "{told}");
    }
}

#[test]
fn a_path_that_a_shell_would_read_is_told() {
    for file in ["sqlite:~/site.db", "sqlite://~/site.db"] {
        let text = COMMENTS.replace("sqlite:data/site.db", file);
        let (_, problems) = try_settings("sql", &text, Path::new("."));
        assert_eq!(problems, ["`~` stands for no home here: it is the name of a folder"]);
    }
}
