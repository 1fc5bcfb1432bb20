//! What runs the components: a thread for each, or the caller's own.

use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::cleaner::{Cleaner, Effort};
use super::commit::{Committer, Request};
use super::core::{Core, Drive, Step};
use super::index::Follower;
use super::log::{AllocateError, AllocatedSegment, SegmentAllocator, Want};
use super::open::Components;
use super::recovery::Rebuild;
use super::step;
use crate::clock::Stopwatch;
use crate::queue::QueueError;
use crate::sync::lock;

/// How often the cleaner looks.
const CLEAN_EVERY: Duration = Duration::from_secs(1);

/// A thread of the queue: what it is called and how it ends.
struct Thread {
    name: &'static str,
    handle: JoinHandle<()>,
}

/// Threads that work until the queue is closed.
pub(crate) struct Threads {
    threads: Vec<Thread>,
    stop_cleaner: Option<tokio::sync::oneshot::Sender<()>>,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("n_threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Threads {
    /// Starts a thread for each component. The core's answers come from them.
    pub(crate) fn start(components: Components) -> Result<Self, QueueError> {
        let Components { core, committer, requests, allocator, wants, cleaner, .. } = components;
        let (follower, rebuild) = (components.follower, components.rebuild);
        let mut threads = Self { threads: Vec::new(), stop_cleaner: None };
        let poison = Arc::clone(&core);
        threads.spawn("queue-commit", move || {
            let _poison = PoisonOnPanic(poison);
            run_committer(committer, &requests);
        })?;
        let allocator_core = Arc::clone(&core);
        threads.spawn("queue-segments", move || {
            let _poison = PoisonOnPanic(Arc::clone(&allocator_core));
            run_allocator(allocator, &wants, &allocator_core);
        })?;
        let follower_core = Arc::clone(&core);
        threads.spawn("queue-index", move || run_follower(follower, &follower_core))?;
        if let Some(rebuild) = rebuild {
            let core = Arc::clone(&core);
            threads.spawn("queue-rebuild", move || {
                let _poison = PoisonOnPanic(Arc::clone(&core));
                run_rebuild(&rebuild, &core);
            })?;
        }
        let (stop, stopped) = tokio::sync::oneshot::channel();
        threads.spawn("queue-clean", move || run_cleaner(&cleaner, stopped))?;
        threads.stop_cleaner = Some(stop);
        Ok(threads)
    }

    fn spawn(
        &mut self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), QueueError> {
        let handle = std::thread::Builder::new().name(name.into()).spawn(work);
        let handle = handle.map_err(|source| QueueError::Io {
            what: format!("starting the thread `{name}`"),
            source,
        })?;
        self.threads.push(Thread { name, handle });
        Ok(())
    }

    /// Waits until all of them have ended: the committer was asked to close.
    pub(crate) fn join(&mut self) {
        drop(self.stop_cleaner.take());
        for Thread { name, handle } in self.threads.drain(..).rev() {
            if handle.join().is_err() {
                tracing::error!(thread = name, "A thread of the queue panicked");
            }
        }
    }
}

/// A thread that is gone answers no request: the process must end and start again.
struct PoisonOnPanic(Arc<Core>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poisoned.send_replace(true);
        }
    }
}

fn run_committer(mut committer: Committer, requests: &mpsc::Receiver<Request>) {
    let began = Stopwatch::start();
    loop {
        let request = match committer.step(began.elapsed()) {
            Step::Again => match requests.try_recv() {
                Ok(request) => Some(request),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return,
            },
            Step::Idle => match requests.recv() {
                Ok(request) => Some(request),
                Err(mpsc::RecvError) => return,
            },
            Step::At(at) => match requests.recv_timeout(at.saturating_sub(began.elapsed())) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            },
            Step::Ended => return,
        };
        committer.set_now(began.elapsed());
        if let Some(request) = request {
            committer.accept(request);
        }
        while !committer.has_full_unit()
            && let Ok(request) = requests.try_recv()
        {
            committer.accept(request);
        }
    }
}

fn run_allocator(mut allocator: SegmentAllocator, wants: &mpsc::Receiver<Want>, core: &Core) {
    while let Ok(want) = wants.recv() {
        let made = allocate(&mut allocator, want);
        if core.send_last(Request::Allocated(made)).is_err() {
            return;
        }
    }
}

pub(crate) fn allocate(
    allocator: &mut SegmentAllocator,
    want: Want,
) -> Result<AllocatedSegment, AllocateError> {
    loop {
        if let Some(segment) = allocator.step(want)? {
            return Ok(segment);
        }
        crate::pace::step_aside();
    }
}

/// How long a disk that did not answer is left alone.
const REBUILD_AGAIN: Duration = Duration::from_secs(1);

/// Makes the states out of the log: until then nothing is delivered, and no handler can subscribe.
fn run_rebuild(rebuild: &Rebuild, core: &Core) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            tracing::error!(error = %err, "The handlers' states cannot be made: nothing is delivered");
            return;
        }
    };
    while !core.closed.is_cancelled() {
        match rebuild.run(&|| !core.closed.is_cancelled()) {
            Ok(None) => return,
            Ok(Some(recovered)) => {
                // An error means that the committer has ended.
                drop(core.send_last(Request::Recovered(Box::new(recovered))));
                return;
            }
            Err(err) => {
                tracing::warn!(error = %err, "Reading the log for the handlers' states failed; it is tried again");
                runtime.block_on(async {
                    tokio::select! {
                        () = core.closed.cancelled() => {}
                        () = tokio::time::sleep(REBUILD_AGAIN) => {}
                    }
                });
            }
        }
    }
}

fn run_cleaner(cleaner: &Cleaner, mut stopped: tokio::sync::oneshot::Receiver<()>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            tracing::error!(error = %err, "The queue's cleaner cannot run: nothing is freed");
            return;
        }
    };
    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = &mut stopped => return,
                () = tokio::time::sleep(CLEAN_EVERY) => {}
            }
            tokio::select! {
                _ = &mut stopped => return,
                looked = cleaner.look(Effort::Routine) => match looked {
                    Ok(()) | Err(QueueError::Closed) => {}
                    Err(err) => {
                        let err: &dyn std::error::Error = &err;
                        tracing::warn!(error = err, "Freeing the log failed; it is tried again");
                    }
                }
            }
        }
    });
}

/// How long new records gather before the index reads them: fewer and larger writes. By the time
/// that passes, not by the queue's clock: nothing is due by it.
const INDEX_GATHERS: Duration = Duration::from_millis(40);
/// How long the index sleeps at most: a reader may have found it damaged.
const INDEX_LOOKS: Duration = Duration::from_secs(5);

fn run_follower(mut follower: Follower, core: &Core) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            tracing::error!(error = %err, "The queue's index cannot run: look-ups are slower");
            return;
        }
    };
    let mut head = core.log.watch();
    // It paces itself by time that passes whatever clock the queue was given.
    let (began_at, stopwatch) = (core.clock.steady(), Stopwatch::start());
    runtime.block_on(async {
        while !core.closed.is_cancelled() {
            head.borrow_and_update();
            let now = began_at.after(stopwatch.elapsed());
            match follower.step(now) {
                step::Step::Again => crate::pace::step_aside(),
                step @ (step::Step::Idle | step::Step::At(_)) => {
                    let gathered = tokio::time::sleep(INDEX_GATHERS);
                    let due = match step {
                        step::Step::At(at) => at.since(now).min(INDEX_LOOKS),
                        step::Step::Idle | step::Step::Again => INDEX_LOOKS,
                    };
                    let news = async {
                        // An error means that the log is gone, and the queue with it: it is closed.
                        let changed = head.changed().await;
                        gathered.await;
                        changed
                    };
                    tokio::select! {
                        () = core.closed.cancelled() => {}
                        () = tokio::time::sleep(due) => {}
                        changed = news => if changed.is_err() { return },
                    }
                }
            }
        }
    });
    follower.close(core.clock.steady());
}

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
