//! The components on the caller's thread, for tests: no thread, and so no order but the caller's.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::commit::{Committer, Request};
use super::core::{Core, Drive, Step};
use super::driver::allocate;
use super::index::Follower;
use super::log::{SegmentAllocator, Want};
use super::open::Components;
use super::step;
use crate::sync::lock;

/// How many steps of the index are made at once on a caller's thread.
const INDEX_STEPS_MAX: usize = 100_000;

/// The components on the caller's thread.
pub(crate) struct Inline {
    core: Arc<Core>,
    state: Mutex<Stepped>,
}

/// The components, stepped by their owner without threads.
pub(crate) struct Stepped {
    pub(crate) committer: Committer,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) allocator: SegmentAllocator,
    pub(crate) wants: mpsc::Receiver<Want>,
    pub(crate) follower: Follower,
    /// Time since the start.
    pub(crate) now: Duration,
    /// Whether the committer is done.
    pub(crate) is_ended: bool,
}

impl Stepped {
    /// The components before their first step.
    pub(crate) fn of(components: Components) -> Self {
        let Components { committer, requests, allocator, wants, follower, .. } = components;
        let (now, is_ended) = (Duration::ZERO, false);
        Self { committer, requests, allocator, wants, follower, now, is_ended }
    }
}

impl std::fmt::Debug for Inline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inline")
    }
}

impl Inline {
    /// From here on every request is done on the thread that makes it.
    pub(crate) fn start(components: Components) -> Arc<Self> {
        let core = Arc::clone(&components.core);
        let state = Mutex::new(Stepped::of(components));
        let inline = Arc::new(Self { core: Arc::clone(&core), state });
        let weak: Weak<Self> = Arc::downgrade(&inline);
        let drive = Drive(Box::new(move || {
            if let Some(inline) = weak.upgrade() {
                inline.run();
            }
        }));
        if core.inline.set(drive).is_err() {
            tracing::error!("The queue is driven twice");
        }
        inline
    }

    /// Runs the components until none has anything to do. They are not woken later, so what would
    /// be recorded after a while is recorded at once.
    fn run(&self) {
        let mut state = lock(&self.state);
        let Stepped { committer, requests, allocator, wants, follower, now, is_ended } =
            &mut *state;
        let mut has_waited = false;
        while !*is_ended {
            let mut has_news = false;
            for want in wants.try_iter() {
                committer.accept(Request::Allocated(allocate(allocator, want)));
                has_news = true;
            }
            for request in requests.try_iter() {
                committer.accept(request);
                has_news = true;
            }
            match committer.step(*now) {
                Step::Ended => *is_ended = true,
                // One wait is skipped by moving the clock there: a settlement is recorded without a
                // timer.
                Step::At(at) if !has_waited => {
                    *now = at;
                    has_waited = true;
                }
                Step::Idle | Step::At(_) if !has_news => break,
                Step::Again | Step::Idle | Step::At(_) => {}
            }
        }
        let steady = self.core.clock.steady();
        for _ in 0..INDEX_STEPS_MAX {
            match follower.step(steady) {
                step::Step::Again => {}
                step::Step::At(_) | step::Step::Idle => break,
            }
        }
    }
}
