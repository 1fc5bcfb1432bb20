//! A `{{ … }}` in a text that is no template.

use std::ops::Range;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// The expression in the `{{ … }}` that `text` begins with, and the length of the whole; `None` = it
/// is not closed.
pub fn placeholder(text: &str) -> Option<(Range<usize>, usize)> {
    // What cannot be read ends at the next braces: compiling it then says what is wrong there.
    let unread = || text.find("}}").map(|end| (2..end, end + 2));
    read(text).or_else(unread)
}

/// By the tokens: braces may stand in a text or a map within it.
fn read(text: &str) -> Option<(Range<usize>, usize)> {
    let offset = |offset: u32| usize::try_from(offset).ok();
    let mut tokens = tokenize(text, false, SyntaxConfig::default()).map_while(Result::ok);
    let Some((Token::VariableStart, start)) = tokens.next() else { return None };
    let (_, end) = tokens.find(|(token, _)| matches!(token, Token::VariableEnd))?;
    Some((offset(start.end_offset)?..offset(end.start_offset)?, offset(end.end_offset)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_within_an_expression_do_not_end_it() {
        for (text, expected) in [
            ("{{ data.id }} rest", " data.id "),
            ("{{data.id}}", "data.id"),
            ("{{- data.id -}}", " data.id "),
            (r#"{{ "}}" ~ data.id }}}}"#, r#" "}}" ~ data.id "#),
            (r#"{{ {"a": {"b": 1}} }}"#, r#" {"a": {"b": 1}} "#),
            ("{{ data.§ }} rest", " data.§ "),
        ] {
            let (inner, length) = placeholder(text).unwrap();
            assert_eq!(text.get(inner), Some(expected), "{text}");
            assert!(text.get(..length).unwrap().ends_with("}}"), "{text}");
        }
        assert_eq!(placeholder("{{ data.id }"), None);
        assert_eq!(placeholder("{{"), None);
    }
}
