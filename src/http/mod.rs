//! The listeners: the only place that knows actix, and that turns errors into status codes.
//!
//! The public listener is on the way of every request and does nothing that a request does not
//! need. The admin listener and the admin socket share one small server beside it.

pub mod admin;
pub mod public;

mod body;
mod challenge;
pub(crate) mod client;
mod connection;
mod connections;
mod control;
mod http2;
mod listen;
mod offer;
mod problem;
mod serve;
mod start;
mod tls;

pub use listen::{CONNECTION_BYTES, CONNECTIONS_PER_WORKER, KEEP_ALIVE, Listen, PORT_IS_ROOTS};
pub use start::{Listeners, start};
