//! Pages whose address may be wrong: each says so, and shows nothing that was narrowed by half.

use super::fields::Fields;
use super::{Answer, Viewer, again, config, dead, rejected};
use crate::api::{Api, ApiError};
use crate::event::SourceName;

/// All that an address of `/dead` may say.
const OF_DEAD: [&str; 8] = ["handler", "like", "reason", "since", "until", "id", "after", "done"];
/// The same of `/rejected`, but for a number, and of `/config`.
const OF_REJECTED: [&str; 3] = ["source", "reason", "done"];
const OF_CONFIG: [&str; 1] = ["done"];

/// `/dead`
pub(super) async fn dead(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<Answer, ApiError> {
    let checked = fields.check(&OF_DEAD, &[]);
    let checked = checked.and_then(|()| api.require_handler(fields.get("handler")));
    shown(checked, fields, async |fields| dead::show(api, fields, viewer).await).await
}

/// `/rejected`
pub(super) async fn rejected(
    api: &Api,
    fields: &Fields,
    viewer: &Viewer,
) -> Result<Answer, ApiError> {
    let checked = fields.check(&OF_REJECTED, &["before"]);
    let checked = checked.and_then(|()| require_source(api, fields.get("source")));
    shown(checked, fields, async |fields| rejected::show(api, fields, viewer).await).await
}

/// `/config`
pub(super) async fn config(
    api: &Api,
    fields: &Fields,
    viewer: &Viewer,
) -> Result<Answer, ApiError> {
    let checked = fields.check(&OF_CONFIG, &[]);
    shown(checked, fields, async |fields| config::show(api, fields, viewer)).await
}

/// The page that `show` makes of `fields`; of none of them, beside what was wrong, where an address asks for what
/// there is not: as `checked` says, or as is found out while the page is made.
async fn shown(
    checked: Result<(), ApiError>,
    fields: &Fields,
    show: impl AsyncFn(&Fields) -> Result<String, ApiError>,
) -> Result<Answer, ApiError> {
    let page = match checked {
        Ok(()) => show(fields).await,
        Err(err) => Err(err),
    };
    match page {
        Err(err) if is_asked_wrong(&err) => {
            again(show(&Fields::emptied(err.to_string())).await, err)
        }
        page => page.map(Answer::Html),
    }
}

/// Refuses a source that is not there, unless requests to it are kept from when it was. Another gateway may have
/// one that is not here.
fn require_source(api: &Api, name: Option<&str>) -> Result<(), ApiError> {
    let Some(name) = name else { return Ok(()) };
    let named = SourceName::parse(name).map_err(|err| ApiError::Bad(err.to_string()))?;
    let is_here = api.sources().iter().any(|source| source.name == named);
    if is_here || !api.node_reports().is_empty() {
        return Ok(());
    }
    let kept = api.rejected(rejected::LOOKED_AT_MAX)?;
    if kept.iter().any(|request| request.source == named) {
        return Ok(());
    }
    Err(ApiError::NotFound(format!("there is no source `{named}`")))
}

/// Whether an error is its asker's doing.
fn is_asked_wrong(err: &ApiError) -> bool {
    matches!(err, ApiError::Bad(_) | ApiError::NotFound(_))
}
