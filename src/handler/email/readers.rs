//! Whom a mail goes to, and whom its answer.

use std::fmt;

use lettre::Address;
use lettre::message::{Mailbox, Mailboxes};
use minijinja::value::ValueKind;

use super::settings::{RECIPIENTS_MAX, Recipients, Settings};
use super::url::with_plain_domain;
use crate::event::{Delivery, Failure};
use crate::expr::{ExprError, Expression, Scope, Value};

/// How much is shown of what is no address, in characters.
const SHOWN_CHARS_MAX: usize = 80;
/// How many of them, and how many refused recipients, a failure names.
const NAMED_MAX: usize = 5;

/// The readers of one mail: none of them reads what was meant for others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Readers {
    /// Empty = there is no mail.
    pub(super) to: Vec<Mailbox>,
    pub(super) cc: Vec<Mailbox>,
    pub(super) bcc: Vec<Mailbox>,
}

/// What an event gives in an address's place, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoAddress {
    key: &'static str,
    text: String,
}

impl NoAddress {
    fn new(key: &'static str, text: &str) -> Self {
        let shown = text.trim().replace(char::is_control, " ");
        Self { key, text: shown.chars().take(SHOWN_CHARS_MAX).collect() }
    }

    pub(super) fn is_of_to(&self) -> bool {
        self.key == "to"
    }

    pub(super) fn why(&self) -> String {
        format!("`{}` gives what is no mail address: `{}`", self.key, self.text)
    }
}

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (in `{}`: no mail address)", self.text, self.key)
    }
}

impl Readers {
    /// Those of an event's mail, and what it gives in their place that is no address. That keeps
    /// the mail from no other reader.
    pub(super) fn of(
        settings: &Settings,
        delivery: &Delivery,
    ) -> Result<(Self, Vec<NoAddress>), Failure> {
        let mut unfit = Vec::new();
        let mut given = |key, recipients: Option<&Recipients>| match recipients {
            None => Ok(Vec::new()),
            Some(recipients) => {
                let given = addresses(recipients, delivery)
                    .map_err(|err| Failure::permanent(format_args!("`{key}`: {err}")))?;
                unfit.extend(given.unfit.iter().map(|text| NoAddress::new(key, text)));
                Ok(given.mailboxes)
            }
        };
        let readers = Self {
            to: given("to", Some(&settings.to))?,
            cc: given("cc", settings.cc.as_ref())?,
            bcc: given("bcc", settings.bcc.as_ref())?,
        };
        if readers.addresses().len() + unfit.len() > RECIPIENTS_MAX {
            let text = format_args!("a mail has at most {RECIPIENTS_MAX} recipients");
            return Err(Failure::permanent(text));
        }
        Ok((readers, unfit))
    }

    /// Each address once.
    pub(super) fn addresses(&self) -> Vec<Address> {
        let mut addresses: Vec<Address> = Vec::new();
        for mailbox in self.to.iter().chain(&self.cc).chain(&self.bcc) {
            if !addresses.iter().any(|known| is_same(known, &mailbox.email)) {
                addresses.push(mailbox.email.clone());
            }
        }
        addresses
    }
}

/// Where answers to a mail go. What an event gives there is left out where it is no address: a mail
/// without it is better than none.
pub(super) fn reply_to(
    settings: &Settings,
    deliveries: &[&Delivery],
) -> Result<Vec<Mailbox>, Failure> {
    let Some(recipients) = &settings.reply_to else { return Ok(Vec::new()) };
    let mut same: Option<Vec<Mailbox>> = None;
    for delivery in deliveries {
        let given = addresses(recipients, delivery)
            .map_err(|err| Failure::permanent(format_args!("`reply_to`: {err}")))?
            .mailboxes;
        // In a header line it would be what many servers refuse the whole mail for.
        let is_plain = |mailbox: &Mailbox| AsRef::<str>::as_ref(&mailbox.email).is_ascii();
        let given: Vec<Mailbox> = given.into_iter().filter(is_plain).collect();
        match &same {
            Some(same) if *same != given => return Ok(Vec::new()),
            Some(_) | None => same = Some(given),
        }
    }
    Ok(same.unwrap_or_default())
}

/// That no mail went to what is no address; `None` = there is none.
pub(super) fn not_reached(unfit: &[&NoAddress]) -> Option<String> {
    named("no mail went to", unfit.iter())
}

/// The first few of `all` behind what is said of them.
pub(super) fn named<T: ToString>(
    said: &str,
    all: impl Iterator<Item = T> + Clone,
) -> Option<String> {
    let n_more = all.clone().count().saturating_sub(NAMED_MAX);
    let mut named: Vec<String> = all.take(NAMED_MAX).map(|one| one.to_string()).collect();
    if n_more > 0 {
        named.push(format!("{n_more} more"));
    }
    (!named.is_empty()).then(|| format!("{said} {}", named.join(", ")))
}

/// Whether both are one mailbox: in which case a domain is written says nothing (RFC 5321, 2.4).
fn is_same(one: &Address, other: &Address) -> bool {
    one.user() == other.user() && one.domain().eq_ignore_ascii_case(other.domain())
}

/// What stands for readers.
#[derive(Default)]
struct GivenReaders {
    mailboxes: Vec<Mailbox>,
    unfit: Vec<String>,
}

fn addresses(recipients: &Recipients, delivery: &Delivery) -> Result<GivenReaders, ExprError> {
    match recipients {
        Recipients::Fixed(mailboxes) => {
            Ok(GivenReaders { mailboxes: mailboxes.clone(), ..GivenReaders::default() })
        }
        Recipients::Expression(expression) => of_event(expression, delivery),
    }
}

fn of_event(expression: &Expression, delivery: &Delivery) -> Result<GivenReaders, ExprError> {
    let value = expression.eval(&Scope::of(&delivery.event))?;
    let items: Vec<Value> = match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().map_or(Vec::new(), Iterator::collect)
        }
        // Whatever else it is: one.
        _ => vec![value],
    };
    let mut given = GivenReaders::default();
    for item in items {
        match item.as_str() {
            Some(text) => given.read(text),
            None if item.is_undefined() || item.is_none() => {}
            None => given.unfit.push(format!("a {}", item.kind())),
        }
    }
    // By the address first, so that one with a name and one without stand side by side.
    given.mailboxes.sort_by_cached_key(|mailbox| {
        let (email, name) = (&mailbox.email, mailbox.name.clone());
        (email.user().to_owned(), email.domain().to_ascii_lowercase(), name)
    });
    given.mailboxes.dedup_by(|one, other| is_same(&one.email, &other.email));
    Ok(given)
}

impl GivenReaders {
    /// A text may have several, separated by commas: where one of them is none, each is read alone.
    fn read(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if let Ok(mailboxes) = text.parse::<Mailboxes>() {
            return self.extend(mailboxes);
        }
        let mut parts = parts(text).peekable();
        while let Some((part, separator)) = parts.next() {
            if part.is_empty() {
                continue;
            }
            // `Doe, Jane <jane@example.com>`: that comma stands within a name.
            let full = parts
                .peek()
                .map(|(next, _)| format!("\"{part}, {}", next.replacen(" <", "\" <", 1)));
            let may_be_name = separator == Some(',') && !part.contains(['@', '"', '<']);
            let full = full.filter(|_| may_be_name);
            if let Some(Ok(mailbox)) = full.map(|full| full.parse::<Mailbox>()) {
                self.extend([mailbox].into_iter().collect());
                parts.next();
                continue;
            }
            match part.parse::<Mailboxes>() {
                Ok(mailboxes) => self.extend(mailboxes),
                Err(_) => self.unfit.push(part.to_owned()),
            }
        }
    }

    fn extend(&mut self, mailboxes: Mailboxes) {
        self.mailboxes.extend(mailboxes.into_iter().map(with_plain_domain).map(|mailbox| {
            Mailbox {
                // A name that a mail program would decode to another one is none.
                name: mailbox.name.filter(|name| !name.contains("=?")),
                ..mailbox
            }
        }));
    }
}

/// An address without what people write around it: `mailto:jane@example.com`, `jane@example.com (Jane)`.
fn bare(part: &str) -> &str {
    let part = part.trim();
    let part = part.strip_prefix("mailto:").unwrap_or(part);
    match part.split_once(" (") {
        Some((address, comment)) if comment.ends_with(')') && !part.contains('<') => address.trim(),
        _ => part,
    }
}

/// What commas and semicolons separate, but for those in quotes; each with the one behind it.
fn parts(text: &str) -> impl Iterator<Item = (&str, Option<char>)> {
    let mut is_quoted = false;
    let parts = text.split_inclusive(move |c: char| {
        is_quoted ^= c == '"';
        !is_quoted && matches!(c, ',' | ';')
    });
    parts.map(|part| {
        let separator = part.chars().next_back().filter(|c| matches!(c, ',' | ';'));
        (bare(part.strip_suffix([',', ';']).unwrap_or(part)), separator)
    })
}
