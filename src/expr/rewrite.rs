//! What is changed in a text before MiniJinja compiles it, where its operators would take a missing
//! value for the word "None", or could not calculate with a number that keeps its text:
//!
//! | written | compiled |
//! |---|---|
//! | `a ~ b`, `a * b ~ c` | `(a\|_text) ~ (b\|_text)`, `([a,'*',b]\|_calculated\|_text) ~ (c\|_text)` |
//! | `a + b` | `([a,'&',b]\|_calculated)`: two texts are put together |
//! | `a * b`, `a + 1` | `([a,'*',b]\|_calculated)`, `([a,'+',1]\|_calculated)`: a text may be a number |
//! | `a / b`, `a * b / 2` | `([a,'/',b]\|_calculated)`, `([a,'*',b,'/',2]\|_calculated)` |
//! | `'0' * a` | `'0' * (a\|_number)`: a text that is written is repeated |
//! | `a ** b`, `-a` | `(a\|_number) ** (b\|_number)`, `(a\|_negated)` |
//! | `a + 'x'` | `(a\|_addend) + 'x'` |
//! | `a == b` | `(a\|_equal) == (b\|_equal)` |
//! | `a == 5` | `(a\|_numeric) == 5`: a form's fields are texts |
//! | `a == 0.12345678901234567891` | `(a\|_numeric) == (('0.12345678901234567891'\|_literal)\|_numeric)`: no float is that |
//! | `a < b + 1` | `a in ((([b,'+',1]\|_calculated))\|_lt)` |
//! | `a in b` | `a in (b\|_container)` |
//! | `a[1:2]` | `(a\|_slice(1,2))` |
//! | `payload.a`, `data[0]` | `payload_fields.a`, `data_fields[0]`: a text has none, but methods |
//!
//! The places of errors are those of the written text: see [`Rewritten::original`].

use std::ops::Range;

use minijinja::Error;
use minijinja::machinery::tokenize;
use minijinja::syntax::SyntaxConfig;

#[cfg(test)]
mod tests;
mod tokens;
mod walk;

pub(super) use tokens::literal_arguments;
use walk::Walk;

/// What a text consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Expression,
    Template,
}

/// What a name is that is looked up when a text runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameKind {
    Filter,
    Test,
    Method,
}

/// A filter, test or method that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) kind: NameKind,
    pub(super) range: Range<usize>,
    /// What stands between its brackets; empty where it has none.
    pub(super) arguments: Range<usize>,
}

/// A text that is ready to be compiled.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) text: String,
    /// Every filter, test and method in it, wherever it is.
    pub(super) named: Vec<Named>,
    edits: Vec<Edit>,
    /// Where calculations stand in the written text that one filter does.
    calculations: Vec<Range<usize>>,
}

/// One replaced part: of the written text, and of the compiled one.
#[derive(Debug)]
struct Edit {
    old: Range<usize>,
    new: String,
}

impl Rewritten {
    /// Rewrites `text`. An error is one of syntax.
    pub(super) fn of(text: &str, syntax: Syntax) -> Result<Self, Error> {
        let is_expression = syntax == Syntax::Expression;
        let tokens = tokenize(text, is_expression, SyntaxConfig::default());
        let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
        let (mut edits, named, calculations) = Walk::through(text, &tokens, is_expression);
        // Stable: what is put before a word stays before what is put in its place.
        edits.sort_by_key(|edit| (edit.old.start, edit.old.end));
        let mut rewritten = String::with_capacity(text.len());
        let mut at = 0;
        for edit in &edits {
            rewritten.push_str(text.get(at..edit.old.start).unwrap_or_default());
            rewritten.push_str(&edit.new);
            at = edit.old.end;
        }
        rewritten.push_str(text.get(at..).unwrap_or_default());
        Ok(Self { text: rewritten, named, edits, calculations })
    }

    /// The place in the written text that a place in the compiled one comes from.
    pub(super) fn original(&self, range: &Range<usize>) -> Range<usize> {
        let original = self.back(range.start)..self.back(range.end);
        // Their filter stands behind what it calculates.
        let mut whole = self.calculations.iter().filter(|_| original.is_empty());
        whole.find(|whole| whole.end == original.start).cloned().unwrap_or(original)
    }

    fn back(&self, place: usize) -> usize {
        // How far the texts are apart before the next edit.
        let (mut n_old, mut n_new) = (0_usize, 0_usize);
        for edit in &self.edits {
            let start = (edit.old.start + n_new).saturating_sub(n_old);
            if place < start {
                break;
            }
            if place < start + edit.new.len() {
                return edit.old.start;
            }
            n_old += edit.old.len();
            n_new += edit.new.len();
        }
        (place + n_old).saturating_sub(n_new)
    }
}
