//! Goes through the tokens of a text for the fields that it asks for.

use std::ops::Range;

use minijinja::machinery::{Span, Token};

use super::terms::{KnownTerm, TextTokens};
use super::{Field, Part};
use crate::expr::ROOTS;

/// How often macros are looked at with what they are called with. They may call each other.
const CALLS_MAX: usize = 32;

/// What may stand before a group and calls nothing.
const WORDS: [&str; 8] = ["and", "or", "not", "in", "is", "if", "elif", "else"];

pub(super) struct Finder<'t> {
    pub(super) tokens: TextTokens<'t>,
    /// What the text's own names stand for; the last of a name counts.
    given: Vec<(&'t str, Option<KnownTerm>)>,
    /// How many names there were where each open block began.
    blocks: Vec<usize>,
    macros: Vec<Macro<'t>>,
    n_calls: usize,
    found: Vec<Field>,
}

#[derive(Clone)]
struct Macro<'t> {
    name: &'t str,
    parameters: Vec<&'t str>,
    body: Range<usize>,
}

impl<'t> Finder<'t> {
    pub(super) fn new(tokens: &'t [(Token<'t>, Span)]) -> Self {
        Self {
            tokens: TextTokens(tokens),
            given: Vec::new(),
            blocks: Vec::new(),
            macros: Vec::new(),
            n_calls: 0,
            found: Vec::new(),
        }
    }

    pub(super) fn run(mut self, is_expression: bool) -> Vec<Field> {
        let all = 0..self.tokens.len();
        if is_expression {
            self.code(all);
        } else {
            self.template(all);
        }
        // A macro's body is looked at again for each of its calls.
        let mut found: Vec<Field> = Vec::new();
        self.found.sort_by_key(|field| field.range.start);
        for field in self.found {
            let same = |other: &&Field| other.range.start == field.range.start;
            if !found.iter().rev().take_while(same).any(|other| *other == field) {
                found.push(field);
            }
        }
        found
    }

    fn template(&mut self, range: Range<usize>) {
        let mut at = range.start;
        while at < range.end {
            match self.tokens.at(at) {
                Some(Token::VariableStart) => {
                    let end = self.tokens.end_of_code(at + 1);
                    self.code(at + 1..end);
                    at = end;
                }
                Some(Token::BlockStart) => {
                    let end = self.tokens.end_of_code(at + 1);
                    self.block(at + 1..end);
                    at = end;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn code(&mut self, range: Range<usize>) {
        let mut at = range.start;
        while at < range.end {
            at = if self.tokens.begins_term(at) { self.term(at).0 } else { at + 1 };
        }
    }

    fn block(&mut self, range: Range<usize>) {
        let (start, end) = (range.start + 1, range.end);
        match self.tokens.name(range.start) {
            Some("for") => self.for_loop(start..end),
            Some("with") => {
                self.blocks.push(self.given.len());
                for part in self.tokens.split(start..end) {
                    self.assign(part);
                }
            }
            Some("set") => self.set(start..end),
            Some("macro") => self.macro_start(start..end),
            Some("call") => {
                let names = if self.tokens.is_paren(start) {
                    self.tokens.inside(start)
                } else {
                    start..start
                };
                let behind = if names.is_empty() { start } else { names.end + 1 };
                self.code(behind..end);
                self.blocks.push(self.given.len());
                self.forget(names);
            }
            Some("endfor" | "endwith" | "endmacro" | "endcall") => {
                let n_given = self.blocks.pop().unwrap_or_default();
                self.given.truncate(n_given);
            }
            _ => self.code(range),
        }
    }

    /// The names within stand for nothing known.
    fn forget(&mut self, names: Range<usize>) {
        let names = names.filter_map(|at| self.tokens.name(at));
        self.given.extend(names.map(|name| (name, None)));
    }

    fn for_loop(&mut self, range: Range<usize>) {
        let is_in = |at: &usize| self.tokens.name(*at) == Some("in");
        let Some(place) = range.clone().find(is_in) else { return };
        let names: Vec<&str> = (range.start..place).filter_map(|at| self.tokens.name(at)).collect();
        let is_end = |at: &usize| matches!(self.tokens.name(*at), Some("if" | "recursive"));
        // `a if b else c` has its own `if`; then the condition is code, too.
        let end = (place + 1..range.end).find(is_end).unwrap_or(range.end);
        let has_else = (end..range.end).any(|at| self.tokens.name(at) == Some("else"));
        let known = self.value(place + 1..end).filter(|_| !has_else);
        self.blocks.push(self.given.len());
        match (&names[..], known) {
            ([name], known) => self.given.push((name, known.and_then(KnownTerm::item))),
            ([key, value], known) => {
                self.given.push((key, None));
                self.given.push((value, known.and_then(KnownTerm::value_of_pair)));
            }
            (names, _) => self.given.extend(names.iter().map(|name| (*name, None))),
        }
        self.code(end..range.end);
    }

    /// `name = value`.
    fn assign(&mut self, range: Range<usize>) {
        let is_one = matches!(self.tokens.at(range.start + 1), Some(Token::Assign));
        match self.tokens.name(range.start) {
            Some(name) if is_one => {
                let known = self.value(range.start + 2..range.end);
                self.given.push((name, known));
            }
            _ => self.code(range),
        }
    }

    fn set(&mut self, range: Range<usize>) {
        let is_assign = |at: &usize| matches!(self.tokens.at(*at), Some(Token::Assign));
        let Some(place) = range.clone().find(is_assign) else {
            return self.forget(range.start..range.start + 1);
        };
        let known = self.value(place + 1..range.end);
        let (true, Some(name)) = (place == range.start + 1, self.tokens.name(range.start)) else {
            return self.forget(range.start..place);
        };
        // Set again, perhaps in a branch: then it may be either.
        let first = self.blocks.last().copied().unwrap_or_default();
        let mut own = self.given.get(first..).unwrap_or_default().iter();
        let is_other = own.any(|(other, before)| *other == name && *before != known);
        self.given.push((name, known.filter(|_| !is_other)));
    }

    fn macro_start(&mut self, range: Range<usize>) {
        self.blocks.push(self.given.len());
        let Some(name) = self.tokens.name(range.start) else { return };
        let parts = if self.tokens.is_paren(range.start + 1) {
            self.tokens.split(self.tokens.inside(range.start + 1))
        } else {
            Vec::new()
        };
        let parameters: Vec<&str> =
            parts.iter().filter_map(|part| self.tokens.name(part.start)).collect();
        for part in parts {
            self.code(part.start + 1..part.end);
        }
        self.given.extend(parameters.iter().map(|name| (*name, None)));
        let is_end = |at: &usize| self.tokens.name(*at) == Some("endmacro");
        let end = (range.end..self.tokens.len()).find(is_end).unwrap_or(self.tokens.len());
        // Without the block's own beginning.
        let body = range.end..end.saturating_sub(1).max(range.end);
        self.macros.push(Macro { name, parameters, body });
    }

    /// What all of a range stands for.
    fn value(&mut self, range: Range<usize>) -> Option<KnownTerm> {
        if range.is_empty() || !self.tokens.begins_term(range.start) {
            self.code(range);
            return None;
        }
        let (behind, known) = self.term(range.start);
        let other = behind.min(range.end)..range.end;
        // `x or {}`
        let is_other = self.tokens.name(other.start) == Some("or")
            && self.tokens.is_literal(other.start + 1..other.end);
        let is_all = other.is_empty() || is_other;
        self.code(other);
        known.filter(|_| is_all)
    }

    /// A name or a group with the fields and filters behind it. Gives the place behind it, and what
    /// it stands for.
    fn term(&mut self, at: usize) -> (usize, Option<KnownTerm>) {
        let (mut behind, mut known) = if self.tokens.is_paren(at) {
            let inside = self.tokens.inside(at);
            (inside.end + 1, self.value(inside))
        } else {
            self.chain(at)
        };
        while let Some((next, now)) = self.step(at, behind, known.clone()) {
            (behind, known) = (next, now);
        }
        (behind, known)
    }

    /// What stands at `at` behind a term that began at `start`: a filter, a method, or a field of what
    /// that gives. `None` where the term ends.
    fn step(
        &mut self,
        start: usize,
        at: usize,
        base: Option<KnownTerm>,
    ) -> Option<(usize, Option<KnownTerm>)> {
        let is_called = self.tokens.is_paren(at + 2);
        let is_filter = matches!(self.tokens.at(at), Some(Token::Pipe));
        let is_method = matches!(self.tokens.at(at), Some(Token::Dot)) && is_called;
        let Some(name) = self.tokens.name(at + 1).filter(|_| is_filter || is_method) else {
            return self.fields_behind(start, at, base);
        };
        let arguments = if is_called { self.tokens.inside(at + 2) } else { at + 2..at + 2 };
        let parts = self.tokens.split(arguments.clone());
        let known = base.and_then(|base| {
            if is_method {
                self.method(name, base, &parts)
            } else {
                self.filter(name, base, &parts)
            }
        });
        self.code(arguments.clone());
        Some((if is_called { arguments.end + 1 } else { at + 2 }, known))
    }

    /// The fields and items at `at` of a group, a call or the like.
    fn fields_behind(
        &mut self,
        start: usize,
        at: usize,
        base: Option<KnownTerm>,
    ) -> Option<(usize, Option<KnownTerm>)> {
        let n_given = base.as_ref().map_or(0, |base| base.path.len());
        let (behind, known) = self.parts(at, base);
        if behind > at {
            if let Some(known) = &known {
                let range = self.tokens.range(start).start..self.tokens.range(behind - 1).end;
                self.add(known, range, n_given, self.may_be_missing(known, start, behind));
            }
            return Some((behind, known));
        }
        if !matches!(self.tokens.at(at), Some(Token::BracketOpen)) {
            return None;
        }
        let inside = self.tokens.inside(at);
        let known = known.and_then(|known| self.tokens.subscript(inside.clone(), known));
        self.code(inside.clone());
        Some((inside.end + 1, known))
    }

    /// The fields behind a term, up to a method. Gives the place behind them, and what they stand for.
    fn parts(&self, at: usize, mut known: Option<KnownTerm>) -> (usize, Option<KnownTerm>) {
        let mut behind = at;
        while let Some((part, next)) = self.part(behind) {
            // A method: its result is no field.
            if self.tokens.is_paren(next) {
                break;
            }
            known = known.and_then(|known| known.part(part));
            behind = next;
        }
        (behind, known)
    }

    pub(super) fn add(
        &mut self,
        known: &KnownTerm,
        range: Range<usize>,
        n_given: usize,
        may_be_missing: bool,
    ) {
        let n_before = known.path.len();
        let Some(KnownTerm { path, .. }) = known.clone().of_event() else { return };
        // An item of `events` has three fields; any other is asked for by its name alone.
        let is_root =
            |part: &Part| matches!(part, Part::Name(name) if ROOTS.contains(&name.as_str()));
        let is_of_item = n_before > path.len() && !path.iter().all(is_root);
        if path.len() > 1 || is_of_item {
            let n_given = n_given.saturating_sub(n_before - path.len());
            self.found.push(Field { path, range, n_given, may_be_missing });
        }
    }

    /// A name with the fields behind it. Gives the place behind it, and what it stands for.
    fn chain(&mut self, at: usize) -> (usize, Option<KnownTerm>) {
        let is_own =
            !matches!(self.tokens.before(at), Some(Token::Dot | Token::Pipe | Token::Ident("is")));
        let is_argument = matches!(self.tokens.at(at + 1), Some(Token::Assign));
        let Some(name) = self.tokens.name(at).filter(|_| is_own && !is_argument) else {
            return (at + 1, None);
        };
        let given = self.given.iter().rev().find(|(other, _)| *other == name);
        let root = match given {
            Some((_, known)) => known.clone(),
            None => matches!(name, "event" | "payload" | "data" | "events")
                .then(|| KnownTerm::new(vec![Part::Name(name.to_owned())])),
        };
        if root.is_none() && self.tokens.is_paren(at + 1) && !WORDS.contains(&name) {
            return (self.call(name, self.tokens.inside(at + 1)), None);
        }
        let n_given = root.as_ref().filter(|_| given.is_some()).map_or(0, |known| known.path.len());
        let (behind, known) = self.parts(at + 1, root);
        let Some(known) = known else { return (behind, None) };
        let range = self.tokens.range(at).start..self.tokens.range(behind - 1).end;
        // What the name itself stands for was asked for where it was given.
        if known.path.len() > n_given {
            self.add(&known, range, n_given, self.may_be_missing(&known, at, behind));
        }
        (behind, known.of_event())
    }

    /// The macro `name` with what it is called with. Gives the place behind the call.
    fn call(&mut self, name: &str, arguments: Range<usize>) -> usize {
        let behind = arguments.end + 1;
        let own = self.macros.iter().rev().find(|one| one.name == name).cloned();
        let mut values = Vec::new();
        for (index, part) in self.tokens.split(arguments).into_iter().enumerate() {
            let named = self.tokens.name(part.start);
            let named =
                named.filter(|_| matches!(self.tokens.at(part.start + 1), Some(Token::Assign)));
            let value = self.value(part.start + 2 * usize::from(named.is_some())..part.end);
            let parameter =
                named.or_else(|| own.as_ref().and_then(|own| own.parameters.get(index).copied()));
            values.extend(parameter.map(|parameter| (parameter, value)));
        }
        let Some(own) = own else { return behind };
        if values.iter().all(|(_, value)| value.is_none()) || self.n_calls == CALLS_MAX {
            return behind;
        }
        self.n_calls += 1;
        let n_given = self.given.len();
        self.given.extend(own.parameters.iter().map(|name| (*name, None)));
        self.given.extend(values);
        self.template(own.body);
        self.given.truncate(n_given);
        behind
    }

    /// `.name`, `["name"]` or `[0]`, and the place behind it.
    fn part(&self, at: usize) -> Option<(Part, usize)> {
        match (self.tokens.at(at)?, self.tokens.at(at + 1)?) {
            (Token::Dot, Token::Ident(name)) => Some((Part::Name((*name).to_owned()), at + 2)),
            (Token::Dot, Token::Int(_)) => Some((Part::Item, at + 2)),
            (Token::BracketOpen, inner) => {
                let part = match inner {
                    Token::Str(name) => Part::Name((*name).to_owned()),
                    Token::String(name) => Part::Name(name.to_string()),
                    Token::Int(_) => Part::Item,
                    _ => return None,
                };
                let is_closed = matches!(self.tokens.at(at + 2), Some(Token::BracketClose));
                is_closed.then_some((part, at + 3))
            }
            _ => None,
        }
    }

    fn may_be_missing(&self, known: &KnownTerm, at: usize, behind: usize) -> bool {
        if !self.tokens.is_compared(behind) {
            return self.tokens.is_asked_for(at, behind);
        }
        // `data.x and data.x > 3`
        let path = known.clone().of_event().map(|known| known.path).unwrap_or_default();
        self.found.iter().any(|one| one.may_be_missing && path.starts_with(&one.path))
    }
}
