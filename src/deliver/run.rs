//! A loop from its start to its end, over as many subscriptions as it takes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::context::Context;
use super::status::Control;
use super::worker::deliver;
use crate::queue::{Queue, QueueError, Start, Subscription};

/// How long a handler may take to close. Together with the drain it is within the 10 s in which the
/// process ends.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// How long a queue that could not answer is left alone, at first.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// How long a queue that could not answer is left alone, at most.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// One handler's loop.
pub struct Deliverer {
    context: Context,
    subscription: Box<dyn Subscription>,
    queue: Arc<dyn Queue>,
    control: Control,
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
        let Self { context, mut subscription, queue, control } = self;
        let result = loop {
            match deliver(&context, &*queue, &*subscription, &control.0, &shutdown).await {
                Err(err) if may_pass(&err) => warn_of(&context, &err),
                result => break result,
            }
            control.0.waits();
            // Its hold on the place ends before the next one begins.
            drop(subscription);
            match subscribe_again(&context, &*queue, &shutdown).await {
                Ok(Some(next)) => subscription = next,
                Ok(None) => break Ok(()),
                Err(err) => break Err(err),
            }
        };
        close(&context).await;
        control.0.ended();
        result
    }
}

/// The next subscription; `None` = shut down before there was one.
async fn subscribe_again(
    context: &Context,
    queue: &dyn Queue,
    shutdown: &CancellationToken,
) -> Result<Option<Box<dyn Subscription>>, QueueError> {
    let mut wait = WAIT_MIN;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(wait) => {}
        }
        // The place is there: where it would start does not matter.
        match queue.subscribe(&context.name, Start::Now).await {
            Ok(subscription) => return Ok(Some(subscription)),
            Err(err) if may_pass(&err) => warn_of(context, &err),
            Err(err) => return Err(err),
        }
        wait = wait.saturating_mul(2).min(WAIT_MAX);
    }
}

/// Whether the queue may answer later.
fn may_pass(err: &QueueError) -> bool {
    match err {
        QueueError::Full(_)
        | QueueError::LogAway(_)
        | QueueError::NoPart
        | QueueError::Behind(_)
        | QueueError::Busy(_)
        | QueueError::Corrupt(_)
        | QueueError::Io { .. } => true,
        QueueError::Poisoned
        | QueueError::Closed
        | QueueError::Held { .. }
        | QueueError::ForeignOwner { .. }
        | QueueError::Unsupported { .. }
        | QueueError::Standby { .. } => false,
    }
}

fn warn_of(context: &Context, err: &QueueError) {
    warn!(handler.name = %context.name, error = %err, "The queue did not answer: deliveries wait");
}

async fn close(context: &Context) {
    let closing = AssertUnwindSafe(async { context.handler.close().await }).catch_unwind();
    match tokio::time::timeout(CLOSE_MAX, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(_panic)) => error!(handler.name = %context.name, "Handler panicked while closing"),
        Err(_elapsed) => warn!(handler.name = %context.name, "Handler did not close in time"),
    }
}
