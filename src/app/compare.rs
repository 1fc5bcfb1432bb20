//! Two configurations over the same events: what a new one would do otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;

use serde::Serialize;

use crate::clock::Clock;
use crate::config::Config;
use crate::deliver::{self, Match, Policy};
use crate::event::{Delivery, Event, EventId, HandlerName};
use crate::handler::{Plan, Step};
use crate::text::counted;

use super::trial::Trial;

mod keys;

use keys::DifferingKeys;

/// The most groups that are shown of one handler: a screen of them, however many events there are.
const GROUPS_MAX: usize = 20;

/// What stands for all groups behind the last.
const OTHERS: &str = "are handled otherwise in further ways";

/// Handlers that differ, and what is known of them so far.
pub struct Comparison<'a> {
    pairs: Vec<Pair<'a>>,
    not_compared: Vec<String>,
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
    old: Option<Side<'a>>,
    new: Option<Side<'a>>,
    /// What is another one of where its events go, as in `database`.
    targets: Vec<&'static str>,
    groups: Groups,
}

/// A handler as one of the two has it.
struct Side<'a> {
    trial: Trial<'a>,
    is_enabled: bool,
    /// The same number for all that let the same events through: what 20 handlers share is asked once.
    filter: usize,
}

/// What the filters say to one event, as far as they were asked.
struct Answers<'a> {
    event: &'a Arc<Event>,
    known: BTreeMap<usize, Match>,
}

/// How many events change in which way, and the first of each.
#[derive(Clone, Debug, Default)]
struct Groups(BTreeMap<String, (u64, EventId)>);

/// What a handler does with an event.
enum Outcome {
    Unwanted,
    /// The handler is switched off.
    Waits,
    Fails(String),
    Does(Plan),
}

impl<'a> Comparison<'a> {
    /// Of the handlers that `old` and `new` have otherwise.
    pub fn new(old: &'a Config, new: &'a Config, clock: &Arc<dyn Clock>) -> Self {
        let differing = DifferingKeys::between(old, new);
        let mut filters: Vec<&Policy> = Vec::new();
        let mut side = |config: &'a Config, name| {
            let is_enabled = config.handlers.get(name)?.is_enabled;
            let trial = Trial::new(config, name, clock)?;
            let policy = trial.policy();
            let filter = filters.iter().position(|filter| is_same_filter(filter, policy));
            let filter = filter.unwrap_or_else(|| {
                filters.push(policy);
                filters.len() - 1
            });
            Some(Side { trial, is_enabled, filter })
        };
        let pairs = differing.handlers.iter().map(|name| Pair {
            name: name.clone(),
            old: side(old, name),
            new: side(new, name),
            targets: differing.targets.get(name).into_iter().flatten().copied().collect(),
            groups: Groups::default(),
        });
        Self { pairs: pairs.collect(), not_compared: differing.others }
    }

    /// Whether no event can tell a difference.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The handlers that events may tell apart.
    pub fn handlers(&self) -> impl Iterator<Item = &HandlerName> {
        self.pairs.iter().map(|pair| &pair.name)
    }

    /// The settings that differ and that no event says anything of.
    pub fn not_compared(&self) -> &[String] {
        &self.not_compared
    }

    /// Lets both look at events, which are shared out among the processors: each body is read by one.
    pub fn see(&mut self, events: &[Arc<Event>]) {
        let n_threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let n_each = events.len().div_ceil(n_threads).max(1);
        let pairs = &self.pairs;
        let look = |events: &[Arc<Event>]| -> Vec<Groups> {
            let mut found = vec![Groups::default(); pairs.len()];
            for event in events {
                let mut answers = Answers { event, known: BTreeMap::new() };
                for (pair, groups) in pairs.iter().zip(&mut found) {
                    if let Some(change) = pair.change(&mut answers) {
                        groups.note(change, 1, event.id);
                    }
                }
            }
            found
        };
        let found: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                events.chunks(n_each).map(|events| scope.spawn(|| look(events))).collect();
            threads.into_iter().map(ScopedJoinHandle::join).collect()
        });
        for found in found {
            // A panic in a thread is one here: nothing is counted as compared that was not.
            let found = found.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for (pair, found) in self.pairs.iter_mut().zip(found) {
                for (change, (n_events, first)) in found.0 {
                    pair.groups.note(change, n_events, first);
                }
            }
        }
    }

    /// All that was found, the largest groups of each handler first.
    pub fn finish(self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for Pair { name, new, groups, .. } in self.pairs {
            let mut groups: Vec<_> = groups.0.into_iter().collect();
            groups.sort_by_key(|(_, (n_events, _))| std::cmp::Reverse(*n_events));
            differences.extend(groups.into_iter().map(|(change, (events, first))| Difference {
                handler: name.clone(),
                events,
                first,
                key: new.as_ref().and_then(|new| new.trial.key_of(&change)).map(|(key, _)| key),
                change,
            }));
        }
        differences
    }
}

impl Pair<'_> {
    /// What the new one does otherwise with the event.
    fn change(&self, answers: &mut Answers<'_>) -> Option<String> {
        let mut outcome =
            |side: Option<&Side<'_>>| side.map_or(Outcome::Unwanted, |side| side.outcome(answers));
        let (old, new) = (outcome(self.old.as_ref()), outcome(self.new.as_ref()));
        change(&old, &new, &self.targets)
    }
}

impl Side<'_> {
    fn outcome(&self, answers: &mut Answers<'_>) -> Outcome {
        let answer = answers.known.entry(self.filter);
        let answer =
            answer.or_insert_with(|| deliver::evaluate(self.trial.policy(), answers.event));
        if !self.is_enabled && !matches!(answer, Match::Skip) {
            return Outcome::Waits;
        }
        match answer {
            Match::Skip => Outcome::Unwanted,
            Match::Error(why) => Outcome::Fails(why.to_string()),
            Match::Take(_) => {
                match self.trial.plan(&[Delivery::first(Arc::clone(answers.event))]) {
                    Ok(plan) => Outcome::Does(plan),
                    Err(failure) => Outcome::Fails(failure.to_string()),
                }
            }
        }
    }
}

/// Whether both let the same events through, whatever they are: their texts are the same.
fn is_same_filter(one: &Policy, other: &Policy) -> bool {
    let texts = |policy: &Policy| {
        [&policy.when, &policy.exempt.when, &policy.order_by]
            .map(|text| text.as_ref().map(|text| text.source().to_owned()))
    };
    (&one.on, &one.exempt.on, texts(one)) == (&other.on, &other.exempt.on, texts(other))
}

impl Groups {
    fn note(&mut self, change: String, n_events: u64, first: EventId) {
        let is_new = !self.0.contains_key(&change);
        let change = if is_new && self.0.len() >= GROUPS_MAX { OTHERS.to_owned() } else { change };
        self.0.entry(change).or_insert((0, first)).0 += n_events;
    }
}

/// `targets` are the parts of where events go that are others.
fn change(old: &Outcome, new: &Outcome, targets: &[&str]) -> Option<String> {
    match (old, new) {
        (Outcome::Unwanted, Outcome::Unwanted) | (Outcome::Waits, Outcome::Waits) => None,
        (Outcome::Fails(old), Outcome::Fails(new)) if old == new => None,
        (_, Outcome::Unwanted) => Some("no longer go to it".to_owned()),
        (_, Outcome::Waits) => Some("wait: it is switched off".to_owned()),
        (Outcome::Fails(_), Outcome::Fails(why)) => Some(format!("still fail, now: {why}")),
        (_, Outcome::Fails(why)) => Some(format!("fail: {why}")),
        (Outcome::Unwanted | Outcome::Waits, Outcome::Does(_)) => Some("newly go to it".to_owned()),
        (Outcome::Fails(_), Outcome::Does(_)) => Some("no longer fail".to_owned()),
        (Outcome::Does(old), Outcome::Does(new)) => {
            let plan = (old != new).then(|| other_plan(old, new));
            let is_done = new.steps.iter().any(|step| !matches!(step, Step::Skip { .. }));
            let place = (is_done && !targets.is_empty())
                .then(|| format!("go to another {}", targets.join(" and ")));
            let parts: Vec<String> = plan.into_iter().chain(place).collect();
            (!parts.is_empty()).then(|| parts.join(" and "))
        }
    }
}

/// Which fields of the plan are others: `come out with another subject, text`.
fn other_plan(old: &Plan, new: &Plan) -> String {
    if old.steps.len() != new.steps.len() {
        let count = counted(new.steps.len() as u64, "step", "steps");
        return format!("are {count} in place of {}", old.steps.len());
    }
    let mut fields = BTreeSet::new();
    for (old, new) in old.steps.iter().zip(&new.steps) {
        match (old, new) {
            (_, Step::Skip { why }) => return format!("are left out: {why}"),
            (Step::Skip { .. }, _) => return "are no longer left out".to_owned(),
            (_, _) => fields.extend(old.other_fields(new)),
        }
    }
    let fields: Vec<&str> = fields.into_iter().collect();
    format!("come out with another {}", fields.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::testing::id;

    #[test]
    fn groups_of_a_handler_are_no_more_than_a_screen_has_lines() {
        let mut groups = Groups::default();
        for number in 0..1_000 {
            groups.note(format!("fail: {number}"), 1, id(1));
        }
        groups.note("fail: 0".to_owned(), 2, id(2));
        assert_eq!(groups.0.len(), GROUPS_MAX + 1);
        assert_eq!(groups.0.get("fail: 0"), Some(&(3, id(1))), "it is known, and counted");
        let others = 1_000 - GROUPS_MAX as u64;
        assert_eq!(groups.0.get(OTHERS).map(|(n_events, _)| *n_events), Some(others));
    }
}
