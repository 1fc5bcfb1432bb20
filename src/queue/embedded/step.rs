//! What a component of the queue says after a step of its work.

use crate::clock::Timestamp;

/// When a component wants its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// When something has changed.
    Idle,
    /// When something has changed, or at this moment of the steady clock at the latest.
    At(Timestamp),
    /// At once: there is more to do.
    Again,
}
