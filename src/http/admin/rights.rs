//! Who may change something.

use actix_web::HttpRequest;

use super::error::AdminError;
use super::gate::{Caller, Gate};
use crate::api::Actor;
use crate::http::problem::Problem;

/// Who changes something, where the caller may: the owner, and not by another site's page.
pub(super) fn may_change(
    caller: Caller,
    is_over_socket: bool,
    request: &HttpRequest,
) -> Result<Actor, AdminError> {
    if !is_over_socket {
        Gate::check_origin(request)?;
    }
    match caller {
        Caller::Owner(actor) => Ok(actor),
        Caller::Reader => Err(AdminError::Told(Problem::Forbidden, READ_ONLY)),
        Caller::Anybody => Err(Problem::Unauthorized.into()),
    }
}

/// The answer to a read-only token that wants a change.
const READ_ONLY: &str = "this token may look at everything and change nothing";
