//! Why an owner's request gets no answer.

use crate::api::ApiError;
use crate::http::problem::Problem;

/// Why there is no answer.
pub(super) enum AdminError {
    /// Nothing more is said.
    Bare(Problem),
    /// The answer says why.
    Told(Problem, &'static str),
    /// The owner is told why.
    Api(ApiError),
}

impl From<Problem> for AdminError {
    fn from(problem: Problem) -> Self {
        Self::Bare(problem)
    }
}

impl From<ApiError> for AdminError {
    fn from(err: ApiError) -> Self {
        Self::Api(err)
    }
}

/// What a caller is told that may only look.
pub(super) const READ_ONLY: &str = "this token may look at everything and change nothing";
/// What a standby is told that asks for anything else.
pub(super) const COPY_ONLY: &str = "this token is a standby's: it opens the copy of the queue only";
