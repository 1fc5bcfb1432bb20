//! The listeners, seen from the wire.

mod admin;
mod bad;
mod client_limiter;
mod credentials;
mod edited;
mod fetched_keys;
mod flood;
mod good;
mod hung_up;
mod idle;
mod lists;
mod methods;
mod pipelined;
mod replay;
mod senders;
mod shapes;
mod unavailable;
mod vectors;
