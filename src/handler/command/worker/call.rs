//! What a call has to do with one process: lines for the events that have none there, and the wait for
//! the answers.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::oneshot::Receiver;
use tokio::time::{Instant, timeout_at};

use super::super::program::Program;
use super::super::program_time::ProgramTime;
use super::answer::Reply;
use super::late::LateAnswers;
use super::process::Process;
use super::unanswered::{AwaitedAnswer, Late, RESTART_TIME, not_begun};
use crate::clock::{Clock, Timestamp};
use crate::event::{Delivery, EventId, Failure, FailureClass, HandlerName};
use crate::handler::envelope::write_event;

/// Said of a worker that has never answered: most languages keep what they print until it is much.
const FLUSH_HINT: &str = ": a worker has to flush each line that it prints";

/// Said of one that has printed something else, as a debugger's words or an answer without its id.
const STRANGE_HINT: &str =
    ": it has printed what is no answer; one is `{\"id\":\"…\",\"ok\":true}` in a line of its own";

/// What all workers of a handler have in common.
pub(super) struct Shared {
    pub(super) program: Arc<Program>,
    pub(super) handler: HandlerName,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) time: ProgramTime,
    /// With how many lines before it whose calls have given up a worker gets no new ones: as many as the
    /// handler's calls can hold at once.
    pub(super) late_max: usize,
    pub(super) late: Arc<LateAnswers>,
}

/// Those deliveries of a call that one process answers.
pub(super) struct Part {
    process: Arc<Process>,
    lines: Vec<u8>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    /// Which of the call's deliveries it is.
    index: usize,
    id: EventId,
    reply: Receiver<Reply>,
}

impl Part {
    pub(super) fn new(process: Arc<Process>) -> Self {
        Self { process, lines: Vec::new(), waiting: Vec::new() }
    }

    /// Nothing is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Will ask for a delivery, unless its answer is there at once.
    pub(super) fn add(
        &mut self,
        shared: &Shared,
        index: usize,
        delivery: &Delivery,
    ) -> Option<Reply> {
        let id = delivery.event.id;
        let expected = self.process.expect(id, delivery.attempt, shared.late_max);
        // Looked for only now: from here on an answer comes to who waits.
        if let Some(reply) = shared.late.take(id, delivery.attempt) {
            self.process.forget(id);
            return Some(reply);
        }
        let reply = match expected {
            AwaitedAnswer::ToLine(reply) => reply,
            AwaitedAnswer::ToNewLine(reply) => {
                write_event(&mut self.lines, &delivery.event, Some(delivery.attempt));
                self.lines.push(b'\n');
                reply
            }
            AwaitedAnswer::Full => return Some(Err(full(shared, &self.process))),
        };
        self.waiting.push(Waiting { index, id, reply });
        None
    }

    /// Sends the lines and waits for the answers. What the worker said on stderr meanwhile is kept
    /// with each failure.
    pub(super) async fn answers(mut self, shared: &Shared) -> Vec<(usize, Reply)> {
        let sent_at = shared.clock.steady();
        let n_stderr_bytes = self.process.n_stderr_bytes();
        // Dropped with this future, when its caller gives up before the time is over.
        let guard = HangGuard { process: &self.process, shared, sent_at };
        if !self.lines.is_empty() {
            self.process.send(self.lines);
        }
        let until = Instant::now() + shared.time.own();
        let timed = self.waiting.iter_mut().map(|one| timeout_at(until, &mut one.reply));
        let timed = join_all(timed).await;
        let ids = self.waiting.iter().zip(&timed).filter(|(_, reply)| reply.is_err());
        let ids: Vec<EventId> = ids.map(|(waiting, _)| waiting.id).collect();
        let mut late = self.process.late(&ids).into_iter();
        let lost = || Err(not_begun("the worker was lost"));
        let mut replies = Vec::with_capacity(timed.len());
        for (Waiting { index, reply: mut since, .. }, reply) in self.waiting.into_iter().zip(timed)
        {
            let reply = match reply {
                Ok(reply) => reply.unwrap_or_else(|_| lost()),
                Err(_elapsed) => match late.next() {
                    Some(Late::Answered) => since.try_recv().unwrap_or_else(|_| lost()),
                    Some(Late::NotBegun) => Err(not_begun("the worker is at another event")),
                    Some(Late::Fails) | None => Err(too_late(shared, &self.process)),
                },
            };
            replies.push((index, reply));
        }
        drop(guard);
        if replies.iter().any(|(_, reply)| reply.is_err()) {
            let said = self.process.said_since(n_stderr_bytes);
            for failure in replies.iter_mut().filter_map(|(_, reply)| reply.as_mut().err()) {
                failure.output = said.clone();
            }
        }
        replies
    }
}

/// Of what comes while the process gets no new lines. No line of a call tells any more whether it hangs.
pub(super) fn full(shared: &Shared, process: &Process) -> Failure {
    if process.is_silent_for(shared.time.own(), shared.clock.steady()) {
        end_hanging(shared, process);
    }
    let n_late = shared.late_max;
    let text = format_args!("the worker has {n_late} late events or more to answer");
    Failure::paused(text, RESTART_TIME)
}

fn too_late(shared: &Shared, process: &Process) -> Failure {
    let time = shared.time;
    let hint = match (process.is_strange(), process.has_answered()) {
        (true, _) => STRANGE_HINT,
        (false, true) => "",
        // The likeliest slip in a new worker: print() is buffered.
        (false, false) => FLUSH_HINT,
    };
    let failure = Failure::transient(format_args!("no answer after {time}{hint}"));
    failure.with_class(FailureClass::Timeout)
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
            end_hanging(self.shared, self.process);
        }
    }
}

fn end_hanging(shared: &Shared, process: &Process) {
    let hint = if process.has_answered() { "" } else { FLUSH_HINT };
    tracing::warn!(handler.name = %shared.handler, "A worker hangs and is ended{hint}");
    process.end_in_order();
}
