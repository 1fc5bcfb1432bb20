//! The end of what a program says.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::program::Program;
use crate::event::{Excerpt, Stream};

/// How much is held: twice what is kept, so that a secret at the edge is whole while it is looked
/// for.
const HELD_BYTES: usize = 2 * Excerpt::TAIL_BYTES;

/// The last bytes of one of a program's streams.
#[derive(Debug, Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        self.cut();
    }

    /// Reads until the end, or an error, which ends it as well.
    pub(super) async fn listen(&mut self, reader: &mut (impl AsyncRead + Unpin)) {
        while reader.read_buf(&mut self.0).await.is_ok_and(|n_bytes| n_bytes > 0) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.0.len() > 2 * HELD_BYTES {
            self.0.drain(..self.0.len() - HELD_BYTES);
        }
    }

    /// What is kept of the last `n_bytes` of it.
    pub(super) fn excerpt(&self, stream: Stream, n_bytes: usize, program: &Program) -> Excerpt {
        let (_, bytes) = self.0.split_at(self.0.len().saturating_sub(n_bytes));
        Excerpt::tail(stream, program.without_secrets(&String::from_utf8_lossy(bytes)).as_bytes())
    }

    /// The last line that says something, for an error's text.
    pub(super) fn last_line(&self, program: &Program) -> String {
        last_line(&program.without_secrets(&String::from_utf8_lossy(&self.0)))
    }
}

/// The last line of `text` that says something, without control characters.
pub(super) fn last_line(text: &str) -> String {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or_default().chars().filter(|c| !c.is_control()).collect()
}
