//! What to write instead of what MiniJinja refused, by its reason.

use minijinja::ErrorKind;

use super::words::STATEMENTS;
use super::{near_filter, near_method, near_test};
use crate::settings::nearest;

/// What to write instead: the library's `detail`, the `words` that it refused, and whether these are of
/// a template. Empty where there is nothing to say.
pub(in crate::expr) fn remedy(
    kind: ErrorKind,
    detail: &str,
    words: &str,
    is_template: bool,
) -> String {
    // `filter uper is unknown`; of a name that is given to `map` or `select` there are the words alone.
    let quoted = || words.split(['"', '\'']).nth(1).unwrap_or_default();
    let named = || detail.split(' ').nth(1).unwrap_or_else(quoted);
    match kind {
        ErrorKind::SyntaxError => of_syntax(detail, words, is_template),
        ErrorKind::TemplateNotFound => {
            "write its text here, or in a `{% macro … %}` of this template".to_owned()
        }
        ErrorKind::UnknownMethod => {
            let called = words.split('(').next().unwrap_or_default();
            near_method(called.rsplit('.').next().unwrap_or_default().trim())
        }
        ErrorKind::UnknownFilter => near_filter(named()),
        ErrorKind::UnknownTest => near_test(named()),
        ErrorKind::UnknownFunction => {
            "what works on a value is a filter behind `|`, as in `data.name | upper`".to_owned()
        }
        ErrorKind::MissingArgument => {
            "what it works with stands in brackets behind it, as in `replace(\"a\", \"b\")`"
                .to_owned()
        }
        ErrorKind::TooManyArguments => {
            "leave out what it does not take, as in `truncate(80, end=\"…\")`".to_owned()
        }
        ErrorKind::OutOfFuel => {
            "work on a part of what the body has, as in `data.list[:100]`".to_owned()
        }
        ErrorKind::CannotUnpack => {
            "names and values of a map are `{% for name, value in data.map.items() %}`".to_owned()
        }
        ErrorKind::InvalidOperation => of_values(detail).to_owned(),
        _ => String::new(),
    }
}

/// What helps where a filter that calculates is given a text or a list.
const NEEDS_NUMBER: &str = "it works on a number; what may be something else is asked first, as in `(x | round) if x is number else x`";

/// What helps where values are not what an operator or a filter works on.
fn of_values(detail: &str) -> &'static str {
    let has = |part: &str| detail.contains(part);
    let is_missing = has("undefined") || has("none");
    let calculates = ["operator on unsupported types", "unable to calculate", "only be multiplied"];
    if calculates.into_iter().any(has) {
        return if is_missing {
            "what may be missing needs a value in its place, as in `(data.count or 0) + 1`"
        } else {
            "numbers are calculated with, and texts are joined by `~`"
        };
    }
    [
        ("not iterable", "a loop needs a list, as in `{% for x in data.list or [] %}`"),
        ("not callable", "write a field without brackets; a method is one of a text, list or map"),
        ("has no fields", "write `payload`: it is the whole text"),
        ("cannot round", NEEDS_NUMBER),
        ("absolute value", NEEDS_NUMBER),
        ("invalid float", NEEDS_NUMBER),
        ("to integer", NEEDS_NUMBER),
        ("to float", NEEDS_NUMBER),
        ("no amount", NEEDS_NUMBER),
        ("no date", "what may be something else is asked first, as in `x is number`"),
        ("length of value", "texts, lists and maps have a length; a number has it as `x | string`"),
        ("sum numbers", "name the field that is a number, as in `data.items | sum(\"price\")`"),
        ("date format", "as in `date(\"%d.%m.%Y\", tz=\"Europe/Berlin\")`"),
        ("time zone", "as in `date(\"%d.%m.%Y\", tz=\"Europe/Berlin\")`"),
        ("containment check", "`in` asks a text, a list or a map, as in `\"x\" in data.tags`"),
    ]
    .into_iter()
    .find_map(|(part, help)| has(part).then_some(help))
    .unwrap_or_default()
}

fn of_syntax(detail: &str, words: &str, is_template: bool) -> String {
    if let Some(statement) = detail.strip_prefix("unknown statement ") {
        return of_statement(statement);
    }
    let unexpected = detail.strip_prefix("unexpected ").unwrap_or_default();
    let help = match unexpected.split_once(", expected ") {
        Some((found, expected)) => of_tokens(found, expected, words, is_template),
        None => of_reason(detail, unexpected, words),
    };
    help.to_owned()
}

/// What a word at the beginning of `{% … %}` should have been.
fn of_statement(statement: &str) -> String {
    match statement {
        "end" => return "write `{% endif %}` or `{% endfor %}`".to_owned(),
        "elseif" | "elsif" => return "write `{% elif … %}`".to_owned(),
        "else" | "elif" => {
            return "it belongs behind `{% if … %}`, before `{% endif %}`".to_owned();
        }
        _ => {}
    }
    if let Some(opened) = statement.strip_prefix("end") {
        return format!("leave it out, or write `{{% {opened} … %}}` before it");
    }
    match nearest(statement, STATEMENTS) {
        Some(near) => format!("did you mean `{{% {near} … %}}`?"),
        None => {
            format!("a value stands in `{{{{ … }}}}`; statements are {}", STATEMENTS.join(", "))
        }
    }
}

/// What helps where one sign is there and another one should be.
fn of_tokens(found: &str, expected: &str, words: &str, is_template: bool) -> &'static str {
    let is_value =
        ["identifier", "string", "integer", "float", "`(`", "`[`", "`{`"].contains(&found);
    match (found, expected) {
        (_, "end of variable block") if is_value => {
            "join texts by `~`, or write each value in `{{ … }}` of its own"
        }
        (_, "end of variable block") => "`{{` is closed by `}}`",
        (_, "end of block") if words == "if" => "write `{% elif … %}`",
        ("end of input", _) if is_template => {
            "every `{{` is closed by `}}`, `{% if … %}` by `{% endif %}`, `{% for … %}` by \
             `{% endfor %}`"
        }
        (_, "end of block") if is_value => "join conditions by `and` or `or`, texts by `~`",
        (_, "end of block") => "`{%` is closed by `%}`",
        (_, "`)`") => "close the bracket: `)`",
        (_, "`]`") => "close the bracket: `]`",
        (_, "`,`" | "comma") => "write `,` between two values, or close the bracket",
        (_, "`:`") => "a map is written `{\"name\": data.name}`",
        (_, "in") => "a loop is written `{% for x in data.list %}`",
        (_, "assignment operator" | "`=`") => "write `{% set x = data.name %}`",
        ("end of input", _) => "something is missing at its end",
        (_, "identifier" | "identifier or integer") => {
            "a name stands there; a field of another name stands in brackets: `data[\"first name\"]`"
        }
        _ => "",
    }
}

/// What helps against a reason that names no sign.
fn of_reason(detail: &str, unexpected: &str, words: &str) -> &'static str {
    let has = |part: &str| detail.contains(part);
    match unexpected {
        "input after expression" => {
            return if words.starts_with([')', ']', '}']) {
                "leave it out: it closes no bracket"
            } else if words.starts_with(',') {
                "write one value, or a list in `[…]`"
            } else {
                "join conditions by `and` or `or`, texts by `~`"
            };
        }
        "end of string" => return "close the text by the quotation mark that it begins with",
        "end of comment" => return "`{#` is closed by `#}`",
        "end of raw block" => return "`{% raw %}` is closed by `{% endraw %}`",
        "character" => return "it means nothing here; a text stands in quotation marks",
        "" => {}
        _ => return "a value is missing there, such as `data.name`",
    }
    [
        (
            "expected statement",
            "behind `{%` stands a statement such as `if`; a value stands in `{{ … }}`",
        ),
        ("end of number", "write the number without `_` at its end"),
        ("invalid integer", "write so long a number as a text in quotation marks"),
        ("invalid float", "write the number as in `1.5`"),
        ("inside a loop", "it stands between `{% for … %}` and `{% endfor %}`"),
        ("reserved variable name", "give it another name"),
        ("can only assign", "write `{% set x = … %}`: a field cannot be changed"),
        ("call expression", "write `{% call name(…) %}`"),
        ("block", "leave it out: there are no other templates"),
        ("after keyword arg", "what has no name stands first, as in `truncate(80, end=\"…\")`"),
        ("recursion limit", "give a part of it a name by `{% set x = … %}` before"),
    ]
    .into_iter()
    .find_map(|(part, help)| has(part).then_some(help))
    .unwrap_or_default()
}
