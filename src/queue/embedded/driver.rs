//! What runs the components: a thread for each.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::cleaner::{Cleaner, Effort};
use super::commit::{Committer, Request};
use super::core::{Core, Step};
use super::index::Follower;
use super::log::{AllocateError, AllocatedSegment, SegmentAllocator, Want};
use super::open::Components;
use super::recovery::Rebuild;
use super::step;
use crate::clock::Stopwatch;
use crate::queue::QueueError;

/// How often the cleaner looks.
const CLEAN_EVERY: Duration = Duration::from_secs(1);

/// How long the cleaner rests after a panic, which it may meet again at once.
const CLEAN_AFTER_PANIC: Duration = Duration::from_mins(1);

/// The heads of how many segments are looked at for damage each time.
const HEADS_AT_ONCE: usize = 64;

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

fn run_cleaner(cleaner: &Cleaner, stopped: tokio::sync::oneshot::Receiver<()>) {
    let look = async || {
        if let Err(err) = cleaner.core.log.look_at_heads(HEADS_AT_ONCE) {
            tracing::debug!(error = %err, "A segment's head cannot be read yet");
        }
        cleaner.look(Effort::Routine).await
    };
    look_until(stopped, (CLEAN_EVERY, CLEAN_AFTER_PANIC), look, || cleaner.note_blocked());
}

/// Looks at each first `rest` until `stopped`. After a panic, of which `note_panic` is told, it rests
/// for the second.
fn look_until(
    mut stopped: tokio::sync::oneshot::Receiver<()>,
    (rest, rest_after_panic): (Duration, Duration),
    mut look: impl AsyncFnMut() -> Result<(), QueueError>,
    note_panic: impl Fn(),
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            tracing::error!(error = %err, "The queue's cleaner cannot run: nothing is freed");
            return;
        }
    };
    let mut next = rest;
    loop {
        let rested_and_looked = async {
            tokio::select! {
                _ = &mut stopped => return ControlFlow::Break(()),
                () = tokio::time::sleep(next) => {}
            }
            tokio::select! {
                _ = &mut stopped => ControlFlow::Break(()),
                looked = look() => ControlFlow::Continue(looked),
            }
        };
        let looked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(rested_and_looked)));
        next = rest;
        match looked {
            Ok(ControlFlow::Break(())) => return,
            Ok(ControlFlow::Continue(Ok(()) | Err(QueueError::Closed))) => {}
            Ok(ControlFlow::Continue(Err(err))) => {
                let err: &dyn std::error::Error = &err;
                tracing::warn!(error = err, "Freeing the log failed; it is tried again");
            }
            // What was copied and not recorded is copied anew.
            Err(_) => {
                tracing::error!("Freeing the log panicked; it is tried again in a minute");
                next = rest_after_panic;
                drop(catch_unwind(AssertUnwindSafe(&note_panic)));
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn looks_go_on_after_a_panic_until_they_are_stopped() {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (mut stop, n_told) = (Some(stop), AtomicUsize::new(0));
        let mut n_looks = 0;
        let look = async || {
            n_looks += 1;
            assert!(n_looks != 2, "the second one panics");
            if n_looks == 4 {
                drop(stop.take());
            }
            Ok(())
        };
        let note_panic = || {
            n_told.fetch_add(1, Ordering::Relaxed);
            panic!("as often as it likes");
        };
        look_until(stopped, (Duration::ZERO, Duration::ZERO), look, note_panic);
        assert_eq!((n_looks, n_told.into_inner()), (4, 1));
    }
}
