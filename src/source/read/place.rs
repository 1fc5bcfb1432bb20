//! Reads the table that names one place in a request.

use crate::settings::Table;

use super::super::place::Place;

/// What a place may be.
pub(super) const PLACES: &[&str] = &["header", "query", "json", "form", "list"];

/// A table that names one place, and is then done with.
pub(super) fn read_place(mut table: Table<'_>, kinds: &[&str]) -> Option<Place> {
    let place = take_place(&mut table, kinds);
    table.finish();
    place
}

fn take_place(table: &mut Table<'_>, kinds: &[&str]) -> Option<Place> {
    let mut places = Vec::new();
    for kind in kinds {
        let Some(text) = table.take::<String>(kind) else { continue };
        places.push(match *kind {
            "header" => Place::header(&text),
            "query" => Place::Query(text.into()),
            "json" => Place::Json(text.into()),
            "form" => Place::Form(text.into()),
            _ => Place::List(text.into()),
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
