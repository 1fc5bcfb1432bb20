//! Passwords in JSON bodies.

use std::borrow::Cow;
use std::ops::Range;

use crate::body::json::{JsonError, Lexer, Token};
use crate::secret::HIDDEN;

/// Where in a document a password stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonPath(Vec<Part>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// A key, or an item by its place.
    Named(String),
    /// Each item of a list.
    Each,
}

impl JsonPath {
    /// Every path that a field stands at: in the body, in each item of a list that is verified item
    /// by item, and in an item that became an event of its own.
    pub(super) fn all_of(path: &str, each: Option<&str>, split: Option<&str>) -> Vec<Self> {
        let parts = |path: &str| -> Vec<Part> {
            let parts = path.split('.').filter(|part| !part.is_empty());
            parts.map(|part| Part::Named(part.to_owned())).collect()
        };
        let own = parts(path);
        let mut all = vec![own.clone()];
        if let Some(each) = each {
            all.push([parts(each), vec![Part::Each], own.clone()].concat());
        }
        if let Some(list) = split {
            let list = parts(list);
            let below = own.strip_prefix(&*list).unwrap_or(&own);
            let in_item = match below.split_first() {
                Some((Part::Named(first), rest)) if first.parse::<usize>().is_ok() => rest.to_vec(),
                _ => own,
            };
            all.push([list, vec![Part::Each], in_item.clone()].concat());
            all.push(in_item);
        }
        all.into_iter().filter(|parts| !parts.is_empty()).map(Self).collect()
    }
}

/// The text with [`HIDDEN`] for each value at one of `paths`; `None` = it is no JSON.
pub(super) fn masked<'t>(paths: &[JsonPath], text: &'t [u8]) -> Option<Cow<'t, [u8]>> {
    if paths.is_empty() {
        return Some(Cow::Borrowed(text));
    }
    let spans = spans(paths, text).ok()?;
    if spans.is_empty() {
        return Some(Cow::Borrowed(text));
    }
    let mut shown = Vec::with_capacity(text.len());
    let mut end = 0;
    for span in spans {
        shown.extend_from_slice(text.get(end..span.start)?);
        shown.extend_from_slice(format!("\"{HIDDEN}\"").as_bytes());
        end = span.end;
    }
    shown.extend_from_slice(text.get(end..)?);
    Some(Cow::Owned(shown))
}

/// A container that is not closed yet.
struct Open<'p> {
    /// The paths that lead here.
    active: Vec<&'p JsonPath>,
    /// The place of the next item, where it is a list.
    index: Option<usize>,
}

impl<'p> Open<'p> {
    /// Those of its paths that lead on to an item or a key, this far below the document.
    fn lead_on(&self, depth: usize, is_named: impl Fn(&str) -> bool) -> Vec<&'p JsonPath> {
        let leads_on = |path: &&&JsonPath| match path.0.get(depth) {
            Some(Part::Named(name)) => is_named(name),
            Some(Part::Each) => self.index.is_some(),
            None => false,
        };
        self.active.iter().filter(leads_on).copied().collect()
    }
}

/// Where the values stand that are at one of `paths`, in order.
fn spans(paths: &[JsonPath], text: &[u8]) -> Result<Vec<Range<usize>>, JsonError> {
    let mut lexer = Lexer::new(text);
    let mut opened: Vec<Open<'_>> = Vec::new();
    let mut spans = Vec::new();
    // The paths that lead to the value that is next.
    let mut active: Vec<&JsonPath> = paths.iter().collect();
    loop {
        let before = lexer.position();
        let Some(token) = lexer.next()? else { return Ok(spans) };
        let depth = opened.len();
        match (token, opened.last_mut()) {
            (Token::Key(key), Some(open)) => {
                active = open.lead_on(depth - 1, |name| key.is(name));
                continue;
            }
            (Token::ObjectEnd | Token::ArrayEnd, _) => {
                opened.pop();
                continue;
            }
            (_, Some(open)) => {
                if let Some(index) = open.index {
                    active = open.lead_on(depth - 1, |name| name.parse() == Ok(index));
                    open.index = Some(index + 1);
                }
            }
            (_, None) => {}
        }
        let is_hidden = active.iter().any(|path| path.0.len() == depth);
        let is_container = matches!(token, Token::ObjectStart | Token::ArrayStart);
        if is_container && (is_hidden || active.is_empty()) {
            lexer.skip()?;
        } else if is_container {
            let index = matches!(token, Token::ArrayStart).then_some(0);
            opened.push(Open { active: std::mem::take(&mut active), index });
        }
        if is_hidden {
            let is_between =
                |byte: &&u8| matches!(byte, b':' | b',' | b' ' | b'\t' | b'\r' | b'\n');
            let between = text.get(before..lexer.position()).unwrap_or_default();
            let start = before + between.iter().take_while(is_between).count();
            spans.push(start..lexer.position());
        }
    }
}
