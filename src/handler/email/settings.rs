//! `[handler.NAME.email]`, read and checked.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use lettre::message::Mailbox;
use lettre::message::header::HeaderName;

use super::url::{BadSmtpUrl, SmtpUrl, hello_name, with_plain_domain};
use crate::expr::{Escape, Expression, Template};
use crate::handler::texts::{self, Text};
use crate::secret::SecretRef;
use crate::settings::{Table, TextSort, Value};

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
    /// What this machine is called in EHLO, in place of what it calls itself.
    pub hello: Option<String>,
    /// Who writes.
    pub from: Mailbox,
    /// Who reads.
    pub to: Recipients,
    /// Who reads as well.
    pub cc: Option<Recipients>,
    /// Who reads without the others' knowledge.
    pub bcc: Option<Recipients>,
    /// Where answers go.
    pub reply_to: Option<Recipients>,
    /// Header lines of the owner's own.
    pub headers: Vec<(HeaderName, Words)>,
    /// Whether the raw body goes with the mail.
    pub attach_body: bool,
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
    pub template: Arc<Template>,
    /// Whether it speaks of `events`: then it is written for a whole batch and rendered once;
    /// otherwise it is rendered for each event.
    pub is_for_batch: bool,
}

fn check_words(table: &mut Table<'_>) {
    for (key, help) in [
        ("subject", "write `subject = \"New comment on {{ data.comment.page.title }}\"`"),
        ("text", "write `text = \"{{ data.comment.body }}\"`"),
    ] {
        if !table.has(key) {
            table.missing(key, help);
        }
    }
}

fn warn_of_blank(table: &mut Table<'_>) {
    let is_blank = |key| table.text_of(key).is_some_and(|text| text.trim().is_empty());
    if is_blank("subject") && is_blank("text") && (!table.has("html") || is_blank("html")) {
        let message =
            "subject and text are always empty: each event is skipped, and no mail goes out";
        table.warning("text", message, "write `text = \"{{ data.comment.body }}\"`");
    }
}

impl Settings {
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let smtp = read_url(table);
        let password = table.take::<SecretRef>("password");
        let ca = table.take::<PathBuf>("ca");
        let hello =
            table.checked_or("hello", "for example `hello = \"www.example.com\"`", hello_name);
        let from = read_from(table);
        let to = read_to(table);
        let [cc, bcc, reply_to] = ["cc", "bcc", "reply_to"].map(|key| read_addresses(table, key));
        let headers = read_headers(table);
        let attach_body = table.take_or("attach_body", false);
        let subject = words(table, "subject", Escape::None);
        let text = words(table, "text", Escape::None);
        let html = words(table, "html", Escape::Html);
        check_words(table);
        if !attach_body {
            warn_of_blank(table);
        }
        let max_per_hour = table.take::<NonZeroU32>("max_per_hour");
        if let Some(smtp) = &smtp {
            check_log_in(table, smtp);
            if let Some((message, help)) = smtp.odd_port() {
                table.warning("smtp", message, help);
            }
        }
        let optional = [
            ("password", password.is_some()),
            ("ca", ca.is_some()),
            ("hello", hello.is_some()),
            ("cc", cc.is_some()),
            ("bcc", bcc.is_some()),
            ("reply_to", reply_to.is_some()),
            ("html", html.is_some()),
            ("max_per_hour", max_per_hour.is_some()),
        ];
        if optional.into_iter().any(|(key, is_read)| table.has(key) && !is_read) {
            return None;
        }
        let smtp = smtp.filter(|smtp| smtp.user.is_some() == password.is_some())?;
        Some(Self {
            smtp,
            password,
            ca,
            hello,
            from: from?,
            to: to?,
            cc,
            bcc,
            reply_to,
            headers: headers?,
            attach_body,
            subject: subject?,
            text: text?,
            html,
            max_per_hour,
        })
    }

    /// The texts that are worked out for each event.
    pub(super) fn texts(&self) -> Vec<Text> {
        let addresses = [
            ("to", Some(&self.to)),
            ("cc", self.cc.as_ref()),
            ("bcc", self.bcc.as_ref()),
            ("reply_to", self.reply_to.as_ref()),
        ];
        let addresses = addresses.into_iter().filter_map(|(key, recipients)| match recipients? {
            Recipients::Fixed(_) => None,
            Recipients::Expression(expression) => Some(Text::expression(key, expression)),
        });
        let words = [("subject", Some(&self.subject)), ("text", Some(&self.text))];
        let words = words.into_iter().chain([("html", self.html.as_ref())]);
        let words = words.filter_map(|(key, words)| Some(Text::template(key, &words?.template)));
        let headers = self.headers.iter();
        let headers =
            headers.map(|(name, words)| Text::template(format!("headers.{name}"), &words.template));
        addresses.chain(words).chain(headers).collect()
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
    table.checked_or("from", AN_ADDRESS, |text: String| mailbox(&text))
}

const NAME_WITH_COMMA: &str =
    ": a name with a comma stands in quotation marks, `'\"Doe, Jane\" <jane@example.com>'`";
/// How an address is written.
const AN_ADDRESS: &str = "for example \"owner@example.com\" or \"Owner <owner@example.com>\"";
/// How an expression is written that gives addresses.
const NOT_IN_A_LIST: &str =
    "an expression stands alone and without `{{ }}`: `\"data.comment.user.email\"`";

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let mailbox = text.parse().map(with_plain_domain);
    mailbox.map_err(|_| {
        let has_comma = text.split_once('<').is_some_and(|(name, _)| name.contains(','));
        let help = if has_comma { NAME_WITH_COMMA } else { "" };
        format!("`{}` is not a mail address{help}", text.escape_debug())
    })
}

/// A list of addresses, one address, or an expression: an address is no expression, and an
/// expression no address.
fn read_to(table: &mut Table<'_>) -> Option<Recipients> {
    if !table.has("to") {
        let _: Option<Value<'_>> = table.raw("to", ADDRESSES);
        table.missing("to", "write `to = [\"owner@example.com\"]`");
        return None;
    }
    read_addresses(table, "to")
}

const ADDRESSES: &str = "a list of addresses, one address, or an expression that gives them";

fn read_addresses(table: &mut Table<'_>, key: &str) -> Option<Recipients> {
    table.raw(key, ADDRESSES).and_then(|value| recipients(&value, key))
}

fn recipients(value: &Value<'_>, key: &str) -> Option<Recipients> {
    if let Some(text) = value.as_str() {
        if let Ok(mailbox) = mailbox(text) {
            return Some(Recipients::Fixed(vec![mailbox]));
        }
        return match Expression::compile(text) {
            Ok(expression) => {
                value.note_text(TextSort::Expression);
                Some(Recipients::Expression(Arc::new(expression)))
            }
            Err(err) => {
                if let Some(list) = several(text) {
                    let help = format!("write `{key} = [{list}]`");
                    value.problem("several recipients are a list", help);
                } else if let Some(list) = several_mixed(text) {
                    let help = format!("write `{key} = \"[{list}]\"`");
                    value.problem("several recipients are a list, here one within the text", help);
                } else {
                    let help = "write an address, or an expression such as `data.user.email`";
                    let begins = |root: &&str| text.trim_start().starts_with(*root);
                    let is_expression = ["data", "payload", "event", "{{", "["].iter().any(begins);
                    let help = if is_expression { &err.help } else { help };
                    value.problem_within(err.range.clone(), &err.message, help);
                }
                None
            }
        };
    }
    let Some(items) = value.as_items() else {
        let help = format_args!("for example `{key} = [\"owner@example.com\"]`");
        value.problem(format_args!("expected {ADDRESSES}, found {}", value.kind()), help);
        return None;
    };
    if items.is_empty() || items.len() > RECIPIENTS_MAX {
        let message = format_args!("expected 1 to {RECIPIENTS_MAX} addresses");
        value.problem(message, format_args!("for example `{key} = [\"owner@example.com\"]`"));
        return None;
    }
    let read: Vec<Option<Mailbox>> = items
        .into_iter()
        .map(|item| {
            let text = item.clone().read::<String>()?;
            if let Some(list) = several(&text) {
                let help = format!("write them as items of their own: `{list}`");
                item.problem("several addresses stand in one text", help);
                return None;
            }
            let help = if text.contains(['{', '.']) && !text.contains('@') {
                NOT_IN_A_LIST
            } else {
                AN_ADDRESS
            };
            mailbox(&text).map_err(|err| item.problem(err, help)).ok()
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

/// The same where some of them are expressions: as the items of an expression's list.
fn several_mixed(text: &str) -> Option<String> {
    let item = |part: &str| match mailbox(part) {
        Ok(_) => Some(format!("'{part}'")),
        Err(_) => Expression::compile(part).is_ok().then(|| part.to_owned()),
    };
    let parts = text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty());
    let items: Vec<String> = parts.map(item).collect::<Option<_>>()?;
    (items.len() > 1).then(|| items.join(", "))
}

/// Header lines that Gatepost or the mail's way writes; the first ones have keys of their own.
const RESERVED: [&str; 12] = [
    "from",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "return-path",
    "received",
    "sender",
];
/// How many of them have a key.
const WITH_KEY: usize = 6;

fn read_headers(table: &mut Table<'_>) -> Option<Vec<(HeaderName, Words)>> {
    let Some(mut headers) = table.table("headers") else {
        return if table.has("headers") { None } else { Some(Vec::new()) };
    };
    let entries = headers.entries();
    headers.finish();
    // All of them first, so that each that is wrong is told.
    let read: Vec<_> = entries.into_iter().map(|(name, value)| read_header(name, &value)).collect();
    read.into_iter().collect()
}

fn read_header(name: &str, value: &Value<'_>) -> Option<(HeaderName, Words)> {
    let lower = name.to_ascii_lowercase();
    let reserved = RESERVED.iter().position(|reserved| *reserved == lower);
    if reserved.is_some() || lower.starts_with("content-") {
        let help = if reserved.is_some_and(|index| index < WITH_KEY) {
            format!("write it as `{}` beside `headers`", lower.replace('-', "_"))
        } else {
            String::new()
        };
        value.problem("this header is written by Gatepost itself", help);
        return None;
    }
    let is_name = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    let Some(parsed) =
        HeaderName::new_from_ascii(name.to_owned()).ok().filter(|_| is_name && !name.is_empty())
    else {
        value.problem("this is not the name of a header", "for example `X-Source`");
        return None;
    };
    Some((parsed, words_of(texts::template_of(value, Escape::None)?)))
}

fn words(table: &mut Table<'_>, key: &str, escape: Escape) -> Option<Words> {
    texts::template(table, key, escape).map(words_of)
}

fn words_of(template: Arc<Template>) -> Words {
    // It compiled: its names can be asked for.
    let is_for_batch = minijinja::Environment::new()
        .template_from_str(template.source())
        .is_ok_and(|parsed| parsed.undeclared_variables(false).contains("events"));
    Words { template, is_for_batch }
}
