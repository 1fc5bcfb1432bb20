//! What the terms of a text stand for, and the tokens that they end with.

use std::ops::Range;

use minijinja::machinery::{Span, Token};

use super::Part;

/// What a term is of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownTerm {
    pub(super) path: Vec<Part>,
    pub(super) shape: TermShape,
}

/// How a value is made of what is at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TermShape {
    Itself,
    /// A list of which each item is one of what the path leads to.
    Items,
    /// A list of the names and values of the map there.
    Pairs,
}

impl KnownTerm {
    pub(super) fn new(path: Vec<Part>) -> Self {
        Self { path, shape: TermShape::Itself }
    }

    /// An item of the list that it is.
    pub(super) fn item(mut self) -> Option<Self> {
        match self.shape {
            TermShape::Itself => self.path.push(Part::Item),
            TermShape::Items => self.shape = TermShape::Itself,
            TermShape::Pairs => return None,
        }
        Some(self)
    }

    /// A value of the map that it is a list of the pairs of.
    pub(super) fn value_of_pair(mut self) -> Option<Self> {
        (self.shape == TermShape::Pairs).then(|| {
            self.path.push(Part::Entry);
            Self::new(self.path)
        })
    }

    /// The names and values of the map that it is.
    pub(super) fn pairs(self) -> Option<Self> {
        (self.shape == TermShape::Itself).then_some(Self { shape: TermShape::Pairs, ..self })
    }

    /// The values of the map that it is.
    pub(super) fn values(mut self) -> Option<Self> {
        (self.shape == TermShape::Itself).then(|| {
            self.path.push(Part::Entry);
            Self { shape: TermShape::Items, ..self }
        })
    }

    /// A field or an item of it.
    pub(super) fn part(mut self, part: Part) -> Option<Self> {
        match (self.shape, &part) {
            (TermShape::Itself, _) => {
                self.path.push(part);
                Some(self)
            }
            (TermShape::Items, Part::Item) => self.item(),
            _ => None,
        }
    }

    /// As many of one event: `events[0].data.x` is `data.x` of one of them.
    pub(super) fn of_event(self) -> Option<Self> {
        let Self { path, shape } = self;
        let path = match path.first() {
            Some(Part::Name(name)) if name == "events" => match path.get(1) {
                Some(Part::Item) => Some(path.into_iter().skip(2).collect()),
                _ => Some(path).filter(|path| path.len() == 1),
            },
            _ => Some(path),
        };
        path.map(|path| Self { path, shape })
    }
}

/// The tokens of a text.
#[derive(Clone, Copy)]
pub(super) struct TextTokens<'t>(pub(super) &'t [(Token<'t>, Span)]);

impl<'t> TextTokens<'t> {
    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    pub(super) fn at(self, at: usize) -> Option<&'t Token<'t>> {
        self.0.get(at).map(|(token, _)| token)
    }

    pub(super) fn before(self, at: usize) -> Option<&'t Token<'t>> {
        at.checked_sub(1).and_then(|at| self.at(at))
    }

    pub(super) fn name(self, at: usize) -> Option<&'t str> {
        match self.at(at) {
            Some(Token::Ident(name)) => Some(name),
            _ => None,
        }
    }

    pub(super) fn text(self, at: usize) -> Option<&'t str> {
        match self.at(at) {
            Some(Token::Str(text)) => Some(text),
            Some(Token::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Where the token is in the text, in bytes.
    pub(super) fn range(self, at: usize) -> Range<usize> {
        let offset = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        let span = self.0.get(at).map(|(_, span)| span);
        span.map_or(0..0, |span| offset(span.start_offset)..offset(span.end_offset))
    }

    pub(super) fn is_paren(self, at: usize) -> bool {
        matches!(self.at(at), Some(Token::ParenOpen))
    }

    /// Whether a name or a group begins there.
    pub(super) fn begins_term(self, at: usize) -> bool {
        self.name(at).is_some() || self.is_paren(at)
    }

    /// What of `base` a place is that is no plain one: some of its items, or one from the end.
    pub(super) fn subscript(self, inside: Range<usize>, base: KnownTerm) -> Option<KnownTerm> {
        let is_colon = |at| matches!(self.at(at), Some(Token::Colon));
        if inside.clone().any(is_colon) {
            return Some(base);
        }
        let is_from_end = matches!(self.at(inside.start), Some(Token::Minus))
            && matches!(self.at(inside.start + 1), Some(Token::Int(_)))
            && inside.len() == 2;
        if is_from_end { base.item() } else { None }
    }

    /// The end of the code that begins at `at`.
    pub(super) fn end_of_code(self, at: usize) -> usize {
        let is_end =
            |at: &usize| matches!(self.at(*at), None | Some(Token::BlockEnd | Token::VariableEnd));
        (at..self.len()).find(is_end).unwrap_or(self.len())
    }

    /// What stands between the bracket at `open` and the one that closes it.
    pub(super) fn inside(self, open: usize) -> Range<usize> {
        let mut depth = 0_usize;
        for at in open..self.len() {
            match self.at(at) {
                Some(Token::ParenOpen | Token::BracketOpen | Token::BraceOpen) => depth += 1,
                Some(Token::ParenClose | Token::BracketClose | Token::BraceClose) => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return open + 1..at;
            }
        }
        (open + 1).min(self.len())..self.len()
    }

    /// The parts between the commas of a range.
    pub(super) fn split(self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let (mut start, mut depth) = (range.start, 0_usize);
        for at in range.clone() {
            match self.at(at) {
                Some(Token::ParenOpen | Token::BracketOpen | Token::BraceOpen) => depth += 1,
                Some(Token::ParenClose | Token::BracketClose | Token::BraceClose) => {
                    depth = depth.saturating_sub(1);
                }
                Some(Token::Comma) if depth == 0 => {
                    parts.push(start..at);
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push(start..range.end);
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// Whether the text asks if the term from `at` to `behind` is there, or has another value in its place.
    pub(super) fn is_asked_for(self, at: usize, behind: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.name(at));
        let is_asked = matches!(before, Some("if" | "elif" | "and" | "or" | "not" | "else"));
        let has_other = match self.at(behind) {
            Some(Token::Ident("or" | "and" | "is" | "if")) => true,
            Some(Token::Pipe) => matches!(self.name(behind + 1), Some("default" | "d")),
            _ => false,
        };
        is_asked || has_other
    }

    /// Whether the term that ends at `behind` is compared with a value, perhaps behind filters: that is wrong
    /// for ever where there is no such field. `none` is what a missing one equals, and `!=` and `not in` are
    /// true of it.
    pub(super) fn is_compared(self, mut behind: usize) -> bool {
        while matches!(self.at(behind), Some(Token::Pipe)) {
            if matches!(self.name(behind + 1), Some("default" | "d")) {
                return false;
            }
            let is_called = self.is_paren(behind + 2);
            behind = if is_called { self.inside(behind + 2).end + 1 } else { behind + 2 };
        }
        let is_none = matches!(self.name(behind + 1), Some("none" | "None"));
        match self.at(behind) {
            Some(Token::Eq | Token::Gt | Token::Gte | Token::Lt | Token::Lte) => !is_none,
            Some(Token::Ident("in")) => true,
            _ => false,
        }
    }

    /// Whether no name of a value is within.
    pub(super) fn is_literal(self, range: Range<usize>) -> bool {
        let is_word =
            |name: &str| matches!(name, "true" | "True" | "false" | "False" | "none" | "None");
        range.into_iter().all(|at| self.name(at).is_none_or(is_word))
    }
}
