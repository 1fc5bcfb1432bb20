//! `/rejected`: why does my provider get 401?

use std::borrow::Cow;
use std::collections::BTreeMap;

use askama::Template;

use super::fields::Fields;
use super::frame::{Frame, Here};
use super::widgets::{Ticked, When};
use super::words::Room;
use super::{Viewer, rendered, words};
use crate::api::{Api, ApiError, RejectedView};

/// Groups that are explained: each takes hundreds of ways to sign.
const GROUPS_MAX: usize = 10;
/// Bytes of strangers' text, and of what is said of it.
const ROOM: usize = 24 << 10;
/// Requests of one group that are listed.
const REQUESTS_MAX: usize = 5;
/// Requests of one group that are verified again to say what a release would do.
const VERIFIED_MAX: usize = 20;
/// Requests that are looked at.
const LOOKED_AT_MAX: usize = 1_000;

#[derive(Template)]
#[template(path = "rejected.html")]
struct RejectedPage {
    frame: Frame,
    heading: String,
    groups: Vec<Group>,
    n_more: usize,
    refused: Vec<RefusedLine>,
}

/// Requests to one source that were turned down for one reason.
#[derive(Debug)]
struct Group {
    reason: String,
    source: String,
    count: String,
    first: When,
    last: When,
    /// Both are said alike.
    is_one_moment: bool,
    /// What was found to be wrong.
    line: Option<Ticked>,
    hint: String,
    /// How many of those that were looked at would be stored by now, in words.
    good: String,
    has_good: bool,
    /// The reason as it is compared.
    exact: String,
    requests: Vec<Request>,
}

#[derive(Debug)]
struct Request {
    number: u64,
    at: When,
    client: String,
    what: String,
    size: String,
}

/// What was refused before its signature was looked at.
#[derive(Debug)]
struct RefusedLine {
    status: String,
    path: String,
    reason: Cow<'static, str>,
    count: String,
    last: When,
}

/// The page.
pub(super) async fn show(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    let (status, now) = (api.status(), api.now());
    let source = fields.get("source");
    let mut requests = api.rejected(LOOKED_AT_MAX)?;
    requests.retain(|request| source.is_none_or(|source| request.source.as_str() == source));
    let heading = match requests.len() {
        0 => "No request was turned down".to_owned(),
        n => format!("{} turned down", words::counted(n as u64, "request was", "requests were")),
    };
    let mut by_reason: BTreeMap<(String, String), Vec<RejectedView>> = BTreeMap::new();
    for request in requests {
        let key = (request.source.to_string(), request.reason.clone());
        by_reason.entry(key).or_default().push(request);
    }
    let mut all: Vec<_> = by_reason.into_iter().collect();
    all.sort_by_key(|(_, requests)| std::cmp::Reverse(requests.first().map(|one| one.number)));
    let n_more = all.len().saturating_sub(GROUPS_MAX);
    let mut groups = Vec::new();
    let mut room = Room::new(ROOM);
    for ((source, reason), requests) in all.into_iter().take(GROUPS_MAX) {
        groups.push(group(api, source, &reason, &requests, &mut room).await?);
    }
    let refused = status.refused.iter().take(24).map(|row| RefusedLine {
        status: row.status.map(|status| status.to_string()).unwrap_or_default(),
        path: row.path.as_deref().map(|path| words::shown(path, 100)).unwrap_or_default(),
        reason: row.reason.clone(),
        count: words::count(row.count),
        last: When::ago(row.last_at, now),
    });
    let refused = refused.collect();
    let json = "/api/v1/rejected";
    let frame = Frame::new(api, &status, fields, viewer, Here::Rejected, heading.as_str(), json);
    rendered(&RejectedPage { frame, heading, groups, n_more, refused })
}

/// What a release of the whole group would do.
fn good(n_good: usize, n_looked_at: usize, n_all: usize) -> String {
    let of = match (n_looked_at, n_all) {
        (1, 1) => return if n_good == 1 { "It would be good now." } else { NONE_GOOD }.to_owned(),
        (looked_at, all) if looked_at < all => format!("the newest {looked_at} of {all}"),
        (_, all) => format!("these {all}"),
    };
    match n_good {
        0 => NONE_GOOD.to_owned(),
        n_good => format!("{n_good} of {of} would be good now."),
    }
}

/// Where nothing was mended yet.
const NONE_GOOD: &str = "None would be good now: mend the cause first, then release them.";

async fn group(
    api: &Api,
    source: String,
    reason: &str,
    requests: &[RejectedView],
    room: &mut Room,
) -> Result<Group, ApiError> {
    let now = api.now();
    let explained = match requests.first() {
        // One that was released meanwhile has no explanation.
        Some(newest) => api.explain(newest.number).await.ok(),
        None => None,
    };
    let explained = explained.map(|view| serde_json::to_value(&view).unwrap_or_default());
    let mut text = |key: &str| {
        let text = explained.as_ref().and_then(|view| view.get(key)?.as_str());
        text.map(|text| room.shown(text, 600)).unwrap_or_default()
    };
    let (line, hint) = (text("line"), text("config_hint"));
    let numbers: Vec<u64> = requests.iter().map(|request| request.number).collect();
    let (n_good, n_looked_at) = api.good_by_now(&numbers, VERIFIED_MAX)?;
    let moments = || requests.iter().map(|request| request.received_at);
    let first = When::ago(moments().min().unwrap_or(now), now);
    let last = When::ago(moments().max().unwrap_or(now), now);
    Ok(Group {
        reason: room.shown(reason, 160),
        source,
        count: words::counted(requests.len() as u64, "request", "requests"),
        is_one_moment: first.is_said_as(&last),
        first,
        last,
        line: (!line.is_empty()).then(|| Ticked::new(&line, 600)),
        hint,
        good: good(n_good, n_looked_at, numbers.len()),
        has_good: n_good > 0,
        exact: words::shown(reason, 300),
        requests: requests
            .iter()
            .take(REQUESTS_MAX)
            .map(|request| Request {
                number: request.number,
                at: When::ago(request.received_at, now),
                client: request.client.map(|client| client.to_string()).unwrap_or_default(),
                what: room.shown(&format!("{} {}", request.method, request.path), 120),
                size: words::bytes(request.body_bytes as u64),
            })
            .collect(),
    })
}
