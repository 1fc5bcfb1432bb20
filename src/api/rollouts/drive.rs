//! Carries rollouts on: looks what became of the letters that were let go, and lets the next ones
//! go.
//!
//! A letter is noted durably before the queue is told to redrive it. After a crash between the two
//! it is a dead letter as before, and is redriven then; one that was redriven is only looked up.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use tracing::warn;

use super::kept::Kept;
use super::registry::Rollouts;
use super::view::{LetGo, LetGoResult, RolloutState};
use crate::api::{Api, ApiError};
use crate::event::{HandlerName, Position};
use crate::queue::{
    DeadChange, DeadListing, DeadRecord, DeliveryHistory, DeliveryState, QueueError,
};

/// How often results are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The same where all that is left is what handlers try again by themselves.
const SLOW_LOOK_EVERY: Duration = Duration::from_secs(5);

/// A letter's name.
type Letter = (HandlerName, Position);

/// What a look at a letter says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    /// It waits, or is being tried.
    UnderWay,
    /// It was noted, and the process ended before the queue redrove it.
    NotRedriven,
    Ended(LetGoResult, Option<String>),
    /// It failed, and its handler tries it again by its own rules.
    TriedAgain(Option<String>),
}

impl Api {
    /// Carries rollouts on for as long as it is polled. It may be dropped at any moment.
    pub async fn run_rollouts(&self) {
        let Some(server) = &self.server else { return };
        let rollouts = &server.rollouts;
        let mut kept = Kept::new(rollouts.active());
        loop {
            self.let_kept_go_on(server, &mut kept).await;
            // Listen before looking: one that begins in between is not missed.
            let mut bell = pin!(rollouts.bell.notified());
            bell.as_mut().enable();
            let active = rollouts.active();
            for number in active.iter().filter(|number| !kept.holds(**number)) {
                if let Err(err) = self.carry_on(rollouts, *number).await {
                    warn!(rollout = number, error = %err, "A rollout cannot go on yet");
                }
            }
            if active.is_empty() {
                bell.await;
            } else if rollouts.are_slow() && kept.is_empty() {
                // One that begins meanwhile, or goes on, rings.
                drop(tokio::time::timeout(SLOW_LOOK_EVERY, bell).await);
            } else {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// One look at one rollout.
    async fn carry_on(&self, rollouts: &Rollouts, number: u64) -> Result<(), ApiError> {
        let Some(before) = rollouts.get(number) else { return Ok(()) };
        // After a restart the letters that wait are found anew: only those let go are in the file.
        let is_known = rollouts.change(number, |one| one.waiting.is_some()).unwrap_or(true);
        if !is_known && before.state == RolloutState::Running {
            let found = self.letters_for(&before).await?;
            // One that was dropped or delivered meanwhile would prove nothing of the mend.
            let failed = self.dead_of(before.failed_before()).await?.into_keys().collect();
            rollouts.change(number, |one| one.set_waiting(failed, found));
        }
        let of = |filter: fn(&&LetGo) -> bool| -> Vec<LetGo> {
            before.let_go.iter().filter(filter).cloned().collect()
        };
        let under_way = of(|one| one.result == LetGoResult::UnderWay);
        let tried_again = of(|one| one.is_tried_again);
        let (now, steady) = (self.clock.now(), self.clock.steady());
        let mut again: Vec<Letter> = Vec::new();
        // What was let go and is dead once more counts against the rollout before more is let go.
        for (letter, finding) in self.look_at(&under_way).await? {
            match finding {
                Finding::UnderWay => {}
                Finding::NotRedriven => again.push(letter),
                Finding::Ended(result, error) => {
                    let letter = (&letter.0, letter.1);
                    rollouts.change(number, |one| one.settle(letter, result, (error, false)));
                }
                Finding::TriedAgain(error) => {
                    let letter = (&letter.0, letter.1);
                    let failed = LetGoResult::Failed;
                    rollouts.change(number, |one| one.settle(letter, failed, (error, true)));
                }
            }
        }
        for (letter, finding) in self.look_at(&tried_again).await? {
            if let Finding::Ended(result, error) = finding {
                let letter = (&letter.0, letter.1);
                rollouts.change(number, |one| one.mend(letter, result, error));
            }
        }
        let due = rollouts.change(number, |one| one.advance(now, steady)).unwrap_or_default();
        let Some(view) = rollouts.get(number) else { return Ok(()) };
        if view != before
            && let Err(err) = rollouts.save(number).await
        {
            // Nothing is let go that is not noted: what was taken for this look is given back.
            let why = format!("what it does cannot be written down: {err}");
            rollouts.change(number, |one| one.give_back(&due, why));
            return Err(ApiError::Conflict(format!("its file cannot be written: {err}")));
        }
        again.extend(due);
        // Saved before it is done: after a crash a letter is redriven again, never forgotten.
        if !again.is_empty() {
            self.queue.change_dead(again.clone(), DeadChange::Redrive).await?;
            rollouts.change(number, |one| one.redriven(&again));
        }
        if view.state != before.state {
            self.by(view.actor).note_rollout_end(&view);
        }
        Ok(())
    }

    /// What became of each of `letters`, which were redriven; `true` = it failed and is tried again.
    pub(in crate::api) async fn results_of(
        &self,
        letters: &[Letter],
    ) -> Result<Vec<(LetGoResult, bool)>, QueueError> {
        let at = self.now();
        let let_go = letters.iter().cloned().map(|(handler, position)| LetGo {
            handler,
            position,
            at,
            stage: None,
            result: LetGoResult::UnderWay,
            error: None,
            is_tried_again: false,
            is_redriven: true,
        });
        let findings = self.look_at(&let_go.collect::<Vec<_>>()).await?;
        let results = findings.into_iter().map(|(_, finding)| match finding {
            Finding::UnderWay => (LetGoResult::UnderWay, false),
            Finding::TriedAgain(_) => (LetGoResult::Failed, true),
            Finding::NotRedriven => (LetGoResult::Gone, false),
            Finding::Ended(result, _) => (result, false),
        });
        Ok(results.collect())
    }

    /// The state of each of `letters`.
    async fn look_at(&self, letters: &[LetGo]) -> Result<Vec<(Letter, Finding)>, QueueError> {
        if letters.is_empty() {
            return Ok(Vec::new());
        }
        let positions: Vec<Position> = letters.iter().map(|one| one.position).collect();
        let histories = self.queue.histories(&positions).await?;
        let is_dead = |(letter, history): &(&LetGo, &Vec<DeliveryHistory>)| {
            history
                .iter()
                .any(|one| one.handler == letter.handler && one.state == DeliveryState::Dead)
        };
        let dead = letters.iter().zip(&histories).filter(is_dead);
        let dead = dead.map(|(letter, _)| (letter.handler.clone(), letter.position)).collect();
        // Once for all of them: each call waits for what is not recorded yet.
        let dead = self.dead_of(dead).await?;
        let mut findings = Vec::with_capacity(letters.len());
        for (letter, history) in letters.iter().zip(histories) {
            let own = history.iter().find(|one| one.handler == letter.handler);
            let dead = dead.get(&(letter.handler.clone(), letter.position));
            let finding = finding(letter, own, dead);
            findings.push(((letter.handler.clone(), letter.position), finding));
        }
        Ok(findings)
    }

    /// Those of `letters` that are dead letters still.
    async fn dead_of(
        &self,
        letters: Vec<Letter>,
    ) -> Result<BTreeMap<Letter, DeadRecord>, QueueError> {
        if letters.is_empty() {
            return Ok(BTreeMap::new());
        }
        let DeadListing { letters, unreadable } = self.queue.dead_letters(letters).await?;
        let readable = letters.into_iter().map(|letter| DeadRecord {
            handler: letter.handler,
            position: letter.position,
            fact: (letter.attempts > 0).then_some((letter.died_at, letter.reason)),
        });
        let records = readable.chain(unreadable);
        Ok(records.map(|one| ((one.handler.clone(), one.position), one)).collect())
    }
}

/// What a delivery's history says of a letter. `dead` = the dead letter that it is, where it is
/// one.
fn finding(letter: &LetGo, own: Option<&DeliveryHistory>, dead: Option<&DeadRecord>) -> Finding {
    let Some(own) = own else { return Finding::Ended(LetGoResult::Gone, None) };
    let last_error = || {
        let error = own.attempts.last().map(|attempt| attempt.error.to_string());
        error.filter(|error| !error.is_empty())
    };
    match own.state {
        DeliveryState::Pending | DeliveryState::Held => Finding::UnderWay,
        DeliveryState::Delivered => Finding::Ended(LetGoResult::Delivered, None),
        DeliveryState::Skipped => Finding::Ended(LetGoResult::Skipped, None),
        // It will be tried again by the rules of its handler, but what was mended is not yet well.
        DeliveryState::Retry => Finding::TriedAgain(last_error()),
        DeliveryState::Dead => match dead.map(|dead| dead.fact.as_ref()) {
            // Dropped meanwhile.
            None => Finding::Ended(LetGoResult::Gone, None),
            Some(fact) => {
                let died_anew = fact.is_some_and(|(died_at, _)| *died_at >= letter.at);
                if !died_anew && !letter.is_redriven {
                    return Finding::NotRedriven;
                }
                let reason = fact.map(|(_, reason)| reason.to_string());
                Finding::Ended(LetGoResult::Failed, reason.or_else(last_error))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::ErrorText;

    fn letter(is_redriven: bool) -> LetGo {
        LetGo {
            handler: HandlerName::parse("app").unwrap(),
            position: Position(7),
            at: Timestamp::from_millis(1_000),
            stage: Some(0),
            result: LetGoResult::UnderWay,
            error: None,
            is_tried_again: false,
            is_redriven,
        }
    }

    fn history(state: DeliveryState) -> DeliveryHistory {
        DeliveryHistory { handler: letter(true).handler, state, attempts: Vec::new(), n_let_go: 0 }
    }

    fn died(at: i64) -> DeadRecord {
        let fact = Some((Timestamp::from_millis(at), ErrorText::new("answered 500")));
        DeadRecord { handler: letter(true).handler, position: Position(7), fact }
    }

    #[test]
    fn finding_tells_waiting_from_done_from_failed() {
        let of = |state| finding(&letter(true), Some(&history(state)), None);
        assert_eq!(of(DeliveryState::Pending), Finding::UnderWay);
        assert_eq!(of(DeliveryState::Held), Finding::UnderWay);
        assert_eq!(of(DeliveryState::Delivered), Finding::Ended(LetGoResult::Delivered, None));
        assert_eq!(of(DeliveryState::Skipped), Finding::Ended(LetGoResult::Skipped, None));
        assert_eq!(of(DeliveryState::Retry), Finding::TriedAgain(None));
        assert_eq!(of(DeliveryState::Dead), Finding::Ended(LetGoResult::Gone, None), "dropped");
        assert_eq!(finding(&letter(true), None, None), Finding::Ended(LetGoResult::Gone, None));
    }

    #[test]
    fn dead_letter_that_was_noted_only_is_redriven_and_one_that_died_again_has_failed() {
        let dead = history(DeliveryState::Dead);
        let failed = Finding::Ended(LetGoResult::Failed, Some("answered 500".into()));
        for (is_redriven, died_at, expected) in [
            (false, 999, Finding::NotRedriven),
            (false, 1_000, failed.clone()),
            (true, 1_001, failed.clone()),
            // The wall clock was set back: it is not redriven for ever.
            (true, 999, failed),
        ] {
            let letter = letter(is_redriven);
            assert_eq!(finding(&letter, Some(&dead), Some(&died(died_at))), expected);
        }
    }
}
