//! Which settings differ, and which of them events can tell apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{self, Change, Config};
use crate::event::HandlerName;
use crate::handler::{KINDS, Kind};
use crate::secret::SecretRef;

/// What differs between two configurations.
#[derive(Debug, Default)]
pub(super) struct DifferingKeys {
    /// Handlers that may treat an event otherwise.
    pub(super) handlers: BTreeSet<HandlerName>,
    /// What is another one of where their events go, as in `database`.
    pub(super) targets: BTreeMap<HandlerName, BTreeSet<&'static str>>,
    /// Keys that no event says anything of, as in `handler.mail.retry` and `source.old (gone)`.
    pub(super) others: Vec<String>,
}

/// How a key shows in what becomes of an event.
enum Shows {
    InEvents,
    AsTarget(&'static str),
    /// Only where it fails.
    InFailures,
    Nowhere,
}

impl DifferingKeys {
    pub(super) fn between(old: &Config, new: &Config) -> Self {
        let names: BTreeSet<&HandlerName> =
            old.handlers.keys().chain(new.handlers.keys()).collect();
        let (mut found, mut others) = (Self::default(), BTreeSet::new());
        for change in config::diff(old, new) {
            let handler = names.iter().find_map(|name| {
                let rest = change.path.strip_prefix(&format!("handler.{name}"))?;
                (rest.is_empty() || rest.starts_with('.')).then_some((*name, rest))
            });
            let Some((name, rest)) = handler else {
                others.insert(shown(&change, 3));
                continue;
            };
            let key = rest.strip_prefix('.').unwrap_or_default();
            match shows(key) {
                Shows::InEvents => _ = found.handlers.insert(name.clone()),
                Shows::AsTarget(what) if !is_same_secret(old, new, &change.path) => {
                    found.handlers.insert(name.clone());
                    found.targets.entry(name.clone()).or_default().insert(what);
                }
                Shows::AsTarget(_) | Shows::InFailures | Shows::Nowhere => {
                    if matches!(shows(key), Shows::InFailures) {
                        found.handlers.insert(name.clone());
                    }
                    let is_of_kind = kind_of(key).is_some();
                    others.insert(shown(&change, if is_of_kind { 5 } else { 3 }));
                }
            }
        }
        found.others = others.into_iter().collect();
        found
    }
}

/// What `key` of a handler, empty for all of it, has to do with its events.
fn shows(key: &str) -> Shows {
    let Some((kind, own)) = kind_of(key) else {
        return match key {
            "" | "enabled" | "on" | "when" => Shows::InEvents,
            "order_by" => Shows::InFailures,
            _ => Shows::Nowhere,
        };
    };
    let is_at = |name: &str| {
        let rest = own.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let target = kind.targets.iter().find(|(name, _)| is_at(name));
    match target {
        Some((_, what)) => Shows::AsTarget(what),
        None if kind.planned.iter().any(|name| is_at(name)) => Shows::InEvents,
        None => Shows::Nowhere,
    }
}

/// `email` and `smtp` out of `email.smtp`.
fn kind_of(key: &str) -> Option<(&'static Kind, &str)> {
    let (name, own) = key.split_once('.').unwrap_or((key, ""));
    KINDS.iter().find(|kind| kind.name == name).map(|kind| (*kind, own))
}

/// Whether both have the same secret there, from wherever it comes.
fn is_same_secret(old: &Config, new: &Config, key: &str) -> bool {
    let secret = |config: &Config| config.secret_at(key).and_then(SecretRef::existing);
    let old = secret(old);
    old.is_some_and(|old| secret(new).is_some_and(|new| old.expose() == new.expose()))
}

/// The key down to its `depth`th part, and whether all of it came or went. No value is shown.
fn shown(change: &Change, depth: usize) -> String {
    let end = change.path.match_indices('.').nth(depth - 1).map(|(at, _)| at);
    let key = change.path.get(..end.unwrap_or(change.path.len())).unwrap_or_default();
    // Where a secret is kept is a part of the key that has it.
    let mut places = [".file", ".env", ".credential", ".create"].into_iter();
    let key = places.find_map(|place| key.strip_suffix(place)).unwrap_or(key);
    match (end, &change.old, &change.new) {
        (None, Some(old), None) if old.is_empty() => format!("{key} (gone)"),
        (None, None, Some(new)) if new.is_empty() => format!("{key} (new)"),
        _ => key.to_owned(),
    }
}
