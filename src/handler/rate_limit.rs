//! A rate limiter for requests: a least interval between two of them.

use std::sync::Mutex;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::sync::lock;

/// Gives out turns that are a least interval apart. It knows of none before the process began.
#[derive(Debug)]
pub(super) struct MinInterval {
    interval: Duration,
    /// When the next turn is, by the steady clock.
    next: Mutex<Timestamp>,
}

impl MinInterval {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, next: Mutex::new(Timestamp::MIN) }
    }

    /// Waits for the next turn; `Err` = it is further away than `wait_max`, so far, and was not taken.
    pub(super) async fn wait(&self, clock: &dyn Clock, wait_max: Duration) -> Result<(), Duration> {
        tokio::time::sleep(self.take(clock.steady(), wait_max)?).await;
        Ok(())
    }

    /// Takes the next turn and says how long to wait for it.
    fn take(&self, now: Timestamp, wait_max: Duration) -> Result<Duration, Duration> {
        let mut next = lock(&self.next);
        let turn = (*next).max(now);
        let wait = turn.since(now);
        if wait > wait_max {
            return Err(wait);
        }
        *next = turn.after(self.interval);
        Ok(wait)
    }

    /// No turn before `pause` has passed.
    pub(super) fn pause(&self, now: Timestamp, pause: Duration) {
        let mut next = lock(&self.next);
        *next = (*next).max(now.after(pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_apart_and_a_pause_moves_them_all() {
        let second = Duration::from_secs(1);
        let limit = MinInterval::new(second);
        let now = Timestamp::from_millis(1_000_000);
        let wait_max = 5 * second;
        for n in 0..=5 {
            assert_eq!(limit.take(now, wait_max), Ok(n * second));
        }
        assert_eq!(limit.take(now, wait_max), Err(6 * second));
        let later = now.after(60 * second);
        assert_eq!(limit.take(later, wait_max), Ok(Duration::ZERO));
        limit.pause(later, 30 * second);
        assert_eq!(limit.take(later, wait_max), Err(30 * second));
        assert_eq!(limit.take(later.after(27 * second), wait_max), Ok(3 * second));
    }
}
