//! The body of an event as its page shows it.

use std::borrow::Cow;

use super::json::PrettyJson;
use super::words;
use crate::api::EventEntry;
use crate::text::unescaped_json;

/// Bytes of a body that are shown in hexadecimal: each takes four characters.
const HEX_MAX: usize = 2 << 10;

/// The body in the form that was asked for.
#[derive(Debug, Default)]
pub(super) struct ShownBody {
    pub(super) form: &'static str,
    pub(super) shown: PrettyJson,
    pub(super) size: String,
    pub(super) kind: String,
    /// Why there is no pretty form, or what is left out.
    pub(super) note: String,
}

pub(super) fn content_type(entry: &EventEntry) -> String {
    let found = entry.detail.headers.iter().find(|(name, _)| name == "content-type");
    let text = found.map_or("application/json", |(_, value)| value.as_str());
    words::shown(text, 60).replace('\'', "")
}

/// The body of `entry`: `pretty`, `raw` or as a `hex` dump.
pub(super) fn shown_body(entry: &EventEntry, form: &str) -> ShownBody {
    let event = &entry.event;
    let json = event.json();
    // Of a form, a packed body and the like it is what the reader makes of it.
    let is_own_json = matches!(json, Ok(Some(Cow::Borrowed(_))));
    let text = json.as_ref().ok().and_then(|text| text.as_deref());
    let mut body = ShownBody {
        size: words::bytes(entry.detail.summary.body_bytes as u64),
        kind: if is_own_json { "JSON".to_owned() } else { content_type(entry) },
        ..ShownBody::default()
    };
    match (form, text) {
        ("hex", _) => {
            body.form = "hex";
            let kept = event.body.get(..HEX_MAX).unwrap_or(&event.body);
            body.shown = PrettyJson::plain(&hex_dump(kept));
            if kept.len() < event.body.len() {
                CUT.clone_into(&mut body.note);
            }
        }
        ("" | "pretty", Some(text)) => {
            body.form = "pretty";
            body.shown = PrettyJson::new(&unescaped_json(text));
            if !body.shown.is_whole {
                CUT.clone_into(&mut body.note);
            }
        }
        (_, _) => {
            body.form = "raw";
            body.shown = PrettyJson::plain(&String::from_utf8_lossy(&event.body));
            if !body.shown.is_whole {
                CUT.clone_into(&mut body.note);
            }
            if form != "raw"
                && let Err(err) = &json
            {
                body.note = format!("{err}. {}", body.note);
            }
        }
    }
    body
}

/// What is said of a body that is not shown as a whole.
const CUT: &str = "Only its beginning is shown; Save has all of it.";

/// Sixteen bytes a line: where, as numbers, as text.
fn hex_dump(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 5);
    for (index, chunk) in bytes.chunks(16).enumerate() {
        let numbers: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' };
        let plain: String = chunk.iter().map(plain).collect();
        let line = format!("{:06x}  {:47}  {plain}\n", index * 16, numbers.join(" "));
        text.push_str(&line);
    }
    text
}
