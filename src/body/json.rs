//! JSON: one lexer for the document as a value and for single fields of it.

use indexmap::IndexMap;
use minijinja::Value;

pub(crate) mod lexer;
mod tree;
mod write;

pub(crate) use lexer::{JsonError, Lexer, Token};
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

/// A list as payloads have them.
pub(super) fn list(items: Vec<Value>) -> Value {
    Value::from_object(List(items))
}

/// A map as payloads have them.
pub(super) fn map(fields: IndexMap<Box<str>, Value>) -> Value {
    Value::from_object(Map(fields))
}

#[cfg(test)]
mod tests;
