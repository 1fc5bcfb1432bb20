//! The socket beneath HTTP/2: whether its client takes what is written.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::tls::Socket;

/// Whether the last write is not with the kernel yet.
pub(super) type Blocked = Rc<Cell<bool>>;

pub(super) struct Wire {
    socket: Socket,
    is_blocked: Blocked,
}

impl Wire {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, is_blocked: Blocked::default() }
    }

    pub(super) fn is_blocked(&self) -> Blocked {
        Rc::clone(&self.is_blocked)
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.is_blocked.set(written.is_pending());
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, buffer)
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
