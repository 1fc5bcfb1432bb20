//! Single fields of a body, found in one pass that keeps nothing else: building the whole document
//! would cost more than checking the signature.

use minijinja::Value;
use minijinja::value::ValueKind;
use smallvec::{SmallVec, smallvec};

use super::request::{Inbound, SmallList};
use crate::body::json::lexer::RawText;
use crate::body::json::{JsonError, Lexer, Token};
use crate::body::{self, number};

/// The most paths that one pass looks for: one bit each.
const PATHS_MAX: usize = 32;

/// Of a body that is not verified nothing is unpacked, whatever it begins like.
const NOT_PACKED: Option<&[u8]> = Some(b"identity");

/// About as deep as a path leads.
const USUAL_DEPTH: usize = 8;

/// What was found in a body.
pub(super) struct Fields {
    /// A text for each path: nothing where there is no text, number or truth value.
    pub(super) texts: SmallList<Option<String>>,
    /// Whether the body is JSON by the letter.
    pub(super) is_json: bool,
}

/// The field at a dotted path as text, of a body that is not verified: what is packed is not
/// unpacked for that.
pub(super) fn find_one(content_type: Option<&[u8]>, body: &[u8], path: &str) -> Option<String> {
    find_in(content_type, NOT_PACKED, body, &[path])?.texts.pop().flatten()
}

/// The same for several paths.
pub(super) fn find_all(body: &[u8], paths: &[&str]) -> Option<Fields> {
    find_in(None, NOT_PACKED, body, paths)
}

/// The fields at several dotted paths, of a body that is believed. Of a repeated key the last
/// counts, as for every reader of the stored event. `None` = the body cannot be read, or
/// there are no paths.
pub(super) fn find(request: &Inbound<'_>, paths: &[&str]) -> Option<Fields> {
    let encoding = request.headers.get("content-encoding");
    find_in(request.headers.get("content-type"), encoding, request.body, paths)
}

fn find_in(
    content_type: Option<&[u8]>,
    encoding: Option<&[u8]>,
    body: &[u8],
    paths: &[&str],
) -> Option<Fields> {
    if paths.is_empty() || paths.len() > PATHS_MAX {
        return None;
    }
    if (encoding.is_none() || encoding == NOT_PACKED)
        && body::starts_like_json(body)
        && let Ok(fields) = scan(body, paths)
        && (fields.is_json || !body::names_charset(content_type))
    {
        return Some(fields);
    }
    let payload = body::read(content_type, encoding, body).ok()?;
    let texts = paths.iter().map(|path| text_at(payload.value(), path)).collect();
    Some(Fields { texts, is_json: payload.is_own_json() })
}

/// The same in a payload that is built.
fn text_at(payload: &Value, path: &str) -> Option<String> {
    let Some(value) = body::at(payload, path.split('.')) else {
        // The first part that is a text.
        let mut ends = path.match_indices('.');
        return ends.find_map(|(end, _)| {
            let (before, rest) = path.split_at_checked(end)?;
            let text = body::at(payload, before.split('.'))?;
            text_within(text.as_str()?, rest.strip_prefix('.')?)
        });
    };
    match value.kind() {
        ValueKind::String => value.as_str().map(str::to_owned),
        ValueKind::Bool => Some(value.is_true().to_string()),
        ValueKind::Number => Some(value.to_string()),
        _ => number::written(&value).map(str::to_owned),
    }
}

/// The field at `path` of the JSON that a text holds, as a form's field or a wrapper of other events
/// does.
fn text_within(text: &str, path: &str) -> Option<String> {
    if !body::starts_like_json(text.as_bytes()) {
        return None;
    }
    scan(text.as_bytes(), &[path]).ok()?.texts.pop().flatten()
}

/// A container that is not closed yet.
struct Open {
    /// The paths that lead here, as bits.
    active: u32,
    /// The place of the next item, where it is a list.
    index: Option<usize>,
}

/// Looks for `paths` token by token.
fn scan(body: &[u8], paths: &[&str]) -> Result<Fields, JsonError> {
    let mut lexer = Lexer::new(body);
    let mut search = Search { paths, texts: smallvec![None; paths.len()] };
    let mut opened: SmallVec<[Open; USUAL_DEPTH]> = SmallVec::new();
    // The paths that lead to the value that is next.
    let mut active = u32::MAX >> (PATHS_MAX - paths.len());
    while let Some(token) = lexer.next()? {
        let depth = opened.len();
        match (token, opened.last_mut()) {
            (Token::Key(key), Some(Open { active: around, .. })) => {
                active = search.narrow(*around, depth - 1, Step::Key(key));
                continue;
            }
            (Token::ObjectEnd | Token::ArrayEnd, _) => {
                opened.pop();
                continue;
            }
            (_, Some(Open { active: around, index: Some(index) })) => {
                active = search.narrow(*around, depth - 1, Step::Item(*index));
                *index += 1;
            }
            (_, _) => {}
        }
        if active == 0 && matches!(token, Token::ObjectStart | Token::ArrayStart) {
            lexer.skip()?;
            continue;
        }
        match token {
            Token::ObjectStart => opened.push(Open { active, index: None }),
            Token::ArrayStart => opened.push(Open { active, index: Some(0) }),
            _ => {}
        }
        if active != 0 {
            search.settle(active, depth, token);
        }
    }
    Ok(Fields { texts: search.texts, is_json: lexer.is_strict() })
}

/// One step further down.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(RawText<'a>),
    Item(usize),
}

struct Search<'s> {
    paths: &'s [&'s str],
    texts: SmallList<Option<String>>,
}

impl Search<'_> {
    /// Those of the `active` paths whose part at `depth` is this step.
    fn narrow(&self, active: u32, depth: usize, step: Step<'_>) -> u32 {
        if active == 0 {
            return 0;
        }
        let is_step = |part: &str| match step {
            Step::Key(key) => key.is(part),
            Step::Item(index) => part.parse() == Ok(index),
        };
        let mut narrowed = 0;
        for (place, path) in self.paths.iter().enumerate() {
            let bit = 1 << place;
            if active & bit != 0 && path.split('.').nth(depth).is_some_and(is_step) {
                narrowed |= bit;
            }
        }
        narrowed
    }

    /// Sets every active path: the ones that end here to the token's text, the others to nothing.
    fn settle(&mut self, active: u32, depth: usize, token: Token<'_>) {
        for (place, (path, found)) in self.paths.iter().zip(self.texts.iter_mut()).enumerate() {
            if active & (1 << place) == 0 {
                continue;
            }
            let ends_here = path.split('.').count() == depth;
            *found = match token {
                Token::Text(text) if ends_here => Some(text.decode().into_owned()),
                Token::Text(text) => {
                    let rest = path.splitn(depth + 1, '.').nth(depth);
                    rest.and_then(|rest| text_within(&text.decode(), rest))
                }
                Token::Number(number) if ends_here => Some(number.to_owned()),
                Token::Bool(yes) if ends_here => Some(yes.to_string()),
                _ => None,
            };
        }
    }
}

#[cfg(test)]
mod tests;
