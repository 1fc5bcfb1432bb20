//! What the parts promise together, and each seam to its callers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod cli;
mod handlers_email;
mod handlers_sql;
mod http;
mod queue;
mod support;
