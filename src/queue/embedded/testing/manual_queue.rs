//! A queue whose components are stepped by hand: what the simulation schedules.
//!
//! No thread, no timer and no randomness of its own: the same steps over the same storage give the
//! same bytes. Calls are futures that the caller polls; they make progress as the components do.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::Clock;
use crate::event::{Delivery, HandlerName, OrderKey, Position, Settlement};
use crate::queue::embedded::cleaner::Effort;
use crate::queue::embedded::commit::Request;
use crate::queue::embedded::core::{Core, Step};
use crate::queue::embedded::driver::allocate;
use crate::queue::embedded::inline::Stepped;
use crate::queue::embedded::open;
use crate::queue::embedded::open::Components;
use crate::queue::embedded::state::Status;
use crate::queue::embedded::subscription::EmbeddedSubscription;
use crate::queue::embedded::testing::LyingStore;
use crate::queue::embedded::{Driver, EmbeddedQueue, Settings};
use crate::queue::{QueueError, Start, Subscription};
use crate::sync::lock;

/// A call that goes on when it is polled.
pub struct Call<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> std::fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Call")
    }
}

impl<T> Call<T> {
    /// Wraps a future of the queue.
    pub fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self(Box::pin(future))
    }

    /// Its answer, where it has one by now.
    pub fn poll(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }
}

/// What can be stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// Takes what was asked and writes it.
    Committer,
    /// Makes the segment that is wanted.
    Allocator,
    /// Follows the log with the index.
    Index,
}

/// A queue under a scheduler's hand. Dropping it is a kill: nothing is written.
pub struct ManualQueue {
    /// The queue as callers see it. Its `next`, `history` and `dead` need a runtime's timers: use
    /// [`ManualSubscription::take`] and the reading side's own calls instead.
    pub queue: Arc<EmbeddedQueue>,
    core: Arc<Core>,
    stepped: Mutex<Stepped>,
}

impl std::fmt::Debug for ManualQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ManualQueue")
    }
}

impl ManualQueue {
    /// Opens the queue of `settings`. `seed` makes salts and the random parts of ids.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>, seed: u64) -> Result<Self, QueueError> {
        Self::start(open::open(settings, clock, seed)?)
    }

    /// The same with an index that answers rightly, wrongly or not at all.
    pub fn open_with_lying_index(
        settings: Settings,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Result<Self, QueueError> {
        let store = Arc::new(LyingStore::new(seed));
        Self::start(open::open_with_index(settings, clock, seed, store)?)
    }

    fn start(components: Components) -> Result<Self, QueueError> {
        let components = components.with_states()?;
        let mut stepped = None;
        let queue = EmbeddedQueue::start(components, |components| {
            stepped = Some(Stepped::of(components));
            Ok(Driver::Manual)
        })?;
        let core = Arc::clone(&queue.core);
        let stepped = Mutex::new(stepped.ok_or(QueueError::Closed)?);
        Ok(Self { queue: Arc::new(queue), core, stepped })
    }

    /// Makes one step; `false` = it had nothing to do. `now` = time since the start, which does not
    /// go back.
    pub fn step(&self, component: Component, now: Duration) -> bool {
        let mut stepped = lock(&self.stepped);
        let Stepped { committer, requests, allocator, wants, follower, now: last, is_ended } =
            &mut *stepped;
        *last = now.max(*last);
        match component {
            Component::Committer if *is_ended => false,
            Component::Committer => {
                committer.set_now(*last);
                let mut has_news = false;
                while !committer.has_full_unit()
                    && let Ok(request) = requests.try_recv()
                {
                    committer.accept(request);
                    has_news = true;
                }
                let step = committer.step(*last);
                *is_ended = step == Step::Ended;
                has_news || step == Step::Again
            }
            Component::Allocator => match wants.try_recv() {
                Ok(want) => {
                    let made = allocate(allocator, want);
                    self.core.send_last(Request::Allocated(made)).is_ok()
                }
                Err(_) => false,
            },
            Component::Index => {
                let now = self.core.clock.steady();
                follower.step(now) == crate::queue::embedded::step::Step::Again
            }
        }
    }

    /// Subscribes, once the call is done.
    pub fn subscribe(
        &self,
        handler: &HandlerName,
        start: Start,
    ) -> Call<Result<ManualSubscription, QueueError>> {
        let (core, handler) = (Arc::clone(&self.core), handler.clone());
        Call::new(async move {
            core.ask(|reply| Request::Subscribe(handler.clone(), start.into(), reply)).await?;
            let cell = core.handler(&handler).ok_or(QueueError::Closed)?;
            EmbeddedSubscription::attach(core, cell).map(ManualSubscription)
        })
    }

    /// Frees what may be freed.
    pub fn clean(&self, is_full: bool) -> Call<Result<(), QueueError>> {
        let cleaner = Arc::clone(&self.queue.cleaner);
        let effort = if is_full { Effort::Full } else { Effort::Routine };
        Call::new(async move { cleaner.look(effort).await })
    }

    pub fn snapshot(&self) -> Call<Result<(), QueueError>> {
        let cleaner = Arc::clone(&self.queue.cleaner);
        Call::new(async move { cleaner.snapshot().await })
    }

    /// A call of the queue's own.
    pub fn call<T, F: Future<Output = T> + 'static>(
        &self,
        call: impl FnOnce(Arc<EmbeddedQueue>) -> F,
    ) -> Call<T> {
        Call::new(call(Arc::clone(&self.queue)))
    }

    /// The state of a delivery in the handler's state; `None` = there is no such handler.
    pub fn standing(&self, handler: &HandlerName, position: Position) -> Option<Standing> {
        standing(&self.queue, handler, position)
    }

    /// Which of a handler's subscriptions, one after another, this is; `None` = it has none.
    pub fn incarnation(&self, handler: &HandlerName) -> Option<u64> {
        Some(self.core.handler(handler)?.incarnation.subscribed.0)
    }

    /// The states as text, one line a handler: equal texts are equal states.
    pub fn states(&self) -> Vec<String> {
        let cells = self.core.handlers();
        cells.iter().map(|cell| format!("{} {:?}", cell.handler, cell.lock().state)).collect()
    }

    /// The first and the next position of the log.
    pub fn positions(&self) -> (Position, Position) {
        let head = self.core.log.head();
        (head.first_position, head.next_position)
    }

    /// Whether a write or sync has failed.
    pub fn is_poisoned(&self) -> bool {
        self.core.is_poisoned()
    }
}

/// The state of a delivery in the handler's state; `None` = there is no such handler.
pub fn standing(
    queue: &EmbeddedQueue,
    handler: &HandlerName,
    position: Position,
) -> Option<Standing> {
    let cell = queue.core.handler(handler)?;
    let live = cell.lock();
    Some(match live.state.status(position) {
        Status::Settled => Standing::Settled,
        Status::Open | Status::Unread => Standing::Open,
        Status::Waiting => Standing::Waiting,
        Status::Dead | Status::DeadHolding => Standing::Dead,
        Status::Lost => Standing::Lost,
    })
}

/// The state of a delivery, for an oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Delivered, skipped or dropped.
    Settled,
    /// To be delivered.
    Open,
    /// To be tried again.
    Waiting,
    Dead,
    /// Its event could not be read.
    Lost,
}

/// A subscription without timers.
#[derive(Debug)]
pub struct ManualSubscription(EmbeddedSubscription);

impl ManualSubscription {
    /// Up to `max` deliveries that are due just now; empty = none is.
    pub fn take(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.0.take(max)
    }

    /// Settles a delivery. `None` = there is no room for what is to be recorded: step the
    /// committer and poll.
    pub fn settle(self: &Arc<Self>, settlement: Settlement) -> Call<Result<(), QueueError>> {
        let this = Arc::clone(self);
        Call::new(async move { this.0.settle(settlement).await })
    }

    /// Gives a delivery back untried.
    pub fn release(self: &Arc<Self>, delivery: Delivery) -> Call<Result<(), QueueError>> {
        let this = Arc::clone(self);
        Call::new(async move { this.0.release(delivery).await })
    }

    /// Whether an earlier delivery of the key waits.
    pub fn is_key_waiting(self: &Arc<Self>, key: OrderKey, position: Position) -> bool {
        let this = Arc::clone(self);
        let mut call = Call::new(async move { this.0.is_key_waiting(key, position).await });
        matches!(call.poll(), Some(Ok(true)))
    }

    /// Makes the head of the key's queue due if it is parked.
    pub fn release_key(&self, key: OrderKey) -> bool {
        self.0.release_head(key)
    }
}
