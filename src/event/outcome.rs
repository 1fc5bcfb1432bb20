//! What an attempt came to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EventId, Output};
use crate::clock::Timestamp;

/// An error's text for people, cut to [`ErrorText::BYTES_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorText(String);

impl ErrorText {
    /// The longest text that is kept, in bytes.
    pub const BYTES_MAX: usize = 1024;

    /// `text`, cut at a character's end.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(Self::BYTES_MAX));
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a handler could not take a delivery, and whether another try can help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// Whether another try can help.
    pub kind: FailureKind,
    /// What went wrong, for people. Never a body, a header value or a secret.
    pub text: ErrorText,
    /// How long the other side asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The status that the other side answered, where its protocol has one (HTTP, SMTP, exit code).
    pub status: Option<u16>,
    /// Where it went wrong, where no status says so.
    pub class: Option<FailureClass>,
    /// Where it was to go, the event alone said: it says nothing of the handler's other events.
    pub is_of_event: bool,
    /// Events of the call that the handler has all the same: they are delivered, and what is said
    /// here is about the others.
    pub done: Vec<EventId>,
    /// What the other side said, for people.
    pub output: Output,
    /// How far the try came, for the next one.
    pub progress: Option<Progress>,
    /// Events of the call with an answer of their own: what is said here is about the others.
    pub each: Vec<(EventId, Failure)>,
}

/// How far a try came, in its handler's own bytes: the next try of the same delivery gets it back,
/// also after a restart. Not for what is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress(pub Arc<[u8]>);

/// Where a failure without a status lies, as far as an owner may want to treat it in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// The other side did not answer in time: it may have done its work all the same.
    Timeout,
    /// The other side could not be reached, or the connection broke.
    Connection,
    /// The other side is there and took a part of it, such as a mail for some of its readers.
    Partly,
}

/// Whether another try can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It can: a timeout, a refused connection, a 5xx, a 4xx that a deploy may cause, SMTP 4yz,
    /// exit 75.
    Transient,
    /// It cannot: 400, 410, 422, SMTP 5yz, exit 65, a template that fails on this payload.
    Permanent,
    /// Nothing failed: it is not time yet for this event. It uses up no try and says nothing of
    /// whether the handler is there.
    Deferred,
    /// As [`FailureKind::Deferred`], for every event: the handler takes nothing until then.
    Paused,
}

impl FailureKind {
    /// Whether nothing failed, and the event only waits.
    pub fn is_wait(self) -> bool {
        match self {
            Self::Transient | Self::Permanent => false,
            Self::Deferred | Self::Paused => true,
        }
    }
}

impl Failure {
    /// A failure that another try may mend.
    pub fn transient(text: impl fmt::Display) -> Self {
        Self::of(FailureKind::Transient, text)
    }

    /// A failure that no other try mends.
    pub fn permanent(text: impl fmt::Display) -> Self {
        Self::of(FailureKind::Permanent, text)
    }

    /// No failure: to be handed over again once `wait` has passed, as if it had not been.
    pub fn deferred(text: impl fmt::Display, wait: Duration) -> Self {
        Self::of(FailureKind::Deferred, text).with_retry_after(Some(wait))
    }

    /// No failure: the handler takes nothing at all until `wait` has passed.
    pub fn paused(text: impl fmt::Display, wait: Duration) -> Self {
        Self::of(FailureKind::Paused, text).with_retry_after(Some(wait))
    }

    fn of(kind: FailureKind, text: impl fmt::Display) -> Self {
        let text = ErrorText::new(text.to_string());
        let (done, each) = (Vec::new(), Vec::new());
        Self {
            kind,
            text,
            retry_after: None,
            status: None,
            class: None,
            is_of_event: false,
            done,
            output: Output::default(),
            progress: None,
            each,
        }
    }

    #[must_use]
    pub fn with_class(self, class: FailureClass) -> Self {
        Self { class: Some(class), ..self }
    }

    /// The same, where the event alone said where it was to go.
    #[must_use]
    pub fn of_event(self) -> Self {
        Self { is_of_event: true, ..self }
    }

    #[must_use]
    pub fn with_output(self, output: Output) -> Self {
        Self { output, ..self }
    }

    /// The same, with how far the try came.
    #[must_use]
    pub fn with_progress(self, progress: Option<Progress>) -> Self {
        Self { progress, ..self }
    }

    /// The same, where the events in `each` have an answer of their own.
    #[must_use]
    pub fn with_each(self, each: Vec<(EventId, Self)>) -> Self {
        Self { each, ..self }
    }

    /// The same, where the handler has `done` all the same.
    #[must_use]
    pub fn with_done(self, done: Vec<EventId>) -> Self {
        Self { done, ..self }
    }

    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The same, with how long the other side asked to be left alone.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// The filter said no, or the event had nothing for the handler: the attempt says why.
    Skipped,
    /// To be tried again.
    Retry {
        /// Not before this moment, by the steady clock.
        at: Timestamp,
        /// Waits in line with the other events of this key, where the handler keeps an order.
        order_key: Option<OrderKey>,
    },
    /// Not tried at all: an earlier event with the same order key is not settled yet.
    Held {
        /// What it waits in line for.
        order_key: OrderKey,
    },
    /// Will not be tried again by itself.
    Dead {
        /// Keeps the later events of this key waiting until it is redriven or dropped
        /// (`on_dead_letter = "hold"`).
        order_key: Option<OrderKey>,
    },
}

impl Outcome {
    /// The key whose later events wait until this delivery has come to another outcome.
    pub fn blocked_key(&self) -> Option<OrderKey> {
        match self {
            Self::Delivered | Self::Skipped => None,
            Self::Retry { order_key, .. } | Self::Dead { order_key } => *order_key,
            Self::Held { order_key } => Some(*order_key),
        }
    }
}

/// The first 16 bytes of the SHA-256 of what `order_by` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey(pub [u8; 16]);

/// One try of one delivery, for its history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// When it began, by the wall clock.
    pub started_at: Timestamp,
    pub duration: Duration,
    /// What went wrong; empty where nothing did.
    pub error: ErrorText,
    /// The status that the other side answered, where its protocol has one.
    pub status: Option<u16>,
    /// What the other side said, for people.
    pub output: Output,
    /// How far it came, for the next try.
    pub progress: Option<Progress>,
}

impl Attempt {
    pub fn n_bytes(&self) -> usize {
        let progress = self.progress.as_ref().map_or(0, |progress| progress.0.len());
        self.error.as_str().len() + self.output.n_bytes() + progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_text_is_cut_at_a_characters_end() {
        let text = ErrorText::new("é".repeat(1000));
        assert_eq!(text.as_str().len(), 1024);
        let text = ErrorText::new(format!("a{}", "é".repeat(1000)));
        assert_eq!(text.as_str().len(), 1023);
    }
}
