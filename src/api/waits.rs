//! Why tries came later than was planned, as far as their handler's loop knows it.

use std::time::Duration;

use super::handler_control::HandlerControl;
use super::view::{DeliveryView, WaitReason};
use crate::clock::Timestamp;
use crate::deliver::{StopCause, Stoppage};
use crate::queue::DeliveryState;

/// What is late by less is on time.
pub const TRY_ON_TIME: Duration = Duration::from_secs(1);

/// Adds to the waits of a delivery what held it up while it was due.
pub(super) fn explain(delivery: &mut DeliveryView, handler: Option<&HandlerControl>) {
    if delivery.state != DeliveryState::Retry
        && let Some(newest) = delivery.attempts.last_mut()
    {
        // Nothing is waited for.
        newest.wait = None;
    }
    let Some(handler) = handler else { return };
    let begun: Vec<Timestamp> =
        delivery.attempts.iter().skip(1).map(|one| one.started_at).collect();
    for (attempt, next) in delivery.attempts.iter_mut().zip(begun) {
        let ended_at = attempt.started_at.after(Duration::from_millis(attempt.duration_ms));
        let Some(wait) = &mut attempt.wait else { continue };
        let Some(planned) = wait.planned_ms.map(Duration::from_millis) else { continue };
        let due = ended_at.after(planned);
        if next.since(due) > TRY_ON_TIME {
            wait.why.extend(held_up(handler, due, next));
        }
    }
}

/// What held up a try that was due at one moment and began at another.
fn held_up(handler: &HandlerControl, due: Timestamp, began: Timestamp) -> Vec<WaitReason> {
    let is_within =
        |stop: &&Stoppage| stop.from < began && stop.until.is_none_or(|until| until > due);
    let of = |cause| handler.stops.iter().filter(is_within).any(|stop| stop.cause == cause);
    let is_started = handler.began_at.is_some_and(|at| at > due && at <= began);
    [
        (WaitReason::Started, is_started),
        (WaitReason::Paused, of(StopCause::Paused)),
        (WaitReason::Down, of(StopCause::Down)),
    ]
    .into_iter()
    .filter_map(|(reason, holds)| holds.then_some(reason))
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::HandlerStatus;
    use super::*;
    use crate::event::HandlerName;

    #[test]
    fn late_try_says_what_the_handler_did_when_it_was_due() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let stop = |cause, from, until: Option<i64>| Stoppage {
            cause,
            from: at(from),
            until: until.map(at),
        };
        let (down, paused) = (StopCause::Down, StopCause::Paused);
        // Due at 20 s, and begun at 60 s.
        for (next, began_at, stops, expected) in [
            (60, 0, vec![], vec![]),
            (60, 0, vec![stop(down, 5, Some(15)), stop(paused, 70, None)], vec![]),
            (60, 0, vec![stop(down, 5, Some(50))], vec![WaitReason::Down]),
            (60, 0, vec![stop(paused, 30, None)], vec![WaitReason::Paused]),
            (60, 55, vec![stop(down, 57, Some(59))], vec![WaitReason::Started, WaitReason::Down]),
            (60, 65, vec![], vec![]),
            // On time.
            (20, 0, vec![stop(down, 0, None)], vec![]),
        ] {
            let attempt = |number: u32, started: i64| {
                json!({
                    "number": number, "started_at": at(started), "duration_ms": 0, "error": "",
                    "led_to": "retry", "status": null,
                    "wait": { "planned_ms": 10_000, "why": [] },
                })
            };
            let mut delivery: DeliveryView = serde_json::from_value(json!({
                "handler": "app", "state": "delivered", "attempts": [attempt(1, 10), attempt(2, next)],
            }))
            .unwrap();
            let name = HandlerName::parse("app").unwrap();
            let idle = HandlerControl::idle(name, "http", HandlerStatus::Running);
            let handler = HandlerControl { began_at: Some(at(began_at)), stops, ..idle };
            explain(&mut delivery, Some(&handler));
            assert_eq!(delivery.attempts[0].wait.as_ref().unwrap().why, expected);
            assert_eq!(delivery.attempts[1].wait, None, "nothing comes behind it");
        }
    }
}
