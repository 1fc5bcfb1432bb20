//! The handlers' side of a run: taking, calling, settling, and what is done by hand.

use std::time::Duration;

use gatepost_sim::clock::Clock;
use gatepost_sim::event::{Attempt, Delivery, ErrorText, Outcome, Settlement};

use crate::action::How;
use crate::fates::{Details, Fate, Lease};
use crate::oracle::Verdict;
use crate::simulation::Simulation;
use crate::subject::Subject;
use crate::worker::{LINE_MAX, Line};

mod by_hand;
mod draining;

impl<S: Subject> Simulation<S> {
    pub fn take(&mut self, handler: usize, max: usize) -> Verdict {
        if self.oracle.handlers[handler].session.is_none() {
            return Ok(());
        }
        let taken = self.subject.take(&self.handlers[handler], max);
        let mut taken = match taken {
            Ok(taken) => taken,
            Err(_) if self.may_fail() => return Ok(()),
            Err(err) => return Err(format!("taking failed on a sound disk: {err:?}")),
        };
        if taken.len() > max {
            return Err(format!("{} deliveries were given where {max} were asked", taken.len()));
        }
        let mut tokens = Vec::new();
        for delivery in &taken {
            tokens.push(self.given(handler, delivery)?);
        }
        if handler > 0 {
            taken.sort_by_key(|delivery| delivery.event.position);
        }
        for delivery in taken {
            self.sort(handler, delivery)?;
        }
        Ok(())
    }

    /// The queue gave a delivery out.
    fn given(&mut self, handler: usize, delivery: &Delivery) -> Result<u32, String> {
        let token = self.oracle.seen(&delivery.event)?;
        let now = self.steady();
        self.passed_over(handler, token)?;
        self.is_head(handler, token)?;
        let fates = &mut self.oracle.handlers[handler];
        fates
            .given(token, delivery.attempt, now)
            .map_err(|why| format!("handler `{}`: {why}", self.handlers[handler]))?;
        Ok(token)
    }

    /// What comes out of the log in its order passes nothing over.
    fn passed_over(&mut self, handler: usize, token: u32) -> Verdict {
        if self.oracle.facts(token).may_be_lost {
            // The id of an event that could not be read for a while is not in order with those that
            // were given out meanwhile.
            return Ok(());
        }
        let id = self.oracle.facts(token).id.ok_or("an event without an id")?;
        let fates = &self.oracle.handlers[handler];
        let is_fresh = |fate| matches!(fate, Fate::Open { is_fresh: true } | Fate::Unclear);
        if fates.lease(token).is_some() || !fates.is_surely(token, is_fresh) {
            return Ok(());
        }
        let from = fates.session.as_ref().and_then(|session| session.read_through);
        if from.is_some_and(|from| from >= id) {
            return Ok(());
        }
        let between = match from {
            Some(from) => self.oracle.by_id.range(from..id),
            None => self.oracle.by_id.range(..id),
        };
        for (_, other) in between {
            let is_due = fates.lease(*other).is_none()
                && fates.is_surely(*other, |fate| fate == Fate::Open { is_fresh: true })
                && !self.oracle.facts(*other).may_be_lost;
            if is_due {
                let name = &self.handlers[handler];
                return Err(format!("`{name}` was given {token}, passing over {other}"));
            }
        }
        let behind: Vec<u32> = self.oracle.by_id.range(id..).map(|(_, token)| *token).collect();
        let fates = &mut self.oracle.handlers[handler];
        fates.began_before(behind.into_iter());
        if let Some(session) = &mut fates.session {
            session.read_through = Some(id);
        }
        Ok(())
    }

    /// A delivery that waits with a key is given out only as the first of its key's queue.
    fn is_head(&self, handler: usize, token: u32) -> Verdict {
        let Some(key) = self.key_of(handler, token) else { return Ok(()) };
        let fates = &self.oracle.handlers[handler];
        let waits = |token: u32| {
            let is_entry = |fate| match fate {
                Fate::Waiting { key, .. } => key.is_some(),
                Fate::Dead { key } => key.is_some(),
                _ => false,
            };
            fates.is_surely(token, is_entry) && fates.lease(token) != Some(Lease::Out)
                || fates.lease(token) == Some(Lease::Parked)
        };
        if !waits(token) || self.oracle.facts(token).may_be_lost {
            return Ok(());
        }
        let earlier = self.oracle.by_id.range(..self.oracle.facts(token).id.unwrap());
        for (_, other) in earlier {
            let is_before = self.key_of(handler, *other) == Some(key) && waits(*other);
            if is_before && !self.oracle.facts(*other).may_be_lost {
                let name = &self.handlers[handler];
                return Err(format!("`{name}` was given {token} before {other}, its key's first"));
            }
        }
        Ok(())
    }

    /// Puts what was given into its line, or has it held.
    fn sort(&mut self, handler: usize, delivery: Delivery) -> Verdict {
        let token = crate::oracle::token_of(&delivery.event.body).unwrap();
        let position = delivery.event.position;
        self.workers[handler].deliveries.insert(token, delivery);
        let Some(key) = self.key_of(handler, token) else {
            self.workers[handler].free.push(token);
            return Ok(());
        };
        let line = self.workers[handler].lines.get(&key);
        let (is_here, n_waiting) = (line.is_some(), line.map_or(0, |line| line.waiting.len()));
        let has_spilled = line.is_some_and(|line| line.has_spilled);
        let name = self.handlers[handler].clone();
        let must_wait =
            has_spilled || self.subject.is_key_waiting(&name, Self::order_key(key), position);
        if !must_wait && !is_here {
            return self.call(handler, token, key);
        }
        let line = self.workers[handler].lines.get_mut(&key);
        match line {
            Some(line) if !must_wait && n_waiting < LINE_MAX => {
                line.waiting.push_back(token);
                Ok(())
            }
            line => {
                if let Some(line) = line {
                    line.has_spilled = true;
                }
                self.hold(handler, token, key, None)?;
                if !is_here {
                    self.subject.release_key(&name, Self::order_key(key));
                }
                Ok(())
            }
        }
    }

    /// A call of a delivery with a key begins: none of its key may be before it.
    fn call(&mut self, handler: usize, token: u32, key: u8) -> Verdict {
        let fates = &self.oracle.handlers[handler];
        let earlier = self.oracle.by_id.range(..self.oracle.facts(token).id.unwrap());
        for (_, other) in earlier {
            let is_unsettled = |fate| match fate {
                Fate::Open { is_fresh } => is_fresh,
                Fate::Waiting { key, .. } | Fate::Dead { key } => key.is_some(),
                Fate::Before | Fate::Unclear | Fate::Settled | Fate::Lost => false,
            };
            let facts = self.oracle.facts(*other);
            let is_before = self.key_of(handler, *other) == Some(key)
                && !facts.may_be_lost
                && !self.oracle.facts(token).may_be_lost
                && fates.is_surely(*other, is_unsettled);
            if is_before {
                let (name, fates) = (&self.handlers[handler], fates.fates(*other));
                return Err(format!("`{name}` is called with {token}, {other} is {fates:?}"));
            }
        }
        let line = self.workers[handler].lines.entry(key).or_default();
        if let Some(other) = line.called.replace(token) {
            return Err(format!("{other} and {token} of one key are called at once"));
        }
        Ok(())
    }

    fn hold(&mut self, handler: usize, token: u32, key: u8, attempt: Option<Attempt>) -> Verdict {
        let outcome = Outcome::Held { order_key: Self::order_key(key) };
        let tried = attempt.is_some();
        let Some(delivery) = self.workers[handler].deliveries.remove(&token) else { return Ok(()) };
        let n_tried = delivery.attempt;
        self.settle(handler, Settlement { delivery, outcome, attempt })?;
        let now = self.steady();
        let fates = &mut self.oracle.handlers[handler];
        if tried {
            let details = Some(Details { due: now, wait: Duration::ZERO, attempts: n_tried });
            fates.settled(token, Fate::Waiting { key: Some(key), details }, now);
        } else {
            fates.held(token);
        }
        Ok(())
    }

    fn settle(&mut self, handler: usize, settlement: Settlement) -> Verdict {
        let name = &self.handlers[handler];
        match self.subject.settle(name, settlement) {
            Ok(()) => Ok(()),
            Err(_) if self.may_fail() => Ok(()),
            Err(err) => Err(format!("settling failed on a sound disk: {err:?}")),
        }
    }

    pub fn finish(&mut self, handler: usize, pick: u16, how: How) -> Verdict {
        let calls = self.workers[handler].calls();
        if calls.is_empty() || self.subject.is_poisoned() {
            return Ok(());
        }
        let (token, key) = calls[usize::from(pick) % calls.len()];
        let Some(delivery) = self.workers[handler].deliveries.remove(&token) else {
            return Ok(());
        };
        self.workers[handler].free.retain(|other| *other != token);
        let now = self.steady();
        let wall = self.clock.now();
        let attempt = || Attempt {
            started_at: wall,
            duration: Duration::ZERO,
            error: ErrorText::new("no"),
            status: None,
            ..Attempt::default()
        };
        let after = |wait_ms| Duration::from_millis(wait_ms);
        let order_key = key.map(Self::order_key);
        let retry = |wait_ms| Outcome::Retry { at: now.after(after(wait_ms)), order_key };
        let (outcome, tried) = match how {
            How::Deliver => (Outcome::Delivered, true),
            How::Skip => (Outcome::Skipped, false),
            How::Retry { wait_ms } | How::RetryBoth { wait_ms } => (retry(wait_ms), true),
            How::Deferred { wait_ms } => (retry(wait_ms), false),
            How::Die => (Outcome::Dead { order_key: None }, true),
            How::DieHolding => {
                (Outcome::Dead { order_key: order_key.filter(|_| handler == 1) }, true)
            }
        };
        let attempts = if tried { delivery.attempt } else { delivery.attempt - 1 };
        let fate = match &outcome {
            Outcome::Retry { at, .. } => {
                let details = Some(Details { due: *at, wait: at.since(now), attempts });
                Fate::Waiting { key, details }
            }
            Outcome::Dead { order_key } => Fate::Dead { key: key.filter(|_| order_key.is_some()) },
            Outcome::Delivered | Outcome::Skipped | Outcome::Held { .. } => Fate::Settled,
        };
        let stays = match fate {
            Fate::Waiting { .. } => true,
            Fate::Dead { key } => key.is_some(),
            _ => false,
        };
        let settlement = Settlement { delivery, outcome, attempt: tried.then(attempt) };
        self.settle(handler, settlement)?;
        self.oracle.handlers[handler].settled(token, fate, now);
        let Some(key) = key else { return Ok(()) };
        let both = matches!(how, How::RetryBoth { .. }).then(attempt);
        if stays { self.stop(handler, key, both) } else { self.go_on(handler, key) }
    }

    /// The key's call ended for good: the next one goes.
    fn go_on(&mut self, handler: usize, key: u8) -> Verdict {
        let Some(line) = self.workers[handler].lines.get_mut(&key) else { return Ok(()) };
        line.called = None;
        if let Some(next) = line.waiting.pop_front() {
            return self.call(handler, next, key);
        }
        let Some(Line { has_spilled: true, .. }) = self.workers[handler].lines.remove(&key) else {
            return Ok(());
        };
        self.subject.release_key(&self.handlers[handler], Self::order_key(key));
        Ok(())
    }

    /// A delivery of the key stays in the queue: the queue holds the others too. `both` = the one
    /// behind it was in the same call.
    fn stop(&mut self, handler: usize, key: u8, both: Option<Attempt>) -> Verdict {
        let Some(line) = self.workers[handler].lines.remove(&key) else { return Ok(()) };
        let mut both = both;
        for token in line.waiting {
            self.hold(handler, token, key, both.take())?;
        }
        self.subject.release_key(&self.handlers[handler], Self::order_key(key));
        Ok(())
    }

    pub fn release(&mut self, handler: usize, pick: u16) -> Verdict {
        let worker = &mut self.workers[handler];
        if worker.free.is_empty() {
            return Ok(());
        }
        let token = worker.free.remove(usize::from(pick) % worker.free.len());
        let Some(delivery) = worker.deliveries.remove(&token) else { return Ok(()) };
        match self.subject.release(&self.handlers[handler], delivery) {
            Err(err) if !self.may_fail() => return Err(format!("releasing failed: {err:?}")),
            Ok(()) | Err(_) => self.oracle.handlers[handler].returned(token),
        }
        Ok(())
    }
}
