//! Handlers come and go.

use gatepost_sim::queue::{QueueError, Start};
use rand::Rng;

use crate::fates::{Existence, Fate};
use crate::oracle::{Append, Verdict};
use crate::subject::{End, Part, Request, Subject};
use crate::worker::Worker;

use super::*;

impl<S: Subject> Simulation<S> {
    /// Compares how everything stands behind a start with what may be.
    pub fn stand_all(&mut self) -> Verdict {
        for handler in 0..N_HANDLERS {
            self.find_existence(handler)?;
            if self.oracle.handlers[handler].existence != Existence::Yes {
                continue;
            }
            for token in 0..self.oracle.next_token() {
                self.stand(handler, token)?;
            }
        }
        Ok(())
    }

    pub fn stand(&mut self, handler: usize, token: u32) -> Verdict {
        let facts = self.oracle.facts(token);
        let Some(position) = facts.position else { return Ok(()) };
        let may_be_lost = self.oracle.may_be_lost(handler, token);
        let name = &self.handlers[handler];
        let Some(standing) = self.subject.standing(name, position) else { return Ok(()) };
        self.oracle.handlers[handler]
            .stands(token, standing, may_be_lost)
            .map_err(|why| format!("handler `{name}`: {why}"))
    }

    pub fn is_there(&self, handler: usize) -> bool {
        let position = gatepost_sim::event::Position(1);
        self.subject.standing(&self.handlers[handler], position).is_some()
    }

    /// Whether the handler has a subscription, where that is not known.
    pub fn find_existence(&mut self, handler: usize) -> Verdict {
        let is_there = self.is_there(handler);
        let name = &self.handlers[handler];
        let incarnation = self.subject.incarnation(name);
        let fates = &mut self.oracle.handlers[handler];
        // An earlier subscription takes the place of one whose record is damaged.
        let is_other = match fates.existence {
            Existence::Yes => fates.may_vanish && fates.incarnation != incarnation,
            Existence::Unclear => true,
            Existence::No => false,
        };
        if is_there && is_other && fates.may_be_revived {
            fates.forget();
        }
        match (fates.existence, is_there) {
            (Existence::Yes, true) | (Existence::No, false) => Ok(()),
            (Existence::Yes, false) if fates.may_vanish => {
                fates.forget();
                // Where its record can be read again, it is there again.
                fates.may_be_revived = true;
                Ok(())
            }
            (Existence::Unclear, true) => {
                (fates.existence, fates.incarnation) = (Existence::Yes, incarnation);
                Ok(())
            }
            (Existence::Unclear, false) => {
                fates.forget();
                Ok(())
            }
            (Existence::Yes, false) => Err(format!("the subscription of `{name}` is gone")),
            (Existence::No, true) if fates.may_be_revived => self.forget_again(handler),
            (Existence::No, true) => Err(format!("`{name}` was forgotten and is there again")),
        }
    }

    /// The record that says that it was forgotten is damaged. People find the handler in the lists
    /// and forget it once more.
    pub fn forget_again(&mut self, handler: usize) -> Verdict {
        let answer = self.ask(Request::Forget(self.handlers[handler].clone()))?;
        match answer {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None if self.may_fail() => Ok(()),
            Some(Err(_)) | None => Err("it cannot be forgotten again".into()),
        }
    }

    pub fn subscribe(&mut self, handler: usize, is_interrupted: bool) -> Verdict {
        if self.oracle.handlers[handler].session.is_some() {
            return Ok(());
        }
        if self.oracle.handlers[handler].existence == Existence::No {
            self.find_existence(handler)?;
            if self.is_there(handler) {
                return Ok(());
            }
        }
        let start = if handler == 1 { Start::Oldest } else { Start::Now };
        let (n_before, existence) =
            (self.oracle.next_token(), self.oracle.handlers[handler].existence);
        let name = self.handlers[handler].clone();
        let request = Request::Subscribe(name, start);
        let answer = if is_interrupted && existence == Existence::No {
            self.start_upkeep(request);
            for _ in 0..self.random.random_range(0..4) {
                self.step(Part::Committer);
            }
            None
        } else {
            self.ask(request)?
        };
        let oracle = &mut self.oracle;
        if existence == Existence::No {
            let fates: Vec<Fate> = oracle
                .events
                .iter()
                .map(|facts| match (start, facts.append) {
                    (Start::Now, Append::Stored) => Fate::Before,
                    (Start::Oldest, Append::Stored) if !oracle.was_cleaned => {
                        Fate::Open { is_fresh: true }
                    }
                    _ => Fate::Unclear,
                })
                .collect();
            oracle.handlers[handler].begin(n_before, |token| fates[token as usize]);
            oracle.handlers[handler].existence = Existence::Unclear;
        } else if existence == Existence::Unclear && start == Start::Now {
            // It began with an earlier call or with this one.
            oracle.handlers[handler].may_begin_behind(n_before);
        }
        match answer {
            None | Some(Err(QueueError::Full(_) | QueueError::Poisoned | QueueError::Closed)) => {
                if is_interrupted && existence == Existence::No {
                    return self.crash(End::PowerCut { torn_sectors: false }, None);
                }
                Ok(())
            }
            Some(Err(err)) => Err(format!("subscribing failed: {err:?}")),
            Some(Ok(_)) => {
                let incarnation = self.subject.incarnation(&self.handlers[handler]);
                let fates = &mut oracle.handlers[handler];
                (fates.existence, fates.incarnation) = (Existence::Yes, incarnation);
                let now = self.steady();
                self.oracle.handlers[handler].attach(now);
                Ok(())
            }
        }
    }

    pub fn unsubscribe(&mut self, handler: usize) {
        self.subject.unsubscribe(&self.handlers[handler]);
        self.oracle.handlers[handler].detach();
        self.workers[handler] = Worker::default();
    }

    pub fn forget(&mut self, handler: usize) -> Verdict {
        self.unsubscribe(handler);
        let answer = self.ask(Request::Forget(self.handlers[handler].clone()))?;
        let fates = &mut self.oracle.handlers[handler];
        match answer {
            Some(Ok(_)) => fates.forget(),
            Some(Err(QueueError::Full(_) | QueueError::Poisoned | QueueError::Closed)) | None => {
                if fates.existence == Existence::Yes {
                    fates.existence = Existence::Unclear;
                }
            }
            // Another call to forget it was not answered.
            Some(Err(QueueError::Busy(_))) if fates.existence == Existence::Unclear => {}
            Some(Err(err)) => return Err(format!("forgetting failed: {err:?}")),
        }
        Ok(())
    }
}
