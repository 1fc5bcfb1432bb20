//! The ready recipes: each is run as it is shipped, but for addresses and secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::MessageParser;
use serde_json::{Value, json};

use crate::handlers_sql::{Database, Engine};
use crate::support::bad_server::{Answer, BadServer, Request, status};
use crate::support::gateway::{Folder, Gateway, http_handler, signature};
use crate::support::patience::wait_until;
use crate::support::smtp::{SmtpServer, Tls};

/// A recipe's text with everything of this machine in place of what stands there; each change must
/// find its place.
fn recipe(name: &str, changes: &[(&str, &str)]) -> String {
    let path = format!("{}/deploy/recipes/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(&path).unwrap();
    let mut replace = |from: &str, to: &str| {
        let is_there = text.contains(from);
        text = text.replace(from, to);
        is_there
    };
    assert!(replace("listen = \"127.0.0.1:8080\"", "listen = \"127.0.0.1:0\""));
    let secrets = ["hyvor", "userecho"].map(|source| {
        let created = format!("{{ file = \"data/secrets/{source}\", create = true }}");
        replace(&created, "{ file = \"secret\" }")
    });
    assert!(secrets.contains(&true), "no source in {name}");
    for (from, to) in changes {
        assert!(replace(from, to), "`{from}` is not in {name}");
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

fn send_userecho(gateway: &Gateway, body: &str) {
    let headers = [("X-UE-Signature", &*signature(body.as_bytes()))];
    assert_eq!(gateway.post("userecho", &headers, body.as_bytes()).status, 200);
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
        ],
    );
    let gateway = serve(&text);
    send(&gateway, "comment.create", &comment(5, "Grüße, <b>alle</b>", "published"));
    gateway.wait_until_delivered("mail", 1);
    let topic = json!({
        "hook": "comment.new", "created": "2023-11-14T22:13:20.000Z",
        "data": {"id": 4, "text": "<p>Me &amp; you, too.</p>", "author": {"name": "Bob"}},
    });
    send_userecho(&gateway, &topic.to_string());
    gateway.wait_until_delivered("topics", 1);
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

/// Waits for so many mails; gives the newest one's subject and text.
fn newest_mail(server: &SmtpServer, count: usize) -> (String, String) {
    wait_until(format_args!("{count} mails"), || server.stored().len() >= count);
    let stored = server.stored();
    let mail = MessageParser::new().parse(&stored[count - 1].bytes).unwrap();
    (mail.subject().unwrap().to_owned(), mail.body_text(0).unwrap().into_owned())
}

/// The recipe for alerts, to be mailed to `server`.
fn alerts(server: &SmtpServer) -> String {
    let url = format!("\"smtp://{}\"", server.address);
    let account = "\"smtps://me%40example.com@mail.example.com\"";
    let password = "password = { file = \"data/secrets/smtp\" }\n";
    recipe("alerts-by-mail", &[(account, &url), (password, "")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_when_a_handler_is_down_and_when_it_is_well_again() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let receiver = BadServer::start((0..3).map(|_| status(503)));
    let more = "retry = { min = \"10ms\", max = \"20ms\" }\n\
                breaker = { failures = 2, probe_interval = \"6s\" }";
    let app = http_handler("app", more, &receiver);
    let gateway = serve(&(alerts(&server) + &app));
    send(&gateway, "comment.create", &comment(5, "x", "published"));
    let (subject, body) = newest_mail(&server, 1);
    assert_eq!(subject, "app is down");
    assert!(body.contains("failed in a row:") && body.contains("503"), "{body}");
    assert!(body.contains("Nothing is lost"), "{body}");
    let (subject, body) = newest_mail(&server, 2);
    assert_eq!(subject, "well again: app");
    assert!(body.contains("`app` answers again, after"), "{body}");
    gateway.stop();
    assert_eq!(server.stored().len(), 2, "each of them once");
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_of_every_kind_have_words_of_their_own() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let gateway = serve(&alerts(&server));
    let low = json!({ "free_bytes": 300 << 20, "reserve_bytes": 256 << 20, "path": "/q" });
    let full = json!({
        "free_bytes": 1_u64 << 40, "reserve_bytes": 256 << 20, "path": "/q",
        "unsettled_bytes": 900 << 20, "disk_max_bytes": 1000 << 20, "waits_for": "sql",
    });
    let silent = json!({ "source": "hyvor", "silent_seconds": 90_000, "newest_at": null });
    let back = json!({ "source": "hyvor", "newest_at": "2026-11-26T10:00:00Z" });
    let failed = json!({ "handler": "sql", "reason": "no disk" });
    let dead = json!({ "handler": "sql", "source": "hyvor", "reason": "no table", "count": 12 });
    let refused = json!({ "source": "hyvor", "count": 3, "newest": 7, "reason": "no match" });
    let lag = json!({ "standby": "two", "connected": true, "lag_seconds": 40.7, "lag_bytes": 2_100,
        "lag_max_seconds": 30, "last_seen_at": "2026-11-26T10:00:00Z" });
    let caught_up = json!({ "standby": "two", "since": "2026-11-26T10:00:00Z", "seconds": 70 });
    let behind = "of `two` is 41 s behind (2 KiB), more than 30 s";
    let after = "has all again, 70 s after";
    let own = json!({ "handler": "alerts", "reason": "never mailed" });
    for (n, (event_type, payload, subject, part)) in [
        ("handler.failed", failed, "sql cannot be started", "could not be started: no disk"),
        ("source.silent", silent, "hyvor is silent", "for 25 h, the last at no time that is known"),
        ("source.back", back, "well again: hyvor", "sends again, last at 2026-11-26"),
        (
            "disk.low",
            low.clone(),
            "the disk fills up",
            "300 MiB are free on the disk of /q. Below 256",
        ),
        ("disk.low", full, "the disk fills up", "900 MiB of events wait for `sql`. At 1000 MiB"),
        ("disk.back", low, "well again: the disk", "300 MiB are free on the disk of /q again"),
        ("dead_letter", dead, "sql gave up 12", "the newest from `hyvor`: no table"),
        ("signature.rejected", refused, "hyvor is refused", "see `gatepost rejected explain 7`"),
        ("standby.lag", lag, "the second copy is behind", behind),
        ("standby.caught_up", caught_up, "well again: the second copy", after),
        ("handler.down", own, "", ""),
    ]
    .into_iter()
    .enumerate()
    {
        // As another gateway exports it.
        let event = json!([{
            "id": format!("0199c3f6-5b5e-7000-8000-00000000000{n:x}"), "position": n,
            "source": "gatepost", "type": event_type, "received_at": "2026-11-26T10:00:00.000Z",
            "data_root": "payload", "headers": [["content-type", { "text": "application/json" }]],
            "body": { "text": payload.to_string() },
        }]);
        let stored = gateway.ask("POST", "/api/v1/import", &event.to_string());
        assert_eq!(stored.json()["count"], 1, "{}", stored.text());
        if subject.is_empty() {
            gateway.wait_for_outcomes("alerts", "skipped", 1);
        } else {
            let (found, text) = newest_mail(&server, n + 1);
            assert_eq!(found, subject);
            assert!(text.contains(part), "{text}");
        }
    }
    gateway.stop();
    assert_eq!(server.stored().len(), 10, "of its own trouble it mails nothing");
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
    gateway.wait_until_delivered("digest", 3);
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
    gateway.wait_until_delivered("comments", 4);
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
    gateway.wait_until_delivered("comments", 4);
    let rows = "SELECT id || ' ' || body || ' ' || (raw->'page'->>'title') || ' ' || \
                (created_at AT TIME ZONE 'UTC')::text FROM comments";
    assert_eq!(database.texts(rows).await, ["5 second \u{fffd} My Post 2023-11-14 22:13:20"]);
    assert_eq!(database.count("gatepost_ledger").await, 4);
    gateway.stop();
}

#[test]
fn userecho_topics_to_slack() {
    let slack = BadServer::start([]);
    let text = recipe("userecho-topics-to-slack", &[("data/secrets/slack", "slack")]);
    let folder = Folder::of_text(&text);
    std::fs::write(folder.path().join("slack"), slack.url("/services/T0/B0/x")).unwrap();
    let gateway = Gateway::serve(folder);
    let topic = json!({
        "hook": "topic.created", "created": "2023-11-14T22:13:20.000Z",
        "data": {
            "id": 4, "header": "Dark <!channel> mode", "type": {"id": 1, "name": "Ideas"},
            "description": format!("<p>Please &amp; <b>thanks</b>, {}</p>", "long ".repeat(200)),
            "author": {"id": 7, "name": "Ann"}, "url": "https://example.userecho.com/topics/4",
        },
    });
    send_userecho(&gateway, &topic.to_string());
    // As UserEcho's own words have it, with no more than the documented fields.
    let least = r#"{"hook":"topic.created","data":{"id":5,"header":"H","description":"D"}}"#;
    send_userecho(&gateway, least);
    send_userecho(&gateway, r#"{"hook":"topic.accepted","data":{"id":5,"header":"H"}}"#);
    gateway.wait_until_delivered("topics", 2);
    gateway.stop();

    assert_eq!(slack.n_connections(), 1);
    let requests = slack.requests();
    let texts = requests.iter().map(|request| {
        assert_eq!((request.method.as_str(), &*request.path), ("POST", "/services/T0/B0/x"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1, "Slack's shape is one text: {body}");
        body["text"].as_str().unwrap().to_owned()
    });
    let [first, second] = texts.collect::<Vec<_>>().try_into().unwrap();
    let head = "*New Ideas* by Ann: <https://example.userecho.com/topics/4|Dark &lt;!channel&gt; \
                mode>\nPlease &amp; thanks, long long";
    assert!(first.starts_with(head), "{first}");
    assert!(first.len() < 700, "{first}");
    assert_eq!(second, "*New topic* by somebody: H\nD");
}

/// Verifies as standardwebhooks.com has it, with another library than the one that signs.
fn verify(secret: &str, id: &str, timestamp: &str, body: &[u8], signature: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let Some(given) = signature.strip_prefix("v1,") else { return false };
    aws_lc_rs::hmac::verify(&key, &signed, &STANDARD.decode(given).unwrap()).is_ok()
}

#[test]
fn forward_to_my_app_with_a_new_signature() {
    // The verifier itself, with the example that the specification's libraries share.
    let (secret, body) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", br#"{"test": 2432232314}"#);
    let (id, signature) =
        ("msg_p5jXN8AQM9LWM0D4loKWxJek", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert!(verify(secret, id, "1614265330", body, signature));
    assert!(!verify(secret, id, "1614265331", body, signature));

    // The app is down when the first event comes.
    let app = BadServer::start([status(503), Answer::Reset]);
    let text = recipe(
        "forward-to-my-app",
        &[
            ("http://127.0.0.1:9000/webhooks", &app.url("/webhooks")),
            ("concurrency = 8\n", "retry = { min = \"10ms\", max = \"20ms\" }\n"),
        ],
    );
    let gateway = serve(&text);
    let bodies = [
        "{\"event\" :\t\"comment.create\",\"data\":{\"text\":\"\\u00e9\\/\"}}\r\n",
        "{\"event\":\"comment.update\",\"data\":{}}",
        r#"{"hook":"topic.created","data":{"id":5}}"#,
    ];
    let send = |body: &str| gateway.send(body.as_bytes()).id();
    let mut ids = vec![send(bodies[0]), send(bodies[1])];
    send_userecho(&gateway, bodies[2]);
    gateway.wait_until_delivered("app", 3);
    let secret = std::fs::read_to_string(gateway.folder.path().join("data/secrets/app")).unwrap();
    gateway.stop();

    let requests = app.requests();
    let mut seen = Vec::new();
    for request in &requests {
        let header = |name| request.header(name).unwrap();
        let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
        let signature = header("webhook-signature");
        assert!(verify(secret.trim(), id, timestamp, &request.body, signature));
        assert!(!verify(secret.trim(), id, timestamp, b"another body", signature));
        assert_eq!(header("idempotency-key"), id);
        seen.push(id.to_owned());
    }
    // The reset was not even read; the 503 was, and came again under the same id.
    assert_eq!(requests.len(), 4, "{seen:?}");
    seen.sort();
    seen.dedup();
    let by_source = |source: &str| -> Vec<&Request> {
        requests.iter().filter(|one| one.header("gatepost-source") == Some(source)).collect()
    };
    ids.push(by_source("userecho")[0].header("webhook-id").unwrap().to_owned());
    ids.sort();
    assert_eq!(seen, ids);
    let texts: Vec<&[u8]> = requests.iter().map(|request| &*request.body).collect();
    assert!(bodies.iter().all(|body| texts.contains(&body.as_bytes())), "byte for byte");
}

#[test]
fn every_recipe_is_run_by_a_test_of_its_name() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = std::fs::read_to_string(folder.join("tests/it/recipes.rs")).unwrap();
    let mut n_recipes = 0;
    for entry in std::fs::read_dir(folder.join("deploy/recipes")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.strip_suffix(".toml").unwrap();
        assert!(tests.contains(&format!("\"{name}\"")), "no test runs {name}");
        n_recipes += 1;
    }
    assert_eq!(n_recipes, 7);
}
