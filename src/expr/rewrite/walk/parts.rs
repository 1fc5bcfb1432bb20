//! The parts of a text of which filters are made: slices, and calculations.

use std::ops::Range;

use minijinja::machinery::Token;

use super::{Operator, Walk, tokens};

/// What holds the parts of a calculation together, from what binds least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OperatorLevel {
    Sum,
    Concatenation,
    Product,
    Power,
}

impl OperatorLevel {
    fn of(token: Option<&Token<'_>>) -> Option<Self> {
        match token? {
            Token::Plus | Token::Minus => Some(Self::Sum),
            Token::Tilde => Some(Self::Concatenation),
            Token::Mul | Token::Div | Token::FloorDiv | Token::Mod => Some(Self::Product),
            Token::Pow => Some(Self::Power),
            _ => None,
        }
    }
}

impl Walk<'_> {
    /// Makes filters of the calculations that begin at `at`; gives the place behind them, 0 where there are
    /// none, or something else is among them.
    pub(super) fn calculation(&mut self, at: usize, end: usize, before: Operator) -> usize {
        // Beside other operators it is a part of theirs.
        let begins = matches!(before, Operator::None | Operator::Equality { .. });
        let Some(behind) = self.calculation_end(at, end).filter(|_| begins) else { return 0 };
        let is_equated = matches!(before, Operator::Equality { .. })
            || matches!(self.token(behind), Some(Token::Eq | Token::Ne)) && behind < end;
        self.sum(at..behind, if is_equated { "|_equal" } else { "" });
        behind
    }

    /// Where the calculation that begins at `at` ends.
    fn calculation_end(&self, at: usize, end: usize) -> Option<usize> {
        let behind = tokens::operand_end(self.tokens, at, end);
        let (mut n_operators, mut is_behind_term) = (0, false);
        let mut place = at;
        while place < behind {
            match self.token(place)? {
                token if is_behind_term && OperatorLevel::of(Some(token)).is_some() => {
                    (n_operators, is_behind_term) = (n_operators + 1, false);
                }
                Token::Minus => {}
                // The name of a field or filter.
                Token::Dot | Token::Pipe if is_behind_term => place += 1,
                Token::ParenOpen | Token::BracketOpen => {
                    place = self.close(place, behind);
                    is_behind_term = true;
                }
                Token::Ident("is") => return None,
                Token::Ident(_)
                | Token::Int(_)
                | Token::Int128(_)
                | Token::Float(_)
                | Token::Str(_)
                | Token::String(_)
                    if !is_behind_term =>
                {
                    is_behind_term = true;
                }
                _ => return None,
            }
            place += 1;
        }
        (n_operators > 0 && is_behind_term).then_some(behind)
    }

    /// The parts between the operators of `level`; those have the places between two parts.
    fn split(&self, range: Range<usize>, level: OperatorLevel) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let (mut start, mut place, mut is_behind_term) = (range.start, range.start, false);
        while place < range.end {
            match self.token(place) {
                token if is_behind_term && OperatorLevel::of(token).is_some() => {
                    is_behind_term = false;
                    if OperatorLevel::of(token) == Some(level) {
                        parts.push(start..place);
                        start = place + 1;
                    }
                }
                Some(Token::Minus) => {}
                Some(Token::Dot | Token::Pipe) => place += 1,
                Some(Token::ParenOpen | Token::BracketOpen) => {
                    place = self.close(place, range.end);
                    is_behind_term = true;
                }
                _ => is_behind_term = true,
            }
            place += 1;
        }
        parts.push(start..range.end);
        parts
    }

    /// Whether operators of `level` hold it together.
    fn has(&self, range: &Range<usize>, level: OperatorLevel) -> bool {
        self.split(range.clone(), level).len() > 1
    }

    /// Sums and differences. With a text that is written there is nothing to calculate.
    fn sum(&mut self, range: Range<usize>, filter: &str) {
        let parts = self.split(range.clone(), OperatorLevel::Sum);
        if parts.len() == 1 {
            self.concatenation(range, filter);
        } else if parts.iter().any(|part| self.is_text(part)) {
            for part in parts {
                if self.has(&part, OperatorLevel::Concatenation) {
                    self.concatenation(part, "");
                } else if self.has(&part, OperatorLevel::Product) {
                    self.product(part, "");
                } else if !self.is_text(&part) {
                    self.filtered(part, "|_addend");
                }
            }
        } else {
            let stop = self.begin_list(&range);
            let mut is_behind_text = false;
            for part in parts {
                let is_before_text = self.has(&part, OperatorLevel::Concatenation);
                if part.start > range.start {
                    let place = part.start - 1;
                    let adds = tokens::is_beside_number(self.tokens, place)
                        && !is_behind_text
                        && !is_before_text;
                    let word = match self.token(place) {
                        Some(Token::Minus) => ",'-',",
                        _ if adds => ",'+',",
                        _ => ",'&',",
                    };
                    self.replace(place, word);
                }
                if is_before_text {
                    self.concatenation(part, "");
                } else if self.repeats_text(&part) {
                    self.repetition(part, "");
                } else {
                    self.factors(part);
                }
                is_behind_text = is_before_text;
            }
            self.end_list(&range, stop, filter);
        }
    }

    /// Texts that are put together.
    fn concatenation(&mut self, range: Range<usize>, filter: &str) {
        let parts = self.split(range.clone(), OperatorLevel::Concatenation);
        if parts.len() == 1 {
            return self.product(range, filter);
        }
        for part in parts {
            if self.has(&part, OperatorLevel::Product) {
                self.product(part, "|_text");
            } else if !self.is_text(&part) {
                self.filtered(part, "|_text");
            }
        }
    }

    /// Products and quotients.
    fn product(&mut self, range: Range<usize>, filter: &str) {
        if !self.has(&range, OperatorLevel::Product) {
            return self.power(range);
        }
        if self.repeats_text(&range) {
            return self.repetition(range, filter);
        }
        let stop = self.begin_list(&range);
        self.factors(range.clone());
        self.end_list(&range, stop, filter);
    }

    /// What is multiplied and divided, as items of a list.
    fn factors(&mut self, range: Range<usize>) {
        for factor in self.split(range.clone(), OperatorLevel::Product) {
            if factor.start > range.start {
                let place = factor.start - 1;
                let word = match self.token(place) {
                    Some(Token::Div) => ",'/',",
                    Some(Token::FloorDiv) => ",'//',",
                    Some(Token::Mod) => ",'%',",
                    _ => ",'*',",
                };
                self.replace(place, word);
            }
            self.power(factor);
        }
    }

    /// Whether it is a product with a text that is written, as `'0' * 3`: that is no number, whatever its digits.
    fn repeats_text(&self, range: &Range<usize>) -> bool {
        let factors = self.split(range.clone(), OperatorLevel::Product);
        factors.len() > 1 && factors.iter().any(|factor| self.is_text(factor))
    }

    /// Such a product, which MiniJinja makes.
    fn repetition(&mut self, range: Range<usize>, filter: &str) {
        let (start, stop) = (self.range(range.start).start, self.range(range.end - 1).end);
        let is_filtered = !filter.is_empty();
        if is_filtered {
            self.insert(start, "((");
        }
        for factor in self.split(range, OperatorLevel::Product) {
            let is_negated = matches!(self.token(factor.start), Some(Token::Minus));
            if is_negated || self.has(&factor, OperatorLevel::Power) {
                self.power(factor);
            } else {
                self.term(factor.start, factor.end, Operator::Arithmetic);
            }
        }
        if is_filtered {
            self.insert(stop, &format!("){filter})"));
        }
    }

    /// One term, or several with `**` between them.
    fn power(&mut self, range: Range<usize>) {
        let parts = self.split(range, OperatorLevel::Power);
        let is_alone = parts.len() == 1;
        for part in parts {
            if matches!(self.token(part.start), Some(Token::Minus)) {
                self.negated(part.start, part.end);
            } else if is_alone {
                let (behind, _) = self.postfix(part.start, part.end);
                self.filters(behind, part.end);
            } else {
                self.term(part.start, part.end, Operator::Arithmetic);
            }
        }
    }

    /// One term, or a power, with a filter behind it.
    fn filtered(&mut self, range: Range<usize>, filter: &str) {
        let (start, stop) = (self.range(range.start).start, self.range(range.end - 1).end);
        self.insert(start, "(");
        self.power(range);
        self.insert(stop, &format!("{filter})"));
    }

    fn is_text(&self, range: &Range<usize>) -> bool {
        range.len() == 1
            && matches!(self.token(range.start), Some(Token::Str(_) | Token::String(_)))
    }

    /// Opens the list that `_calculated` takes; gives where it ends.
    fn begin_list(&mut self, range: &Range<usize>) -> usize {
        self.insert(self.range(range.start).start, "([");
        self.range(range.end - 1).end
    }

    fn end_list(&mut self, range: &Range<usize>, stop: usize, filter: &str) {
        self.insert(stop, &format!("]|_calculated{filter})"));
        self.calculations.push(self.range(range.start).start..stop);
    }

    /// `[1:2]` between its brackets; whether it is one.
    pub(super) fn slice(&mut self, open: usize, close: usize) -> bool {
        let mut colons = Vec::new();
        let mut at = open + 1;
        while at < close {
            match self.token(at) {
                Some(Token::Colon) => colons.push(at),
                Some(Token::ParenOpen | Token::BracketOpen | Token::BraceOpen) => {
                    at = self.close(at, close);
                }
                _ => {}
            }
            at += 1;
        }
        if colons.is_empty() {
            return false;
        }
        self.replace(open, "|_slice(");
        let mut start = open + 1;
        for end in colons.into_iter().chain([close]) {
            if start == end {
                self.insert(self.range(end).start, "none");
            } else {
                self.expression(start, end);
            }
            if end < close {
                self.replace(end, ",");
            }
            start = end + 1;
        }
        self.replace(close, "))");
        true
    }
}
