//! One mail from the first word to the last answer, with TLS, passwords and cuts.

use super::*;

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
async fn server_without_a_log_in_is_told_where_a_user_is_given() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_folder, mail) = handler(&server, &log_in_url("smtp", &server, ""), LOG_IN);
    let failure = mail.handle(&[comment(1)]).await.unwrap_err();
    assert_transient(&failure);
    let told = failure.text.as_str();
    assert!(told.contains("at the log-in: the server offers no log-in by password"), "{told}");
    assert!(server.stored().is_empty());
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
        // No sender like this one: the settings are to blame, and may be mended.
        if command == "MAIL" {
            assert_transient(&failure);
        } else {
            assert_permanent(&failure);
        }
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

/// The line of `WORDS` for two readers.
const OF_TWO: &str = "to = [\"owner@example.com\", \"second@example.com\"]";

#[tokio::test]
async fn refusals_that_are_about_us_are_tried_again() {
    let server = SmtpServer::start(Tls::Never, false).await;
    let (_folder, mail) = handler(&server, &plain_url(&server), "");
    for reply in [
        "504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname",
        "530 5.7.0 Must issue a STARTTLS command first",
        "554 5.7.1 <owner@example.com>: Relay access denied",
    ] {
        server.refuse("owner@example.com", reply);
        server.refuse("second@example.com", reply);
        let failure = mail.handle(&[comment(1)]).await.unwrap_err();
        assert_transient(&failure);
        assert!(failure.text.as_str().contains(reply.split_once(' ').unwrap().1), "{failure}");
    }
    // Said of one of them alone, a policy is that reader's.
    server.accept("owner@example.com");
    server.refuse("second@example.com", "550 5.7.124 not allowed to write to this group");
    assert_permanent(&mail.handle(&[comment(2)]).await.unwrap_err());
    let one = "to = [\"second@example.com\"]";
    let text = format!("smtp = \"{}\"\n{}", plain_url(&server), WORDS.replace(OF_TWO, one));
    let folder = tempfile::tempdir().unwrap();
    let to_one = build("email", &text, folder.path());
    assert_permanent(&to_one.handle(&[comment(4)]).await.unwrap_err());
    server.will("DATA", Quirk::Say("530 5.7.0 Authentication required"));
    assert_transient(&mail.handle(&[comment(3)]).await.unwrap_err());
}

#[tokio::test]
async fn server_is_greeted_by_a_full_name_or_an_address() {
    let server = SmtpServer::start(Tls::Never, false).await;
    for (more, is_right) in [
        ("", (|hello| hello.contains('.') || hello.starts_with('[')) as fn(&str) -> bool),
        ("hello = \"www.example.com\"", |hello| hello == "www.example.com"),
        ("hello = \"[IPv6:::1]\"", |hello| hello == "[IPv6:::1]"),
    ] {
        let (_folder, mail) = handler(&server, &plain_url(&server), more);
        mail.handle(&[comment(1)]).await.unwrap();
        let hello = server.stored().last().unwrap().hello.clone();
        assert!(is_right(&hello), "{more}: {hello}");
    }
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
        drop_in_mid_way(&server, mail.as_ref(), &[comment(1)]).await;
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
    let timeout = Duration::from_secs(1);
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
        let at = format!("mail server `localhost:{}`, at {step}: ", server.address.port());
        let expected = format!("{at}no answer within 900ms");
        let told = failure.text.as_str();
        // A server that says nothing at all may wait for TLS.
        let help = if command == "GREETING" {
            ": if the server begins with TLS on this port, as it does on 465, write `smtps://`"
        } else {
            ""
        };
        assert_eq!(told.strip_prefix(&expected), Some(help), "{told}");
        assert_eq!(failure.class, Some(FailureClass::Timeout));
        server.will(command, Quirk::HangUp);
        let failure = mail.handle(&[comment(1)]).await.unwrap_err();
        assert_eq!(failure.class, Some(FailureClass::Connection), "{failure}");
        let told = failure.text.as_str();
        assert!(told.starts_with(&at), "{told}");
    }
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
