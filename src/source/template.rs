//! What a sender signs, written as text with variables: `v0:{timestamp}:{body}`.

mod message;
mod parsed;
mod sorted;
#[cfg(test)]
mod tests;

pub(super) use message::{Message, Values, other_port};
pub use parsed::{BadTemplate, Template};
pub(super) use parsed::{Part, variable};
