//! What is wrong with a text, said with its own words.

use std::fmt;
use std::ops::Range;

use minijinja::ErrorKind;

use super::rewrite::Rewritten;
use super::slips;

/// Why a text does not compile, or fails on an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ExprError {
    /// What is wrong, as a lower-case fragment.
    pub message: String,
    /// What to write instead; empty where there is nothing to say, which is only with an event.
    pub help: String,
    /// Where in the text, in bytes, where that is known.
    pub range: Option<Range<usize>>,
    /// The line in the text, counted from 1, where that is known.
    pub line: Option<usize>,
}

/// For a text of one line: the message, and what to write.
impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "; {}", self.help) }
    }
}

impl ExprError {
    /// The same of a text that does not compile, told as the slip that it comes from where there is one.
    pub(super) fn with_slip(self, slip: Option<slips::Slip>, is_template: bool) -> Self {
        match slip {
            None if self.help.is_empty() => {
                Self { help: slips::example(is_template).to_owned(), ..self }
            }
            None => self,
            Some(slip) => {
                Self { message: slip.message, help: slip.help, range: Some(slip.range), ..self }
            }
        }
    }

    /// `text` is what was written, `rewritten` what of it was compiled.
    pub(super) fn of(err: &minijinja::Error, text: &str, rewritten: Option<&Rewritten>) -> Self {
        // The name of an included template is the one detail that comes out of a payload as it is.
        let detail = match err.kind() {
            ErrorKind::TemplateNotFound => Some("there are no other templates to include"),
            _ => err.detail(),
        };
        let range = err.range().map(|range| match rewritten {
            Some(rewritten) => rewritten.original(&range),
            None => range,
        });
        let range = range.filter(|range| text.get(range.clone()).is_some());
        let mut message = match detail {
            Some(detail) => format!("{}: {detail}", err.kind()),
            None => err.kind().to_string(),
        };
        // Names that only the rewritten text has.
        for name in ["payload", "data"] {
            message = message.replace(&format!("`{name}_fields"), &format!("`{name}"));
        }
        let named = range.clone().map(|range| with_operand(text, range));
        if let Some(words) = named.and_then(|range| text.get(range))
            && (1..=80).contains(&words.len())
            && !is_said(&message, words, err.kind())
        {
            message = format!("{message} (at `{words}`)");
        }
        let words = range.clone().and_then(|range| text.get(range)).unwrap_or_default();
        // An expression with these does not compile, and says so in words of its own.
        let is_template = ["{{", "{%", "{#"].iter().any(|open| text.contains(open));
        let detail = err.detail().unwrap_or_default();
        let help = slips::remedy(err.kind(), detail, words, is_template);
        Self { message, help, range, line: err.line() }
    }
}

/// A filter together with the field that it is given: `data.at | date`, not `date` alone.
fn with_operand(text: &str, range: Range<usize>) -> Range<usize> {
    let before = text.get(..range.start).unwrap_or_default();
    let Some(before) = before.trim_end().strip_suffix('|').map(str::trim_end) else { return range };
    let is_part = |c: char| c.is_alphanumeric() || "_.".contains(c);
    let start = before.trim_end_matches(is_part).len();
    if start == before.len() { range } else { start..range.end }
}

/// Whether a message names the words already: "this string is no date" does not name the filter `date`.
fn is_said(message: &str, words: &str, kind: ErrorKind) -> bool {
    let is_quoted = message.contains(&format!("`{words}`"));
    is_quoted || kind != ErrorKind::InvalidOperation && message.contains(words)
}

/// An error about what a text says, which is the same with every event.
pub(super) fn bad_argument(message: String) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, message).with_source(BadArgument)
}

/// Marks such an error.
#[derive(Debug, thiserror::Error)]
#[error("the text itself is wrong")]
pub(super) struct BadArgument;
