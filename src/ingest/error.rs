//! Why a request is not taken.

use std::time::Duration;

use super::refused::RefusedFor;
use super::request::BodyError;
use crate::metrics::RequestOutcome;
use crate::source::{AnswerBody, AnswerRule, Rejection, Source};

/// How soon a sender may come again where many come at once: by then each slot of the client limiter
/// (20 ms) and most bodies are done.
const RETRY_CROWDED: Duration = Duration::from_secs(1);
/// The owner must make room, or a sender's keys must be reachable again.
pub(super) const RETRY_LATER: Duration = Duration::from_secs(30);

/// Why a request is not taken, in the order in which it is found out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    #[error("no source has this name")]
    UnknownSource,
    #[error("the source takes {allow}")]
    Method {
        /// The methods that it takes, as `Allow` lists them.
        allow: String,
    },
    /// A browser asks whether a page may send here: it gets no leave.
    #[error("this is a browser's question (CORS); a webhook comes from a server")]
    Preflight {
        /// The methods by which the source takes events.
        allow: String,
    },
    /// It is believed, and came by a method by which the source takes no events: what it says would
    /// be lost.
    #[error("the source takes events by {allow} only")]
    EventByMethod {
        /// The methods by which it takes events.
        allow: String,
    },
    #[error("the address is not in `allow`")]
    NotAllowed,
    /// As `NotAllowed`, where a proxy that `trusted_proxies` does not name passed the request on.
    #[error("the proxy's address is not in `allow`")]
    NotAllowedBehindProxy,
    /// Its client has used up `failed_verification_limit`, and all the slots that it gets.
    #[error("too many requests of the client fail")]
    TooManyUnverified,
    #[error("the body was not read: {0:?}")]
    Body(BodyError),
    #[error("the signature is not good")]
    Rejected,
    /// As `Rejected`, at a source whose answers have no body.
    #[error("the signature is not good")]
    RejectedBare,
    /// As `Rejected`, at a source of HTTP Basic: many senders show their password only where it is asked for.
    #[error("the password is not good")]
    RejectedBasic,
    #[error("more than `rate_limit`")]
    RateLimited {
        /// When there is room again.
        retry_after: Duration,
    },
    #[error("it cannot be stored just now")]
    Unavailable {
        /// When another try may help.
        retry_after: Duration,
    },
}

impl From<BodyError> for IngestError {
    fn from(err: BodyError) -> Self {
        Self::Body(err)
    }
}

impl IngestError {
    /// What is answered to what `source` does not believe.
    pub(super) fn of_rejection(source: &Source, rejection: &Rejection) -> Self {
        match (rejection, &source.settings().answer) {
            // Its sender is to come again: the signature may be good.
            (Rejection::KeyNotFetched(_), _) => Self::Unavailable { retry_after: RETRY_LATER },
            // Xero's test of an address takes no 401 with a body.
            (_, AnswerRule::Body(AnswerBody { body: None, .. })) => Self::RejectedBare,
            _ if source.is_basic() => Self::RejectedBasic,
            _ => Self::Rejected,
        }
    }

    /// When the sender may try again, where that may help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyUnverified | Self::Body(BodyError::NoRoom) => Some(RETRY_CROWDED),
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after } => {
                Some(*retry_after)
            }
            Self::UnknownSource
            | Self::Method { .. }
            | Self::Preflight { .. }
            | Self::EventByMethod { .. }
            | Self::NotAllowed
            | Self::NotAllowedBehindProxy
            | Self::Body(BodyError::TooLarge | BodyError::TooSlow | BodyError::Broken)
            | Self::Rejected
            | Self::RejectedBare
            | Self::RejectedBasic => None,
        }
    }

    /// What it counts as, and as which it is shown to the owner. A wrong method is no request to the source. What
    /// fails verification is shown as rejected, and why nothing can be stored is the queue's to tell.
    pub(super) fn counted_as(&self) -> RefusalCount {
        let (outcome, shown) = match self {
            Self::Method { .. } => return RefusalCount::shown(RefusedFor::Method),
            Self::Preflight { .. } => return RefusalCount::shown(RefusedFor::Preflight),
            Self::EventByMethod { .. } => return RefusalCount::shown(RefusedFor::EventByMethod),
            Self::Rejected | Self::RejectedBare | Self::RejectedBasic => {
                return RefusalCount::counted(RequestOutcome::Rejected);
            }
            Self::Unavailable { .. } => return RefusalCount::counted(RequestOutcome::Unavailable),
            Self::UnknownSource => (RequestOutcome::UnknownSource, RefusedFor::UnknownSource),
            Self::NotAllowed => (RequestOutcome::NotAllowed, RefusedFor::NotAllowed),
            Self::NotAllowedBehindProxy => {
                (RequestOutcome::NotAllowed, RefusedFor::NotAllowedBehindProxy)
            }
            Self::TooManyUnverified => {
                (RequestOutcome::UnverifiedLimited, RefusedFor::TooManyUnverified)
            }
            Self::Body(BodyError::TooLarge) => (RequestOutcome::TooLarge, RefusedFor::TooLarge),
            Self::Body(BodyError::TooSlow) => (RequestOutcome::Incomplete, RefusedFor::TooSlow),
            Self::Body(BodyError::Broken) => (RequestOutcome::Incomplete, RefusedFor::Broken),
            Self::Body(BodyError::NoRoom) => (RequestOutcome::Unavailable, RefusedFor::NoRoom),
            Self::RateLimited { .. } => (RequestOutcome::RateLimited, RefusedFor::RateLimited),
        };
        RefusalCount { outcome: Some(outcome), shown: Some(shown) }
    }
}

/// What a refused request counts as, and as which it is shown to the owner; `None` = it is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusalCount {
    pub(super) outcome: Option<RequestOutcome>,
    pub(super) shown: Option<RefusedFor>,
}

impl RefusalCount {
    const fn counted(outcome: RequestOutcome) -> Self {
        Self { outcome: Some(outcome), shown: None }
    }

    const fn shown(shown: RefusedFor) -> Self {
        Self { outcome: None, shown: Some(shown) }
    }
}
