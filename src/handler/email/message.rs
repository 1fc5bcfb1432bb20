//! From deliveries to mails. Nothing here waits.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, Message, MultiPart, SinglePart};
use sha2::{Digest, Sha256};

use super::settings::{RECIPIENTS_MAX, Recipients, Settings, Words};
use crate::clock::Timestamp;
use crate::event::{Delivery, EventId, Failure, Position};
use crate::expr::{Expression, Scope, Value};
use crate::handler::texts::mark;
use crate::handler::{Plan, Step};

/// The longest subject, in characters: more no list of mails shows.
const SUBJECT_CHARS_MAX: usize = 250;
/// The most text in one encoded word: as base64, with what is around it and the header's name, less than 76 bytes.
const ENCODED_BYTES_MAX: usize = 39;
/// The most text of a digest: about what mail servers take.
const DIGEST_BYTES_MAX: usize = 5 << 20;
/// What stands between the events of a digest whose template was written for one event.
const BETWEEN_TEXTS: &str = "\n\n----------------------------------------\n\n";
const BETWEEN_HTML: &str = "\n<hr>\n";

/// A mail, ready to be sent.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
    /// The events that it tells of.
    pub(super) events: Vec<EventId>,
    /// Where the oldest of them stands.
    pub(super) oldest: Position,
}

/// One mail for each set of recipients, in no order.
pub(super) fn compose(
    settings: &Settings,
    deliveries: &[&Delivery],
    now: Timestamp,
) -> Result<Vec<Mail>, Failure> {
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    match &settings.to {
        Recipients::Fixed(to) => Ok(vec![write(settings, to, deliveries, now)?]),
        Recipients::Expression(expression) => {
            let mut groups: BTreeMap<Vec<Mailbox>, Vec<&Delivery>> = BTreeMap::new();
            for &delivery in deliveries {
                groups.entry(recipients(expression, delivery)?).or_default().push(delivery);
            }
            groups.iter().map(|(to, group)| write(settings, to, group, now)).collect()
        }
    }
}

/// What [`compose`] would make, as it is read rather than as it is sent.
pub(super) fn plan(settings: &Settings, deliveries: &[Delivery]) -> Result<Plan, Failure> {
    let all: Vec<&Delivery> = deliveries.iter().collect();
    let mut groups: BTreeMap<Vec<Mailbox>, Vec<&Delivery>> = BTreeMap::new();
    for &delivery in &all {
        let to = match &settings.to {
            Recipients::Fixed(to) => to.clone(),
            Recipients::Expression(expression) => recipients(expression, delivery)?,
        };
        groups.entry(to).or_default().push(delivery);
    }
    let mails = groups.iter().map(|(to, group)| {
        let html = settings.html.as_ref().map(|html| render(html, group, BETWEEN_HTML));
        Ok(Step::Mail {
            from: settings.from.to_string(),
            to: to.iter().map(ToString::to_string).collect(),
            headers: Vec::new(),
            subject: subject(&settings.subject, group)?,
            text: render(&settings.text, group, BETWEEN_TEXTS)
                .map_err(|err| err.into_failure("text"))?,
            html: html.transpose().map_err(|err| err.into_failure("html"))?,
        })
    });
    mails.collect()
}

/// Whom the event says. An event that says nobody, or what is no address, will always do so.
fn recipients(expression: &Expression, delivery: &Delivery) -> Result<Vec<Mailbox>, Failure> {
    let in_to = |err: &dyn std::fmt::Display| Failure::permanent(format_args!("`to`: {err}"));
    let value = expression.eval(&Scope::of(&delivery.event)).map_err(|err| in_to(&err))?;
    let is_nobody = value.is_undefined() || value.is_none();
    let texts: Vec<Value> = match value.as_str() {
        Some(_) => vec![value],
        None if is_nobody => Vec::new(),
        None => {
            let items = value.try_iter();
            items.map_err(|_| in_to(&format_args!("a {} is no address", value.kind())))?.collect()
        }
    };
    let mut to: Vec<Mailbox> = Vec::new();
    for text in texts.iter().map(|text| text.as_str().unwrap_or_default()) {
        if text.trim().is_empty() {
            continue;
        }
        let parsed: Mailboxes =
            text.parse().map_err(|_| in_to(&"the event gives what is not a mail address"))?;
        to.extend(parsed.into_iter().map(|mailbox| Mailbox {
            // A name that a mail program would decode to another one is none.
            name: mailbox.name.filter(|name| !name.contains("=?")),
            ..mailbox
        }));
    }
    to.sort();
    to.dedup_by(|one, other| one.email == other.email);
    match to.len() {
        0 => Err(in_to(&"the event gives no address")),
        1..=RECIPIENTS_MAX => Ok(to),
        _ => Err(in_to(&format_args!("the event gives more than {RECIPIENTS_MAX} addresses"))),
    }
}

fn write(
    settings: &Settings,
    to: &[Mailbox],
    deliveries: &[&Delivery],
    now: Timestamp,
) -> Result<Mail, Failure> {
    let text = render(&settings.text, deliveries, BETWEEN_TEXTS)
        .map_err(|err| err.into_failure("text"))?;
    let html = settings
        .html
        .as_ref()
        .map(|html| render(html, deliveries, BETWEEN_HTML))
        .transpose()
        .map_err(|err| err.into_failure("html"))?;
    let subject = subject(&settings.subject, deliveries)?;
    let mut builder = Message::builder()
        .from(settings.from.clone())
        .subject(subject.clone())
        .message_id(Some(message_id(deliveries, settings.from.email.domain())))
        .date(date(now));
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    let text = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(body(&text));
    let message = match html {
        None => builder.singlepart(text),
        Some(html) => {
            let html = SinglePart::builder().header(ContentType::TEXT_HTML).body(body(&html));
            builder.multipart(MultiPart::alternative().singlepart(text).singlepart(html))
        }
    };
    let mut message = message.map_err(|err| Failure::permanent(format_args!("no mail: {err}")))?;
    if subject.contains("=?") {
        let name = HeaderName::new_from_ascii_str("Subject");
        let encoded = encoded_words(&subject);
        let header = HeaderValue::dangerous_new_pre_encoded(name, subject, encoded);
        message.headers_mut().insert_raw(header);
    }
    // RFC 3834: no answering machine answers this.
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
    Ok(Mail {
        envelope: message.envelope().clone(),
        bytes: message.formatted(),
        events: deliveries.iter().map(|delivery| delivery.event.id).collect(),
        oldest: deliveries.iter().map(|one| one.event.position).min().unwrap_or_default(),
    })
}

/// A template that failed on an event.
struct RenderError(crate::expr::ExprError);

impl RenderError {
    fn into_failure(self, key: &str) -> Failure {
        Failure::permanent(format_args!("`{key}`: {}", self.0))
    }
}

fn render(words: &Words, deliveries: &[&Delivery], between: &str) -> Result<String, RenderError> {
    if words.is_for_batch {
        return words.template.render(&batch(deliveries)).map_err(RenderError);
    }
    let mut joined = String::new();
    for (index, delivery) in deliveries.iter().enumerate() {
        let text = words.template.render(&Scope::of(&delivery.event)).map_err(RenderError)?;
        if index > 0 {
            joined.push_str(between);
            if joined.len().saturating_add(text.len()) > DIGEST_BYTES_MAX {
                let n_left = deliveries.len().saturating_sub(index);
                joined.push_str(&n_left.to_string());
                joined.push_str(" more events do not fit into this mail.");
                break;
            }
        }
        joined.push_str(&text);
    }
    Ok(joined)
}

fn batch(deliveries: &[&Delivery]) -> Scope {
    Scope::of_events(deliveries.iter().map(|delivery| &delivery.event))
}

/// One line, whatever the event has in it. For several events it says how many.
fn subject(words: &Words, deliveries: &[&Delivery]) -> Result<String, Failure> {
    let count = deliveries.len();
    let first =
        if words.is_for_batch { deliveries } else { deliveries.get(..1).unwrap_or_default() };
    let subject = render(words, first, "").map_err(|err| err.into_failure("subject"))?;
    let subject = if words.is_for_batch || count == 1 {
        subject
    } else {
        format!("{count} events: {subject}")
    };
    let mark = deliveries.first().map_or("", |delivery| mark(delivery));
    let plain = format!("{mark}{subject}").replace(char::is_control, " ");
    let words: Vec<&str> = plain.split_whitespace().collect();
    Ok(words.join(" ").chars().take(SUBJECT_CHARS_MAX).collect())
}

/// A header's text as encoded words (RFC 2047): for one that already looks like such words, which a
/// mail program would decode and show as what nobody wrote.
fn encoded_words(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.floor_char_boundary(ENCODED_BYTES_MAX));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        rest = behind;
    }
    words.join("\r\n ")
}

/// Line ends of one kind, and no control characters: a lone CR is a line end to some programs and
/// none to others, which has been used to smuggle a second mail into the first.
fn body(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    lines.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "")
}

/// Made from the event's id; for a digest from the first id and all the others.
fn message_id(deliveries: &[&Delivery], host: &str) -> String {
    let mut ids = deliveries.iter().map(|delivery| delivery.event.id);
    let first = ids.next().map(|id| id.to_string()).unwrap_or_default();
    if deliveries.len() <= 1 {
        return format!("<{first}@{host}>");
    }
    let digest = ids.fold(Sha256::new(), |digest, id| digest.chain_update(id.0.as_bytes()));
    let digest = hex::encode(digest.finalize().get(..8).unwrap_or_default());
    format!("<{first}.{digest}@{host}>")
}

fn date(now: Timestamp) -> SystemTime {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
