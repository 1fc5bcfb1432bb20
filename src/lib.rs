//! Gatepost: a webhook receiver that never loses what it has answered 200 for.

pub mod body;
pub mod clock;
pub mod event;
pub mod expr;
pub mod files;
pub mod metrics;
pub mod pace;
pub mod secret;
pub mod settings;
pub mod sync;
pub mod text;
pub mod throttle;
pub mod trace;

pub mod cluster;
pub mod handler;
pub mod queue;
pub mod source;
pub mod standby;
pub mod tls;

pub mod config;
pub mod deliver;
pub mod ingest;

pub mod api;
pub mod pages;

pub mod http;

pub mod app;

pub mod cli;

#[cfg(feature = "test-support")]
#[doc(hidden)]
pub mod fuzz;
