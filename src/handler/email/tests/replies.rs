//! Servers that answer in words, and in a way, of their own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::handler::testing::handler;

/// A mail server that answers each command with what `reply` gives for its verb; `220` is the greeting, `.` the end
/// of a mail.
struct Server {
    port: u16,
    /// All commands that came.
    said: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(reply: impl Fn(&str) -> &'static [u8] + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = Arc::new(Mutex::new(Vec::new()));
        let for_thread = Arc::clone(&said);
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                // A client that goes away is no failure of the server.
                let _gone = serve(tcp.unwrap(), &reply, &for_thread);
            }
        });
        Self { port, said }
    }

    /// Sends an event's mail by it, with these settings of how to reach it.
    async fn send(&self, user: &str, query: &str, more: &str) -> Result<Output, Failure> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), "secret").unwrap();
        let url = format!("smtp://{user}127.0.0.1:{}{query}", self.port);
        let text = MAIL.replace("smtp://localhost", &url) + more;
        handler("email", &text, folder.path()).handle(&[comment(1, "x")]).await
    }

    fn said(&self, verb: &str) -> usize {
        lock(&self.said).iter().filter(|line| line.as_str() == verb).count()
    }
}

fn serve(
    tcp: TcpStream,
    reply: &impl Fn(&str) -> &'static [u8],
    said: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut to = tcp.try_clone()?;
    to.write_all(reply("220"))?;
    let mut is_in_mail = false;
    for line in BufReader::new(tcp).lines() {
        let line = line?;
        if is_in_mail && line != "." {
            continue;
        }
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_owned();
        lock(said).push(verb.clone());
        is_in_mail = verb == "DATA";
        to.write_all(reply(&verb))?;
    }
    Ok(())
}

#[tokio::test]
async fn mail_that_is_accepted_in_latin_1_or_by_a_code_alone_is_sent_once() {
    for accepted in [&b"250 Nachricht \xfcbernommen\r\n"[..], b"250\r\n", b"250 ok\n"] {
        let server = Server::start(move |verb| match verb {
            "." => accepted,
            "DATA" => b"354 go on\r\n",
            "220" => b"220 mx ESMTP\r\n",
            _ => b"250 ok\r\n",
        });
        server.send("", "", "").await.unwrap();
        assert_eq!(server.said("."), 1);
    }
    // The whole dialog so.
    for [greeting, go_on, ok] in [
        [
            &b"220 Guten Tag, sch\xf6n\r\n"[..],
            b"354 f\xe4ngt an\r\n",
            b"250-f\xfcr\r\n250 \xe4\r\n",
        ],
        [b"220\r\n", b"354\r\n", b"250\r\n"],
    ] {
        let server = Server::start(move |verb| match verb {
            "220" => greeting,
            "DATA" => go_on,
            _ => ok,
        });
        server.send("", "", "").await.unwrap();
        assert_eq!(server.said("."), 1);
    }
}

#[tokio::test]
async fn refusal_in_latin_1_is_one_with_its_words() {
    let server = Server::start(|verb| match verb {
        "." => b"550 unerw\xfcnschte Werbung\r\n",
        "DATA" => b"354 go on\r\n",
        "220" => b"220 mx\r\n",
        _ => b"250 ok\r\n",
    });
    let failure = server.send("", "", "").await.unwrap_err();
    assert_eq!((failure.kind, failure.status), (FailureKind::Permanent, Some(550)));
    assert!(failure.text.as_str().ends_with("error (550): unerw\u{fc}nschte Werbung"), "{failure}");
    assert_eq!(server.said("QUIT"), 1);
}

#[tokio::test]
async fn server_that_does_not_know_ehlo_is_greeted_by_helo() {
    let server = |unknown: &'static [u8]| {
        Server::start(move |verb| match verb {
            "EHLO" => unknown,
            "DATA" => b"354 go on\r\n",
            "220" => b"220 old\r\n",
            _ => b"250 ok\r\n",
        })
    };
    for unknown in [&b"500 what?\r\n"[..], b"502 not implemented\r\n"] {
        let server = server(unknown);
        for query in ["", "?tls=opportunistic"] {
            server.send("", query, "").await.unwrap();
        }
        assert_eq!((server.said("EHLO"), server.said("HELO"), server.said(".")), (2, 2, 2));
    }
    // It offers nothing, and what is asked for is not done without.
    let server = server(b"502 not implemented\r\n");
    let password = "password = { file = \"password\" }";
    for (user, query, more, words) in [
        (
            "",
            "?tls=required",
            "",
            "STARTTLS is not supported on this server, which does not know EHLO",
        ),
        ("me@", "", password, "no log-in by password, since it does not know EHLO"),
    ] {
        let failure = server.send(user, query, more).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient);
        assert!(failure.text.as_str().contains(words), "{failure}");
    }
    assert_eq!((server.said("AUTH"), server.said("MAIL")), (0, 0));
    // Another refusal is none of the command.
    let server = Server::start(|verb| match verb {
        "220" => b"220 mx\r\n",
        _ => b"550 not you\r\n",
    });
    let failure = server.send("", "", "").await.unwrap_err();
    assert_eq!((failure.kind, failure.status), (FailureKind::Transient, Some(550)));
    assert_eq!((server.said("EHLO"), server.said("HELO")), (1, 0));
}

/// What is between both could have written it.
#[tokio::test]
async fn words_in_the_clear_behind_starttls_are_not_believed() {
    let server = Server::start(|verb| match verb {
        "220" => b"220 mx\r\n",
        "EHLO" => b"250-mx\r\n250 STARTTLS\r\n",
        _ => b"220 go on\r\n250-mx\r\n250 AUTH PLAIN\r\n",
    });
    let failure = server.send("", "?tls=required", "").await.unwrap_err();
    assert!(failure.text.as_str().contains("more came in the clear behind"), "{failure}");
    assert_eq!(failure.kind, FailureKind::Transient);
}

/// Each reply would be taken for that to the command behind it.
#[tokio::test]
async fn reply_to_something_else_is_not_believed() {
    for twice in ["MAIL", "DATA"] {
        let server = Server::start(move |verb| match verb {
            "220" => b"220 mx\r\n",
            "." => b"550 no\r\n",
            "DATA" if twice == verb => b"354 go on\r\n250 ok\r\n",
            "DATA" => b"354 go on\r\n",
            _ if twice == verb => b"250 ok\r\n250 ok\r\n",
            _ => b"250 ok\r\n",
        });
        let failure = server.send("", "", "").await.unwrap_err();
        assert!(failure.text.as_str().contains("more came behind"), "{twice}: {failure}");
        assert_eq!(failure.kind, FailureKind::Transient);
        assert_eq!((server.said("."), server.said("QUIT")), (0, 0), "{twice}");
    }
    for (unfit, reply) in [("DATA", &b"250 ok\r\n"[..]), (".", b"354 go on\r\n")] {
        let server = Server::start(move |verb| match verb {
            "220" => b"220 mx\r\n",
            _ if unfit == verb => reply,
            "DATA" => b"354 go on\r\n",
            _ => b"250 ok\r\n",
        });
        let failure = server.send("", "", "").await.unwrap_err();
        assert!(failure.text.as_str().contains("is no answer to this"), "{unfit}: {failure}");
        assert_eq!(failure.kind, FailureKind::Transient);
        assert_eq!(server.said("QUIT"), 0, "{unfit}");
    }
}
