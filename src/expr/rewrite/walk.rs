//! Finds the terms and operators in the tokens of a text, and what has to be put around them.

use std::ops::Range;

use minijinja::machinery::{Span, Token};

use super::tokens;
use super::{Edit, NameKind, Named};

mod parts;

/// Which side of which operator a term stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    None,
    Arithmetic,
    Addition,
    /// With a text on its other side there is nothing to calculate, with a number a text may be one.
    Equality {
        with_text: bool,
        with_number: bool,
    },
    /// `<` and the like: the filter that its right side gets.
    Order(&'static str),
    Concatenation,
    /// The same: it may be a text that is put together.
    In(&'static str),
}

/// What a term is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    Text,
    Constant,
    Other,
}

pub(super) struct Walk<'t> {
    text: &'t str,
    tokens: &'t [(Token<'t>, Span)],
    edits: Vec<Edit>,
    named: Vec<Named>,
    /// Where calculations stand that one filter does.
    calculations: Vec<Range<usize>>,
    /// Names of the scope that the text gives to something else.
    shadowed: Vec<&'t str>,
}

impl<'t> Walk<'t> {
    /// Goes through all code of a text.
    pub(super) fn through(
        text: &'t str,
        tokens: &'t [(Token<'t>, Span)],
        is_expression: bool,
    ) -> (Vec<Edit>, Vec<Named>, Vec<Range<usize>>) {
        let shadowed = tokens::shadowed(tokens);
        let (edits, named, calculations) = (Vec::new(), Vec::new(), Vec::new());
        let mut walk = Self { text, tokens, edits, named, calculations, shadowed };
        walk.regions(is_expression);
        (walk.edits, walk.named, walk.calculations)
    }

    fn token(&self, at: usize) -> Option<&'t Token<'t>> {
        self.tokens.get(at).map(|(token, _)| token)
    }

    fn range(&self, at: usize) -> Range<usize> {
        let offset = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        self.tokens
            .get(at)
            .map_or(0..0, |(_, span)| offset(span.start_offset)..offset(span.end_offset))
    }

    fn insert(&mut self, place: usize, new: &str) {
        self.edits.push(Edit { old: place..place, new: new.to_owned() });
    }

    fn replace(&mut self, at: usize, new: &str) {
        self.edits.push(Edit { old: self.range(at), new: new.to_owned() });
    }

    fn is_ident(&self, at: usize, word: &str) -> bool {
        matches!(self.token(at), Some(Token::Ident(name)) if *name == word)
    }

    fn regions(&mut self, is_expression: bool) {
        if is_expression {
            self.expression(0, self.tokens.len());
            return;
        }
        let mut at = 0;
        while at < self.tokens.len() {
            let is_block = matches!(self.token(at), Some(Token::BlockStart));
            if is_block || matches!(self.token(at), Some(Token::VariableStart)) {
                let mut start = at + 1;
                let is_end = |at: usize| {
                    matches!(self.token(at), None | Some(Token::BlockEnd | Token::VariableEnd))
                };
                let end = (start..self.tokens.len()).find(|at| is_end(*at));
                let end = end.unwrap_or(self.tokens.len());
                if is_block {
                    if self.is_ident(start, "for") {
                        start = (start..end).find(|at| self.is_ident(*at, "in")).unwrap_or(end);
                    } else if self.is_ident(start, "filter") {
                        self.name(start + 1, NameKind::Filter);
                    }
                    start += 1;
                }
                self.expression(start.min(end), end);
                at = end;
            }
            at += 1;
        }
    }

    /// Goes through the terms and operators from `at` to before `end`.
    fn expression(&mut self, mut at: usize, end: usize) {
        let (mut before, mut last, mut is_behind_term) = (Operator::None, Term::Other, false);
        while at < end {
            let operator = self.operator(at, last);
            if let Operator::Order(filter) | Operator::In(filter) = operator
                // Before `in` a `not` may stand.
                && (is_behind_term || self.is_ident(at, "in"))
                && let behind @ 1.. = self.right_side(at, end, filter)
            {
                (at, before, is_behind_term) = (behind, Operator::None, true);
                continue;
            }
            if !is_behind_term && let behind @ 1.. = self.calculation(at, end, before) {
                (at, last, before, is_behind_term) = (behind, Term::Other, Operator::None, true);
                continue;
            }
            // A minus behind a term subtracts; behind nothing or an operator it negates the next
            // term.
            if operator != Operator::None {
                if !is_behind_term && matches!(self.token(at), Some(Token::Minus)) {
                    at = self.negated(at, end);
                    (before, is_behind_term) = (Operator::None, true);
                } else {
                    (at, before, is_behind_term) = (at + 1, operator, false);
                }
                continue;
            }
            match self.token(at) {
                Some(Token::Ident("is")) => {
                    at = self.test(at + 1, end);
                    (before, is_behind_term) = (Operator::None, true);
                }
                Some(Token::Ident("and" | "or" | "not" | "if" | "elif" | "else" | "recursive")) => {
                    at += 1;
                    (before, is_behind_term) = (Operator::None, false);
                }
                // A keyword argument: `decimals=2` names no variable.
                Some(Token::Ident(_)) if matches!(self.token(at + 1), Some(Token::Assign)) => {
                    at += 2;
                }
                Some(
                    Token::Ident(_)
                    | Token::Str(_)
                    | Token::String(_)
                    | Token::Int(_)
                    | Token::Int128(_)
                    | Token::Float(_)
                    | Token::ParenOpen
                    | Token::BracketOpen
                    | Token::BraceOpen,
                ) => {
                    (at, last) = self.term(at, end, before);
                    (before, is_behind_term) = (Operator::None, true);
                }
                _ => {
                    at += 1;
                    (before, is_behind_term) = (Operator::None, false);
                }
            }
        }
    }

    /// `is not defined`, `is divisibleby(3)`: the name of a test, then perhaps its arguments.
    fn test(&mut self, at: usize, end: usize) -> usize {
        let at = self.name(at + usize::from(self.is_ident(at, "not")), NameKind::Test);
        if !matches!(self.token(at), Some(Token::ParenOpen)) {
            return at;
        }
        let close = self.close(at, end);
        self.expression(at + 1, close);
        close + 1
    }

    /// Makes `in` of the operator at `at`; gives the place behind its right side, 0 where there
    /// is none.
    fn right_side(&mut self, at: usize, end: usize, filter: &str) -> usize {
        let behind = tokens::operand_end(self.tokens, at + 1, end);
        // In `1 < a == 3` the right side is compared again, as it is.
        let is_equated = matches!(self.token(behind), Some(Token::Eq | Token::Ne)) && behind < end;
        if behind == at + 1 || is_equated {
            return 0;
        }
        if !self.is_ident(at, "in") {
            self.replace(at, " in ");
        }
        self.insert(self.range(at + 1).start, "((");
        self.expression(at + 1, behind);
        self.insert(self.range(behind - 1).end, &format!(")|{filter})"));
        behind
    }

    /// The operator at `at`, behind a term of the kind `last`.
    fn operator(&self, at: usize, last: Term) -> Operator {
        match self.token(at) {
            Some(Token::Plus) if !tokens::is_beside_number(self.tokens, at) => Operator::Addition,
            Some(
                Token::Plus
                | Token::Minus
                | Token::Mul
                | Token::Div
                | Token::FloorDiv
                | Token::Pow
                | Token::Mod,
            ) => Operator::Arithmetic,
            Some(Token::Eq | Token::Ne) => {
                let with_text = last == Term::Text
                    || matches!(self.token(at + 1), Some(Token::Str(_) | Token::String(_)));
                let with_number = tokens::is_beside_number(self.tokens, at);
                Operator::Equality { with_text, with_number }
            }
            Some(Token::Lt) => Operator::Order("_lt"),
            Some(Token::Lte) => Operator::Order("_lte"),
            Some(Token::Gt) => Operator::Order("_gt"),
            Some(Token::Gte) => Operator::Order("_gte"),
            Some(Token::Tilde) => Operator::Concatenation,
            Some(Token::Ident("in")) => Operator::In("_container"),
            _ => Operator::None,
        }
    }

    /// The term behind a unary minus at `at`; its filters are applied to the negated value.
    fn negated(&mut self, at: usize, end: usize) -> usize {
        let is_minus = |at: &usize| matches!(self.token(*at), Some(Token::Minus)) && *at < end;
        let operand = (at..=end).find(|at| !is_minus(at)).unwrap_or(end);
        let (start, first_edit) = (self.range(at).start, self.edits.len());
        let (behind, term) = self.postfix(operand, end);
        let is_value = term == Term::Other || tokens::is_long_fraction(self.token(operand));
        if is_value && behind > operand {
            let is_even = (operand - at).is_multiple_of(2);
            let stop = self.range(behind - 1).end;
            self.edits.insert(
                first_edit,
                Edit { old: start..self.range(operand).start, new: "(".into() },
            );
            // Twice it is the value, if that is a number, with all its digits.
            let negated = if is_even { "|_negated|_negated)" } else { "|_negated)" };
            self.insert(stop, negated);
            self.calculations.push(start..stop);
        }
        self.filters(behind, end)
    }

    /// One term with all that belongs to it; gives the place behind it.
    fn term(&mut self, at: usize, end: usize, before: Operator) -> (usize, Term) {
        let start = self.range(at).start;
        let first_edit = self.edits.len();
        let (behind, term) = self.postfix(at, end);
        let behind = self.filters(behind, end);
        let after = if behind < end { self.operator(behind, term) } else { Operator::None };
        let of_value = |filter| (term == Term::Other).then_some(filter);
        let is_long = tokens::is_long_fraction(self.token(at));
        let filter = match (before, after) {
            (Operator::Arithmetic, _) | (_, Operator::Arithmetic) => of_value("_number"),
            (Operator::Addition, _) | (_, Operator::Addition) => of_value("_addend"),
            // `none` that is written is no word either.
            (Operator::Concatenation, _) | (_, Operator::Concatenation) => {
                (term != Term::Text).then_some("_text")
            }
            (Operator::Equality { with_text: false, with_number }, _)
            | (_, Operator::Equality { with_text: false, with_number }) => {
                let filter = if with_number { "_numeric" } else { "_equal" };
                (term == Term::Other || is_long).then_some(filter)
            }
            (_, _) => None,
        };
        if let Some(filter) = filter {
            // Before whatever is put there for a part of the term.
            let open = Edit { old: start..start, new: "(".to_owned() };
            self.edits.insert(first_edit, open);
            self.insert(self.range(behind.saturating_sub(1)).end, &format!("|{filter})"));
        }
        (behind, term)
    }

    /// A name, a constant or a group with its fields, places and calls.
    fn postfix(&mut self, at: usize, end: usize) -> (usize, Term) {
        let start = self.range(at).start;
        let first_edit = self.edits.len();
        let literal = self.text.get(self.range(at)).unwrap_or_default();
        let literal = tokens::kept_literal(self.token(at), literal);
        let term = match self.token(at) {
            _ if literal.is_some() => Term::Other,
            Some(Token::Str(_) | Token::String(_)) => Term::Text,
            Some(Token::Int(_) | Token::Int128(_) | Token::Float(_)) => Term::Constant,
            Some(Token::Ident("true" | "True" | "false" | "False" | "none" | "None")) => {
                Term::Constant
            }
            _ => Term::Other,
        };
        if let Some(literal) = literal {
            self.replace(at, &format!("('{literal}'|_literal)"));
        }
        let mut behind = at + 1;
        if matches!(self.token(at), Some(Token::ParenOpen | Token::BracketOpen | Token::BraceOpen))
        {
            let close = self.close(at, end);
            self.expression(at + 1, close);
            behind = (close + 1).min(end.max(at + 1));
        }
        let mut is_first = true;
        while behind < end {
            match self.token(behind) {
                Some(Token::Dot) => {
                    self.rename(at, is_first && !tokens::calls_text(self.tokens, behind));
                    let is_called = matches!(self.token(behind + 2), Some(Token::ParenOpen));
                    // These two have methods of their own.
                    let is_own = matches!(self.token(at), Some(Token::Ident("loop" | "self")));
                    if is_called && !is_own {
                        self.name(behind + 1, NameKind::Method);
                    }
                    behind += 2;
                }
                Some(Token::ParenOpen) => {
                    let close = self.close(behind, end);
                    self.expression(behind + 1, close);
                    behind = close + 1;
                }
                Some(Token::BracketOpen) => {
                    let close = self.close(behind, end);
                    if self.slice(behind, close) {
                        self.edits.insert(first_edit, Edit { old: start..start, new: "(".into() });
                    } else {
                        self.rename(at, is_first);
                        self.expression(behind + 1, close);
                    }
                    behind = close + 1;
                }
                _ => break,
            }
            is_first = false;
        }
        (behind.min(end), term)
    }

    /// `payload` and `data` are asked for a field of theirs.
    fn rename(&mut self, at: usize, is_first: bool) {
        if let (Some(Token::Ident(name @ ("payload" | "data"))), true) = (self.token(at), is_first)
            && !self.shadowed.contains(name)
        {
            self.replace(at, &format!("{name}_fields"));
        }
    }

    /// The filters from `at` on.
    fn filters(&mut self, mut at: usize, end: usize) -> usize {
        while at < end && matches!(self.token(at), Some(Token::Pipe)) {
            at = self.name(at + 1, NameKind::Filter);
            if at < end && matches!(self.token(at), Some(Token::ParenOpen)) {
                let close = self.close(at, end);
                self.expression(at + 1, close);
                at = close + 1;
            }
        }
        at
    }

    /// Notes the name of a filter, test or method; gives the place behind it.
    fn name(&mut self, at: usize, kind: NameKind) -> usize {
        if let Some(Token::Ident(name)) = self.token(at) {
            let (name, range) = ((*name).to_owned(), self.range(at));
            let close = self.close(at + 1, self.tokens.len());
            let arguments = match self.token(at + 1) {
                Some(Token::ParenOpen) => self.range(at + 1).end..self.range(close).start,
                _ => range.end..range.end,
            };
            self.named.push(Named { name, kind, range, arguments });
        }
        at + 1
    }

    fn close(&self, open: usize, end: usize) -> usize {
        tokens::close(self.tokens, open, end)
    }
}
