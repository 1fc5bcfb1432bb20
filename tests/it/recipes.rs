//! The ready recipes: each is run as it is shipped, but for addresses and secrets.

use mail_parser::MessageParser;
use serde_json::{Value, json};

use crate::handlers_sql::{Database, Engine};
use crate::support::gateway::{Folder, Gateway};
use crate::support::smtp::{SmtpServer, Tls};

/// A recipe's text with everything of this machine in place of what stands there; each change must
/// find its place.
fn recipe(name: &str, changes: &[(&str, &str)]) -> String {
    let path = format!("{}/deploy/recipes/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(&path).unwrap();
    let everywhere = [
        ("listen = \"127.0.0.1:8080\"", "listen = \"127.0.0.1:0\""),
        ("{ file = \"data/secrets/hyvor\", create = true }", "{ file = \"secret\" }"),
    ];
    for (from, to) in everywhere.iter().chain(changes) {
        assert!(text.contains(from), "`{from}` is not in {name}");
        text = text.replace(from, to);
    }
    text + "\n[admin]\nlisten = \"127.0.0.1:0\"\n"
}

fn serve(text: &str) -> Gateway {
    Gateway::serve(Folder::of_text(text))
}

fn comment(id: u64, body: &str, status: &str) -> Value {
    json!({
        "id": id, "created_at": 1_700_000_000, "user": {"type": null, "name": "Zoë"},
        "page": {"title": "My Post", "identifier": "post-1", "url": "https://example.com/post-1"},
        "body": body, "status": status,
    })
}

fn send(gateway: &Gateway, event: &str, comment: &Value) {
    let body = json!({"event": event, "data": {"comment": comment}}).to_string();
    assert_eq!(gateway.send(body.as_bytes()).status, 200);
}

/// Asks until the handler has `n_events`.
fn wait_for(gateway: &Gateway, handler: &str, n_events: u64) {
    let name = format!("gatepost_deliveries_total{{handler=\"{handler}\",outcome=\"delivered\"}}");
    for _ in 0..20_000 {
        let text = gateway.ask("GET", "/metrics", "").text();
        let line = text.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '));
        if line.is_some_and(|count| count.parse::<u64>().unwrap() >= n_events) {
            return;
        }
    }
    panic!("`{handler}` has not got {n_events} events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_for_every_comment() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let url = format!("\"smtp://{}\"", server.address);
    let text = recipe(
        "mail-every-comment",
        &[
            ("\"smtps://me%40example.com@mail.example.com\"", &url),
            ("password = { file = \"data/secrets/smtp\" }\n", ""),
            ("{ file = \"data/secrets/userecho\", create = true }", "{ file = \"secret\" }"),
        ],
    );
    let gateway = serve(&text);
    send(&gateway, "comment.create", &comment(5, "Grüße, <b>alle</b>", "published"));
    wait_for(&gateway, "mail", 1);
    let topic = json!({
        "hook": "comment.new", "created": "2023-11-14T22:13:20.000Z",
        "data": {"id": 4, "text": "<p>Me &amp; you, too.</p>", "author": {"name": "Bob"}},
    });
    let topic = topic.to_string();
    let signature = crate::support::gateway::signature(topic.as_bytes());
    let answer = gateway.post("userecho", &[("X-UE-Signature", &signature)], topic.as_bytes());
    assert_eq!(answer.status, 200);
    wait_for(&gateway, "topics", 1);
    gateway.stop();

    let stored = server.stored();
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[0].to, ["owner@example.com"]);
    let mail = MessageParser::new().parse(&stored[0].bytes).unwrap();
    assert_eq!(mail.subject(), Some("New comment on My Post"));
    let body = mail.body_text(0).unwrap();
    assert!(body.contains("Zoë wrote on My Post:\r\n\r\nGrüße, <b>alle</b>"), "{body}");
    let mail = MessageParser::new().parse(&stored[1].bytes).unwrap();
    assert_eq!(mail.subject(), Some("UserEcho: comment.new"));
    assert!(mail.body_text(0).unwrap().contains("Bob wrote:\r\n\r\nMe & you, too."));
    assert!(mail.body_html(0).unwrap().contains("Me &amp; you, too."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_every_morning() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let url = format!("\"smtp://{}\"", server.address);
    // Full after three: no test waits for a day.
    let text =
        recipe("morning-digest", &[("\"smtp://localhost:25\"", &url), ("max = 500", "max = 3")]);
    let gateway = serve(&text);
    for (id, status) in [(1, "published"), (2, "spam"), (3, "published"), (4, "published")] {
        send(&gateway, "comment.create", &comment(id, &format!("number <{id}>"), status));
    }
    wait_for(&gateway, "digest", 3);
    gateway.stop();

    let stored = server.stored();
    assert_eq!(stored.len(), 1, "one mail for all");
    let mail = MessageParser::new().parse(&stored[0].bytes).unwrap();
    assert_eq!(mail.subject(), Some("3 new comments"));
    let body = mail.body_text(0).unwrap();
    for number in ["number <1>", "number <3>", "number <4>"] {
        assert!(body.contains(number), "{body}");
    }
    assert!(!body.contains("number <2>"), "spam is not for the morning");
    assert!(mail.body_html(0).unwrap().contains("number &lt;4&gt;"));
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_into_sqlite() {
    let gateway = serve(&recipe("comments-into-sqlite", &[]));
    send(&gateway, "comment.create", &comment(5, "first", "published"));
    send(&gateway, "comment.update", &comment(5, "second", "published"));
    send(&gateway, "comment.create", &comment(6, "other", "published"));
    send(&gateway, "comment.delete", &comment(6, "other", "deleted"));
    wait_for(&gateway, "comments", 4);
    let file = gateway.folder.path().join("data/comments.db");
    let url = format!("sqlite://{}", file.display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let rows: Vec<(i64, String, String, String)> =
        sqlx::query_as("SELECT id, author || ' ' || body, status, created_at FROM comments")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let at = "2023-11-14T22:13:20.000Z".to_owned();
    let row = |id, text: &str, status: &str| (id, text.to_owned(), status.to_owned(), at.clone());
    assert_eq!(rows, [row(5, "Zoë second", "published"), row(6, "Zoë other", "deleted")]);
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_into_postgresql_with_deletes() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    // The table as the recipe's own words make it.
    let path = format!(
        "{}/deploy/recipes/comments-into-postgresql-with-deletes.toml",
        env!("CARGO_MANIFEST_DIR")
    );
    let words = std::fs::read_to_string(path).unwrap();
    let sql: Vec<&str> = words
        .lines()
        .skip_while(|line| !line.contains("CREATE TABLE"))
        .take_while(|line| line.len() > 1)
        .map(|line| line.trim_start_matches('#'))
        .collect();
    database.run(&sql.join("\n").replace('…', "correct horse")).await;
    let url = database.url.replace("postgres@", "gatepost@");
    let text = recipe(
        "comments-into-postgresql-with-deletes",
        &[("postgres://gatepost@127.0.0.1/site", &url), ("data/secrets/database", "secret")],
    );
    let gateway = serve(&text);
    send(&gateway, "comment.create", &comment(5, "first", "published"));
    send(&gateway, "comment.update", &comment(5, "second \u{0}", "published"));
    send(&gateway, "comment.create", &comment(6, "other", "published"));
    send(&gateway, "comment.delete", &comment(6, "other", "deleted"));
    wait_for(&gateway, "comments", 4);
    let rows = "SELECT id || ' ' || body || ' ' || (raw->'page'->>'title') || ' ' || \
                (created_at AT TIME ZONE 'UTC')::text FROM comments";
    assert_eq!(database.texts(rows).await, ["5 second \u{fffd} My Post 2023-11-14 22:13:20"]);
    assert_eq!(database.count("gatepost_ledger").await, 4);
    gateway.stop();
}
