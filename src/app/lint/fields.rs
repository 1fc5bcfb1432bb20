//! Fields that no sample has.

use std::sync::Arc;

use minijinja::value::ValueKind;

use crate::event::Event;
use crate::expr::{Field, Part, Value};
use crate::settings::nearest;

use super::{Lint, names, some_of};

/// What an event has under `event`.
const EVENT: [&str; 5] = ["id", "source", "type", "received_at", "headers"];

/// The most names that are told.
const NAMES_MAX: usize = 12;

/// How much of a path a value has.
#[derive(Debug, PartialEq, Eq)]
enum Depth {
    /// All of it, or what is there does not say: `null`, an empty list.
    All,
    /// So many steps; then there are only these names.
    Only(usize, Vec<String>),
}

impl Lint<'_> {
    pub(super) fn fields(&mut self) {
        let has_samples = !self.samples.is_empty() && self.has_all_samples();
        for text in self.trial.texts() {
            for field in text.words.fields() {
                // What `event` has is the same of every sender.
                let is_of_event =
                    matches!(field.path.first(), Some(Part::Name(root)) if root == "event");
                let missing = match field.path.get(1..) {
                    Some(rest) if is_of_event => missing_of_event(rest),
                    _ if has_samples => missing(&field, &self.samples),
                    _ => None,
                };
                let Some((path, known)) = missing else { continue };
                if path.len() <= field.n_given {
                    continue;
                }
                let last = path.last().cloned().unwrap_or_default();
                let near = nearest(&last, known.iter().map(String::as_str));
                // Without a near name it may be a field that only some events have.
                let is_complete = is_of_event || self.is_complete();
                if near.is_none() && (field.may_be_missing || !is_complete) {
                    continue;
                }
                let (_, parents) = path
                    .split_last()
                    .map_or((None, &[][..]), |(last, parents)| (Some(last), parents));
                let shown = path.join(".");
                let help = match near {
                    _ if last == "length" => format!("write `{} | length`", parents.join(".")),
                    None if known.is_empty() => "there it is a text or a number".to_owned(),
                    Some(near) => format!("did you mean `{}.{near}`?", parents.join(".")),
                    None => format!("`{}` has {}", parents.join("."), some_of(&known, NAMES_MAX)),
                };
                let message = if is_of_event {
                    format!("there is no `{shown}`")
                } else {
                    format!("no sample of {} has `{shown}`", names(&self.samples))
                };
                let words = text.words.source().get(field.range.clone()).unwrap_or_default();
                self.warn(&text.key, words, message, help);
            }
        }
    }
}

/// The path up to the first name that none of the samples has, and the names that they have there.
fn missing(field: &Field, samples: &[Arc<Event>]) -> Option<(Vec<String>, Vec<String>)> {
    let Some(Part::Name(root)) = field.path.first() else { return None };
    let rest = field.path.get(1..).unwrap_or_default();
    let mut deepest: Option<(usize, Vec<String>)> = None;
    for event in samples {
        let depth = match root.as_str() {
            "payload" => event.payload().map_or(Depth::All, |payload| walk(payload.value(), rest)),
            _ => event.data().map_or(Depth::All, |data| walk(&data, rest)),
        };
        let Depth::Only(n_steps, names) = depth else { return None };
        match &mut deepest {
            Some((most, known)) if *most == n_steps => {
                known.extend(names);
                known.sort();
                known.dedup();
            }
            Some((most, _)) if *most > n_steps => {}
            _ => deepest = Some((n_steps, names)),
        }
    }
    let (n_steps, known) = deepest?;
    let shown = field.path.iter().take(n_steps + 2).map(|part| match part {
        Part::Name(name) => name.clone(),
        Part::Item => "[]".to_owned(),
    });
    Some((shown.collect(), known))
}

/// The same below `event`.
fn missing_of_event(rest: &[Part]) -> Option<(Vec<String>, Vec<String>)> {
    match rest.first() {
        Some(Part::Name(name)) if !EVENT.contains(&name.as_str()) => {
            Some((vec!["event".to_owned(), name.clone()], EVENT.map(str::to_owned).to_vec()))
        }
        _ => None,
    }
}

fn walk(value: &Value, path: &[Part]) -> Depth {
    let mut value = value.clone();
    for (index, part) in path.iter().enumerate() {
        value = match part {
            Part::Item => match value.get_item_by_index(0) {
                Ok(item) if !item.is_undefined() => item,
                _ => return Depth::All,
            },
            Part::Name(name) => match value.get_attr(name) {
                Ok(field) if !field.is_undefined() => field,
                // What a sample has as `null` may be anything in a real event.
                _ if value.is_none() => return Depth::All,
                _ => return Depth::Only(index, names_of(&value)),
            },
        };
    }
    Depth::All
}

/// The names of a map; a text or a number has none.
fn names_of(value: &Value) -> Vec<String> {
    if value.kind() != ValueKind::Map {
        return Vec::new();
    }
    let names = value.try_iter().into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}
