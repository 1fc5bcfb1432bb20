//! Lists that are answered page by page: what goes on with one is said in a header.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};

use super::answers::json;
use super::error::AdminError;
use crate::api::{ActionsAsk, Api, DeadAsk, EventsAsk, GroupBy, RejectedAsk};

/// What to go on with: as `before` or `after` of events, `after` of dead letters, `before` of
/// rejected requests and actions. Left out where nothing is behind the page.
pub const NEXT: &str = "gatepost-next";
pub(super) const LOOKED_AT: &str = "gatepost-looked-at";
/// Dead letters of a page, where nothing is said, and at most: some 20 MB.
pub(super) const DEAD_LIMIT: usize = 1_000;
pub(super) const DEAD_LIMIT_MAX: usize = 100_000;

/// Events. Where its time was up before everything was looked at, two headers say how far it came
/// and where to go on.
pub(super) async fn events(ask: EventsAsk, api: &Api) -> Result<HttpResponse, AdminError> {
    let found = api.events(ask).await?;
    let mut response = json(&found.events);
    if let Some(next) = found.next {
        tell(&mut response, NEXT, &next.to_string());
        tell(&mut response, LOOKED_AT, &found.looked_at.to_string());
    }
    Ok(response)
}

/// Dead letters, or their groups.
pub(super) async fn dead(ask: DeadAsk, api: &Api) -> Result<HttpResponse, AdminError> {
    let group = ask.group;
    let mut selection = ask.parse(api).await?;
    if group == Some(GroupBy::Reason) {
        return Ok(json(&api.dead_groups(selection.filter).await?));
    }
    let limit = selection.filter.limit.unwrap_or(DEAD_LIMIT);
    selection.filter.limit = Some(limit.clamp(1, DEAD_LIMIT_MAX));
    let found = api.dead(selection).await?;
    let mut response = json(&found.entries);
    if let Some(next) = found.next {
        tell(&mut response, NEXT, &next);
    }
    Ok(response)
}

pub(super) fn rejected(ask: &RejectedAsk, api: &Api) -> Result<HttpResponse, AdminError> {
    let found = api.rejected_page(ask)?;
    let mut response = json(&found.requests);
    if let Some(next) = found.next {
        tell(&mut response, NEXT, &next.to_string());
    }
    Ok(response)
}

pub(super) fn actions(ask: &ActionsAsk, api: &Api) -> Result<HttpResponse, AdminError> {
    let found = api.actions(ask)?;
    let mut response = json(&found.actions);
    if let Some(next) = found.next {
        tell(&mut response, NEXT, &next.to_string());
    }
    Ok(response)
}

/// Numbers and names of handlers are visible ASCII.
fn tell(response: &mut HttpResponse, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
