//! The words of a statement, as each engine reads them: a value may stand where code is, never within
//! what is quoted.
//!
//! What is read wrongly here can make a statement fail, and nothing worse: in place of a value there is
//! only ever a placeholder in the SQL.

use std::ops::Range;

use crate::expr::{ExprError, Expression, placeholder};
use crate::handler::sql::engine::Engine;

/// A word of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SqlToken {
    /// A keyword, a name or a number.
    Word(String),
    /// A name in quotation marks.
    Name(String),
    /// A quoted text.
    Text,
    /// A `{{ … }}`.
    Value,
    Sign(char),
}

/// A statement in parts.
#[derive(Debug, Default)]
pub(super) struct SqlParts {
    /// Each with its place.
    pub(super) tokens: Vec<(SqlToken, Range<usize>)>,
    /// The expression in each `{{ … }}`.
    pub(super) expressions: Vec<Range<usize>>,
}

/// What is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoted {
    Text,
    Name,
    Comment,
}

pub(super) fn scan(text: &str, engine: Engine) -> Result<SqlParts, ExprError> {
    let mut scanner = Scanner { text, engine, at: 0, parts: SqlParts::default() };
    while let Some(first) = scanner.rest().chars().next() {
        let length = scanner.part(first)?;
        scanner.at += length;
    }
    Ok(scanner.parts)
}

/// A mistake in a statement, at a place.
pub(super) fn slip(range: Range<usize>, message: impl Into<String>, help: &str) -> ExprError {
    ExprError { message: message.into(), help: help.to_owned(), range: Some(range), line: None }
}

struct Scanner<'a> {
    text: &'a str,
    engine: Engine,
    at: usize,
    parts: SqlParts,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes in what begins with `first`, and says how long it is.
    fn part(&mut self, first: char) -> Result<usize, ExprError> {
        let rest = self.rest();
        if let Some((quoted, length)) = self.quoted(first) {
            return self.take_quoted(quoted, length);
        }
        if rest.starts_with("{{") {
            return self.take_value();
        }
        if let Some(opening) = ["{%", "{#"].iter().find(|opening| rest.starts_with(**opening)) {
            return Err(self.no_template(self.at..self.at + opening.len()));
        }
        if first.is_whitespace() {
            return Ok(first.len_utf8());
        }
        if is_of_word(first) {
            let word = rest.split(|c: char| !is_of_word(c) && c != '$').next().unwrap_or_default();
            self.push(SqlToken::Word(word.to_owned()), word.len());
            return Ok(word.len());
        }
        self.refuse_parameter(first)?;
        self.push(SqlToken::Sign(first), first.len_utf8());
        Ok(first.len_utf8())
    }

    fn push(&mut self, token: SqlToken, length: usize) {
        self.parts.tokens.push((token, self.at..self.at + length));
    }

    /// What is quoted here, and how long it is; `None` in it = it is never closed.
    fn quoted(&self, first: char) -> Option<(Quoted, Option<usize>)> {
        let (rest, engine) = (self.rest(), self.engine);
        let is_mysql = engine == Engine::MySql;
        let line = || Some(rest.find('\n').unwrap_or(rest.len()));
        match first {
            '-' if rest.starts_with("--") => Some((Quoted::Comment, line())),
            '#' if is_mysql => Some((Quoted::Comment, line())),
            '/' if rest.starts_with("/*") => {
                Some((Quoted::Comment, comment_end(rest, engine == Engine::Postgres)))
            }
            '\'' => {
                // `E'…'` of PostgreSQL.
                let before = self.parts.tokens.last();
                let is_escaped = before.is_some_and(|(token, place)| {
                    let is_e =
                        matches!(token, SqlToken::Word(word) if word.eq_ignore_ascii_case("e"));
                    is_e && place.end == self.at && engine == Engine::Postgres
                });
                Some((Quoted::Text, closing(rest, '\'', is_mysql || is_escaped)))
            }
            '"' if is_mysql => Some((Quoted::Text, closing(rest, '"', true))),
            '"' => Some((Quoted::Name, closing(rest, '"', false))),
            '`' if engine != Engine::Postgres => Some((Quoted::Name, closing(rest, '`', false))),
            '[' if engine == Engine::Sqlite => {
                Some((Quoted::Name, rest.find(']').map(|end| end + 1)))
            }
            '$' if engine == Engine::Postgres => {
                let tag = dollar_tag(rest)?;
                let end = rest.get(tag.len()..)?.find(tag).map(|end| end + 2 * tag.len());
                Some((Quoted::Text, end))
            }
            _ => None,
        }
    }

    fn take_quoted(&mut self, quoted: Quoted, length: Option<usize>) -> Result<usize, ExprError> {
        let Some(length) = length else {
            let what = if quoted == Quoted::Comment { "comment" } else { "quotation mark" };
            let message = format!("the {what} that begins here is never closed");
            return Err(slip(self.at..self.at + 1, message, "close it"));
        };
        let inside = self.rest().get(..length).unwrap_or_default();
        self.refuse_values(quoted, inside)?;
        match quoted {
            Quoted::Text => self.push(SqlToken::Text, length),
            Quoted::Name => {
                let marks = ['"', '`', '[', ']'];
                let name = inside.trim_matches(marks).replace("\"\"", "\"").replace("``", "`");
                self.push(SqlToken::Name(name), length);
            }
            Quoted::Comment => {}
        }
        Ok(length)
    }

    /// Within quotation marks a placeholder is a text like any other.
    fn refuse_values(&self, quoted: Quoted, inside: &str) -> Result<(), ExprError> {
        if let Some(start) = inside.find("{%")
            && inside.get(start..).is_some_and(|rest| rest.contains("%}"))
        {
            return Err(self.no_template(self.at + start..self.at + start + 2));
        }
        let Some(start) = inside.find("{{") else { return Ok(()) };
        let Some((inner, length)) = inside.get(start..).and_then(placeholder) else {
            return Ok(());
        };
        let written = inside.get(start + inner.start..start + inner.end).unwrap_or_default();
        // `'{{1,2}}'` and `'{{1,2},{3,4}}'` are arrays of PostgreSQL: they ask nothing of an event.
        let asks_nothing = |compiled: Expression| compiled.fields().is_empty();
        if Expression::compile(written.trim()).map_or(written.contains("},"), asks_nothing) {
            return Ok(());
        }
        let value = inside.get(start..start + length).unwrap_or_default();
        let (message, help) = match quoted {
            Quoted::Text => (
                format!("`{value}` stands in quotation marks, where it is no value"),
                format!("write {}", as_one_value(inside)),
            ),
            Quoted::Name => (
                format!("`{value}` stands for a name, and only values come out of an event"),
                "write the name of the table or column itself".to_owned(),
            ),
            Quoted::Comment => (
                format!("`{value}` stands in a comment, where it is no value"),
                "take it out of the comment, or the comment out".to_owned(),
            ),
        };
        Err(slip(self.at + start..self.at + start + length, message, &help))
    }

    fn take_value(&mut self) -> Result<usize, ExprError> {
        let Some((inner, length)) = placeholder(self.rest()) else {
            let help = "write `}}` behind the expression";
            return Err(slip(self.at..self.at + 2, "this `{{` is not closed", help));
        };
        self.parts.expressions.push(self.at + inner.start..self.at + inner.end);
        self.push(SqlToken::Value, length);
        Ok(length)
    }

    /// A placeholder of the engine's own: nothing is bound to it.
    fn refuse_parameter(&self, first: char) -> Result<(), ExprError> {
        let next = self.rest().chars().nth(1);
        let is_name = next.is_some_and(|next| next.is_alphabetic() || next == '_');
        let is_parameter = match (self.engine, first) {
            (Engine::Sqlite | Engine::MySql, '?') => true,
            (Engine::Sqlite, ':' | '@' | '$') => is_name,
            (Engine::Postgres, '$') => next.is_some_and(|next| next.is_ascii_digit()),
            _ => false,
        };
        if !is_parameter {
            return Ok(());
        }
        let end = self.at + first.len_utf8();
        let message = format!("`{first}` stands for a value here, and none is put in for it");
        Err(slip(self.at..end, message, "write `{{ data.id }}` in its place"))
    }

    #[expect(clippy::unused_self, reason = "beside the others that refuse")]
    fn no_template(&self, range: Range<usize>) -> ExprError {
        let help = "write `{{ a if condition else b }}` for a value, or a handler of its own with \
                    `when` for a statement that only some events need";
        slip(range, "a statement is no template: only `{{ }}` is read in it", help)
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the quotation that begins here ends, with its mark. Two marks are one within it.
fn closing(rest: &str, mark: char, has_escapes: bool) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if has_escapes && c == '\\' {
            chars.next();
        } else if c == mark && chars.next_if(|(_, next)| *next == mark).is_none() {
            return Some(at + c.len_utf8());
        }
    }
    None
}

fn comment_end(rest: &str, nests: bool) -> Option<usize> {
    let (mut at, mut depth) = (2, 1_usize);
    while depth > 0 {
        let inside = rest.get(at..)?;
        let end = inside.find("*/")?;
        match inside.find("/*") {
            Some(start) if nests && start < end => (at, depth) = (at + start + 2, depth + 1),
            _ => (at, depth) = (at + end + 2, depth - 1),
        }
    }
    Some(at)
}

/// `$$` or `$tag$`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let length = rest.get(1..)?.find(|c: char| !is_of_word(c))?;
    let tag = rest.get(..length + 2).filter(|tag| tag.ends_with('$'))?;
    (!tag.chars().nth(1)?.is_ascii_digit()).then_some(tag)
}

/// A quoted text with placeholders in it as one value.
fn as_one_value(quoted: &str) -> String {
    let mut rest = quoted.trim_matches(['\'', '"']);
    let mut parts = Vec::new();
    while let Some(start) = rest.find("{{") {
        let (before, behind) = rest.split_at(start);
        let Some((inner, length)) = placeholder(behind) else { break };
        if !before.is_empty() {
            parts.push(format!("{before:?}"));
        }
        parts.push(behind.get(inner).unwrap_or_default().trim().to_owned());
        rest = behind.get(length..).unwrap_or_default();
    }
    if !rest.is_empty() {
        parts.push(format!("{rest:?}"));
    }
    match parts.as_slice() {
        [one] => format!("`{{{{ {one} }}}}` without the quotation marks: it is bound as a value"),
        parts => format!("the whole text as one value: `{{{{ {} }}}}`", parts.join(" ~ ")),
    }
}
