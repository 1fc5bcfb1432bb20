//! `[handler.NAME.email]`, read and checked.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use lettre::message::Mailbox;

use super::url::{BadSmtpUrl, SmtpUrl};
use crate::expr::{Escape, Expression, Template};
use crate::handler::texts::{self, Text};
use crate::secret::SecretRef;
use crate::settings::Table;

/// The most recipients of one mail: RFC 5321 lets a server stop at 100.
pub(super) const RECIPIENTS_MAX: usize = 100;

/// What the table says.
#[derive(Debug)]
pub struct Settings {
    /// Where the mail server is.
    pub smtp: SmtpUrl,
    /// The password, which does not stand in the URL.
    pub password: Option<SecretRef>,
    /// A file with the one authority (PEM) whose certificates are believed, in place of the
    /// system's.
    pub ca: Option<PathBuf>,
    /// Who writes.
    pub from: Mailbox,
    /// Who reads.
    pub to: Recipients,
    /// The subject.
    pub subject: Words,
    /// The plain text.
    pub text: Words,
    /// The HTML beside it.
    pub html: Option<Words>,
    /// The most mails in an hour.
    pub max_per_hour: Option<NonZeroU32>,
}

/// Who a mail goes to.
#[derive(Debug)]
pub enum Recipients {
    /// The same for every event.
    Fixed(Vec<Mailbox>),
    /// Addresses that the event tells: a text with commas, or a list.
    Expression(Arc<Expression>),
}

/// A template, and what it is written for.
#[derive(Clone, Debug)]
pub struct Words {
    /// The template.
    pub template: Arc<Template>,
    /// Whether it speaks of `events`: then it is written for a whole batch and rendered once;
    /// otherwise it is rendered for each event.
    pub is_for_batch: bool,
}

impl Settings {
    /// Reads the table.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let smtp = read_url(table);
        let password = table.take::<SecretRef>("password");
        let ca = table.take::<PathBuf>("ca");
        let is_bad_ca = table.has("ca") && ca.is_none();
        let is_bad_password = table.has("password") && password.is_none();
        let from = read_from(table);
        let to = read_to(table);
        let subject = words(table, "subject", Escape::None);
        let text = words(table, "text", Escape::None);
        let html = words(table, "html", Escape::Html);
        let is_bad_html = table.has("html") && html.is_none();
        for (key, help) in [
            ("subject", "write `subject = \"New comment on {{ data.comment.page.title }}\"`"),
            ("text", "write `text = \"{{ data.comment.body }}\"`"),
        ] {
            if !table.has(key) {
                table.missing(key, help);
            }
        }
        let max_per_hour = table.take::<NonZeroU32>("max_per_hour");
        let is_bad_max = table.has("max_per_hour") && max_per_hour.is_none();
        if let Some(smtp) = &smtp {
            check_log_in(table, smtp);
        }
        if is_bad_ca || is_bad_password || is_bad_html || is_bad_max {
            return None;
        }
        let smtp = smtp.filter(|smtp| smtp.user.is_some() == password.is_some())?;
        Some(Self {
            smtp,
            password,
            ca,
            from: from?,
            to: to?,
            subject: subject?,
            text: text?,
            html,
            max_per_hour,
        })
    }

    /// The texts that are worked out for each event.
    pub(super) fn texts(&self) -> Vec<Text> {
        let to = match &self.to {
            Recipients::Fixed(_) => None,
            Recipients::Expression(to) => Some(Text::expression("to", to)),
        };
        let words = [("subject", Some(&self.subject)), ("text", Some(&self.text))];
        let words = words.into_iter().chain([("html", self.html.as_ref())]);
        let words = words.filter_map(|(key, words)| Some(Text::template(key, &words?.template)));
        to.into_iter().chain(words).collect()
    }
}

fn read_url(table: &mut Table<'_>) -> Option<SmtpUrl> {
    let text = table.require::<String>("smtp")?;
    match SmtpUrl::parse(&text) {
        Ok(url) => Some(url),
        Err(err) => {
            let help = if err == BadSmtpUrl::Password {
                table.hide("smtp");
                "write `password = { file = \"data/secrets/smtp\" }` and leave it out of the URL"
            } else {
                "for example `smtp = \"smtps://me%40example.com@mail.example.com\"`"
            };
            table.problem("smtp", err, help);
            None
        }
    }
}

fn check_log_in(table: &Table<'_>, smtp: &SmtpUrl) {
    match (&smtp.user, table.has("password")) {
        (Some(_), false) => table.problem(
            "smtp",
            "a user without a password cannot log in",
            "write `password = { file = \"data/secrets/smtp\" }`",
        ),
        (None, true) => table.problem(
            "password",
            "a password without a user is of no use",
            "write the user into the URL: `smtps://me%40example.com@mail.example.com`",
        ),
        (Some(_), true) if smtp.is_open_to_others() => table.warning(
            "smtp",
            "the password can be read by others on its way",
            "leave `?tls=…` out, or write `smtps://`",
        ),
        _ => {}
    }
}

fn read_from(table: &mut Table<'_>) -> Option<Mailbox> {
    if !table.has("from") {
        let _: Option<String> = table.take("from");
        table.missing("from", "write `from = \"Gatepost <gatepost@example.com>\"`");
        return None;
    }
    table.checked("from", |text: String| mailbox(&text))
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|_| format!("`{}` is not a mail address", text.escape_debug()))
}

/// A list of addresses, one address, or an expression: an address is no expression, and an
/// expression no address.
fn read_to(table: &mut Table<'_>) -> Option<Recipients> {
    let expected = "a list of addresses, one address, or an expression that gives them";
    let Some(value) = table.raw("to", expected) else {
        table.missing("to", "write `to = [\"owner@example.com\"]`");
        return None;
    };
    if let Some(text) = value.as_str() {
        if let Ok(mailbox) = mailbox(text) {
            return Some(Recipients::Fixed(vec![mailbox]));
        }
        return match Expression::compile(text) {
            Ok(expression) => Some(Recipients::Expression(Arc::new(expression))),
            Err(err) => {
                if let Some(list) = several(text) {
                    let help = format!("write `to = [{list}]`");
                    value.problem("several recipients are a list", help);
                } else {
                    let help = "write an address, or an expression such as `data.user.email`";
                    let help = if err.help.is_empty() { help } else { &err.help };
                    value.problem_within(err.range.clone(), &err, help);
                }
                None
            }
        };
    }
    let Some(items) = value.as_items() else {
        value.problem(format_args!("expected {expected}, found {}", value.kind()), "");
        return None;
    };
    if items.is_empty() || items.len() > RECIPIENTS_MAX {
        value.problem(format_args!("expected 1 to {RECIPIENTS_MAX} addresses"), "");
        return None;
    }
    let read: Vec<Option<Mailbox>> = items
        .into_iter()
        .map(|item| {
            let text = item.clone().read::<String>()?;
            mailbox(&text).map_err(|err| item.problem(err, "")).ok()
        })
        .collect();
    read.into_iter().collect::<Option<Vec<_>>>().map(Recipients::Fixed)
}

/// Addresses that stand in one text, as the items of a list; `None` where that is something else.
fn several(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split([',', ';']).map(str::trim).collect();
    let are_addresses = parts.len() > 1 && parts.iter().all(|part| mailbox(part).is_ok());
    let quoted: Vec<String> = parts.iter().map(|part| format!("\"{part}\"")).collect();
    are_addresses.then(|| quoted.join(", "))
}

fn words(table: &mut Table<'_>, key: &str, escape: Escape) -> Option<Words> {
    let template = texts::template(table, key, escape)?;
    // It compiled: its names can be asked for.
    let is_for_batch = minijinja::Environment::new()
        .template_from_str(template.source())
        .is_ok_and(|parsed| parsed.undeclared_variables(false).contains("events"));
    Some(Words { template, is_for_batch })
}
