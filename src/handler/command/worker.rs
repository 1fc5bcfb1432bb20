//! Programs that keep running: one JSON line in for each delivery, one JSON line out.
//!
//! ```text
//! → {"id":"…","source":"…","type":"…","received_at":"…","attempt":1,"headers":{…},"payload":…}
//! ← {"id":"…","ok":true}                              done
//! ← {"id":"…","retry_after":30}                       not now; again in 30 s
//! ← {"id":"…","dead":"no such user"}                  never
//! ← {"id":"…","ok":false,"error":"database is down"}  failed, to be tried again
//! ```
//!
//! 1. Deliveries are sent without waiting for the answers to earlier ones; answers may come in any
//!    order. A line without a known id is ignored.
//! 2. A worker that ends is started again with the next delivery, after a pause that is counted from
//!    its end, doubles from 100 ms to 30 s and is forgotten with the first answer. What it was at
//!    fails transiently ([`unanswered`] says which that is); what was behind it, and what comes in the
//!    pause, waits and uses up no try.
//! 3. A worker that answers nothing at all for the time of a delivery hangs, and is ended: by SIGTERM,
//!    and by SIGKILL 3 s after that.
//! 4. At the end its input is closed; what has not ended a second later gets SIGTERM, and SIGKILL 0.7 s
//!    after that.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::RecvError;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use super::WORKER_BATCH_MAX;
use super::program::Program;
use super::program_time::ProgramTime;
use crate::clock::{Clock, Timestamp};
use crate::event::{Delivery, ErrorText, EventId, Failure, FailureClass, HandlerName, Output};
use crate::handler::envelope::write_event;
use crate::handler::{BuildContext, Handler};
use crate::settings::show_duration;
use crate::sync::lock;

mod answer;
mod process;
#[cfg(test)]
mod tests;
mod unanswered;

use answer::Reply;
use process::{Process, RESTART_TIME, not_begun};
use unanswered::Late;

/// The longest pause before a restart.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long a worker has to end when its input is closed.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// How long it has after SIGTERM. Together that is within the 2 s that a handler has to close.
const TERMINATE_TIME: Duration = Duration::from_millis(700);

/// How long deliveries wait while a worker that hung is being ended.
const ENDING_PAUSE: Duration = Duration::from_millis(100);

/// Said of a worker that has never answered: most languages keep what they print until it is much.
const FLUSH_HINT: &str = ": a worker has to flush each line that it prints";

/// Said of one that has printed something else, as a debugger's words or an answer without its id.
const STRANGE_HINT: &str =
    ": it has printed what is no answer; one is `{\"id\":\"…\",\"ok\":true}` in a line of its own";

/// The workers of one handler, taken in turn.
pub(super) struct Workers {
    shared: Arc<Shared>,
    slots: Vec<Worker>,
    next: AtomicUsize,
}

/// What all workers of a handler have in common.
struct Shared {
    program: Arc<Program>,
    handler: HandlerName,
    clock: Arc<dyn Clock>,
    time: ProgramTime,
}

/// The slot of one worker, with or without a process.
#[derive(Default)]
struct Worker(Mutex<WorkerSlot>);

#[derive(Default)]
struct WorkerSlot {
    process: Option<Arc<Process>>,
    /// How many processes in a row ended without an answer.
    n_failed: u32,
    /// When the next one may start, by the steady clock.
    start_at: Option<Timestamp>,
    /// Why there is none.
    why: String,
}

impl Workers {
    pub(super) fn new(program: Program, n_workers: NonZeroUsize, context: &BuildContext) -> Self {
        let shared = Shared {
            program: Arc::new(program),
            handler: context.handler.clone(),
            clock: Arc::clone(&context.clock),
            time: ProgramTime { of_call: context.timeout },
        };
        Self {
            shared: Arc::new(shared),
            slots: std::iter::repeat_with(Worker::default).take(n_workers.get()).collect(),
            next: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl Handler for Workers {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        let process = self.process()?;
        let mut lines = Vec::with_capacity(deliveries.len() * 1024);
        let (mut replies, mut guards) = (Vec::new(), Vec::new());
        for delivery in deliveries {
            write_event(&mut lines, &delivery.event, Some(delivery.attempt));
            lines.push(b'\n');
            let (reply, guard) = process.expect(delivery.event.id);
            replies.push(reply);
            guards.push(guard);
        }
        let sent_at = self.shared.clock.steady();
        let n_stderr_bytes = process.n_stderr_bytes();
        // Dropped with this future, when its caller gives up before the time is over.
        let guard = HangGuard { process: &process, shared: &self.shared, sent_at };
        process.send(lines);
        let until = Instant::now() + self.shared.time.own();
        let timed = join_all(replies.iter_mut().map(|reply| timeout_at(until, reply))).await;
        let replies = self.replies(&process, deliveries, timed.into_iter().zip(replies).collect());
        drop(guard);
        drop(guards);
        judge(deliveries, replies.into_iter(), || process.said_since(n_stderr_bytes))
    }

    fn batch_max(&self) -> usize {
        WORKER_BATCH_MAX
    }

    async fn close(&self) {
        let processes: Vec<_> =
            self.slots.iter().filter_map(|worker| worker.slot().process.take()).collect();
        for process in &processes {
            process.close_input();
        }
        let ends = || join_all(processes.iter().map(|process| process.ended()));
        if tokio::time::timeout(CLOSE_TIME, ends()).await.is_ok() {
            return;
        }
        for process in &processes {
            process.terminate();
        }
        if tokio::time::timeout(TERMINATE_TIME, ends()).await.is_err() {
            for process in &processes {
                process.kill();
            }
        }
    }
}

/// An answer, or the time without one, and where it may have come since.
type TimedReply = (Result<Result<Reply, RecvError>, Elapsed>, Receiver<Reply>);

impl Workers {
    /// What came of each of `deliveries`, those without an answer included.
    fn replies(
        &self,
        process: &Process,
        deliveries: &[Delivery],
        replies: Vec<TimedReply>,
    ) -> Vec<Reply> {
        let pairs = deliveries.iter().zip(&replies);
        let late = pairs.filter(|(_, (reply, _))| reply.is_err());
        let late: Vec<EventId> = late.map(|(delivery, _)| delivery.event.id).collect();
        let mut late = process.late(&late).into_iter();
        let lost = || Err(not_begun("the worker was lost"));
        let replies = replies.into_iter().map(|(reply, mut since)| match reply {
            Ok(reply) => reply.unwrap_or_else(|_| lost()),
            Err(_elapsed) => match late.next() {
                Some(Late::Answered) => since.try_recv().unwrap_or_else(|_| lost()),
                Some(Late::NotBegun) => Err(not_begun("the worker is at another event")),
                Some(Late::Fails) | None => Err(self.too_late(process)),
            },
        });
        replies.collect()
    }

    fn too_late(&self, process: &Process) -> Failure {
        let time = self.shared.time;
        let hint = match (process.is_strange(), process.has_answered()) {
            (true, _) => STRANGE_HINT,
            (false, true) => "",
            // The likeliest slip in a new worker: print() is buffered.
            (false, false) => FLUSH_HINT,
        };
        let failure = Failure::transient(format_args!("no answer after {time}{hint}"));
        failure.with_class(FailureClass::Timeout)
    }

    /// The process whose turn it is; where that one pauses, the next that does not.
    fn process(&self) -> Result<Arc<Process>, Failure> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len().max(1);
        let (before, behind) = self.slots.split_at(turn);
        let mut soonest: Option<Failure> = None;
        for worker in behind.iter().chain(before) {
            match worker.process(&self.shared) {
                Err(pause) if pause.kind.is_wait() => {
                    let is_sooner =
                        soonest.as_ref().is_none_or(|one| pause.retry_after < one.retry_after);
                    soonest = if is_sooner { Some(pause) } else { soonest };
                }
                result => return result,
            }
        }
        // There is at least one worker.
        Err(soonest.unwrap_or_else(|| Failure::transient("there is no worker")))
    }
}

impl Worker {
    fn slot(&self) -> MutexGuard<'_, WorkerSlot> {
        lock(&self.0)
    }

    /// The running process; starts one where there is none and its time has come.
    fn process(&self, shared: &Shared) -> Result<Arc<Process>, Failure> {
        let mut slot = self.slot();
        let now = shared.clock.steady();
        if let Some(process) = slot.process.take() {
            let Some((why, ended_at)) = process.end() else {
                slot.process = Some(Arc::clone(&process));
                if process.is_ending() {
                    let text = "a worker that hung is being ended";
                    return Err(Failure::paused(text, ENDING_PAUSE));
                }
                return Ok(process);
            };
            if process.has_answered() {
                slot.n_failed = 0;
            }
            slot.pause(why, ended_at);
        }
        if let Some(start_at) = slot.start_at.filter(|start_at| *start_at > now) {
            let wait = start_at.since(now);
            let text = format!("{}; it starts again in {}", slot.why, show_duration(wait));
            return Err(Failure::paused(text, wait));
        }
        match Process::start(&shared.program, &shared.handler, Arc::clone(&shared.clock)) {
            Ok(process) => {
                let process = Arc::new(process);
                slot.process = Some(Arc::clone(&process));
                Ok(process)
            }
            Err(err) => {
                let why = shared.program.unstarted(&err);
                let failure = Failure::transient(&why);
                slot.pause(why, now);
                Err(failure)
            }
        }
    }
}

impl WorkerSlot {
    fn pause(&mut self, why: String, now: Timestamp) {
        let doubled = RESTART_TIME.saturating_mul(2_u32.saturating_pow(self.n_failed));
        self.n_failed = self.n_failed.saturating_add(1);
        self.start_at = Some(now.after(doubled.min(PAUSE_MAX)));
        self.why = why;
    }
}

/// Ends a process that hangs, when a delivery is given up.
struct HangGuard<'a> {
    process: &'a Process,
    shared: &'a Shared,
    sent_at: Timestamp,
}

impl Drop for HangGuard<'_> {
    fn drop(&mut self) {
        let now = self.shared.clock.steady();
        let has_had_its_time = now.since(self.sent_at) >= self.shared.time.own();
        if has_had_its_time && !self.process.has_answered_since(self.sent_at) {
            let hint = if self.process.has_answered() { "" } else { FLUSH_HINT };
            tracing::warn!(handler.name = %self.shared.handler, "A worker hangs and is ended{hint}");
            self.process.end_in_order();
        }
    }
}

/// What a worker reads of a delivery, without the line's end.
pub(super) fn line(delivery: &Delivery) -> Vec<u8> {
    let mut line = Vec::new();
    write_event(&mut line, &delivery.event, Some(delivery.attempt));
    line
}

/// What the answers to `deliveries` come to: each counts for its own event only.
/// Where one failed, what the worker `said` on stderr meanwhile is kept with it.
fn judge(
    deliveries: &[Delivery],
    replies: impl Iterator<Item = Reply>,
    said: impl FnOnce() -> Output,
) -> Result<Output, Failure> {
    let (mut done, mut each) = (Vec::new(), Vec::new());
    for (delivery, reply) in deliveries.iter().zip(replies) {
        match reply {
            Ok(()) => done.push(delivery.event.id),
            Err(failure) => each.push((delivery.event.id, failure)),
        }
    }
    if each.is_empty() {
        return Ok(Output::default());
    }
    let output = said();
    for (_, failure) in &mut each {
        failure.output = output.clone();
    }
    let Some((_, first)) = each.first() else { return Ok(output) };
    if deliveries.len() == 1 {
        return Err(first.clone());
    }
    let text = format!("{} of {}: {first}", each.len(), deliveries.len());
    let failure = Failure { text: ErrorText::new(text), ..first.clone() };
    Err(failure.with_done(done).with_each(each))
}
