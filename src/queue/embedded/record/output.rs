//! What the other side of a try said, in bytes: the count of excerpts, and of each its stream and
//! its text.

use crate::event::{Excerpt, Output, Stream};
use crate::queue::codec::{Put, Take};

const STDOUT: u8 = 0;
const STDERR: u8 = 1;
const RESPONSE: u8 = 2;

pub(crate) fn encode(output: &Output, out: &mut Vec<u8>) {
    out.put_varint(output.excerpts().len() as u64);
    for excerpt in output.excerpts() {
        out.put_u8(match excerpt.stream {
            Stream::Stdout => STDOUT,
            Stream::Stderr => STDERR,
            Stream::Response => RESPONSE,
        });
        out.put_bytes(excerpt.text().as_bytes());
    }
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(take: &mut Take<'_>) -> Option<Output> {
    let n_excerpts = take.varint()?;
    let mut excerpts = Vec::new();
    for _ in 0..n_excerpts {
        let stream = match take.u8()? {
            STDOUT => Stream::Stdout,
            STDERR => Stream::Stderr,
            RESPONSE => Stream::Response,
            _ => return None,
        };
        excerpts.push(Excerpt::kept(stream, take.text()?));
    }
    Some(Output::new(excerpts))
}

/// Passes over what [`encode`] wrote.
pub(crate) fn pass(take: &mut Take<'_>) -> Option<()> {
    for _ in 0..take.varint()? {
        take.u8()?;
        take.bytes()?;
    }
    Some(())
}
