//! The queue alone, without the gateway around it: what `tests/sim` compiles, so that the
//! simulation builds in seconds and runs optimised. No part of the library.

#![allow(dead_code, reason = "what only the gateway calls")]

pub mod body;
pub mod clock;
pub mod event;
pub mod files;
pub mod pace;
pub mod queue;
pub mod sync;
pub mod text;
