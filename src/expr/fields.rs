//! Which fields of an event a text asks for, found in its tokens: to compare them with a sample.
//!
//! A name that the text gives to something else (`{% for c in data.comments %}`) stands for what it
//! was given; one that is given to what cannot be followed (a call, a filter) stands for nothing.

use std::collections::HashMap;
use std::ops::Range;

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// A field of an event that a text asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As in `data`, `comment`, `body`; the first is `event`, `payload` or `data`.
    pub path: Vec<Part>,
    /// Where it is in the text, in bytes.
    pub range: Range<usize>,
    /// How much of the path a name of the text's own stands for: that is asked for where the name was
    /// given.
    pub n_given: usize,
    /// Whether the text itself counts with its absence: `x | default("y")`, `x or y`, `if x`.
    pub may_be_missing: bool,
}

impl Field {
    /// Its path with dots; `None` where that leads through a list.
    pub fn dotted(&self) -> Option<String> {
        let names = self.path.iter().map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Item => None,
        });
        Some(names.collect::<Option<Vec<_>>>()?.join("."))
    }
}

/// One step to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A field of a map.
    Name(String),
    /// Any item of a list.
    Item,
}

/// The fields that a template, or an expression, asks for, in the order of the text. None where it
/// has no tokens.
pub(super) fn find(text: &str, is_expression: bool) -> Vec<Field> {
    let tokens = tokenize(text, is_expression, SyntaxConfig::default());
    let Ok(tokens) = tokens.collect::<Result<Vec<_>, _>>() else { return Vec::new() };
    Finder { tokens: &tokens, given: HashMap::new(), found: Vec::new() }.run(is_expression)
}

struct Finder<'t> {
    tokens: &'t [(Token<'t>, Span)],
    /// What the text's own names stand for.
    given: HashMap<&'t str, Option<Vec<Part>>>,
    found: Vec<Field>,
}

impl<'t> Finder<'t> {
    fn run(mut self, is_expression: bool) -> Vec<Field> {
        let mut is_code = is_expression;
        let mut at = 0;
        while at < self.tokens.len() {
            match self.token(at) {
                Some(Token::VariableStart) => is_code = true,
                Some(Token::BlockStart) => {
                    is_code = true;
                    at = self.block(at + 1);
                    continue;
                }
                Some(Token::VariableEnd | Token::BlockEnd) => is_code = is_expression,
                Some(Token::Ident(_)) if is_code => {
                    at = self.chain(at).0;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        self.found
    }

    fn token(&self, at: usize) -> Option<&'t Token<'t>> {
        self.tokens.get(at).map(|(token, _)| token)
    }

    fn name(&self, at: usize) -> Option<&'t str> {
        match self.token(at) {
            Some(Token::Ident(name)) => Some(name),
            _ => None,
        }
    }

    /// The beginning of a block that gives a name to something; gives the place to go on at.
    fn block(&mut self, at: usize) -> usize {
        let (Some(keyword), Some(target)) = (self.name(at), self.name(at + 1)) else { return at };
        let is_loop = keyword == "for" && self.name(at + 2) == Some("in");
        let is_set = keyword == "set" && matches!(self.token(at + 2), Some(Token::Assign));
        if !is_loop && !is_set {
            // `for key, value in …`, `macro f(x)`: names that stand for nothing known.
            if matches!(keyword, "for" | "macro" | "with" | "set" | "call") {
                let named = (at + 1..self.tokens.len())
                    .take_while(|at| {
                        !matches!(self.token(*at), Some(Token::BlockEnd | Token::Ident("in")))
                    })
                    .filter_map(|at| self.name(at));
                let named: Vec<&str> = named.collect();
                self.given.extend(named.into_iter().map(|name| (name, None)));
            }
            return at + 1;
        }
        let (behind, path) = self.chain(at + 3);
        let is_all = matches!(self.token(behind), Some(Token::BlockEnd));
        let path = path.filter(|_| is_all).map(|mut path| {
            path.extend(is_loop.then_some(Part::Item));
            path
        });
        self.given.insert(target, path);
        behind
    }

    /// A name with the fields behind it. Gives the place behind it, and its path where it is one of
    /// an event.
    fn chain(&mut self, at: usize) -> (usize, Option<Vec<Part>>) {
        let is_own = at == 0
            || !matches!(self.token(at - 1), Some(Token::Dot | Token::Pipe | Token::Ident("is")));
        let is_argument = matches!(self.token(at + 1), Some(Token::Assign));
        let Some(name) = self.name(at).filter(|_| is_own && !is_argument) else {
            return (at + 1, None);
        };
        let root = match self.given.get(name) {
            Some(given) => given.clone(),
            None => matches!(name, "event" | "payload" | "data" | "events")
                .then(|| vec![Part::Name(name.to_owned())]),
        };
        let is_given = self.given.contains_key(name);
        let mut path = root.unwrap_or_default();
        let n_given = of_event(path.clone()).map_or(0, |path| path.len() * usize::from(is_given));
        let is_known = !path.is_empty();
        let mut behind = at + 1;
        while let Some((part, next)) = self.part(behind) {
            // A method: its result is no field.
            if matches!(self.token(next), Some(Token::ParenOpen)) {
                break;
            }
            path.push(part);
            behind = next;
        }
        if !is_known {
            return (behind, None);
        }
        let is_called = matches!(self.token(behind), Some(Token::Dot));
        let path = of_event(path);
        if let Some(path) = path.clone().filter(|path| path.len() > 1) {
            let range = self.range(at).start..self.range(behind - 1).end;
            let may_be_missing = self.may_be_missing(at, behind);
            self.found.push(Field { path, range, n_given, may_be_missing });
        }
        (behind, path.filter(|_| !is_called))
    }

    /// `.name`, `["name"]` or `[0]`, and the place behind it.
    fn part(&self, at: usize) -> Option<(Part, usize)> {
        match (self.token(at)?, self.token(at + 1)?) {
            (Token::Dot, Token::Ident(name)) => Some((Part::Name((*name).to_owned()), at + 2)),
            (Token::BracketOpen, inner) => {
                let part = match inner {
                    Token::Str(name) => Part::Name((*name).to_owned()),
                    Token::String(name) => Part::Name(name.to_string()),
                    Token::Int(_) => Part::Item,
                    _ => return None,
                };
                let is_closed = matches!(self.token(at + 2), Some(Token::BracketClose));
                is_closed.then_some((part, at + 3))
            }
            _ => None,
        }
    }

    fn may_be_missing(&self, at: usize, behind: usize) -> bool {
        let is_asked = at > 0
            && matches!(self.name(at - 1), Some("if" | "elif" | "and" | "or" | "not" | "else"));
        let has_other = match self.token(behind) {
            Some(Token::Ident("or" | "and" | "is" | "if")) => true,
            Some(Token::Pipe) => matches!(self.name(behind + 1), Some("default" | "d")),
            _ => false,
        };
        is_asked || has_other
    }

    fn range(&self, at: usize) -> Range<usize> {
        let offset = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        self.tokens
            .get(at)
            .map_or(0..0, |(_, span)| offset(span.start_offset)..offset(span.end_offset))
    }
}

/// The path within one event: `events[0].data.x` is `data.x` of one of them.
fn of_event(path: Vec<Part>) -> Option<Vec<Part>> {
    match path.first() {
        Some(Part::Name(name)) if name == "events" => match path.get(1) {
            Some(Part::Item) => Some(path.into_iter().skip(2).collect()),
            _ => Some(path).filter(|path| path.len() == 1),
        },
        _ => Some(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields as `a.b[]`, with `?` behind those that may be missing.
    fn fields(text: &str, is_expression: bool) -> Vec<String> {
        let shown = |field: Field| {
            let mut shown = String::new();
            for part in &field.path {
                match part {
                    Part::Name(name) if shown.is_empty() => shown.push_str(name),
                    Part::Name(name) => shown.extend([".", name.as_str()]),
                    Part::Item => shown.push_str("[]"),
                }
            }
            shown + if field.may_be_missing { "?" } else { "" }
        };
        find(text, is_expression).into_iter().map(shown).collect()
    }

    #[test]
    fn fields_of_an_event_are_found_wherever_they_stand() {
        for (text, expected) in [
            ("data.comment.body", &["data.comment.body"][..]),
            ("data[\"a b\"].c[0].d == payload.x", &["data.a b.c[].d", "payload.x"]),
            ("data.title | upper ~ event.id", &["data.title", "event.id"]),
            ("data.name.split(data.by)", &["data.name", "data.by"]),
            ("data.a or data.b", &["data.a?", "data.b?"]),
            ("data.a | default(data.b)", &["data.a?", "data.b"]),
            ("data.a is defined", &["data.a?"]),
            ("data", &[]),
            ("x.data.y | truncate(length=5)", &[]),
        ] {
            assert_eq!(fields(text, true), expected, "{text}");
        }
    }

    #[test]
    fn names_that_a_template_gives_are_followed() {
        for (text, expected) in [
            ("data.x {{ data.y }}", &["data.y"][..]),
            (
                "{% for e in events %}{{ e.data.comment.boddy }}{{ e.event.type }}{% endfor %}",
                &["data.comment.boddy", "event.type"],
            ),
            (
                "{% for c in data.list %}{{ c.name }}{% endfor %}",
                &["data.list", "data.list[].name"],
            ),
            ("{% set c = data.comment %}{{ c.body }}", &["data.comment", "data.comment.body"]),
            ("{% set c = data.list | first %}{{ c.body }}", &["data.list"]),
            ("{% for k, v in data.map.items() %}{{ v.x }}{% endfor %}", &["data.map"]),
            ("{% if data.spam %}{{ data.spam }}{% endif %}", &["data.spam?", "data.spam"]),
            ("{% set data = 1 %}{{ data.x }}", &[]),
        ] {
            assert_eq!(fields(text, false), expected, "{text}");
        }
    }

    #[test]
    fn field_knows_its_place() {
        let text = "by {{ data.user.name | upper }}";
        let [field] = &find(text, false)[..] else { panic!("one field") };
        assert_eq!(text.get(field.range.clone()), Some("data.user.name"));
    }
}
