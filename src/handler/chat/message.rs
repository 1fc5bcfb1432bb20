//! The messages, each in its service's shape.

use serde_json::{Value, json};

use super::service::{DISCORD_NAME_CHARS_MAX, Service};
use crate::expr::striptags;

/// The longest text that each takes.
const SLACK_CHARS_MAX: usize = 40_000;
const SLACK_HEADER_CHARS_MAX: usize = 150;
const SLACK_SECTION_CHARS_MAX: usize = 3_000;
const DISCORD_CHARS_MAX: usize = 2_000;
const DISCORD_TITLE_CHARS_MAX: usize = 256;
const DISCORD_EMBED_CHARS_MAX: usize = 4_096;
const TELEGRAM_UNITS_MAX: usize = 4_096;
const NTFY_BYTES_MAX: usize = 4_096;
/// A request has 28 KB, with all that is around the text.
const TEAMS_BYTES_MAX: usize = 24_000;
const TEAMS_TITLE_BYTES_MAX: usize = 1_000;
const MATTERMOST_CHARS_MAX: usize = 16_383;
const NTFY_TITLE_BYTES_MAX: usize = 250;
/// An event has 65,536 bytes, with what the servers add.
const MATRIX_BYTES_MAX: usize = 60_000;

impl Service {
    /// The message in the service's shape.
    pub(super) fn message(&self, text: &str, title: Option<&str>) -> Value {
        let title = title.filter(|title| !title.trim().is_empty());
        match self {
            Self::Slack { .. } => slack(text, title),
            Self::Discord { username, .. } => discord(text, title, username.as_deref()),
            Self::Telegram { chat, thread, is_html, .. } => {
                let chat = match chat.parse::<i64>() {
                    Ok(number) => json!(number),
                    Err(_) => json!(chat),
                };
                let whole = under(title, text);
                let is_cut = whole.chars().map(char::len_utf16).sum::<usize>() > TELEGRAM_UNITS_MAX;
                // What is cut may end within a tag, which Telegram refuses: then it is plain text.
                let whole = if *is_html && is_cut { striptags(&whole) } else { whole };
                let text = cut(&whole, TELEGRAM_UNITS_MAX, char::len_utf16);
                let parse_mode = (*is_html && !is_cut).then_some("HTML");
                let mut message = json!({ "chat_id": chat, "text": text });
                add(&mut message, "message_thread_id", *thread);
                add(&mut message, "parse_mode", parse_mode);
                message
            }
            Self::Ntfy { topic, priority, tags, .. } => {
                let mut message =
                    json!({ "topic": topic, "message": cut(text, NTFY_BYTES_MAX, char::len_utf8) });
                let title = title.map(|title| cut(title, NTFY_TITLE_BYTES_MAX, char::len_utf8));
                add(&mut message, "title", title);
                add(&mut message, "priority", *priority);
                add(&mut message, "tags", (!tags.is_empty()).then(|| tags.clone()));
                message
            }
            Self::Teams { .. } => teams(text, title),
            Self::Mattermost { username, channel, .. } => {
                let text = match title {
                    Some(title) => format!("#### {}\n{text}", title.replace('\n', " ")),
                    None => text.to_owned(),
                };
                let mut message = json!({ "text": cut(&text, MATTERMOST_CHARS_MAX, |_| 1) });
                add(&mut message, "username", username.as_deref());
                add(&mut message, "channel", channel.as_deref());
                message
            }
            Self::Matrix { .. } => {
                let text = under(title, text);
                json!({
                    // What a program says: others do not answer it.
                    "msgtype": "m.notice",
                    "body": cut(&text, MATRIX_BYTES_MAX, json_bytes),
                    // A name in a payload is text.
                    "m.mentions": {},
                })
            }
        }
    }
}

fn slack(text: &str, title: Option<&str>) -> Value {
    let mut message = json!({ "text": cut(text, SLACK_CHARS_MAX, |_| 1) });
    let blocks = title.map(|title| {
        json!([
            {
                "type": "header",
                "text": { "type": "plain_text", "text": cut(title, SLACK_HEADER_CHARS_MAX, |_| 1) },
            },
            {
                "type": "section",
                "text": { "type": "mrkdwn", "text": cut(text, SLACK_SECTION_CHARS_MAX, |_| 1) },
            },
        ])
    });
    add(&mut message, "blocks", blocks);
    message
}

fn discord(text: &str, title: Option<&str>, username: Option<&str>) -> Value {
    // `@everyone` in a payload is text.
    let mut message = json!({ "allowed_mentions": { "parse": [] } });
    match title {
        None => add(&mut message, "content", Some(cut(text, DISCORD_CHARS_MAX, |_| 1))),
        Some(title) => {
            let title = cut(title, DISCORD_TITLE_CHARS_MAX, |_| 1);
            let description = cut(text, DISCORD_EMBED_CHARS_MAX, |_| 1);
            let embeds = json!([{ "title": title, "description": description }]);
            add(&mut message, "embeds", Some(embeds));
        }
    }
    let username = username.map(|name| cut(name, DISCORD_NAME_CHARS_MAX, |_| 1));
    add(&mut message, "username", username);
    message
}

/// An Adaptive Card, as a workflow "When a Teams webhook request is received" takes it.
fn teams(text: &str, title: Option<&str>) -> Value {
    let title = title.map(|title| {
        let title = cut(title, TEAMS_TITLE_BYTES_MAX, json_bytes);
        json!({ "type": "TextBlock", "text": title, "weight": "Bolder", "size": "Medium", "wrap": true })
    });
    let text = cut(text, TEAMS_BYTES_MAX, json_bytes);
    let text = json!({ "type": "TextBlock", "text": text, "wrap": true });
    let body: Vec<Value> = title.into_iter().chain([text]).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": { "type": "AdaptiveCard", "version": "1.4", "body": body },
        }],
    })
}

/// The title in a line of its own above the text.
fn under(title: Option<&str>, text: &str) -> String {
    title.map_or_else(|| text.to_owned(), |title| format!("{title}\n{text}"))
}

fn add(message: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let (Some(object), Some(value)) = (message.as_object_mut(), value) {
        object.insert(key.to_owned(), value.into());
    }
}

/// The text where it fits; else as much of it as leaves room for the `…` at its end.
fn cut(text: &str, max: usize, size: impl Fn(char) -> usize) -> String {
    let total: usize = text.chars().map(&size).sum();
    if total <= max {
        return text.to_owned();
    }
    let room = max.saturating_sub(size('…'));
    let mut used: usize = 0;
    let fits = |c: &char| {
        used += size(*c);
        used <= room
    };
    let mut start: String = text.chars().take_while(fits).collect();
    start.push('…');
    start
}

/// How much a character takes within a JSON text.
fn json_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..' ' => 6,
        _ => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_to_teams_and_matrix_is_within_its_bound_whatever_is_in_it() {
        for text in ["\n", "\u{1}", "😀", "\"a"] {
            let text = text.repeat(100_000);
            let card = teams(&text, Some(&text)).to_string();
            assert!((20_000..28_000).contains(&card.len()), "{}", card.len());
        }
        assert_eq!(serde_json::json!("\u{8}\n\u{1f}a").to_string().len() - 2, 2 + 2 + 6 + 1);
        let sizes = "\u{8}\n\u{1f}a".chars().map(json_bytes);
        assert_eq!(sizes.sum::<usize>(), 2 + 2 + 6 + 1);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_by_the_services_own_measure() {
        assert_eq!(cut("abc", 3, |_| 1), "abc");
        assert_eq!(cut("abcd", 3, |_| 1), "ab…");
        assert_eq!(cut("😀😀😀", 6, char::len_utf16), "😀😀😀");
        assert_eq!(cut("😀😀😀", 5, char::len_utf16), "😀😀…");
        assert_eq!(cut("ééé", 5, char::len_utf8), "é…");
    }
}
