//! The way out: one loop per handler takes its deliveries from the queue, matches them, calls the
//! handler, and settles what comes of it.
//!
//! ```text
//! next ── match ──┬─ skip ─────────────────────────────────────────────┐
//!                 └─ buffer ── breaker ── attempt ── retry policy ── settle
//!                    lines by       one call at a time per slot
//!                    order key
//! ```
//!
//! What a handler's owner can count on:
//!
//! 1. A delivery is settled once its call has ended; until then it is the queue's, and a crash
//!    brings it back.
//! 2. No more than `concurrency` calls at once, and no call longer than `timeout`. A panic in a
//!    handler is a transient failure.
//! 3. Deliveries with the same order key are made one after the other, in the order of the log,
//!    across retries and restarts; other keys go on meanwhile.
//! 4. A handler that is down is seen by one try per interval; what finds the breaker open is not
//!    tried, and no attempt is counted.
//! 5. Memory is bounded: some hundred deliveries or some megabytes of bodies are taken ahead,
//!    whatever the backlog.
//! 6. Retries are due by the steady clock; setting the wall clock changes nothing.
//!
//! The loop spawns nothing: its calls are futures in its own task, which the app starts one of per
//! handler.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::event::HandlerName;
use crate::handler::Handler;
use crate::metrics::HandlerMetrics;
use crate::queue::{DeadLetter, Queue, QueueError, Subscription};
use crate::trace::Traces;

mod run;
mod worker;

mod attempt;
mod attempts;
mod breaker;
mod buffer;
mod classify;
mod judge;
mod matching;
mod replays;
mod retry;

mod settings;
mod spans;
mod status;

pub use attempts::Attempts;
pub use breaker::BreakerState;
pub use classify::FailurePattern;
pub use matching::{Match, OWN_SOURCE, evaluate, is_named};
pub use retry::next_try;
pub use settings::{Batch, Breaker, EventGlob, Growth, OnDeadLetter, Policy, Retry, Wait};
pub use status::{Control, Health, LastError, LoopState, Status};

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
    /// How deliveries are made.
    pub policy: Policy,
    /// What they are made with.
    pub handler: Arc<dyn Handler>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: HandlerMetrics,
    /// What was under way when the last process ended by itself.
    pub attempts: Arc<Attempts>,
    /// Who is told of dead letters.
    pub system_events: Arc<dyn SystemEvents>,
    /// Where spans of the calls go.
    pub traces: Traces,
    /// Where the jitter comes from: random in life, fixed in a simulation.
    pub seed: u64,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Context {
    fn holds_dead(&self) -> bool {
        match self.policy.on_dead_letter {
            OnDeadLetter::Release => false,
            OnDeadLetter::Hold => true,
        }
    }
}

/// One handler's loop.
pub struct Deliverer {
    context: Context,
    subscription: Box<dyn Subscription>,
    queue: Arc<dyn Queue>,
    control: Control,
}

impl std::fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliverer").field("context", &self.context).finish_non_exhaustive()
    }
}

impl Deliverer {
    /// A loop that is ready to run, and what steers it. `subscription` is the handler's own in
    /// `queue`.
    pub fn new(
        context: Context,
        subscription: Box<dyn Subscription>,
        queue: Arc<dyn Queue>,
    ) -> (Self, Control) {
        let control = Control::new(context.name.clone());
        (Self { context, subscription, queue, control: control.clone() }, control)
    }

    /// Delivers until `shutdown`: then takes nothing new, waits for the calls under way as long as
    /// the policy allows, settles them, and closes the handler. What is unsettled then comes back
    /// with the next subscription.
    ///
    /// Where the queue cannot answer for a while, the loop begins anew with another subscription.
    /// An error says that it never will again.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), QueueError> {
        run::run(self, &shutdown).await
    }
}
