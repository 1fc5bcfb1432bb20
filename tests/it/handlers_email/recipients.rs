//! Who gets a mail, who is refused, and what is sent again.

use super::*;

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
    assert_eq!(failure.class, Some(FailureClass::Partly), "the server is there");
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

/// `retry_on = ["550"]` brings a delivery back that the handler had given up.
#[tokio::test]
async fn retry_of_a_mail_that_was_refused_for_good_asks_those_who_lack_it_again() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_folder, mail) = handler(&server, &plain_url(&server), "");
    for reader in ["owner@example.com", "second@example.com"] {
        server.refuse(reader, "550 5.1.1 Blocked");
    }
    let mut progress = None;
    for attempt in 1..=3 {
        let again = Delivery { attempt, progress, ..comment(1) };
        let failure = mail.handle(&[again]).await.unwrap_err();
        assert_permanent(&failure);
        let told = failure.text.as_str();
        assert_eq!(told.matches("Blocked").count(), 2, "each is named once: {told}");
        progress = failure.each[0].1.progress.clone();
    }
    server.accept("owner@example.com");
    let again = Delivery { attempt: 4, progress: progress.clone(), ..comment(1) };
    let failure = mail.handle(&[again]).await.unwrap_err();
    assert!(failure.text.as_str().ends_with("the others have the mail"), "{failure}");
    // Also by a handler that knows of nothing but what was kept with the try.
    server.accept("second@example.com");
    let progress = failure.each[0].1.progress.clone();
    for _ in 0..2 {
        let (_folder, mail) = handler(&server, &plain_url(&server), "");
        let again = Delivery { attempt: 5, progress: progress.clone(), ..comment(1) };
        mail.handle(&[again]).await.unwrap();
    }
    let to: Vec<Vec<String>> = server.stored().into_iter().map(|mail| mail.to).collect();
    assert_eq!(to, [["owner@example.com"], ["second@example.com"], ["second@example.com"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_nobody_got_is_never_delivered_by_retry_on() {
    let server = SmtpServer::start(Tls::Never, false).await;
    for reader in ["owner@example.com", "second@example.com"] {
        server.refuse(reader, "550 5.7.1 Blocked");
    }
    let words = WORDS.replace("data.id", "data.comment.id");
    let words = words.replace("data.body", "data.comment.body");
    let text = format!(
        "[handler.mail]\nretry_on = [\"550\"]\nretry = {{ attempts = 3, min = \"10ms\", max = \"50ms\" }}\n\
         [handler.mail.email]\nsmtp = \"{}\"\n{words}",
        plain_url(&server)
    );
    let gateway = Gateway::with("", &text);
    gateway.send(br#"{"event":"comment.create","data":{"comment":{"id":1,"body":"b"}}}"#);
    gateway.wait_for_outcomes("mail", "dead", 1);
    gateway.stop();
    assert_eq!(server.stored().len(), 0);
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

#[tokio::test(flavor = "multi_thread")]
async fn replay_of_a_mail_that_some_lack_reaches_everyone() {
    let server = SmtpServer::start(Tls::Never, false).await;
    server.refuse("second@example.com", "550 5.1.1 User unknown");
    let words = WORDS.replace("data.id", "data.comment.id");
    let words = words.replace("data.body", "data.comment.body");
    let url = plain_url(&server);
    let gateway = Gateway::with("", &format!("[handler.mail.email]\nsmtp = \"{url}\"\n{words}"));
    let body = br#"{"event":"comment.create","data":{"comment":{"id":1,"body":"b"}}}"#;
    let id = gateway.send(body).id();
    gateway.wait_for_outcomes("mail", "dead", 1);
    printed(&run(&gateway.folder, &["events", "replay", &id, "--handler", "mail"]), 0);
    gateway.wait_for_outcomes("mail", "dead", 2);
    // A redrive asks for the one who lacks it.
    server.accept("second@example.com");
    printed(&run(&gateway.folder, &["dead", "redrive", "--all"]), 0);
    gateway.wait_until_delivered("mail", 1);
    let to = || -> Vec<Vec<String>> { server.stored().into_iter().map(|mail| mail.to).collect() };
    let (owner, second) = ("owner@example.com", "second@example.com");
    assert_eq!(to(), [vec![owner], vec![owner], vec![second]]);
    printed(&run(&gateway.folder, &["events", "replay", &id, "--handler", "mail"]), 0);
    gateway.wait_until_delivered("mail", 2);
    gateway.stop();
    assert_eq!(to().last().unwrap(), &[owner, second]);
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

fn to_all(number: u64, to: &serde_json::Value) -> Delivery {
    delivery(number, "x", &json!({"id": number, "to": to}))
}

#[tokio::test]
async fn bad_address_beside_good_ones_keeps_no_mail_from_them() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_clock, _folder, mail) = handler_to_each(&server, "bcc = \"data.more\"");
    for (number, to, named) in [
        (1, json!(["a@example.org", "not an address", "b@example.org"]), "`not an address`"),
        (2, json!("a@example.org, Bob <b@example.org>, \"C, D\" <c@d@e>"), "`\"C, D\" <c@d@e>`"),
        (3, json!("a@example.org; b@example.org; ann@"), "`ann@`"),
        (
            4,
            json!(["b@example.org", 42, {"email": "x@y"}, "a@example.org", null, ""]),
            "`a number`",
        ),
        (5, json!(["b@example.org", "a@example.org", "@\r\nRCPT TO:<x@y>"]), "`@  RCPT TO:<x@y>`"),
    ] {
        let failure = mail.handle(&[to_all(number, &to)]).await.unwrap_err();
        assert_permanent(&failure);
        let told = failure.text.as_str();
        assert!(told.contains(&format!("no mail went to {named} (in `to`")), "{number}: {told}");
        assert!(told.ends_with("the others have the mail"), "{number}: {told}");
        assert_eq!(failure.class, Some(FailureClass::Partly));
        let mut to = server.stored().pop().unwrap().to;
        to.sort();
        assert_eq!(to, ["a@example.org", "b@example.org"], "{number}");
    }
    let n_sent = server.stored().len();
    assert_eq!(n_sent, 5);
    // A redrive sends it to none of those who have it, and still names the others.
    let again = to_all(1, &json!(["a@example.org", "not an address", "b@example.org"]));
    let failure = mail.handle(&[again]).await.unwrap_err();
    assert!(failure.text.as_str().contains("`not an address`"), "{failure}");
    // Mended, there is nobody left to write to.
    mail.handle(&[to_all(1, &json!(["a@example.org", "b@example.org"]))]).await.unwrap();
    assert_eq!(server.stored().len(), n_sent);
}

#[tokio::test]
async fn bad_address_concerns_its_own_event_only() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_clock, _folder, mail) = handler_to_each(&server, "");
    server.refuse("full@example.org", "452 4.2.2 Mailbox full");
    let fourth = || to_all(4, &json!(["full@example.org", "a@example.org", "nonsense"]));
    let calls = [
        to_all(1, &json!("a@example.org")),
        to_all(2, &json!("nonsense")),
        to_all(3, &json!(["a@example.org", "nonsense"])),
        fourth(),
    ];
    let failure = mail.handle(&calls).await.unwrap_err();
    assert_eq!(failure.done, [calls[0].event.id]);
    let mut each = transients(&failure);
    each.sort_by_key(|(id, _)| *id);
    let id = |at: usize| calls[at].event.id;
    let expected = [
        (id(1), FailureKind::Permanent),
        (id(2), FailureKind::Permanent),
        (id(3), FailureKind::Transient),
    ];
    assert_eq!(each, expected);
    let told = |at: usize| {
        let own = failure.each.iter().find(|(event, _)| *event == id(at));
        own.unwrap().1.text.as_str().to_owned()
    };
    assert_eq!(told(1), "no mail went to `nonsense` (in `to`: no mail address)");
    assert!(told(3).starts_with("the mail server refused `full@example.org` ("), "{}", told(3));
    assert!(told(3).contains("no mail went to `nonsense`"), "{}", told(3));
    server.accept("full@example.org");
    let progress =
        failure.each.iter().find(|(event, _)| *event == id(3)).unwrap().1.progress.clone();
    let again = Delivery { attempt: 2, progress, ..fourth() };
    let failure = mail.handle(&[again]).await.unwrap_err();
    assert_permanent(&failure);
    let to: Vec<Vec<String>> = server.stored().into_iter().map(|mail| mail.to).collect();
    assert_eq!(to.last().unwrap(), &["full@example.org"], "and no one else once more");
}

#[tokio::test]
async fn mail_goes_to_its_copies_where_to_gives_no_address() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_clock, _folder, mail) = handler_to_each(&server, "cc = \"data.more\"");
    let both = json!({"id": 1, "to": "nonsense", "more": ["boss@example.org", "?"]});
    let failure = mail.handle(&[delivery(1, "x", &both)]).await.unwrap_err();
    assert_eq!(server.stored()[0].to, ["boss@example.org"]);
    let told = failure.text.as_str();
    assert!(told.contains("`nonsense` (in `to`") && told.contains("`?` (in `cc`"), "{told}");
}

/// As an empty message of a chat: it had nothing for the handler.
#[tokio::test]
async fn event_that_gives_no_reader_or_no_word_is_skipped_and_says_so() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let words = "from = \"gatepost@example.com\"\nto = \"data.to\"\nsubject = \"{{ data.say }}\"\n\
                 text = \"{{ data.say }}\"";
    let smtp = format!("smtp = \"{}\"\n{words}", plain_url(&server));
    let mail = build("email", &smtp, tempfile::tempdir().unwrap().path());
    let event = |number: u64, to: &str, say: &str| {
        delivery(number, "comment.create", &json!({"to": to, "say": say}))
    };
    let (no_reader, no_word) = (event(1, " ", "hello"), event(2, "a@example.com", ""));
    let good = event(3, "a@example.com", "hello");
    for (one, why) in [
        (&no_reader, Some("`to` gives no address")),
        (&no_word, Some("subject and text are empty")),
        (&good, None),
    ] {
        let output = mail.handle(std::slice::from_ref(one)).await.unwrap();
        assert_eq!(output.why_skipped(one.event.id), why);
    }
    // In a batch each for itself, and also where another one's mail fails.
    let why = |output: &Output, batch: &[Delivery; 2]| {
        batch.each_ref().map(|one| output.why_skipped(one.event.id))
    };
    let batch = [event(4, "", "x"), event(5, "a@example.com", "x")];
    let output = mail.handle(&batch).await.unwrap();
    assert_eq!(why(&output, &batch), [Some("`to` gives no address"), None]);
    server.refuse("b@example.com", "550 5.1.1 User unknown");
    let batch = [event(6, "", "x"), event(7, "b@example.com", "x")];
    let failure = mail.handle(&batch).await.unwrap_err();
    assert_eq!(why(&failure.output, &batch), [Some("`to` gives no address"), None]);
    assert_eq!(failure.done, [batch[0].event.id]);
    assert_eq!(server.stored().len(), 2);
}
