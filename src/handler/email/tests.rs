//! What is written; `tests/it` sends it.

use std::path::Path;

use mail_parser::{MessageParser, MimeHeaders};
use serde_json::json;

use super::composed::{Composed, Mail};
use super::message::compose;
use super::*;
use crate::event::FailureKind;
use crate::handler::testing::{NOW, delivery, id, numbered, settings, try_settings};
use crate::settings;

mod headers;
mod replies;
mod tls;

const MAIL: &str = r#"
smtp = "smtp://localhost"
from = "Gatepost <gatepost@example.com>"
to = ["owner@example.com", "Édith <edith@example.com>"]
subject = "New comment on {{ data.page }}"
text = "{{ data.name }} wrote:\n\n{{ data.body }}"
"#;

fn read(text: &str) -> Settings {
    settings::read(text, Path::new("/etc"), Settings::read).value.unwrap()
}

fn comment(number: u64, body: &str) -> Delivery {
    let data = json!({"page": "Home", "name": "Ann", "body": body, "mail": "ann@example.org"});
    numbered(number, json!({"data": data}).to_string())
}

fn try_write(text: &str, deliveries: &[Delivery]) -> Result<Vec<Mail>, Failure> {
    try_compose(text, deliveries).map(|composed| composed.mails)
}

fn try_compose(text: &str, deliveries: &[Delivery]) -> Result<Composed, Failure> {
    let (settings, handler) = (read(text), HandlerName::parse("test").unwrap());
    let writer = Writer { settings: &settings, handler: &handler, now: NOW };
    compose(&writer, &deliveries.iter().collect::<Vec<_>>(), &|_, all| all)
}

fn write(text: &str, deliveries: &[Delivery]) -> Vec<Mail> {
    try_write(text, deliveries).unwrap()
}

fn parse(mail: &Mail) -> mail_parser::Message<'_> {
    MessageParser::new().parse(&mail.bytes).unwrap()
}

#[test]
fn an_event_becomes_a_mail() {
    let mails = write(MAIL, &[comment(1, "Hällo\n.\nline")]);
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    let read = parse(mail);
    assert_eq!(read.subject(), Some("New comment on Home"));
    assert_eq!(read.body_text(0).unwrap(), "Ann wrote:\r\n\r\nHällo\r\n.\r\nline\r\n");
    assert_eq!(read.message_id().unwrap(), format!("{}.test@example.com", id(1)));
    assert_eq!(read.date().unwrap().to_rfc3339(), "2026-11-22T12:00:00Z");
    assert_eq!(read.header_raw("Auto-Submitted").unwrap().trim(), "auto-generated");
    assert_eq!(read.from().unwrap().first().unwrap().address(), Some("gatepost@example.com"));
    let to: Vec<_> = read.to().unwrap().iter().map(|to| to.address().unwrap()).collect();
    assert_eq!(to, ["owner@example.com", "edith@example.com"]);
    assert_eq!(read.to().unwrap().iter().nth(1).unwrap().name(), Some("Édith"));
    let envelope: Vec<String> = mail.envelope.to().iter().map(ToString::to_string).collect();
    assert_eq!(envelope, ["owner@example.com", "edith@example.com"]);
    assert!(mail.bytes.is_ascii(), "a server without 8BITMIME takes it, too");
}

#[test]
fn html_is_escaped_and_text_is_not() {
    let text = format!("{MAIL}html = \"<p>{{{{ data.body }}}}</p>\"");
    let mails = write(&text, &[comment(1, "<script>a & b</script>")]);
    let read = parse(&mails[0]);
    assert_eq!(read.html_body_count(), 1);
    assert_eq!(read.content_type().unwrap().subtype(), Some("alternative"));
    assert!(read.body_text(0).unwrap().ends_with("<script>a & b</script>"));
    let html = read.body_html(0).unwrap();
    assert_eq!(html, "<p>&lt;script&gt;a &amp; b&lt;&#x2f;script&gt;</p>");
}

#[test]
fn nothing_of_an_event_becomes_a_header_or_a_second_mail() {
    let hostile = "x\r\nBcc: all@example.net\r\n\r\nbody\n.\r\n.\r.\r\nMAIL FROM:<a@b>\0\u{1b}";
    let data = json!({"page": hostile, "name": hostile, "body": hostile});
    let event = numbered(1, json!({"data": data}).to_string());
    let mails = write(MAIL, &[event]);
    let read = parse(&mails[0]);
    assert!(read.bcc().is_none());
    assert_eq!(read.parts.len(), 1);
    let subject = read.subject().unwrap();
    assert!(
        subject.starts_with("New comment on x Bcc: all@example.net body . . . MAIL"),
        "{subject}"
    );
    let head_end = mails[0].bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(mails[0].bytes[..head_end].to_vec()).unwrap();
    assert!(!head.contains("\r\nBcc"), "{head}");
    let text = String::from_utf8(mails[0].bytes.clone()).unwrap();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0', '\u{1b}']), "{text:?}");
    assert_eq!(mails[0].envelope.to().len(), 2);
}

#[test]
fn subject_that_looks_encoded_is_shown_as_it_is() {
    let subject = "=?utf-8?q?Your_bank?= äöü".to_owned() + &" and more".repeat(10);
    let body = serde_json::json!({ "data": { "page": subject } }).to_string();
    let mails = write(MAIL, &[delivery(&body)]);
    let expected = format!("New comment on {subject}");
    assert_eq!(parse(&mails[0]).subject(), Some(expected.as_str()));
    let text = String::from_utf8_lossy(&mails[0].bytes);
    assert!(!text.contains("?q?Your_bank"), "{text}");
    assert!(text.lines().all(|line| line.len() < 78), "{text}");
}

#[test]
fn a_digest_says_how_many_and_shows_each() {
    let events = [comment(1, "one"), comment(2, "two"), comment(3, "three")];
    let mails = write(MAIL, &events);
    assert_eq!(mails.len(), 1);
    let read = parse(&mails[0]);
    assert_eq!(read.subject(), Some("3 events: New comment on Home"));
    let body = read.body_text(0).unwrap();
    for each in ["one", "two", "three"] {
        assert!(body.contains(&format!("Ann wrote:\r\n\r\n{each}")), "{body}");
    }
    let ids = [&events[..], &events[..], &events[..2]].map(|events| {
        let mails = write(MAIL, events);
        parse(&mails[0]).message_id().unwrap().to_owned()
    });
    assert_eq!(ids[0], ids[1], "the same in every try");
    assert_ne!(ids[0], ids[2], "another digest");
    assert!(ids[0].starts_with(&id(1).to_string()));
}

#[test]
fn a_digest_that_is_too_long_says_so() {
    let long = "word ".repeat(500_000);
    let mails = write(MAIL, &[comment(1, &long), comment(2, &long), comment(3, &long)]);
    let body = parse(&mails[0]).body_text(0).unwrap().into_owned();
    assert!(body.trim_end().ends_with("1 more events do not fit into this mail."));
}

#[test]
fn a_template_that_speaks_of_events_is_rendered_once() {
    let text = MAIL
        .replace("New comment on {{ data.page }}", "{{ events | length }} new comments")
        .replace(
            "{{ data.name }} wrote:\\n\\n{{ data.body }}",
            "{% for e in events %}* {{ e.data.body }} ({{ e.event.type }})\\n{% endfor %}",
        );
    let mails = write(&text, &[comment(1, "one"), comment(2, "two")]);
    let read = parse(&mails[0]);
    assert_eq!(read.subject(), Some("2 new comments"));
    assert_eq!(
        read.body_text(0).unwrap().trim_end(),
        "* one (comment.create)\r\n* two (comment.create)"
    );
    let mails = write(&text, &[comment(1, "one")]);
    assert_eq!(parse(&mails[0]).subject(), Some("1 new comments"));
}

fn to_expression(expression: &str) -> String {
    let list = "[\"owner@example.com\", \"Édith <edith@example.com>\"]";
    MAIL.replace(list, &format!("\"{expression}\""))
}

#[test]
fn recipients_may_come_from_the_event_and_nobody_reads_the_others_mail() {
    let to = |number, to: serde_json::Value| {
        let data = json!({"body": format!("for {to}"), "to": to});
        numbered(number, json!({"data": data}).to_string())
    };
    let text = to_expression("data.to");
    let events = [
        to(1, json!("a@example.org")),
        to(2, json!(["b@example.org", "A <a@example.org>"])),
        to(3, json!("a@example.org")),
        to(4, json!("b@example.org, a@example.org")),
    ];
    let mails = write(&text, &events);
    let sent: Vec<(usize, String)> = mails
        .iter()
        .map(|mail| (mail.envelope.to().len(), parse(mail).subject().unwrap().to_owned()))
        .collect();
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(sent.contains(&(1, "2 events: New comment on".to_owned())), "{sent:?}");

    let mails = write(&text, &[to(1, json!("Ann <ann@b\u{fc}cher.example>"))]);
    assert_eq!(mails[0].envelope.to()[0].to_string(), "ann@xn--bcher-kva.example");
    for around in [
        " a@example.org ",
        "\r\na@example.org\n",
        "A <a@example.org>\n",
        "a@example.org,\n b@example.org",
        "a@example.org (Ann)",
        "mailto:a@example.org",
        "A, B <a@example.org>",
    ] {
        let mails = write(&text, &[to(1, json!(around))]);
        assert_eq!(mails[0].envelope.to()[0].to_string(), "a@example.org", "{around:?}");
    }
    for nobody in [json!(null), json!([]), json!(""), json!([null, " "])] {
        assert!(write(&text, &[to(1, nobody)]).is_empty(), "nobody is to be told");
    }
    for (nobody, words) in [
        (json!("not an address"), "`not an address` (in `to`: no mail address)"),
        (
            json!("a@b.org\r\nRCPT TO:<c@b.org>"),
            "`a@b.org  RCPT TO:<c@b.org>` (in `to`: no mail address)",
        ),
        (json!(7), "`a number` (in `to`: no mail address)"),
        (json!({"a@b.org": 1}), "`a map` (in `to`: no mail address)"),
    ] {
        let composed = try_compose(&text, &[to(1, nobody.clone())]).unwrap();
        assert!(composed.mails.is_empty(), "{nobody}");
        let unfit: Vec<String> = composed.unfit[&id(1)].iter().map(ToString::to_string).collect();
        assert_eq!(unfit, [words], "{nobody}");
        let failure = Known::default().note_unfit(id(1), &composed.unfit[&id(1)]);
        assert_eq!(failure.kind, FailureKind::Permanent);
    }
}

#[test]
fn as_many_are_mails_of_their_own_as_leave_one_for_the_others() {
    let positions = |deliveries: Vec<&Delivery>| -> Vec<u64> {
        deliveries.iter().map(|delivery| delivery.event.position.0).collect()
    };
    let five: Vec<Delivery> = (1..=5).map(|number| comment(number, "x")).collect();
    let check = |n_left, waiting: &[u64], alone: &[u64], together: &[u64]| {
        let waiting = waiting.iter().map(|number| id(*number)).collect();
        let (one, other) = split(&five.iter().collect::<Vec<_>>(), n_left, &waiting);
        assert_eq!((positions(one), positions(other)), (alone.to_vec(), together.to_vec()));
    };
    check(5, &[], &[1, 2, 3, 4, 5], &[]);
    check(3, &[], &[1, 2], &[3, 4, 5]);
    check(1, &[], &[], &[1, 2, 3, 4, 5]);
    check(0, &[], &[], &[1, 2, 3, 4, 5]);
    check(5, &[1, 3], &[2, 4, 5], &[1, 3]);
    check(4, &[1, 3], &[2, 4, 5], &[1, 3]);
    check(3, &[1, 3], &[2, 4], &[1, 3, 5]);
}

#[test]
fn only_so_many_events_are_remembered() {
    let mut known = Known::default();
    let many: Vec<EventId> = (0..12_000).map(id).collect();
    known.note_waiting(&many);
    assert_eq!((known.waiting.len(), known.waiting.first()), (known::KNOWN_MAX, Some(&id(2_000))));
    known.note_sent(&many);
    assert_eq!((known.waiting.len(), known.sent.len()), (0, known::KNOWN_MAX));
}

#[test]
fn each_mail_about_an_event_has_an_id_of_its_own() {
    let settings = read(MAIL);
    let message_id = |handler: &str, deliveries: &[Delivery]| {
        let handler = HandlerName::parse(handler).unwrap();
        let writer = Writer { settings: &settings, handler: &handler, now: NOW };
        let all: Vec<&Delivery> = deliveries.iter().collect();
        let mails = compose(&writer, &all, &|_, all| all).unwrap().mails;
        parse(&mails[0]).message_id().unwrap().to_owned()
    };
    let replayed = |number, replay| Delivery { replay, ..comment(number, "x") };
    let one = message_id("mail", &[replayed(1, 0)]);
    assert_eq!(one, format!("{}.mail@example.com", id(1)));
    assert_eq!(one, message_id("mail", &[Delivery { attempt: 7, ..replayed(1, 0) }]), "a retry");
    let ids = [
        one,
        message_id("other", &[replayed(1, 0)]),
        message_id("mail", &[replayed(1, 1)]),
        message_id("mail", &[replayed(1, 2)]),
        message_id("mail", &[Delivery::by_hand(comment(1, "x").event)]),
        message_id("mail", &[replayed(1, 0), replayed(2, 0)]),
        message_id("other", &[replayed(1, 0), replayed(2, 0)]),
        message_id("mail", &[replayed(1, 1), replayed(2, 1)]),
    ];
    let different: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(different.len(), ids.len(), "{ids:?}");
}

fn check(text: &str, expected: &str) {
    let (settings, problems) = try_settings("email", text, Path::new("/etc"));
    assert!(settings.is_none());
    assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
}

#[test]
fn mail_without_a_word_is_warned_of() {
    let said = |subject: &str, rest: &str| {
        let text = MAIL.replace("New comment on {{ data.page }}", subject);
        let text = text.split("text =").next().unwrap().to_owned() + rest;
        try_settings("email", &text, Path::new("/etc")).1
    };
    assert_eq!(said("", "text = ' '").len(), 1);
    assert!(said("", "text = ''\nhtml = ''")[0].contains("always empty"));
    for (subject, rest) in [("x", "text = ''"), ("", "text = 'x'"), ("", "text = ''\nhtml = 'x'")] {
        assert_eq!(said(subject, rest), [""; 0], "{subject} {rest}");
    }
}

#[test]
fn every_mistake_in_the_table_is_found() {
    for key in ["smtp", "from", "to", "subject", "text"] {
        check("", &format!("`{key}` is missing"));
    }
    let with = |from: &str, to: &str| MAIL.replace(from, to);
    check(&with("smtp://localhost", "smtp://me:pw@localhost"), "a password does not stand");
    check(&with("smtp://localhost", "smtp://me@localhost"), "a user without a password");
    check(&format!("{MAIL}password = {{ file = \"x\" }}"), "a password without a user");
    check(&with("Gatepost <gatepost@example.com>", "me"), "`me` is not a mail address");
    check(&with("owner@example.com", "owner"), "`owner` is not a mail address");
    check(&to_expression("dta.mail"), "`dta` is not in scope");
    check(&with("data.page", "dta.page"), "`dta` is not in scope");
    check(&format!("{MAIL}max_per_hour = 0"), "`0` is not a whole number");
    check(&format!("{MAIL}html = 5"), "expected a string");
    check(&to_expression("a@example.com, b@example.com"), "several recipients are a list");
    check(
        &to_expression("data.comment.user.email, b@example.com"),
        "several recipients are a list, here one within the text",
    );
    check(
        &with("owner@example.com", "a@example.com, b@example.com"),
        "several addresses stand in one text",
    );
    check(&format!("{MAIL}cc = [5]"), "expected a string");
    check(&format!("{MAIL}[headers]\nbcc = \"a@example.com\""), "written by Gatepost itself");
    check(&format!("{MAIL}[headers]\nContent-Type = \"x\""), "written by Gatepost itself");
    check(&format!("{MAIL}[headers]\n\"X\\r\\nBcc\" = \"x\""), "not the name of a header");
    let both = format!("{MAIL}[headers]\nbcc = \"a@example.com\"\n\"X Y\" = \"x\"");
    check(&both, "written by Gatepost itself");
    check(&both, "not the name of a header");
    check(&format!("{MAIL}[headers]\nX-A = \"{{{{ dta.x }}}}\""), "`dta` is not in scope");
    settings("email", MAIL, Path::new("/etc"));
    settings("email", &to_expression("data.mail or 'owner@example.com'"), Path::new("/etc"));
    settings("email", &to_expression("Owner <owner@example.com>"), Path::new("/etc"));
}

#[test]
fn a_subject_shows_what_the_event_has_in_it() {
    for page in [
        "=?utf-8?q?Your_account_is_locked?=",
        "a =?UTF-8?B?4oCu?= b",
        "=?",
        &"=?utf-8?q?ä?= ".repeat(40),
    ] {
        let data = json!({"data": {"page": page, "name": "", "body": ""}});
        let mails = write(MAIL, &[numbered(1, data.to_string())]);
        let [mail] = mails.as_slice() else { panic!("{mails:?}") };
        let whole = format!("New comment on {}", page.trim());
        let expected: String = whole.chars().take(250).collect();
        assert_eq!(parse(mail).subject(), Some(expected.as_str()));
        let lines = mail.bytes.split(|byte| *byte == b'\n').map(<[u8]>::len);
        assert!(lines.max() <= Some(79), "{}", String::from_utf8_lossy(&mail.bytes));
    }
}

#[test]
fn a_recipients_name_that_would_be_decoded_is_left_out() {
    let text = MAIL.replace("to = [", "#to = [") + "to = \"data.mail\"";
    let data = json!({"data": {"mail": "=?utf-8?q?Boss?= <ann@example.org>"}});
    let mails = write(&text, &[numbered(1, data.to_string())]);
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    let read = parse(mail);
    let to = read.to().unwrap().first().unwrap();
    assert_eq!((to.name(), to.address()), (None, Some("ann@example.org")));
}

#[test]
fn plan_of_an_event_without_a_reader_is_what_its_delivery_comes_to() {
    let plan = |value: &str| {
        let to = r#"["owner@example.com", "Édith <edith@example.com>"]"#;
        let text = MAIL.replace(to, r#""data.mail""#);
        let settings = settings("email", &text, Path::new("/etc"));
        let body = json!({"data": {"mail": value}}).to_string();
        settings.plan(&crate::handler::testing::context(Path::new("/")), &[delivery(body)])
    };
    // Nothing is there: nothing is to be sent.
    assert_eq!(plan("").unwrap().to_string(), "skipped: `to` gives no address");
    let failure = plan("nobody").unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert_eq!(failure.text.as_str(), "no mail went to `nobody` (in `to`: no mail address)");
}
