//! The one reader of bodies: what filters, templates, columns, the finder of types and every view
//! see of the bytes that a sender sent. The bytes themselves stay what they are.
//!
//! | body | payload |
//! |---|---|
//! | JSON, whatever its content type | the document; flaws of real senders are read (`json::lexer`) |
//! | `application/x-ndjson` and other names of it: objects, each on its own line | a list, also of one |
//! | `application/x-www-form-urlencoded`, or what looks like it and names no type or JSON | a map of its fields; a repeated field is a list, and one whose name ends in `[]` |
//! | `multipart/form-data` | the same; a file is `{filename, content_type, size}` |
//! | a form of one field `payload` or `data` that holds a JSON object (GitHub, Slack, Ko-fi) | that object |
//! | a JSON Web Token (Wix, Dialpad) | its claims; a claim `data` that holds a JSON object is that object |
//! | XML and other text | the text |
//! | nothing | undefined |
//! | what is packed (`Content-Encoding`; gzip also without) | what is in it, up to 16 MiB |
//! | what is not UTF-8, in a charset that is named or marked | the same in UTF-8 |
//! | anything else | an [`UnreadableBody`] |

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use encoding_rs::Encoding;
use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::ValueKind;

mod charset;
mod form;
pub(crate) mod json;
mod jwt;
mod multipart;
pub(crate) mod number;
#[cfg(test)]
mod tests;
mod transfer_encoding;
mod unpack;

pub(crate) use form::{Pair, pairs};

use json::JsonError;
use multipart::MultipartError;
use unpack::UnpackError;

/// A body that is read.
#[derive(Clone, Debug)]
pub struct Payload {
    value: Value,
    is_own_json: bool,
}

impl Payload {
    /// The payload as expressions see it.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether it is text, which has no fields.
    pub fn is_text(&self) -> bool {
        self.value.kind() == ValueKind::String
    }

    /// Whether the body, byte for byte, is JSON by the letter: what reads JSON reads it.
    pub fn is_own_json(&self) -> bool {
        self.is_own_json
    }

    /// The payload as JSON text; `None` where there is none.
    pub fn to_json(&self) -> Option<String> {
        if self.value.is_undefined() {
            return None;
        }
        json::write(&self.value, json::Layout::Compact).ok()
    }

    fn made(value: Value) -> Self {
        Self { value, is_own_json: false }
    }
}

/// Why a body cannot be read. Says what is wrong and where, never what the body contains.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableBody {
    /// It is not what its `Content-Encoding` says, or too large unpacked.
    #[error("the body cannot be unpacked: {0}")]
    Packed(String),
    #[error("the body is not JSON: {0}")]
    Json(String),
    #[error("the body is no multipart form: {0}")]
    Multipart(String),
    /// It is neither JSON nor a form nor text.
    #[error("the body is not text")]
    Binary,
}

impl From<UnpackError> for UnreadableBody {
    fn from(err: UnpackError) -> Self {
        Self::Packed(err.to_string())
    }
}

impl From<MultipartError> for UnreadableBody {
    fn from(err: MultipartError) -> Self {
        Self::Multipart(err.to_string())
    }
}

impl From<JsonError> for UnreadableBody {
    fn from(err: JsonError) -> Self {
        Self::Json(err.to_string())
    }
}

/// What a content type says about a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Form,
    Multipart,
    /// XML and whatever else is text.
    Text,
    /// None is given, or one that says nothing.
    Unknown,
}

impl Format {
    fn of(content_type: &str) -> Self {
        let name = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "application/json" | "text/json" | "application/x-json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            "multipart/form-data" => Self::Multipart,
            "application/xml" | "application/yaml" => Self::Text,
            name if name.ends_with("+json") => Self::Json,
            name if name.ends_with("+xml") || name.starts_with("text/") => Self::Text,
            _ => Self::Unknown,
        }
    }
}

/// Reads a body by what its headers say, and where they are wrong by what it looks like.
pub fn read(
    content_type: Option<&[u8]>,
    content_encoding: Option<&[u8]>,
    body: &[u8],
) -> Result<Payload, UnreadableBody> {
    let content_type = String::from_utf8_lossy(content_type.unwrap_or_default());
    let mut format = Format::of(&content_type);
    let text = unpacked(content_encoding, body)?;
    let charset = charset::of(&content_type, &text);
    // A file in a form is in no charset.
    let is_one_text = format != Format::Multipart || starts_like_json(&text);
    let text = if is_one_text { charset::to_utf8(text, charset) } else { text };
    if text.trim_ascii().is_empty() {
        // What is called JSON has lost its body on the way; what is called nothing has none.
        return match format {
            Format::Json => Err(UnreadableBody::Json("it is empty".to_owned())),
            _ => Ok(Payload::made(Value::UNDEFINED)),
        };
    }
    // No JSON begins like a form.
    if (content_type.is_empty() || format == Format::Json) && form::is_likely(&text) {
        format = Format::Form;
    }
    let is_as_sent = matches!(text, Cow::Borrowed(_));
    if !is_one_text {
        return read_multipart(&content_type, &text);
    }
    // JSON comes under every content type: `curl -d` says that it is a form.
    let err = if format == Format::Json || starts_like_json(&text) || format == Format::Unknown {
        match json::read(&text) {
            Ok((value, _)) if is_json_lines(&content_type) && value.kind() == ValueKind::Map => {
                return Ok(Payload::made(json::list(vec![value])));
            }
            Ok((value, is_strict)) => {
                return Ok(Payload { value, is_own_json: is_strict && is_as_sent });
            }
            Err(err) => {
                let has_lines = is_json_lines(&content_type);
                match has_lines.then(|| json::read_lines(&text)).flatten() {
                    Some(list) => return Ok(Payload::made(list)),
                    None => Some(err),
                }
            }
        }
    } else {
        None
    };
    if let Some(claims) = jwt::claims(&text) {
        return Ok(Payload::made(claims));
    }
    match (format, err) {
        // Whatever begins like JSON and goes so deep is JSON.
        (Format::Json, Some(err)) | (_, Some(err @ JsonError::TooDeep)) => Err(err.into()),
        (Format::Unknown, Some(err)) if starts_like_json(&text) => Err(err.into()),
        (Format::Form, _) => Ok(read_form(&text, charset)),
        (Format::Unknown, _) if std::str::from_utf8(&text).is_err() => Err(UnreadableBody::Binary),
        (Format::Json | Format::Text | Format::Unknown | Format::Multipart, _) => {
            let text = String::from_utf8_lossy(&text);
            Ok(Payload::made(Value::from(text.trim_start_matches('\u{feff}'))))
        }
    }
}

/// What stands in a payload at a path of names, and of places in lists; `None` = nothing.
pub(crate) fn at(
    payload: &Value,
    path: impl IntoIterator<Item = impl AsRef<str>>,
) -> Option<Value> {
    let found = path.into_iter().try_fold(payload.clone(), |value, part| match value.kind() {
        ValueKind::Seq => value.get_item_by_index(part.as_ref().parse().ok()?).ok(),
        ValueKind::Map => value.get_attr(part.as_ref()).ok(),
        _ => None,
    })?;
    (!found.is_undefined()).then_some(found)
}

/// The body as it was before it was packed for the way.
pub(crate) fn unpacked<'a>(
    content_encoding: Option<&[u8]>,
    body: &'a [u8],
) -> Result<Cow<'a, [u8]>, UnreadableBody> {
    let encodings = String::from_utf8_lossy(content_encoding.unwrap_or_default());
    Ok(unpack::unpack(&encodings, body)?)
}

/// The body unpacked and in UTF-8, where it is text.
pub(crate) fn in_utf8<'a>(
    content_type: Option<&[u8]>,
    content_encoding: Option<&[u8]>,
    body: &'a [u8],
) -> Result<Cow<'a, [u8]>, UnreadableBody> {
    let content_type = String::from_utf8_lossy(content_type.unwrap_or_default());
    let text = unpacked(content_encoding, body)?;
    let charset = charset::of(&content_type, &text);
    Ok(charset::to_utf8(text, charset))
}

/// The places of a multipart form's fields, each with its name; files are left out.
pub(crate) fn multipart_fields(content_type: &[u8], body: &[u8]) -> Vec<(String, Range<usize>)> {
    let content_type = String::from_utf8_lossy(content_type);
    let parts = multipart::parts(&content_type, body).unwrap_or_default();
    let fields = parts.into_iter().filter(|part| part.filename.is_none()).map(|part| {
        let start = part.content.as_ptr().addr().saturating_sub(body.as_ptr().addr());
        (part.name.into_owned(), start..start + part.content.len())
    });
    fields.collect()
}

/// Whether it names a charset other than UTF-8.
pub(crate) fn names_charset(content_type: Option<&[u8]>) -> bool {
    charset::named(&String::from_utf8_lossy(content_type.unwrap_or_default())).is_some()
}

/// Whether the text is a JSON Web Token, of which the claims are read.
pub(crate) fn is_token(text: &[u8]) -> bool {
    jwt::claims(text).is_some()
}

/// Whether it says of a body that it is a multipart form.
pub(crate) fn is_multipart(content_type: Option<&[u8]>) -> bool {
    let content_type = String::from_utf8_lossy(content_type.unwrap_or_default());
    Format::of(&content_type) == Format::Multipart
}

/// The fields of a form of either kind, as bytes and in the order they came; files are left out.
pub(crate) fn form_fields<'a>(content_type: Option<&[u8]>, body: &'a [u8]) -> Vec<Pair<'a>> {
    let content_type = String::from_utf8_lossy(content_type.unwrap_or_default());
    if Format::of(&content_type) != Format::Multipart {
        return pairs(body).collect();
    }
    let parts = multipart::parts(&content_type, body).unwrap_or_default();
    let fields = parts.into_iter().filter(|part| part.filename.is_none());
    let fields = fields.map(|part| {
        let content = part.decoded();
        (part.name.into_owned().into_bytes().into(), content)
    });
    fields.collect()
}

/// Whether it says that each line is a document: then several are no mistake.
pub(crate) fn is_json_lines(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        name.strip_prefix("application/").map(|name| name.trim_start_matches("x-")),
        Some("ndjson" | "jsonl" | "jsonlines" | "json-lines" | "jsonlines+json")
    )
}

/// Whether the first sign is that of a JSON object or array.
pub(crate) fn starts_like_json(text: &[u8]) -> bool {
    matches!(json::unmarked(text).trim_ascii_start().first(), Some(b'{' | b'['))
}

fn read_form(text: &[u8], charset: Option<&'static Encoding>) -> Payload {
    // A form says it in a field: PayPal, and senders that do as HTML says.
    let mut named = pairs(text).filter(|(name, _)| matches!(&**name, b"charset" | b"_charset_"));
    let charset = charset.or_else(|| charset::known(&named.next()?.1));
    let text_of = |bytes: &[u8]| charset::text(bytes, charset);
    let fields = pairs(text).map(|(name, value)| (text_of(&name), Value::from(text_of(&value))));
    Payload::made(form_value(fields.collect()))
}

fn read_multipart(content_type: &str, text: &[u8]) -> Result<Payload, UnreadableBody> {
    let parts = multipart::parts(content_type, text)?;
    let texts: Vec<_> =
        parts.iter().map(|part| part.filename.is_none().then(|| part.decoded())).collect();
    let text_of = |name: &str| {
        let at = parts.iter().position(|part| part.name == name)?;
        texts.get(at)?.as_deref()
    };
    // RFC 7578, section 4.6; and SendGrid's `{"subject": "iso-8859-1"}`.
    let of_all = text_of("_charset_").and_then(charset::known);
    let of_fields = text_of("charsets").and_then(|text| serde_json::from_slice(text).ok());
    let of_fields: BTreeMap<String, String> = of_fields.unwrap_or_default();
    let fields = parts.iter().zip(&texts).map(|(part, text)| {
        let own = part.content_type.as_deref().and_then(charset::named);
        let of_field = || charset::known(of_fields.get(part.name.as_ref())?.as_bytes());
        let value = if let Some(text) = text {
            Value::from(charset::text(text, own.or_else(of_field).or(of_all)))
        } else {
            let content_type = part.content_type.as_deref();
            let fields = [
                ("filename", part.filename.as_deref().map_or(Value::from(()), Value::from)),
                ("content_type", content_type.map_or(Value::from(()), Value::from)),
                ("size", Value::from(part.decoded_len())),
            ];
            json::map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
        };
        (part.name.to_string(), value)
    });
    Ok(Payload::made(form_value(fields.collect())))
}

/// The parameters of a query, each as it was written: a map of their texts; a repeated one is a list.
pub(crate) fn query(query: &str) -> Value {
    let text_of = |bytes: &[u8]| charset::text(bytes, None);
    let fields = pairs(query.as_bytes());
    by_name(fields.map(|(name, value)| (text_of(&name), Value::from(text_of(&value)))).collect())
}

/// The fields by their names, or the JSON object that the form was made for.
fn form_value(fields: Vec<(String, Value)>) -> Value {
    let mut texts = fields.iter().filter(|(_, value)| value.kind() == ValueKind::String);
    if let (Some((name, value)), None) = (texts.next(), texts.next())
        && matches!(name.as_str(), "payload" | "data")
        && let Some(text) = value.as_str()
        && let Ok((document, _)) = json::read(text.as_bytes())
        && document.kind() == ValueKind::Map
    {
        return document;
    }
    by_name(fields)
}

fn by_name(fields: Vec<(String, Value)>) -> Value {
    let mut by_name: IndexMap<Box<str>, Vec<Value>> = IndexMap::new();
    for (name, value) in fields {
        by_name.entry(name.into_boxed_str()).or_default().push(value);
    }
    // `ids[]`, as PHP and Rails write a list, is one also where one thing is in it.
    let one_or_many = |name: &str, mut values: Vec<Value>| match values.len() {
        1 if !name.ends_with("[]") => values.pop().unwrap_or_default(),
        _ => json::list(values),
    };
    let fields = by_name.into_iter().map(|(name, values)| {
        let value = one_or_many(&name, values);
        (name, value)
    });
    json::map(fields.collect())
}
