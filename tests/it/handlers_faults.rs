//! Other ends that misbehave, mostly behind whole gateways: in the end each event is there at least
//! once, and nothing is a dead letter. SQL, where it is exactly once, has its own in `handlers_sql`.

use std::collections::BTreeSet;

use mail_parser::MessageParser;
use serde_json::json;

use crate::support::bad_server::{Answer, BadServer, status};
use crate::support::gateway::{Folder, Gateway};
use crate::support::kinds::{build, delivery, until_taken};
use crate::support::program::{printed, run};
use crate::support::proxy::{Direction, Proxy, Upstream};
use crate::support::smtp::{PASSWORD, Quirk, SmtpServer, Tls, USER};

/// One call at a time, so that each fault meets one; tried again at once, and without a breaker.
const POLICY: &str = r#"
[handler.test]
concurrency = 1
timeout = "3s"
retry = { attempts = 1000, min = "5ms", max = "10ms" }
breaker = { failures = 1000, probe_interval = "10ms" }
"#;

/// Sends so many events and waits until they are delivered; gives their ids.
fn deliver(gateway: &Gateway, n_events: u64) -> BTreeSet<String> {
    let send = |n| {
        let body = format!(r#"{{"event":"comment.create","data":{{"n":{n}}}}}"#);
        gateway.send(body.as_bytes()).id()
    };
    let ids: BTreeSet<String> = (0..n_events).map(send).collect();
    gateway.wait_until_delivered("test", n_events);
    assert_eq!(gateway.metric("gatepost_dead_letters{handler=\"test\"}"), 0);
    ids
}

#[test]
fn an_http_server_that_misbehaves_has_every_event_in_the_end() {
    let retry_after = vec![("retry-after", "0".to_owned())];
    let faults = [
        status(500),
        Answer::Status(429, retry_after, String::new()),
        Answer::Hang,
        Answer::CutHead,
        Answer::CutBody,
        Answer::CutChunk,
        status(408),
    ];
    // Those whose status counts although their body is cut, and one that reads nothing.
    let others = [Answer::Endless, Answer::SilentBody, Answer::Reset];
    let n_faults = faults.len();
    let server = BadServer::start(faults.into_iter().chain(others));
    let table = format!("{POLICY}[handler.test.http]\nurl = \"{}\"\n", server.url("/"));
    let gateway = Gateway::with("", &table);
    let ids = deliver(&gateway, 8);
    gateway.stop();
    let came: Vec<String> =
        server.requests().iter().map(|one| one.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!(came.len(), ids.len() + n_faults, "each fault made one event come again: {came:?}");
    assert_eq!(came.into_iter().collect::<BTreeSet<_>>(), ids);
}

/// While an app is deployed its router answers for it: that costs no event, though nothing is set.
#[test]
fn events_outlast_a_deploy_that_answers_404() {
    let answers = [404, 403, 401, 502].repeat(5);
    let n_refused = answers.len();
    let server = BadServer::start(answers.into_iter().map(status));
    let policy = "retry = { min = \"5ms\", max = \"10ms\" }\n\
                  breaker = { failures = 5, probe_interval = \"10ms\" }";
    let table =
        format!("[handler.test]\n{policy}\n[handler.test.http]\nurl = \"{}\"\n", server.url("/"));
    let gateway = Gateway::with("", &table);
    let ids = deliver(&gateway, 30);
    gateway.stop();
    assert_eq!(server.requests().len(), ids.len() + n_refused);
    // What says that the event itself is wrong is not tried again.
    let server = BadServer::start([status(410)]);
    let table =
        format!("[handler.test]\n{policy}\n[handler.test.http]\nurl = \"{}\"\n", server.url("/"));
    let gateway = Gateway::with("", &table);
    gateway.send(br#"{"event":"comment.create","data":{}}"#);
    gateway.wait_for_outcomes("test", "dead", 1);
    gateway.stop();
    assert_eq!(server.requests().len(), 1);
}

/// It is down like one that answers 500: one probe per interval, and no event is given up.
#[test]
fn handler_that_answers_404_to_all_is_left_alone() {
    const N_EVENTS: u64 = 100;
    let server = BadServer::start(std::iter::repeat_with(|| status(404)).take(1_000));
    let table = format!(
        "[handler.test]\nbreaker = {{ failures = 5, probe_interval = \"1h\" }}\n\
         [handler.test.http]\nurl = \"{}\"\n",
        server.url("/")
    );
    let gateway = Gateway::with("", &table);
    for n in 0..N_EVENTS {
        gateway.send(format!(r#"{{"event":"comment.create","data":{{"n":{n}}}}}"#).as_bytes()).id();
    }
    // Those that opened it, and the calls that were under way beside the last of them.
    let few = 5..=8;
    loop {
        let handlers = printed(&run(&gateway.folder, &["handlers", "list", "--json"]), 0);
        let handlers: serde_json::Value = serde_json::from_str(&handlers).unwrap();
        let mut handlers = handlers.as_array().unwrap().iter();
        let handler = handlers.find(|handler| handler["name"] == "test").unwrap();
        assert_eq!(handler["dead"], 0, "{handler}");
        assert!(server.requests().len() <= *few.end(), "{handler}");
        if handler["state"] == "down" {
            let left = handler["in_log"].as_u64().unwrap() + handler["waiting"].as_u64().unwrap();
            assert_eq!(left, N_EVENTS, "{handler}");
            break;
        }
    }
    gateway.stop();
    let n_requests = server.requests().len();
    assert!(few.contains(&n_requests), "{n_requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_an_http_server_cut_at_any_byte_loses_no_event() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let answer = || Answer::Status(200, Vec::new(), "what the app has to say".to_owned());
    let server = BadServer::start(std::iter::repeat_with(answer).take(1_000));
    let proxy = Proxy::start(Upstream::Tcp(server.address)).await;
    let folder = tempfile::tempdir().unwrap();
    let app = build("http", &format!("url = \"http://{}/\"", proxy.address), folder.path());
    let (mut number, mut n_cuts) = (0, 0);
    for (direction, step) in [(Direction::ToServer, 17), (Direction::ToClient, 3)] {
        for n_bytes in (0..).step_by(step) {
            number += 1;
            proxy.cut_after(direction, n_bytes);
            let event = delivery(number, "comment.create", &json!({ "n": number }));
            n_cuts += until_taken(app.as_ref(), &[event]).await;
            if proxy.is_uncut(direction) {
                break;
            }
        }
    }
    assert!(n_cuts > 30, "{n_cuts} cuts prove little");
    let came = server.requests();
    let came: BTreeSet<&str> = came.iter().filter_map(|one| one.header("webhook-id")).collect();
    assert_eq!(came.len(), usize::try_from(number).unwrap(), "each at least once");
}

/// Notes each event's id. Every second process kills itself before its seventh event's work, the
/// others after it, in both cases without an answer; from the eighth process on none does.
const MORTAL: &str = r#"
life=$(($(cat lives 2>/dev/null || echo 0) + 1))
echo $life > lives
n=0
while read -r line; do
    id=${line#*'"id":"'}; id=${id%%'"'*}
    n=$((n + 1))
    test $life -lt 8 -a $((life % 2)) = 0 -a $n = 7 && kill -9 $$
    echo $id >> seen
    test $life -lt 8 -a $n = 7 && kill -9 $$
    echo '{"id":"'$id'","ok":true}'
done"#;

#[test]
fn a_worker_that_is_killed_again_and_again_has_every_event_in_the_end() {
    let table = format!(
        "{}[handler.test.command]\nrun = [\"sh\", \"worker.sh\"]\nmode = \"worker\"\n",
        POLICY.replace("concurrency = 1", "concurrency = 4").replace("500ms", "10s")
    );
    let folder = Folder::new("", &table);
    std::fs::write(folder.path().join("worker.sh"), MORTAL).unwrap();
    let path = folder.path().to_owned();
    let gateway = Gateway::serve(folder);
    let ids = deliver(&gateway, 60);
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    let (seen, lives) = (read("seen"), read("lives"));
    gateway.stop();
    assert_eq!(lives.trim(), "8", "seven were killed");
    assert!(seen.lines().count() > ids.len(), "what a killed one had done came again");
    assert_eq!(seen.lines().map(str::to_owned).collect::<BTreeSet<_>>(), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_greylists_has_every_mail_in_the_end() {
    let server = SmtpServer::start(Tls::OnRequest, true).await;
    let table = format!(
        "{}[handler.test.email]\nsmtp = \"smtp://{}@localhost:{}?tls=required\"\n\
         password = {{ file = \"password\" }}\nca = \"ca.pem\"\nfrom = \"gatepost@example.com\"\n\
         to = [\"owner@example.com\"]\nsubject = \"x\"\ntext = \"{{{{ data.n }}}}\"\n",
        POLICY.replace("500ms", "10s"),
        USER.replace('@', "%40"),
        server.address.port()
    );
    let folder = Folder::new("", &table);
    std::fs::write(folder.path().join("ca.pem"), &server.ca_pem).unwrap();
    std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
    for (command, quirk) in [
        // First: a connection on which a recipient is refused goes on.
        ("GREETING", Quirk::Say("421 4.3.2 too busy")),
        ("RCPT", Quirk::Say("451 4.7.1 greylisted, come back later")),
        ("RCPT", Quirk::Say("450 4.2.0 greylisted")),
        ("MAIL", Quirk::HangUp),
        ("DATA", Quirk::Say("452 4.3.1 no room")),
        (".", Quirk::Say("451 4.7.1 greylisted after all")),
        // Taken, and nobody told us.
        (".", Quirk::HangUp),
    ] {
        server.will(command, quirk);
    }
    let gateway = Gateway::serve(folder);
    let ids = deliver(&gateway, 5);
    gateway.stop();
    let stored = server.stored();
    assert!(stored.iter().all(|mail| mail.was_encrypted && mail.was_logged_in));
    let came = stored.iter().map(|mail| {
        let read = MessageParser::new().parse(&mail.bytes).unwrap();
        read.message_id().unwrap().split('.').next().unwrap().to_owned()
    });
    let came: Vec<String> = came.collect();
    assert_eq!(came.len(), 6, "the one whose answer was lost came twice: {came:?}");
    assert_eq!(came.into_iter().collect::<BTreeSet<_>>(), ids);
}
