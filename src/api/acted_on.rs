//! What an action was for, so that people find it again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{EventId, HandlerName, SourceName};

/// The longest value of a filter that is kept: a part of one would find other things.
const FILTER_CHARS_MAX: usize = 300;

/// What an action was for, as far as that has an address of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActedOn {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
    /// The event that was made out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<HandlerName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceName>,
    /// A rejected request, by its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<u64>,
    /// A rollout, by its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<u64>,
    /// All that a filter found then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ActionList>,
}

/// A list of the API, and what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionList {
    pub name: ListName,
    pub filter: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListName {
    Events,
    Dead,
    Rejected,
}

impl ActedOn {
    pub(super) fn event(id: EventId, handler: Option<&HandlerName>) -> Self {
        Self { event: Some(id), handler: handler.cloned(), ..Self::default() }
    }

    pub(super) fn handler(name: &HandlerName) -> Self {
        Self { handler: Some(name.clone()), ..Self::default() }
    }

    pub(super) fn rollout(number: u64) -> Self {
        Self { rollout: Some(number), ..Self::default() }
    }

    /// What `ask` finds in a list, by the fields of it that narrow the list.
    pub(super) fn list(name: ListName, ask: &impl Serialize, fields: &[&str]) -> Self {
        let Ok(Value::Object(said)) = serde_json::to_value(ask) else { return Self::default() };
        let said = said.into_iter().filter(|(name, _)| fields.contains(&name.as_str()));
        let filter: BTreeMap<String, String> = said
            .filter_map(|(name, value)| match value {
                Value::String(text) => Some((name, text)),
                _ => None,
            })
            .collect();
        let is_whole = filter.values().all(|text| text.chars().count() <= FILTER_CHARS_MAX);
        Self { list: is_whole.then_some(ActionList { name, filter }), ..Self::default() }
    }
}

/// What an action was for, in words and as it is found again.
#[derive(Clone, Debug)]
pub(super) struct ActionTarget {
    pub(super) words: String,
    pub(super) about: ActedOn,
}

impl From<String> for ActionTarget {
    fn from(words: String) -> Self {
        Self { words, about: ActedOn::default() }
    }
}

impl ActionTarget {
    pub(super) fn new(words: impl Into<String>, about: ActedOn) -> Self {
        Self { words: words.into(), about }
    }

    pub(super) fn handler(name: &HandlerName) -> Self {
        Self::new(format!("handler {name}"), ActedOn::handler(name))
    }
}
