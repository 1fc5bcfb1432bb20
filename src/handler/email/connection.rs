//! One connection to a mail server: commands, and what is answered to them.
//!
//! The network and TLS are lettre's, the dialog is ours: lettre's own takes a reply that is not UTF-8, or a code
//! without a text, for a failure, and gives up on a server that knows no EHLO.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::io::{AsyncWriteExt as _, BufReader};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS, Mechanism};
#[expect(deprecated, reason = "lettre 0.11 has no other stream that begins TLS later")]
use lettre::transport::smtp::client::AsyncNetworkStream;
use lettre::transport::smtp::client::TlsParameters;
use lettre::transport::smtp::commands::Data;
use lettre::transport::smtp::extension::ClientId;

use super::reply::{SmtpError, SmtpReply};

/// How long a server may take to say goodbye, and to end the connection: half of what a handler has to close.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);
/// The most questions of a log-in.
const CHALLENGES_MAX: usize = 10;

/// What is said where the server offers no STARTTLS.
const NO_STARTTLS: &str = "STARTTLS is not supported on this server";
const NO_STARTTLS_WITHOUT_EHLO: &str =
    "STARTTLS is not supported on this server, which does not know EHLO";
/// What helps where the server takes no password.
const NO_LOG_IN: &str = "the server offers no log-in by password on this connection: leave the user in `smtp` and \
                         `password` out, or take the port, or the way with TLS (`smtps://`, `?tls=required`), \
                         where it does";
const NO_LOG_IN_WITHOUT_EHLO: &str = "the server offers no log-in by password, since it does not know EHLO: leave \
                                      the user in `smtp` and `password` out, or take the port where it does";

#[expect(deprecated, reason = "as its import")]
type SmtpStream = AsyncNetworkStream;

/// What a server said that it can do.
#[derive(Debug, Default, PartialEq, Eq)]
struct ServerOffers {
    knows_ehlo: bool,
    starttls: bool,
    utf8: bool,
    mechanisms: Vec<Mechanism>,
}

impl ServerOffers {
    /// Of the reply to EHLO: one offer in each line, in any case (RFC 5321, 4.1.1.1).
    fn of(reply: &SmtpReply) -> Self {
        let mut offers = Self { knows_ehlo: true, ..Self::default() };
        for line in &reply.lines {
            // `AUTH=LOGIN` is how servers wrote it before RFC 2554.
            let line = line.to_ascii_uppercase();
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            match words.next() {
                Some("STARTTLS") => offers.starttls = true,
                Some("SMTPUTF8") => offers.utf8 = true,
                Some("AUTH") => {
                    let words: Vec<&str> = words.collect();
                    let is_offered = |one: &Mechanism| words.contains(&one.to_string().as_str());
                    offers.mechanisms.extend(DEFAULT_MECHANISMS.iter().copied().filter(is_offered));
                }
                _ => {}
            }
        }
        offers
    }
}

pub(super) struct SmtpConnection {
    stream: BufReader<SmtpStream>,
    offers: ServerOffers,
    /// Where its dialog stands is not known: a command was cut in mid-way.
    is_broken: bool,
}

impl SmtpConnection {
    /// Connects, with TLS from the first byte on where `tls` is given, and greets the server.
    pub(super) async fn open(
        place: (&str, u16),
        timeout: Duration,
        tls: Option<TlsParameters>,
        name: &ClientId,
    ) -> Result<Self, SmtpError> {
        let stream = SmtpStream::connect_tokio1(place, Some(timeout), tls, None).await?;
        let (stream, offers) = (BufReader::new(stream), ServerOffers::default());
        let mut connection = Self { stream, offers, is_broken: false };
        SmtpReply::read(&mut connection.stream).await?;
        connection.hello(name).await?;
        Ok(connection)
    }

    /// Says who we are. To a server that does not know EHLO by HELO (RFC 5321, 2.2.1), which offers nothing.
    async fn hello(&mut self, name: &ClientId) -> Result<(), SmtpError> {
        self.offers = match self.command(format!("EHLO {name}\r\n")).await {
            Ok(reply) => ServerOffers::of(&reply),
            Err(SmtpError::Refused { code: 500 | 502, .. }) => {
                self.command(format!("HELO {name}\r\n")).await?;
                ServerOffers::default()
            }
            Err(err) => return Err(err),
        };
        Ok(())
    }

    pub(super) fn offers_starttls(&self) -> bool {
        self.offers.starttls
    }

    /// Whether it takes addresses that are not ASCII.
    pub(super) fn offers_utf8(&self) -> bool {
        self.offers.utf8
    }

    /// Encrypts the connection.
    pub(super) async fn start_tls(
        &mut self,
        tls: TlsParameters,
        name: &ClientId,
    ) -> Result<(), SmtpError> {
        if !self.offers.starttls {
            let knows_ehlo = self.offers.knows_ehlo;
            let told = if knows_ehlo { NO_STARTTLS } else { NO_STARTTLS_WITHOUT_EHLO };
            return Err(SmtpError::Unoffered(told));
        }
        self.command("STARTTLS\r\n").await?;
        self.is_broken = true;
        // It would be taken for what the server says within TLS, and an attacker on the way may have written it.
        if !self.stream.buffer().is_empty() {
            let told = "more came in the clear behind the reply to STARTTLS";
            return Err(SmtpError::Unclear(told.to_owned()));
        }
        self.stream.get_mut().upgrade_tls(tls).await?;
        self.hello(name).await
    }

    /// The certificates that the server showed, its own first; `None` = without TLS.
    pub(super) fn certificates(&self) -> Result<Option<Vec<Vec<u8>>>, SmtpError> {
        let stream = self.stream.get_ref();
        Ok(stream.is_encrypted().then(|| stream.certificate_chain()).transpose()?)
    }

    /// Logs in by the first way that both know.
    pub(super) async fn log_in(&mut self, credentials: &Credentials) -> Result<(), SmtpError> {
        let Some(mechanism) = self.offers.mechanisms.first().copied() else {
            let knows_ehlo = self.offers.knows_ehlo;
            let told = if knows_ehlo { NO_LOG_IN } else { NO_LOG_IN_WITHOUT_EHLO };
            return Err(SmtpError::Unoffered(told));
        };
        let answer = |challenge: Option<&str>| {
            mechanism.response(credentials, challenge).map(|response| STANDARD.encode(response))
        };
        let mut reply = if mechanism.supports_initial_response() {
            self.command(format!("AUTH {mechanism} {}\r\n", answer(None)?)).await?
        } else {
            self.command(format!("AUTH {mechanism}\r\n")).await?
        };
        for _ in 0..CHALLENGES_MAX {
            if reply.code != 334 {
                return Ok(());
            }
            // Some say behind it what they ask for.
            let first = reply.lines.first().and_then(|line| line.split_ascii_whitespace().next());
            let challenge = first.unwrap_or_default();
            let challenge = STANDARD.decode(challenge).map_err(|_| {
                SmtpError::Unclear("the log-in's question is not base64".to_owned())
            })?;
            let challenge = String::from_utf8_lossy(&challenge);
            reply = self.command(format!("{}\r\n", answer(Some(&challenge))?)).await?;
        }
        Err(SmtpError::Unclear("the log-in asks without end".to_owned()))
    }

    /// Sends one line, with its end; what is no refusal comes back.
    pub(super) async fn command(
        &mut self,
        line: impl fmt::Display,
    ) -> Result<SmtpReply, SmtpError> {
        self.exchange(line.to_string().as_bytes()).await
    }

    /// Asks to send the mail itself.
    pub(super) async fn data(&mut self) -> Result<(), SmtpError> {
        let reply = self.command(Data).await?;
        self.expect(reply.code == 354, &reply)
    }

    /// Sends the mail itself, behind DATA.
    pub(super) async fn text(&mut self, mail: &[u8]) -> Result<(), SmtpError> {
        let reply = self.exchange(&with_doubled_dots(mail)).await?;
        self.expect(reply.code < 300, &reply)
    }

    /// A reply that answers something else shows that the two sides are not at the same place.
    fn expect(&mut self, is_expected: bool, reply: &SmtpReply) -> Result<(), SmtpError> {
        if is_expected {
            return Ok(());
        }
        self.is_broken = true;
        let text = reply.lines.first().map_or("", String::as_str);
        Err(SmtpError::Unclear(format!("`{} {text}` is no answer to this", reply.code)))
    }

    async fn exchange(&mut self, bytes: &[u8]) -> Result<SmtpReply, SmtpError> {
        // Until the whole reply is there, and for ever where this is dropped before.
        self.is_broken = true;
        // It would be taken for the answer to this command, and each later one for that to the next.
        if !self.stream.buffer().is_empty() {
            let told = "more came behind the reply to the command before";
            return Err(SmtpError::Unclear(told.to_owned()));
        }
        let stream = self.stream.get_mut();
        stream.write_all(bytes).await?;
        stream.flush().await?;
        let reply = SmtpReply::read(&mut self.stream).await;
        self.is_broken = !matches!(reply, Ok(_) | Err(SmtpError::Refused { .. }));
        reply
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Says goodbye, and ends the connection.
    pub(super) async fn quit(mut self) {
        let goodbye = async {
            if !self.is_broken {
                let _goodbye = self.command("QUIT\r\n").await;
            }
            self.stream.close().await
        };
        let _ended = tokio::time::timeout(QUIT_TIMEOUT, goodbye).await;
    }
}

/// The mail as it goes over the line: a dot at the beginning of a line is doubled (RFC 5321, 4.5.2), and one
/// alone ends it.
fn with_doubled_dots(mail: &[u8]) -> Vec<u8> {
    let mut sent = Vec::with_capacity(mail.len() + mail.len() / 64 + 5);
    let mut begins_line = true;
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        if begins_line && line.first() == Some(&b'.') {
            sent.push(b'.');
        }
        sent.extend_from_slice(line);
        begins_line = line.ends_with(b"\r\n");
    }
    sent.extend_from_slice(b"\r\n.\r\n");
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_at_the_beginning_of_a_line_is_doubled() {
        for (mail, sent) in [
            ("", "\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            ("a.\r\n.b\r\n..\r\n", "a.\r\n..b\r\n...\r\n\r\n.\r\n"),
            ("a\n.b\r.c", "a\n.b\r.c\r\n.\r\n"),
        ] {
            assert_eq!(with_doubled_dots(mail.as_bytes()), sent.as_bytes(), "{mail:?}");
        }
    }

    #[test]
    fn offers_are_read_in_any_case() {
        let offers = |lines: &[&str]| {
            ServerOffers::of(&SmtpReply {
                code: 250,
                lines: lines.iter().map(ToString::to_string).collect(),
            })
        };
        let all = offers(&["STARTTLS", "Starttls", "smtputf8", "AUTH XOAUTH2 Login plain"]);
        assert!(all.starttls && all.utf8);
        assert_eq!(all.mechanisms, [Mechanism::Plain, Mechanism::Login]);
        assert_eq!(offers(&["mx", "AUTH=LOGIN"]).mechanisms, [Mechanism::Login]);
        assert_eq!(offers(&[]), ServerOffers { knows_ehlo: true, ..ServerOffers::default() });
    }
}
