//! A clock that follows tokio's, which a test can pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gatepost::clock::{Clock, Timestamp};
use tokio::time::Instant;

/// 2024-01-01T00:00:00Z: where the tests' time begins.
pub(crate) const BEGINNING: Timestamp = Timestamp::from_millis(1_704_067_200_000);

/// Steady time is tokio's; the wall clock is that plus what somebody set it off by.
#[derive(Debug)]
pub(crate) struct TokioClock {
    started: Instant,
    wall_off_ms: AtomicI64,
    suspended_ms: AtomicI64,
}

impl TokioClock {
    pub(crate) fn new() -> Arc<Self> {
        let (wall_off_ms, suspended_ms) = (AtomicI64::new(0), AtomicI64::new(0));
        Arc::new(Self { started: Instant::now(), wall_off_ms, suspended_ms })
    }

    /// Sets the wall clock back by `time`.
    pub(crate) fn set_back(&self, time: Duration) {
        self.set_off(-i64::try_from(time.as_millis()).unwrap());
    }

    /// Sets the wall clock forward by `time`.
    pub(crate) fn set_forward(&self, time: Duration) {
        self.set_off(i64::try_from(time.as_millis()).unwrap());
    }

    /// The machine sleeps: time passes, and tokio's timers do not know of it.
    pub(crate) fn suspend(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap();
        self.suspended_ms.fetch_add(millis, Ordering::SeqCst);
    }

    pub(crate) fn since_start(&self) -> Duration {
        self.steady().since(BEGINNING)
    }

    fn set_off(&self, millis: i64) {
        self.wall_off_ms.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let off = self.wall_off_ms.load(Ordering::SeqCst);
        Timestamp::from_millis(self.steady().as_millis() + off)
    }

    fn steady(&self) -> Timestamp {
        let suspended = self.suspended_ms.load(Ordering::SeqCst);
        Timestamp::from_millis(BEGINNING.after(self.started.elapsed()).as_millis() + suspended)
    }
}
