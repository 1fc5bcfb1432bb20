//! What a value stands for behind a filter or method, and the fields that those name in a text.

use std::ops::Range;

use super::Part;
use super::finder::Finder;
use super::terms::{KnownTerm, TermShape};

impl Finder<'_> {
    pub(super) fn method(
        &mut self,
        name: &str,
        base: KnownTerm,
        arguments: &[Range<usize>],
    ) -> Option<KnownTerm> {
        match name {
            "items" => base.pairs(),
            "values" => base.values(),
            "get" if base.shape == TermShape::Itself => {
                let at = arguments.first()?.start;
                let field = self.tokens.text(at)?.to_owned();
                let n_given = base.path.len();
                let known = base.part(Part::Name(field))?;
                self.add(&known, self.tokens.range(at), n_given, true);
                Some(known).filter(|_| arguments.len() == 1)
            }
            _ => None,
        }
    }

    pub(super) fn filter(
        &mut self,
        name: &str,
        base: KnownTerm,
        arguments: &[Range<usize>],
    ) -> Option<KnownTerm> {
        match name {
            "items" | "dictsort" => base.pairs(),
            "first" | "last" => base.item(),
            "default" | "d" => {
                let is_literal = |part: &Range<usize>| self.tokens.is_literal(part.clone());
                arguments.iter().all(is_literal).then_some(base)
            }
            "list" | "reverse" | "select" | "reject" => Some(base),
            "sort" | "unique" => {
                self.attribute(&base, arguments, None, false);
                Some(base)
            }
            "selectattr" | "rejectattr" => {
                // By itself it asks whether there is one.
                let test = arguments.get(1).and_then(|part| self.tokens.text(part.start));
                let may_be_missing =
                    test.is_none_or(|test| ["defined", "undefined", "none"].contains(&test));
                self.attribute(&base, arguments, Some(0), may_be_missing);
                Some(base)
            }
            "map" => {
                let is_default =
                    |part: &Range<usize>| self.tokens.name(part.start) == Some("default");
                let may_be_missing = arguments.iter().any(is_default);
                let path = self.attribute(&base, arguments, None, may_be_missing)?;
                Some(KnownTerm { path, shape: TermShape::Items })
            }
            "sum" | "groupby" => {
                self.attribute(&base, arguments, Some(0), false);
                None
            }
            "join" => {
                self.attribute(&base, arguments, Some(1), false);
                None
            }
            _ => None,
        }
    }

    /// The field of each item that a filter's `attribute` names; gives its path.
    fn attribute(
        &mut self,
        base: &KnownTerm,
        arguments: &[Range<usize>],
        position: Option<usize>,
        may_be_missing: bool,
    ) -> Option<Vec<Part>> {
        let named = arguments.iter().find(|part| self.tokens.name(part.start) == Some("attribute"));
        let at = match named {
            Some(part) => part.start + 2,
            None => arguments.get(position?)?.start,
        };
        let text = self.tokens.text(at)?;
        let mut known = base.clone().item()?;
        let n_given = known.path.len();
        for name in text.split('.') {
            let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
            let part = if is_number { Part::Item } else { Part::Name(name.to_owned()) };
            known = known.part(part)?;
        }
        self.add(&known, self.tokens.range(at), n_given, may_be_missing);
        Some(known.path)
    }
}
