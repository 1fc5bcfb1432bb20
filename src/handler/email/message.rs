//! From deliveries to mails. Nothing here waits.

use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use sha2::{Digest, Sha256};

use super::attach::{self, Attached};
use super::composed::{Composed, Mail, NO_READER, ToAsk, groups};
use super::encoded::header;
use super::readers::{self, NoAddress, Readers};
use super::settings::{Settings, Words};
use crate::clock::Timestamp;
use crate::event::{Delivery, Failure, HandlerName};
use crate::expr::Scope;
use crate::handler::plan::{SECRET, Unshown};
use crate::handler::texts::mark;
use crate::handler::{Plan, Step};
use crate::settings::{is_secret_header, without_secrets};

/// The longest subject, in characters: more no list of mails shows.
const SUBJECT_CHARS_MAX: usize = 250;
/// The longest header of the owner's own, in characters: a line has at most 998 (RFC 5322).
const HEADER_CHARS_MAX: usize = 900;
/// The most text of a digest: about what mail servers take.
const DIGEST_BYTES_MAX: usize = 5 << 20;
/// Separates the events of a digest whose template was written for one event.
const BETWEEN_TEXTS: &str = "\n\n----------------------------------------\n\n";
const BETWEEN_HTML: &str = "\n<hr>\n";

/// What the mails of a handler have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer<'a> {
    pub(super) settings: &'a Settings,
    pub(super) handler: &'a HandlerName,
    pub(super) now: Timestamp,
}

/// Why there is no mail: what a template leaves out.
const NO_WORD: &str = "subject and text are empty";

/// One mail for each set of readers, in no order. None where no reader is `to_ask`; and an event
/// that names no reader, or of which there is not a word, is skipped.
pub(super) fn compose(
    writer: &Writer<'_>,
    deliveries: &[&Delivery],
    to_ask: &ToAsk<'_>,
) -> Result<Composed, Failure> {
    let (groups, mut composed) = groups(writer.settings, deliveries, to_ask)?;
    for ((readers, missing), group) in &groups {
        let draft = Draft::of(writer, group)?;
        if draft.is_empty() {
            composed.skipped.extend(group.iter().map(|delivery| (delivery.event.id, NO_WORD)));
        } else {
            composed.mails.push(draft.into_mail(writer, readers, missing.clone(), group)?);
        }
    }
    Ok(composed)
}

/// What [`compose`] would make, as it is read rather than as it is sent.
pub(super) fn plan(writer: &Writer<'_>, deliveries: &[Delivery]) -> Result<Plan, Failure> {
    let all: Vec<&Delivery> = deliveries.iter().collect();
    let (groups, Composed { unfit, .. }) = groups(writer.settings, &all, &|_, all| all)?;
    if groups.is_empty() && !all.is_empty() {
        let unfit: Vec<&NoAddress> = unfit.values().flatten().collect();
        return match readers::not_reached(&unfit) {
            Some(why) => Err(Failure::permanent(why)),
            None => Ok(Step::Skip { why: NO_READER.to_owned() }.into()),
        };
    }
    let unfit = unfit.values().flatten().map(|unfit| Step::Skip { why: unfit.why() });
    let list = |mailboxes: &[Mailbox]| mailboxes.iter().map(ToString::to_string).collect();
    let steps = groups.iter().map(|((readers, _), group)| {
        let draft = Draft::of(writer, group)?;
        if draft.is_empty() {
            return Ok(Step::Skip { why: NO_WORD.to_owned() });
        }
        let joined = |name: &str, mailboxes: &[Mailbox]| {
            let list: Vec<String> = list(mailboxes);
            (!list.is_empty()).then(|| (name.to_owned(), list.join(", ")))
        };
        let mut headers: Vec<(String, String)> =
            [("Cc", &readers.cc), ("Bcc", &readers.bcc), ("Reply-To", &draft.reply_to)]
                .into_iter()
                .filter_map(|(name, mailboxes)| joined(name, mailboxes))
                .collect();
        let mut masked = Vec::new();
        for (name, value) in &draft.headers {
            let name = name.to_string();
            let shown = if is_secret_header(&name, value) {
                SECRET.to_owned()
            } else {
                without_secrets(value, SECRET)
            };
            if shown != *value {
                masked.push(value);
            }
            headers.push((name, shown));
        }
        let attached = draft.attached.iter();
        headers.extend(attached.map(|file| ("Attachment".to_owned(), file.name.clone())));
        Ok(Step::Mail {
            from: writer.settings.from.to_string(),
            to: list(&readers.to),
            headers,
            subject: draft.subject,
            text: draft.text,
            html: draft.html,
            secret: Unshown::of(&masked),
        })
    });
    steps.chain(unfit.map(Ok)).collect()
}

/// A mail in its parts.
struct Draft {
    subject: String,
    text: String,
    html: Option<String>,
    reply_to: Vec<Mailbox>,
    /// `List-Id`, `Auto-Submitted` and the owner's own, which go before.
    headers: Vec<(HeaderName, String)>,
    attached: Vec<Attached>,
}

impl Draft {
    fn of(writer: &Writer<'_>, deliveries: &[&Delivery]) -> Result<Self, Failure> {
        let settings = writer.settings;
        let mut text = render(&settings.text, deliveries, BETWEEN_TEXTS)
            .map_err(|err| err.into_failure("text"))?;
        let html = settings
            .html
            .as_ref()
            .map(|html| render(html, deliveries, BETWEEN_HTML))
            .transpose()
            .map_err(|err| err.into_failure("html"))?;
        let mut attached = Vec::new();
        if settings.attach_body {
            let n_left;
            (attached, n_left) = attach::bodies(deliveries);
            if n_left > 0 {
                text = format!("{text}\n\n{n_left} bodies are too large to be attached.");
            }
        }
        Ok(Self {
            subject: subject(&settings.subject, deliveries)?,
            text,
            html,
            reply_to: readers::reply_to(settings, deliveries)?,
            headers: headers(writer, deliveries)?,
            attached,
        })
    }

    /// Whether it says nothing at all: what a template leaves out with `{% if %}`.
    fn is_empty(&self) -> bool {
        let html = self.html.as_deref().unwrap_or_default();
        let is_blank = [&self.subject, &self.text, html].iter().all(|text| text.trim().is_empty());
        is_blank && self.attached.is_empty()
    }

    fn into_mail(
        self,
        writer: &Writer<'_>,
        readers: &Readers,
        missing: Vec<Address>,
        deliveries: &[&Delivery],
    ) -> Result<Mail, Failure> {
        let no_mail =
            |err: &dyn std::fmt::Display| Failure::permanent(format_args!("no mail: {err}"));
        let from = &writer.settings.from;
        let envelope =
            Envelope::new(Some(from.email.clone()), missing).map_err(|err| no_mail(&err))?;
        let mut builder = Message::builder()
            .from(from.clone())
            .subject(self.subject.clone())
            .message_id(Some(message_id(writer, deliveries)))
            .date(date(writer.now))
            .envelope(envelope.clone());
        for mailbox in &readers.to {
            builder = builder.to(mailbox.clone());
        }
        for mailbox in &readers.cc {
            builder = builder.cc(mailbox.clone());
        }
        for mailbox in self.reply_to {
            builder = builder.reply_to(mailbox);
        }
        let text = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(body(&self.text));
        let html = self
            .html
            .map(|html| SinglePart::builder().header(ContentType::TEXT_HTML).body(body(&html)));
        // Clients show the last part that they can: text first, then HTML. Files make it `mixed`.
        let message = match (html, self.attached.is_empty()) {
            (None, true) => builder.singlepart(text),
            (Some(html), true) => {
                builder.multipart(MultiPart::alternative().singlepart(text).singlepart(html))
            }
            (html, false) => {
                let mixed = match html {
                    None => MultiPart::mixed().singlepart(text),
                    Some(html) => MultiPart::mixed()
                        .multipart(MultiPart::alternative().singlepart(text).singlepart(html)),
                };
                let files = self.attached.into_iter().map(Attached::into_part);
                builder.multipart(files.fold(mixed, MultiPart::singlepart))
            }
        };
        let mut message = message.map_err(|err| no_mail(&err))?;
        let subject = (HeaderName::new_from_ascii_str("Subject"), self.subject);
        // One that does not look encoded is right as it is.
        for (name, text) in
            std::iter::once(subject).filter(|(_, text)| text.contains("=?")).chain(self.headers)
        {
            message.headers_mut().insert_raw(header(name, text));
        }
        Ok(Mail {
            envelope,
            bytes: message.formatted(),
            events: deliveries.iter().map(|delivery| delivery.event.id).collect(),
            oldest: deliveries.iter().map(|one| one.event.position).min().unwrap_or_default(),
        })
    }
}

/// Those that every mail of the handler has, and the owner's own, which replace them.
fn headers(
    writer: &Writer<'_>,
    deliveries: &[&Delivery],
) -> Result<Vec<(HeaderName, String)>, Failure> {
    let list = format!("<{}.{}>", writer.handler, writer.settings.from.email.domain());
    let mut headers = vec![
        // What a reader's program can sort by (RFC 2919).
        (HeaderName::new_from_ascii_str("List-Id"), list),
        // No answering machine answers this (RFC 3834).
        (HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()),
    ];
    for (name, words) in &writer.settings.headers {
        let key = format!("headers.{name}");
        let line = line(words, deliveries).map_err(|err| err.into_failure(&key))?;
        headers.retain(|(other, _)| other != name);
        if !line.is_empty() {
            headers.push((name.clone(), line.chars().take(HEADER_CHARS_MAX).collect()));
        }
    }
    Ok(headers)
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
            if joined.len() + text.len() > DIGEST_BYTES_MAX {
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

/// One line, whatever the event has in it: of the whole batch where it speaks of `events`, else of
/// the first one.
fn line(words: &Words, deliveries: &[&Delivery]) -> Result<String, RenderError> {
    let first =
        if words.is_for_batch { deliveries } else { deliveries.get(..1).unwrap_or_default() };
    let plain = render(words, first, "")?.replace(char::is_control, " ");
    let words: Vec<&str> = plain.split_whitespace().collect();
    Ok(words.join(" "))
}

/// For several events it says how many.
fn subject(words: &Words, deliveries: &[&Delivery]) -> Result<String, Failure> {
    let count = deliveries.len();
    let subject = line(words, deliveries).map_err(|err| err.into_failure("subject"))?;
    let subject = if words.is_for_batch || count == 1 {
        subject
    } else {
        format!("{count} events: {subject}")
    };
    let mark = deliveries.first().map_or("", |delivery| mark(delivery));
    let subject = format!("{mark}{subject}");
    Ok(subject.trim_end().chars().take(SUBJECT_CHARS_MAX).collect())
}

/// Line ends of one kind, and no control characters: a lone CR is a line end to some programs and
/// none to others, which has been used to smuggle a second mail into the first.
fn body(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    lines.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "")
}

/// Made from the event's id, the handler's name and the replay's number; for a digest from the
/// first event and all the others. A mail by hand is another one each time.
fn message_id(writer: &Writer<'_>, deliveries: &[&Delivery]) -> String {
    let Writer { settings, handler, now } = writer;
    let first = deliveries.first().map(|first| first.event.id.to_string()).unwrap_or_default();
    let rest = match deliveries {
        [only] if only.is_by_hand() => format!(".try{}", now.as_millis()),
        [only] if only.replay > 0 => format!(".{}", only.replay),
        [_] => String::new(),
        several => {
            let digest = several.iter().fold(Sha256::new(), |digest, delivery| {
                let replay = delivery.replay.to_be_bytes();
                digest.chain_update(delivery.event.id.0).chain_update(replay)
            });
            format!(".{}", hex::encode(digest.finalize().get(..8).unwrap_or_default()))
        }
    };
    format!("<{first}.{handler}{rest}@{}>", settings.from.email.domain())
}

fn date(now: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(now.millis_since_epoch()))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
