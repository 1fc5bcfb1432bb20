//! SEAM: who is calling. Schemes say how a sender signs; providers are presets of them.

use crate::clock::Timestamp;
use crate::event::{DataRoot, EventType, Headers};
use crate::secret::Secret;

/// A request as it came, before anybody believed it.
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

/// How a sender signs. Pure: reads nothing but its arguments; compares decoded bytes in constant
/// time.
pub trait Scheme: Send + Sync {
    /// Believes `request` or says why not. `now` is when it was received.
    fn verify(
        &self,
        request: &Inbound<'_>,
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<Verified, Rejection>;
}

/// Proof that a request's signature was good; only `source/` can make one, and only a `Verified`
/// becomes an event.
#[derive(Clone, Debug)]
pub struct Verified {
    event_type: EventType,
    delivery_id: Option<String>,
    data_root: DataRoot,
    secret_index: usize,
}

/// Why a request was not believed. The caller is never told which: 401 for each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The header (or field) that should carry the signature is not there.
    #[error("no signature")]
    Missing,
}
