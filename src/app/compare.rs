//! Two configurations over the same events: what a new one would do otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::clock::Clock;
use crate::config::Config;
use crate::event::{Delivery, Event, EventId, HandlerName};
use crate::handler::Plan;

use super::trial::{Trial, Wants};

/// The most groups that are shown of one handler: a screen of them, however many events there are.
const GROUPS_MAX: usize = 20;

/// What stands for all groups behind the last.
const OTHERS: &str = "are handled otherwise in further ways";

/// Handlers that differ, and what is known of them so far.
pub struct Comparison<'a> {
    pairs: Vec<Pair<'a>>,
}

/// Events that a handler would treat otherwise in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub handler: HandlerName,
    /// How many events.
    pub events: u64,
    /// What becomes of them, as in `no longer go to it`.
    pub change: String,
    /// The first of them.
    pub first: EventId,
    /// The key that a failure comes from, where that is known.
    pub key: Option<String>,
}

struct Pair<'a> {
    name: HandlerName,
    old: Option<Trial<'a>>,
    new: Option<Trial<'a>>,
    groups: BTreeMap<String, (u64, EventId)>,
}

/// What a handler does with an event.
enum Outcome {
    Unwanted,
    Fails(String),
    Does(Plan),
}

impl<'a> Comparison<'a> {
    /// Of the handlers that `old` and `new` have otherwise.
    pub fn new(old: &'a Config, new: &'a Config, clock: &Arc<dyn Clock>) -> Self {
        let names: BTreeSet<&HandlerName> =
            old.handlers.keys().chain(new.handlers.keys()).collect();
        let changed =
            names.into_iter().filter(|name| old.snapshot_of(name) != new.snapshot_of(name));
        let pairs = changed.map(|name| Pair {
            name: name.clone(),
            old: Trial::new(old, name, clock),
            new: Trial::new(new, name, clock),
            groups: BTreeMap::new(),
        });
        Self { pairs: pairs.collect() }
    }

    /// Whether every handler is the same: no event can tell a difference.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Lets both look at events. The handlers are shared out among the processors.
    pub fn see(&mut self, events: &[Arc<Event>]) {
        let n_threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let n_each = self.pairs.len().div_ceil(n_threads).max(1);
        std::thread::scope(|scope| {
            for pairs in self.pairs.chunks_mut(n_each) {
                scope.spawn(move || {
                    for event in events {
                        for pair in &mut *pairs {
                            pair.see(event);
                        }
                    }
                });
            }
        });
    }

    /// All that was found, the largest groups of each handler first.
    pub fn finish(self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for Pair { name, new, groups, .. } in self.pairs {
            let mut groups: Vec<_> = groups.into_iter().collect();
            groups.sort_by_key(|(_, (n_events, _))| std::cmp::Reverse(*n_events));
            differences.extend(groups.into_iter().map(|(change, (events, first))| Difference {
                handler: name.clone(),
                events,
                first,
                key: new.as_ref().and_then(|new| new.key_of(&change)).map(|(key, _)| key),
                change,
            }));
        }
        differences
    }
}

impl Pair<'_> {
    fn see(&mut self, event: &Arc<Event>) {
        let old = self.old.as_ref().map_or(Outcome::Unwanted, |old| outcome(old, event));
        let new = self.new.as_ref().map_or(Outcome::Unwanted, |new| outcome(new, event));
        if let Some(change) = change(&old, &new) {
            self.note(change, event.id);
        }
    }

    fn note(&mut self, change: String, id: EventId) {
        let is_new = !self.groups.contains_key(&change);
        let change =
            if is_new && self.groups.len() >= GROUPS_MAX { OTHERS.to_owned() } else { change };
        self.groups.entry(change).or_insert((0, id)).0 += 1;
    }
}

fn outcome(trial: &Trial<'_>, event: &Arc<Event>) -> Outcome {
    match trial.wants(event) {
        Wants::No(_) => Outcome::Unwanted,
        Wants::Unclear(why) => Outcome::Fails(why),
        Wants::Yes => match trial.plan(&[Delivery::first(Arc::clone(event))]) {
            Ok(plan) => Outcome::Does(plan),
            Err(failure) => Outcome::Fails(failure.to_string()),
        },
    }
}

fn change(old: &Outcome, new: &Outcome) -> Option<String> {
    match (old, new) {
        (Outcome::Unwanted, Outcome::Unwanted) => None,
        (Outcome::Fails(old), Outcome::Fails(new)) if old == new => None,
        (_, Outcome::Unwanted) => Some("no longer go to it".to_owned()),
        (_, Outcome::Fails(why)) => Some(format!("fail: {why}")),
        (Outcome::Unwanted, Outcome::Does(_)) => Some("newly go to it".to_owned()),
        (Outcome::Fails(_), Outcome::Does(_)) => Some("no longer fail".to_owned()),
        (Outcome::Does(old), Outcome::Does(new)) if old == new => None,
        (Outcome::Does(old), Outcome::Does(new)) => Some(other_plan(old, new)),
    }
}

/// Which fields of the plan are others: `come out with another subject, text`.
fn other_plan(old: &Plan, new: &Plan) -> String {
    if old.steps.len() != new.steps.len() {
        return format!("are {} steps in place of {}", new.steps.len(), old.steps.len());
    }
    let mut fields = BTreeSet::new();
    for (old, new) in old.steps.iter().zip(&new.steps) {
        let (old, new) = (fields_of(old), fields_of(new));
        let names = old.keys().chain(new.keys());
        fields.extend(names.filter(|name| old.get(*name) != new.get(*name)).cloned());
    }
    let fields: Vec<String> = fields.into_iter().collect();
    format!("come out with another {}", fields.join(", "))
}

fn fields_of(step: &crate::handler::Step) -> serde_json::Map<String, Value> {
    match serde_json::to_value(step) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => serde_json::Map::new(),
    }
}
