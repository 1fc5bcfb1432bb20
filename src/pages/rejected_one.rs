//! `/rejected/{number}`: what came, and why was it turned down?

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::event_body::{BodySource, ShownBody, json_of, shown_body};
use super::explained::Explained;
use super::fields::Fields;
use super::frame::{Frame, Here};
use super::rejected::of_reason;
use super::widgets::{Ticked, When};
use super::words::Room;
use super::{Answer, Viewer, rendered, words};
use crate::api::{Api, ApiError};

/// Bytes of its explanation, and of its headers.
const EXPLAINED_ROOM: usize = 8 << 10;
const HEADERS_ROOM: usize = 8 << 10;
/// Headers that are shown.
const HEADERS_MAX: usize = 60;

#[derive(Template)]
#[template(path = "rejected_one.html")]
struct RejectedOnePage {
    frame: Frame,
    number: u64,
    reason: Ticked,
    source: String,
    /// Whether that has a page.
    is_source_here: bool,
    /// Where all that were turned down for the same reason are.
    group: String,
    explained: Explained,
    what: String,
    client: String,
    received: When,
    headers: Vec<(String, String)>,
    n_more_headers: usize,
    body: ShownBody,
}

/// The page, or the body as a file. Nothing of either shows a password or a secret of the source.
pub(super) async fn show(
    api: &Api,
    number: u64,
    fields: &Fields,
    viewer: &Viewer,
) -> Result<Answer, ApiError> {
    let request = api.rejected_one(number)?;
    let unreadable = |err: base64::DecodeError| ApiError::Conflict(err.to_string());
    let body = STANDARD.decode(request.body_base64.as_deref().unwrap_or_default());
    let body = body.map_err(unreadable)?;
    if fields.get("body") == Some("file") {
        return Ok(Answer::File { name: format!("rejected-{number}.body"), body: body.into() });
    }
    let status = api.status();
    let mut room = Room::new(EXPLAINED_ROOM);
    let explained = Explained::of(api, number, &mut room).await;
    let mut room = Room::new(HEADERS_ROOM);
    let headers = request.headers.as_deref().unwrap_or_default();
    let shown = headers.iter().take(HEADERS_MAX);
    let shown = shown.map(|(name, value)| (room.shown(name, 60), room.shown(value, 400)));
    let source_of_body = BodySource {
        bytes: &body,
        json: Ok(json_of(&body)),
        content_type: headers.iter().find(|(name, _)| name == "content-type").map(|(_, v)| &**v),
        n_bytes: request.body_bytes,
    };
    let title = format!("Rejected request {number}");
    let json = format!("/api/v1/rejected/{number}");
    rendered(&RejectedOnePage {
        frame: Frame::new(api, &status, fields, viewer, Here::Rejected, title, json),
        number,
        reason: Ticked::sentence(&request.reason, 400),
        group: of_reason(request.source.as_str(), &request.reason),
        is_source_here: status.sources.iter().any(|one| one.name == request.source),
        source: request.source.to_string(),
        explained,
        what: words::shown(&format!("{} {}", request.method, request.path), 600),
        client: request.client.map(|client| client.to_string()).unwrap_or_default(),
        received: When::exact(request.received_at, api.now()),
        headers: shown.collect(),
        n_more_headers: headers.len().saturating_sub(HEADERS_MAX),
        body: shown_body(&source_of_body, fields.get("body").unwrap_or_default()),
    })
    .map(Answer::Html)
}
