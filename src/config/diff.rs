//! What a reload would change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Config;
use crate::settings::ConfigEntry;

/// One difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key, or the whole of a source or handler.
    pub path: String,
    /// What it was; `None` = it was not there.
    pub old: Option<String>,
    /// What it becomes; `None` = it goes.
    pub new: Option<String>,
    pub effect: Effect,
    /// What else its owner should know; empty where that is nothing.
    pub note: &'static str,
}

/// When a change counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// From the reload on.
    Reload,
    /// From the next start on.
    Restart,
}

/// What is opened once, at the start.
const AT_START: [&str; 9] = [
    "server.listen",
    "server.request_timeout",
    "server.landlock",
    "server.tls",
    "server.acme",
    "queue",
    "admin",
    "log",
    "traces",
];

/// What of it is asked for each time.
const EACH_TIME: [&str; 5] =
    ["queue.orphan_retention", ACK, "admin.hosts", "admin.token", "admin.read_only_token"];
/// Where several gateways share a log it is not.
const ACK: &str = "queue.ack";

/// What differs between `old` and `new`, in the order of the keys. Hidden values are not shown.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    diff_where(old.queue.shared.is_some(), old, new)
}

fn diff_where(is_shared: bool, old: &Config, new: &Config) -> Vec<Change> {
    let (old, new) = (&old.entries.0, &new.entries.0);
    let mut changes = parts(old, new);
    let whole: BTreeSet<String> =
        changes.iter().map(|change| format!("{}.", change.path)).collect();
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let (before, after) = (old.get(key), new.get(key));
        if before != after && !whole.iter().any(|part| key.starts_with(part)) {
            changes.push(Change {
                path: key.clone(),
                old: before.map(ToString::to_string),
                new: after.map(ToString::to_string),
                effect: effect(key, is_shared),
                note: "",
            });
        }
    }
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    changes
}

/// What a reload of `new` changes in a process that began with `started` and has taken over `old` since. What counts
/// from the next start on is listed for as long as it is otherwise than at the start.
pub fn diff_since(started: &Config, old: &Config, new: &Config) -> Vec<Change> {
    let is_shared = started.queue.shared.is_some();
    let of = |old, effect| {
        diff_where(is_shared, old, new).into_iter().filter(move |one| one.effect == effect)
    };
    let mut changes: Vec<Change> =
        of(old, Effect::Reload).chain(of(started, Effect::Restart)).collect();
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    changes
}

impl Config {
    /// Each key with its value, as it is in force in a process that began with `started`: what counts from the next
    /// start on is what it was then.
    pub fn keys_since(&self, started: &Self) -> Vec<(String, String)> {
        in_force(self.keys(), started.keys(), started.queue.shared.is_some())
    }

    /// The same of what is left out and has a default.
    pub fn defaults_since(&self, started: &Self) -> Vec<(String, String)> {
        in_force(self.defaults(), started.defaults(), started.queue.shared.is_some())
    }
}

fn in_force(
    now: Vec<(String, String)>,
    started: Vec<(String, String)>,
    is_shared: bool,
) -> Vec<(String, String)> {
    let is = |key: &str, wanted| effect(key, is_shared) == wanted;
    let now = now.into_iter().filter(|(key, _)| is(key, Effect::Reload));
    let mut keys: Vec<_> =
        now.chain(started.into_iter().filter(|(key, _)| is(key, Effect::Restart))).collect();
    keys.sort();
    keys
}

/// Where a handler that comes begins.
const BEGINS: &str = "begins at its `start`, or goes on where it has a place";

/// Sources and handlers that come or go as a whole.
fn parts(old: &BTreeMap<String, ConfigEntry>, new: &BTreeMap<String, ConfigEntry>) -> Vec<Change> {
    let (old, new) = (names(old), names(new));
    let change = |path: &str, is_new: bool, note| Change {
        path: path.to_owned(),
        old: (!is_new).then(String::new),
        new: is_new.then(String::new),
        effect: Effect::Reload,
        note,
    };
    let is_handler = |path: &str| path.starts_with("handler.");
    let added = new
        .difference(&old)
        .map(|path| change(path, true, if is_handler(path) { BEGINS } else { "" }));
    let removed = old.difference(&new).map(|path| {
        let kept = "its place is kept for `orphan_retention`, or until `gatepost handlers forget`";
        change(path, false, if is_handler(path) { kept } else { "" })
    });
    added.chain(removed).collect()
}

/// `handler.mail` out of `handler.mail.email.to`.
fn names(entries: &BTreeMap<String, ConfigEntry>) -> BTreeSet<&str> {
    let name = |key: &'_ String| -> Option<usize> {
        let kind = ["handler.", "source."].into_iter().find(|kind| key.starts_with(kind))?;
        let behind = key.get(kind.len()..)?;
        Some(kind.len() + behind.find('.').unwrap_or(behind.len()))
    };
    entries.keys().filter_map(|key| key.get(..name(key)?)).collect()
}

/// `is_shared` = several gateways share the log.
fn effect(key: &str, is_shared: bool) -> Effect {
    let is_below = |part: &&str| {
        key.strip_prefix(*part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_each_time = |one: &&str| is_below(one) && !(is_shared && *one == ACK);
    if !EACH_TIME.iter().any(is_each_time) && AT_START.iter().any(is_below) {
        Effect::Restart
    } else {
        Effect::Reload
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, old, new, effect, note } = self;
        match (old.as_deref(), new.as_deref()) {
            // What of it is hidden is another one.
            (Some(old), Some(new)) if old == new => write!(f, "~ {path}: {old}, changed")?,
            (Some(old), Some(new)) => write!(f, "~ {path}: {old} → {new}")?,
            (None, Some("")) => write!(f, "+ {path}")?,
            (None, Some(new)) => write!(f, "+ {path} = {new}")?,
            (Some(""), None) => write!(f, "- {path}")?,
            (Some(old), None) => write!(f, "- {path} = {old}")?,
            (None, None) => write!(f, "  {path}")?,
        }
        if !note.is_empty() {
            write!(f, "  ({note})")?;
        }
        match effect {
            Effect::Reload => Ok(()),
            Effect::Restart => write!(f, "  (from the next start on)"),
        }
    }
}
