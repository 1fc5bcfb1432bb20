//! Keys that are fetched: of senders that publish a certificate or a JSON Web Key Set.
//!
//! 1. Where a key may come from is settled before anything is fetched: one address of the
//!    configuration, or one in the request that lies on an origin of its sender.
//! 2. Verification stays a look at what is at hand. [`Source::verify_fetching`](super::Source::verify_fetching) fetches before it,
//!    with a bound on time and number, so that a source whose keys are slow holds up no other.
//! 3. While a key cannot be had, its request is neither good nor bad: [`KeyNotFetched`](super::Rejection::KeyNotFetched),
//!    and the sender is asked to come again.

mod cache;
mod fetch;
mod rule;
#[cfg(test)]
pub(super) mod tests;
mod verify;

pub(super) use cache::KeyCache;
pub use fetch::{KeyFetch, KeyFetchError, KeyRequest, PostedJson};
pub(super) use rule::KeyId;
pub(super) use rule::read_address;
pub use rule::{BadKeyAddress, FetchRule, KeyAddress, KeySettings, OriginPattern, PathPattern};
pub(super) use verify::verify_by_fetched;
