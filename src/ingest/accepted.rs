//! What becomes of a request that is answered with a success.

use super::unconfirmed::UnconfirmedAnswer;
use crate::queue::Appended;
use crate::source::Reply;

/// What became of a request that is answered with a success.
#[derive(Debug)]
pub enum Accepted {
    /// It brought an event or several, and they are durable.
    Stored(Stored),
    /// Its list is empty: it brought nothing to store.
    EmptyList(Option<Reply>),
    /// It is a provider's question, and no event.
    Handshake(Reply),
    /// It only looks whether anything is there.
    Probe,
}

/// Events that are durable.
#[derive(Debug)]
pub struct Stored {
    /// The event; of a list the first that was not seen before, or the first of all.
    pub appended: Appended,
    /// Items of its list that were seen before, beside what `appended` counts as.
    pub n_more_repeats: usize,
    /// What the sender is answered.
    pub ack: Ack,
    /// Dropped unless the answer was written: an equal request is then a repeat.
    pub answer: UnconfirmedAnswer,
}

/// What a sender is answered once its events are durable.
#[derive(Debug)]
pub enum Ack {
    Id,
    /// The first one's id, and how many events its list became.
    IdAndCount(usize),
    /// What the source has as `answer`.
    Reply(Reply),
}

impl Accepted {
    /// The event that it became, where it became one.
    pub fn appended(&self) -> Option<Appended> {
        match self {
            Self::Stored(stored) => Some(stored.appended),
            Self::EmptyList(_) | Self::Handshake(_) | Self::Probe => None,
        }
    }
}
