//! What owners change by hand: redriving, dropping, replaying.

use std::time::Duration;

use crate::fates::{Details, Existence, Fate};
use crate::oracle::Verdict;
use crate::simulation::Simulation;
use crate::subject::{Answer, Request, Standing, Subject};

impl<S: Subject> Simulation<S> {
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
        if is_redrive && pick.is_none() && n_changed > n_dead {
            self.unseen_ones_may_be_redriven(handler);
        }
        let now = self.steady();
        self.oracle.handlers[handler].recorded_until(now);
        Ok(())
    }

    /// A redrive of all takes lost ones along whose positions no answer has told. Their events may be
    /// readable by then: in memory, or once the disk answers.
    fn unseen_ones_may_be_redriven(&mut self, handler: usize) {
        for token in 0..self.oracle.next_token() {
            let is_unseen = self.oracle.facts(token).position.is_none();
            let fates = &mut self.oracle.handlers[handler];
            if is_unseen && fates.fates(token) == [Fate::Lost] {
                fates.unclear(token);
            }
        }
    }

    pub fn change_dead(
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

    pub fn unless_poisoned(&self, what: &str, is_unanswered: bool) -> Verdict {
        if self.may_fail() {
            return Ok(());
        }
        Err(format!("{what} failed on a sound disk (unanswered: {is_unanswered})"))
    }
}
