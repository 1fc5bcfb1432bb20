//! JSON: one lexer for the document as a value and for single fields of it.

use std::ops::Range;

use indexmap::IndexMap;
use minijinja::Value;

mod commas;
pub(crate) mod lexer;
mod tree;
mod write;

pub(crate) use commas::without_spare_commas;
pub(crate) use lexer::{JsonError, Lexer, Token, unmarked};
pub(crate) use write::{Layout, write};

use super::number;
use tree::{List, Map};

/// A container that is not closed yet.
enum Open {
    Array(Vec<Value>),
    /// With the key whose value is next.
    Object(IndexMap<Box<str>, Value>, Box<str>),
}

/// The document and whether it is JSON by the letter. Of a repeated key the last counts.
pub(crate) fn read(text: &[u8]) -> Result<(Value, bool), JsonError> {
    let mut lexer = Lexer::new(text);
    let mut opened: Vec<Open> = Vec::new();
    let mut document = Value::UNDEFINED;
    while let Some(token) = lexer.next()? {
        let value = match token {
            Token::ObjectStart => {
                opened.push(Open::Object(IndexMap::new(), Box::default()));
                continue;
            }
            Token::ArrayStart => {
                opened.push(Open::Array(Vec::new()));
                continue;
            }
            Token::Key(name) => {
                if let Some(Open::Object(_, key)) = opened.last_mut() {
                    *key = name.decode().into();
                }
                continue;
            }
            Token::ObjectEnd | Token::ArrayEnd => match opened.pop() {
                Some(Open::Array(items)) => list(items),
                Some(Open::Object(fields, _)) => map(fields),
                None => Value::UNDEFINED,
            },
            Token::Text(text) => Value::from(text.decode().as_ref()),
            Token::Number(text) => number::read(text),
            Token::Bool(yes) => Value::from(yes),
            Token::Null => Value::from(()),
        };
        match opened.last_mut() {
            Some(Open::Array(items)) => items.push(value),
            Some(Open::Object(fields, key)) => {
                fields.insert(std::mem::take(key), value);
            }
            None => document = value,
        }
    }
    Ok((document, lexer.is_strict()))
}

/// Where the documents stand of which `text` has several, each on a line of its own (JSON lines, as
/// drains of logs send them); `None` = it is something else. Looks no further than one over `n_max`.
pub(crate) fn lines(text: &[u8], n_max: usize) -> Option<Vec<Range<usize>>> {
    each_line(text, n_max, |document, at| read_to_end(document).ok().map(|()| at))
}

/// All of [`lines`] as a list.
pub(crate) fn read_lines(text: &[u8]) -> Option<Value> {
    each_line(text, usize::MAX, |document, _| Some(read(document).ok()?.0)).map(list)
}

/// What `read` makes of each of several documents, and of where it stands.
fn each_line<T>(
    text: &[u8],
    n_max: usize,
    read: impl Fn(&[u8], Range<usize>) -> Option<T>,
) -> Option<Vec<T>> {
    // Most bodies are one line, which holds one document whatever is in it.
    memchr::memchr(b'\n', text.trim_ascii())?;
    let mut documents = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.trim_ascii_end().len();
        if start < end {
            documents.push(read(text.get(start..end)?, start..end)?);
        }
        if documents.len() > n_max {
            break;
        }
        start += line.len();
    }
    (documents.len() > 1).then_some(documents)
}

pub(crate) fn is_document(text: &[u8]) -> bool {
    read_to_end(text).is_ok()
}

fn read_to_end(text: &[u8]) -> Result<(), JsonError> {
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.next()? {
        if matches!(token, Token::ObjectStart | Token::ArrayStart) {
            lexer.skip()?;
        }
    }
    Ok(())
}

/// A list as payloads have them.
pub(crate) fn list(items: Vec<Value>) -> Value {
    Value::from_object(List(items))
}

/// A map as payloads have them.
pub(crate) fn map(fields: IndexMap<Box<str>, Value>) -> Value {
    Value::from_object(Map(fields))
}

#[cfg(test)]
mod tests;
