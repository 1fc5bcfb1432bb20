//! At the end all that is due is delivered, and nothing may be left.

use std::time::Duration;

use crate::action::How;
use crate::fates::Fate;
use crate::oracle::{Append, Verdict};
use crate::simulation::{N_HANDLERS, Simulation};
use crate::subject::{Standing, Subject};

/// How many rounds of deliveries a calm hour has at most.
const DRAIN_ROUNDS: usize = 400;

impl<S: Subject> Simulation<S> {
    /// Delivers everything: in the end nothing is left that anybody could be waiting for.
    pub fn drain(&mut self) -> Verdict {
        self.calm_down()?;
        for _ in 0..DRAIN_ROUNDS {
            let mut has_delivered = false;
            for handler in 0..N_HANDLERS {
                self.take(handler, 8)?;
                while !self.workers[handler].calls().is_empty() {
                    has_delivered = true;
                    self.finish(handler, 0, How::Deliver)?;
                }
            }
            self.record();
            self.poll()?;
            if has_delivered {
                continue;
            }
            self.find_lost()?;
            if (0..N_HANDLERS).any(|handler| self.has_waiting(handler)) {
                self.wait(Duration::from_secs(40));
                continue;
            }
            // Dead letters that hold a key keep others waiting.
            let holding: Vec<usize> =
                (0..N_HANDLERS).filter(|handler| self.has_holding(*handler)).collect();
            if holding.is_empty() {
                break;
            }
            for handler in holding {
                let is_redrive = self.oracle.events.len().is_multiple_of(2);
                self.by_hand(handler, None, is_redrive)?;
            }
        }
        (0..N_HANDLERS).try_for_each(|handler| self.nothing_is_left(handler))
    }

    /// What could not be read is lost, as the queue has it.
    pub fn find_lost(&mut self) -> Verdict {
        for token in 0..self.oracle.next_token() {
            for handler in 0..N_HANDLERS {
                if self.oracle.may_be_lost(handler, token)
                    && self.standing(handler, token) == Some(Standing::Lost)
                {
                    self.stand(handler, token)?;
                }
            }
        }
        Ok(())
    }

    /// Whether something will be due by itself.
    pub fn has_waiting(&self, handler: usize) -> bool {
        (0..self.oracle.next_token()).any(|token| {
            self.standing(handler, token) == Some(Standing::Waiting)
                && !self.is_behind_holding(handler, token)
        })
    }

    pub fn has_holding(&self, handler: usize) -> bool {
        let fates = &self.oracle.handlers[handler];
        (0..self.oracle.next_token()).any(|token| fates.may_hold_key(token))
    }

    /// Whether a dead letter of its key is before it.
    pub fn is_behind_holding(&self, handler: usize, token: u32) -> bool {
        let Some(key) = self.key_of(handler, token) else { return false };
        let fates = &self.oracle.handlers[handler];
        let Some(id) = self.oracle.facts(token).id else { return false };
        self.oracle.by_id.range(..id).any(|(_, other)| {
            self.key_of(handler, *other) == Some(key) && fates.may_hold_key(*other)
        })
    }

    pub fn nothing_is_left(&mut self, handler: usize) -> Verdict {
        for token in 0..self.oracle.next_token() {
            let facts = self.oracle.facts(token);
            if facts.append != Append::Stored {
                continue;
            }
            let may_be_lost = facts.may_be_lost;
            let fates = &mut self.oracle.handlers[handler];
            let is_ended = |fate| match fate {
                Fate::Before | Fate::Unclear | Fate::Settled | Fate::Lost => true,
                Fate::Dead { key } => key.is_none(),
                Fate::Open { .. } | Fate::Waiting { .. } => false,
            };
            if fates.is_perhaps(token, is_ended) {
                continue;
            }
            if may_be_lost || fates.is_loose(token) {
                fates.lost(token);
                continue;
            }
            let (fates, lease) = (fates.fates(token), fates.lease(token));
            let (name, standing) = (&self.handlers[handler], self.standing(handler, token));
            return Err(format!(
                "`{name}` was never given {token}: {fates:?}, {lease:?}, stands as {standing:?}"
            ));
        }
        Ok(())
    }
}
