//! What to write instead of the likeliest slips: words of other languages, and templates where an
//! expression is.

use std::ops::Range;

use super::methods::METHODS;
use crate::settings::nearest;

mod hyphens;
mod placeholders;
mod remedies;
#[cfg(test)]
mod tests;
mod words;

pub(super) use hyphens::hyphened;
pub use placeholders::foreign_placeholder;
pub(super) use remedies::remedy;

use words::{
    FILTERS, NOTHING, OPERATORS, OTHER_FILTERS, OTHER_METHODS, OTHER_TEMPLATES, TESTS, WORDS,
};

/// A slip in a text that does not compile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slip {
    pub(super) message: String,
    pub(super) help: String,
    pub(super) range: Range<usize>,
}

/// The slip that makes an expression one that does not compile.
pub(super) fn in_expression(text: &str) -> Option<Slip> {
    let code = without_strings(text);
    if let Some(start) = code.find("{{").or_else(|| code.find("{%")) {
        let inner = text.trim().strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
        let inner = inner.map(str::trim).filter(|inner| !inner.contains("{{"));
        let help = match inner {
            Some(inner) => format!("write it without `{{{{ }}}}`: `{inner}`"),
            None => "write names without `{{ }}`, texts in quotation marks, and `~` between them"
                .to_owned(),
        };
        let end = code.rfind("}}").or_else(|| code.rfind("%}")).map_or(text.len(), |at| at + 2);
        let message = "this is an expression, and it is written like a template".to_owned();
        return Some(Slip { message, help, range: start..end.max(start) });
    }
    if let Some(inner) = in_single_braces(text) {
        let message = "this is an expression, and it is written in braces".to_owned();
        let help = format!("write it without `{{ }}`: `{inner}`");
        return Some(Slip { message, help, range: 0..text.len() });
    }
    in_code(text, &code)
}

/// What is in `{…}`, where that is no map.
fn in_single_braces(text: &str) -> Option<&str> {
    let text = text.trim();
    let text = text.strip_prefix("${").or_else(|| text.strip_prefix('{'))?;
    text.strip_suffix('}').map(str::trim).filter(|inner| !inner.contains([':', '{']))
}

/// The slip that makes a template one that does not compile: within its `{{ … }}` and `{% … %}`.
pub(super) fn in_template(text: &str) -> Option<Slip> {
    let code = without_strings(text);
    for (words, help) in OTHER_TEMPLATES {
        if let Some(start) = code.find(words) {
            let message = format!("`{words}` means nothing here");
            return Some(Slip {
                message,
                help: help.to_owned(),
                range: start..start + words.len(),
            });
        }
    }
    if let Some(slip) = statement_in_braces(&code) {
        return Some(slip);
    }
    let mut at = 0;
    while let Some(open) = code.get(at..).and_then(|rest| rest.find("{{").or(rest.find("{%"))) {
        let start = at + open + 2;
        let inside = code.get(start..)?;
        let length = inside.find("}}").or_else(|| inside.find("%}")).unwrap_or(inside.len());
        let end = start + length;
        if let Some(slip) = in_code(text.get(start..end)?, code.get(start..end)?) {
            let range = slip.range.start + start..slip.range.end + start;
            return Some(Slip { range, ..slip });
        }
        at = end;
    }
    None
}

/// `{{ if data.x %}`: a statement where a value stands.
fn statement_in_braces(code: &str) -> Option<Slip> {
    code.match_indices("{{").find_map(|(start, _)| {
        let inside = code.get(start + 2..)?;
        let trimmed = inside.trim_start_matches(['-', '+', ' ']);
        let end = trimmed.find(|c: char| !c.is_ascii_alphabetic())?;
        let (word, behind) = trimmed.split_at(end);
        let ends = behind.trim_start_matches([' ', '-', '+']);
        let ours = match word {
            // A name of the text's own may be called so: then an operator or a filter is behind it.
            "if" | "elif" | "for" | "set" if ends.starts_with(char::is_alphabetic) => {
                format!("write `{{% {word} … %}}`")
            }
            "else" | "endif" | "endfor" if ends.starts_with(['}', '%']) => {
                format!("write `{{% {word} %}}`")
            }
            _ => return None,
        };
        let length = 2 + inside.len() - behind.len();
        let message = format!("`{word}` is a statement, and values stand in `{{{{ }}}}`");
        Some(Slip { message, help: ours, range: start..start + length })
    })
}

fn in_code(text: &str, code: &str) -> Option<Slip> {
    let slip = |range: Range<usize>, help: String| {
        let word = code.get(range.clone()).unwrap_or_default();
        Some(Slip { message: format!("`{word}` means nothing here"), help, range })
    };
    if let Some((start, sign)) = code.char_indices().find(|(_, c)| "“”„‘’".contains(*c)) {
        let help = "write straight quotation marks: `\"text\"`".to_owned();
        return slip(start..start + sign.len_utf8(), help);
    }
    for (word, ours) in OPERATORS {
        if let Some(start) = code.find(word) {
            return slip(start..start + word.len(), format!("write {ours}"));
        }
    }
    if let Some(start) = lone(code, '!', &['=']) {
        return slip(start..start + 1, "write `not`".to_owned());
    }
    if let Some(start) = code.find('?') {
        let help = "write `a if condition else b`".to_owned();
        return slip(start..start + 1, help);
    }
    if let Some(start) = code.find('$') {
        let help = "leave it out: `data.…` and `payload.…` begin at the body's root".to_owned();
        return slip(start..start + 1, help);
    }
    for (word, ours) in WORDS {
        // As an operator, between two others; `is eq(…)` is a test of ours.
        let is_operator = |start: &usize| {
            let before = code.get(..*start).unwrap_or_default().trim_end();
            let behind = code.get(start + word.len()..).unwrap_or_default();
            !before.ends_with(" is") && !before.ends_with('|') && behind.starts_with(' ')
        };
        if let Some(start) = find_word(code, word).filter(is_operator) {
            return slip(start..start + word.len(), format!("write {ours}"));
        }
    }
    if let Some(slip) = text_behind_is(text, code) {
        return Some(slip);
    }
    for word in NOTHING {
        if let Some(start) = find_word(code, word) {
            return slip(start..start + word.len(), "write `none`".to_owned());
        }
    }
    if is_comparison(code)
        && let Some(start) = lone(code, '=', &['=', '!', '<', '>'])
        && text.trim_start().get(..3) != Some("set")
    {
        return slip(start..start + 1, "compare with `==`".to_owned());
    }
    None
}

/// `x is "a"`: a test's name is behind `is`, and no text.
fn text_behind_is(text: &str, code: &str) -> Option<Slip> {
    let start = find_word(code, "is")?;
    let behind = text.get(start + 2..)?.trim_start();
    let (behind, ours) = match behind.strip_prefix("not ") {
        Some(behind) => (behind.trim_start(), "!="),
        None => (behind, "=="),
    };
    behind.starts_with(['"', '\'']).then(|| Slip {
        message: "`is` asks for a kind, as in `is number`".to_owned(),
        help: format!("compare with `{ours}`"),
        range: start..start + 2,
    })
}

/// Whether a single `=` cannot name an argument: outside all brackets.
fn is_comparison(code: &str) -> bool {
    code.find('=').is_some_and(|at| {
        let before = code.get(..at).unwrap_or_default();
        before.matches('(').count() == before.matches(')').count()
    })
}

/// Where `wanted` stands without one of `others` beside it.
fn lone(code: &str, wanted: char, others: &[char]) -> Option<usize> {
    let mut before = None;
    let mut rest = code.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let behind = rest.peek().map(|(_, c)| *c);
        let is_beside = |c: Option<char>| c.is_some_and(|c| others.contains(&c));
        if c == wanted && !is_beside(behind) && !is_beside(before) {
            return Some(at);
        }
        before = Some(c);
    }
    None
}

/// The text with blanks in place of quoted strings.
fn without_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut quote = None;
    let mut is_escaped = false;
    for c in text.chars() {
        let is_inside = quote.is_some();
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(_) | None => {}
        }
        if is_inside || quote.is_some() {
            code.extend(std::iter::repeat_n(' ', c.len_utf8()));
        } else {
            code.push(c);
        }
    }
    code
}

/// How many values stand in the brackets of a call.
pub(super) fn n_arguments(written: &str) -> usize {
    let code = without_strings(written);
    let mut depth = 0_i32;
    let parts = code.split(|c| {
        depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
        c == ',' && depth == 0
    });
    // A text leaves blanks, and a comma may stand behind the last one.
    let n_parts = parts.count();
    let ends_open = written.trim_end().ends_with(',');
    if written.trim().is_empty() { 0 } else { n_parts - usize::from(ends_open) }
}

/// What to write where nothing better is known: what such a text looks like.
pub(super) fn example(is_template: bool) -> &'static str {
    if is_template {
        "as in `{{ data.name | upper }}` and `{% if data.spam %}spam{% endif %}`"
    } else {
        "as in `data.status == \"published\" and data.count > 3`"
    }
}

/// What other gateways, or our own handshakes, call what stands elsewhere here.
const OTHER_NAMES: [(&str, &str); 10] = [
    ("body", "`payload`"),
    ("headers", "`event.headers`"),
    ("id", "`event.id`, or `data.id` for a field of the body"),
    ("json", "`payload`"),
    ("query", "`event.query`"),
    ("received_at", "`event.received_at`"),
    ("req", "`event`"),
    ("request", "`event`"),
    ("source", "`event.source`, or `data.source` for a field of the body"),
    ("type", "`event.type`, or `data.type` for a field of the body"),
];

/// What to write in place of a name at `start` of `text` that stands for nothing.
pub(super) fn near_name(text: &str, start: usize, name: &str, known: &[&str]) -> String {
    let before = text.get(..start).unwrap_or_default().trim_end();
    let behind = text.get(start + name.len()..).unwrap_or_default().trim_start();
    let lower = name.to_ascii_lowercase();
    if ["true", "false"].contains(&lower.as_str()) {
        return format!("write `{lower}`");
    }
    if behind.starts_with('(') {
        return match lower.as_str() {
            "len" | "strlen" | "size" => "write `x | length`".to_owned(),
            "now" => "write `event.received_at`: when the event came".to_owned(),
            _ if FILTERS.contains(&lower.as_str()) => format!("write `x | {lower}`"),
            _ => {
                "what works on a value is a filter behind `|`, as in `data.name | upper`".to_owned()
            }
        };
    }
    if let Some((_, ours)) = OTHER_NAMES.iter().find(|(theirs, _)| *theirs == lower) {
        return format!("write {ours}");
    }
    if let Some(near) = nearest(name, known.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    if behind.starts_with(['.', '[']) {
        return format!("fields of the body stand in `data` and `payload`, as in `data.{name}`");
    }
    if before.ends_with(['=', '<', '>']) || behind.starts_with(['=', '!', '<', '>']) {
        return format!("a text stands in quotation marks: `\"{name}\"`");
    }
    format!("a field of the body is `data.{name}`, and a text `\"{name}\"`")
}

/// The filter that was probably meant.
pub(super) fn near_filter(name: &str) -> String {
    let other = OTHER_FILTERS.iter().find(|(theirs, _)| *theirs == name);
    let begun = FILTERS.into_iter().find(|ours| name.len() > 2 && ours.starts_with(name));
    match (other, begun.or_else(|| nearest(name, FILTERS))) {
        (Some((_, ours)), _) => format!("write `| {ours}`"),
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) => format!("the filters are {}", FILTERS.join(", ")),
    }
}

/// The method that was probably meant.
pub(super) fn near_method(name: &str) -> String {
    let other = OTHER_METHODS.iter().find(|(theirs, _)| *theirs == name);
    match (other, nearest(name, METHODS.iter().copied())) {
        (Some((_, ours)), _) => format!("write {ours}"),
        // A method, called on a value that has none of that name.
        (None, Some(same)) if same == name && FILTERS.contains(&name) => {
            format!("write `x | {name}`")
        }
        (None, Some(same)) if same == name => "what it is called on is no text".to_owned(),
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) if FILTERS.contains(&name) => format!("write `x | {name}`"),
        (None, None) => format!("the methods are {}", METHODS.join(", ")),
    }
}

/// The test that was probably meant.
pub(super) fn near_test(name: &str) -> String {
    match (name, nearest(name, TESTS)) {
        ("empty" | "blank", _) => "write `not x`: what is empty counts as false".to_owned(),
        (_, Some(near)) => format!("did you mean `{near}`?"),
        (_, None) => format!("the tests are {}", TESTS.join(", ")),
    }
}

/// Where `word` is by itself, not as a field of something.
pub(super) fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(start, _)| start).find(|&start| {
        let before = text.get(..start).unwrap_or_default().chars().next_back();
        let after = text.get(start + word.len()..).unwrap_or_default().chars().next();
        !before.is_some_and(|c| is_part(c) || c == '.') && !after.is_some_and(is_part)
    })
}
