//! Single values in what is asked: names, and a field of the body.

use std::collections::BTreeSet;

use url::form_urlencoded::byte_serialize;

use crate::event::{HandlerName, SourceName};
use crate::queue::BodyFilter;

use super::ApiError;

pub(super) fn source(text: &str) -> Result<SourceName, ApiError> {
    SourceName::parse(text).map_err(|err| ApiError::Bad(err.to_string()))
}

pub(super) fn handler(text: &str) -> Result<HandlerName, ApiError> {
    HandlerName::parse(text).map_err(|err| ApiError::Bad(err.to_string()))
}

/// A filter in words, for the action log; `None` = it asks for nothing.
pub(super) fn words_of<const N: usize>(parts: [(&str, Option<String>); N]) -> Option<String> {
    let said = |(key, value): (&str, Option<String>)| value.map(|value| format!("{key} {value}"));
    let said = parts.into_iter().filter_map(said).collect::<Vec<_>>().join(", ");
    (!said.is_empty()).then_some(said)
}

/// Events that have `value` at a dotted path of their JSON body.
pub(super) fn json_equals(path: &str, value: &str) -> BodyFilter {
    let parts = parts_of(path).into_iter().map(|part| part.replace('~', "~0").replace('/', "~1"));
    let pointer = parts.fold(String::new(), |pointer, part| pointer + "/" + &part);
    BodyFilter::JsonEquals { pointer, value: value.to_owned() }
}

/// Events that have `text` in their body, as it is or as writers of JSON and of forms escape it: PHP and Python write
/// `Gr\u00fc\u00dfe` and `https:\/\/example.com`.
pub(super) fn contains(text: &str) -> BodyFilter {
    BodyFilter::Contains(written(&[text.to_owned()]))
}

/// The same whatever the case of its letters. Beyond ASCII they are as they are typed, all small, all large, or
/// large at the beginning of each word.
pub(super) fn contains_in_any_case(text: &str) -> BodyFilter {
    let mut ways =
        written(&[text.to_owned(), text.to_lowercase(), text.to_uppercase(), titled(text)]);
    // What differs by letters of ASCII only is looked for once.
    let mut known = BTreeSet::new();
    ways.retain(|way| known.insert(way.to_ascii_lowercase()));
    BodyFilter::ContainsInAnyCase(ways)
}

/// With the first letter of each word large, and the others small.
fn titled(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut is_in_word = false;
    for c in text.to_lowercase().chars() {
        if is_in_word {
            titled.push(c);
        } else {
            titled.extend(c.to_uppercase());
        }
        is_in_word = c.is_alphanumeric();
    }
    titled
}

/// Each way in which bodies have one of `texts`.
fn written(texts: &[String]) -> Vec<Vec<u8>> {
    let mut ways = Vec::new();
    for text in texts {
        ways.extend([text.clone(), byte_serialize(text.as_bytes()).collect()]);
        for unicode in [Unicode::Plain, Unicode::Lower, Unicode::Upper] {
            ways.extend(["/", "\\/"].map(|slash| escaped_for_json(text, slash, unicode)));
        }
    }
    let mut known = BTreeSet::new();
    ways.retain(|way| known.insert(way.clone()));
    ways.into_iter().map(String::into_bytes).collect()
}

/// How a writer of JSON has what is not ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unicode {
    Plain,
    Lower,
    Upper,
}

fn escaped_for_json(text: &str, slash: &str, unicode: Unicode) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push_str("\\t"),
            '/' => escaped.push_str(slash),
            c if c.is_ascii() || unicode == Unicode::Plain => escaped.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let hex = match unicode {
                        Unicode::Upper => format!("\\u{unit:04X}"),
                        Unicode::Lower | Unicode::Plain => format!("\\u{unit:04x}"),
                    };
                    escaped.push_str(&hex);
                }
            }
        }
    }
    escaped
}

/// The parts of `data.items[0].id`, which may also be written `$.data.items.0.id` or, for names with
/// other signs in them, `$.data["a.b"]`.
fn parts_of(path: &str) -> Vec<String> {
    let path = path.strip_prefix("$.").or_else(|| path.strip_prefix('$')).unwrap_or(path);
    let (mut parts, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        let bracketed = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        let (part, behind) = match bracketed {
            Some((inner, behind)) => (inner.trim_matches(['"', '\'']), behind),
            None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()).max(1)),
        };
        parts.push(part.to_owned());
        rest = behind.strip_prefix('.').unwrap_or(behind);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_looked_for_as_bodies_have_it() {
        let texts = |text: &str| {
            let BodyFilter::Contains(texts) = contains(text) else { panic!("{text}") };
            texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(texts("plain"), ["plain"]);
        assert_eq!(
            texts("Gr\u{fc}n/\u{1f600}"),
            [
                "Gr\u{fc}n/\u{1f600}",
                "Gr%C3%BCn%2F%F0%9F%98%80",
                "Gr\u{fc}n\\/\u{1f600}",
                "Gr\\u00fcn/\\ud83d\\ude00",
                "Gr\\u00fcn\\/\\ud83d\\ude00",
                "Gr\\u00FCn/\\uD83D\\uDE00",
                "Gr\\u00FCn\\/\\uD83D\\uDE00",
            ]
        );
        assert_eq!(texts("a \"b\""), ["a \"b\"", "a+%22b%22", "a \\\"b\\\""]);
    }

    #[test]
    fn text_in_any_case_is_looked_for_once_for_letters_of_ascii() {
        let texts = |text: &str| {
            let BodyFilter::ContainsInAnyCase(texts) = contains_in_any_case(text) else {
                panic!("{text}")
            };
            texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(texts("Anna"), ["Anna"]);
        assert!(
            texts("\u{43f}\u{440}\u{438} \u{e9}l")
                .contains(&"\u{41f}\u{440}\u{438} \u{c9}l".to_owned())
        );
        assert_eq!(
            texts("gr\u{fc}n"),
            ["gr\u{fc}n", "gr%C3%BCn", "gr\\u00fcn", "GR\u{dc}N", "GR%C3%9CN", "GR\\u00dcN"]
        );
    }

    #[test]
    fn paths_are_read_however_they_are_written() {
        for (path, expected) in [
            ("data.comment.id", "/data/comment/id"),
            ("$.data.items[0].id", "/data/items/0/id"),
            ("data.items.0.id", "/data/items/0/id"),
            ("$[1][2].x", "/1/2/x"),
            ("$.type", "/type"),
            ("$['a.b'].c[\"d/e\"]", "/a.b/c/d~1e"),
            ("a[", "/a/["),
            ("$", ""),
        ] {
            let BodyFilter::JsonEquals { pointer, .. } = json_equals(path, "1") else { panic!() };
            assert_eq!(pointer, expected, "{path}");
        }
    }
}
