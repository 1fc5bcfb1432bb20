//! Handlers: what the queue and their tasks know of them, joined.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::api::handler_control::{HandlerControl, HandlerStatus};
use crate::api::pause::PauseView;
use crate::clock::Timestamp;
use crate::cluster::NodeName;
use crate::deliver::{GiveUpStreak, LastError};
use crate::event::HandlerName;
use crate::queue::{Backlog, QueueStats};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HandlerView {
    pub name: HandlerName,
    /// Its kind; `None` = it is not configured (any more), but has a place in the log.
    pub kind: Option<Cow<'static, str>>,
    pub state: HandlerStatus,
    /// The same as people read it: also `failing`, `giving up` or `waiting` where it runs and is not well.
    #[serde(default)]
    pub condition: Cow<'static, str>,
    /// Why it is `failed`, or left alone while it runs.
    pub reason: Option<String>,
    /// While it is paused: until when, and why.
    pub pause: Option<PauseView>,
    /// Events that it has not come to or is not done with. Those count, too, that its `on` or `when` will
    /// leave out: they are not looked at yet.
    pub in_log: u64,
    /// Retries and held deliveries.
    pub waiting: u64,
    pub dead: u64,
    /// When the oldest event that is not settled came in, one that it will leave out or not.
    pub oldest_pending_at: Option<Timestamp>,
    /// How long that is ago.
    pub oldest_pending_seconds: u64,
    pub in_flight: usize,
    pub concurrency: usize,
    /// Since when its calls fail; nothing where the newest one did not.
    pub failing_since: Option<Timestamp>,
    /// How many calls failed in a row.
    pub failures: u32,
    /// When the first of the deliveries was given up that were so since the newest that was made.
    #[serde(default)]
    pub given_up_since: Option<Timestamp>,
    #[serde(default)]
    pub given_up_in_a_row: u32,
    /// While it is left alone, because it is down or asked for that: when it is tried next.
    pub probe_at: Option<Timestamp>,
    /// When the retry is due that is due next.
    #[serde(default)]
    pub next_try_at: Option<Timestamp>,
    /// Before this moment nothing that waits is given up for having been tried for too long.
    #[serde(default)]
    pub given_up_at: Option<Timestamp>,
    /// The newest failure, before the start too.
    pub last_error: Option<LastError>,
    /// When the newest delivery was made, before the start too.
    pub last_success_at: Option<Timestamp>,
    /// Where another gateway that shares the log delivers to it: who told how it does, and when. Nothing = what is
    /// said of its calls is what this gateway knows.
    #[serde(default)]
    pub reported_by: Option<ReportedBy>,
}

/// Who told how a handler does, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedBy {
    pub node: NodeName,
    /// By its clock.
    pub at: Timestamp,
}

impl HandlerView {
    /// Whether it runs and ends one delivery after the other as a dead letter, without one that it
    /// makes: no other try is of use to it, so that it does not count as failing.
    pub fn is_giving_up(&self) -> bool {
        self.state == HandlerStatus::Running
            && self.failing_since.is_none()
            && self.given_up_in_a_row >= GiveUpStreak::MANY
    }

    /// What is not settled: no more than that waits for it.
    pub fn pending(&self) -> u64 {
        self.in_log.saturating_add(self.waiting)
    }

    /// Whether it has not looked at all that is pending, so that the number is a bound: `on` and `when` may
    /// leave some out.
    pub fn is_bound(&self) -> bool {
        self.in_log > 0
    }

    /// Whether its calls have come to nothing for so long that what comes in waits, or is given up.
    pub fn is_down(&self) -> bool {
        self.state == HandlerStatus::Down || self.is_giving_up()
    }

    /// Why it takes nothing now, where the owner or something else must do what comes first; `None` = it takes what
    /// there is.
    pub fn why_idle(&self) -> Option<&'static str> {
        match self.state {
            HandlerStatus::Down => Some("is down"),
            HandlerStatus::Failed => Some("could not be started"),
            HandlerStatus::Paused => Some("is paused"),
            HandlerStatus::Disabled => Some("is disabled"),
            HandlerStatus::Unconfigured => Some("is in no configuration"),
            HandlerStatus::Running | HandlerStatus::Finishing | HandlerStatus::Stopped => None,
        }
    }

    /// Why it is left alone, where it runs: it was asked to wait, or its own rate has it wait.
    pub fn why_left_alone(&self) -> Option<&str> {
        self.reason.as_deref().filter(|_| self.state == HandlerStatus::Running)
    }

    /// What `condition` can be beside the states.
    pub const UNWELL: [&'static str; 3] = ["failing", "giving up", "waiting"];

    /// Its state as people read it: one that runs and whose calls come to nothing is not well.
    pub fn state_shown(&self) -> &'static str {
        let [failing, giving_up, waiting] = Self::UNWELL;
        match self.state {
            HandlerStatus::Running if self.failing_since.is_some() => failing,
            HandlerStatus::Running if self.is_giving_up() => giving_up,
            _ if self.why_left_alone().is_some() => waiting,
            state => state.as_str(),
        }
    }
}

/// Joins what the queue and the tasks know of the handlers. `configured` = `None` without a server.
pub(in crate::api) fn handlers(
    stats: &QueueStats,
    configured: Option<Vec<HandlerControl>>,
    now: Timestamp,
) -> Vec<HandlerView> {
    let without_task =
        if configured.is_some() { HandlerStatus::Unconfigured } else { HandlerStatus::Stopped };
    let configured = configured.unwrap_or_default();
    let unknown = stats
        .handlers
        .iter()
        .filter(|(name, _)| !configured.iter().any(|control| control.name == *name));
    let unknown = unknown.map(|(name, backlog)| {
        let control = HandlerControl::idle(name.clone(), "", without_task);
        HandlerView { kind: None, ..handler(control, *backlog, now) }
    });
    let unknown: Vec<HandlerView> = unknown.collect();
    let known = configured.into_iter().map(|control| {
        let found = stats.handlers.iter().find(|(known, _)| *known == control.name);
        handler(control, found.map(|(_, backlog)| *backlog).unwrap_or_default(), now)
    });
    known.chain(unknown).collect()
}

fn handler(control: HandlerControl, backlog: Backlog, now: Timestamp) -> HandlerView {
    let Backlog { in_log, waiting, dead, oldest_pending_at } = backlog;
    HandlerView {
        name: control.name,
        kind: Some(control.kind.into()),
        state: control.state,
        condition: Cow::default(),
        reason: control.reason,
        pause: control.pause,
        in_log,
        waiting,
        dead,
        oldest_pending_at,
        oldest_pending_seconds: oldest_pending_at.map_or(0, |at| now.since(at).as_secs()),
        in_flight: control.in_flight,
        concurrency: control.concurrency,
        failing_since: control.health.failing_since,
        failures: control.health.n_failures,
        given_up_since: control.health.given_up_since,
        given_up_in_a_row: control.health.n_given_up,
        probe_at: control.probe_at,
        next_try_at: None,
        given_up_at: oldest_pending_at
            .zip(control.retry_total)
            .map(|(oldest, total)| oldest.after(total)),
        last_error: control.health.last_error,
        last_success_at: control.health.last_success_at,
        reported_by: None,
    }
}
