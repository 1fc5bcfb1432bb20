//! What the overview says where nothing is in trouble.

use std::time::Duration;

use super::{UnaskedLink, Verdict};
use crate::api::{HandlerView, RatesView, StatusView, Unasked};
use crate::clock::Timestamp;
use crate::pages::fields::address;
use crate::pages::idle::idle;
use crate::pages::widgets::Ticked;
use crate::pages::words;

/// Since when events are counted, where that is less than an hour.
pub(in crate::pages) fn young_since(status: &StatusView, now: Timestamp) -> Option<Timestamp> {
    status.any_counts_since().filter(|at| now.since(*at) < Duration::from_hours(1))
}

pub(super) fn calm(
    status: &StatusView,
    rates: &RatesView,
    unasked: Unasked,
    now: Timestamp,
) -> Verdict {
    let n_events: u64 = rates.sources.iter().map(|source| source.accepted.last_hour()).sum();
    let n_waiting: u64 = status.handlers.iter().map(HandlerView::pending).sum();
    let n_dead: u64 = status.handlers.iter().map(|handler| handler.dead).sum();
    let oldest = status.handlers.iter().filter_map(|handler| handler.oldest_pending_at).min();
    let waits = waits(oldest, (n_waiting, n_dead), unasked, now);
    let idle = idle(status);
    let (is_trouble, first) = match (status.queue.damage.len(), n_dead) {
        (0, 0) if unasked.is_all() => (false, "Nothing to deliver:"),
        (0, 0) => (false, "All well:"),
        (0, _) => (false, "All handlers answer:"),
        (_, _) => (true, "The queue is damaged:"),
    };
    let damage = status.queue.damage.first();
    Verdict {
        is_trouble,
        first: first.to_owned(),
        since: None,
        rest: Ticked::of(&match damage {
            Some(damage) => format!(" {}", words::shown(damage, 200)),
            None => format!(
                " {} {}, {waits}.",
                words::counted(n_events, "event", "events"),
                young_since(status, now).map_or("in the last hour", |_| "since the start")
            ),
        }),
        link: (n_dead > 0)
            .then(|| (words::counted(n_dead, "dead letter", "dead letters"), "/dead".into())),
        end: match n_dead {
            0 => String::new(),
            1 => "waits for you.".to_owned(),
            _ => "wait for you.".to_owned(),
        },
        unasked: unasked_link(unasked, status, now),
        explained: Ticked::of(&format!(
            "{idle}{}What was answered 200 is on the disk and is kept until it is delivered.",
            if unasked.count > 0 {
                "An event goes to the handlers whose `on` names its type. "
            } else {
                ""
            }
        )),
        ..Verdict::default()
    }
}

/// What is still to do, behind how many events came.
fn waits(
    oldest: Option<Timestamp>,
    (n_waiting, n_dead): (u64, u64),
    unasked: Unasked,
    now: Timestamp,
) -> String {
    match oldest {
        Some(at) => format!(
            "{} to be looked at or delivered, the oldest for {}",
            if n_waiting == 1 {
                "1 is".to_owned()
            } else {
                format!("{} are", words::count(n_waiting))
            },
            words::between(at, now)
        ),
        None if n_dead > 0 => "nothing else waits".to_owned(),
        None if unasked.is_all() => "delivered to nobody".to_owned(),
        None if unasked.count > 0 => "the others all delivered".to_owned(),
        None => "all delivered".to_owned(),
    }
}

/// Since when, in the list's address, events are counted.
pub(in crate::pages) fn since(status: &StatusView, now: Timestamp) -> (String, Timestamp) {
    match young_since(status, now) {
        Some(at) => (at.to_string(), at),
        None => ("1h".to_owned(), now.before(Duration::from_hours(1))),
    }
}

/// How many of the events no handler asks for, and where they are listed.
fn unasked_link(unasked: Unasked, status: &StatusView, now: Timestamp) -> Option<UnaskedLink> {
    let Unasked { count, looked_at, has_more } = unasked;
    if count == 0 {
        return None;
    }
    let text = match (count, has_more) {
        (_, true) => format!("{count} of the newest {looked_at}"),
        (1, false) if looked_at == 1 => "it".to_owned(),
        (count, false) => format!("{count} of them"),
    };
    let (since, _) = since(status, now);
    let q = "has:unasked -source:gatepost";
    Some(UnaskedLink { text, address: address("/events", [("since", since.as_str()), ("q", q)]) })
}
