//! What a loop knows between two of its steps.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::deliver::breaker::Breaker;
use crate::deliver::buffer::Buffer;
use crate::deliver::call_outcome::CallOutcome;
use crate::deliver::context::Context;
use crate::deliver::status::Shared;
use crate::queue::{Queue, Subscription};

/// A handler's loop between two of its steps.
pub(super) struct Worker<'a> {
    pub(super) context: &'a Context,
    pub(super) queue: &'a dyn Queue,
    pub(super) subscription: &'a dyn Subscription,
    pub(super) shared: &'a Shared,
    /// The most deliveries that one call takes.
    pub(super) batch_max: usize,
    pub(super) buffer: Buffer,
    pub(super) breaker: Breaker,
    pub(super) random: StdRng,
    pub(super) in_flight: FuturesUnordered<BoxFuture<'a, CallOutcome>>,
    /// Time spent since other tasks had their turn.
    pub(super) busy: Duration,
    /// Until when nothing more is taken.
    pub(super) gathers_until: Option<Instant>,
    /// Until when the handler takes nothing, by the steady clock.
    pub(super) paused_until: Option<Timestamp>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        context: &'a Context,
        queue: &'a dyn Queue,
        subscription: &'a dyn Subscription,
        shared: &'a Shared,
    ) -> Self {
        let policy = &context.policy;
        let unasked = context.handler.default_batch();
        let wanted = policy.batch.as_ref().map_or(unasked, |batch| batch.max.get());
        let batch_max = wanted.min(context.handler.batch_max()).max(1);
        Self {
            context,
            queue,
            subscription,
            shared,
            batch_max,
            buffer: Buffer::new(policy.concurrency.get(), batch_max),
            breaker: Breaker::new(policy.breaker),
            random: StdRng::seed_from_u64(context.seed),
            in_flight: FuturesUnordered::new(),
            busy: Duration::ZERO,
            gathers_until: None,
            paused_until: None,
        }
    }
}
