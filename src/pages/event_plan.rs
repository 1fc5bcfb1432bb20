//! What a handler would do with an event, by today's configuration.

use super::event_lanes;
use super::widgets::Ticked;
use super::words;
use super::words::Room;
use crate::api::{PlanView, Wish};

/// Lines of what a handler would do, and characters of each.
const LINES_MAX: usize = 80;
const CHARS_MAX: usize = 300;
/// Bytes of all of them.
const ROOM: usize = 8 << 10;

/// What a handler would do with it.
#[derive(Debug)]
pub(super) struct ShownPlan {
    pub(super) handler: String,
    pub(super) text: String,
    pub(super) failure: Ticked,
    /// Why it would not be called at all.
    pub(super) refusal: Ticked,
}

pub(super) fn shown_plan(plan: &PlanView) -> ShownPlan {
    let mut room = Room::new(ROOM);
    let lines = plan.text.lines().take(LINES_MAX);
    let lines = lines.map(|line| room.shown(line, CHARS_MAX)).collect::<Vec<_>>();
    let failure = plan.failure.as_deref().unwrap_or_default();
    let wants = event_lanes::not_called(&plan.wants, &mut room);
    ShownPlan {
        handler: plan.wants.handler.to_string(),
        text: lines.join("\n"),
        failure: Ticked::new(failure, 400),
        refusal: if plan.wants.answer == Wish::Wanted {
            Ticked::default()
        } else {
            Ticked::of(&words::ended(format!("{} {}", wants.because, wants.sentence)))
        },
    }
}
