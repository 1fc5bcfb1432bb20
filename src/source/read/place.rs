//! Reads the table that names one place in a request, and the handshake made of such tables.

use crate::settings::Table;

use super::super::handshake::{Answer, Handshake, Signing};
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

/// `[source.NAME.handshake]`.
pub(super) fn read_handshake(mut table: Table<'_>) -> Option<Handshake> {
    const KINDS: &[&str] = &["header", "query", "json", "form"];
    let echo = table.table("echo").map(|table| read_place(table, KINDS));
    let hash = table.table("hash").map(|table| read_place(table, KINDS));
    let token = table.table("token").map(|table| read_place(table, KINDS));
    let when = table.table("when").map(|mut table| {
        let text = table.require::<String>("is");
        let place = read_place(table, KINDS);
        place.zip(text.map(Into::into))
    });
    let is_signed = table.take::<bool>("signed");
    let answer = match (echo, hash) {
        (Some(place), None) => place.map(Answer::Echo),
        (None, Some(place)) => place.map(Answer::Hash),
        (_, _) => {
            let help = "write `echo = { query = \"challenge\" }` or `hash = { json = \"…\" }`";
            table.problem_here("a handshake has either `echo` or `hash`", help);
            None
        }
    };
    if matches!(answer, Some(Answer::Hash(_))) && is_signed == Some(false) {
        let help = "leave `signed` out";
        table.problem("signed", "anybody could have text of his own hashed with the secret", help);
        return None;
    }
    table.finish();
    let answer = answer?;
    let is_outside = matches!(&answer, Answer::Echo(Place::Query(_) | Place::Header(_)));
    let signing = if is_signed.unwrap_or(!is_outside) { Signing::Signed } else { Signing::Open };
    let when = when.map_or(Some(None), |when| when.map(Some))?;
    let token = token.map_or(Some(None), |token| token.map(Some))?;
    Some(Handshake { when, answer, token, signing, ..Handshake::SIGNED })
}
