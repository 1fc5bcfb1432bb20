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
    let mut errors: Vec<&Error> = errors.iter().collect();
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    let mut last_line = None;
    for error in errors {
        let line = error.span().map(|span| line_at(text, span.start).start);
        // What the parser says of the rest of a line follows from the first slip in it.
        if line.is_some() && line == last_line {
            continue;
        }
        last_line = line;
        problems.push(Problem {
            severity: Severity::Error,
            message: message(error),
            help: error.span().map_or_else(String::new, |span| help(error, text, span.start)),
            span: error.span(),
            path: String::new(),
        });
    }
}

fn message(error: &Error) -> String {
    let message = error.message().trim().replace('\n', ", ");
    message.trim_end_matches(", expected nothing").to_owned()
}

/// What to write in place of the likeliest slips.
fn help(error: &Error, text: &str, at: usize) -> String {
    let message = error.message();
    let says = |words: &str| message.contains(words);
    let line = text.get(line_at(text, at)).unwrap_or_default().trim();
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    let is_bare = value.starts_with(|c: char| c.is_alphanumeric() || "/.*~$@".contains(c));
    if let Some(unseen) = line.chars().find(|c| is_unseen(*c)) {
        let code = u32::from(unseen);
        return format!(
            "this line has a character that is not seen (U+{code:04X}): write it anew by hand"
        );
    }
    let help = if says("duplicate key") {
        "each name stands once: put the two together, or give one of them another name"
    } else if line.contains(['“', '”', '„', '‘', '’']) {
        "write straight quotation marks: `\"text\"`"
    } else if says("escaped value") || says("unicode value") {
        "a backslash in `\"…\"` begins an escape: write `'…'` around the text, or `\\\\` for each one"
    } else if ["//", "--", ";"].iter().any(|mark| line.starts_with(mark)) {
        "a comment begins with `#`"
    } else if line.contains(['«', '»', '‹', '›']) || value.starts_with('`') {
        "text stands in straight quotation marks: `\"text\"`"
    } else if ends_like_a_statement(value) {
        "nothing stands behind a value: leave out what is at the end of the line"
    } else if let Some(word) = truth(value) {
        return format!("write `{word}`, in small letters and without quotation marks");
    } else if says("unquoted key") || says("key with no value") || says("assignment between") {
        help_for_key(line, value)
    } else if says("unclosed table") {
        "the name of a table stands in brackets, in one line: `[handler.my-name]`"
    } else if says("leading zero") {
        "write it without the zeros in front; as a text it stands in quotes: `key = \"04\"`"
    } else if line.starts_with('[') && (says("array") || says("comma")) {
        "the list above it is not closed: it ends with `]`"
    } else if is_bare {
        "text stands in quotes: `key = \"text\"`"
    } else {
        help_for_text(message, value)
    };
    help.to_owned()
}

/// What editors, chats and web pages put between letters, and TOML takes nowhere but within a text.
fn is_unseen(c: char) -> bool {
    let is_blank = c != ' ' && c != '\t' && c.is_whitespace();
    let is_nothing = matches!(
        c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
    );
    is_blank || is_nothing
}

/// `"text",` and `10;`; a list or a table of several lines ends so as well, and is told of elsewhere.
fn ends_like_a_statement(value: &str) -> bool {
    value.ends_with([',', ';']) && !value.starts_with(['[', '{'])
}

/// Of a line that is no `key = value`.
fn help_for_key(line: &str, value: &str) -> &'static str {
    let colon = line.find(':');
    let has_colon = colon.is_some_and(|at| line.find('=').is_none_or(|equals| at < equals));
    if has_colon || (value.starts_with('{') && value.contains(':')) {
        "between a key and its value stands `=`: `key = value`"
    } else if value.starts_with('{') {
        "keys in `{ … }` have a `,` between them: `{ min = \"10s\", max = \"6h\" }`"
    } else {
        "write one `key = value` in each line; a text of several lines stands between `'''`"
    }
}

/// Of a value that does not end where it should.
fn help_for_text(message: &str, value: &str) -> &'static str {
    let says = |words: &str| message.contains(words);
    if value.starts_with(['[', '{']) {
        "items of a list, and keys in `{ … }`, have a `,` between them; texts stand in quotes, and a \
         bracket at the end"
    } else if says("newline") && value.starts_with('"') {
        "the text ends at the second `\"`: write `'…'` around it, or `'` in it"
    } else if says("newline") && value.starts_with('\'') {
        "the text ends at the second `'`: write `\"…\"` around it, or `\"` in it"
    } else if says("string") {
        "a text ends as it begins, in the same line; one of several lines stands between `'''`"
    } else {
        "write one `key = value` in each line; texts stand in quotes"
    }
}

/// Our word for true or false, where another language's stands.
fn truth(value: &str) -> Option<&'static str> {
    let word = value.split('#').next().unwrap_or_default().trim();
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some("true"),
        "false" | "no" | "off" => Some("false"),
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::settings::{Problem, read};

    #[test]
    fn what_is_pasted_or_comes_from_another_language_is_named() {
        for (text, told) in [
            ("level = \"info\",", "leave out what is at the end of the line"),
            ("level = 10;", "leave out what is at the end of the line"),
            ("level =\u{a0}\"info\"", "(U+00A0)"),
            ("level\u{200b} = \"info\"", "(U+200B)"),
            ("\u{feff}[log]\n\u{feff}level = 1", "(U+FEFF)"),
            ("level = «info»", "straight quotation marks"),
            ("level = `info`", "straight quotation marks"),
        ] {
            let problems =
                read(text, Path::new(""), |table| drop(table.take::<String>("level"))).problems;
            let said: Vec<&str> =
                problems.iter().map(|Problem { help, .. }| help.as_str()).collect();
            assert!(said.iter().any(|said| said.contains(told)), "{text}: {problems:?}");
        }
    }
}
