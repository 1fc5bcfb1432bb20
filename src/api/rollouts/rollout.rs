//! One redrive by stages, as a state machine: what it may let go now, and what a result makes of
//! it. Pure: it reads no clock and asks no queue.
//!
//! Rules, each a test below:
//!
//! 1. A stage begins once every letter of the stage before has a good result.
//! 2. The first failure stops it; what is under way by then is still looked after.
//! 3. Never more letters a second than `rate`, never more than [`UNDER_WAY_MAX`] without a result.
//! 4. Resumed after a pause it goes on in its stage; resumed after a stop it begins anew with one
//!    letter, and those that failed are among them.
//! 5. A letter counts by its last result: one that failed and was delivered later is delivered.

use std::collections::{HashSet, VecDeque};

use super::view::{LetGo, LetGoResult, RolloutStage, RolloutState, RolloutView};
use crate::clock::Timestamp;
use crate::event::{HandlerName, Position};

/// How many letters each stage lets go; one more stage has the rest.
pub const ROLLOUT_STAGES: [u64; 3] = [1, 10, 100];
/// The most letters without a result: each is looked up five times a second.
pub(super) const UNDER_WAY_MAX: usize = 500;
/// The most results that are kept one by one; failures and what is under way always are.
const RESULTS_MAX: usize = 500;
/// Letters a second by default.
pub(super) const RATE: u32 = 50;
/// Parts of a letter that the pace is counted in: a thousandth a millisecond is one a second.
const PARTS: u64 = 1_000;

/// A rollout with what it still has to let go.
#[derive(Debug)]
pub(super) struct Rollout {
    pub(super) view: RolloutView,
    /// Letters that wait for it, oldest first; `None` = they must be looked for.
    pub(super) waiting: Option<VecDeque<(HandlerName, Position)>>,
    /// What the pace allows, in thousandths of a letter, as of the moment beside it.
    credit: (u64, Option<Timestamp>),
}

impl Rollout {
    /// One that begins with these letters.
    pub(super) fn begin(view: RolloutView, waiting: Vec<(HandlerName, Position)>) -> Self {
        let stages = stages(waiting.len() as u64);
        let view = RolloutView { matched: waiting.len() as u64, stages, ..view };
        Self { view, waiting: Some(waiting.into()), credit: (PARTS, None) }
    }

    /// One of another gateway, of whose letters only the figures are known. Those that failed are let go once more,
    /// and count by what comes of them now.
    pub(super) fn begin_anew(view: RolloutView, now: Timestamp) -> Self {
        let state = RolloutState::Stopped;
        // An end that the owner named; without one it is a millisecond after the beginning.
        let named = view.filter.until.filter(|until| *until <= view.began_at);
        let mut rollout = Self::kept(RolloutView { state, failed: 0, under_way: 0, ..view });
        rollout.resume();
        rollout.view.filter.until = named.or(Some(now));
        rollout
    }

    pub(super) fn kept(view: RolloutView) -> Self {
        Self { view, waiting: None, credit: (PARTS, None) }
    }

    /// Whether it must be looked after: it lets go, or something that it let go has no result.
    pub(super) fn is_active(&self) -> bool {
        match self.view.state {
            RolloutState::Running => true,
            // What a cancelled one let go by then arrives all the same, and counts.
            RolloutState::Paused
            | RolloutState::Stopped
            | RolloutState::Cancelled
            | RolloutState::Done => {
                self.under_way().next().is_some() || self.tried_again().next().is_some()
            }
        }
    }

    /// Whether it only looks after what its handlers try again by themselves, or after what it let go before
    /// it was cancelled: either may take days.
    pub(super) fn is_slow(&self) -> bool {
        self.view.state.is_end()
            || (self.view.state != RolloutState::Running && self.under_way().next().is_none())
    }

    /// As it is told of.
    pub(super) fn told(&self) -> RolloutView {
        RolloutView { under_way: self.under_way().count() as u64, ..self.view.clone() }
    }

    /// What has no result yet.
    pub(super) fn under_way(&self) -> impl Iterator<Item = &LetGo> {
        self.view.let_go.iter().filter(|one| one.result == LetGoResult::UnderWay)
    }

    /// Takes letters that were looked for. What is under way is not among them any more; what failed
    /// before it began anew and is dead still goes first.
    pub(super) fn set_waiting(
        &mut self,
        failed: Vec<(HandlerName, Position)>,
        found: Vec<(HandlerName, Position)>,
    ) {
        let mut waiting = VecDeque::from(failed);
        let under_way = self.under_way().map(|one| (one.handler.clone(), one.position));
        let known: HashSet<_> = waiting.iter().cloned().chain(under_way).collect();
        waiting.extend(found.into_iter().filter(|letter| !known.contains(letter)));
        if self.view.stages.is_empty() {
            self.view.stages = stages(waiting.len() as u64);
        }
        self.waiting = Some(waiting);
    }

    /// Lets go what may be let go now, and gives it; ends the rollout where nothing is left.
    pub(super) fn advance(
        &mut self,
        now: Timestamp,
        steady: Timestamp,
    ) -> Vec<(HandlerName, Position)> {
        if self.view.state != RolloutState::Running {
            return Vec::new();
        }
        let Some(waiting) = &mut self.waiting else { return Vec::new() };
        let n_under_way =
            self.view.let_go.iter().filter(|one| one.result == LetGoResult::UnderWay).count();
        if waiting.is_empty() && n_under_way == 0 {
            self.end(RolloutState::Done, now);
            return Vec::new();
        }
        let is_full =
            |stage: &RolloutStage| stage.let_go >= stage.size && stage.done >= stage.let_go;
        while self.view.stages.get(self.view.stage).is_some_and(is_full)
            && self.view.stage + 1 < self.view.stages.len()
        {
            self.view.stage += 1;
        }
        let is_last = self.view.stage + 1 >= self.view.stages.len();
        let Some(stage) = self.view.stages.get_mut(self.view.stage) else { return Vec::new() };
        let room = stage.size.saturating_sub(stage.let_go);
        // Whatever is left belongs to the last stage, were it more than was counted.
        let room = if is_last { usize::MAX } else { usize::try_from(room).unwrap_or(usize::MAX) };
        let room = room.min(UNDER_WAY_MAX.saturating_sub(n_under_way));
        let allowed = allowed(&mut self.credit, self.view.rate, steady);
        let n = room.min(allowed).min(waiting.len());
        self.credit.0 -= n as u64 * PARTS;
        stage.let_go += n as u64;
        stage.size = stage.size.max(stage.let_go);
        let letters: Vec<_> = waiting.drain(..n).collect();
        self.forget_failures(&letters);
        let stage = Some(self.view.stage);
        self.view.let_go.extend(letters.iter().map(|(handler, position)| LetGo {
            handler: handler.clone(),
            position: *position,
            at: now,
            stage,
            result: LetGoResult::UnderWay,
            error: None,
            is_tried_again: false,
            is_redriven: false,
        }));
        letters
    }

    /// Those that failed and are let go once more count by what comes of them now.
    fn forget_failures(&mut self, letters: &[(HandlerName, Position)]) {
        let letters: HashSet<&(HandlerName, Position)> = letters.iter().collect();
        let n_before = self.view.let_go.len();
        self.view.let_go.retain(|one| {
            one.result != LetGoResult::Failed
                || !letters.contains(&(one.handler.clone(), one.position))
        });
        let n_forgotten = n_before - self.view.let_go.len();
        self.view.failed = self.view.failed.saturating_sub(n_forgotten as u64);
    }

    /// Letters that failed and that their handler tries again by itself.
    pub(super) fn tried_again(&self) -> impl Iterator<Item = &LetGo> {
        self.view.let_go.iter().filter(|one| one.is_tried_again)
    }

    /// Notes what became of a letter that failed and was tried again. No failure stops anything: the
    /// first one did.
    pub(super) fn mend(
        &mut self,
        (handler, position): (&HandlerName, Position),
        result: LetGoResult,
        error: Option<String>,
    ) {
        let view = &mut self.view;
        let found = view
            .let_go
            .iter_mut()
            .find(|one| one.is_tried_again && one.handler == *handler && one.position == position);
        let Some(found) = found else { return };
        let count = match result {
            LetGoResult::UnderWay => return,
            LetGoResult::Failed => {
                found.is_tried_again = false;
                found.error = error.or_else(|| found.error.take());
                return;
            }
            LetGoResult::Delivered => &mut view.delivered,
            LetGoResult::Skipped => &mut view.skipped,
            LetGoResult::Gone => &mut view.gone,
        };
        *count += 1;
        view.failed = view.failed.saturating_sub(1);
        (found.result, found.error, found.is_tried_again) = (result, None, false);
        if let Some(stage) = found.stage.and_then(|stage| view.stages.get_mut(stage)) {
            stage.failed = stage.failed.saturating_sub(1);
            stage.done += 1;
        }
        self.forget_old_results();
    }

    /// Notes that the queue redrove these.
    pub(super) fn redriven(&mut self, letters: &[(HandlerName, Position)]) {
        for one in &mut self.view.let_go {
            let is_one = |letter: &(HandlerName, Position)| {
                letter.0 == one.handler && letter.1 == one.position
            };
            if one.result == LetGoResult::UnderWay && letters.iter().any(is_one) {
                one.is_redriven = true;
            }
        }
    }

    /// Notes what became of a letter. The first failure stops the rollout.
    pub(super) fn settle(
        &mut self,
        (handler, position): (&HandlerName, Position),
        result: LetGoResult,
        (error, is_tried_again): (Option<String>, bool),
    ) {
        let view = &mut self.view;
        let found = view.let_go.iter_mut().find(|one| {
            one.result == LetGoResult::UnderWay
                && one.handler == *handler
                && one.position == position
        });
        let Some(found) = found else { return };
        found.result = result;
        found.error.clone_from(&error);
        found.is_tried_again = is_tried_again;
        let is_failed = match result {
            LetGoResult::UnderWay => return,
            LetGoResult::Delivered => add(&mut view.delivered, false),
            LetGoResult::Skipped => add(&mut view.skipped, false),
            LetGoResult::Gone => add(&mut view.gone, false),
            LetGoResult::Failed => add(&mut view.failed, true),
        };
        // One that was let go before a stop belongs to no stage of the new beginning.
        if let Some(stage) = found.stage.and_then(|stage| view.stages.get_mut(stage)) {
            if is_failed { stage.failed += 1 } else { stage.done += 1 }
        }
        if is_failed && matches!(view.state, RolloutState::Running | RolloutState::Paused) {
            let why = error.unwrap_or_default();
            view.why = Some(format!("position {} of `{handler}` failed: {why}", position.0));
            view.state = RolloutState::Stopped;
        }
        self.forget_old_results();
    }

    /// Takes back what [`Rollout::advance`] gave and was not recorded, and holds the rollout.
    pub(super) fn give_back(&mut self, letters: &[(HandlerName, Position)], why: String) {
        let is_one = |one: &LetGo| {
            one.result == LetGoResult::UnderWay
                && letters
                    .iter()
                    .any(|(handler, at)| *handler == one.handler && *at == one.position)
        };
        self.view.let_go.retain(|one| !is_one(one));
        if let Some(stage) = self.view.stages.get_mut(self.view.stage) {
            stage.let_go = stage.let_go.saturating_sub(letters.len() as u64);
        }
        if let Some(waiting) = &mut self.waiting {
            letters.iter().rev().for_each(|letter| waiting.push_front(letter.clone()));
        }
        self.pause(Some(why));
    }

    /// Holds it. `false` = it does not run.
    pub(super) fn pause(&mut self, why: Option<String>) -> bool {
        let is_running = self.view.state == RolloutState::Running;
        if is_running {
            self.view.state = RolloutState::Paused;
            self.view.why = why;
        }
        is_running
    }

    /// Lets it go on. `false` = it is neither paused nor stopped.
    pub(super) fn resume(&mut self) -> bool {
        match self.view.state {
            RolloutState::Paused => {}
            RolloutState::Stopped => {
                // The mend has to show itself by one letter again, those that failed among them.
                (self.view.stage, self.view.stages) = (0, Vec::new());
                for one in &mut self.view.let_go {
                    one.stage = None;
                }
                self.waiting = None;
            }
            RolloutState::Running | RolloutState::Cancelled | RolloutState::Done => return false,
        }
        self.view.why = None;
        self.view.state = RolloutState::Running;
        true
    }

    /// Ends it. `false` = it had come to its end.
    pub(super) fn cancel(&mut self, now: Timestamp) -> bool {
        let is_open = !self.view.state.is_end();
        if is_open {
            self.end(RolloutState::Cancelled, now);
        }
        is_open
    }

    fn end(&mut self, state: RolloutState, now: Timestamp) {
        self.view.state = state;
        self.view.ended_at = Some(now);
        self.waiting = None;
    }

    fn forget_old_results(&mut self) {
        let is_plain = |one: &LetGo| match one.result {
            LetGoResult::UnderWay | LetGoResult::Failed => false,
            LetGoResult::Delivered | LetGoResult::Skipped | LetGoResult::Gone => true,
        };
        let n_plain = self.view.let_go.iter().filter(|one| is_plain(one)).count();
        let mut n_over = n_plain.saturating_sub(RESULTS_MAX);
        self.view.let_go.retain(|one| {
            let is_old = n_over > 0 && is_plain(one);
            n_over -= usize::from(is_old);
            !is_old
        });
    }
}

fn add(count: &mut u64, is_failed: bool) -> bool {
    *count += 1;
    is_failed
}

/// Stages for so many letters.
pub(super) fn stages(n_letters: u64) -> Vec<RolloutStage> {
    let mut left = n_letters;
    let mut stages = Vec::new();
    for size in ROLLOUT_STAGES.into_iter().chain([u64::MAX]) {
        let size = size.min(left);
        left -= size;
        if size > 0 {
            stages.push(RolloutStage { size, ..RolloutStage::default() });
        }
    }
    stages
}

/// How many letters the pace allows by now: at most those of one second.
fn allowed((credit, as_of): &mut (u64, Option<Timestamp>), rate: u32, steady: Timestamp) -> usize {
    let passed = as_of.map_or(0, |as_of| steady.since(as_of).as_millis());
    let earned = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(u64::from(rate));
    let most = u64::from(rate).max(1) * PARTS;
    *credit = credit.saturating_add(earned).min(most);
    *as_of = Some(steady);
    usize::try_from(*credit / PARTS).unwrap_or(usize::MAX)
}
