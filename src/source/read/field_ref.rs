//! Reads the table that names one place in a request.

use http::HeaderName;

use crate::settings::Table;

use super::super::field_ref::FieldRef;

/// What a place may be.
pub(super) const PLACES: &[&str] = &["header", "query", "json", "form", "list"];

/// A table that names one place, and is then done with.
pub(super) fn read_field_ref(mut table: Table<'_>, kinds: &[&str]) -> Option<FieldRef> {
    let place = take_field_ref(&mut table, kinds);
    table.finish();
    place
}

fn take_field_ref(table: &mut Table<'_>, kinds: &[&str]) -> Option<FieldRef> {
    let mut places = Vec::new();
    for kind in kinds {
        let Some(text) = table.take::<String>(kind) else { continue };
        places.push(match *kind {
            "header" => {
                check_header(table, &text);
                FieldRef::header(&text)
            }
            "query" => FieldRef::Query(text.into()),
            "json" => {
                check_json_path(table, "json", &text);
                FieldRef::Json(text.into())
            }
            "form" => FieldRef::Form(text.into()),
            _ => FieldRef::List(text.into()),
        });
    }
    let n_named = kinds.iter().filter(|kind| table.has(kind)).count();
    if n_named != 1 {
        let message = if n_named == 0 { "this names no place" } else { "this names two places" };
        table.problem_here(message, format_args!("write exactly one of: {}", kinds.join(", ")));
        return None;
    }
    places.pop()
}

/// A path as `JSONPath`, a JSON pointer or a program writes it would be looked for as it stands, and never be found.
pub(super) fn check_json_path(table: &Table<'_>, key: &str, path: &str) {
    if let Some(dotted) = as_dotted(path) {
        table.problem(
            key,
            format_args!("`{}` would be looked for as one name", path.escape_debug()),
            format_args!(
                "write names and places with `.` between them: `{key} = \"{}\"`",
                dotted.escape_debug()
            ),
        );
    }
}

/// `data.0.type` of `$.data[0].type`, `/data/0/type` and `data[0]["type"]`; `None` = it is a dotted path.
fn as_dotted(path: &str) -> Option<String> {
    let (is_rooted, rest) = match path.strip_prefix('$') {
        Some(rest) if rest.is_empty() || rest.starts_with(['.', '[']) => (true, rest),
        _ => (false, path),
    };
    let pointer = path.strip_prefix('/').filter(|rest| !rest.is_empty());
    let has_index = rest.split_once('[').is_some_and(|(_, behind)| behind.contains(']'));
    if !is_rooted && pointer.is_none() && !has_index {
        return None;
    }
    let steps = match pointer {
        Some(pointer) => pointer.split('/').collect::<Vec<_>>(),
        None => rest.split(['.', '[', ']']).collect(),
    };
    let steps = steps.into_iter().map(|step| step.trim_matches(['"', '\'']));
    Some(steps.filter(|step| !step.is_empty()).collect::<Vec<_>>().join("."))
}

/// A header is named without what stands around it in a request or a configuration of another program.
pub(super) fn check_header(table: &Table<'_>, name: &str) {
    // nginx's variables have signs that names may have, and none does.
    if HeaderName::from_bytes(name.as_bytes()).is_err() || name.starts_with('$') {
        table.problem(
            "header",
            format_args!("`{}` is not the name of a header", name.escape_debug()),
            "write its name alone, as `header = \"X-Signature\"`",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_another_language_is_told_in_ours() {
        for (path, dotted) in [
            ("$.event", Some("event")),
            ("$['data'].type", Some("data.type")),
            ("data[0].type", Some("data.0.type")),
            ("data[0][\"type\"]", Some("data.0.type")),
            ("value[]", Some("value")),
            ("/data/0/type", Some("data.0.type")),
            ("data.0.type", None),
            ("$type", None),
            ("a/b", None),
            ("x[", None),
            ("", None),
        ] {
            assert_eq!(as_dotted(path).as_deref(), dotted, "{path}");
        }
    }
}
