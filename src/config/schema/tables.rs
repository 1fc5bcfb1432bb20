//! Tables as they are shown: what the reference has at their place, and what they are for.

use serde_json::{Map, Value};

use super::{OTHER_OPTIONS, with_every_option};
use crate::config::reference::{Absent, KeyText};

/// The tables that no head of the reference names.
const UNNAMED: [(&str, &str); 2] = [
    ("source", "The senders, each by a name of your own. Left out: nothing comes in."),
    ("handler", "What is done, each by a name of your own. Left out: events are stored only."),
];

/// What the table `path` is for, where no head of the reference names it.
pub(super) fn unnamed(path: &str) -> Option<KeyText> {
    let (_, text) = UNNAMED.iter().find(|(name, _)| *name == path)?;
    let (text, absent) = ((*text).to_owned(), Absent::Shown);
    Some(KeyText { text, is_table: true, example: None, absent })
}

/// The reference, to look tables up in.
pub(super) struct ShownTables(Vec<Value>);

impl ShownTables {
    pub(super) fn new() -> Self {
        let read = |text: &str| {
            let table = toml::from_str::<toml::Table>(text).unwrap_or_default();
            serde_json::to_value(table).unwrap_or_default()
        };
        let others = OTHER_OPTIONS.into_iter().map(|(_, others)| read(others));
        Self(std::iter::once(read(&with_every_option())).chain(others).collect())
    }

    /// The first table at the place that `path` names.
    pub(super) fn get(&self, path: &str) -> Option<Value> {
        let steps: Vec<&str> = path.split('.').collect();
        self.0.iter().find_map(|root| shown(root, &steps))
    }
}

/// The table at the end of `steps`. Of tables by names of an owner's the first is shown.
fn shown(at: &Value, steps: &[&str]) -> Option<Value> {
    let table = at.as_object()?;
    match steps {
        ["NAME", rest @ ..] => table.values().find_map(|one| shown(one, rest)),
        [step, rest @ ..] => shown(table.get(*step)?, rest),
        [] if table.values().all(Value::is_object) => {
            let first = table.iter().next().map(|(name, one)| (name.clone(), one.clone()));
            Some(Value::Object(first.into_iter().collect::<Map<_, _>>()))
        }
        [] => Some(at.clone()),
    }
}
