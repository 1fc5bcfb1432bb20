//! Whom a mail goes to, and whom its answer.

use lettre::Address;
use lettre::message::{Mailbox, Mailboxes};

use super::settings::{RECIPIENTS_MAX, Recipients, Settings};
use super::url::with_plain_domain;
use crate::event::{Delivery, Failure};
use crate::expr::{Expression, Scope, Value};

/// The readers of one mail: none of them reads what was meant for others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Readers {
    /// Empty = there is no mail.
    pub(super) to: Vec<Mailbox>,
    pub(super) cc: Vec<Mailbox>,
    pub(super) bcc: Vec<Mailbox>,
}

impl Readers {
    /// Those of an event's mail. An event that gives what is no address will always do so.
    pub(super) fn of(settings: &Settings, delivery: &Delivery) -> Result<Self, Failure> {
        let given = |key: &str, recipients: Option<&Recipients>| match recipients {
            None => Ok(Vec::new()),
            Some(recipients) => addresses(recipients, delivery)
                .map_err(|err| Failure::permanent(format_args!("`{key}`: {err}"))),
        };
        let readers = Self {
            to: given("to", Some(&settings.to))?,
            cc: given("cc", settings.cc.as_ref())?,
            bcc: given("bcc", settings.bcc.as_ref())?,
        };
        if readers.addresses().len() > RECIPIENTS_MAX {
            let text = format_args!("a mail has at most {RECIPIENTS_MAX} recipients");
            return Err(Failure::permanent(text));
        }
        Ok(readers)
    }

    /// Each address once.
    pub(super) fn addresses(&self) -> Vec<Address> {
        let mut addresses: Vec<Address> = Vec::new();
        for mailbox in self.to.iter().chain(&self.cc).chain(&self.bcc) {
            if !addresses.contains(&mailbox.email) {
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
        let given = match addresses(recipients, delivery) {
            Ok(given) => given,
            Err(Unfit::Failed(err)) => {
                return Err(Failure::permanent(format_args!("`reply_to`: {err}")));
            }
            Err(Unfit::NoAddress(_)) => Vec::new(),
        };
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

/// Why an expression gives no addresses. Says kinds, never values.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("{0}")]
    Failed(crate::expr::ExprError),
    #[error("{0}")]
    NoAddress(String),
}

fn addresses(recipients: &Recipients, delivery: &Delivery) -> Result<Vec<Mailbox>, Unfit> {
    match recipients {
        Recipients::Fixed(mailboxes) => Ok(mailboxes.clone()),
        Recipients::Expression(expression) => of_event(expression, delivery),
    }
}

fn of_event(expression: &Expression, delivery: &Delivery) -> Result<Vec<Mailbox>, Unfit> {
    let value = expression.eval(&Scope::of(&delivery.event)).map_err(Unfit::Failed)?;
    let is_nobody = value.is_undefined() || value.is_none();
    let texts: Vec<Value> = match value.as_str() {
        Some(_) => vec![value],
        None if is_nobody => Vec::new(),
        None => value
            .try_iter()
            .map_err(|_| Unfit::NoAddress(format!("a {} is no address", value.kind())))?
            .collect(),
    };
    let mut found: Vec<Mailbox> = Vec::new();
    for text in texts.iter().map(|text| text.as_str().unwrap_or_default()) {
        if text.trim().is_empty() {
            continue;
        }
        let parsed: Mailboxes = text.parse().map_err(|_| {
            Unfit::NoAddress("the event gives what is not a mail address".to_owned())
        })?;
        found.extend(parsed.into_iter().map(with_plain_domain).map(|mailbox| Mailbox {
            // A name that a mail program would decode to another one is none.
            name: mailbox.name.filter(|name| !name.contains("=?")),
            ..mailbox
        }));
    }
    found.sort();
    found.dedup_by(|one, other| one.email == other.email);
    Ok(found)
}
