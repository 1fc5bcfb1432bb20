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
