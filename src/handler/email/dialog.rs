//! The way to one mail over a connection: every recipient is asked for, and those who are accepted get it.

use std::fmt;
use std::sync::Mutex;

use lettre::Address;
use lettre::transport::smtp::commands::{Mail as MailFrom, Rcpt, Rset};
use lettre::transport::smtp::extension::MailParameter;
use serde::{Deserialize, Serialize};

use super::composed::Mail;
use super::connection::SmtpConnection;
use super::reply::SmtpError;
use crate::event::FailureKind;
use crate::sync::lock;

/// How far a call is: what a failure tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Connecting,
    StartTls,
    LogIn,
    From,
    To(Address),
    Data,
    /// The mail itself, up to the server's word that it has it.
    Text,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("the greeting"),
            Self::StartTls => f.write_str("STARTTLS"),
            Self::LogIn => f.write_str("the log-in"),
            Self::From => f.write_str("MAIL FROM"),
            Self::To(address) => write!(f, "RCPT TO:<{address}>"),
            Self::Data => f.write_str("DATA"),
            Self::Text => f.write_str("the end of the mail"),
        }
    }
}

/// Where the step is kept, also when a call is given up in mid-way.
#[derive(Debug)]
pub(super) struct Progress(Mutex<Step>);

impl Progress {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Step::Connecting))
    }

    pub(super) fn set(&self, step: Step) {
        *lock(&self.0) = step;
    }

    pub(super) fn step(&self) -> Step {
        lock(&self.0).clone()
    }
}

/// A recipient who was not accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Refused {
    #[serde(with = "address_text")]
    pub(super) address: Address,
    /// Transient (4yz: greylisting, a full mailbox) or permanent (5yz). Only the latter is kept.
    #[serde(skip, default = "for_good")]
    pub(super) kind: FailureKind,
    pub(super) status: Option<u16>,
    /// The server's words.
    text: String,
}

fn for_good() -> FailureKind {
    FailureKind::Permanent
}

mod address_text {
    use lettre::Address;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(address: &Address, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(address.as_ref())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Address, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.address, self.text)
    }
}

/// Why the mail was not sent at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("the server takes no sender like this one (no SMTPUTF8)")]
    Sender,
    #[error(transparent)]
    Smtp(#[from] SmtpError),
}

/// Asks for all readers of `mail`; gives those who are not accepted. Where others are, the server waits for the mail
/// itself.
pub(super) async fn begin(
    connection: &mut SmtpConnection,
    mail: &Mail,
    progress: &Progress,
) -> Result<Vec<Refused>, SendError> {
    let from = mail.envelope.from();
    let knows_utf8 = connection.offers_utf8();
    let is_plain = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    if from.is_some_and(|from| !is_plain(from)) && !knows_utf8 {
        return Err(SendError::Sender);
    }
    let wants_utf8 = from.into_iter().chain(mail.envelope.to()).any(|address| !is_plain(address));
    let parameters =
        if wants_utf8 && knows_utf8 { vec![MailParameter::SmtpUtfEight] } else { Vec::new() };
    progress.set(Step::From);
    connection.command(MailFrom::new(from.cloned(), parameters)).await?;
    let mut refused = Vec::new();
    for address in mail.envelope.to() {
        progress.set(Step::To(address.clone()));
        if !is_plain(address) && !knows_utf8 {
            let (kind, status) = (FailureKind::Permanent, None);
            let text = "the server takes no address like it: no SMTPUTF8".to_owned();
            refused.push(Refused { address: address.clone(), kind, status, text });
            continue;
        }
        match connection.command(Rcpt::new(address.clone(), Vec::new())).await {
            Ok(_) => {}
            Err(err) => refused.push(refusal(address, err)?),
        }
    }
    if refused.len() == mail.envelope.to().len() {
        let is_of_several = refused.len() > 1;
        if refused.iter().all(|refused| is_policy(&refused.text, is_of_several)) {
            for refused in &mut refused {
                refused.kind = FailureKind::Transient;
            }
        }
        // Its answer changes nothing of theirs, and a connection that is broken is not kept.
        drop(connection.command(Rset).await);
        return Ok(refused);
    }
    progress.set(Step::Data);
    connection.data().await?;
    Ok(refused)
}

/// Whether a refusal for good is about the settings, and no reader's or mail's fault: they may be mended. Many servers
/// say only once there is a sender or a reader what they want of every client.
pub(super) fn is_of_settings(err: &SmtpError, step: &Step) -> bool {
    *step == Step::From || err.status().is_some_and(is_about_us)
}

/// Replies that tell a client what it has to do first (RFC 5321, 4.2.2; RFC 4954, 4.7.1): 503 and 530 to log in or
/// to begin TLS, 504 to say who it is, 534, 535 and 538 how to log in.
fn is_about_us(status: u16) -> bool {
    matches!(status, 503 | 504 | 530 | 534 | 535 | 538)
}

/// Whether a refusal is by what the server allows us (RFC 3463, 3.8): to relay, or anything before we log in or
/// encrypt. What is said of one reader alone may be about that reader, what is said of several is not.
fn is_policy(text: &str, is_of_several: bool) -> bool {
    let reply = text.split_once("): ").map_or(text, |(_, reply)| reply);
    match reply.split_whitespace().next() {
        Some("5.7.0" | "5.7.8" | "5.7.9" | "5.7.11") => true,
        Some(code) if code.starts_with("5.7.") => {
            is_of_several || reply.to_ascii_lowercase().contains("relay")
        }
        _ => false,
    }
}

/// What the server says is about this recipient, unless it takes leave (421).
fn refusal(address: &Address, err: SmtpError) -> Result<Refused, SmtpError> {
    let status = err.status().filter(|status| *status != 421);
    if status.is_none() {
        return Err(err);
    }
    let is_for_good = err.is_permanent() && !status.is_some_and(is_about_us);
    let kind = if is_for_good { FailureKind::Permanent } else { FailureKind::Transient };
    Ok(Refused { address: address.clone(), kind, status, text: words_of(&err) })
}

/// The longest text of a server that is kept, in characters.
const REPLY_CHARS_MAX: usize = 300;

/// The error's words in one line: what a server says may be long.
pub(super) fn words_of(err: &SmtpError) -> String {
    // The library says so of an error within an error too.
    const DOUBLED: &str = "Connection error: Connection error: ";
    let text = err.to_string();
    let text = match text.strip_prefix(DOUBLED) {
        Some(rest) => format!("Connection error: {rest}"),
        None => text,
    };
    text.replace(char::is_control, " ").chars().take(REPLY_CHARS_MAX).collect()
}
