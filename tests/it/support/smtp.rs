//! A mail server on loopback: STARTTLS, TLS, log-in, what was accepted, and misbehaviour on
//! purpose.

#![expect(clippy::disallowed_methods, reason = "tests start tasks of their own")]

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Who may log in.
pub(crate) const USER: &str = "me@example.com";
pub(crate) const PASSWORD: &str = "correct horse";

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    Never,
    OnRequest,
    Wrapped,
}

/// What the server does at a command in place of accepting it.
#[derive(Clone, Debug)]
pub(crate) enum Quirk {
    /// Answers this line.
    Say(&'static str),
    /// Ends the connection without a word. Behind the mail's end the mail is kept.
    HangUp,
    /// Says nothing more.
    Hang,
}

/// A mail that was accepted.
#[derive(Default, Clone, Debug)]
pub(crate) struct Stored {
    /// What the client called itself.
    pub(crate) hello: String,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) was_encrypted: bool,
    pub(crate) was_logged_in: bool,
}

impl Stored {
    /// Notes whether the client knows the password. Gives the reply.
    fn log_in(&mut self, line: &str) -> &'static str {
        self.was_logged_in = line == format!("AUTH PLAIN {}", plain_log_in());
        if self.was_logged_in { "235 welcome" } else { "535 5.7.8 no" }
    }
}

/// What the connections share.
#[derive(Debug, Default)]
struct Shared {
    stored: Mutex<Vec<Stored>>,
    n_connections: Mutex<usize>,
    /// Command and what to do the next time it comes; `.` is the mail's end, `GREETING` the
    /// beginning.
    quirks: Mutex<VecDeque<(&'static str, Quirk)>>,
    /// What it answers to these recipients.
    refused: Mutex<HashMap<&'static str, &'static str>>,
}

pub(crate) struct SmtpServer {
    pub(crate) address: SocketAddr,
    /// The certificate of its own authority, PEM.
    pub(crate) ca_pem: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl SmtpServer {
    /// With `wants_log_in`, mail is taken from those who are logged in only.
    pub(crate) async fn start(tls: Tls, wants_log_in: bool) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let for_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *for_task.n_connections.lock().unwrap() += 1;
                let dialog = Dialog {
                    shared: Arc::clone(&for_task),
                    acceptor: acceptor.clone(),
                    tls,
                    wants_log_in,
                };
                // A client that goes away is no failure of the server.
                tokio::spawn(async move { dialog.serve(stream).await.ok() });
            }
        });
        Self { address, ca_pem: cert.pem(), shared, task }
    }

    /// What to do when `command` comes the next time; several are used up one after the other.
    pub(crate) fn will(&self, command: &'static str, quirk: Quirk) {
        self.shared.quirks.lock().unwrap().push_back((command, quirk));
    }

    /// Answers `reply` to this recipient from now on.
    pub(crate) fn refuse(&self, recipient: &'static str, reply: &'static str) {
        self.shared.refused.lock().unwrap().insert(recipient, reply);
    }

    pub(crate) fn accept(&self, recipient: &'static str) {
        self.shared.refused.lock().unwrap().remove(recipient);
    }

    /// Whether there is something left of what it was told to do.
    pub(crate) fn has_quirks(&self) -> bool {
        !self.shared.quirks.lock().unwrap().is_empty()
    }

    pub(crate) fn stored(&self) -> Vec<Stored> {
        self.shared.stored.lock().unwrap().clone()
    }

    pub(crate) fn n_connections(&self) -> usize {
        *self.shared.n_connections.lock().unwrap()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Dialog {
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
    tls: Tls,
    wants_log_in: bool,
}

/// How a part of a dialog ended.
enum End {
    Over,
    StartTls,
}

impl Dialog {
    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        if self.tls == Tls::Wrapped {
            let mut stream = BufReader::new(self.acceptor.accept(stream).await?);
            return self.talk(&mut stream, true, true).await.map(drop);
        }
        let mut stream = BufReader::new(stream);
        if let End::StartTls = self.talk(&mut stream, false, true).await? {
            let mut stream = BufReader::new(self.acceptor.accept(stream.into_inner()).await?);
            self.talk(&mut stream, true, false).await?;
        }
        Ok(())
    }

    /// The quirk for `command`, where it is the next one.
    fn quirk(&self, command: &str) -> Option<Quirk> {
        let mut quirks = self.shared.quirks.lock().unwrap();
        let is_next = quirks.front().is_some_and(|(next, _)| *next == command);
        if is_next { quirks.pop_front().map(|(_, quirk)| quirk) } else { None }
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        is_encrypted: bool,
        greets: bool,
    ) -> std::io::Result<End> {
        let mut mail = Stored { was_encrypted: is_encrypted, ..Stored::default() };
        if greets {
            match self.quirk("GREETING") {
                None => say(stream, "220 test.example ESMTP").await?,
                Some(quirk) => return act(stream, quirk).await.map(|()| End::Over),
            }
        }
        while let Some(line) = read_line(stream).await? {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match self.quirk(&verb) {
                Some(Quirk::Say(text)) => {
                    say(stream, text).await?;
                    continue;
                }
                Some(quirk) => return act(stream, quirk).await.map(|()| End::Over),
                None => {}
            }
            let address = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            match verb.as_str() {
                "EHLO" => {
                    mail.hello = line.split(' ').nth(1).unwrap_or_default().to_owned();
                    self.hello(stream, is_encrypted).await?;
                }
                "STARTTLS" if self.tls == Tls::OnRequest && !is_encrypted => {
                    say(stream, "220 go on").await?;
                    return Ok(End::StartTls);
                }
                "AUTH" => say(stream, mail.log_in(&line)).await?,
                "MAIL" if self.wants_log_in && !mail.was_logged_in => {
                    say(stream, "530 5.7.0 log in first").await?;
                }
                "MAIL" => {
                    mail.from = address();
                    mail.to.clear();
                    say(stream, "250 ok").await?;
                }
                "RCPT" => say(stream, self.take_recipient(address(), &mut mail)).await?,
                "DATA" => {
                    if let Some(quirk) = self.take_mail(stream, &mut mail).await? {
                        return act(stream, quirk).await.map(|()| End::Over);
                    }
                }
                "NOOP" | "RSET" => say(stream, "250 ok").await?,
                "QUIT" => {
                    say(stream, "221 bye").await?;
                    break;
                }
                _ => say(stream, "502 unknown").await?,
            }
        }
        Ok(End::Over)
    }

    /// Takes the recipient, unless it is to be refused. Gives the reply.
    fn take_recipient(&self, address: String, mail: &mut Stored) -> &'static str {
        let refused = self.shared.refused.lock().unwrap().get(&*address).copied();
        if refused.is_none() {
            mail.to.push(address);
        }
        refused.unwrap_or("250 ok")
    }

    /// Stores the mail and says so; or gives what to do in place of saying so.
    async fn take_mail<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        mail: &mut Stored,
    ) -> std::io::Result<Option<Quirk>> {
        say(stream, "354 go on").await?;
        mail.bytes = read_mail(stream).await?;
        let quirk = self.quirk(".");
        if let Some(Quirk::Say(text)) = quirk {
            say(stream, text).await?;
            return Ok(None);
        }
        self.shared.stored.lock().unwrap().push(mail.clone());
        if quirk.is_none() {
            say(stream, "250 stored").await?;
        }
        Ok(quirk)
    }

    async fn hello<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        is_encrypted: bool,
    ) -> std::io::Result<()> {
        if self.tls == Tls::OnRequest && !is_encrypted {
            say(stream, "250-STARTTLS").await?;
        }
        if self.wants_log_in {
            say(stream, "250-AUTH PLAIN").await?;
        }
        say(stream, "250 test.example").await
    }
}

fn plain_log_in() -> String {
    STANDARD.encode(format!("\0{USER}\0{PASSWORD}"))
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, line: &str) -> std::io::Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await
}

async fn act<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    quirk: Quirk,
) -> std::io::Result<()> {
    match quirk {
        Quirk::Say(text) => say(stream, text).await,
        Quirk::HangUp => Ok(()),
        // Until the client has enough of it.
        Quirk::Hang => stream.read_line(&mut String::new()).await.map(drop),
    }
}

async fn read_line<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let n_bytes = stream.read_line(&mut line).await?;
    Ok((n_bytes > 0).then(|| line.trim_end().to_owned()))
}

/// Up to the line with a dot alone, with the doubled dots of other lines taken back.
async fn read_mail<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(mail);
        }
        mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
