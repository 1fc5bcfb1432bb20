//! The handlers' side of a run: taking, calling, settling, and what is done by hand.

use std::time::Duration;

use gatepost_sim::clock::Clock;
use gatepost_sim::event::{Attempt, Delivery, ErrorText, Outcome, Settlement};

use crate::action::How;
use crate::fates::{Details, Existence, Fate, Lease};
use crate::oracle::{Append, Verdict};
use crate::simulation::{N_HANDLERS, Simulation};
use crate::subject::{Answer, Request, Standing, Subject};
use crate::worker::{LINE_MAX, Line};

/// How many rounds of deliveries a calm hour has at most.
const DRAIN_ROUNDS: usize = 400;

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

    /// Redrives or drops dead letters: the one picked, or all of the handler's.
    pub fn by_hand(&mut self, handler: usize, pick: Option<u16>, is_redrive: bool) -> Verdict {
        if self.oracle.handlers[handler].existence != Existence::Yes || self.may_fail() {
            return Ok(());
        }
        self.record();
        self.poll()?;
        let is_dead =
            |standing: Option<Standing>| matches!(standing, Some(Standing::Dead | Standing::Lost));
        let tokens = 0..self.oracle.next_token();
        let mut dead: Vec<u32> = Vec::new();
        for token in tokens {
            self.stand(handler, token)?;
            if is_dead(self.standing(handler, token)) {
                dead.push(token);
            }
        }
        if let Some(pick) = pick {
            if dead.is_empty() {
                return Ok(());
            }
            dead = vec![dead[usize::from(pick) % dead.len()]];
        }
        let position = match (pick, dead.first()) {
            (Some(_), Some(token)) => self.oracle.facts(*token).position,
            _ => None,
        };
        let name = self.handlers[handler].clone();
        let request = if is_redrive {
            Request::Redrive(name.clone(), position)
        } else {
            Request::DropDead(name.clone(), position)
        };
        let asked_at = self.steady();
        let answer = self.ask(request)?;
        let Some(Ok(Answer::Count(n_changed))) = answer else {
            return self.unless_poisoned("changing dead letters", answer.is_none());
        };
        // Lost ones have no reason and are redriven or dropped by position as well.
        let n_dead = dead.len() as u64;
        if n_changed > n_dead && !self.oracle.was_damaged {
            return Err(format!("`{name}` had {n_dead} dead letters, {n_changed} were changed"));
        }
        for token in dead {
            self.change_dead(handler, token, is_redrive, asked_at)?;
        }
        let now = self.steady();
        self.oracle.handlers[handler].recorded_until(now);
        Ok(())
    }

    fn change_dead(
        &mut self,
        handler: usize,
        token: u32,
        is_redrive: bool,
        asked_at: gatepost_sim::clock::Timestamp,
    ) -> Verdict {
        let was = self.oracle.handlers[handler].fates(token);
        let is_lost = was == [Fate::Lost];
        let stands = self.standing(handler, token);
        if is_lost && stands == Some(Standing::Lost) {
            // Whether lost ones count as dead letters is told by what became of them.
            return Ok(());
        }
        let key = was.iter().find_map(|fate| match fate {
            Fate::Dead { key } => *key,
            _ => None,
        });
        let to = match (is_redrive, key) {
            (false, _) => Fate::Settled,
            (true, None) => Fate::Open { is_fresh: false },
            (true, Some(_)) => {
                let wait = Duration::ZERO;
                let due = asked_at.after(Duration::from_secs(3_600)).min(self.steady());
                Fate::Waiting { key, details: Some(Details { due, wait, attempts: 0 }) }
            }
        };
        let now = self.steady();
        let fates = &mut self.oracle.handlers[handler];
        fates.changed(token, to, now);
        self.stand(handler, token)
    }

    pub fn replay(&mut self, handler: usize, pick: u16) -> Verdict {
        let known: Vec<u32> = (0..self.oracle.next_token())
            .filter(|token| {
                // The position of an event that is lost may be another one's by now.
                let facts = self.oracle.facts(*token);
                facts.position.is_some() && !facts.may_be_lost
            })
            .collect();
        if known.is_empty()
            || self.oracle.handlers[handler].existence != Existence::Yes
            || self.may_fail()
        {
            return Ok(());
        }
        self.record();
        self.poll()?;
        let token = known[usize::from(pick) % known.len()];
        self.stand(handler, token)?;
        let position = self.oracle.facts(token).position.unwrap();
        let before = self.standing(handler, token);
        let name = self.handlers[handler].clone();
        let answer = self.ask(Request::Replay(name, vec![position]))?;
        let Some(Ok(Answer::Count(n_there))) = answer else {
            return self.unless_poisoned("replaying", answer.is_none());
        };
        let is_there = n_there > 0;
        let may_be_gone = self.oracle.was_cleaned || self.oracle.may_be_lost(handler, token);
        if !is_there && !may_be_gone {
            return Err(format!("event {token} is gone although nothing was cleaned"));
        }
        let needed = matches!(before, Some(Standing::Open | Standing::Waiting | Standing::Dead));
        if !is_there && needed && !self.oracle.may_be_lost(handler, token) {
            return Err(format!("event {token} is gone although it is needed"));
        }
        match before {
            Some(Standing::Settled | Standing::Dead | Standing::Lost) if is_there => {
                let now = self.steady();
                self.change_dead(handler, token, true, now)?;
            }
            _ => {}
        }
        let now = self.steady();
        self.oracle.handlers[handler].recorded_until(now);
        self.stand(handler, token)
    }

    fn unless_poisoned(&self, what: &str, is_unanswered: bool) -> Verdict {
        if self.may_fail() {
            return Ok(());
        }
        Err(format!("{what} failed on a sound disk (unanswered: {is_unanswered})"))
    }

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
    fn find_lost(&mut self) -> Verdict {
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
    fn has_waiting(&self, handler: usize) -> bool {
        (0..self.oracle.next_token()).any(|token| {
            self.standing(handler, token) == Some(Standing::Waiting)
                && !self.is_behind_holding(handler, token)
        })
    }

    fn has_holding(&self, handler: usize) -> bool {
        let fates = &self.oracle.handlers[handler];
        let holds = |fate| matches!(fate, Fate::Dead { key: Some(_) });
        (0..self.oracle.next_token()).any(|token| fates.is_perhaps(token, holds))
    }

    /// Whether a dead letter of its key is before it.
    fn is_behind_holding(&self, handler: usize, token: u32) -> bool {
        let Some(key) = self.key_of(handler, token) else { return false };
        let fates = &self.oracle.handlers[handler];
        let Some(id) = self.oracle.facts(token).id else { return false };
        self.oracle.by_id.range(..id).any(|(_, other)| {
            self.key_of(handler, *other) == Some(key)
                && fates.is_perhaps(*other, |fate| fate == Fate::Dead { key: Some(key) })
        })
    }

    fn nothing_is_left(&mut self, handler: usize) -> Verdict {
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
