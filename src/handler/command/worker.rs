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
//!    order. A line without a known id is ignored. A process gets one line for each event until it
//!    has answered that one ([`unanswered`]): an event that comes again meanwhile waits for the answer
//!    to it, and an answer that comes when no call waits is kept for the next try of its event (after a
//!    redrive or replay, which begins with the first try again, the worker is asked anew once it has
//!    answered the old line).
//!    With as many lines before it whose calls have given up as calls can hold, it gets no new ones.
//! 2. A worker that ends is started again with the next delivery, after a pause that is counted from
//!    its end, doubles from 100 ms to 30 s and is forgotten with the first answer. What it was at
//!    fails transiently ([`unanswered`] says which that is); what was behind it, and what comes in the
//!    pause, waits and uses up no try.
//! 3. A worker that answers nothing at all for the time of a delivery hangs, and is ended: by SIGTERM,
//!    and by SIGKILL 3 s after that.
//! 4. At the end its input is closed; what has not ended a second later gets SIGTERM, and SIGKILL 0.7 s
//!    after that.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::WORKER_BATCH_MAX;
use super::program::Program;
use super::program_time::ProgramTime;
use crate::clock::Timestamp;
use crate::event::{Delivery, ErrorText, EventId, Failure, Output};
use crate::handler::envelope::write_event;
use crate::handler::{BuildContext, Handler};
use crate::settings::show_duration;
use crate::sync::lock;

mod answer;
mod call;
mod late;
mod process;
#[cfg(test)]
mod tests;
mod unanswered;

use answer::Reply;
use call::{Part, Shared};
use process::Process;
use unanswered::RESTART_TIME;

/// The longest pause before a restart.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long a worker has to end when its input is closed.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// How long it has after SIGTERM. Together that is within the 2 s that a handler has to close.
const TERMINATE_TIME: Duration = Duration::from_millis(700);

/// How long deliveries wait while a worker that hung is being ended.
const ENDING_PAUSE: Duration = Duration::from_millis(100);

/// The workers of one handler, taken in turn.
pub(super) struct Workers {
    shared: Arc<Shared>,
    slots: Vec<Worker>,
    next: AtomicUsize,
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
        let batch = context.batch.map_or(1, NonZeroUsize::get);
        let shared = Shared {
            program: Arc::new(program),
            handler: context.handler.clone(),
            clock: Arc::clone(&context.clock),
            time: ProgramTime { of_call: context.timeout },
            late_max: context.concurrency.max(1).saturating_mul(batch),
            late: Arc::default(),
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
        let mut replies = BTreeMap::new();
        // By the address of each process.
        let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
        let mut turn = None;
        for (index, delivery) in deliveries.iter().enumerate() {
            let id = delivery.event.id;
            let process = match self.process_with(id) {
                Some(process) => Ok(process),
                None => turn.get_or_insert_with(|| self.process()).clone(),
            };
            let reply = match process {
                Err(failure) => {
                    Some(self.shared.late.take(id, delivery.attempt).unwrap_or(Err(failure)))
                }
                Ok(process) => {
                    self.forget_elsewhere(&process, id);
                    let part = parts.entry(Arc::as_ptr(&process).addr());
                    let part = part.or_insert_with(|| Part::new(process));
                    part.add(&self.shared, index, delivery)
                }
            };
            replies.extend(reply.map(|reply| (index, reply)));
        }
        if parts.values().all(Part::is_empty)
            && let Some(failure) = deferred(replies.values())
        {
            return Err(failure);
        }
        let answers = join_all(parts.into_values().map(|part| part.answers(&self.shared))).await;
        replies.extend(answers.into_iter().flatten());
        judge(deliveries, replies.into_values())
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

impl Workers {
    /// The process that has a line of this event before it.
    fn process_with(&self, id: EventId) -> Option<Arc<Process>> {
        let processes = self.slots.iter().filter_map(|worker| worker.slot().process.clone());
        processes.into_iter().find(|process| process.has_line(id))
    }

    /// What is said of the event by any other process counts no more.
    fn forget_elsewhere(&self, process: &Arc<Process>, id: EventId) {
        for worker in &self.slots {
            if let Some(other) = &worker.slot().process
                && !Arc::ptr_eq(other, process)
            {
                other.forget(id);
            }
        }
    }

    /// The process with the fewest lines before it, so that one that is stuck gets no share of what the
    /// others could do; of those with as few, the one whose turn it is. One that pauses, or cannot be started,
    /// is left out.
    fn process(&self) -> Result<Arc<Process>, Failure> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len().max(1);
        let (before, behind) = self.slots.split_at(turn);
        let mut freest: Option<(usize, Arc<Process>)> = None;
        let (mut soonest, mut unstarted): (Option<Failure>, _) = (None, None);
        for worker in behind.iter().chain(before) {
            match worker.process(&self.shared) {
                Ok(process) => {
                    let n_lines = process.n_lines();
                    if n_lines == 0 {
                        return Ok(process);
                    }
                    if freest.as_ref().is_none_or(|(fewest, _)| n_lines < *fewest) {
                        freest = Some((n_lines, process));
                    }
                }
                Err(pause) if pause.kind.is_wait() => {
                    let is_sooner =
                        soonest.as_ref().is_none_or(|one| pause.retry_after < one.retry_after);
                    soonest = if is_sooner { Some(pause) } else { soonest };
                }
                Err(failure) => unstarted = Some(failure),
            }
        }
        // There is at least one worker.
        let none =
            || unstarted.or(soonest).unwrap_or_else(|| Failure::transient("there is no worker"));
        freest.map(|(_, process)| process).ok_or_else(none)
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
                if process.is_full(shared.late_max) {
                    return Err(call::full(shared, &process));
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
        let Shared { program, handler, clock, late, .. } = shared;
        match Process::start(program, handler, Arc::clone(clock), Arc::clone(late)) {
            Ok(process) => {
                let process = Arc::new(process);
                slot.process = Some(Arc::clone(&process));
                Ok(process)
            }
            Err(err) => {
                let why = program.unstarted(&err);
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

/// What a worker reads of a delivery, without the line's end.
pub(super) fn line(delivery: &Delivery) -> Vec<u8> {
    let mut line = Vec::new();
    write_event(&mut line, &delivery.event, Some(delivery.attempt));
    line
}

/// Why none of them was asked for, where that is so.
fn deferred<'a>(mut replies: impl Iterator<Item = &'a Reply>) -> Option<Failure> {
    let first = replies.next()?.as_ref().err().filter(|failure| failure.kind.is_wait())?;
    let is_wait = |reply: &Reply| reply.as_ref().is_err_and(|failure| failure.kind.is_wait());
    replies.all(is_wait).then(|| first.clone())
}

/// What the answers to `deliveries` come to: each counts for its own event only.
fn judge(deliveries: &[Delivery], replies: impl Iterator<Item = Reply>) -> Result<Output, Failure> {
    let (mut done, mut each) = (Vec::new(), Vec::new());
    for (delivery, reply) in deliveries.iter().zip(replies) {
        match reply {
            Ok(()) => done.push(delivery.event.id),
            Err(failure) => each.push((delivery.event.id, failure)),
        }
    }
    let Some((_, first)) = each.first() else { return Ok(Output::default()) };
    if deliveries.len() == 1 {
        return Err(first.clone());
    }
    let text = format!("{} of {}: {first}", each.len(), deliveries.len());
    let failure = Failure { text: ErrorText::new(text), ..first.clone() };
    Err(failure.with_done(done).with_each(each))
}
