//! Rows that a person ticked.

use super::fields::Fields;
use crate::api::{Api, ApiError};
use crate::event::{EventId, HandlerName};

/// The most that one form may name: more than stand on a page.
const PICKS_MAX: usize = 100;

/// Whether the form is about what was ticked, and not about all that a filter finds. It says so itself: with
/// nothing ticked it must not become "all".
pub(super) fn is_meant(fields: &Fields) -> bool {
    fields.get("picked").is_some()
}

/// Makes the dead letters due again that were ticked.
pub(super) async fn redrive(api: &Api, fields: &Fields) -> Result<(), ApiError> {
    let letters = picks(fields)?.into_iter().map(|pick| {
        let (id, handler) = pick.split_once('/').ok_or_else(|| unknown(pick))?;
        Ok((parsed_id(id)?, self::handler(handler)?))
    });
    let letters = letters.collect::<Result<Vec<_>, ApiError>>()?;
    api.redrive_picked(&letters).await.map(drop)
}

/// Delivers again the events that were ticked.
pub(super) async fn replay(api: &Api, fields: &Fields) -> Result<(), ApiError> {
    let ids = picks(fields)?.into_iter().map(parsed_id).collect::<Result<Vec<_>, _>>()?;
    let to = fields.get("to").map(handler).transpose()?;
    api.replay_picked(&ids, to.as_ref()).await.map(drop)
}

fn picks(fields: &Fields) -> Result<Vec<&str>, ApiError> {
    let picks: Vec<&str> = fields.all("pick").collect();
    match picks.len() {
        0 => Err(ApiError::Bad("nothing is ticked: tick the rows that are meant".to_owned())),
        1..=PICKS_MAX => Ok(picks),
        _ => Err(ApiError::Bad(format!("at most {PICKS_MAX} rows at once"))),
    }
}

fn parsed_id(text: &str) -> Result<EventId, ApiError> {
    text.parse().map_err(|_err| unknown(text))
}

fn handler(name: &str) -> Result<HandlerName, ApiError> {
    HandlerName::parse(name).map_err(|err| ApiError::Bad(err.to_string()))
}

fn unknown(pick: &str) -> ApiError {
    ApiError::Bad(format!("`{pick}` names no row"))
}
