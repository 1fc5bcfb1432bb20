//! Why a request to a source gets no 200, and what it is told and counted as.

use actix_http::Request as HttpRequest;

use super::{BodyError, Public, RETRY};
use crate::http::problem::Problem;
use crate::ingest::{Refused, RefusedFor};
use crate::metrics::RequestOutcome;

/// Why a request to a source gets no 200.
#[derive(Clone, Copy, Debug)]
pub(super) enum HookError {
    Method,
    NotAllowed,
    TooLarge,
    TooSlow,
    Broken,
    /// Too many bodies that nobody has verified are held.
    Crowded,
    TooManyUnverified,
    Refused(Refused),
}

impl From<BodyError> for HookError {
    fn from(err: BodyError) -> Self {
        match err {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::TooSlow => Self::TooSlow,
            BodyError::Broken => Self::Broken,
            BodyError::NoRoom => Self::Crowded,
        }
    }
}

impl HookError {
    /// What it counts as; a wrong method is no request to the source.
    pub(super) fn outcome(self) -> Option<RequestOutcome> {
        match self {
            Self::Method => None,
            Self::NotAllowed => Some(RequestOutcome::NotAllowed),
            Self::TooLarge => Some(RequestOutcome::TooLarge),
            Self::TooSlow | Self::Broken => Some(RequestOutcome::Incomplete),
            Self::TooManyUnverified => Some(RequestOutcome::UnverifiedLimited),
            Self::Refused(Refused::Rejected) => Some(RequestOutcome::Rejected),
            Self::Refused(Refused::RateLimited { .. }) => Some(RequestOutcome::RateLimited),
            Self::Crowded | Self::Refused(Refused::Unavailable { .. }) => {
                Some(RequestOutcome::Unavailable)
            }
        }
    }

    /// As which it is shown to the owner; what fails verification is kept as rejected instead.
    pub(super) fn refused_for(self, request: &HttpRequest, public: &Public) -> Option<RefusedFor> {
        match self {
            Self::Method => Some(RefusedFor::Method),
            Self::NotAllowed if public.is_behind_unnamed_proxy(request) => {
                Some(RefusedFor::NotAllowedBehindProxy)
            }
            Self::NotAllowed => Some(RefusedFor::NotAllowed),
            Self::TooLarge => Some(RefusedFor::TooLarge),
            Self::Crowded => Some(RefusedFor::NoRoom),
            Self::TooSlow | Self::Broken | Self::TooManyUnverified | Self::Refused(_) => None,
        }
    }

    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Method => Problem::MethodNotAllowed("POST"),
            Self::NotAllowed | Self::Refused(Refused::Rejected) => Problem::Unauthorized,
            Self::TooLarge => Problem::TooLarge,
            Self::TooSlow => Problem::Timeout,
            Self::Broken => Problem::BadRequest,
            Self::TooManyUnverified => Problem::TooMany(RETRY),
            Self::Crowded => Problem::Unavailable(RETRY),
            Self::Refused(Refused::RateLimited { retry_after }) => Problem::TooMany(retry_after),
            Self::Refused(Refused::Unavailable { retry_after }) => {
                Problem::Unavailable(retry_after)
            }
        }
    }
}
