//! What standbys ask.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use tracing::{error, warn};

use super::context::Admin;
use super::error::{AdminError, READ_ONLY};
use super::gate::Caller;
use crate::api::{ApiError, error_chain};
use crate::http::problem::Problem;
use crate::standby::{Hello, Pull, StandbyError, Standbys, Welcome};

/// Lets in who has a standby's token, or the owner's.
pub(super) fn check_caller(caller: Caller) -> Result<(), AdminError> {
    match caller {
        Caller::Owner(_) | Caller::Standby => Ok(()),
        Caller::Reader => Err(AdminError::Told(Problem::Forbidden, READ_ONLY)),
        Caller::Anybody => Err(Problem::Unauthorized.into()),
    }
}

/// Begins to be followed by a standby.
pub(super) async fn hello(hello: Hello, admin: &Admin) -> Result<Welcome, AdminError> {
    let standbys = Arc::clone(standbys(admin)?);
    // It reads a segment.
    let welcome = web::block(move || standbys.hello(&hello)).await;
    welcome.map_err(|_cancelled| Problem::Internal)?.map_err(explained)
}

/// What comes next for a standby.
pub(super) async fn pull(pull: Pull, admin: &Admin) -> Result<HttpResponse, AdminError> {
    let batch = standbys(admin)?.pull(pull).await.map_err(explained)?;
    Ok(HttpResponse::Ok().content_type("application/octet-stream").body(batch))
}

fn standbys(admin: &Admin) -> Result<&Arc<Standbys>, Problem> {
    admin.standbys.as_ref().ok_or(Problem::NotFound)
}

fn explained(err: StandbyError) -> AdminError {
    let text = error_chain(&err);
    match err {
        StandbyError::Version { .. }
        | StandbyError::OtherGateway { .. }
        | StandbyError::Diverged(_) => {
            warn!(why = text, "A standby is refused");
            ApiError::Conflict(text).into()
        }
        StandbyError::UnknownSession => ApiError::NotFound(text).into(),
        StandbyError::Queue(err) => ApiError::Queue(err).into(),
        StandbyError::Id(_) | StandbyError::Internal(_) => {
            error!(error = text, "A standby is not answered");
            Problem::Internal.into()
        }
    }
}
