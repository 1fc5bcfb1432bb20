//! The kind table: `[handler.NAME.email]`.

use super::on;
use crate::deliver::EventGlob;
use crate::event::SourceName;
use crate::handler::{KINDS, Kind, KindSettings};
use crate::settings::{Table, nearest};

/// The key of a kind's own patterns over events.
const PATTERNS: &str = "delete_on";

/// What is easily taken for a kind, and the kind that does it.
const TAKEN_FOR_KINDS: [(&str, &str); 22] = [
    ("discord", "chat"),
    ("exec", "command"),
    ("forward", "http"),
    ("jsonl", "file"),
    ("mail", "email"),
    ("mariadb", "sql"),
    ("matrix", "chat"),
    ("mattermost", "chat"),
    ("mysql", "sql"),
    ("ntfy", "chat"),
    ("postgres", "sql"),
    ("postgresql", "sql"),
    ("program", "command"),
    ("script", "command"),
    ("shell", "command"),
    ("slack", "chat"),
    ("smtp", "email"),
    ("sqlite", "sql"),
    ("teams", "chat"),
    ("telegram", "chat"),
    ("webhook", "http"),
    ("worker", "command"),
];

/// A kind, and its settings where nothing is wrong with them.
type Read = (&'static Kind, Option<Box<dyn KindSettings>>);

/// Reads the one kind table of a handler. `None` = there is none, or more than one.
/// `on` is what the handler wants of `sources`.
pub(super) fn read(
    handler: &mut Table<'_>,
    sources: &[SourceName],
    on: &[EventGlob],
) -> Option<Read> {
    let mut found = Vec::new();
    for kind in KINDS {
        if !handler.has(kind.name) {
            continue;
        }
        let settings = handler.table(kind.name).and_then(|mut table| {
            let settings = (kind.read)(&mut table);
            // A kind does not know the sources: whether its patterns match one is seen here.
            if kind.planned.contains(&PATTERNS)
                && let Some(value) = table.raw(PATTERNS, "a list (each a pattern `source:type`)")
            {
                on::read_globs(&value, sources, &on::sources_of(on, sources));
            }
            table.finish();
            settings
        });
        found.push((*kind, settings));
    }
    match found.len() {
        0 => no_kind(handler),
        1 => {}
        _ => several_kinds(handler, &found),
    }
    if found.len() == 1 { found.pop() } else { None }
}

/// Names the kinds that there are; a table that is none is probably a slip of the pen.
fn no_kind(handler: &mut Table<'_>) {
    let names = || KINDS.iter().map(|kind| kind.name);
    let all = names().collect::<Vec<_>>().join(", ");
    let others = handler.unknown_tables();
    for other in &others {
        let taken = TAKEN_FOR_KINDS.iter().find(|(name, _)| name == other);
        let help = match (taken, nearest(other, names())) {
            (Some((service, "chat")), _) => {
                let path = handler.path();
                format!(
                    "`{service}` is a service of the kind `chat`: write `[{path}.chat.{service}]`"
                )
            }
            (Some((_, kind)), _) => {
                format!("the kind that does this is `{kind}`: write `[{}.{kind}]`", handler.path())
            }
            (None, Some(near)) => format!("did you mean `{near}`? The kinds are: {all}"),
            (None, None) => match handler.nearest_key(other) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the kinds are: {all}"),
            },
        };
        handler.reject(other, format_args!("unknown kind `{}`", other.escape_debug()), help);
    }
    let by_key = if others.is_empty() { kind_by_key(handler) } else { None };
    if let Some((key, kind)) = by_key {
        let path = handler.path().to_owned();
        handler.reject(
            key,
            "the kind of a handler is a table and no key",
            format_args!("write `[{path}.{kind}]` in place of it, and the kind's keys below that"),
        );
    } else if others.is_empty() && !handler.is_broken() {
        let path = handler.path().to_owned();
        handler.problem_here(
            "this handler has no kind: nothing says what it does",
            format_args!("add one of the tables `[{path}.KIND]`: {all}"),
        );
    }
}

/// A key that names the kind, as in `type = "http"`, and the kind that is meant.
fn kind_by_key(handler: &Table<'_>) -> Option<(&'static str, &'static str)> {
    ["kind", "type", "action", "driver"].into_iter().find_map(|key| {
        let word = handler.text_of(key)?;
        let kind = KINDS.iter().map(|kind| kind.name).find(|name| *name == word);
        let taken = || TAKEN_FOR_KINDS.iter().find(|(name, _)| *name == word);
        Some((key, kind.or_else(|| taken().map(|(_, kind)| *kind))?))
    })
}

fn several_kinds(handler: &Table<'_>, found: &[Read]) {
    let names: Vec<String> = found.iter().map(|(kind, _)| format!("`{}`", kind.name)).collect();
    let Some((last, _)) = found.last() else { return };
    handler.problem(
        last.name,
        format_args!("this handler has several kinds: {}", names.join(" and ")),
        "make a handler of its own for each: each has its own place in the queue",
    );
}
