//! How much is handed on at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// actix makes room in its read buffer before it decodes what it has, where less than this is left.
const BUFFER_ROOM_MIN: usize = 1 << 10;

/// What was handed on since actix had to stop reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    pub(super) bytes: usize,
    pub(super) is_full: bool,
}

/// Reads at most `max` bytes of a body whose length is not known, and never so many that actix makes
/// its buffer larger before it has decoded them: a body may hold it for as long as its sender likes.
/// Gives whether more of it may be read at once.
pub(super) fn poll_read_piece(
    io: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
    max: usize,
) -> Poll<io::Result<bool>> {
    let room = buffer.remaining();
    let fitting = room.saturating_sub(BUFFER_ROOM_MIN).max(1).min(room);
    let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(fitting.min(max)));
    ready!(Pin::new(io).poll_read(context, &mut piece))?;
    let n_read = piece.filled().len();
    buffer.advance(n_read);
    Poll::Ready(Ok(n_read < fitting))
}
