//! The listeners, seen from the wire.

mod admin;
mod bad;
mod flood;
mod good;
mod idle;
mod lists;
mod replay;
mod senders;
mod shapes;
mod strangers;
mod unavailable;
mod vectors;
