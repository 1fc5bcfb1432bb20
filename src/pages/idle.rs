//! Handlers that take nothing until the owner acts: what waits for them is no work that is under way.

use super::widgets::Linked;
use crate::api::{HandlerStatus, HandlerView, StatusView};

/// Handlers that are named.
const NAMED_MAX: usize = 5;

/// Those that take nothing until the owner acts, for which something waits: how much, who, and why.
pub(super) fn for_idle(status: &StatusView) -> Vec<(Linked, String, &'static str)> {
    let idle = status.handlers.iter().filter(|one| is_left(one) && one.pending() > 0);
    let row = |one: &HandlerView| {
        let page = format!("/handlers/{}", one.name);
        let linked = if one.is_bound() { Linked::at_most } else { Linked::new };
        (linked(one.pending(), page), one.name.to_string(), one.why_idle().unwrap_or_default())
    };
    idle.take(NAMED_MAX).map(row).collect()
}

/// Whether the owner has seen to it that a handler takes nothing.
pub(super) fn is_left(handler: &HandlerView) -> bool {
    match handler.state {
        HandlerStatus::Paused | HandlerStatus::Disabled | HandlerStatus::Unconfigured => true,
        HandlerStatus::Running
        | HandlerStatus::Down
        | HandlerStatus::Failed
        | HandlerStatus::Finishing
        | HandlerStatus::Stopped => false,
    }
}

/// Who they are, in words, and who is paused: what is counted as still to do is not done before they go on.
pub(super) fn idle(status: &StatusView) -> String {
    let named = |state, needs_backlog: bool| -> Vec<String> {
        let found = status.handlers.iter().filter(|one| one.state == state);
        let found = found.filter(|one| !needs_backlog || one.pending() > 0);
        let mut names: Vec<String> = found.map(|one| one.name.to_string()).collect();
        let n_more = names.len().saturating_sub(NAMED_MAX);
        names.truncate(NAMED_MAX);
        names.extend((n_more > 0).then(|| format!("{n_more} more")));
        names
    };
    let mut text = String::new();
    for (names, what) in [
        (named(HandlerStatus::Paused, false), "Paused"),
        (named(HandlerStatus::Disabled, true), "Disabled"),
        (named(HandlerStatus::Unconfigured, true), "In no configuration"),
    ] {
        if !names.is_empty() {
            text.extend([what, ": ", &names.join(", "), ". "]);
        }
    }
    text
}
