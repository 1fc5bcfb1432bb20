//! Fields that no sample has.

use std::sync::Arc;

use minijinja::value::ValueKind;

use crate::event::Event;
use crate::expr::{Field, Part, ROOTS, Value};
use crate::settings::{is_one_slip, nearest};
use crate::text::is_field_name;

use super::{Lint, names, some_of};

/// What an event has under `event`.
const EVENT: [&str; 6] = ["id", "source", "type", "received_at", "headers", "query"];

/// The most names that are told.
const NAMES_MAX: usize = 12;

/// The most items of a list, and values of a map, that are looked at.
const ITEMS_MAX: usize = 50;

/// How much of a path a value has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// All of it, or what is there does not say: an empty list.
    All,
    /// So many steps, to a `null`: it may be anything in a real event.
    Null(usize),
    /// So many steps; then there are only these names.
    Only(usize, Vec<String>),
}

impl Depth {
    /// What is known of a field where either value may be the one that is meant.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Null(one), Self::Null(other)) => Self::Null(one.max(other)),
            // The other says which names there are.
            (Self::Null(_), only) | (only, Self::Null(_)) => only,
            (Self::Only(one, mut names), Self::Only(other, more)) if one == other => {
                names.extend(more);
                names.sort();
                names.dedup();
                Self::Only(one, names)
            }
            (Self::Only(one, names), Self::Only(other, more)) => {
                if one > other {
                    Self::Only(one, names)
                } else {
                    Self::Only(other, more)
                }
            }
        }
    }
}

impl Lint<'_> {
    pub(super) fn fields(&mut self) {
        let has_samples = !self.samples.is_empty();
        let has_all_samples = has_samples && self.has_all_samples();
        let mut nulls: Vec<(String, String)> = Vec::new();
        for text in self.trial.texts() {
            for field in text.words.fields() {
                let words = text.words.source().get(field.range.clone()).unwrap_or_default();
                let Some(Part::Name(root)) = field.path.first() else { continue };
                if !ROOTS.contains(&root.as_str()) {
                    self.no_root(&text.key, words, root);
                    continue;
                }
                // What `event` has is the same of every sender.
                let is_of_event = root == "event";
                let depth = match field.path.get(1..) {
                    Some(rest) if is_of_event => depth_of_event(rest),
                    _ if has_samples => depth(&field, &self.samples),
                    _ => Depth::All,
                };
                match depth {
                    Depth::Null(_) if !has_all_samples => {}
                    Depth::Null(n_steps) => {
                        let told = (text.key.clone(), shown(&field, n_steps + 1));
                        let is_wanted = !field.may_be_missing && n_steps + 2 > field.n_given;
                        if is_wanted && !nulls.contains(&told) {
                            self.note_null(&text.key, words, &told.1);
                            nulls.push(told);
                        }
                    }
                    // What else may come, no sample shows: a field of that is told where it is a slip of one that is known.
                    Depth::Only(n_steps, known)
                        if !has_all_samples
                            && !is_of_event
                            && !is_slip(&field, n_steps, &known) => {}
                    Depth::Only(n_steps, known) if n_steps + 2 > field.n_given => {
                        self.missing(&text.key, words, &field, n_steps, &known);
                    }
                    // All of it is there; or the missing part was told where its name was given.
                    Depth::All | Depth::Only(..) => {}
                }
            }
        }
    }

    /// A field that is asked for, and that no sample has: they have `known` there.
    fn missing(&mut self, key: &str, words: &str, field: &Field, n_steps: usize, known: &[String]) {
        let is_of_event = matches!(field.path.first(), Some(Part::Name(root)) if root == "event");
        let Some(Part::Name(last)) = field.path.get(n_steps + 1) else { return };
        let near = nearest(last, known.iter().map(String::as_str));
        // Without a near name it may be a field that only some events have.
        let is_complete = is_of_event || self.is_complete();
        if near.is_none() && (field.may_be_missing || !is_complete) {
            return;
        }
        let (parent, path) = (shown(field, n_steps + 1), shown(field, n_steps + 2));
        let is_method = ["items", "keys", "values"].contains(&last.as_str());
        let help = match near {
            _ if last == "length" => format!("write `{parent} | length`"),
            Some(near) => format!("did you mean `{parent}{}`?", written(near)),
            None if known.is_empty() => "there it is a text or a number".to_owned(),
            None if is_method => format!("write `{parent}.{last}()`"),
            None => format!("`{parent}` has {}", some_of(known, NAMES_MAX)),
        };
        let message = if is_of_event {
            format!("there is no `{path}`")
        } else {
            format!("no sample of {} has `{path}`", names(&self.samples))
        };
        self.warn(key, words, message, help);
    }

    /// An item of `events` that is asked as if it were one of the three.
    fn no_root(&mut self, key: &str, words: &str, name: &str) {
        let is_of_data = |event: &Arc<Event>| {
            event
                .data()
                .is_ok_and(|data| data.get_attr(name).is_ok_and(|field| !field.is_undefined()))
        };
        let below = if EVENT.contains(&name) {
            Some("event")
        } else {
            self.samples.iter().any(is_of_data).then_some("data")
        };
        let help = match (below, nearest(name, ROOTS)) {
            (Some(root), _) => {
                format!("write `{}`", words.replacen(name, &format!("{root}.{name}"), 1))
            }
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => "a field of the body is below `data` or `payload`".to_owned(),
        };
        let message =
            format!("an item of `events` has `event`, `payload` and `data`, and no `{name}`");
        self.warn(key, words, message, help);
    }

    /// A field of what is `null`: whether there ever is one, no sample says.
    fn note_null(&mut self, key: &str, words: &str, parent: &str) {
        let message = format!(
            "`{parent}` is null in every sample of {}: what is asked for of it is not looked at",
            names(&self.samples)
        );
        let help = format!(
            "try it with an event that has it: `gatepost handlers try {} --event ID`",
            self.name
        );
        self.report.note(key, self.config.place_of(key), words, message, help);
    }
}

/// Whether the step that no sample has is one of `known`, written wrong, and the text cannot do without it.
fn is_slip(field: &Field, n_steps: usize, known: &[String]) -> bool {
    let step = field.path.get(n_steps + 1);
    let Some(Part::Name(name)) = step.filter(|_| !field.may_be_missing) else { return false };
    known.iter().any(|one| is_one_slip(name, one))
}

/// The first steps of the path, as they are told.
pub(super) fn shown(field: &Field, n_parts: usize) -> String {
    let mut shown = String::new();
    for part in field.path.iter().take(n_parts) {
        match part {
            Part::Name(name) if shown.is_empty() => shown.push_str(name),
            Part::Name(name) => shown.push_str(&written(name)),
            Part::Item | Part::Entry => shown.push_str("[]"),
        }
    }
    shown
}

/// A step to a field as a text has to write it.
pub(super) fn written(name: &str) -> String {
    if is_field_name(name) { format!(".{name}") } else { format!("[{name:?}]") }
}

/// How much of the field the samples have.
pub(super) fn depth(field: &Field, samples: &[Arc<Event>]) -> Depth {
    let Some(Part::Name(root)) = field.path.first() else { return Depth::All };
    let rest = field.path.get(1..).unwrap_or_default();
    let depths = samples.iter().map(|event| match root.as_str() {
        "payload" => event.payload().map_or(Depth::All, |payload| walk(payload.value(), rest, 0)),
        _ => event.data().map_or(Depth::All, |data| walk(&data, rest, 0)),
    });
    depths.reduce(Depth::or).unwrap_or(Depth::All)
}

/// The same below `event`.
pub(super) fn depth_of_event(rest: &[Part]) -> Depth {
    match rest.first() {
        Some(Part::Name(name)) if !EVENT.contains(&name.as_str()) => {
            Depth::Only(0, EVENT.map(str::to_owned).to_vec())
        }
        _ => Depth::All,
    }
}

/// How much of a path `value` has, which is so many steps from the root.
fn walk(value: &Value, path: &[Part], n_steps: usize) -> Depth {
    let Some((part, rest)) = path.split_first() else { return Depth::All };
    let each = |values: &mut dyn Iterator<Item = Value>| {
        let depths = values.take(ITEMS_MAX).map(|value| walk(&value, rest, n_steps + 1));
        depths.reduce(Depth::or).unwrap_or(Depth::All)
    };
    match part {
        Part::Item if value.kind() == ValueKind::Seq => {
            value.try_iter().map_or(Depth::All, |mut items| each(&mut items))
        }
        Part::Entry if value.kind() == ValueKind::Map => {
            let names = value.try_iter().into_iter().flatten();
            each(&mut names.filter_map(|name| value.get_item(&name).ok()))
        }
        Part::Item | Part::Entry => Depth::All,
        Part::Name(name) => match value.get_attr(name) {
            Ok(field) if !field.is_undefined() => walk(&field, rest, n_steps + 1),
            _ if value.is_none() => Depth::Null(n_steps),
            _ => Depth::Only(n_steps, names_of(value)),
        },
    }
}

/// The names of a map; a text or a number has none.
fn names_of(value: &Value) -> Vec<String> {
    if value.kind() != ValueKind::Map {
        return Vec::new();
    }
    let names = value.try_iter().into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}
