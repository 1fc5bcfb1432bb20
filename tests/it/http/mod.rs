//! The listeners, seen from the wire.

mod admin;
mod bad;
mod good;
mod idle;
mod replay;
mod shapes;
mod unavailable;
