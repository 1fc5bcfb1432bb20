//! What is found in the tokens of a text alone.

use minijinja::machinery::{Span, Token};

fn token<'a, 't>(tokens: &'a [(Token<'t>, Span)], at: usize) -> Option<&'a Token<'t>> {
    tokens.get(at).map(|(token, _)| token)
}

/// `payload` and `data` where the text itself gives them another meaning.
pub(super) fn shadowed<'t>(tokens: &'t [(Token<'t>, Span)]) -> Vec<&'t str> {
    let mut shadowed = Vec::new();
    let mut keyword = "";
    let mut is_target = false;
    for at in 0..tokens.len() {
        match token(tokens, at) {
            Some(Token::BlockStart) => {
                keyword = match token(tokens, at + 1) {
                    Some(Token::Ident(keyword)) => *keyword,
                    _ => "",
                };
                is_target = matches!(keyword, "for" | "macro" | "call" | "import" | "from");
            }
            Some(Token::BlockEnd | Token::VariableStart) => (keyword, is_target) = ("", false),
            Some(Token::Ident("in")) if keyword == "for" => is_target = false,
            Some(Token::Ident(name @ ("payload" | "data"))) => {
                let is_assigned = matches!(
                    token(tokens, at + 1),
                    Some(Token::Assign | Token::Comma | Token::BlockEnd)
                );
                if is_target || (matches!(keyword, "set" | "with") && is_assigned) {
                    shadowed.push(*name);
                }
            }
            _ => {}
        }
    }
    shadowed
}

/// Where a side of a comparison that begins at `start` ends.
pub(super) fn operand_end(tokens: &[(Token<'_>, Span)], start: usize, end: usize) -> usize {
    let mut at = start;
    while at < end {
        match token(tokens, at) {
            Some(Token::ParenOpen | Token::BracketOpen | Token::BraceOpen) => {
                at = close(tokens, at, end);
            }
            // `is not odd` belongs to the side.
            Some(Token::Ident("is")) => {
                at += usize::from(matches!(token(tokens, at + 1), Some(Token::Ident("not"))));
            }
            Some(
                Token::Eq
                | Token::Ne
                | Token::Lt
                | Token::Lte
                | Token::Gt
                | Token::Gte
                | Token::Comma
                | Token::Colon
                | Token::Assign
                | Token::Ident("and" | "or" | "not" | "in" | "if" | "else" | "recursive"),
            ) => return at,
            _ => {}
        }
        at += 1;
    }
    end
}

/// Where the bracket that opens at `open` is closed, before `end`.
pub(super) fn close(tokens: &[(Token<'_>, Span)], open: usize, end: usize) -> usize {
    let mut depth = 0_usize;
    for at in open..end {
        match token(tokens, at) {
            Some(Token::ParenOpen | Token::BracketOpen | Token::BraceOpen) => depth += 1,
            Some(Token::ParenClose | Token::BracketClose | Token::BraceClose) => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    end
}
