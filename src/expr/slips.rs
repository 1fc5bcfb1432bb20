//! What to write instead of the likeliest slips: words of other languages, and templates where an
//! expression stands.

use std::ops::Range;

use minijinja::ErrorKind;

use crate::settings::nearest;

/// A slip in a text that does not compile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slip {
    pub(super) message: String,
    pub(super) help: String,
    pub(super) range: Range<usize>,
}

/// Other languages' words for what is called otherwise here, and how that is written. The longer
/// ones first.
const OPERATORS: [(&str, &str); 7] = [
    ("===", "`==`"),
    ("!==", "`!=`"),
    ("&&", "`and`"),
    ("||", "`or`"),
    ("?.", "`.`: what is missing has no fields, and is no error"),
    ("??", "`| default(…)`"),
    ("<>", "`!=`"),
];

/// Names for nothing in other languages.
const NOTHING: [&str; 5] = ["null", "nil", "NULL", "Null", "undefined"];

/// Names of filters, for those that are nearly one.
const FILTERS: [&str; 44] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "count",
    "date",
    "default",
    "dictsort",
    "escape",
    "first",
    "float",
    "format",
    "from_json",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "money",
    "reject",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "sort",
    "split",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
];

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
    in_code(text, &code)
}

/// The slip that makes a template one that does not compile: within its `{{ … }}` and `{% … %}`.
pub(super) fn in_template(text: &str) -> Option<Slip> {
    let code = without_strings(text);
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

fn in_code(text: &str, code: &str) -> Option<Slip> {
    let slip = |range: Range<usize>, help: String| {
        let word = code.get(range.clone()).unwrap_or_default();
        Some(Slip { message: format!("`{word}` means nothing here"), help, range })
    };
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

/// The methods of texts, lists and maps: Python's.
const METHODS: [&str; 33] = [
    "append",
    "capitalize",
    "count",
    "endswith",
    "extend",
    "find",
    "format",
    "get",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "items",
    "join",
    "keys",
    "lower",
    "lstrip",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "upper",
    "values",
];

/// What to write instead of what MiniJinja refused: its reason, and the words that it refused.
pub(super) fn remedy(kind: ErrorKind, detail: &str, words: &str) -> String {
    let fixed = match kind {
        ErrorKind::SyntaxError if detail.contains("end of variable block") => {
            "`{{` is closed by `}}`"
        }
        ErrorKind::SyntaxError if detail.contains("unexpected end of input") => {
            "every `{{` is closed by `}}`, `{% if … %}` by `{% endif %}`, `{% for … %}` by \
             `{% endfor %}`"
        }
        ErrorKind::UnknownMethod => {
            let called = words.split('(').next().unwrap_or_default();
            let name = called.rsplit('.').next().unwrap_or_default().trim();
            let other = OTHER_METHODS.iter().find(|(theirs, _)| *theirs == name);
            return match (other, nearest(name, METHODS)) {
                (Some((_, ours)), _) => format!("write {ours}"),
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (None, None) => format!("the methods are {}", METHODS.join(", ")),
            };
        }
        _ => "",
    };
    fixed.to_owned()
}

/// Other languages' methods.
const OTHER_METHODS: [(&str, &str); 6] = [
    ("includes", "`x in y`"),
    ("contains", "`x in y`"),
    ("slice", "`x[1:5]`"),
    ("substring", "`x[1:5]`"),
    ("toLowerCase", "`| lower`"),
    ("toUpperCase", "`| upper`"),
];

/// The filter that was probably meant.
pub(super) fn near_filter(name: &str) -> String {
    match nearest(name, FILTERS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the filters are {}", FILTERS.join(", ")),
    }
}

/// Where `word` stands by itself, not as a field of something.
pub(super) fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(start, _)| start).find(|&start| {
        let before = text.get(..start).unwrap_or_default().chars().next_back();
        let after = text.get(start.saturating_add(word.len())..).unwrap_or_default().chars().next();
        !before.is_some_and(|c| is_part(c) || c == '.') && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Escape, Expression, Template};

    #[track_caller]
    fn check(text: &str, words: &str, help: &str) {
        let err = Expression::compile(text).unwrap_err();
        assert_eq!(text.get(err.range.unwrap()), Some(words), "{text}");
        assert_eq!(err.help, help, "{text}");
    }

    #[test]
    fn expression_with_braces_is_written_without() {
        let text = "{{ data.status == '}}' }}";
        check(text, text, "write it without `{{ }}`: `data.status == '}}'`");
        let help = "write names without `{{ }}`, texts in quotation marks, and `~` between them";
        check("{{ data.a }}-{{ data.b }}", "{{ data.a }}-{{ data.b }}", help);
        check("{% if data.a %}b{% endif %}", "{% if data.a %}b{% endif %}", help);
    }

    #[test]
    fn words_of_other_languages_have_their_remedy() {
        check("data.a === '==='", "===", "write `==`");
        check("data.a !== 1", "!==", "write `!=`");
        check("data.a && data.b", "&&", "write `and`");
        check("data.a || data.b", "||", "write `or`");
        check("!data.a", "!", "write `not`");
        check("data.a == null", "null", "write `none`");
        check("data.a is undefined and data.b != nil", "nil", "write `none`");
        check("data.a ? 1 : 2", "?", "write `a if condition else b`");
        check("data.a = 'x'", "=", "compare with `==`");
        check("data?.a", "?.", "write `.`: what is missing has no fields, and is no error");
        check("data.a ?? 'x'", "??", "write `| default(…)`");
    }

    #[test]
    fn templates_have_the_same_remedies_in_their_code_only() {
        let compile = |text: &str| Template::compile(text, Escape::None);
        let err = compile("a && b {% if data.a && data.b %}x{% endif %}").unwrap_err();
        assert_eq!((err.range, err.help.as_str()), (Some(20..22), "write `and`"));
        compile("a && b === null {{ data.a | default('&&') }}").unwrap();
        let err = compile("{{ data.a }").unwrap_err();
        assert_eq!(err.help, "`{{` is closed by `}}`");
        let err = compile("{% if data.a %}").unwrap_err();
        assert!(err.help.contains("`{% endif %}`"), "{err:?}");
    }

    #[test]
    fn all_unknown_filters_are_told_with_the_nearest() {
        let err = Template::compile("{{ data.a | uper | truncat(5) }}", Escape::None).unwrap_err();
        assert_eq!(err.message, "unknown filter: filter uper is unknown, and so is truncat");
        assert_eq!(err.help, "did you mean `upper`?");
    }

    #[test]
    fn unknown_methods_have_their_remedy() {
        let help = |text: &str| Expression::compile(text).unwrap_err().help;
        assert_eq!(help("event.type.startsWith('x')"), "did you mean `startswith`?");
        assert_eq!(help("event.type.toUpperCase()"), "write `| upper`");
        assert!(help("event.type.flattenDeep()").starts_with("the methods are append, "));
    }

    #[test]
    fn good_texts_have_no_slips() {
        for text in ["data.a != 1", "data.a <= 2 or not data.b", "data.a.get('x', default=1)"] {
            Expression::compile(text).unwrap();
            assert_eq!(in_expression(text), None, "{text}");
        }
    }
}
