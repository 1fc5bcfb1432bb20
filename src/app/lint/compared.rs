//! What a text compares with an event's type, source or lists: `event.type == "comment.created"`, in whichever
//! of its branches that stands.

use crate::deliver::OWN_SOURCE;
use crate::event::{Glob, SourceName};
use crate::expr::{Field, Part};
use crate::settings::nearest;

use super::Lint;
use super::never::{list, literal};
use super::types::unknown_type;

impl Lint<'_> {
    pub(super) fn compared(&mut self) {
        for text in self.trial.texts() {
            let source = text.words.source();
            for field in text.words.fields() {
                if is_list_of_form(&field) {
                    self.compared_list(&text.key, source, &field);
                    continue;
                }
                let of_type = is_of_event(&field, "type");
                if !of_type && !is_of_event(&field, "source") {
                    continue;
                }
                for literal in beside(source, &field) {
                    let told = if of_type {
                        self.wrong_type(&literal)
                    } else {
                        self.wrong_source(&literal)
                    };
                    if let Some((message, help)) = told {
                        self.warn(&text.key, &literal, message, help);
                    }
                }
            }
        }
    }

    /// A list that is compared with a text, which it never is.
    fn compared_list(&mut self, key: &str, source: &str, field: &Field) {
        let words = source.get(field.range.clone()).unwrap_or_default();
        if let Some(literal) = beside(source, field).first() {
            let message = format!("in a form `{words}` is a list, also where one thing is in it");
            let help = format!("write `{words}[0]` for the first, or `{literal} in {words}`");
            self.warn(key, words, message, help);
        }
    }

    /// What is to be said of a type in quotation marks.
    fn wrong_type(&self, literal: &str) -> Option<(String, String)> {
        let wanted = Glob::new(unquoted(literal)?);
        // With its source before it, it is told as that.
        let source = wanted.as_str().split_once(':').map(|(source, _)| source);
        if source.is_some_and(|one| self.config.sources.keys().any(|name| name.as_str() == one)) {
            return None;
        }
        let on = &self.settings.policy.on;
        let mut senders = if on.is_empty() {
            self.senders(&Glob::new("*"))
        } else {
            on.iter().flat_map(|glob| self.senders(&glob.source)).collect()
        };
        // Without `on`, Gatepost's own events do not come.
        senders.retain(|sender| !on.is_empty() || sender.name != OWN_SOURCE);
        unknown_type(&wanted, &senders, None)
    }

    fn wrong_source(&self, literal: &str) -> Option<(String, String)> {
        let wanted = unquoted(literal)?;
        let names = || self.config.sources.keys().map(SourceName::as_str).chain([OWN_SOURCE]);
        if names().any(|name| name == wanted) {
            return None;
        }
        let help = match nearest(wanted, names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "a source is what follows `source.` in this file".to_owned(),
        };
        Some((format!("no source is called `{wanted}`"), help))
    }
}

/// Whether it is what a form's or a query's `x[]` becomes.
fn is_list_of_form(field: &Field) -> bool {
    matches!(field.path.last(), Some(Part::Name(name)) if name.ends_with("[]"))
}

fn is_of_event(field: &Field, name: &str) -> bool {
    field.dotted().is_some_and(|path| path.strip_prefix("event.") == Some(name))
}

fn unquoted(literal: &str) -> Option<&str> {
    let inner = literal.get(1..literal.len().checked_sub(1)?)?;
    // A number is no type, and what stands for several is not told from a slip.
    (literal.starts_with(['"', '\'']) && !inner.is_empty() && !inner.contains('*')).then_some(inner)
}

/// The texts that a field is compared with, as they are written: `x == "a"`, `"a" != x`, `x not in ["a", "b"]`.
fn beside(source: &str, field: &Field) -> Vec<String> {
    let behind = source.get(field.range.end..).unwrap_or_default().trim_start();
    // A literal that is a part of what is compared says nothing: `"comment." ~ data.kind`.
    let is_part = |behind: &str| behind.starts_with(['~', '+', '*', '|', '.', '[']);
    if let Some(rest) = behind.strip_prefix("==").or_else(|| behind.strip_prefix("!=")) {
        let whole = literal(rest).filter(|(_, behind)| !is_part(behind));
        return whole.map(|(literal, _)| literal).into_iter().collect();
    }
    let rest = behind_word(behind, "not").unwrap_or(behind);
    if let Some(rest) = behind_word(rest, "in") {
        return list(rest).map(|(literals, _)| literals).unwrap_or_default();
    }
    let before = source.get(..field.range.start).unwrap_or_default().trim_end();
    let before = before.strip_suffix("==").or_else(|| before.strip_suffix("!="));
    let literal = before.and_then(|before| {
        let before = before.trim_end();
        let quote = before.chars().next_back().filter(|c| ['"', '\''].contains(c))?;
        let inner = before.strip_suffix(quote)?;
        let (before, literal) = before.split_at_checked(inner.rfind(quote)?)?;
        (!before.trim_end().ends_with(['~', '+'])).then_some(literal)
    });
    literal.map(str::to_owned).into_iter().collect()
}

fn behind_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let rest = text.strip_prefix(word)?;
    let goes_on = rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    (!goes_on).then(|| rest.trim_start())
}
