//! An event as a line of JSON, and back.
//!
//! `{"id", "position", "source", "type", "received_at", "data_root", "dedupe", "headers", "body"}`:
//! the body is base64, `headers` a list of name and value, where a value that is no text is
//! `{"base64": …}`, `dedupe` the key in hex and its window in ms.

use std::io::{self, Write};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::event::{
    DataRoot, Dedupe, DedupeKey, Event, EventId, EventType, Headers, NewEvent, Position, SourceName,
};

/// How long an imported event without a key of its own is recognised.
const RECOGNISED_FOR: Duration = Duration::from_hours(24 * 365);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: EventId,
    position: Position,
    source: String,
    r#type: String,
    received_at: Timestamp,
    data_root: Root,
    dedupe: Option<Key>,
    headers: Vec<(String, Value)>,
    body: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Root {
    Payload,
    Data,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    key: String,
    window_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Bytes { base64: String },
}

/// Why a line is no event.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadLine {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Name(#[from] crate::event::BadName),
    #[error("the {0} is not base64")]
    Base64(&'static str),
    #[error("the dedupe key is not 32 hex digits")]
    Key,
}

/// Writes an event as a line.
pub(super) fn write_line(
    writer: &mut impl Write,
    event: &Event,
    dedupe: &Dedupe,
) -> io::Result<()> {
    let value = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_) => Value::Bytes { base64: BASE64_STANDARD.encode(bytes) },
    };
    let line = Line {
        id: event.id,
        position: event.position,
        source: event.source.as_str().to_owned(),
        r#type: event.event_type.as_str().to_owned(),
        received_at: event.received_at,
        data_root: match event.data_root {
            DataRoot::Payload => Root::Payload,
            DataRoot::Data => Root::Data,
        },
        dedupe: match dedupe {
            Dedupe::Off => None,
            Dedupe::Within { key, window } => Some(Key {
                key: hex::encode(key.0),
                window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
            }),
        },
        headers: event
            .headers
            .iter()
            .map(|(name, bytes)| (name.to_owned(), value(bytes)))
            .collect(),
        body: BASE64_STANDARD.encode(&event.body),
    };
    serde_json::to_writer(&mut *writer, &line)?;
    writer.write_all(b"\n")
}

/// Reads a line.
pub(super) fn read_line(text: &str) -> Result<NewEvent, BadLine> {
    let line: Line = serde_json::from_str(text)?;
    let base64 = |text: &str, what| BASE64_STANDARD.decode(text).map_err(|_| BadLine::Base64(what));
    let mut headers = Headers::builder();
    for (name, value) in &line.headers {
        match value {
            Value::Text(text) => headers.push(name, text.as_bytes()),
            Value::Bytes { base64: text } => headers.push(name, &base64(text, "header")?),
        }
    }
    let dedupe = match line.dedupe {
        Some(Key { key, window_ms }) => {
            let mut bytes = [0; 16];
            hex::decode_to_slice(key, &mut bytes).map_err(|_| BadLine::Key)?;
            let window = Duration::from_millis(window_ms);
            Dedupe::Within { key: DedupeKey(bytes), window }
        }
        None => Dedupe::Within { key: key_of(line.id), window: RECOGNISED_FOR },
    };
    Ok(NewEvent {
        source: SourceName::parse(&line.source)?,
        event_type: EventType::new(&line.r#type),
        received_at: line.received_at,
        data_root: match line.data_root {
            Root::Payload => DataRoot::Payload,
            Root::Data => DataRoot::Data,
        },
        headers: headers.finish(),
        body: Bytes::from(base64(&line.body, "body")?),
        dedupe,
    })
}

/// What makes a second import of an event without a key a duplicate: the id that it had.
fn key_of(id: EventId) -> DedupeKey {
    let digest = Sha256::new().chain_update(b"import\0").chain_update(id.0.as_bytes()).finalize();
    let mut key = [0; 16];
    for (byte, value) in key.iter_mut().zip(digest) {
        *byte = value;
    }
    DedupeKey(key)
}
