//! `on`: which events a handler wants.

use crate::deliver::{EventGlob, OWN_SOURCE};
use crate::event::SourceName;
use crate::settings::{FromToml, Table, Value, nearest};

impl FromToml for EventGlob {
    fn expected() -> String {
        "a pattern `source:type`".to_owned()
    }

    fn example() -> String {
        "\"hyvor:comment.*\"".to_owned()
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        let Some(text) = value.as_str() else { return value.mismatch() };
        let glob = EventGlob::parse(text);
        if glob.is_none() {
            value.problem(
                format_args!("`{}` is not a pattern `source:type`", text.escape_debug()),
                "write `\"hyvor:comment.*\"`; `*` stands for any characters",
            );
        }
        glob
    }
}

/// Reads `on`.
pub(super) fn read(table: &mut Table<'_>, sources: &[SourceName]) -> Vec<EventGlob> {
    let Some(value) = table.raw("on", "a list (each a pattern `source:type`)") else {
        return Vec::new();
    };
    let globs = read_globs(&value, sources);
    if globs.is_empty() && value.as_items().is_some_and(|items| items.is_empty()) {
        let help = "leave `on` out for everything but `gatepost:*`";
        value.problem("an empty list matches no event", help);
    }
    globs
}

/// Reads a list of patterns, or one alone. A pattern whose source is none of `sources` would never
/// match.
pub(super) fn read_globs(value: &Value<'_>, sources: &[SourceName]) -> Vec<EventGlob> {
    let items = value.as_items().unwrap_or_else(|| vec![value.clone()]);
    let mut globs = Vec::new();
    for item in items {
        if let Some(text) = item.as_str().filter(|text| !text.contains(':') && !text.is_empty())
            && let Some(meant) = meant(text, sources)
        {
            let message = format_args!("`{}` is not a pattern `source:type`", text.escape_debug());
            item.problem(message, meant);
            continue;
        }
        let Some(glob) = item.clone().read::<EventGlob>() else { continue };
        let known = || sources.iter().map(SourceName::as_str).chain([OWN_SOURCE]);
        if !item.is_broken() && !known().any(|name| glob.source.matches(name)) {
            let wanted = glob.source.as_str();
            let help = match nearest(wanted, known()) {
                Some(near) => format!("did you mean `{near}:{}`?", glob.event_type.as_str()),
                None => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
            };
            item.problem(format_args!("no source is called `{}`", wanted.escape_debug()), help);
        }
        globs.push(glob);
    }
    globs
}

/// What to write in place of a source or a type alone; `None` = which source a type is of cannot be known.
fn meant(text: &str, sources: &[SourceName]) -> Option<String> {
    if sources.iter().any(|name| name.as_str() == text) || text == OWN_SOURCE {
        return Some(format!("write `\"{text}:*\"` for all events of that source"));
    }
    match sources {
        [only] => Some(format!("write `\"{only}:{}\"`", text.escape_debug())),
        _ => None,
    }
}
