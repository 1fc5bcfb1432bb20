//! Redrives as rollouts: 1 → 10 → 100 → the rest, stopped by the first failure, paced, and kept
//! over a restart.

use serde::{Deserialize, Serialize};

use crate::event::{HandlerName, Position};
use crate::queue::DeadRecord;
use crate::text::counted;

use super::acted_on::{ActedOn, ActionTarget};
use super::dead::group_of;
use super::dead_ask::{DeadAsk, RolloutAsk};
use super::{Api, ApiError, Server};

mod drive;
mod elsewhere;
mod folder;
mod kept;
mod registry;
mod rollout;
#[cfg(test)]
mod tests;
mod view;

pub use registry::Rollouts;
pub use rollout::ROLLOUT_STAGES;
pub use view::{
    LetGo, LetGoResult, RolloutAnswer, RolloutRequest, RolloutStage, RolloutState, RolloutView,
};

use registry::Objection;
use rollout::{RATE, Rollout};

/// What an owner asks of a rollout that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutStep {
    /// To let nothing go for now.
    Pause,
    /// To go on.
    Resume,
    /// To end.
    Cancel,
}

impl RolloutStep {
    /// As routes, verbs and the action log call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pause, Self::Resume, Self::Cancel].into_iter().find(|step| step.as_str() == text)
    }
}

impl Api {
    /// All rollouts of all gateways that share the log, newest first, without their letters.
    pub fn rollouts(&self) -> Result<Vec<RolloutView>, ApiError> {
        let server = self.server()?;
        let mut all = server.rollouts.list();
        let elsewhere = self.rollouts_elsewhere(server);
        all.retain(|one| !self.is_continued(one, &elsewhere));
        all.extend(elsewhere);
        all.sort_by_key(|one| std::cmp::Reverse(one.number));
        Ok(all)
    }

    /// One with its letters; without them where another gateway carries it on.
    pub fn rollout(&self, number: u64) -> Result<RolloutView, ApiError> {
        let server = self.server()?;
        let elsewhere = self.rollout_elsewhere(server, number);
        elsewhere.or_else(|| server.rollouts.get(number)).ok_or_else(|| no_rollout(number))
    }

    /// Begins to redrive what matches, by stages. It is durable once this returns.
    pub async fn begin_rollout(&self, ask: RolloutAsk) -> Result<RolloutView, ApiError> {
        let ask = ask.for_change(self)?;
        let (asked, about) = (ask.target(None), DeadAsk::from(ask.clone()).about());
        let begun = self.try_begin(ask).await;
        let (number, words) = match &begun {
            Ok(view) => (Some(view.number), view.target.clone()),
            Err(_) => (None, asked),
        };
        let target = ActionTarget::new(words, ActedOn { rollout: number, ..about });
        self.note("rollout", target, &begun, |view| {
            let letters = counted(view.matched, "dead letter", "dead letters");
            format!("rollout {} began: {letters}", view.number)
        });
        begun
    }

    async fn try_begin(&self, ask: RolloutAsk) -> Result<RolloutView, ApiError> {
        let server = self.server()?;
        let rollouts = &server.rollouts;
        let rate = ask.rate.unwrap_or(RATE);
        if rate == 0 {
            let why = "`rate` is how many go in a second: 1 at least; a rollout can be paused";
            return Err(ApiError::Bad(why.into()));
        }
        let worded = ask.clone();
        let now = self.clock.now();
        // What dies from now on is a result, and not to be let go once more. `until` is no part.
        let until = now.after(std::time::Duration::from_millis(1));
        let asked = DeadAsk::from(ask);
        let filter =
            DeadAsk { until: Some(asked.until.map_or(until, |at| at.min(until))), ..asked };
        let mut view = RolloutView::new(filter, String::new(), self.actor, rate, now);
        let records = self.records_for(&view).await?;
        view.target = worded.target(group_of(worded.like.as_deref(), &records).as_deref());
        let letters = letters_of(records);
        if letters.is_empty() {
            return Err(ApiError::Conflict("no dead letter matches".into()));
        }
        rollouts.check(&view, &self.rollouts_elsewhere(server)).map_err(objected)?;
        let number = self.claim_number(server).await?;
        view.number = number;
        // What is told may be more by now.
        let elsewhere = self.rollouts_elsewhere(server);
        rollouts.add(Rollout::begin(view, letters), &elsewhere).map_err(objected)?;
        if let Err(err) = rollouts.save(number).await {
            rollouts.take_back(number);
            return Err(unwritten(&err));
        }
        rollouts.bell.notify_waiters();
        rollouts.exchange.bell.notify_one();
        self.rollout(number)
    }

    /// Pauses, resumes or cancels one, on the gateway that carries it on; durable once this returns.
    pub async fn change_rollout(
        &self,
        number: u64,
        step: RolloutStep,
    ) -> Result<RolloutView, ApiError> {
        let server = self.server()?;
        match self.rollout_elsewhere(server, number) {
            Some(view) => self.change_elsewhere(view, step).await,
            None => self.change_own_rollout(number, step).await,
        }
    }

    async fn change_own_rollout(
        &self,
        number: u64,
        step: RolloutStep,
    ) -> Result<RolloutView, ApiError> {
        let changed = self.try_change(number, step).await;
        self.note_step(number, step, &changed);
        changed
    }

    fn note_step(&self, number: u64, step: RolloutStep, changed: &Result<RolloutView, ApiError>) {
        let action = format!("{} rollout", step.as_str());
        let target = ActionTarget::new(format!("rollout {number}"), ActedOn::rollout(number));
        self.note(&action, target, changed, summary);
    }

    async fn try_change(&self, number: u64, step: RolloutStep) -> Result<RolloutView, ApiError> {
        let Server { rollouts, .. } = self.server()?;
        let now = self.clock.now();
        let changed = rollouts.change(number, |one| match step {
            RolloutStep::Pause => one.pause(None),
            RolloutStep::Resume => one.resume(),
            RolloutStep::Cancel => one.cancel(now),
        });
        if !changed.ok_or_else(|| no_rollout(number))? {
            let state = self.rollout(number)?.state.as_str();
            return Err(ApiError::Conflict(format!("rollout {number} is {state}")));
        }
        rollouts.save(number).await.map_err(|err| unwritten(&err))?;
        rollouts.bell.notify_waiters();
        rollouts.exchange.bell.notify_one();
        self.rollout(number)
    }

    /// The letters that a rollout has still to let go.
    async fn letters_for(
        &self,
        view: &RolloutView,
    ) -> Result<Vec<(HandlerName, Position)>, ApiError> {
        self.records_for(view).await.map(letters_of)
    }

    async fn records_for(&self, view: &RolloutView) -> Result<Vec<DeadRecord>, ApiError> {
        let cap = view.filter.limit.map(|limit| {
            let n_gone = view.n_let_go();
            limit.saturating_sub(usize::try_from(n_gone).unwrap_or(usize::MAX))
        });
        let ask = DeadAsk { limit: cap, ..view.filter.clone() };
        let selection = match ask.parse(self).await {
            // Its one event is gone.
            Err(ApiError::NotFound(_)) => return Ok(Vec::new()),
            other => other?,
        };
        self.dead_records(&selection).await
    }

    /// Notes that a rollout came to its end or stopped.
    fn note_rollout_end(&self, view: &RolloutView) {
        let ended = match view.state {
            RolloutState::Stopped => Err(ApiError::Conflict(summary(view))),
            RolloutState::Running
            | RolloutState::Paused
            | RolloutState::Cancelled
            | RolloutState::Done => Ok(()),
        };
        let action = format!("rollout {}", view.state.as_str());
        let words = format!("rollout {}: {}", view.number, view.target);
        let target = ActionTarget::new(words, ActedOn::rollout(view.number));
        self.note(&action, target, &ended, |()| summary(view));
    }
}

fn objected(objection: Objection) -> ApiError {
    ApiError::Conflict(match objection {
        Objection::Overlaps(other, target, state) => {
            let state = state.as_str();
            format!(
                "rollout {other} ({target}) is {state} and may be for some of the same dead letters, which would go \
                 twice: let it come to its end, or cancel it (`gatepost rollouts cancel {other}`)"
            )
        }
        Objection::TooMany => "too many rollouts have not ended: cancel some".to_owned(),
    })
}

fn letters_of(records: Vec<DeadRecord>) -> Vec<(HandlerName, Position)> {
    records.into_iter().map(|record| (record.handler, record.position)).collect()
}

/// A rollout's figures in a line.
fn summary(view: &RolloutView) -> String {
    let figures = view.figures();
    match &view.why {
        Some(why) => format!("{figures}: {why}"),
        None => figures,
    }
}

fn no_rollout(number: u64) -> ApiError {
    ApiError::NotFound(format!("there is no rollout {number}"))
}

fn unwritten(err: &std::io::Error) -> ApiError {
    ApiError::Conflict(format!("the rollout cannot be written down: {err}"))
}
