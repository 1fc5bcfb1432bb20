//! What the overview says where nothing is in trouble.

use std::time::Duration;

use super::Verdict;
use crate::api::{HandlerView, RatesView, StatusView};
use crate::clock::Timestamp;
use crate::pages::idle::idle;
use crate::pages::widgets::Ticked;
use crate::pages::words;

/// Since when events are counted, where that is less than an hour.
pub(in crate::pages) fn young_since(status: &StatusView, now: Timestamp) -> Option<Timestamp> {
    status.any_counts_since().filter(|at| now.since(*at) < Duration::from_hours(1))
}

pub(super) fn calm(status: &StatusView, rates: &RatesView, now: Timestamp) -> Verdict {
    let n_events: u64 = rates.sources.iter().map(|source| source.accepted.last_hour()).sum();
    let n_waiting: u64 = status.handlers.iter().map(HandlerView::pending).sum();
    let n_dead: u64 = status.handlers.iter().map(|handler| handler.dead).sum();
    let oldest = status.handlers.iter().filter_map(|handler| handler.oldest_pending_at).min();
    let waits = match oldest {
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
        None => "all delivered".to_owned(),
    };
    let idle = idle(status);
    let (is_trouble, first) = match (status.queue.damage.len(), n_dead) {
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
        explained: Ticked::of(&format!(
            "{idle}What was answered 200 is on the disk and is kept until it is delivered."
        )),
        ..Verdict::default()
    }
}
