//! `/rejected`: why does my provider get 401?

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use tokio::time::Instant;

use super::explained::Explained;
use super::fields::{Fields, address};
use super::frame::{Frame, Here};
use super::rejected_elsewhere::{self, OnOther, RefusedLine};
use super::widgets::{Ticked, When};
use super::words::Room;
use super::{Viewer, rendered, words};
use crate::api::{Api, ApiError, RejectedView, ReleaseAsk, StatusView};
use crate::clock::Timestamp;
use crate::ingest::RefusedRow;

/// Groups that are explained: each takes hundreds of ways to sign.
const GROUPS_MAX: usize = 10;
/// How long is looked for what is wrong, for all groups: strangers can make it a second's work for each.
const EXPLAIN_TIME: Duration = Duration::from_secs(1);
/// Bytes of strangers' text, and of what is said of it.
const ROOM: usize = 24 << 10;
/// Requests of one group that are listed beside others, and of one that was chosen: 30 with nothing but
/// `<` in their paths take 21 KB of the room.
const REQUESTS_MAX: usize = 5;
const ROWS: usize = 30;
/// Requests of one group that are verified again to say what a release would do.
const VERIFIED_MAX: usize = 20;
/// Requests that are looked at.
pub(super) const LOOKED_AT_MAX: usize = 1_000;

#[derive(Template)]
#[template(path = "rejected.html")]
struct RejectedPage {
    frame: Frame,
    heading: String,
    /// How many were looked at, where there are more.
    bound: String,
    is_filtered: bool,
    groups: Vec<Group>,
    n_more: usize,
    refused: Vec<RefusedLine>,
    /// How many of them each gateway has counted, where several share the log.
    refused_shares: Vec<(String, Option<When>)>,
    /// What other gateways told that share the log.
    others: Vec<OnOther>,
    n_more_others: usize,
}

/// Requests to one source that were turned down for one reason.
#[derive(Debug)]
struct Group {
    reason: Ticked,
    source: String,
    /// Its page; nothing where it was taken out of the configuration.
    source_page: Option<String>,
    count: String,
    /// Where all of them are listed.
    address: String,
    first: When,
    last: When,
    /// Both are said alike.
    is_one_moment: bool,
    explained: Explained,
    /// How many of those that were looked at would be stored by now, in words.
    good: String,
    has_good: bool,
    /// The reason as it is compared.
    exact: String,
    /// What is listed, in words.
    listed: String,
    is_chosen: bool,
    requests: Vec<Request>,
    /// Where the list goes on, and where it begins.
    older: Option<String>,
    newest: Option<String>,
}

#[derive(Debug)]
struct Request {
    number: u64,
    at: When,
    client: String,
    what: String,
    size: String,
}

pub(super) async fn show(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    let (status, now) = (api.status(), api.now());
    let (source, reason) = (fields.get("source"), fields.get("reason"));
    let mut requests = api.rejected(LOOKED_AT_MAX)?;
    requests.retain(|request| {
        source.is_none_or(|source| request.source.as_str() == source)
            && reason.is_none_or(|reason| exact(&request.reason) == reason)
    });
    let heading = match requests.len() {
        0 => "No rejected requests".to_owned(),
        n => words::counted(n as u64, "rejected request", "rejected requests"),
    };
    // Those of the other gateways are listed below, with theirs.
    let heading = match &status.cluster {
        Some(cluster) => format!("{heading} on gateway {}", cluster.node),
        None => heading,
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
    let until = Instant::now() + EXPLAIN_TIME;
    let mut room = Room::new(ROOM);
    for ((source, reason), requests) in all.into_iter().take(GROUPS_MAX) {
        let is_here = status.sources.iter().any(|one| one.name.as_str() == source);
        let asked = (fields, until);
        groups.push(group(api, (source, is_here), (&reason, &requests), asked, &mut room).await?);
    }
    let refused = refused_lines(&status, source, now);
    // The API knows the reason as it is, the page's address as it can be shown.
    let meant =
        reason.map(|named| reason_of(api, source, named).unwrap_or_else(|_| named.to_owned()));
    let said = [("source", source), ("reason", meant.as_deref()), ("before", fields.get("before"))];
    let said = said.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let json = address("/api/v1/rejected", said);
    let frame = Frame::new(api, &status, fields, viewer, Here::Rejected, heading.as_str(), json);
    let (others, n_more_others) =
        rejected_elsewhere::of_others(api, (source, meant.as_deref()), now);
    rendered(&RejectedPage {
        frame,
        heading,
        bound: bound(api.n_rejected()),
        refused_shares: rejected_elsewhere::refused_shares(&status, now),
        is_filtered: source.is_some() || reason.is_some(),
        groups,
        n_more,
        refused,
        others,
        n_more_others,
    })
}

/// What was refused before a signature was looked at, of one source where that is named.
fn refused_lines(status: &StatusView, source: Option<&str>, now: Timestamp) -> Vec<RefusedLine> {
    let is_meant = |row: &&RefusedRow| {
        source.is_none_or(|source| row.source.as_ref().is_some_and(|one| one.as_str() == source))
    };
    let line = |row: &RefusedRow| RefusedLine {
        status: row.status.map(|status| status.to_string()).unwrap_or_default(),
        path: row.path.as_deref().map(|path| words::shown(path, 100)).unwrap_or_default(),
        reason: Ticked::new(&row.reason, 300),
        count: words::count(row.count),
        last: When::ago(row.last_at, now),
    };
    status.refused.iter().filter(is_meant).take(24).map(line).collect()
}

/// What is not looked at.
fn bound(n_kept: usize) -> String {
    if n_kept <= LOOKED_AT_MAX {
        return String::new();
    }
    let count = |number: usize| words::count(number as u64);
    format!(
        "Of {} that are kept the newest {} are counted here.",
        count(n_kept),
        count(LOOKED_AT_MAX)
    )
}

/// A reason as it stands in addresses and forms.
fn exact(reason: &str) -> String {
    words::shown(reason, 300)
}

/// Releases a group, which a form names as it stands there.
pub(super) async fn release_all(api: &Api, fields: &Fields) -> Result<String, ApiError> {
    let (source, named) = (fields.text("source"), fields.get("reason"));
    let reason = named.map(|named| reason_of(api, source.as_deref(), named)).transpose()?;
    api.release_all(ReleaseAsk { source, reason, ..ReleaseAsk::default() }).await?;
    Ok("/rejected".to_owned())
}

/// The reason that stands in a form as `named`.
fn reason_of(api: &Api, source: Option<&str>, named: &str) -> Result<String, ApiError> {
    let is_meant = |request: &RejectedView| {
        source.is_none_or(|source| request.source.as_str() == source)
            && exact(&request.reason) == named
    };
    let meant = api.rejected(LOOKED_AT_MAX)?.into_iter().find(is_meant);
    let gone = || ApiError::NotFound("no request is kept that was turned down for it".into());
    meant.map(|request| request.reason).ok_or_else(gone)
}

/// Where the requests to a source that were turned down for a reason are listed.
pub(super) fn of_reason(source: &str, reason: &str) -> String {
    address("/rejected", [("source", source), ("reason", exact(reason).as_str())])
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
    (source, is_here): (String, bool),
    (reason, requests): (&str, &[RejectedView]),
    (fields, until): (&Fields, Instant),
    room: &mut Room,
) -> Result<Group, ApiError> {
    let now = api.now();
    let numbers: Vec<u64> = requests.iter().map(|request| request.number).collect();
    let left = until.saturating_duration_since(Instant::now());
    let explained = Explained::of_group(api, &numbers, left, room).await;
    let (n_good, n_looked_at) = api.good_by_now(&numbers, VERIFIED_MAX)?;
    let moments = || requests.iter().map(|request| request.received_at);
    let first = When::ago(moments().min().unwrap_or(now), now);
    let last = When::ago(moments().max().unwrap_or(now), now);
    let page = ListedRequests::new(requests, fields, &source, reason);
    Ok(Group {
        reason: Ticked::within(&words::capital(reason.to_owned()), 160, room),
        address: of_reason(&source, reason),
        source_page: is_here.then(|| format!("/sources/{source}")),
        source,
        count: words::counted(requests.len() as u64, "request", "requests"),
        is_one_moment: first.is_said_as(&last),
        first,
        last,
        explained,
        good: good(n_good, n_looked_at, numbers.len()),
        has_good: n_good > 0,
        exact: exact(reason),
        listed: listed(&page, requests.len()),
        is_chosen: page.is_chosen,
        requests: page.requests.iter().map(|request| row(request, now, room)).collect(),
        older: page.older,
        newest: page.newest,
    })
}

/// What is listed of a group, in words.
fn listed(page: &ListedRequests<'_>, n_all: usize) -> String {
    let n_shown = page.requests.len();
    if page.is_chosen {
        "Requests, newest first".to_owned()
    } else if n_shown < n_all {
        format!("The newest {n_shown} of {} requests", words::count(n_all as u64))
    } else if n_all == 1 {
        "The request".to_owned()
    } else {
        format!("The {n_all} requests, newest first")
    }
}

/// The part of a group that is listed.
struct ListedRequests<'a> {
    is_chosen: bool,
    requests: &'a [RejectedView],
    older: Option<String>,
    newest: Option<String>,
}

impl<'a> ListedRequests<'a> {
    /// A few of each group; of the one that `fields` name a page, from `before` on.
    fn new(requests: &'a [RejectedView], fields: &Fields, source: &str, reason: &str) -> Self {
        let is_chosen = fields.get("source") == Some(source)
            && fields.get("reason") == Some(exact(reason).as_str());
        if !is_chosen {
            let requests = requests.get(..REQUESTS_MAX).unwrap_or(requests);
            return Self { is_chosen, requests, older: None, newest: None };
        }
        let before = fields.number("before");
        let from = before.map_or(0, |before| requests.partition_point(|one| one.number >= before));
        let rest = requests.get(from..).unwrap_or_default();
        let shown = rest.get(..ROWS).unwrap_or(rest);
        let list = of_reason(source, reason);
        let oldest = shown.last().filter(|_| rest.len() > shown.len());
        Self {
            is_chosen,
            requests: shown,
            older: oldest.map(|one| format!("{list}&before={}", one.number)),
            newest: before.map(|_| list),
        }
    }
}

fn row(request: &RejectedView, now: Timestamp, room: &mut Room) -> Request {
    Request {
        number: request.number,
        at: When::ago(request.received_at, now),
        client: request.client.map(|client| client.to_string()).unwrap_or_default(),
        what: room.shown(&format!("{} {}", request.method, request.path), 120),
        size: words::bytes(request.body_bytes as u64),
    }
}
