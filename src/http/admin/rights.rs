//! Who may change something.

use actix_web::HttpRequest;

use super::error::{AdminError, COPY_ONLY, READ_ONLY};
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
        Caller::Standby => Err(AdminError::Told(Problem::Forbidden, COPY_ONLY)),
        Caller::Anybody => Err(Problem::Unauthorized.into()),
    }
}
