//! The way in: source by name, limits, verification, one durable append.
//!
//! [`Ingest::receive`] is all of it, in the order in which it happens. In reading order: `request` and
//! `reader` (what comes), `receive`, `endpoint` (a source and its limits), `client_network`, `client_limiter` and
//! `unverified` (what a client may cost before it is believed), `store` (what was verified),
//! `late` (repeats whose time is over), `accepted` and `error` (what becomes of a request), `unconfirmed` (whether its answer was written),
//! `rejected`, `refused`, `course`, `shown_path` and `proxies` (what an owner is shown of the rest), `log`.
//!
//! - Nothing is stored that was not verified, and nothing is answered that was not stored.
//! - The commit has [`COMMIT_TIMEOUT`]; who gives up then can repeat the request, which is
//!   recognised by its dedupe key if it was stored after all.
//! - What fails verification is kept in a bounded ring for diagnosis.

mod accepted;
mod client_limiter;
mod client_network;
mod course;
mod edited;
mod endpoint;
mod endpoints;
mod error;
mod late;
mod log;
mod newest;
mod proxies;
mod reader;
mod receive;
mod refused;
mod rejected;
mod request;
mod shown_path;
mod store;
mod unconfirmed;
mod unverified;

pub use accepted::{Accepted, Ack, Stored};
pub(crate) use client_limiter::is_private;
#[cfg(test)]
pub(crate) use client_limiter::{FAILURE_DELAY, FailureResponse, Slot};
pub(crate) use client_network::ClientNetwork;
pub use course::{Course, RejectedRun, SourceCourse};
pub use edited::EditError;
pub use endpoint::Endpoint;
pub use error::IngestError;
pub use newest::NewestFacts;
pub use proxies::{
    FORWARDED, FORWARDING_HEADERS, Forwarding, ProxiedRequest, Proxies, ProxyRow, is_read,
};
pub use reader::RequestReader;
pub use receive::Ingest;
pub use refused::{RefusedFor, RefusedRequest, RefusedRequests, RefusedRow};
pub use rejected::{RejectedRequest, RejectedRing};
pub use request::{BodyError, BodyLimits, Limits, RequestHead};
pub use store::COMMIT_TIMEOUT;
pub use unconfirmed::UnconfirmedAnswer;
pub use unverified::BodyRoom;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
