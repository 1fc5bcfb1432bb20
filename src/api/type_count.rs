//! How many events there are of each type.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::event::{EventType, SourceName};

/// Types that are told where many events are looked at.
pub(super) const TYPES_MAX: usize = 30;

/// How many events there are of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeCount {
    pub source: SourceName,
    #[serde(rename = "type")]
    pub event_type: EventType,
    pub count: u64,
}

/// [`counted`], of the commonest types only.
pub(super) fn commonest<'a>(
    events: impl Iterator<Item = (&'a SourceName, &'a EventType)>,
) -> Vec<TypeCount> {
    let mut rows = counted(events);
    rows.truncate(TYPES_MAX);
    rows
}

/// How many events there are of each type, the commonest first.
pub(super) fn counted<'a>(
    events: impl Iterator<Item = (&'a SourceName, &'a EventType)>,
) -> Vec<TypeCount> {
    let mut counts: HashMap<(&SourceName, &str), (u64, &EventType)> = HashMap::new();
    for (source, event_type) in events {
        counts.entry((source, event_type.as_str())).or_insert((0, event_type)).0 += 1;
    }
    let rows = counts.into_iter().map(|((source, _), (count, event_type))| TypeCount {
        source: source.clone(),
        event_type: event_type.clone(),
        count,
    });
    let mut rows: Vec<TypeCount> = rows.collect();
    rows.sort_by(|one, other| {
        other
            .count
            .cmp(&one.count)
            .then_with(|| one.event_type.as_str().cmp(other.event_type.as_str()))
    });
    rows
}
