//! Dead letters by handler and reason, and by how long ago they died.

use std::time::Duration;

use super::fields::{Fields, address};
use super::widgets::{Linked, Ticked, When};
use super::words;
use crate::api::{DeadGroup, DeadGroups, EventSummary, WINDOWS};
use crate::clock::Timestamp;

/// So old numbers are told to be.
const AGED: Duration = Duration::from_secs(2);
/// What the columns are called, and how an address says them; empty = all.
pub(super) const COLUMNS: [(&str, &str); WINDOWS.len() + 1] =
    [("1 h", "1h"), ("3 h", "3h"), ("1 d", "24h"), ("3 d", "72h"), ("7 d", "168h"), ("All", "")];

/// A row of the matrix.
#[derive(Debug)]
pub(super) struct GroupRow {
    pub(super) handler: String,
    pub(super) reason: Ticked,
    pub(super) address: String,
    pub(super) first: When,
    pub(super) last: When,
    /// Both are said alike.
    pub(super) is_one_moment: bool,
    /// The newest one's event: its id and type; nothing where it is gone.
    pub(super) example: Option<(String, String)>,
    /// The newest one's reason, where it says more than the group's.
    pub(super) example_reason: Ticked,
    pub(super) cells: Vec<Heat>,
    pub(super) is_chosen: bool,
}

/// A number of the matrix.
#[derive(Debug)]
pub(super) struct Heat {
    pub(super) link: Linked,
    /// 0 to 3.
    pub(super) shade: u8,
    pub(super) column: &'static str,
}

/// What the numbers leave out.
pub(super) fn bound(groups: &DeadGroups, age: Duration) -> String {
    let looked_at = words::count(groups.looked_at);
    let oldest = format!("The oldest {looked_at} were looked at; there are more.");
    let counted = format!("Counted {} ago.", words::span(Duration::from_secs(age.as_secs())));
    let parts = [(!groups.is_complete).then_some(oldest), (age >= AGED).then_some(counted)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// How many there are of each column, the last of which has all.
fn counts(group: &DeadGroup) -> impl Iterator<Item = u64> {
    group.within.into_iter().chain([group.count])
}

pub(super) fn sums(groups: &DeadGroups) -> Vec<Linked> {
    let mut sums = [0_u64; COLUMNS.len()];
    for group in &groups.groups {
        for (sum, count) in sums.iter_mut().zip(counts(group)) {
            *sum += count;
        }
    }
    let link = |(sum, (_, since)): (u64, (&str, &str))| {
        let since = [("since", since)].into_iter().filter(|(_, since)| !since.is_empty());
        Linked::new(sum, address("/dead", since))
    };
    sums.into_iter().zip(COLUMNS).map(link).collect()
}

pub(super) fn group_row(
    group: &DeadGroup,
    example: Option<&EventSummary>,
    fields: &Fields,
    now: Timestamp,
) -> GroupRow {
    let handler = group.handler.to_string();
    let of = |since: &str| {
        let fields =
            [("handler", handler.as_str()), ("like", group.key.as_str()), ("since", since)];
        address("/dead", fields.into_iter().filter(|(_, value)| !value.is_empty()))
    };
    let heat = |count: u64| match count {
        0 => 0,
        1..10 => 1,
        10..100 => 2,
        _ => 3,
    };
    let cells = counts(group).zip(COLUMNS).map(|(count, (column, since))| Heat {
        link: Linked::new(count, of(since)),
        shade: heat(count),
        column,
    });
    let is_handler = fields.get("handler") == Some(handler.as_str());
    let (first, last) = (When::ago(group.first_at, now), When::ago(group.last_at, now));
    let says_more = group.example_reason != group.reason;
    GroupRow {
        example: example
            .map(|event| (event.id.to_string(), words::shown(event.event_type.as_str(), 48))),
        example_reason: if says_more {
            Ticked::new(&group.example_reason, 200)
        } else {
            Ticked::default()
        },
        is_one_moment: first.is_said_as(&last),
        reason: Ticked::new(&group.reason, 200),
        address: of(""),
        first,
        last,
        cells: cells.collect(),
        is_chosen: is_handler && fields.get("like") == Some(group.key.as_str()),
        handler,
    }
}
