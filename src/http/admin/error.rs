//! Why an owner's request gets no answer.

use actix_web::HttpResponse;

use crate::api::ApiError;
use crate::http::problem::Problem;
use crate::ingest::BodyError;

/// Why there is no answer.
pub(super) enum AdminError {
    /// Nothing more is said.
    Bare(Problem),
    /// The answer says why.
    Told(Problem, &'static str),
    /// The owner is told why.
    Api(ApiError),
}

impl AdminError {
    /// The body of a request could not be had.
    pub(super) fn of_body(err: BodyError) -> Self {
        match err {
            BodyError::TooLarge => Self::Told(
                Problem::TooLarge,
                "the body is longer than anything that can be asked for here",
            ),
            BodyError::TooSlow => Self::Told(Problem::Timeout, "the body did not come in time"),
            BodyError::Broken | BodyError::NoRoom => {
                Self::Told(Problem::BadRequest, "the body broke off")
            }
        }
    }
}

/// The answer where nothing more is known than which problem it is: it says what to do.
pub(super) fn explained(problem: Problem) -> HttpResponse {
    match problem {
        Problem::Unauthorized => problem.with_detail(
            "send `Authorization: Bearer TOKEN`, or sign in at /login; the token is in the file \
             that `[admin] token` names",
        ),
        Problem::Forbidden => problem.with_detail(
            "another site's page asked for this: `Origin` or `Sec-Fetch-Site` is not of this address",
        ),
        Problem::NotFound => problem
            .with_detail("nothing is at this address; /api/v1/openapi.json names all that is"),
        Problem::MethodNotAllowed(allow) => {
            problem.with_detail(&format!("this address takes {allow} only"))
        }
        Problem::Misdirected => problem.with_detail(
            "the host that was asked for is none of this gateway's: name it in `[admin] hosts`, or \
             come by the address of the listener",
        ),
        Problem::TooMany(_) => problem.with_detail(TOO_MANY_GUESSES),
        Problem::BadRequest
        | Problem::Timeout
        | Problem::Conflict
        | Problem::TooLarge
        | Problem::UnsupportedMedia
        | Problem::Internal
        | Problem::Unavailable(_) => problem.response(),
    }
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

/// What a client is told that has tried too many wrong tokens.
pub(super) const TOO_MANY_GUESSES: &str =
    "too many wrong tokens came from this address: no token is looked at until they are answered";
/// What a caller is told that may only look.
pub(super) const READ_ONLY: &str = "this token may look at everything and change nothing";
/// What a standby is told that asks for anything else.
pub(super) const COPY_ONLY: &str = "this token is a standby's: it opens the copy of the queue only";
