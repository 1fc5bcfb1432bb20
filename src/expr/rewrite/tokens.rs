//! What is found in the tokens of a text alone.

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use crate::body::number::{Decimal, FLOAT_DIGITS};

fn token<'a, 't>(tokens: &'a [(Token<'t>, Span)], at: usize) -> Option<&'a Token<'t>> {
    tokens.get(at).map(|(token, _)| token)
}

/// Whether it is a fraction of more digits than every float keeps: only as one that keeps its text it equals another.
pub(super) fn is_long_fraction(token: Option<&Token<'_>>) -> bool {
    let n_digits = |number: &f64| number.to_string().bytes().filter(u8::is_ascii_digit).count();
    matches!(token, Some(Token::Float(number)) if n_digits(number) > FLOAT_DIGITS)
}

/// The digits of a fraction whose float is another number: only as one that keeps its text it equals itself.
pub(super) fn kept_literal(token: Option<&Token<'_>>, written: &str) -> Option<String> {
    let Some(Token::Float(number)) = token else { return None };
    let written = written.replace('_', "");
    let own = Decimal::of(&written)?;
    let is_another = Decimal::of(&number.to_string()).is_some_and(|float| float != own);
    is_another.then_some(written)
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
            // The name behind it is no operator, whatever it is.
            Some(Token::Dot | Token::Pipe) => at += 1,
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

/// Whether the point at `dot` calls a method that a text has, too: it has no fields, but those.
pub(super) fn calls_text(tokens: &[(Token<'_>, Span)], dot: usize) -> bool {
    const OF_MAPS: [&str; 4] = ["get", "items", "keys", "values"];
    let is_called = matches!(token(tokens, dot + 2), Some(Token::ParenOpen));
    match token(tokens, dot + 1) {
        Some(Token::Ident(name)) => is_called && !OF_MAPS.contains(name),
        _ => false,
    }
}

/// The arguments of a call, with `none` in place of those that are worked out from an event.
pub(in crate::expr) fn literal_arguments(written: &str) -> Option<String> {
    let tokens = tokenize(written, true, SyntaxConfig::default());
    let tokens = tokens.collect::<Result<Vec<_>, _>>().ok()?;
    let mut literal = String::new();
    let mut at = 0;
    while at < tokens.len() {
        if let (Some(Token::Ident(name)), Some(Token::Assign)) =
            (token(&tokens, at), token(&tokens, at + 1))
        {
            literal.extend([*name, "="]);
            at += 2;
        }
        let end = (at..tokens.len()).find(|&comma| {
            let is_comma = matches!(token(&tokens, comma), Some(Token::Comma));
            is_comma && depth(&tokens, at, comma) == 0
        });
        let end = end.unwrap_or(tokens.len());
        let is_negative = matches!(token(&tokens, at), Some(Token::Minus));
        let constant = at + usize::from(is_negative);
        let is_constant = end == constant + 1
            && matches!(
                token(&tokens, constant),
                Some(
                    Token::Str(_)
                        | Token::String(_)
                        | Token::Int(_)
                        | Token::Float(_)
                        | Token::Ident("true" | "True" | "false" | "False")
                )
            );
        let words = is_constant.then(|| text_of(written, &tokens, at, end)).flatten();
        literal.push_str(words.unwrap_or("none"));
        literal.push(',');
        at = end + 1;
    }
    Some(literal)
}

fn text_of<'a>(
    text: &'a str,
    tokens: &[(Token<'_>, Span)],
    at: usize,
    end: usize,
) -> Option<&'a str> {
    let (first, last) = (tokens.get(at)?, tokens.get(end.checked_sub(1)?)?);
    let start = usize::try_from(first.1.start_offset).ok()?;
    text.get(start..usize::try_from(last.1.end_offset).ok()?)
}

/// How many brackets are open before `end`.
fn depth(tokens: &[(Token<'_>, Span)], start: usize, end: usize) -> usize {
    let count = |wanted: fn(&Token<'_>) -> bool| {
        (start..end).filter(|at| token(tokens, *at).is_some_and(wanted)).count()
    };
    let n_open =
        count(|token| matches!(token, Token::ParenOpen | Token::BracketOpen | Token::BraceOpen));
    let n_closed =
        count(|token| matches!(token, Token::ParenClose | Token::BracketClose | Token::BraceClose));
    n_open.saturating_sub(n_closed)
}

/// Whether a number is written beside the operator at `at`.
pub(super) fn is_beside_number(tokens: &[(Token<'_>, Span)], at: usize) -> bool {
    let token = |at| token(tokens, at);
    let is_number =
        |at: usize| matches!(token(at), Some(Token::Int(_) | Token::Int128(_) | Token::Float(_)));
    let is_minus = matches!(token(at + 1), Some(Token::Minus));
    if is_number(at + 1) || (is_minus && is_number(at + 2)) {
        return true;
    }
    // The place in `a.0 == b` is none.
    let is_place = at > 1 && matches!(token(at - 2), Some(Token::Dot));
    at > 0 && is_number(at - 1) && !is_place
}
