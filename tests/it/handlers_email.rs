//! `email` against mail servers: one of our own that misbehaves on purpose, and `aiosmtpd`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gatepost::clock::ManualClock;
use gatepost::event::{Delivery, EventId, Failure, FailureClass, FailureKind};
use gatepost::handler::{BuildContext, Handler};
use mail_parser::MessageParser;
use serde_json::json;
use tempfile::TempDir;

use crate::support::gateway::Gateway;
use crate::support::kinds::{
    NOW, assert_permanent, assert_transient, build, context, context_with, delivery, settings,
    until_taken,
};
use crate::support::program::{printed, run};
use crate::support::proxy::{Direction, Proxy, Upstream};
use crate::support::servers::skip;
use crate::support::smtp::{PASSWORD, Quirk, SmtpServer, Stored, Tls, USER};

const WORDS: &str = r#"
from = "Gatepost <gatepost@example.com>"
to = ["owner@example.com", "second@example.com"]
subject = "Comment {{ data.id }}"
text = "{{ data.body }}"
html = "<p>{{ data.body }}</p>"
"#;

fn comment(number: u64) -> Delivery {
    delivery(number, "comment.create", &json!({"id": number, "body": "Grüße <b>\n.\nend"}))
}

/// The folder with the server's certificate and the password in it, and a handler.
fn handler(server: &SmtpServer, url: &str, more: &str) -> (TempDir, Box<dyn Handler>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &server.ca_pem).unwrap();
    std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
    let built = build("email", &format!("smtp = \"{url}\"\n{WORDS}{more}"), folder.path());
    (folder, built)
}

fn plain_url(server: &SmtpServer) -> String {
    format!("smtp://{}", server.address)
}

fn log_in_url(scheme: &str, server: &SmtpServer, query: &str) -> String {
    let user = USER.replace('@', "%40");
    format!("{scheme}://{user}@localhost:{}{query}", server.address.port())
}

const LOG_IN: &str = "ca = \"ca.pem\"\npassword = { file = \"password\" }";

fn message_id(stored: &Stored) -> String {
    let parsed = MessageParser::new().parse(&stored.bytes).unwrap();
    parsed.message_id().unwrap().to_owned()
}

#[tokio::test]
async fn mails_go_over_one_connection() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_folder, mail) = handler(&server, &plain_url(&server), "");
    for number in 1..=3 {
        mail.handle(&[comment(number)]).await.unwrap();
    }
    mail.close().await;
    assert_eq!(server.n_connections(), 1);
    let stored = server.stored();
    assert_eq!(stored.len(), 3);
    assert_eq!(stored[0].from, "gatepost@example.com");
    assert_eq!(stored[0].to, ["owner@example.com", "second@example.com"]);
    let read = MessageParser::new().parse(&stored[1].bytes).unwrap();
    assert_eq!(read.subject(), Some("Comment 2"));
    assert_eq!(read.body_text(0).unwrap().trim_end(), "Grüße <b>\r\n.\r\nend");
    assert!(read.body_html(0).unwrap().starts_with("<p>Grüße &lt;b&gt;"));
    assert!(stored[0].bytes.is_ascii());
}

#[tokio::test]
async fn a_connection_that_stood_too_long_or_was_ended_is_not_used() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let read =
        settings("email", &format!("smtp = \"{}\"\n{WORDS}", plain_url(&server)), folder.path());
    let mail = read.build(&context_with(folder.path(), Arc::<ManualClock>::clone(&clock))).unwrap();
    mail.handle(&[comment(1)]).await.unwrap();
    clock.advance(Duration::from_mins(1));
    mail.handle(&[comment(2)]).await.unwrap();
    assert_eq!(server.n_connections(), 2);
    server.will("NOOP", Quirk::HangUp);
    mail.handle(&[comment(3)]).await.unwrap();
    assert_eq!((server.n_connections(), server.stored().len()), (3, 3));
}

#[tokio::test]
async fn tls_and_log_in_come_before_the_mail() {
    for (tls, scheme, query) in
        [(Tls::OnRequest, "smtp", "?tls=required"), (Tls::Wrapped, "smtps", "")]
    {
        let server = SmtpServer::start(tls, true).await;
        let url = log_in_url(scheme, &server, query);
        let (_folder, mail) = handler(&server, &url, LOG_IN);
        mail.handle(&[comment(1)]).await.unwrap();
        mail.handle(&[comment(2)]).await.unwrap();
        let stored = server.stored();
        assert_eq!(stored.len(), 2);
        assert!(stored.iter().all(|mail| mail.was_encrypted && mail.was_logged_in));
        assert_eq!(server.n_connections(), 1);
    }
}

#[tokio::test]
async fn nothing_is_said_to_a_server_without_tls_or_with_a_strangers_certificate() {
    let server = SmtpServer::start(Tls::Never, true).await;
    let (_folder, mail) = handler(&server, &log_in_url("smtp", &server, "?tls=required"), LOG_IN);
    let failure = mail.handle(&[comment(1)]).await.unwrap_err();
    assert_transient(&failure);
    assert!(failure.text.as_str().contains("STARTTLS is not supported"), "{failure}");

    let server = SmtpServer::start(Tls::OnRequest, true).await;
    let stranger = SmtpServer::start(Tls::OnRequest, true).await;
    let (folder, mail) = handler(&server, &log_in_url("smtp", &server, "?tls=required"), LOG_IN);
    mail.handle(&[comment(1)]).await.unwrap();
    std::fs::write(folder.path().join("ca.pem"), &stranger.ca_pem).unwrap();
    let text =
        format!("smtp = \"{}\"\n{WORDS}{LOG_IN}", log_in_url("smtp", &server, "?tls=required"));
    let mail = build("email", &text, folder.path());
    assert_transient(&mail.handle(&[comment(2)]).await.unwrap_err());
    assert_eq!(server.stored().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_about_the_settings_and_not_about_the_mail() {
    let server = SmtpServer::start(Tls::OnRequest, true).await;
    let url = log_in_url("smtp", &server, "?tls=required");
    let (folder, mail) = handler(&server, &url, LOG_IN);
    std::fs::write(folder.path().join("password"), "wrong").unwrap();
    mail.handle(&[comment(1)]).await.unwrap();
    let text = format!("smtp = \"{url}\"\n{WORDS}{LOG_IN}");
    let failure = build("email", &text, folder.path()).handle(&[comment(2)]).await.unwrap_err();
    assert_transient(&failure);
    assert_eq!(failure.status, Some(535));
    assert!(!failure.text.as_str().contains("wrong"), "{failure}");
    let checked =
        settings("email", &text, folder.path()).check_online(&context(folder.path())).await;
    assert!(checked.unwrap_err().to_string().contains("535"));
    std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
    settings("email", &text, folder.path()).check_online(&context(folder.path())).await.unwrap();
}

#[tokio::test]
async fn what_the_server_says_of_a_mail_decides() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_folder, mail) = handler(&server, &plain_url(&server), "");
    for command in ["MAIL", "RCPT", "DATA", "."] {
        // Of both recipients, where it is about recipients.
        let times = if command == "RCPT" { 2 } else { 1 };
        let will = |text| (0..times).for_each(|_| server.will(command, Quirk::Say(text)));
        will("451 4.7.1 greylisted, come back later");
        let failure = mail.handle(&[comment(1)]).await.unwrap_err();
        assert_transient(&failure);
        assert_eq!(failure.status, Some(451));
        will("550 5.1.1 no such user");
        let failure = mail.handle(&[comment(1)]).await.unwrap_err();
        assert_permanent(&failure);
        assert_eq!(failure.status, Some(550));
    }
    server.will("GREETING", Quirk::Say("554 5.3.2 not today"));
    assert_transient(&mail.handle(&[comment(1)]).await.unwrap_err());
    server.will("GREETING", Quirk::Say("421 4.3.2 too busy"));
    assert_transient(&mail.handle(&[comment(1)]).await.unwrap_err());
    assert!(server.stored().is_empty());
    mail.handle(&[comment(1)]).await.unwrap();
    assert_eq!(server.stored().len(), 1);
}

#[tokio::test]
async fn a_mail_whose_answer_is_lost_comes_again_under_the_same_id() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_folder, mail) = handler(&server, &plain_url(&server), "");
    server.will(".", Quirk::HangUp);
    assert_eq!(until_taken(mail.as_ref(), &[comment(1)]).await, 1);
    assert_eq!(until_taken(mail.as_ref(), &[comment(2), comment(3)]).await, 0);
    let ids: Vec<String> = server.stored().iter().map(message_id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
}

#[tokio::test]
async fn a_server_that_says_nothing_holds_nobody_for_ever() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_folder, mail) = handler(&server, &plain_url(&server), "");
    for command in ["GREETING", "EHLO", "MAIL", "DATA", "."] {
        server.will(command, Quirk::Hang);
        let event = comment(1);
        let call = mail.handle(std::slice::from_ref(&event));
        let ended = tokio::time::timeout(Duration::from_millis(100), call).await;
        assert!(ended.is_err(), "{command}");
    }
    // The calls were dropped in mid-way: the next one begins on a connection of its own.
    mail.handle(&[comment(2)]).await.unwrap();
}

#[tokio::test]
async fn failure_says_at_which_step_of_the_dialog() {
    let server = SmtpServer::start(Tls::OnRequest, true).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &server.ca_pem).unwrap();
    std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
    let url = log_in_url("smtp", &server, "?tls=required");
    let text = format!("smtp = \"{url}\"\n{WORDS}{LOG_IN}");
    let timeout = Duration::from_millis(300);
    let context = BuildContext { timeout, ..context(folder.path()) };
    let mail = settings("email", &text, folder.path()).build(&context).unwrap();
    for (command, step) in [
        ("GREETING", "the greeting"),
        ("STARTTLS", "STARTTLS"),
        ("AUTH", "the log-in"),
        ("MAIL", "MAIL FROM"),
        ("RCPT", "RCPT TO:<owner@example.com>"),
        ("DATA", "DATA"),
        (".", "the end of the mail"),
    ] {
        server.will(command, Quirk::Hang);
        let failure = mail.handle(&[comment(1)]).await.unwrap_err();
        assert_transient(&failure);
        let expected = format!("mail server, at {step}: no answer within 270ms");
        assert_eq!(failure.text.as_str(), expected);
        assert_eq!(failure.class, Some(FailureClass::Timeout));
        server.will(command, Quirk::HangUp);
        let failure = mail.handle(&[comment(1)]).await.unwrap_err();
        assert_eq!(failure.class, Some(FailureClass::Connection), "{failure}");
        let told = failure.text.as_str();
        assert!(told.starts_with(&format!("mail server, at {step}: ")), "{told}");
    }
}

fn transients(failure: &Failure) -> Vec<(EventId, FailureKind)> {
    failure.each.iter().map(|(id, failure)| (*id, failure.kind)).collect()
}

#[tokio::test]
async fn accepted_recipients_get_their_mail_and_the_refused_are_named() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_folder, mail) = handler(&server, &plain_url(&server), "cc = \"third@example.com\"");
    server.refuse("second@example.com", "550 5.1.1 User unknown");
    let failure = mail.handle(&[comment(1)]).await.unwrap_err();
    assert_permanent(&failure);
    assert_eq!(failure.status, Some(550));
    let told = failure.text.as_str();
    assert!(told.starts_with("the mail server refused `second@example.com` ("), "{told}");
    assert!(told.ends_with("User unknown); the others have the mail"), "{told}");
    assert_eq!(server.stored()[0].to, ["owner@example.com", "third@example.com"]);
    // Once it is redriven, only the one who lacks it is asked for.
    server.accept("second@example.com");
    mail.handle(&[comment(1)]).await.unwrap();
    let stored = server.stored();
    assert_eq!((stored.len(), &stored[1].to), (2, &vec!["second@example.com".to_owned()]));
    assert_eq!(message_id(&stored[0]), message_id(&stored[1]), "the same mail");
    let to = MessageParser::new().parse(&stored[1].bytes).unwrap();
    assert_eq!(to.to().unwrap().iter().count(), 2, "as it was addressed");
    assert_eq!(server.n_connections(), 1);
}

#[tokio::test]
async fn restart_forgets_nobody_who_has_a_mail() {
    let server = SmtpServer::start(Tls::Never, false).await;
    server.refuse("second@example.com", "450 4.2.0 Greylisted");
    let more = "bcc = [\"gone@example.com\"]";
    server.refuse("gone@example.com", "550 5.1.1 User unknown");
    let (_folder, mail) = handler(&server, &plain_url(&server), more);
    let failure = mail.handle(&[comment(1)]).await.unwrap_err();
    let progress = failure.each[0].1.progress.clone();
    assert!(progress.is_some(), "{failure}");

    server.accept("second@example.com");
    let (_folder, mail) = handler(&server, &plain_url(&server), more);
    let again = Delivery { attempt: 2, progress, ..comment(1) };
    let failure = mail.handle(&[again]).await.unwrap_err();
    assert_permanent(&failure);
    let told = failure.text.as_str();
    assert!(told.starts_with("the mail server refused `gone@example.com` ("), "{told}");
    assert!(told.contains("User unknown"), "{told}");
    let to = || -> Vec<Vec<String>> { server.stored().into_iter().map(|mail| mail.to).collect() };
    assert_eq!(to(), [["owner@example.com"], ["second@example.com"]]);

    server.accept("gone@example.com");
    let (_folder, mail) = handler(&server, &plain_url(&server), more);
    let progress = failure.each[0].1.progress.clone();
    mail.handle(&[Delivery { progress, ..comment(1) }]).await.unwrap();
    assert_eq!(to().last().unwrap(), &["gone@example.com"], "a redrive asks for those who lack it");
}

#[tokio::test]
async fn retry_goes_only_to_those_who_were_refused_for_now() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let more = "bcc = [\"full@example.com\", \"gone@example.com\"]";
    let (_folder, mail) = handler(&server, &plain_url(&server), more);
    server.refuse("full@example.com", "452 4.2.2 Mailbox full");
    server.refuse("gone@example.com", "550 5.1.1 User unknown");
    server.refuse("second@example.com", "450 4.2.0 Greylisted");
    let failure = mail.handle(&[comment(1)]).await.unwrap_err();
    assert_transient(&failure);
    let told = failure.text.as_str();
    for name in ["second@example.com", "full@example.com", "gone@example.com"] {
        assert!(told.contains(&format!("`{name}` (")), "{told}");
    }
    let again = || Delivery { attempt: 2, ..comment(1) };
    server.accept("second@example.com");
    let failure = mail.handle(&[again()]).await.unwrap_err();
    assert_transient(&failure);
    assert_eq!(failure.status, Some(452));
    server.accept("full@example.com");
    let failure = mail.handle(&[again()]).await.unwrap_err();
    assert_permanent(&failure);
    let told = failure.text.as_str();
    assert!(told.starts_with("the mail server refused `gone@example.com` ("), "{told}");
    let to: Vec<Vec<String>> = server.stored().into_iter().map(|mail| mail.to).collect();
    assert_eq!(to, [["owner@example.com"], ["second@example.com"], ["full@example.com"]]);
    let text = String::from_utf8(server.stored()[0].bytes.clone()).unwrap();
    assert!(!text.contains("full@example.com"), "nobody reads who was told beside them: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_handlers_and_a_replay_make_three_mails_of_one_event() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let table = |name: &str| {
        let words = WORDS.replace("data.id", "data.comment.id");
        let words = words.replace("data.body", "data.comment.body");
        format!("[handler.{name}.email]\nsmtp = \"{}\"\n{words}", plain_url(&server))
    };
    let gateway = Gateway::with("", &format!("{}{}", table("mail"), table("other")));
    let body = br#"{"event":"comment.create","data":{"comment":{"id":1,"body":"b"}}}"#;
    let id = gateway.send(body).id();
    gateway.wait_until_delivered("mail", 1);
    gateway.wait_until_delivered("other", 1);
    printed(&run(&gateway.folder, &["events", "replay", &id, "--handler", "mail"]), 0);
    gateway.wait_until_delivered("mail", 2);
    gateway.stop();
    let mut ids: Vec<String> = server.stored().iter().map(message_id).collect();
    ids.sort();
    let expected = ["mail.1", "mail", "other"].map(|rest| format!("{id}.{rest}@example.com"));
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn digest_with_a_refused_recipient_is_not_sent_to_the_others_again() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_folder, mail) = handler(&server, &plain_url(&server), "");
    server.refuse("second@example.com", "451 4.7.1 Greylisted");
    let failure = mail.handle(&[comment(1), comment(2)]).await.unwrap_err();
    let ids = [1, 2].map(|number| comment(number).event.id);
    assert_eq!(transients(&failure), ids.map(|id| (id, FailureKind::Transient)));
    server.accept("second@example.com");
    // A later event is in the same call: each reader gets what they lack.
    let again = |number| Delivery { attempt: 2, ..comment(number) };
    mail.handle(&[again(1), again(2), comment(3)]).await.unwrap();
    let mut sent: Vec<(String, Vec<String>)> = subjects(&server)
        .into_iter()
        .zip(server.stored())
        .map(|(subject, mail)| (subject, mail.to))
        .collect();
    sent.sort();
    let to = |all: &[&str]| all.iter().map(|one| format!("{one}@example.com")).collect::<Vec<_>>();
    let expected = [
        ("2 events: Comment 1".to_owned(), to(&["owner"])),
        ("2 events: Comment 1".to_owned(), to(&["second"])),
        ("Comment 3".to_owned(), to(&["owner", "second"])),
    ];
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn refused_recipient_of_one_mail_leaves_the_others_alone() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_clock, _folder, mail) = handler_to_each(&server, "");
    server.refuse("b@example.org", "550 5.1.1 User unknown");
    let batch = [to(1, "a@example.org"), to(2, "b@example.org"), to(3, "c@example.org")];
    let failure = mail.handle(&batch).await.unwrap_err();
    assert_eq!(failure.done, [batch[0].event.id, batch[2].event.id]);
    assert_eq!(transients(&failure), [(batch[1].event.id, FailureKind::Permanent)]);
    assert!(!failure.each[0].1.text.as_str().contains("the others"), "{failure}");
    assert_eq!(subjects(&server), ["Comment 1", "Comment 3"]);
    // Whom an event does not name gets nothing, and nothing fails.
    let nobody = delivery(4, "x", &json!({"id": 4}));
    mail.handle(&[nobody]).await.unwrap();
    assert_eq!(server.stored().len(), 2);
}

#[tokio::test]
async fn a_connection_cut_at_any_byte_loses_no_mail() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let proxy = Proxy::start(Upstream::Tcp(server.address)).await;
    let (_folder, mail) = handler(&server, &format!("smtp://{}", proxy.address), "");
    let mut number = 0;
    let mut n_cuts = 0;
    for direction in [Direction::ToServer, Direction::ToClient] {
        for n_bytes in (0..).step_by(23) {
            number += 1;
            proxy.cut_after(direction, n_bytes);
            n_cuts += until_taken(mail.as_ref(), &[comment(number)]).await;
            if proxy.is_uncut(direction) {
                break;
            }
        }
    }
    assert!(n_cuts > 20, "{n_cuts} cuts prove little");
    let stored: HashSet<String> = server.stored().iter().map(message_id).collect();
    assert_eq!(stored.len(), usize::try_from(number).unwrap(), "each at least once");
}

#[tokio::test]
async fn what_is_too_much_for_an_hour_becomes_the_next_hours_digest() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let text = format!("smtp = \"{}\"\n{WORDS}max_per_hour = 2", plain_url(&server));
    let context = context_with(folder.path(), Arc::<ManualClock>::clone(&clock));
    let mail = settings("email", &text, folder.path()).build(&context).unwrap();
    mail.handle(&[comment(1)]).await.unwrap();
    mail.handle(&[comment(2)]).await.unwrap();
    clock.advance(Duration::from_mins(15));
    let mut waiting = Vec::new();
    for number in 3..=5 {
        let failure = mail.handle(&[comment(number)]).await.unwrap_err();
        assert_put_off(&failure, Duration::from_mins(45), &[]);
        waiting.push(comment(number));
    }
    clock.advance(Duration::from_mins(45));
    waiting.push(comment(6));
    mail.handle(&waiting).await.unwrap();
    let stored = server.stored();
    assert_eq!(stored.len(), 4);
    assert_eq!(subjects(&server)[2..], ["3 events: Comment 3", "Comment 6"]);
}

#[track_caller]
fn assert_put_off(failure: &Failure, wait: Duration, done: &[u64]) {
    assert_eq!(failure.kind, FailureKind::Deferred, "{failure}");
    assert_eq!(failure.retry_after, Some(wait));
    let done: Vec<EventId> = done.iter().map(|number| comment(*number).event.id).collect();
    assert_eq!(failure.done, done);
}

fn subjects(server: &SmtpServer) -> Vec<String> {
    let subject = |mail: &Stored| {
        MessageParser::new().parse(&mail.bytes).unwrap().subject().unwrap().to_owned()
    };
    server.stored().iter().map(subject).collect()
}

#[tokio::test]
async fn events_that_come_at_once_are_mails_of_their_own_up_to_the_hours_last() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (folder, mail) = handler(&server, &plain_url(&server), "max_per_hour = 3");
    let five: Vec<Delivery> = (1..=5).map(comment).collect();
    mail.handle(&five).await.unwrap();
    assert_eq!(subjects(&server), ["Comment 1", "Comment 2", "3 events: Comment 3"]);
    let failure = mail.handle(&[comment(6)]).await.unwrap_err();
    assert_put_off(&failure, Duration::from_hours(1), &[]);
    // A batch that was asked for is one mail.
    let context = BuildContext { batch: NonZeroUsize::new(9), ..context(folder.path()) };
    let text = format!("smtp = \"{}\"\n{WORDS}max_per_hour = 3", plain_url(&server));
    let mail = settings("email", &text, folder.path()).build(&context).unwrap();
    mail.handle(&five).await.unwrap();
    assert_eq!(subjects(&server)[3..], ["5 events: Comment 1"]);
}

/// Each event says its recipient.
fn handler_to_each(
    server: &SmtpServer,
    more: &str,
) -> (Arc<ManualClock>, TempDir, Box<dyn Handler>) {
    let folder = tempfile::tempdir().unwrap();
    let words = WORDS.replace("[\"owner@example.com\", \"second@example.com\"]", "\"data.to\"");
    let text = format!("smtp = \"{}\"\n{words}{more}", plain_url(server));
    let clock = Arc::new(ManualClock::new(NOW));
    let context = context_with(folder.path(), Arc::<ManualClock>::clone(&clock));
    let mail = settings("email", &text, folder.path()).build(&context).unwrap();
    (clock, folder, mail)
}

fn to(number: u64, to: &str) -> Delivery {
    delivery(number, "x", &json!({"id": number, "to": to}))
}

/// Begins a call and drops it once the server has come to the last thing it was told to do.
async fn drop_in_mid_way(server: &SmtpServer, mail: &dyn Handler, deliveries: &[Delivery]) {
    let has_come = async {
        while server.has_quirks() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        result = mail.handle(deliveries) => panic!("the call ended: {result:?}"),
        () = has_come => {}
    }
}

#[tokio::test]
async fn what_does_not_fit_into_the_hour_goes_in_the_next_ones_the_oldest_first() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (clock, _folder, mail) = handler_to_each(&server, "max_per_hour = 2");
    // The oldest one's address is the last by its letters.
    let mut left: Vec<Delivery> =
        (1..=40).map(|number| to(number, &format!("{:02}@example.org", 99 - number))).collect();
    for hour in 0..19 {
        let failure = mail.handle(&left).await.unwrap_err();
        let done = [2 * hour + 1, 2 * hour + 2];
        assert_put_off(&failure, Duration::from_hours(1), &done);
        left.retain(|one| !failure.done.contains(&one.event.id));
        clock.advance(Duration::from_hours(1));
    }
    mail.handle(&left).await.unwrap();
    let expected: Vec<String> = (1..=40).map(|number| format!("Comment {number}")).collect();
    assert_eq!(subjects(&server), expected);
}

#[tokio::test]
async fn a_mail_that_fails_leaves_its_room_in_the_hour_to_others() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_folder, mail) = handler(&server, &plain_url(&server), "max_per_hour = 2");
    let two = [comment(1), comment(2)];
    for _ in 0..3 {
        server.will("MAIL", Quirk::Say("451 4.3.0 come back later"));
        let failure = mail.handle(&two).await.unwrap_err();
        assert_transient(&failure);
        assert!(failure.done.is_empty());
    }
    // A call that is dropped gives back as well.
    server.will("MAIL", Quirk::Hang);
    drop_in_mid_way(&server, mail.as_ref(), &two).await;
    mail.handle(&two).await.unwrap();
    assert_eq!(subjects(&server), ["Comment 1", "Comment 2"]);
    let failure = mail.handle(&[comment(3)]).await.unwrap_err();
    assert_put_off(&failure, Duration::from_hours(1), &[]);
}

#[tokio::test]
async fn as_long_as_the_hour_has_room_each_is_a_mail_of_its_own_however_old() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    clock.advance(Duration::from_hours(5));
    let text = format!("smtp = \"{}\"\n{WORDS}max_per_hour = 30", plain_url(&server));
    let context = context_with(folder.path(), Arc::<ManualClock>::clone(&clock));
    let mail = settings("email", &text, folder.path()).build(&context).unwrap();
    let mut left: Vec<Delivery> = (1..=25).map(comment).collect();
    for delivery in &mut left {
        delivery.attempt = 2;
    }
    // One call takes only so many; the others are due at once.
    let failure = mail.handle(&left).await.unwrap_err();
    assert_put_off(&failure, Duration::ZERO, &(1..=20).collect::<Vec<_>>());
    mail.handle(&left[20..]).await.unwrap();
    let expected: Vec<String> = (1..=25).map(|number| format!("Comment {number}")).collect();
    assert_eq!(subjects(&server), expected);
}

#[tokio::test]
async fn of_several_mails_only_those_that_failed_are_sent_again() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_clock, _folder, mail) = handler_to_each(&server, "");
    let batch = [to(1, "a@example.org"), to(2, "b@example.org"), to(3, "a@example.org")];
    // The second mail, not the first.
    server.will("RCPT", Quirk::Say("250 ok"));
    server.will("RCPT", Quirk::Say("450 4.2.0 greylisted"));
    let failure = mail.handle(&batch).await.unwrap_err();
    assert_eq!(transients(&failure), [(batch[1].event.id, FailureKind::Transient)]);
    assert_eq!(failure.done, [batch[0].event.id, batch[2].event.id]);
    mail.handle(&batch[1..2]).await.unwrap();
    assert_eq!(subjects(&server), ["2 events: Comment 1", "Comment 2"]);
    // A call that was ended from outside could not say what it had done.
    server.will("RCPT", Quirk::Say("250 ok"));
    server.will("RCPT", Quirk::Hang);
    drop_in_mid_way(&server, mail.as_ref(), &batch).await;
    mail.handle(&batch).await.unwrap();
    assert_eq!(subjects(&server)[2..], ["2 events: Comment 1", "Comment 2"]);
    mail.handle(&batch).await.unwrap();
    assert_eq!(server.stored().len(), 6, "a replay is sent again");
}

/// What it accepts it writes down as it came, one file each, and then says so.
const AIOSMTPD: &str = r"
import asyncio, ssl, sys, pathlib
from aiosmtpd.smtp import SMTP, AuthResult
folder = pathlib.Path(sys.argv[1])
class Store:
    n = 0
    seen = set()
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith('gone'):
            return '550 5.1.1 User unknown'
        if address.startswith('grey') and address not in Store.seen:
            Store.seen.add(address)
            return '451 4.7.1 Greylisted'
        envelope.rcpt_tos.append(address)
        return '250 OK'
    async def handle_DATA(self, server, session, envelope):
        Store.n += 1
        text = '%s %s %s\n' % (session.authenticated, envelope.mail_from, ','.join(envelope.rcpt_tos))
        (folder / ('mail%d' % Store.n)).write_bytes(text.encode() + envelope.original_content)
        return '250 stored'
def log_in(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (sys.argv[2].encode(), sys.argv[3].encode())
    return AuthResult(success=good)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / 'cert.pem', folder / 'key.pem')
def session():
    return SMTP(Store(), tls_context=context, require_starttls=True, auth_required=True, authenticator=log_in)
async def main():
    server = await asyncio.get_running_loop().create_server(session, '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
";

fn has_aiosmtpd() -> bool {
    let output = Command::new("/usr/bin/python3").args(["-c", "import aiosmtpd.smtp"]).output();
    output.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn aiosmtpd_takes_our_mail() {
    if !has_aiosmtpd() {
        skip("Python's `aiosmtpd` is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("cert.pem"), certified.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
    let mut child = Command::new("/usr/bin/python3")
        .args(["-W", "ignore", "-c", AIOSMTPD])
        .arg(folder.path())
        .args([USER, PASSWORD])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let user = USER.replace('@', "%40");
    let text = format!(
        "smtp = \"smtp://{user}@localhost:{}?tls=required\"\nca = \"cert.pem\"\n\
         password = {{ file = \"password\" }}\n{WORDS}",
        port.trim()
    );
    let mail = build("email", &text, folder.path());
    mail.handle(&[comment(1)]).await.unwrap();
    mail.handle(&[comment(2), comment(3)]).await.unwrap();
    mail.close().await;
    let readers = "to = [\"grey@example.com\", \"gone@example.com\", \"owner@example.com\"]";
    let before = "to = [\"owner@example.com\", \"second@example.com\"]";
    let mail = build("email", &text.replace(before, readers), folder.path());
    let failure = mail.handle(&[comment(4)]).await.unwrap_err();
    assert_transient(&failure);
    let failure = mail.handle(&[Delivery { attempt: 2, ..comment(4) }]).await.unwrap_err();
    assert_permanent(&failure);
    assert!(failure.text.as_str().contains("`gone@example.com` ("), "{failure}");
    mail.close().await;
    for (number, reader) in [(3, "owner@example.com"), (4, "grey@example.com")] {
        let stored = std::fs::read(folder.path().join(format!("mail{number}"))).unwrap();
        let head = format!("True gatepost@example.com {reader}\n");
        assert!(stored.starts_with(head.as_bytes()), "{number}");
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let stored = std::fs::read(folder.path().join("mail1")).unwrap();
    let (head, mail) = stored.split_at(stored.iter().position(|byte| *byte == b'\n').unwrap());
    assert_eq!(head, b"True gatepost@example.com owner@example.com,second@example.com");
    let read = MessageParser::new().parse(mail.trim_ascii_start()).unwrap();
    assert_eq!(read.subject(), Some("Comment 1"));
    assert_eq!(read.body_text(0).unwrap().trim_end(), "Grüße <b>\r\n.\r\nend");
    let stored = std::fs::read(folder.path().join("mail2")).unwrap();
    let stored = String::from_utf8(stored).unwrap();
    assert!(stored.contains("Subject: 2 events: Comment 2"), "{stored}");
}
