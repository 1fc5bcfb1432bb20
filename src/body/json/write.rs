//! Values as JSON text. Nothing is recursive: a value may be nested as deep as it likes.

use std::fmt::Write;

use minijinja::value::{DynObject, ValueKind};
use minijinja::{Error, Value};

use crate::body::number;

/// Where white space is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Nowhere.
    Compact,
    /// Behind commas and colons.
    Spaced,
    /// One item a line, indented by so many spaces a level.
    Indented(usize),
}

type Items = Box<dyn Iterator<Item = (Option<Value>, Value)>>;

/// `value` as JSON: numbers as the body had them; undefined, and numbers that JSON has not, as
/// `null`. An error is one that an iterator in a template's value ran into.
pub(crate) fn write(value: &Value, layout: Layout) -> Result<String, Error> {
    let mut out = String::new();
    // What is open: what is left of it, how it ends, and whether an item was written.
    let mut opened: Vec<(Items, char, bool)> = Vec::new();
    let mut next = Some(value.clone());
    loop {
        if let Some(value) = next.take()
            && let Some((items, start, end)) = write_plain(&mut out, &value)?
        {
            out.push(start);
            opened.push((items, end, false));
        }
        let depth = opened.len();
        let Some((items, end, has_items)) = opened.last_mut() else { return Ok(out) };
        let Some((key, value)) = items.next() else {
            if *has_items {
                break_line(&mut out, layout, depth - 1);
            }
            out.push(*end);
            opened.pop();
            continue;
        };
        if *has_items {
            out.push_str(if layout == Layout::Spaced { ", " } else { "," });
        }
        *has_items = true;
        break_line(&mut out, layout, depth);
        if let Some(key) = key {
            match key.as_str() {
                Some(key) => write_text(&mut out, key),
                None => write_text(&mut out, &key.to_string()),
            }
            out.push_str(if layout == Layout::Compact { ":" } else { ": " });
        }
        next = Some(value);
    }
}

/// Writes a value that holds no others; gives what is in one that does.
fn write_plain(out: &mut String, value: &Value) -> Result<Option<(Items, char, char)>, Error> {
    match value.kind() {
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::String => write_text(out, value.as_str().unwrap_or_default()),
        ValueKind::Map => {
            let pairs = value.as_object().and_then(DynObject::try_iter_pairs);
            let pairs = pairs.into_iter().flatten().map(|(key, value)| (Some(key), value));
            return Ok(Some((Box::new(pairs), '{', '}')));
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(|item| (None, item));
            return Ok(Some((Box::new(items), '[', ']')));
        }
        ValueKind::Bytes => {
            let text = String::from_utf8_lossy(value.as_bytes().unwrap_or_default());
            write_text(out, &text);
        }
        ValueKind::Number | ValueKind::Plain => match number::json(value) {
            Some(text) => out.push_str(&text),
            None if number::written(value).is_none() && value.kind() == ValueKind::Plain => {
                write_text(out, &value.to_string());
            }
            None => out.push_str("null"),
        },
        ValueKind::Invalid => {
            // The error is in the value: asking for anything of it gives it.
            value.try_iter()?;
        }
        // Nothing, and what MiniJinja may add some day.
        _ => out.push_str("null"),
    }
    Ok(None)
}

fn write_text(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    // Byte by byte, which is faster: all that needs an escape is ASCII.
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\')
    {
        let (before, special) = rest.split_at(at);
        out.push_str(before);
        let mut chars = special.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            // Writing into memory does not fail.
            Some(other) => write!(out, "\\u{:04x}", u32::from(other)).unwrap_or_default(),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn break_line(out: &mut String, layout: Layout, depth: usize) {
    if let Layout::Indented(width) = layout {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', width.saturating_mul(depth)));
    }
}
