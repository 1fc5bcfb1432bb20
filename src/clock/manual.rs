//! A clock that only moves when told to, for tests and simulations.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::{Clock, Timestamp, millis};

/// A clock that only moves when told to.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl ManualClock {
    /// A clock that reads `now`, both ways.
    pub fn new(now: Timestamp) -> Self {
        Self { wall: now.0.into(), steady: now.0.into() }
    }

    /// Lets `time` pass.
    pub fn advance(&self, time: Duration) {
        let time = millis(time);
        self.wall.fetch_add(time, Ordering::SeqCst);
        self.steady.fetch_add(time, Ordering::SeqCst);
    }

    /// Sets the wall clock without letting time pass, as an administrator or NTP does.
    pub fn jump_to(&self, now: Timestamp) {
        self.wall.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Timestamp {
        Timestamp(self.steady.load(Ordering::SeqCst))
    }
}
