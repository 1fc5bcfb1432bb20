use std::path::Path;

use serde_json::json;

use super::super::testing::{BadServer, context, delivery, handler, id, numbered, settings};
use super::*;

const BODY: &str = r#"{"data":{"id":5,"user":"Ann","text":"Hello"}}"#;

/// What a handler with these settings would do.
#[track_caller]
fn plan(kind: &str, text: &str) -> Value {
    let folder = Path::new("/folder");
    let plan = settings(kind, text, folder).plan(&context(folder), &[delivery(BODY)]).unwrap();
    serde_json::to_value(plan).unwrap()
}

#[test]
fn every_kind_shows_what_it_would_do() {
    let log = plan("log", "level = 'warn'\nmessage = '{{ data.user }} wrote'");
    assert_eq!(log, json!([{ "does": "log", "level": "warn", "message": "Ann wrote" }]));

    let file = plan("file", "path = 'events.jsonl'");
    assert_eq!(file[0]["file"], "/folder/events.jsonl");
    assert!(file[0]["line"].as_str().unwrap().ends_with(&format!("\"payload\":{BODY}}}")));

    let mail = "smtp = 'smtp://localhost:25'\nfrom = 'a@example.com'\nto = 'b@example.com'\n\
                subject = 'By {{ data.user }}'\ntext = '{{ data.text }}'\nhtml = '<p>'";
    let expected = json!([{
        "does": "mail", "from": "a@example.com", "to": ["b@example.com"], "headers": [["List-Id", "<test.example.com>"], ["Auto-Submitted", "auto-generated"]],
        "subject": "By Ann", "text": "Hello", "html": "<p>",
    }]);
    assert_eq!(plan("email", mail), expected);

    let sql = "url = 'sqlite:site.db'\ntable = 'c'\nkey = ['id']\n\
               columns = { id = { value = 'data.id', type = 'integer' }, who = 'data.user' }";
    let statement = "INSERT INTO \"c\" (\"id\", \"who\") VALUES (?, ?) ON CONFLICT (\"id\") \
                     DO UPDATE SET \"who\" = excluded.\"who\"";
    let expected = json!([{ "does": "sql", "statement": statement, "values": [5, "Ann"] }]);
    assert_eq!(plan("sql", sql), expected);

    let chat = "text = '{{ data.text }}'\nslack = { url = { file = 'none' } }";
    let expected =
        json!([{ "does": "message", "service": "Slack", "message": { "text": "Hello" } }]);
    assert_eq!(plan("chat", chat), expected);

    let command = plan("command", "run = ['on-event', '-q']\nenv = { KEY = 'hunter2' }");
    assert_eq!(command[0]["run"], json!(["on-event", "-q"]));
    assert_eq!(command[0]["cwd"], "/folder");
    assert_eq!(command[0]["input"], BODY);
    let environment = command[0]["environment"].as_array().unwrap();
    assert!(environment.contains(&json!(["GATEPOST_EVENT_ID", id(1).to_string()])));
    assert_eq!(environment.last().unwrap(), &json!(["KEY", "(secret)"]));

    let worker = plan("command", "run = ['on-event']\nmode = 'worker'");
    assert!(worker[0]["input"].as_str().unwrap().contains("\"attempt\":1,\"headers\":"));
}

#[test]
fn plan_needs_no_secret_and_shows_none() {
    let text = "url = 'http://localhost/{{ data.id }}'\nsecret = { file = 'none' }\n\
                headers = { Authorization = 'Bearer hunter2{{ data.none }}', X-Key = { secret = { file = 'no' } } }";
    let request = plan("http", text);
    assert_eq!(request[0]["url"], "http://localhost/5");
    let headers = request[0]["headers"].as_array().unwrap();
    for expected in [
        json!(["authorization", "(secret)"]),
        json!(["x-key", "(secret)"]),
        json!(["webhook-timestamp", "(made when it is sent)"]),
        json!(["webhook-signature", "(made when it is sent)"]),
    ] {
        assert!(headers.contains(&expected), "{headers:?}");
    }
    assert!(!request.to_string().contains("hunter2"));
    // Also in a place that is not called a secret's.
    for (kind, text) in [
        (
            "http",
            "url = 'http://h/'\nheaders = { X-Auth = '{{ data.none }}hunter2', \
             X-One = 'Token {{ data.none }}hunter2', \
             X-Two = 'as eyJhbGciOiJIUzI1NiJ9.{{ data.none }}eyJzdWIiOiJ4In0.hunter2' }",
        ),
        (
            "email",
            "smtp = 'smtp://localhost'\nfrom = 'a@example.com'\nto = ['b@example.com']\nsubject = 'x'\n\
             text = 'x'\nheaders = { X-Api-Key = '{{ data.none }}hunter2', \
             X-Ref = 'sk_live_{{ data.none }}hunter2hunter2' }",
        ),
    ] {
        let plan = plan(kind, text).to_string();
        assert!(!plan.contains("hunter2") && plan.contains("(secret)"), "{plan}");
    }
}

#[tokio::test]
async fn what_is_planned_is_what_is_sent() {
    let server = BadServer::start([]);
    let folder = Path::new(".");
    for more in [
        "body = '{{ data.user }}'\nheaders = { X-User = '{{ data.user }}' }",
        "forward_headers = true",
        "format = 'ndjson'",
    ] {
        let text = format!("url = '{}'\n{more}", server.url("/hook"));
        let deliveries = [numbered(3, BODY), numbered(4, "{}")];
        let deliveries = if more.contains("ndjson") { &deliveries[..] } else { &deliveries[..1] };
        let plan = settings("http", &text, folder).plan(&context(folder), deliveries).unwrap();
        handler("http", &text, folder).handle(deliveries).await.unwrap();
        let sent = server.requests().pop().unwrap();
        let [Step::Request { method, url, headers, body, .. }] = &plan.steps[..] else {
            panic!("{plan:?}")
        };
        assert_eq!((method, url), (&sent.method, &server.url(&sent.path)));
        assert_eq!(body.0, sent.body);
        for (name, value) in headers {
            let sent = sent.header(name);
            if name == "webhook-timestamp" {
                assert!(sent.is_some(), "{name}: {value}");
            } else {
                assert_eq!(sent, Some(value.as_str()), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_planned_is_what_other_kinds_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let both = async |kind: &str, text: &str| {
        let plan = settings(kind, text, path).plan(&context(path), &[numbered(3, BODY)]).unwrap();
        handler(kind, text, path).handle(&[numbered(3, BODY)]).await.unwrap();
        serde_json::to_value(plan).unwrap()
    };
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();

    let file = both("file", "path = 'lines.jsonl'").await;
    assert_eq!(read("lines.jsonl"), format!("{}\n", file[0]["line"].as_str().unwrap()));

    let run = "run = ['sh', '-c', 'cat > input; echo $GATEPOST_EVENT_ID > id']";
    let command = both("command", run).await;
    assert_eq!(read("input"), command[0]["input"].as_str().unwrap());
    let id = json!(["GATEPOST_EVENT_ID", read("id").trim()]);
    assert!(command[0]["environment"].as_array().unwrap().contains(&id), "{command}");

    let server = BadServer::start([]);
    std::fs::write(path.join("key"), server.url("/hook")).unwrap();
    for service in ["slack", "discord", "mattermost", "teams"] {
        let text = format!(
            "title = '{{{{ data.user }}}}'\ntext = '{{{{ data.text }}}}'\n{service} = {{ url = {{ file = 'key' }} }}"
        );
        let chat = both("chat", &text).await;
        let sent: Value = serde_json::from_slice(&server.requests().pop().unwrap().body).unwrap();
        assert_eq!(chat[0]["message"], sent, "{service}");
    }
}

#[test]
fn plan_that_fails_says_what_the_call_would_say() {
    let folder = Path::new(".");
    let settings = settings("log", "message = '{{ data.user + 1 }}'", folder);
    let failure = settings.plan(&context(folder), &[delivery(BODY)]).unwrap_err();
    assert_eq!(failure.kind, crate::event::FailureKind::Permanent);
    assert!(failure.to_string().contains("invalid operation"), "{failure}");
}

#[test]
fn secrets_are_told_apart_and_not_shown() {
    let (one, same, other) = (Unshown::of("hush"), Unshown::of("hush"), Unshown::of("hush!"));
    assert_eq!(one, same);
    assert_ne!(one, other);
    assert_eq!(format!("{one:?}"), SECRET);
}

#[test]
fn plan_reads_well_and_cannot_drive_a_terminal() {
    let step = Step::Request {
        method: "POST".into(),
        url: "http://localhost/".into(),
        headers: vec![("x-a".into(), "b\u{1b}[2J".into())],
        body: Content(b"one\n\ttwo\x07".into()),
        secret: Unshown::of("hush"),
    };
    let expected = "POST http://localhost/\n  x-a: b\u{fffd}[2J\n\n  one\n      two\u{fffd}\n\n\
                    skipped: nothing to tell";
    let skip = Step::Skip { why: "nothing to tell".into() };
    assert_eq!(Plan { steps: vec![step, skip] }.to_string(), expected);
    assert_eq!(Plan::default().to_string(), "nothing to do");
}

#[test]
fn plan_of_sql_says_whose_types_it_shows() {
    let statement = "DELETE FROM t WHERE id = ?".to_owned();
    let plan = Plan::from(Step::Sql { statement, values: vec![json!(5)] });
    assert_eq!(
        plan.to_string(),
        "statement\n\n  DELETE FROM t WHERE id = ?\n  value 1: 5\n\nThe types are those of the \
         configuration and the samples. When it runs, casts and values follow the types that the table \
         has then."
    );
}

#[test]
fn fields_that_differ_are_named() {
    let mail = |subject: &str, html: Option<&str>| Step::Mail {
        from: "a@example.com".to_owned(),
        to: Vec::new(),
        headers: Vec::new(),
        subject: subject.to_owned(),
        text: "text".to_owned(),
        html: html.map(str::to_owned),
        secret: Unshown::of(()),
    };
    let skip = Step::Skip { why: "no".to_owned() };
    assert_eq!(mail("a", None).other_fields(&mail("a", None)), [""; 0]);
    assert_eq!(mail("a", None).other_fields(&mail("b", Some("c"))), ["subject", "html"]);
    assert_eq!(mail("a", None).other_fields(&skip), ["kind"]);
    assert_eq!(skip.other_fields(&Step::Skip { why: "maybe".to_owned() }), ["why"]);
}
