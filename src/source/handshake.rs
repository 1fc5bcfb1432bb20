//! What a provider asks an endpoint before it sends events there, and the answer.
//!
//! A request that is signed like an event is one: only questions that are signed themselves, and
//! say so by a field of their own, are taken out of the signed ones. A password that is sent along
//! (a token, HTTP Basic) signs nothing, and the question comes with it like everything else.

mod answer;
mod hashable;
mod hashed;
mod respond;
mod rule;
#[cfg(test)]
mod tests;

pub(super) use answer::NAMES;
pub use answer::{AnswerTemplate, HashRule};
pub use respond::{Answered, MethodUse};
pub use rule::{Answer, Handshake, Signing};
