//! What the parts promise together, and each seam to its callers.

mod handlers_email;
mod handlers_sql;
mod queue;
mod support;
