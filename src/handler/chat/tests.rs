use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::testing::{Answer, BadServer, Request, delivery, handler, status, try_settings};
use crate::event::FailureKind;

const BODY: &str = r#"{"data":{"text":"<!channel> & *bold* @everyone","user":"Ann"}}"#;

/// A folder with the service's secret in the file `key`.
fn folder(secret: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), format!("{secret}\n")).unwrap();
    folder
}

/// What arrives at the server, as JSON.
async fn sent(server: &BadServer, settings: &str, secret: &str) -> (Request, Value) {
    let folder = folder(secret);
    let text = format!("text = '{{{{ data.user }}}}: {{{{ data.text }}}}'\n{settings}");
    handler("chat", &text, folder.path()).handle(&[delivery(BODY)]).await.unwrap();
    let request = server.requests().remove(0);
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body = serde_json::from_slice(&request.body).unwrap();
    (request, body)
}

#[tokio::test]
async fn slack_gets_escaped_text_at_its_secret_url() {
    let server = BadServer::start([]);
    let url = server.url("/services/T0/B0/secret");
    let (request, body) = sent(&server, "slack = { url = { file = 'key' } }", &url).await;
    assert_eq!(request.path, "/services/T0/B0/secret");
    let text = "Ann: &lt;!channel&gt; &amp; *bold* @everyone";
    assert_eq!(body, json!({ "text": text }));
}

#[tokio::test]
async fn discord_gets_text_that_alerts_nobody() {
    let server = BadServer::start([status(204)]);
    let url = server.url("/api/webhooks/1/secret");
    let settings = "discord = { url = { file = 'key' }, username = 'Gate' }";
    let (_, body) = sent(&server, settings, &url).await;
    let text = "Ann: <!channel> & *bold* @everyone";
    assert_eq!(
        body,
        json!({ "content": text, "allowed_mentions": { "parse": [] }, "username": "Gate" })
    );
}

#[tokio::test]
async fn name_that_discord_refuses_is_cut_off_and_told() {
    let server = BadServer::start([status(204)]);
    let folder = folder(&server.url("/api/webhooks/1/secret"));
    let name = "ü".repeat(81);
    let text = format!("text = 'x'\ndiscord = {{ url = {{ file = 'key' }}, username = '{name}' }}");
    let (settings, problems) = try_settings("chat", &text, folder.path());
    assert_eq!(problems, ["Discord takes a name of 80 characters: what is behind them is cut off"]);
    super::super::testing::install_tls();
    let context = super::super::testing::context(folder.path());
    settings.unwrap().build(&context).unwrap().handle(&[delivery(BODY)]).await.unwrap();
    let body: Value = serde_json::from_slice(&server.requests().remove(0).body).unwrap();
    assert_eq!(body["username"].as_str().unwrap().chars().count(), 80);
}

#[tokio::test]
async fn telegram_gets_plain_text_for_a_chat() {
    for (chat, expected) in [("-1001234", json!(-1_001_234)), ("@channel", json!("@channel"))] {
        let server = BadServer::start([]);
        let settings = format!(
            "telegram = {{ server = '{}', token = {{ file = 'key' }}, chat = '{chat}' }}",
            server.url("")
        );
        let (request, body) = sent(&server, &settings, "123:AbC_-").await;
        assert_eq!(request.path, "/bot123:AbC_-/sendMessage");
        assert_eq!(
            body,
            json!({ "chat_id": expected, "text": "Ann: <!channel> & *bold* @everyone" })
        );
    }
}

#[tokio::test]
async fn ntfy_gets_a_topic_with_title_and_token() {
    let server = BadServer::start([]);
    let settings = format!(
        "title = 'From {{{{ data.user }}}}'\nntfy = {{ server = '{}', topic = 'site', \
         token = {{ file = 'key' }}, priority = 4, tags = ['bell'] }}",
        server.url("")
    );
    let (request, body) = sent(&server, &settings, "tk_1").await;
    assert_eq!(request.path, "/");
    assert_eq!(request.header("authorization"), Some("Bearer tk_1"));
    assert_eq!(
        body,
        json!({
            "topic": "site",
            "message": "Ann: <!channel> & *bold* @everyone",
            "title": "From Ann",
            "priority": 4,
            "tags": ["bell"],
        })
    );
}

#[tokio::test]
async fn the_services_own_words_and_pauses_are_heard() {
    let check = async |settings: &str, answer: Answer, expected: &str, pause: Option<u64>| {
        let server = BadServer::start([answer]);
        let folder = folder(&server.url("/x"));
        std::fs::write(folder.path().join("token"), "1:a").unwrap();
        let settings = settings.replace("SERVER", &server.url(""));
        let handler = handler("chat", &format!("text = 'x'\n{settings}"), folder.path());
        let failure = handler.handle(&[delivery(BODY)]).await.unwrap_err();
        assert_eq!(failure.text.as_str(), expected);
        assert_eq!(failure.retry_after, pause.map(Duration::from_millis));
        // A limit is a wait: it uses up no try, and the service is not down.
        assert_eq!(failure.kind == FailureKind::Paused, failure.status == Some(429));
        if pause.is_some_and(|millis| millis > 15_000) {
            // The next one does not even try: that is more than half of a call's time.
            let failure = handler.handle(&[delivery(BODY)]).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Paused);
            assert!(failure.text.as_str().starts_with("the service wants a pause"), "{failure}");
            assert_eq!(server.requests().len(), 1);
        }
    };
    let answer = |status: u16, body: &str| Answer::Status(status, Vec::new(), body.to_owned());
    let slack = "slack = { url = { file = 'key' } }";
    check(slack, answer(404, "no_service"), "answered 404 Not Found: no_service", None).await;
    check(slack, answer(500, "<html>Oh no"), "answered 500 Internal Server Error", None).await;
    let later = Answer::Status(429, vec![("retry-after", "30".to_owned())], String::new());
    check(slack, later, "answered 429 Too Many Requests", Some(30_000)).await;

    let text = "answered 429 Too Many Requests: rate_limited";
    check(slack, answer(429, "rate_limited"), text, Some(5_000)).await;
    let teams = "teams = { url = { file = 'key' } }";
    check(teams, answer(400, "Bad payload"), "answered 400 Bad Request: Bad payload", None).await;

    let discord = "discord = { url = { file = 'key' } }";
    let body = r#"{"message":"You are being rate limited.","retry_after":64.57,"global":false}"#;
    let text = "answered 429 Too Many Requests: You are being rate limited.";
    check(discord, answer(429, body), text, Some(64_570)).await;

    let telegram = "telegram = { server = 'SERVER', token = { file = 'token' }, chat = '5' }";
    let body = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35",
        "parameters":{"retry_after":35}}"#;
    let text = "answered 429 Too Many Requests: Too Many Requests: retry after 35";
    check(telegram, answer(429, body), text, Some(35_000)).await;
    let body = r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#;
    let text = "answered 400 Bad Request: Bad Request: chat not found";
    check(telegram, answer(400, body), text, None).await;

    let ntfy = "ntfy = { server = 'SERVER', topic = 'x' }";
    let body = r#"{"code":42901,"http":429,"error":"limit reached: too many requests"}"#;
    let text = "answered 429 Too Many Requests: limit reached: too many requests";
    check(ntfy, answer(429, body), text, Some(5_000)).await;
}

#[tokio::test]
async fn a_message_that_was_taken_is_not_sent_again_whatever_the_rest_of_the_answer() {
    let server = BadServer::start([Answer::CutBody, Answer::CutChunk, Answer::CutHead]);
    let folder = folder(&server.url("/x"));
    let text = "text = 'x'\nmin_interval = '0s'\nslack = { url = { file = 'key' } }";
    let handler = handler("chat", text, folder.path());
    handler.handle(&[delivery(BODY)]).await.unwrap();
    handler.handle(&[delivery(BODY)]).await.unwrap();
    // Where not even the status came, nobody can know.
    let failure = handler.handle(&[delivery(BODY)]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
}

#[tokio::test]
async fn an_error_never_shows_the_secret_url() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = folder(&format!("http://{}/hunter2", unused.local_addr().unwrap()));
    drop(unused);
    let text = "text = 'x'\nslack = { url = { file = 'key' } }";
    let handler = handler("chat", text, folder.path());
    let failure = handler.handle(&[delivery(BODY)]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert!(!failure.text.as_str().contains("hunter2"), "{failure}");
}

#[test]
fn mistakes_in_the_settings_are_named() {
    let check = |text: &str, expected: &str| {
        let (_, problems) = try_settings("chat", text, Path::new("."));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}");
    };
    let slack = "slack = { url = { env = 'X' } }";
    check("text = 'x'", "no service is named");
    check(slack, "`text` is missing");
    check(&format!("text = 'x'\n{slack}\nntfy = {{ topic = 'x' }}"), "two services");
    let matrix =
        "matrix = { server = 'https://m.org', room = '#a:m.org', token = { file = 'key' } }";
    check(&format!("text = 'x'\n{matrix}"), "not a room's id");
    check("text = 'x'\nntfy = { topic = 'a b' }", "a topic is");
    check("text = 'x'\nntfy = { topic = 'a', priority = 6 }", "1 to 5");
    check("text = 'x'\ntelegram = { token = { env = 'X' }, chat = 'ann' }", "neither a chat's");
    check(&format!("text = 'New: {{data.x}}'\n{slack}"), "nothing is put in for `{data.x}`");
    check(&format!("text = ' '\n{slack}"), "this text is always empty");
    check(
        "text = 'x'\nallow_private = false\nntfy = { topic = 'a', server = 'http://10.0.0.1' }",
        "address 10.0.0.1 is refused",
    );
    check("text = 'x'\nslack = { url = 'https://hooks' }", "expected a reference to a secret");
}

#[tokio::test]
async fn an_empty_text_is_nothing_to_tell_and_no_failure() {
    let server = BadServer::start([]);
    let folder = folder(&server.url("/hook"));
    let text = "text = '{% if data.spam %}spam{% endif %} '\nslack = { url = { file = 'key' } }";
    let handler = handler("chat", text, folder.path());
    let output = handler.handle(&[delivery(BODY)]).await.unwrap();
    assert_eq!(output.why_skipped(delivery(BODY).event.id), Some("the text is empty"));
    assert!(server.requests().is_empty());
    let output = handler.handle(&[delivery(r#"{"data":{"spam":true}}"#)]).await.unwrap();
    assert_eq!(output.why_skipped(delivery(BODY).event.id), None);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn title_is_a_header_block_or_an_embed() {
    let server = BadServer::start([]);
    let title = "title = '{{ data.user }}'";
    let settings = format!("{title}\nslack = {{ url = {{ file = 'key' }} }}");
    let (_, body) = sent(&server, &settings, &server.url("/")).await;
    let text = "Ann: &lt;!channel&gt; &amp; *bold* @everyone";
    assert_eq!(body["text"], text);
    let header = json!({ "type": "header", "text": { "type": "plain_text", "text": "Ann" } });
    let section = json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    assert_eq!(body["blocks"], json!([header, section]));

    let server = BadServer::start([]);
    let settings = format!("{title}\ndiscord = {{ url = {{ file = 'key' }} }}");
    let (_, body) = sent(&server, &settings, &server.url("/")).await;
    let description = "Ann: <!channel> & *bold* @everyone";
    let embed = json!({ "title": "Ann", "description": description });
    assert_eq!(body, json!({ "allowed_mentions": { "parse": [] }, "embeds": [embed] }));
}

#[tokio::test]
async fn a_title_is_escaped_wherever_the_service_reads_markdown() {
    let title = "title = '{{ data.text }}'\ntext = 'x'";
    let body = r#"{"data":{"text":"see [docs](http://evil.example) @here <b>"}}"#;
    let titled = async |service: &str, at: &str| {
        let server = BadServer::start([]);
        let folder = folder(&server.url("/"));
        let settings = format!("{title}\n{service} = {{ url = {{ file = 'key' }} }}");
        handler("chat", &settings, folder.path()).handle(&[delivery(body)]).await.unwrap();
        let body: Value = serde_json::from_slice(&server.requests().remove(0).body).unwrap();
        body.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let escaped = "see \\[docs\\](http://evil.example) @here <b>";
    assert_eq!(titled("discord", "/embeds/0/title").await, escaped);
    let card = "/attachments/0/content/body/0/text";
    assert_eq!(titled("teams", card).await, escaped);
    let text = format!("#### {}\nx", escaped.replace('@', "@\u{200b}"));
    assert_eq!(titled("mattermost", "/text").await, text);
    // Slack's header is plain text: it would show the escapes.
    let plain = "see [docs](http://evil.example) @here <b>";
    assert_eq!(titled("slack", "/blocks/0/text/text").await, plain);
}

#[tokio::test]
async fn telegram_takes_html_and_a_topic() {
    let server = BadServer::start([]);
    let settings = format!(
        "title = '<b>New</b>'\ntelegram = {{ server = '{}', token = {{ file = 'key' }}, \
         chat = '-5', thread = 7, parse_mode = 'html' }}",
        server.url("")
    );
    let (_, body) = sent(&server, &settings, "1:a").await;
    assert_eq!(
        body,
        json!({
            "chat_id": -5, "message_thread_id": 7, "parse_mode": "HTML",
            "text": "<b>New</b>\nAnn: &lt;!channel&gt; &amp; *bold* @everyone",
        })
    );
}

#[tokio::test]
async fn teams_gets_a_card_and_mattermost_a_text_that_alerts_nobody() {
    let server = BadServer::start([status(202)]);
    let (_, body) = sent(&server, "teams = { url = { file = 'key' } }", &server.url("/")).await;
    let card = &body["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(card["content"]["body"][0]["text"], "Ann: <!channel> & *bold* @everyone");

    let server = BadServer::start([]);
    let settings = "title = 'New'\nmattermost = { url = { file = 'key' }, channel = 'town' }";
    let (_, body) = sent(&server, settings, &server.url("/hooks/x")).await;
    let text = "#### New\nAnn: <\u{200b}!channel> & *bold* @\u{200b}everyone";
    assert_eq!(body, json!({ "text": text, "channel": "town" }));
}

#[tokio::test]
async fn matrix_knows_a_repeat_by_the_events_id() {
    let server = BadServer::start([]);
    let folder = folder("t0ken");
    let text = format!(
        "text = '{{{{ data.user }}}}'\nmatrix = {{ server = '{}', room = '!a/b:m.org', \
         token = {{ file = 'key' }} }}",
        server.url("")
    );
    let handler = handler("chat", &text, folder.path());
    handler.handle(&[delivery(BODY)]).await.unwrap();
    let request = server.requests().remove(0);
    assert_eq!(request.method, "PUT");
    let id = super::super::testing::id(1);
    let path = format!("/_matrix/client/v3/rooms/!a%2Fb:m.org/send/m.room.message/{id}");
    assert_eq!(request.path, path);
    assert_eq!(request.header("authorization"), Some("Bearer t0ken"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({ "msgtype": "m.notice", "body": "Ann", "m.mentions": {} }));
}

#[tokio::test]
async fn what_a_service_says_of_itself_is_told() {
    let refused = |body: &str| Answer::Status(200, Vec::new(), body.to_owned());
    let body =
        "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error";
    let server = BadServer::start([
        refused(&format!("{body} 429 with ContextId")),
        refused(&format!("{body} 500")),
        refused("1"),
    ]);
    let teams = folder(&server.url("/"));
    let text = "text = 'x'\nmin_interval = '0s'\nteams = { url = { file = 'key' } }";
    let kind_of = async || {
        let handler = handler("chat", text, teams.path());
        handler.handle(&[delivery(BODY)]).await.err().map(|failure| failure.kind)
    };
    assert_eq!(kind_of().await, Some(FailureKind::Paused));
    assert_eq!(kind_of().await, Some(FailureKind::Transient));
    assert_eq!(kind_of().await, None);

    let moved = json!({
        "ok": false, "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": { "migrate_to_chat_id": -1_001_234_567_890_i64 },
    });
    let server = BadServer::start([Answer::Status(400, Vec::new(), moved.to_string())]);
    let text = format!(
        "text = 'x'\ntelegram = {{ server = '{}', token = {{ file = 'key' }}, chat = '-5' }}",
        server.url("")
    );
    let telegram = folder("1:a");
    let failure =
        handler("chat", &text, telegram.path()).handle(&[delivery(BODY)]).await.unwrap_err();
    let told = failure.text.as_str();
    assert!(told.ends_with("supergroup chat: write `chat = \"-1001234567890\"`"), "{told}");
}
