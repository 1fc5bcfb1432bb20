//! A request as it came, before it is verified.

use smallvec::SmallVec;

use crate::event::Headers;

/// What a request mostly has one or two of: those are not on the heap.
pub(super) type SmallList<T> = SmallVec<[T; 2]>;

/// A request as it came, before verification.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// `POST` and the like.
    pub method: &'a str,
    /// The path with the query, as sent.
    pub path_and_query: &'a str,
    /// All headers.
    pub headers: &'a Headers,
    /// The raw body.
    pub body: &'a [u8],
}
