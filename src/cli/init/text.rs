//! The text of a new configuration.

use super::plan::{InitPlan, NewSource};
use crate::source::{Provider, SigningProfile};
use crate::text::put;

pub(super) const SMTP_SECRET: &str = "data/secrets/smtp";
pub(super) const DATABASE_SECRET: &str = "data/secrets/database";

/// The file of a source's secret.
pub(super) fn secret_file(source: &str) -> String {
    format!("data/secrets/{source}")
}

/// The file of the word that a source's sender shows when it asks.
pub(super) fn verify_token_file(source: &str) -> String {
    format!("data/secrets/{source}-verify-token")
}

/// The whole file.
pub(super) fn config(plan: &InitPlan) -> String {
    let mut text = String::from(HEAD);
    put(&mut text, format_args!("listen = \"{}\"\n", plan.listen));
    if let Some(url) = &plan.public {
        let url = quoted(url);
        put(
            &mut text,
            format_args!("# By which address senders know this machine.\npublic_url = {url}\n"),
        );
    }
    for source in &plan.sources {
        put_source(&mut text, source, plan.public.as_deref());
    }
    text.push_str(ARCHIVE);
    if plan.mail.is_some() {
        for source in &plan.sources {
            put_mail(&mut text, plan, source);
        }
    }
    if plan.database.is_some() {
        put_rows(&mut text, plan);
    }
    text.push_str(OTHERS);
    text
}

/// `value` as TOML writes a string.
pub(super) fn quoted(value: &str) -> String {
    toml::Value::from(value).to_string()
}

/// Where a password is; nothing without one.
pub(super) fn password_line(file: Option<&str>) -> String {
    file.map_or_else(String::new, |file| format!("password = {{ file = \"{file}\" }}\n"))
}

fn put_source(text: &mut String, source: &NewSource, public: Option<&str>) {
    let (name, provider) = (&source.name, source.provider.name);
    put(
        text,
        format_args!(
            "\n[source.{name}]\nprovider = \"{provider}\"\n\
             secrets = [{{ file = \"{}\", create = true }}]\n",
            secret_file(name.as_str())
        ),
    );
    if source.provider.needs_verify_token() {
        let file = verify_token_file(name.as_str());
        put(text, format_args!("verify_token = {{ file = \"{file}\", create = true }}\n"));
    }
    if source.needs(SigningProfile::needs_url) {
        let url = quoted(&source.url(public));
        put(text, format_args!("# It signs the address too, just as it knows it.\nurl = {url}\n"));
    }
    if source.needs(SigningProfile::needs_consent) {
        text.push_str(
            "# It does not sign all of the body: who has seen one request can change the rest.\n\
             allow_unsigned_body = true\n",
        );
    }
}

fn put_mail(text: &mut String, plan: &InitPlan, source: &NewSource) {
    let Some(mail) = &plan.mail else { return };
    let handler = match plan.sources.as_slice() {
        [_] => "mail".to_owned(),
        _ => format!("mail-{}", source.name),
    };
    let words = words_for(source.provider.name);
    let types = words.types.iter().map(|one| format!("\"{}:{one}\"", source.name));
    put(
        text,
        format_args!(
            "\n# A mail for each of these events; after 30 in an hour the rest come together.\n\
             [handler.{handler}]\non = [{}]\n\n[handler.{handler}.email]\nsmtp = {}\n{}\
             from = {}\nto = [{}]\nsubject = {}\ntext = \"\"\"\n{}\n\"\"\"\nmax_per_hour = 30\n",
            types.collect::<Vec<_>>().join(", "),
            quoted(&mail.server.url),
            password_line(mail.server.needs_password.then_some(SMTP_SECRET)),
            quoted(&mail.from),
            quoted(&mail.to),
            quoted(words.subject),
            words.text,
        ),
    );
}

/// What a mail about a provider's events says.
struct MailWords {
    types: &'static [&'static str],
    /// A type that it is written for; `None` = any.
    sample: Option<&'static str>,
    subject: &'static str,
    text: &'static str,
}

fn words_for(provider: &str) -> MailWords {
    match provider {
        "hyvor-talk" => MailWords {
            types: &["comment.create"],
            sample: Some("comment.create"),
            subject: "New comment on {{ data.comment.page.title }}",
            text: "{{ data.comment.user.name or \"Somebody\" }} wrote on \
                   {{ data.comment.page.title }}:\n\n{{ data.comment.body }}\n\n\
                   {{ data.comment.page.url }}",
        },
        "userecho" => MailWords {
            types: &["topic.*", "comment.*"],
            sample: Some("topic.created"),
            subject: "UserEcho: {{ data.header or data.topic.header or event.type }}",
            text: "{{ data.author.name or \"Somebody\" }} wrote:\n\n\
                   {{ (data.text or data.comment or data.description) | striptags }}",
        },
        _ => MailWords {
            types: &["*"],
            sample: None,
            subject: "{{ event.source }}: {{ event.type }}",
            text: "{{ payload | tojson(indent=2) }}",
        },
    }
}

/// The type of a provider's events that the handlers here are written for.
pub(super) fn sample_type(provider: &Provider) -> &'static str {
    let first = || provider.sample_types().next();
    words_for(provider.name).sample.or_else(first).unwrap_or("test")
}

fn put_rows(text: &mut String, plan: &InitPlan) {
    let Some(database) = &plan.database else { return };
    let (comments, others): (Vec<&NewSource>, Vec<&NewSource>) =
        plan.sources.iter().partition(|source| source.provider.name == "hyvor-talk");
    let globs = |sources: &[&NewSource], types: &[&str]| {
        let globs = sources.iter().flat_map(|source| {
            types.iter().map(move |event_type| format!("\"{}:{event_type}\"", source.name))
        });
        globs.collect::<Vec<_>>().join(", ")
    };
    let login = format!(
        "url = {}\n{}",
        quoted(&database.server.url),
        password_line(database.server.needs_password.then_some(DATABASE_SECRET)),
    );
    if !comments.is_empty() {
        let on = globs(&comments, &["comment.create", "comment.update", "comment.delete"]);
        let deletes = globs(&comments, &["comment.delete"]);
        put(
            text,
            format_args!(
                "\n# Each comment is a row; a deleted comment's row is deleted.\n\
                 [handler.comments]\non = [{on}]\norder_by = \"data.comment.id\"\n\n\
                 [handler.comments.sql]\n{login}table = \"comments\"\ncreate_table = true\n\
                 key = [\"id\"]\ndelete_on = [{deletes}]\n{COMMENT_COLUMNS}"
            ),
        );
    }
    if !others.is_empty() {
        let on = globs(&others, &["*"]);
        put(
            text,
            format_args!(
                "\n# Each event is a row.\n[handler.events]\non = [{on}]\n\n\
                 [handler.events.sql]\n{login}table = \"events\"\ncreate_table = true\n\
                 key = [\"id\"]\non_conflict = \"ignore\"\n{EVENT_COLUMNS}"
            ),
        );
    }
}

const HEAD: &str = "\
# Written by `gatepost init`. Every other key, with its default: docs/configuration.md, or
# `gatepost schema --markdown`. `gatepost check` names every mistake at once, and `gatepost reload`
# takes changes over. Relative paths start from this file's folder.

[server]
# Where senders come in, as your web server passes them on. Without one, [server.acme] has Gatepost
# speak TLS itself.
";

const ARCHIVE: &str = "
# Every event as one JSON line.
[handler.archive.file]
path = \"data/events.jsonl\"
";

const OTHERS: &str = "
# Two more kinds of handlers, to be used without the `# ` before their lines.
#
# Each event goes on to an application of yours, signed as Standard Webhooks are:
# [handler.app]
# [handler.app.http]
# url = \"http://127.0.0.1:9000/webhooks\"
# secret = { file = \"data/secrets/app\", create = true }
#
# A program of yours runs for each event, the body on its standard input; no shell reads `run`:
# [handler.program]
# [handler.program.command]
# run = [\"/usr/local/bin/on-event\", \"--quiet\"]
";

const COMMENT_COLUMNS: &str = "
[handler.comments.sql.columns]
id = \"data.comment.id\"
page = \"data.comment.page.identifier or data.comment.page.url\"
author = \"data.comment.user.name\"
body = \"data.comment.body\"
status = \"data.comment.status\"
created_at = { value = \"data.comment.created_at\", type = \"timestamp\" }
";

const EVENT_COLUMNS: &str = "
[handler.events.sql.columns]
id = \"event.id\"
source = \"event.source\"
type = \"event.type\"
received_at = { value = \"event.received_at\", type = \"timestamp\" }
payload = { value = \"payload\", type = \"json\" }
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::check_text;

    #[test]
    fn handlers_in_comments_are_good_without_their_marks() {
        let is_code = |line: &&str| line.starts_with('[') || line.contains(" = ");
        let lines = OTHERS.lines().filter_map(|line| line.strip_prefix("# "));
        let handlers: Vec<&str> = lines.filter(is_code).collect();
        let text = handlers.join("\n");
        let checked = check_text(&text, "x.toml", Path::new("/"), None);
        let Some(config) = checked.config else { panic!("{}", checked.report) };
        let kinds: Vec<_> = config.handlers.values().map(|one| one.kind_name).collect();
        assert_eq!(kinds, ["http", "command"], "{text}");
    }
}
