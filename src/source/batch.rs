//! The items of requests that carry several events, each signed by itself.

use crate::body::json::{JsonError, Lexer, Token};

use super::split::scan;

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
