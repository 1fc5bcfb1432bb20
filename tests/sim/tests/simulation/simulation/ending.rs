//! The process ends, well or badly, and begins again.

use std::sync::Arc;

use gatepost_sim::clock::{Clock, ManualClock};
use rand::Rng;

use crate::damage::Damage;
use crate::oracle::Verdict;
use crate::subject::{End, Request, Subject};
use crate::worker::Worker;

use super::*;

impl<S: Subject> Simulation<S> {
    pub fn close(&mut self) -> Verdict {
        let closed = self.ask(Request::Close)?;
        if let Some(Ok(_)) = closed {
            let now = self.steady();
            for handler in &mut self.oracle.handlers {
                handler.recorded_until(now);
            }
        }
        self.poll()?;
        self.end(End::Kill);
        self.open()
    }

    pub fn crash(&mut self, end: End, damage: Option<Damage>) -> Verdict {
        self.poll()?;
        self.end(end);
        if let Some(damage) = damage {
            self.damage(damage);
        }
        self.open()
    }

    pub fn end(&mut self, end: End) {
        self.subject.end(end, &mut self.random);
        self.oracle.ended();
        self.pending.clear();
        self.waited.clear();
        self.unheard.clear();
        for worker in &mut self.workers {
            *worker = Worker::default();
        }
    }

    pub fn open(&mut self) -> Verdict {
        // The steady clock begins at the wall clock's reading.
        self.clock = Arc::new(ManualClock::new(self.clock.now()));
        self.opened_at = self.steady();
        self.full_until = self.opened_at;
        for _ in 0..2 {
            let seed = self.random.random();
            match self.subject.open(&self.clock, seed) {
                Ok(()) => {
                    self.n_opened += 1;
                    return self.stand_all();
                }
                Err(err) if self.has_faults => {
                    // It may refuse, and must not have changed anything for the worse.
                    drop(err);
                    self.set_fault(None);
                }
                Err(err) => return Err(format!("it does not open: {err:?}")),
            }
        }
        Err("it does not open although nothing fails any more".into())
    }

    pub fn compare(&mut self) -> Verdict {
        if self.may_fail() {
            return Ok(());
        }
        self.record();
        self.poll()?;
        self.subject.compare_rebuilt(&self.clock)
    }
}
