//! Attacks that were once tried on a running gateway, and what holds against each: bounded in time
//! and number, on loopback only.

mod bodies;
mod connections;
mod heads;
mod refused;
mod unread;
