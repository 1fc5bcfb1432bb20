//! The parts of a text of which filters are made: slices, and calculations.

use minijinja::machinery::Token;

use super::{Operator, Walk, tokens};

impl Walk<'_> {
    /// Makes a filter of the sums, differences and products that begin at `at`; gives the place behind them, 0
    /// where there are none, or something else is among them.
    pub(super) fn calculation(&mut self, at: usize, end: usize, before: Operator) -> usize {
        // Beside other operators it is a part of theirs.
        let begins = matches!(before, Operator::None | Operator::Equality { .. });
        let Some(behind) = self.calculation_end(at, end).filter(|_| begins) else { return 0 };
        let start = self.range(at).start;
        self.insert(start, "([");
        let mut place = at;
        while place < behind {
            place = if let Some(Token::Minus) = self.token(place) {
                self.negated(place + 1, behind)
            } else {
                let (rest, _) = self.postfix(place, behind);
                self.filters(rest, behind)
            };
            if place < behind {
                let is_beside_number = tokens::is_beside_number(self.tokens, place);
                let word = match self.token(place) {
                    Some(Token::Minus) => ",'-',",
                    Some(Token::Mul) => ",'*',",
                    _ if is_beside_number => ",'+',",
                    _ => ",'&',",
                };
                self.replace(place, word);
                place += 1;
            }
        }
        let is_equated = matches!(before, Operator::Equality { .. })
            || matches!(self.token(behind), Some(Token::Eq | Token::Ne)) && behind < end;
        let stop = self.range(behind - 1).end;
        self.insert(stop, if is_equated { "]|_calculated|_equal)" } else { "]|_calculated)" });
        self.calculations.push(start..stop);
        behind
    }

    /// Where the calculation that begins at `at` ends. With a text that is written there is none, and
    /// what is divided is no decimal of so many digits.
    fn calculation_end(&self, at: usize, end: usize) -> Option<usize> {
        let behind = tokens::operand_end(self.tokens, at, end);
        let (mut n_operators, mut is_behind_term, mut is_negated) = (0, false, false);
        let mut place = at;
        while place < behind {
            match self.token(place)? {
                Token::Plus | Token::Mul | Token::Minus if is_behind_term => {
                    (n_operators, is_behind_term, is_negated) = (n_operators + 1, false, false);
                }
                Token::Minus if !is_negated => is_negated = true,
                // The name of a field or filter.
                Token::Dot | Token::Pipe if is_behind_term => place += 1,
                Token::ParenOpen | Token::BracketOpen => {
                    place = self.close(place, behind);
                    is_behind_term = true;
                }
                Token::Ident("is") => return None,
                Token::Ident(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_)
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
