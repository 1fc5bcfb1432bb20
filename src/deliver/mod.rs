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

mod run;
mod under_way;
mod worker;

mod attempt;
mod attempts;
mod breaker;
mod buffer;
mod call_outcome;
mod classify;
mod context;
mod health_record;
mod judge;
mod matching;
mod replays;
mod retry;

mod settings;
mod spans;
mod status;
mod stops;

pub use attempts::Attempts;
pub use breaker::BreakerState;
pub use classify::FailurePattern;
pub use context::{Context, FailureLog, SystemEvents};
pub use health_record::{HealthRecord, LastError};
pub use matching::{Match, OWN_SOURCE, evaluate, is_named};
pub use retry::next_try;
pub use run::Deliverer;
pub use settings::{Batch, Breaker, EventGlob, Growth, OnDeadLetter, Policy, Retry, Wait};
pub use status::{Control, GiveUpStreak, Health, LoopState, Status};
pub use stops::{StopCause, Stoppage};
pub use under_way::CallsUnderWay;
