//! The socket beneath HTTP/2: whether its client takes what is written, and sends more than its requests need.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame_budget::FrameBudget;
use crate::http::tls::Socket;

/// What is known of the socket above HTTP/2.
#[derive(Debug, Default)]
pub(super) struct WireState {
    /// Anything was read.
    pub(super) has_read: Cell<bool>,
    /// The last write is not with the kernel yet.
    pub(super) is_blocked: Cell<bool>,
    /// Too many frames came that bring no request; nothing more is read.
    pub(super) is_flooded: Cell<bool>,
}

pub(super) struct Wire {
    socket: Socket,
    budget: FrameBudget,
    state: Rc<WireState>,
}

impl Wire {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, budget: FrameBudget::new(), state: Rc::default() }
    }

    pub(super) fn state(&self) -> Rc<WireState> {
        Rc::clone(&self.state)
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.state.is_blocked.set(written.is_pending());
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.budget.is_spent() {
            this.state.is_flooded.set(true);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(context, buffer))?;
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        this.state.has_read.set(this.state.has_read.get() || !bytes.is_empty());
        this.budget.count(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.note(written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.socket).poll_flush(context);
        this.note(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
