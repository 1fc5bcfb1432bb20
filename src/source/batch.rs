//! The items of requests that carry several events, each signed by itself.

use std::ops::Range;

use crate::body::json::{JsonError, Lexer, Token};

/// The items of the list at a dotted path, in their own text. Flaws of real senders are read, as
/// everywhere; of a repeated key the last counts, as for every reader of the stored event.
pub(super) fn items<'a>(text: &'a [u8], path: &str) -> Option<Vec<&'a [u8]>> {
    let list = list(text, path)?;
    let items = scan(list, usize::MAX).ok()?;
    items.into_iter().map(|item| list.get(item)).collect()
}

/// What stands at a dotted path; with an empty one all of it.
pub(super) fn list<'a>(text: &'a [u8], path: &str) -> Option<&'a [u8]> {
    let mut parts = path.split('.').filter(|part| !part.is_empty());
    parts.try_fold(text, |text, part| field(text, part).ok()?)
}

/// The items of the array that `body` is; none where it is something else. Stops behind the first
/// item that is one over `n_max`.
pub(super) fn scan(body: &[u8], n_max: usize) -> Result<Vec<Range<usize>>, JsonError> {
    let mut lexer = Lexer::new(body);
    let mut items = Vec::new();
    if lexer.next()? != Some(Token::ArrayStart) {
        return Ok(items);
    }
    let mut end = lexer.position();
    while items.len() <= n_max {
        match lexer.next()? {
            // Behind the last one nothing but white space may follow.
            Some(Token::ArrayEnd) => return lexer.next().map(|_| items),
            Some(Token::ObjectStart | Token::ArrayStart) => lexer.skip()?,
            Some(_) => {}
            None => break,
        }
        let between = body.get(end..lexer.position()).unwrap_or_default();
        let is_between = |byte: &&u8| matches!(byte, b',' | b' ' | b'\t' | b'\r' | b'\n');
        let start = end + between.iter().take_while(is_between).count();
        end = lexer.position();
        items.push(start..end);
    }
    Ok(items)
}

/// The value of a field of an object, in its own text.
fn field<'a>(text: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, JsonError> {
    let mut lexer = Lexer::new(text);
    let mut found = None;
    if lexer.next()? != Some(Token::ObjectStart) {
        return Ok(None);
    }
    while let Some(Token::Key(key)) = lexer.next()? {
        let is_wanted = key.is(name);
        let start = lexer.position();
        if matches!(lexer.next()?, Some(Token::ObjectStart | Token::ArrayStart)) {
            lexer.skip()?;
        }
        if is_wanted {
            let value = text.get(start..lexer.position()).unwrap_or_default().trim_ascii_start();
            found = Some(value.strip_prefix(b":").unwrap_or(value));
        }
    }
    // Behind the object nothing but white space may follow.
    Ok(lexer.next()?.map_or(found, |_| None))
}
