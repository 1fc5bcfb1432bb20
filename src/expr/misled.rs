//! Conditions that compile and are surely not what was meant: a text that stands for a whole comparison.

use std::ops::Range;

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// A part of a condition that says something else than it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MisleadingPart {
    /// Where it is in the text, in bytes.
    pub range: Range<usize>,
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// What misleads in the condition `text`, in its order. None where it has no tokens.
pub fn misleading_parts(text: &str) -> Vec<MisleadingPart> {
    let tokens = tokenize(text, true, SyntaxConfig::default());
    let Ok(tokens) = tokens.collect::<Result<Vec<_>, _>>() else { return Vec::new() };
    let condition = Condition { text, tokens: &tokens };
    (0..tokens.len()).filter_map(|at| condition.misled_at(at)).collect()
}

struct Condition<'t> {
    text: &'t str,
    tokens: &'t [(Token<'t>, Span)],
}

impl Condition<'_> {
    fn token(&self, at: Option<usize>) -> Option<&Token<'_>> {
        self.tokens.get(at?).map(|(token, _)| token)
    }

    fn range(&self, first: usize, last: usize) -> Range<usize> {
        let offset = |number: u32| usize::try_from(number).unwrap_or_default();
        let start = self.tokens.get(first).map_or(0, |(_, span)| offset(span.start_offset));
        let end = self.tokens.get(last).map_or(0, |(_, span)| offset(span.end_offset));
        start..end.max(start)
    }

    fn words(&self, first: usize, last: usize) -> &str {
        self.text.get(self.range(first, last)).unwrap_or_default()
    }

    fn misled_at(&self, at: usize) -> Option<MisleadingPart> {
        self.text_alone(at)
            .or_else(|| self.list(at))
            .or_else(|| self.constants(at))
            .or_else(|| self.property(at))
    }

    /// A comparison of two values that are both written out.
    fn constants(&self, at: usize) -> Option<MisleadingPart> {
        let is_comparison = matches!(
            self.token(Some(at))?,
            Token::Eq | Token::Ne | Token::Lt | Token::Lte | Token::Gt | Token::Gte
        );
        let is_constant = |at: usize| match self.token(Some(at)) {
            Some(Token::Ident(name)) => ["true", "false", "none"].contains(name),
            Some(token) => matches!(
                token,
                Token::Str(_)
                    | Token::String(_)
                    | Token::Int(_)
                    | Token::Int128(_)
                    | Token::Float(_)
            ),
            None => false,
        };
        let (first, last) = (at.checked_sub(1)?, at + 1);
        let before = self.token(first.checked_sub(1));
        let starts = first == 0
            || matches!(before, Some(Token::ParenOpen | Token::Ident("and" | "or" | "not" | "if")));
        let ends = matches!(
            self.token(Some(last + 1)),
            None | Some(Token::ParenClose | Token::Ident("and" | "or" | "else"))
        );
        let is_whole = starts && ends && is_constant(first) && is_constant(last);
        (is_comparison && is_whole).then(|| MisleadingPart {
            range: self.range(first, last),
            message: "both sides are written here: this is the same for every event".to_owned(),
            help: format!("compare a field, as in `data.status {}`", self.words(at, last)),
        })
    }

    /// A word of another language for a length or a text's letters, which is taken for a field:
    /// `data.list.length`, `data.name.lower == "x"`.
    fn property(&self, at: usize) -> Option<MisleadingPart> {
        let Some(Token::Ident(word)) = self.token(Some(at)) else { return None };
        let word = *word;
        let (dot, owner) = (at.checked_sub(1)?, at.checked_sub(2)?);
        let (Some(Token::Dot), Some(Token::Ident(owner_name))) =
            (self.token(Some(dot)), self.token(Some(owner)))
        else {
            return None;
        };
        // A field of the body's root may be called anything.
        if ["payload", "data", "event"].contains(owner_name) {
            return None;
        }
        let behind = |n: usize| self.token(Some(at + n));
        if matches!(behind(1), Some(Token::Dot | Token::ParenOpen | Token::BracketOpen)) {
            return None;
        }
        let is_with_text = matches!(behind(1), Some(Token::Eq | Token::Ne))
            && matches!(behind(2), Some(Token::Str(_) | Token::String(_)))
            || matches!(behind(1), Some(Token::Ident("in")));
        let filter = match word {
            // A parcel and a file have one as well.
            "length" | "size" if is_many(owner_name) => "length",
            "lower" | "upper" if is_with_text => word,
            "strip" | "trim" if is_with_text => "trim",
            _ => return None,
        };
        let is_of_path = |at: &usize| match self.token(Some(*at)) {
            Some(Token::Ident(name)) => {
                !["and", "or", "not", "in", "is", "if", "else"].contains(name)
            }
            token => matches!(token, Some(Token::Dot)),
        };
        let first = (0..=owner).rev().take_while(is_of_path).last()?;
        Some(MisleadingPart {
            range: self.range(first, at),
            message: format!("`.{word}` is a field of the body here"),
            help: format!("write `{} | {filter}`", self.words(first, owner)),
        })
    }

    /// A text that is all of the condition, or a side of `and` or `or`: it is always true.
    fn text_alone(&self, at: usize) -> Option<MisleadingPart> {
        let Some(Token::Str(_) | Token::String(_)) = self.token(Some(at)) else { return None };
        let (before, behind) = (at.checked_sub(1), at + 1);
        let joins =
            |token: Option<&Token<'_>>| matches!(token, Some(Token::Ident("and" | "or" | "not")));
        let opens = before.is_none() || matches!(self.token(before), Some(Token::ParenOpen));
        let is_call = opens && before.is_some_and(|before| {
            matches!(self.token(before.checked_sub(1)), Some(Token::Ident(name)) if !["and", "or", "not", "in"].contains(name))
        });
        // `(data.a or "x") == "x"`: a value in place of a missing one, which something is done with.
        let is_close = |at: &usize| matches!(self.token(Some(*at)), Some(Token::ParenClose));
        let outside = (behind..self.tokens.len()).take_while(is_close).count() + behind;
        let is_left = outside > behind && !joins(self.token(Some(outside)));
        if is_left && outside < self.tokens.len() {
            return None;
        }
        let closes = outside > behind || behind >= self.tokens.len();
        let starts = opens || joins(self.token(before));
        let ends = closes || joins(self.token(Some(behind)));
        let is_whole = self.tokens.len() == 1;
        let is_side = joins(self.token(before)) || joins(self.token(Some(behind)));
        if is_call || !(starts && ends) || !(is_whole || is_side) {
            return None;
        }
        let literal = self.words(at, at);
        let help = match before.and_then(|join| self.compared(join)) {
            Some((field, first, "==")) => format!("write `{field} in [{first}, {literal}]`"),
            Some((field, first, _)) => format!("write `{field} not in [{first}, {literal}]`"),
            None => format!("compare it with a field, as in `data.status == {literal}`"),
        };
        let message = format!("{literal} by itself is no comparison: it is true for every event");
        Some(MisleadingPart { range: self.range(at, at), message, help })
    }

    /// The comparison with a text that ends before the `or` at `join`: field, text and operator.
    fn compared(&self, join: usize) -> Option<(&str, &str, &'static str)> {
        let literal = join.checked_sub(1)?;
        let Some(Token::Str(_) | Token::String(_)) = self.token(Some(literal)) else { return None };
        let operator = literal.checked_sub(1)?;
        let sign = match self.token(Some(operator))? {
            Token::Eq => "==",
            Token::Ne => "!=",
            // One more of `a == "x" or "y" or "z"`.
            Token::Ident("or") => return self.compared(operator),
            _ => return None,
        };
        let last = operator.checked_sub(1)?;
        let is_of_field = |at: &usize| {
            matches!(self.token(Some(*at)), Some(Token::Ident(name)) if !["and", "or", "not"].contains(name))
                || matches!(self.token(Some(*at)), Some(Token::Dot))
        };
        let first = (0..=last).rev().take_while(is_of_field).last()?;
        Some((self.words(first, last), self.words(literal, literal), sign))
    }

    /// A comparison of a value with a list of texts: it is none of them, but one that is meant.
    fn list(&self, at: usize) -> Option<MisleadingPart> {
        let operator = match self.token(Some(at))? {
            Token::Eq => "in",
            Token::Ne => "not in",
            _ => return None,
        };
        let Some(Token::BracketOpen) = self.token(Some(at + 1)) else { return None };
        let Some(Token::Str(_) | Token::String(_)) = self.token(Some(at + 2)) else { return None };
        let is_end = |at: &usize| matches!(self.token(Some(*at)), Some(Token::BracketClose));
        let end = (at + 2..self.tokens.len()).find(is_end)?;
        let list = self.words(at + 1, end);
        Some(MisleadingPart {
            range: self.range(at, end),
            message: "a field that is a text equals no list".to_owned(),
            help: format!("write `{operator} {list}`: whether it is one of them"),
        })
    }
}

/// Whether what has this name is a list or a text rather than one thing with a length or a size.
fn is_many(name: &str) -> bool {
    name.ends_with('s') && !["address", "class", "dimensions", "stats", "status"].contains(&name)
        || ["array", "body", "list", "message", "name", "text", "title"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_stand_for_a_comparison_are_found() {
        for (text, part, help) in [
            (
                r#"data.status == "spam" or "deleted""#,
                r#""deleted""#,
                r#"write `data.status in ["spam", "deleted"]`"#,
            ),
            (
                r#"data.status != "spam" and "deleted""#,
                r#""deleted""#,
                r#"write `data.status not in ["spam", "deleted"]`"#,
            ),
            (
                r#""published""#,
                r#""published""#,
                r#"compare it with a field, as in `data.status == "published"`"#,
            ),
            (
                r#"("a" or data.b)"#,
                r#""a""#,
                r#"compare it with a field, as in `data.status == "a"`"#,
            ),
            (
                r#"data.status == ["a", "b"]"#,
                r#"== ["a", "b"]"#,
                r#"write `in ["a", "b"]`: whether it is one of them"#,
            ),
            (r#""5" == 5"#, r#""5" == 5"#, "compare a field, as in `data.status == 5`"),
            ("not data.list.length > 0", "data.list.length", "write `data.list | length`"),
            (
                "payload.commits.size > 0",
                "payload.commits.size",
                "write `payload.commits | length`",
            ),
            ("1 == 2 - data.a or data.b.upper == 'X'", "data.b.upper", "write `data.b | upper`"),
            ("data.a and (1 < 2 or data.b)", "1 < 2", "compare a field, as in `data.status < 2`"),
        ] {
            let [found] = &misleading_parts(text)[..] else { panic!("{text}") };
            assert_eq!((text.get(found.range.clone()), found.help.as_str()), (Some(part), help));
        }
    }

    #[test]
    fn conditions_that_say_what_they_mean_are_left_alone() {
        for text in [
            r#"data.status == "spam" or data.status == "deleted""#,
            r#"data.status in ["spam", "deleted"] and not data.x"#,
            r#"data.body | contains("x")"#,
            r#"(data.a or "x") == "x""#,
            r#"data.name.startswith("a") or data.b"#,
            r#""a" in data.tags or data.b"#,
            "data.tags == [1, 2]",
            "data.n + 1 == 5 and 5 == data.n and (1 == 2 | int) == data.b",
            "data.a == data.b",
            "data.file.size > 10 and data.range.lower > 3 and data.length == 1",
            "data.issue.title == 'Release' and data.parcel.length > 10 and data.stats.count > 3",
            "data.b.upper() == 'X' and data.list.length.max > 1 and data.list | length > 2",
        ] {
            assert_eq!(misleading_parts(text), [], "{text}");
        }
    }
}
