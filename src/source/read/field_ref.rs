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
            "json" => FieldRef::Json(text.into()),
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
