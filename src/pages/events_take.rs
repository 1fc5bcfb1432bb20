//! What a list of events is taken away as: lines of JSON, an address of the API, a command.

use serde_json::Value;

use super::Answer;
use super::fields::{Fields, address};
use crate::api::{Api, ApiError, EventsAsk, SenderSecrets};
use crate::text::shell_word;

/// Events of one file.
const LINES_MAX: usize = 1_000;
/// Bytes of their bodies.
const BYTES_MAX: usize = 16 << 20;
/// Options of `gatepost events list`, by the fields of the page.
const OPTIONS: [(&str, &str); 7] = [
    ("q", "--search"),
    ("source", "--source"),
    ("type", "--type"),
    ("handler", "--handler"),
    ("state", "--state"),
    ("since", "--since"),
    ("until", "--until"),
];

/// The newest events that `ask` finds, oldest first as `gatepost queue import` takes them.
pub(super) async fn lines(
    api: &Api,
    ask: EventsAsk,
    secrets: SenderSecrets,
) -> Result<Answer, ApiError> {
    let ask = EventsAsk { limit: Some(LINES_MAX), ..ask };
    let exported = api.export_found(ask, BYTES_MAX, secrets).await?;
    let mut body = String::new();
    for event in &exported {
        let line =
            serde_json::to_string(event).map_err(|err| ApiError::Conflict(err.to_string()))?;
        body.push_str(&line);
        body.push('\n');
    }
    Ok(Answer::File { name: "events.jsonl".to_owned(), body: body.into() })
}

/// The same list for programs.
pub(super) fn api_address(ask: &EventsAsk) -> String {
    let Ok(Value::Object(said)) = serde_json::to_value(ask) else {
        return "/api/v1/events".to_owned();
    };
    let said = said.into_iter().filter_map(|(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    });
    let said: Vec<(String, String)> = said.collect();
    address("/api/v1/events", said.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// The same for a terminal.
pub(super) fn command(fields: &Fields) -> String {
    let mut command = String::from("gatepost events list");
    for (name, option) in OPTIONS {
        if let Some(value) = fields.get(name) {
            command.extend([" ", option, " ", &quoted(value)]);
        }
    }
    command
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let shown = super::words::shown(text, 300);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:/,=@%+".contains(c);
    if shown.chars().all(is_plain) { shown } else { shell_word(&shown) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_has_the_whole_filter_and_no_shell_reads_anything_else_in_it() {
        let fields = Fields::parse("q=it%27s+%24(rm)+data.id%3A5&handler=mail&state=dead&before=7");
        assert_eq!(
            command(&fields),
            r"gatepost events list --search 'it'\''s $(rm) data.id:5' --handler mail --state dead"
        );
    }

    #[test]
    fn address_of_the_api_has_the_whole_filter() {
        let ask = EventsAsk {
            q: Some("a b".to_owned()),
            state: Some(crate::queue::DeliveryState::Retry),
            before: Some(7),
            ..EventsAsk::default()
        };
        assert_eq!(api_address(&ask), "/api/v1/events?q=a%20b&state=retry&before=7");
    }
}
