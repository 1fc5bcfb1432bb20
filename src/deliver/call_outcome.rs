//! What comes of a call: for each delivery, and for the handler.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{
    Attempt, ErrorText, Failure, FailureClass, FailureKind, OrderKey, Outcome, Settlement,
};

/// A call that has ended.
#[derive(Debug, Default)]
pub(super) struct CallOutcome {
    pub(super) settlements: Vec<Settlement>,
    /// The order keys of its deliveries.
    pub(super) keys: BTreeSet<OrderKey>,
    /// What the call says about the handler; `None` = it was not called.
    pub(super) health: Option<HandlerHealth>,
    /// For how long the handler takes nothing at all.
    pub(super) pause: Option<Pause>,
    pub(super) duration: Duration,
}

impl CallOutcome {
    /// When the first of those that failed is tried again.
    pub(super) fn next_try_at(&self) -> Option<Timestamp> {
        let attempted = self.settlements.iter().filter(|settlement| settlement.attempt.is_some());
        let moments = attempted.filter_map(|settlement| match settlement.outcome {
            Outcome::Retry { at, .. } => Some(at),
            Outcome::Delivered | Outcome::Skipped | Outcome::Held { .. } | Outcome::Dead { .. } => {
                None
            }
        });
        moments.min()
    }
}

/// For how long a handler takes nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) wait: Duration,
    pub(super) why: ErrorText,
}

/// Whether the handler is there.
#[derive(Debug)]
pub(super) enum HandlerHealth {
    /// It took the deliveries, or said that it does not want them.
    Up,
    /// A transient failure.
    Down(Failure),
    /// The other side was not asked.
    Unknown,
}

impl HandlerHealth {
    /// What a failure says of it.
    pub(super) fn of(failure: &Failure) -> Self {
        match failure.kind {
            FailureKind::Permanent => Self::Up,
            FailureKind::Transient if failure.class == Some(FailureClass::Partly) => Self::Up,
            FailureKind::Transient if failure.is_of_event => Self::Unknown,
            FailureKind::Transient => Self::Down(failure.clone()),
            FailureKind::Deferred | FailureKind::Paused => Self::Unknown,
        }
    }

    /// What two answers of one call say together: who answers at all is there.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Up, _) | (_, Self::Up) => Self::Up,
            (Self::Down(failure), _) | (_, Self::Down(failure)) => Self::Down(failure),
            (Self::Unknown, Self::Unknown) => Self::Unknown,
        }
    }
}

/// A try that came to `failure`, in a call that took place as `attempt` says.
pub(super) fn attempt_of(failure: &Failure, attempt: &Attempt) -> Attempt {
    Attempt {
        error: failure.text.clone(),
        status: failure.status,
        output: failure.output.clone(),
        progress: failure.progress.clone(),
        ..without_words(attempt)
    }
}

/// When a call took place, and nothing of what was said in it.
pub(super) fn without_words(attempt: &Attempt) -> Attempt {
    let Attempt { started_at, duration, .. } = *attempt;
    let output = attempt.output.without_excerpts();
    Attempt { started_at, duration, output, ..Attempt::default() }
}
