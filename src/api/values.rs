//! Single values in what is asked: names, and a field of the body.

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
