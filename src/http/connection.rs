//! One connection beneath the HTTP library: how much of what a client sends is handed to it, and
//! when.
//!
//! actix reads on whatever becomes of its answers, decodes all requests that it has read at once
//! (about 5 KiB each), closes the connection with any answer that it gives while the body of a later
//! request is not complete, and panics on a header name of 64 KiB. So here:
//!
//! - Nothing is handed on while an answer cannot be written.
//! - One request at a time: what a client sends behind it, or at most [`AHEAD_MAX`] of that, waits
//!   here until it is answered.
//! - A head has at most [`HEAD_MAX`] bytes, then the answer is 431. Of those that are longer than a step,
//!   only so many are read at a time; the answer to others is 503.
//! - Of a body that is discarded, [`DISCARD_MAX`] bytes are taken and no more.
//! - The answer to an event counts as given once it was written to a client that has not hung up.
//!
//! What is allowed follows from what the service says ([`Control`]). Where a request ends is only
//! guessed (`request_end`), to cut what is handed on into pieces: a wrong guess loses nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connections::Registration;
use super::control::{Control, Phase};
use super::offer;
use crate::ingest::RefusedFor;

mod allowance;
mod refusal;
mod request_end;
mod seen;
mod step;

use allowance::{Allowance, HeadRefusal};
use refusal::ReplacementAnswer;
use request_end::RequestEnd;
use seen::Stage;
use step::{Step, poll_read_piece};

/// The longest head. Together with what may be handed on before it is known to be one
/// ([`STEP_BYTES`]) it stays below the 64 KiB at which a single header name makes actix panic.
pub(super) const HEAD_MAX: usize = 48 << 10;
/// What may be read of later requests while one is answered.
const AHEAD_MAX: usize = 4 << 10;
/// What is handed on at once of bytes whose meaning is not known yet: one read of actix.
const STEP_BYTES: usize = 8 << 10;
/// The same of a body whose length is known.
const BODY_STEP_BYTES: usize = 64 << 10;
/// The same of one whose length is not: half of actix's read buffer, which more would make grow.
const CHUNKED_STEP_BYTES: usize = 4 << 10;
/// How much is taken of a discarded body: a client that sends all of it first finds the answer.
const DISCARD_MAX: usize = 4 << 20;

/// The socket of a connection, as the HTTP library sees it.
pub(super) struct Connection<T> {
    pub(super) io: T,
    registration: Registration,
    /// Read, and not handed on yet.
    ahead: BytesMut,
    /// The phase that `handed` counts.
    n_phase: u32,
    /// Bytes handed on in this phase.
    handed: usize,
    /// How far the request is that is handed on.
    request: RequestEnd,
    /// What was handed on since actix had to stop reading.
    step: Step,
    /// The client does not take what was written last.
    is_blocked: bool,
    /// What was read was not handed on, and nothing will wake the task for it but a written answer.
    is_refused: bool,
    /// The client sends nothing more: it has hung up. (It may also have closed its sending side
    /// alone, as no HTTP client does that waits for an answer.)
    is_hung_up: bool,
    /// What is written in place of a bare answer of actix.
    replacement: ReplacementAnswer,
    stage: Stage,
}

impl<T> Connection<T> {
    pub(super) fn new(io: T, registration: Registration) -> Self {
        Self {
            io,
            registration,
            ahead: BytesMut::new(),
            n_phase: 0,
            handed: 0,
            request: RequestEnd::default(),
            step: Step::default(),
            is_blocked: false,
            is_refused: false,
            is_hung_up: false,
            replacement: ReplacementAnswer::default(),
            stage: Stage::Fresh,
        }
    }

    pub(super) fn registration(&self) -> &Registration {
        &self.registration
    }

    fn control(&self) -> &Arc<Control> {
        self.registration.control()
    }

    /// An error once the connection is to end; wakes the task when it comes to be so.
    fn check_open(&self, context: &Context<'_>) -> io::Result<()> {
        let control = self.control();
        if control.must_close(context) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    fn allowance(&mut self) -> Allowance {
        let control = self.registration.control();
        let n_phase = control.n_phases();
        let phase = control.phase();
        // Each phase has an allowance of its own, so a request is not charged for the one before. Part
        // of a body may have gone with its head.
        if n_phase != self.n_phase {
            let request = std::mem::take(&mut self.request);
            self.n_phase = n_phase;
            self.handed = if phase == Phase::Body { request.body_handed() } else { 0 };
        }
        if self.is_blocked {
            return Allowance::AfterAnswer;
        }
        // A full step has been ended before.
        let rest = self.step_max().saturating_sub(self.step.bytes).max(1);
        match phase {
            Phase::Head if self.handed >= HEAD_MAX => Allowance::Refused(HeadRefusal::TooLarge),
            Phase::Head if self.handed >= STEP_BYTES && !self.registration.may_have_long_head() => {
                Allowance::Refused(HeadRefusal::NoRoom)
            }
            Phase::Head => Allowance::Bytes(rest.min(HEAD_MAX - self.handed)),
            Phase::Body => match control.body_bytes() {
                u64::MAX => Allowance::Bytes(rest),
                length => {
                    let left = usize::try_from(length).unwrap_or(usize::MAX);
                    // Nothing behind the body is handed on: actix would decode the next request
                    // early.
                    match left.saturating_sub(self.handed) {
                        0 => Allowance::AfterAnswer,
                        left => Allowance::Bytes(left.min(BODY_STEP_BYTES)),
                    }
                }
            },
            Phase::Answer => Allowance::AfterAnswer,
            Phase::Discard if self.handed >= DISCARD_MAX => Allowance::Nothing,
            Phase::Discard => Allowance::Bytes(rest),
        }
    }

    /// What of `bytes`, just read or read ahead, is handed on now.
    fn take(&mut self, bytes: &[u8], max: usize) -> usize {
        let max = bytes.len().min(max);
        let offered = bytes.get(..max).unwrap_or(bytes);
        let taken = match (self.control().phase(), self.control().body_bytes()) {
            (Phase::Head, _) => self.request.cut(offered),
            (Phase::Body, u64::MAX) => request_end::cut_chunks(offered),
            (Phase::Body | Phase::Answer | Phase::Discard, _) => max,
        };
        self.handed += taken;
        self.step.bytes += taken;
        self.step.is_full |= taken < bytes.len() || self.step.bytes >= self.step_max();
        taken
    }

    /// How much is handed on at once.
    fn step_max(&self) -> usize {
        match (self.control().phase(), self.control().body_bytes()) {
            (Phase::Head | Phase::Answer, _) => STEP_BYTES,
            (Phase::Body, u64::MAX) | (Phase::Discard, _) => CHUNKED_STEP_BYTES,
            (Phase::Body, _) => BODY_STEP_BYTES,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Hands on what was read ahead, or reads.
    fn poll_some(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        max: usize,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let mut ahead = std::mem::take(&mut self.ahead);
            if self.begins_request() {
                offer::blank(&mut ahead);
            }
            let taken = self.take(&ahead, max.min(buffer.remaining()));
            buffer.put_slice(ahead.get(..taken).unwrap_or_default());
            ahead.advance(taken);
            if !ahead.is_empty() {
                self.ahead = ahead;
            }
            return Poll::Ready(Ok(()));
        }
        if self.is_hung_up {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if self.step_max() == CHUNKED_STEP_BYTES {
            self.step.is_full |= !ready!(poll_read_piece(&mut self.io, context, buffer, max))?;
        } else {
            ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        }
        if self.begins_request() {
            offer::blank(buffer.filled_mut().get_mut(before..).unwrap_or_default());
        }
        let taken = match buffer.filled().get(before..) {
            None | Some([]) => {
                self.is_hung_up = true;
                return Poll::Ready(Ok(()));
            }
            Some(bytes) => {
                self.look_at_beginning(bytes);
                self.take(bytes, max)
            }
        };
        self.ahead.extend_from_slice(buffer.filled().get(before + taken..).unwrap_or_default());
        buffer.set_filled(before + taken);
        Poll::Ready(Ok(()))
    }

    /// What comes next begins a request.
    fn begins_request(&self) -> bool {
        self.control().phase() == Phase::Head && self.handed == 0
    }

    /// Reads what comes behind the request, and keeps it: so it is known when the client hangs up. Gives
    /// whether there is anything.
    fn poll_ahead(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> io::Result<bool> {
        while !self.is_hung_up && self.ahead.len() < AHEAD_MAX && buffer.remaining() > 0 {
            let mut piece = buffer.take(AHEAD_MAX - self.ahead.len());
            if Pin::new(&mut self.io).poll_read(context, &mut piece)?.is_pending() {
                break;
            }
            self.is_hung_up = piece.filled().is_empty();
            self.ahead.extend_from_slice(piece.filled());
        }
        Ok(self.is_hung_up || !self.ahead.is_empty())
    }

    fn look_at_beginning(&mut self, bytes: &[u8]) {
        if self.stage == Stage::Fresh {
            self.stage = Stage::Served;
            if let Some(reason) = seen::at_beginning(bytes) {
                self.registration.report(reason);
                self.stage = Stage::Reported;
            }
        }
    }

    /// Answers in place of actix, which would be given no more of this head.
    fn poll_refuse_head(
        &mut self,
        context: &mut Context<'_>,
        why: HeadRefusal,
    ) -> Poll<io::Result<()>> {
        self.stage = Stage::Over;
        self.registration.report(why.reason());
        self.registration.set(Phase::Discard);
        if let Poll::Ready(Err(err)) = Pin::new(&mut self.io).poll_write(context, why.answer()) {
            return Poll::Ready(Err(err));
        }
        self.handed = 0;
        self.poll_discard(context)
    }

    /// Throws away what comes, up to a limit; the connection is ended from beside.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; STEP_BYTES];
        while self.handed < DISCARD_MAX {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
            match buffer.filled().len() {
                0 => return Poll::Ready(Ok(())),
                n_read => self.handed += n_read,
            }
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_open(context)?;
        if this.stage == Stage::Over {
            return this.poll_discard(context);
        }
        if this.step.is_full || this.step.bytes >= this.step_max() {
            // actix decodes what it has and comes again.
            this.step = Step::default();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match this.allowance() {
            Allowance::Bytes(_) if this.request.ends() => {
                // What comes behind it waits until actix has begun with it, or else, where an answer
                // before it is still written, until the next time.
                this.step = Step::default();
                if this.poll_ahead(context, buffer)? {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Allowance::Bytes(max) => {
                let read = this.poll_some(context, buffer, max);
                if read.is_pending() {
                    this.step = Step::default();
                }
                read
            }
            Allowance::AfterAnswer => {
                this.is_refused = this.poll_ahead(context, buffer)?;
                Poll::Pending
            }
            Allowance::Refused(why) => this.poll_refuse_head(context, why),
            Allowance::Nothing => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_open(context)?;
        if this.stage != Stage::Over
            && let Some(bare) = seen::in_answer(bytes)
        {
            if bare.at == 0 {
                // Before it is written: the client that has the answer finds its log line. A client
                // that said nothing at all has asked for nothing.
                let is_silent = bare.reason == RefusedFor::SlowHead && this.begins_request();
                if this.stage != Stage::Reported && !is_silent {
                    this.registration.report(bare.reason);
                }
                this.stage = Stage::Over;
                this.replacement = ReplacementAnswer::of(bare.replacement);
            } else {
                // What stands before it is written by itself.
                bytes = bytes.get(..bare.at).unwrap_or(bytes);
            }
        }
        if this.replacement.is_under_way() {
            return this.replacement.poll(&mut this.io, context, bytes.len());
        }
        if this.is_hung_up {
            // Before it is written: a repeat that comes behind it is then known as one.
            this.control().give_answers_up();
        }
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        if this.is_blocked && written.is_ready() {
            this.control().touch();
        }
        this.is_blocked = written.is_pending();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_open(context)?;
        ready!(Pin::new(&mut this.io).poll_flush(context))?;
        // actix flushes once it has written all of the answers that it was given.
        this.control().confirm_answers();
        // actix has written what it had and would wait for more to come.
        if this.is_refused && this.allowance() != Allowance::AfterAnswer {
            this.is_refused = false;
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}
