//! When a handler was given nothing, and why: what its owner sees beside a try that came late.

use std::collections::VecDeque;

use serde::Serialize;

use crate::clock::Timestamp;

/// The most that are remembered; the oldest go first.
const STOPS_MAX: usize = 64;

/// Why a handler is given nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// It is left alone because it is down.
    Down,
    /// The owner holds it.
    Paused,
}

/// A time in which a handler was given nothing, by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stoppage {
    pub cause: StopCause,
    pub from: Timestamp,
    /// `None` = it lasts.
    pub until: Option<Timestamp>,
}

/// The newest of them since the handler's loop began.
#[derive(Clone, Debug, Default)]
pub(super) struct Stops(VecDeque<Stoppage>);

impl Stops {
    /// Whether the handler is stopped for this cause at `now`.
    pub(super) fn look(&mut self, cause: StopCause, is_stopped: bool, now: Timestamp) {
        let lasting = self.0.iter_mut().find(|one| one.cause == cause && one.until.is_none());
        match (lasting, is_stopped) {
            (Some(_), true) | (None, false) => {}
            (Some(stop), false) => stop.until = Some(now),
            (None, true) => {
                if self.0.len() >= STOPS_MAX {
                    self.0.pop_front();
                }
                self.0.push_back(Stoppage { cause, from: now, until: None });
            }
        }
    }

    /// All of them, oldest first.
    pub(super) fn list(&self) -> Vec<Stoppage> {
        self.0.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_told_apart_and_bounded() {
        let at = Timestamp::from_millis;
        let mut stops = Stops::default();
        for (n, cause, is_stopped) in [
            (1, StopCause::Down, true),
            (2, StopCause::Down, true),
            (3, StopCause::Paused, true),
            (4, StopCause::Down, false),
            (5, StopCause::Down, false),
        ] {
            stops.look(cause, is_stopped, at(n));
        }
        let stop = |cause, from, until| Stoppage { cause, from: at(from), until };
        let expected = [stop(StopCause::Down, 1, Some(at(4))), stop(StopCause::Paused, 3, None)];
        assert_eq!(stops.list(), expected);
        for n in 10..1_000 {
            stops.look(StopCause::Down, n % 2 == 0, at(n));
        }
        assert_eq!(stops.list().len(), STOPS_MAX);
    }
}
