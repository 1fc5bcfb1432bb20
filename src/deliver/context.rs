//! What a handler's loop is made of.

use std::sync::Arc;

use async_trait::async_trait;

use super::attempts::Attempts;
use super::settings::{OnDeadLetter, Policy};
use crate::clock::Clock;
use crate::event::HandlerName;
use crate::handler::Handler;
use crate::metrics::HandlerMetrics;
use crate::queue::DeadLetter;
use crate::throttle::ThrottleByReason;
use crate::trace::Traces;

/// Where Gatepost's own events go: the app appends them to the queue.
#[async_trait]
pub trait SystemEvents: Send + Sync {
    /// A delivery was given up. Never called for one of Gatepost's own events. Called before the
    /// delivery is settled, so a crash in between brings the same letter again with another
    /// `died_at`. A redriven delivery that dies once more is another letter.
    async fn dead_letter(&self, letter: DeadLetter);
}

/// What a handler's loop is made of.
pub struct Context {
    /// Whose loop it is.
    pub name: HandlerName,
    pub policy: Policy,
    pub handler: Arc<dyn Handler>,
    pub clock: Arc<dyn Clock>,
    pub metrics: HandlerMetrics,
    /// What was under way when the last process ended by itself.
    pub attempts: Arc<Attempts>,
    /// Who is told of dead letters.
    pub system_events: Arc<dyn SystemEvents>,
    pub traces: Traces,
    /// Where the jitter comes from: random in life, fixed in a simulation.
    pub seed: u64,
    /// What the log is told of failures.
    pub log: FailureLog,
}

/// Lines of one handler, at most one a second for each reason: what a sender or a server at the other end
/// causes by the thousand must not fill the log.
#[derive(Debug, Default)]
pub struct FailureLog {
    pub(super) attempts: ThrottleByReason,
    pub(super) dead_letters: ThrottleByReason,
}

impl Context {
    pub(super) fn holds_dead(&self) -> bool {
        match self.policy.on_dead_letter {
            OnDeadLetter::Release => false,
            OnDeadLetter::Hold => true,
        }
    }
}
