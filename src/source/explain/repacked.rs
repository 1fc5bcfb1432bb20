//! The ways in which something on its way packs a body anew: into another one, as another charset, as
//! a form.

use std::fmt::Write as _;

use encoding_rs::WINDOWS_1252;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

use super::super::field_ref::{Pair, pairs};
use super::super::signature::Encoding;
use super::case::WrittenAnew;
use crate::body::starts_like_json;

/// Longer bodies are not read as JSON values, which take many times their room.
const JSON_BYTES_MAX: usize = 8 << 20;
/// The same of what should be a form.
const FORM_BYTES_MAX: usize = 1 << 20;
/// The most texts of a JSON object that may be the body.
const INNER_MAX: usize = 8;

/// What may have been put into `body`: a JSON text, the `body` of an API gateway, a message of a queue,
/// the one field of a form, base64.
pub(super) fn wrapped(body: &[u8]) -> Vec<WrittenAnew> {
    if body.len() > JSON_BYTES_MAX {
        return Vec::new();
    }
    let mut inner: Vec<Vec<u8>> = Vec::new();
    // In one list, as a batch of one.
    let item = body.trim_ascii().strip_prefix(b"[").and_then(|body| body.strip_suffix(b"]"));
    inner.extend(item.map(|item| item.trim_ascii().to_vec()));
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::String(text)) => {
            inner.extend(Encoding::Base64.decode(text.as_bytes()));
            inner.push(text.into_bytes());
        }
        Ok(Value::Object(fields)) => inner.extend(in_object(&fields)),
        Ok(_) => {}
        Err(_) => {
            inner.extend(Encoding::Base64.decode(body.trim_ascii()));
            let mut fields = pairs(body);
            if let (Some((name, value)), None) = (fields.next(), fields.next()) {
                // A reader of forms makes a name of what has no `=`.
                let text = if value.is_empty() { name } else { value };
                inner.push(text.into_owned());
            }
        }
    }
    named("what is wrapped in it (something put it there)", inner)
}

fn in_object(fields: &serde_json::Map<String, Value>) -> Vec<Vec<u8>> {
    let flag = fields.get("isBase64Encoded").and_then(Value::as_bool);
    let encoding = if flag == Some(true) { Encoding::Base64 } else { Encoding::Plain };
    let body = fields.get("body").and_then(Value::as_str);
    let body = body.and_then(|text| encoding.decode(text.as_bytes()));
    // Google's Pub/Sub.
    let data = fields.get("message").and_then(|message| message.get("data")?.as_str());
    let data = data.and_then(|text| Encoding::Base64.decode(text.as_bytes()));
    let texts =
        fields.values().filter_map(Value::as_str).filter(|text| starts_like_json(text.as_bytes()));
    let texts = texts.take(INNER_MAX).map(|text| text.as_bytes().to_vec());
    body.into_iter().chain(data).chain(texts).collect()
}

/// The text in Latin-1 or Windows-1252 where it came as UTF-8 and the other way round, and with its
/// accents put together or taken apart.
pub(super) fn in_other_charsets(body: &[u8]) -> Vec<WrittenAnew> {
    if body.is_ascii() {
        return Vec::new();
    }
    let mut bodies = Vec::new();
    if let Ok(text) = std::str::from_utf8(body) {
        let latin: Option<Vec<u8>> =
            text.chars().map(|one| u8::try_from(u32::from(one)).ok()).collect();
        bodies.extend(latin.map(|body| ("with another charset", body)));
        let (windows, _, has_others) = WINDOWS_1252.encode(text);
        if !has_others {
            bodies.push(("with another charset", windows.into_owned()));
        }
        let how = "with its accents in another form (Unicode NFC and NFD)";
        bodies.push((how, text.nfc().collect::<String>().into_bytes()));
        bodies.push((how, text.nfd().collect::<String>().into_bytes()));
    } else {
        let latin: String = body.iter().map(|byte| char::from(*byte)).collect();
        bodies.push(("with another charset", latin.into_bytes()));
        let (windows, _) = WINDOWS_1252.decode_without_bom_handling(body);
        bodies.push(("with another charset", windows.into_owned().into_bytes()));
    }
    bodies
}

/// The body without the escapes that something put into it, or without what filled it up.
pub(super) fn undone(body: &[u8]) -> Vec<WrittenAnew> {
    let mut bodies = vec![
        ("without the blanks around it", body.trim_ascii().to_vec()),
        ("without the zero bytes at its end", trim_zeros(body).to_vec()),
    ];
    if let Ok(text) = std::str::from_utf8(body) {
        let plain =
            [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#039;", "'")];
        let plain = plain.into_iter().chain([("&amp;", "&")]);
        let plain = plain.fold(text.to_owned(), |text, (entity, sign)| text.replace(entity, sign));
        bodies.push(("without the HTML entities in it", plain.into_bytes()));
        let unslashed = text.replace("\\\"", "\"").replace("\\'", "'");
        let unslashed = unslashed.replace("\\\\", "\\");
        bodies.push(("without the backslashes before its quotes", unslashed.into_bytes()));
    }
    bodies.retain(|(_, one)| one != body);
    bodies
}

fn trim_zeros(body: &[u8]) -> &[u8] {
    let end = body.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    body.get(..end).unwrap_or(body)
}

/// The form of which a JSON object was made whose fields are texts and numbers.
pub(super) fn forms_of_json(body: &[u8]) -> Vec<WrittenAnew> {
    if body.len() > FORM_BYTES_MAX || !starts_like_json(body) {
        return Vec::new();
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) else {
        return Vec::new();
    };
    let mut flat: Vec<Pair<'_>> = Vec::new();
    for (name, value) in fields.iter().take(FIELDS_MAX) {
        let mut add = |text: String| {
            flat.push((name.as_bytes().to_vec().into(), text.into_bytes().into()));
        };
        match value {
            Value::String(text) => add(text.clone()),
            Value::Number(_) | Value::Bool(_) => add(value.to_string()),
            // A name that is there several times.
            Value::Array(texts) => {
                texts.iter().filter_map(Value::as_str).for_each(|text| add(text.to_owned()));
            }
            Value::Null | Value::Object(_) => return Vec::new(),
        }
    }
    named("as the form that something made JSON of", written(&flat))
}

/// The JSON objects of which the form `body` may have been made: all fields texts, or numbers where they look like it.
pub(super) fn json_of_form(body: &[u8]) -> Vec<String> {
    if starts_like_json(body) || !body.contains(&b'=') || body.len() > FORM_BYTES_MAX {
        return Vec::new();
    }
    let fields: Vec<_> = pairs(body).take(FIELDS_MAX).collect();
    let object = |bare: bool| {
        let texts = fields.iter().map(|(name, value)| {
            let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes)).to_string();
            let is_bare = bare
                && serde_json::from_slice::<Value>(value).is_ok_and(|value| !value.is_string());
            let value =
                if is_bare { String::from_utf8_lossy(value).into_owned() } else { text(value) };
            format!("{}:{value}", text(name))
        });
        format!("{{{}}}", texts.collect::<Vec<_>>().join(","))
    };
    vec![object(false), object(true)]
}

fn named(how: &'static str, bodies: Vec<Vec<u8>>) -> Vec<WrittenAnew> {
    bodies.into_iter().map(|body| (how, body)).collect()
}

/// A form as other writers escape it; nothing where it is none.
pub(super) fn forms(body: &[u8]) -> Vec<WrittenAnew> {
    if starts_like_json(body) || !body.contains(&b'=') {
        return Vec::new();
    }
    let fields: Vec<_> = pairs(body).take(FIELDS_MAX).collect();
    let mut forms = written(&fields);
    let how = "with the fields of the form written anew";
    // All of these are in memory at once.
    if body.len() > FORM_BYTES_MAX {
        return named(how, forms);
    }
    forms.extend(respelled(body));
    let plain = fields.iter().map(|(name, value)| [name, &b"="[..], value].concat());
    forms.push(plain.collect::<Vec<_>>().join(&b'&'));
    let filled: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    forms.extend(written(&filled));
    forms.retain(|form| form != body);
    forms.sort_unstable();
    forms.dedup();
    named(how, forms)
}

/// Of so many fields every order is tried: 120.
const ORDERED_MAX: usize = 5;

/// A form with its fields in another order, as a reader has them that keeps them in a map.
pub(super) fn forms_in_other_orders(body: &[u8]) -> Vec<WrittenAnew> {
    if starts_like_json(body) || !body.contains(&b'&') || body.len() > FORM_BYTES_MAX {
        return Vec::new();
    }
    let pairs: Vec<&[u8]> = body.split(|byte| *byte == b'&').collect();
    let mut orders: Vec<Vec<&[u8]>> = vec![Vec::new()];
    if pairs.len() <= ORDERED_MAX {
        for pair in pairs {
            let with_pair = orders.iter().flat_map(|order| {
                (0..=order.len()).map(move |at| {
                    let mut order = order.clone();
                    order.insert(at, pair);
                    order
                })
            });
            orders = with_pair.collect();
        }
    } else {
        let mut sorted = pairs.clone();
        sorted.sort_unstable();
        orders = vec![sorted, pairs.into_iter().rev().collect()];
    }
    let forms = orders.into_iter().map(|order| order.join(&b'&')).filter(|form| form != body);
    named("with the fields of the form in another order", forms.collect())
}

/// A form whose texts something wrote in another charset: their escapes alone, or all of it anew.
pub(super) fn forms_in_other_charsets(body: &[u8]) -> Vec<WrittenAnew> {
    if starts_like_json(body) || !body.contains(&b'%') || body.len() > FORM_BYTES_MAX {
        return Vec::new();
    }
    let Some(form) = with_escapes_recoded(body) else { return Vec::new() };
    let fields: Vec<_> = pairs(form.as_bytes()).take(FIELDS_MAX).collect();
    let mut forms = written(&fields);
    forms.extend([cased(&form, false).into_bytes(), form.into_bytes()]);
    named("with another charset in the form", forms)
}

/// The form with what is escaped in it as UTF-8 in Windows-1252, and the other way round; `None` = that is nothing.
fn with_escapes_recoded(body: &[u8]) -> Option<String> {
    let mut parts = std::str::from_utf8(body).ok()?.split('%');
    let mut form = parts.next()?.to_owned();
    let (mut run, mut is_any) = (Vec::new(), false);
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = byte.filter(|byte| !byte.is_ascii()) else {
            push_recoded(&mut form, &mut run)?;
            form.extend(["%", part]);
            continue;
        };
        is_any = true;
        run.push(byte);
        if part.len() > 2 {
            push_recoded(&mut form, &mut run)?;
            form.push_str(part.get(2..)?);
        }
    }
    push_recoded(&mut form, &mut run)?;
    is_any.then_some(form)
}

/// Puts a text that is not ASCII into the form, as the other charset escapes it.
fn push_recoded(form: &mut String, text: &mut Vec<u8>) -> Option<()> {
    let recoded = match std::str::from_utf8(text) {
        Ok(text) => {
            let (recoded, _, has_others) = WINDOWS_1252.encode(text);
            (!has_others).then_some(recoded)?.into_owned()
        }
        Err(_) => WINDOWS_1252.decode_without_bom_handling(text).0.into_owned().into_bytes(),
    };
    text.clear();
    for byte in recoded {
        // Writing to a string cannot fail.
        write!(form, "%{byte:02X}").unwrap_or_default();
    }
    Some(())
}

/// A form in which something on its way wrote some escapes anew, and left the others as they were.
fn respelled(body: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(body) else { return Vec::new() };
    let mut forms = Vec::new();
    for blank in [None, Some(("%20", "+")), Some(("+", "%20"))] {
        for tilde in [None, Some(("%7E", "~")), Some(("%7e", "~")), Some(("~", "%7E"))] {
            for case in [None, Some(false), Some(true)] {
                let mut form = text.to_owned();
                for (from, to) in blank.into_iter().chain(tilde) {
                    form = form.replace(from, to);
                }
                forms.push(
                    case.map_or(form.clone(), |is_upper| cased(&form, is_upper)).into_bytes(),
                );
            }
        }
    }
    forms
}

/// The escapes of a form with their hexadecimal digits in one case.
fn cased(form: &str, is_upper: bool) -> String {
    let mut n_digits = 0;
    let case = |sign: char| {
        if sign == '%' {
            n_digits = 2;
            return sign;
        }
        let is_digit = n_digits > 0;
        n_digits -= usize::from(is_digit);
        match (is_digit, is_upper) {
            (true, true) => sign.to_ascii_uppercase(),
            (true, false) => sign.to_ascii_lowercase(),
            (false, _) => sign,
        }
    };
    form.chars().map(case).collect()
}

/// The form of these fields, as each kind of writer escapes it.
fn written(fields: &[Pair<'_>]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    let writers = [
        ("+", "-._*"),
        ("+", "-._~"),
        ("+", "-._!*()"),
        ("%20", "-._"),
        ("+", "-._~!*'()"),
        ("%20", "-._~"),
        ("%20", "-._*"),
        ("%20", "-._~!*'()"),
        // Python's `quote`, and JavaScript's `encodeURI`.
        ("%20", "-._~/"),
        ("%20", "-._~!*'();/?:@,$"),
    ];
    for (blank, plain) in writers {
        let escape = |bytes: &[u8], lower: bool| {
            let mut text = String::new();
            for byte in bytes {
                match byte {
                    b' ' => text.push_str(blank),
                    byte if byte.is_ascii_alphanumeric() || plain.as_bytes().contains(byte) => {
                        text.push(char::from(*byte));
                    }
                    byte if lower => write!(text, "%{byte:02x}").unwrap_or_default(),
                    byte => write!(text, "%{byte:02X}").unwrap_or_default(),
                }
            }
            text
        };
        for lower in [false, true] {
            let pair = |(name, value): &Pair<'_>| {
                format!("{}={}", escape(name, lower), escape(value, lower))
            };
            forms.push(fields.iter().map(pair).collect::<Vec<_>>().join("&").into_bytes());
        }
    }
    forms
}

/// The most fields of a form that are written anew.
const FIELDS_MAX: usize = 1000;
