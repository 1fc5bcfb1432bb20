//! What becomes of values on their way into a template's output.

use std::borrow::Cow;
use std::fmt;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Output, State};

use super::Value;
use crate::body::json::{self, Layout};
use crate::text::percent_encoded;

/// What is done to a value on its way into a template's output. The template's own words are never
/// changed, and `| safe` turns it off for one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Nothing: plain text.
    None,
    /// `<`, `>`, `&`, `"`, `'` and `/` become HTML entities.
    Html,
    /// The value becomes JSON: a string with its quotes.
    Json,
    /// `&`, `<` and `>` become entities, as Slack's mrkdwn wants it: no value can name a channel
    /// or a user.
    Slack,
    /// `\\`, `[` and `]` get a backslash, as Discord's Markdown wants it: no value can hide an
    /// address behind words.
    Discord,
    /// As for Discord, and `@` is followed by a character without width: a name in a value alerts
    /// no user.
    Mattermost,
    /// What is not a letter, a digit or one of `-._~` becomes `%XX`: no value can leave its place
    /// in a path or a query, unless it is made of dots, which the caller has to look at.
    Url,
}

impl Escape {
    pub(super) fn auto_escape(self) -> AutoEscape {
        match self {
            Self::None => AutoEscape::None,
            Self::Html => AutoEscape::Html,
            Self::Json => AutoEscape::Json,
            Self::Slack => AutoEscape::Custom(Cow::Borrowed("slack")),
            Self::Discord => AutoEscape::Custom(Cow::Borrowed("discord")),
            Self::Mattermost => AutoEscape::Custom(Cow::Borrowed("mattermost")),
            Self::Url => AutoEscape::Custom(Cow::Borrowed("url")),
        }
    }
}

/// Writes a value as the template's escaping wants it.
pub(super) fn write_value(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    let escape = state.auto_escape();
    if value.is_safe() {
        return write_text(output, value.as_str().unwrap_or_default());
    }
    if *escape == AutoEscape::Json {
        return write_text(output, &json::write(value, Layout::Compact)?);
    }
    if value.is_none() || value.is_undefined() {
        return Ok(());
    }
    match escape {
        AutoEscape::Custom(name) if name == "slack" => {
            write_text(output, &escape_slack(&plain(value)))
        }
        AutoEscape::Custom(name) if name == "discord" => {
            write_text(output, &escape_discord(&plain(value)))
        }
        AutoEscape::Custom(name) if name == "mattermost" => {
            write_text(output, &escape_mattermost(&plain(value)))
        }
        AutoEscape::Custom(_) => write_text(output, &percent_encoded(&plain(value))),
        _ if value.kind() == ValueKind::String || value.is_number() => {
            minijinja::escape_formatter(output, state, value)
        }
        _ => minijinja::escape_formatter(output, state, &Value::from(plain(value))),
    }
}

/// The value as text: what is missing is empty, `true`, lists and maps are as in JSON (MiniJinja
/// has Python's words for them).
pub(super) fn plain(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => String::new(),
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            json::write(value, Layout::Compact).unwrap_or_default()
        }
        _ => value.to_string(),
    }
}

fn write_text(output: &mut Output<'_>, text: &str) -> Result<(), minijinja::Error> {
    fmt::Write::write_str(output, text).map_err(minijinja::Error::from)
}

fn escape_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// As for Discord; and no value can alert the channel, by `@all` or by Slack's `<!channel>`, which
/// Mattermost turns into `@channel` (its `expandAnnouncement`).
fn escape_mattermost(text: &str) -> String {
    let text = escape_discord(text).replace('@', "@\u{200b}").replace("<!", "<\u{200b}!");
    // What stands before and behind it in the template may be the rest.
    let open = if text.starts_with('!') { "\u{200b}" } else { "" };
    let close = if text.ends_with('<') { "\u{200b}" } else { "" };
    format!("{open}{text}{close}")
}

/// No value can hide an address behind words: `[words](address)`.
fn escape_discord(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}
