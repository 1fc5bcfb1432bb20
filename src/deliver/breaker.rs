//! Leaves a handler that is down alone: instead of a storm of retries it sees one try per interval.

use std::time::Duration;

use serde::Serialize;

use super::settings;
use crate::clock::Timestamp;

/// The longest that a `Retry-After` keeps the breaker open: beyond it a probe does no harm.
const ASKED_MAX: Duration = Duration::from_hours(1);

/// Counts failures and says whether a delivery may be tried. Times are by the steady clock.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: settings::Breaker,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { failures: u32 },
    Open { probe_at: Timestamp },
    Probing,
}

/// The state of a breaker, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Deliveries are made.
    #[default]
    Closed,
    /// The handler is left alone until the next probe.
    Open,
    /// One delivery is being tried.
    Probing,
}

/// What may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// As many as there is room for.
    Any,
    /// One delivery, to see whether the handler is back.
    Probe,
    /// None before this moment.
    NotBefore(Timestamp),
    /// None until the probe that is under way has ended.
    Wait,
}

/// What a result did to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BreakerChange {
    None,
    Opened,
    Closed,
}

impl Breaker {
    pub(super) fn new(settings: settings::Breaker) -> Self {
        Self { settings, state: State::Closed { failures: 0 } }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing => BreakerState::Probing,
        }
    }

    /// When one delivery is tried, while the handler is left alone.
    pub(super) fn probe_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { probe_at } => Some(probe_at),
            State::Closed { .. } | State::Probing => None,
        }
    }

    pub(super) fn permit(&self, now: Timestamp) -> Permit {
        match self.state {
            State::Closed { .. } => Permit::Any,
            State::Open { probe_at } if now >= probe_at => Permit::Probe,
            State::Open { probe_at } => Permit::NotBefore(probe_at),
            State::Probing => Permit::Wait,
        }
    }

    /// A delivery is on its way under [`Permit::Probe`].
    pub(super) fn probe(&mut self) {
        self.state = State::Probing;
    }

    /// The handler answered: it is there, even if it did not want this event.
    pub(super) fn answered(&mut self) -> BreakerChange {
        let change = match self.state {
            State::Closed { .. } => BreakerChange::None,
            State::Open { .. } | State::Probing => BreakerChange::Closed,
        };
        self.state = State::Closed { failures: 0 };
        change
    }

    /// Lets one delivery be tried at once where the handler is left alone; `false` = it is not.
    pub(super) fn hasten(&mut self, now: Timestamp) -> bool {
        match &mut self.state {
            State::Open { probe_at } => {
                *probe_at = now.min(*probe_at);
                true
            }
            State::Closed { .. } | State::Probing => false,
        }
    }

    /// The call ended without asking the other side: the next one asks it.
    pub(super) fn not_asked(&mut self, now: Timestamp) {
        match self.state {
            State::Closed { .. } | State::Open { .. } => {}
            State::Probing => self.state = State::Open { probe_at: now },
        }
    }

    /// A transient failure; `asked` is how long the other side wants to be left alone. One that
    /// began before the breaker opened does not put off the next probe.
    pub(super) fn failed(&mut self, now: Timestamp, asked: Option<Duration>) -> BreakerChange {
        let wait = self.settings.probe_interval.max(asked.unwrap_or_default().min(ASKED_MAX));
        let open = State::Open { probe_at: now.after(wait) };
        match self.state {
            State::Closed { failures } => {
                let failures = failures.saturating_add(1);
                if failures < self.settings.failures.get() {
                    self.state = State::Closed { failures };
                    return BreakerChange::None;
                }
                self.state = open;
                BreakerChange::Opened
            }
            State::Open { .. } => BreakerChange::None,
            State::Probing => {
                self.state = open;
                BreakerChange::None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn open() -> Breaker {
        let mut breaker = Breaker::new(settings::Breaker::DEFAULT);
        for _ in 1..10 {
            assert_eq!(breaker.failed(NOW, None), BreakerChange::None);
            assert_eq!(breaker.permit(NOW), Permit::Any);
        }
        assert_eq!(breaker.failed(NOW, None), BreakerChange::Opened);
        breaker
    }

    fn at(secs: u64) -> Timestamp {
        NOW.after(Duration::from_secs(secs))
    }

    #[test]
    fn it_opens_after_failures_without_an_answer_in_between() {
        let mut breaker = Breaker::new(settings::Breaker::DEFAULT);
        for _ in 0..100 {
            breaker.failed(NOW, None);
            assert_eq!(breaker.answered(), BreakerChange::None);
        }
        assert_eq!(open().state(), BreakerState::Open);
    }

    #[test]
    fn while_it_is_open_one_probe_is_tried_per_interval() {
        let mut breaker = open();
        for round in 0..5 {
            assert_eq!(breaker.permit(at(30 * round + 29)), Permit::NotBefore(at(30 * round + 30)));
            assert_eq!(breaker.permit(at(30 * round + 30)), Permit::Probe);
            breaker.probe();
            assert_eq!(breaker.permit(at(30 * round + 30)), Permit::Wait);
            breaker.failed(at(30 * round + 30), None);
        }
        breaker.probe();
        assert_eq!(breaker.answered(), BreakerChange::Closed);
        assert_eq!(breaker.permit(NOW), Permit::Any);
    }

    #[test]
    fn a_late_failure_does_not_put_off_the_probe() {
        let mut breaker = open();
        assert_eq!(breaker.failed(at(20), None), BreakerChange::None);
        assert_eq!(breaker.permit(at(30)), Permit::Probe);
    }

    #[test]
    fn a_call_that_asks_nobody_changes_nothing() {
        let mut breaker = open();
        breaker.not_asked(at(20));
        assert_eq!(breaker.permit(at(20)), Permit::NotBefore(at(30)));
        breaker.probe();
        breaker.not_asked(at(31));
        assert_eq!((breaker.state(), breaker.permit(at(31))), (BreakerState::Open, Permit::Probe));
        breaker.probe();
        breaker.answered();
        breaker.not_asked(at(32));
        assert_eq!(breaker.permit(at(32)), Permit::Any);
    }

    #[test]
    fn it_waits_as_long_as_it_was_asked_to_within_reason() {
        let mut breaker = open();
        breaker.probe();
        breaker.failed(NOW, Some(Duration::from_secs(100)));
        assert_eq!(breaker.permit(at(99)), Permit::NotBefore(at(100)));
        breaker.probe();
        breaker.failed(NOW, Some(Duration::MAX));
        assert_eq!(breaker.permit(NOW), Permit::NotBefore(at(3_600)));
    }
}
