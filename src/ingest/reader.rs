//! Reads what is read of a request only where its head is good.

use bytes::Bytes;

use super::request::{BodyError, BodyLimits};
use super::unverified::BodyRoom;
use crate::event::Headers;

/// The rest of a request, read only where its head is good.
pub trait RequestReader {
    /// All headers, in the form in which they are stored.
    fn headers(&self) -> Headers;

    /// The raw body. `room` grows with one whose length is not known beforehand.
    fn body(
        &mut self,
        limits: BodyLimits,
        room: &mut BodyRoom<'_>,
    ) -> impl Future<Output = Result<Bytes, BodyError>>;
}
