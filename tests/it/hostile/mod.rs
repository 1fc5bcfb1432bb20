//! Attacks that were once tried on a running gateway, and what holds against each: bounded in time
//! and number, on loopback only.

mod admin;
mod bodies;
mod connections;
mod heads;
mod http2;
mod logs;
mod poison;
mod refused;
mod unread;
