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

pub(super) fn read(table: &mut Table<'_>, sources: &[SourceName]) -> Vec<EventGlob> {
    let Some(value) = table.raw("on", "a list (each a pattern `source:type`)") else {
        return Vec::new();
    };
    let globs = read_globs(&value, sources, sources);
    if globs.is_empty() && value.as_items().is_some_and(|items| items.is_empty()) {
        let help = "leave `on` out for everything but `gatepost:*`";
        value.problem("an empty list matches no event", help);
    }
    globs
}

/// Reads a list of patterns, or one alone. A pattern whose source is none of `sources` would never
/// match; one that is left out is probably of those that are `likely`.
pub(super) fn read_globs(
    value: &Value<'_>,
    sources: &[SourceName],
    likely: &[SourceName],
) -> Vec<EventGlob> {
    let items = value.as_items().unwrap_or_else(|| vec![value.clone()]);
    let mut globs = Vec::new();
    for item in items {
        if let Some(text) = item.as_str().filter(|text| !text.contains(':') && !text.is_empty())
            && let Some(meant) = meant(text, sources, likely)
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

/// The sources whose events `on` lets through; all of them where it lets none.
pub(super) fn sources_of(on: &[EventGlob], sources: &[SourceName]) -> Vec<SourceName> {
    let is_wanted = |name: &&SourceName| on.iter().any(|glob| glob.source.matches(name.as_str()));
    let wanted: Vec<SourceName> = sources.iter().filter(is_wanted).cloned().collect();
    if wanted.is_empty() { sources.to_vec() } else { wanted }
}

/// What to write in place of a source or a type alone; `None` = there is no source.
fn meant(text: &str, sources: &[SourceName], likely: &[SourceName]) -> Option<String> {
    if sources.iter().any(|name| name.as_str() == text) || text == OWN_SOURCE {
        return Some(format!("write `\"{text}:*\"` for all events of that source"));
    }
    // `hyvor.comment.create`
    let known = sources.iter().map(SourceName::as_str).chain([OWN_SOURCE]);
    let split = known.filter_map(|name| {
        let event_type = text.strip_prefix(name)?.strip_prefix(['.', '/'])?;
        Some((name, event_type)).filter(|_| !event_type.is_empty())
    });
    if let Some((name, event_type)) = split.max_by_key(|(name, _)| name.len()) {
        return Some(format!("write `\"{name}:{}\"`", event_type.escape_debug()));
    }
    let (first, others) = likely.split_first()?;
    let write = format!("write `\"{first}:{}\"`", text.escape_debug());
    if others.is_empty() {
        return Some(write);
    }
    let others: Vec<&str> = others.iter().map(SourceName::as_str).collect();
    Some(format!("{write}, or another source before it: {}", others.join(", ")))
}
