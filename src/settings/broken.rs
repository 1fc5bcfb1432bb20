//! Broken TOML: what the parser says, and what is not worth saying beside it.

use std::ops::Range;

use toml::de::Error;

use super::{Problem, Severity};

/// Adds what the parser found. What was said about a broken line goes: the parser guessed what
/// is there. Below a broken `[table]` line the same is true up to the next such line.
pub(super) fn add(problems: &mut Vec<Problem>, text: &str, errors: &[Error]) {
    for error in errors {
        let doubtful = error.span().map_or(0..text.len(), |span| doubtful(text, span.start));
        problems.retain(|problem| {
            problem.span.as_ref().is_none_or(|span| !doubtful.contains(&span.start))
        });
    }
    problems.extend(errors.iter().map(|error| Problem {
        severity: Severity::Error,
        message: message(error),
        help: error.span().map_or("", |span| help(error, text, span.start)).to_owned(),
        span: error.span(),
        path: String::new(),
    }));
}

fn message(error: &Error) -> String {
    let message = error.message().trim().replace('\n', ", ");
    message.trim_end_matches(", expected nothing").to_owned()
}

/// The most common slip: text without quotes.
fn help(error: &Error, text: &str, at: usize) -> &'static str {
    if error.message().contains("duplicate key") {
        return "each name stands once: put the two together, or give one of them another name";
    }
    let line = text.get(line_at(text, at)).unwrap_or_default();
    let value = line.split_once('=').map_or("", |(_, value)| value.trim_start());
    let is_bare = value.starts_with(|c: char| c.is_alphanumeric() || "/.*~$".contains(c));
    if is_bare { "text stands in quotes: `key = \"text\"`" } else { "" }
}

fn doubtful(text: &str, at: usize) -> Range<usize> {
    let line = line_at(text, at);
    let is_header = text.get(line.clone()).is_some_and(|line| line.trim_start().starts_with('['));
    if !is_header {
        return line;
    }
    let behind = text.get(line.end..).unwrap_or_default();
    let end = behind.find("\n[").map_or(text.len(), |index| line.end + index);
    line.start..end
}

/// The line around `at`, with its newline.
fn line_at(text: &str, at: usize) -> Range<usize> {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
    let behind = text.as_bytes().get(before.len()..).unwrap_or_default();
    let end = behind.iter().position(|byte| *byte == b'\n');
    start..end.map_or(text.len(), |index| before.len() + index + 1)
}
