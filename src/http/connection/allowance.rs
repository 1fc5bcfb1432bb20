//! How much of what comes is handed on, and what is told of a head that is not.

use super::refusal::HEAD_TOO_LARGE;
use crate::http::connections::NO_ROOM;
use crate::ingest::RefusedFor;

/// How much may be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    Bytes(usize),
    /// Once what was handed on is answered.
    AfterAnswer,
    /// None of this head.
    Refused(HeadRefusal),
    /// Nothing more, ever.
    Nothing,
}

/// Why a head is read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadRefusal {
    /// It is too long for all.
    TooLarge,
    /// It is long, and too many such are read at once.
    NoRoom,
}

impl HeadRefusal {
    pub(super) fn reason(self) -> RefusedFor {
        match self {
            Self::TooLarge => RefusedFor::HeadTooLarge,
            Self::NoRoom => RefusedFor::NoConnection,
        }
    }

    pub(super) fn answer(self) -> &'static [u8] {
        match self {
            Self::TooLarge => HEAD_TOO_LARGE,
            Self::NoRoom => NO_ROOM,
        }
    }
}
