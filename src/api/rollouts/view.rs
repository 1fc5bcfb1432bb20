//! What is told of a rollout, and kept of it.

use serde::{Deserialize, Serialize};

use super::RolloutStep;
use crate::api::ReportedBy;
use crate::api::actions::Actor;
use crate::api::dead_ask::DeadAsk;
use crate::api::view::HandlerView;
use crate::clock::Timestamp;
use crate::cluster::NodeName;
use crate::event::{HandlerName, Position};
use crate::text::count;

/// A redrive by stages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutView {
    /// Numbers ascend.
    pub number: u64,
    /// Which dead letters it is for; `until` is when it began.
    pub filter: DeadAsk,
    /// The same in words.
    pub target: String,
    pub actor: Actor,
    /// The most letters a second.
    pub rate: u32,
    pub state: RolloutState,
    /// Why it is in this state, where the owner did not ask for it.
    pub why: Option<String>,
    pub began_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// How many dead letters matched when it began.
    pub matched: u64,
    /// Which stage it is in, counted from 0.
    pub stage: usize,
    pub stages: Vec<RolloutStage>,
    /// Letters that were delivered.
    pub delivered: u64,
    /// Letters that their handler's filter did not want any more.
    pub skipped: u64,
    /// Letters that failed again, and were not delivered since.
    pub failed: u64,
    /// Letters that were dropped or redriven meanwhile.
    pub gone: u64,
    /// Letters that were let go and have no result yet: their handler has not come to them, or takes nothing
    /// now. Also a rollout that was cancelled looks after them.
    #[serde(default)]
    pub under_way: u64,
    /// What was let go, oldest first: all without a result, all failures, and the newest others.
    /// Empty in lists, and where another gateway carries it on.
    pub let_go: Vec<LetGo>,
    /// Where another gateway that shares the log carries it on: who told this, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_by: Option<ReportedBy>,
    /// The gateway that had it before, where that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<NodeName>,
    /// How often another gateway went on with it: of one rollout the view with most is carried on.
    #[serde(default)]
    pub takeovers: u32,
}

impl RolloutView {
    /// One that has let nothing go yet, and has no number.
    pub(super) const fn new(
        filter: DeadAsk,
        target: String,
        actor: Actor,
        rate: u32,
        began_at: Timestamp,
    ) -> Self {
        Self {
            number: 0,
            filter,
            target,
            actor,
            rate,
            state: RolloutState::Running,
            why: None,
            began_at,
            ended_at: None,
            matched: 0,
            stage: 0,
            stages: Vec::new(),
            delivered: 0,
            skipped: 0,
            failed: 0,
            gone: 0,
            under_way: 0,
            let_go: Vec::new(),
            reported_by: None,
            continues: None,
            takeovers: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// It lets letters go.
    Running,
    /// The owner holds it.
    Paused,
    /// A letter failed again.
    Stopped,
    /// The owner ended it.
    Cancelled,
    /// Every letter has its result.
    Done,
}

impl RolloutView {
    /// Of the handlers for whose letters it waits the first that takes nothing now.
    pub fn held_by<'a>(&self, handlers: &'a [HandlerView]) -> Option<&'a HandlerView> {
        let waits_for = |handler: &HandlerView| {
            let mut letters = self.let_go.iter();
            letters.any(|one| one.handler == handler.name && one.result == LetGoResult::UnderWay)
        };
        handlers.iter().find(|one| one.why_idle().is_some() && waits_for(one))
    }

    /// Its figures in words: `3 of 12 delivered, 1 failed again`. Of one that was cancelled also how many it had
    /// let go by then: the others are dead letters as before.
    pub fn figures(&self) -> String {
        let parts = [
            (self.under_way, "under way"),
            (self.failed, "failed again"),
            (self.skipped, "skipped"),
            (self.gone, "gone"),
        ];
        let parts = parts.into_iter().filter(|(number, _)| *number > 0);
        let parts: Vec<String> =
            parts.map(|(number, what)| format!(", {} {what}", count(number))).collect();
        let parts = parts.concat();
        let (delivered, matched) = (count(self.delivered), count(self.matched));
        match self.state {
            RolloutState::Cancelled => {
                let let_go = count(self.n_let_go());
                format!("{let_go} of {matched} let go: {delivered} delivered{parts}")
            }
            RolloutState::Running
            | RolloutState::Paused
            | RolloutState::Stopped
            | RolloutState::Done => format!("{delivered} of {matched} delivered{parts}"),
        }
    }

    /// What failed before it began anew: it died behind the end of the filter, which does not find it.
    pub(super) fn failed_before(&self) -> Vec<(HandlerName, Position)> {
        let failed = self.let_go.iter().filter(|one| {
            one.result == LetGoResult::Failed && !one.is_tried_again && one.stage.is_none()
        });
        failed.map(|one| (one.handler.clone(), one.position)).collect()
    }

    /// How many letters were let go in all.
    pub fn n_let_go(&self) -> u64 {
        let under_way = self.let_go.iter().filter(|one| one.result == LetGoResult::UnderWay);
        let n_under_way = self.under_way.max(under_way.count() as u64);
        // Another gateway may have told them.
        let with_result = [self.skipped, self.failed, self.gone, n_under_way];
        with_result.into_iter().fold(self.delivered, u64::saturating_add)
    }
}

impl RolloutState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }

    /// Whether nothing more can come of it.
    pub const fn is_end(self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Stopped => false,
            Self::Cancelled | Self::Done => true,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutStage {
    pub size: u64,
    /// How many of them were let go.
    pub let_go: u64,
    /// How many have a good result.
    pub done: u64,
    /// How many failed again.
    pub failed: u64,
}

/// One letter that was let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetGo {
    pub handler: HandlerName,
    pub position: Position,
    /// When it was let go.
    pub at: Timestamp,
    /// In which stage, counted from 0; nothing = before it began anew.
    pub stage: Option<usize>,
    pub result: LetGoResult,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether it failed and its handler tries it again by itself: a later result counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_tried_again: bool,
    /// Whether this process saw the queue redrive it. After a restart it may have been noted only.
    #[serde(skip)]
    pub(super) is_redriven: bool,
}

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetGoResult {
    /// Nothing yet.
    UnderWay,
    Delivered,
    Skipped,
    /// It failed, and was not delivered since.
    Failed,
    /// It was dropped or redriven meanwhile, or its handler or event is gone.
    Gone,
}

/// What one gateway asks of the one that carries a rollout on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutRequest {
    pub to: NodeName,
    /// The asking one's own name for it.
    pub id: u64,
    pub asked_at: Timestamp,
    pub number: u64,
    pub step: RolloutStep,
    /// On whose behalf.
    pub actor: Actor,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutAnswer {
    pub to: NodeName,
    pub id: u64,
    /// Why it was not done; nothing = it was.
    pub refused: Option<String>,
}
