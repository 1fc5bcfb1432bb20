//! The body of an event or of a rejected request as its page shows it.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::json::PrettyJson;
use super::words;
use crate::api::EventEntry;
use crate::body::UnreadableBody;
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

/// A body, and what is known of it.
pub(super) struct BodySource<'a> {
    pub(super) bytes: &'a [u8],
    /// It as JSON: of a form, a packed body and the like it is what the reader makes of it.
    pub(super) json: Result<Option<Cow<'a, str>>, &'a UnreadableBody>,
    pub(super) content_type: Option<&'a str>,
    /// How long it is as it came.
    pub(super) n_bytes: usize,
}

impl<'a> BodySource<'a> {
    pub(super) fn of(entry: &'a EventEntry) -> Self {
        let headers = &entry.detail.headers;
        let kind = headers.iter().find(|(name, _)| name == "content-type");
        Self {
            bytes: &entry.event.body,
            json: entry.event.json(),
            content_type: kind.map(|(_, value)| value.as_str()),
            n_bytes: entry.detail.summary.body_bytes,
        }
    }

    pub(super) fn content_type(&self) -> String {
        words::shown(self.content_type.unwrap_or("application/json"), 60).replace('\'', "")
    }
}

/// What is JSON by the letter, of bytes whose sender is not known.
pub(super) fn json_of(body: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(body).ok();
    let text = text.filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    text.map(|text| Cow::Borrowed(text.trim()))
}

/// A body: `pretty`, `raw` or as a `hex` dump.
pub(super) fn shown_body(source: &BodySource<'_>, form: &str) -> ShownBody {
    let BodySource { bytes, json, n_bytes, .. } = source;
    let is_own_json = matches!(json, Ok(Some(Cow::Borrowed(_))));
    let text = json.as_ref().ok().and_then(|text| text.as_deref());
    let mut body = ShownBody {
        size: words::bytes(*n_bytes as u64),
        kind: if is_own_json { "JSON".to_owned() } else { source.content_type() },
        ..ShownBody::default()
    };
    match (form, text) {
        ("hex", _) => {
            body.form = "hex";
            let kept = bytes.get(..HEX_MAX).unwrap_or(bytes);
            body.shown = PrettyJson::plain(&hex_dump(kept));
            if kept.len() < bytes.len() {
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
            body.shown = PrettyJson::plain(&String::from_utf8_lossy(bytes));
            if !body.shown.is_whole {
                CUT.clone_into(&mut body.note);
            }
            if form != "raw"
                && let Err(err) = json
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
