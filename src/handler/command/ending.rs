//! Ends programs in order: SIGTERM to the whole group, and a little later SIGKILL to what is left.
//!
//! A thread does it, since a call is given up by dropping its future. Until it is done
//! the program is not waited for, so its number stays its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::oneshot;

use super::group::Group;

/// How long a program has to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);

/// How often one looks whether it has.
const STEP: Duration = Duration::from_millis(5);

/// Programs that are ending.
#[derive(Clone, Debug, Default)]
pub(super) struct Endings(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    n_ending: AtomicUsize,
    /// No time is left: everything is killed at once.
    is_urgent: AtomicBool,
}

/// A program that is ended when this is dropped, unless it was waited for.
pub(super) struct Running {
    program: Option<Process>,
    endings: Endings,
}

/// A process, and where it speaks to: what it says while it ends must not kill it (SIGPIPE).
struct Process {
    child: Child,
    pipes: Pipes,
}

/// Where a program speaks to.
pub(super) struct Pipes {
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Endings {
    /// Ends a program and all that it has started. The answer comes when nothing is left of them: what it
    /// has said meanwhile is still to be read there.
    fn end(&self, program: Process) -> oneshot::Receiver<Pipes> {
        let (done, ended) = oneshot::channel();
        // Dropped in the end, also where there is no thread: then at once.
        let group = Group::led_by(program.child.id());
        group.terminate();
        let counted = Counted::new(&self.0);
        let see_off = move || {
            counted.0.wait_for(program.child.id());
            drop(group);
            let Process { child, pipes } = program;
            // The number is free only now.
            drop(child);
            drop(counted);
            // The receiver may have been dropped.
            done.send(pipes).unwrap_or_default();
        };
        let spawned = thread::Builder::new().name("gatepost-command".to_owned()).spawn(see_off);
        if let Err(err) = spawned {
            tracing::warn!(error = %err, "A program was killed at once: there is no thread for it");
        }
        ended
    }

    /// Waits until nothing is left of the programs, at most for `time`; then kills them.
    pub(super) async fn close(&self, time: Duration) {
        let all = async {
            while self.0.n_ending.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(STEP).await;
            }
        };
        if tokio::time::timeout(time, all).await.is_err() {
            self.0.is_urgent.store(true, Ordering::SeqCst);
            // Their threads look again within a step.
            tokio::time::sleep(4 * STEP).await;
        }
    }
}

impl Inner {
    /// Waits until the process has ended, and leaves it to be waited for.
    fn wait_for(&self, id: Option<u32>) {
        let id = id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(id) = id else { return };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let mut waited = Duration::ZERO;
        while waited < GRACE && !self.is_urgent.load(Ordering::SeqCst) {
            match waitid(WaitId::Pid(id), look) {
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return,
            }
            thread::sleep(STEP);
            waited = waited.saturating_add(STEP);
        }
    }
}

/// One that is ending.
struct Counted(Arc<Inner>);

impl Counted {
    fn new(inner: &Arc<Inner>) -> Self {
        inner.n_ending.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(inner))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.n_ending.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Running {
    pub(super) fn new(child: Child, pipes: Pipes, endings: &Endings) -> Self {
        Self { program: Some(Process { child, pipes }), endings: endings.clone() }
    }

    /// The program and what it says, until it is ended.
    pub(super) fn parts(&mut self) -> Option<(&mut Child, &mut Pipes)> {
        self.program.as_mut().map(|program| (&mut program.child, &mut program.pipes))
    }

    /// Ends it; the answer comes when nothing is left of it.
    pub(super) fn end(mut self) -> Option<oneshot::Receiver<Pipes>> {
        self.program.take().map(|program| self.endings.end(program))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that was waited for has no number any more.
        if let Some(program) = self.program.take().filter(|one| one.child.id().is_some()) {
            drop(self.endings.end(program));
        }
    }
}
