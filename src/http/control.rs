//! What a connection does, as its requests say and the connection limit sees it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::clock::whole_millis;
use crate::ingest::UnconfirmedAnswer;
use crate::sync::lock;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is no request, or not all of its head.
    Head,
    Body,
    Answer,
    /// It was answered, and the rest of its body is discarded.
    Discard,
}

/// A connection, shared between its task, its requests and the connection limit.
#[derive(Debug)]
pub(super) struct Control {
    /// From when on time is counted, of all connections.
    began: Instant,
    /// The phase (the lowest two bits) and since when (milliseconds).
    since: AtomicU64,
    /// Counts the phases, so that two equal ones can be told apart.
    n_phases: AtomicU32,
    /// How much of the body may be missing when it begins; `u64::MAX` = unknown.
    body_bytes: AtomicU64,
    /// A request was begun on it.
    is_used: AtomicBool,
    /// An event was stored that came over it.
    has_brought_event: AtomicBool,
    must_close: AtomicBool,
    waker: AtomicWaker,
    /// Given, and not written yet: several where requests are pipelined.
    answers: Mutex<SmallVec<[UnconfirmedAnswer; 1]>>,
}

impl Control {
    /// That of a new connection, which is to send a head.
    pub(super) fn new(began: Instant) -> Self {
        let control = Self {
            began,
            since: AtomicU64::default(),
            n_phases: AtomicU32::default(),
            body_bytes: AtomicU64::default(),
            is_used: AtomicBool::default(),
            has_brought_event: AtomicBool::default(),
            must_close: AtomicBool::default(),
            waker: AtomicWaker::new(),
            answers: Mutex::default(),
        };
        control.set(Phase::Head, Instant::now());
        control
    }

    pub(super) fn set(&self, phase: Phase, now: Instant) {
        let millis = whole_millis(now.duration_since(self.began));
        self.since.store(millis << 2 | phase as u64, Ordering::Relaxed);
        self.n_phases.fetch_add(1, Ordering::Relaxed);
        match phase {
            Phase::Head => {}
            Phase::Body | Phase::Answer | Phase::Discard => {
                self.is_used.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether a request was begun on it, now or before.
    pub(super) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Whether it is one of a sender that is believed.
    pub(super) fn has_brought_event(&self) -> bool {
        self.has_brought_event.load(Ordering::Relaxed)
    }

    pub(super) fn note_event(&self) {
        self.has_brought_event.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_body(&self, bytes: Option<u64>) {
        self.body_bytes.store(bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Something was written after a wait: the client is alive.
    pub(super) fn touch(&self) {
        let millis = whole_millis(self.began.elapsed());
        let phase = self.since.load(Ordering::Relaxed) & 3;
        self.since.store(millis << 2 | phase, Ordering::Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        match self.since.load(Ordering::Relaxed) & 3 {
            0 => Phase::Head,
            1 => Phase::Body,
            2 => Phase::Answer,
            _ => Phase::Discard,
        }
    }

    /// What it does, and since when.
    pub(super) fn get(&self) -> (Phase, Duration) {
        (self.phase(), Duration::from_millis(self.since.load(Ordering::Relaxed) >> 2))
    }

    /// How many phases there have been.
    pub(super) fn n_phases(&self) -> u32 {
        self.n_phases.load(Ordering::Relaxed)
    }

    /// How much of the body may be missing when it begins; `u64::MAX` = unknown.
    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }

    /// Whether the connection is to end; wakes the task when it comes to be so.
    pub(super) fn must_close(&self, context: &Context<'_>) -> bool {
        self.waker.register(context.waker());
        self.must_close.load(Ordering::Acquire)
    }

    /// Waits until the connection is to end.
    pub(super) async fn closed(&self) {
        let is_closed = |context: &mut Context<'_>| {
            if self.must_close(context) { Poll::Ready(()) } else { Poll::Pending }
        };
        std::future::poll_fn(is_closed).await;
    }

    /// An answer that matters is about to be written.
    pub(super) fn add_answer(&self, answer: UnconfirmedAnswer) {
        lock(&self.answers).push(answer);
    }

    /// Everything was written, to a client that is still there.
    pub(super) fn confirm_answers(&self) {
        let answers = std::mem::take(&mut *lock(&self.answers));
        answers.into_iter().for_each(UnconfirmedAnswer::confirm);
    }

    /// What was not written by now never will be, or is not read.
    pub(super) fn give_answers_up(&self) {
        let answers = std::mem::take(&mut *lock(&self.answers));
        drop(answers);
    }

    /// Ends the connection, whatever it does.
    pub(super) fn close(&self) {
        self.must_close.store(true, Ordering::Release);
        self.waker.wake();
    }
}
