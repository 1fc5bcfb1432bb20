//! `/sources`: who sends, where to, and whether it still does.

use std::borrow::Cow;
use std::time::Duration;

use askama::Template;

use super::fields::{Fields, address};
use super::frame::{Frame, Here};
use super::handlers::Settings;
use super::paged::{self, Rest};
use super::verdict::trouble_sign;
use super::widgets::{Bars, Linked, Plain, Sign, Ticked, When};
use super::{Viewer, events, rejected, rendered, words};
use crate::api::{
    Api, ApiError, GatewayCounts, RatesView, ReportedSource, SecretView, SourceDetail, SourceView,
    StatusView,
};
use crate::clock::Timestamp;
use crate::event::SourceName;

/// A source in a table.
#[derive(Debug)]
pub(super) struct SourceRow {
    pub(super) name: String,
    pub(super) provider: String,
    /// What is wrong with it: a sign, its colour and a word.
    pub(super) trouble: Option<(Sign, &'static str, &'static str)>,
    pub(super) accepted: Linked,
    pub(super) duplicate: Plain,
    pub(super) handshakes: Linked,
    pub(super) rejected: Linked,
    pub(super) turned_away: Linked,
    /// When its newest event came, as far as that is known.
    pub(super) last: Option<When>,
    pub(super) chart: Bars,
    pub(super) address: String,
}

/// Those in trouble first.
pub(super) fn in_order(status: &StatusView, now: Timestamp) -> Vec<&SourceView> {
    let mut sources: Vec<&SourceView> = status.sources.iter().collect();
    sources.sort_by_key(|source| source.trouble(now).is_none());
    sources
}

pub(super) fn rows(
    status: &StatusView,
    rates: &RatesView,
    now: Timestamp,
    sources: &[&SourceView],
) -> Vec<SourceRow> {
    let since = counted_since(status);
    sources.iter().map(|source| row(source, rates, since, now)).collect()
}

/// Since when events are counted; nothing = of several gateways, each since its own start.
fn counted_since(status: &StatusView) -> Option<Timestamp> {
    status.started_at.filter(|_| status.cluster.is_none())
}

fn row(
    source: &SourceView,
    rates: &RatesView,
    since: Option<Timestamp>,
    now: Timestamp,
) -> SourceRow {
    let name = source.name.to_string();
    let since = since.map(|at| at.to_string());
    let since = since.as_deref().map(|at| ("since", at));
    let rates = rates.sources.iter().find(|one| one.source == source.name);
    let none = Vec::new();
    let (good, bad) =
        rates.map_or((&none, &none), |one| (&one.accepted.minutes, &one.rejected.minutes));
    let n_events: u64 = good.iter().copied().map(u64::from).sum();
    let label = format!("{} in the last hour", words::counted(n_events, "event", "events"));
    SourceRow {
        provider: source.provider.clone(),
        trouble: trouble_sign(source, now),
        accepted: Linked::new(
            source.accepted,
            address("/events", [("source", name.as_str())].into_iter().chain(since)),
        ),
        duplicate: Plain(source.duplicate),
        handshakes: Linked::new(
            source.handshakes,
            address("/rejected", [("source", name.as_str())]),
        ),
        rejected: Linked::new(source.rejected, address("/rejected", [("source", name.as_str())])),
        turned_away: Linked::new(source.turned_away, "/rejected#refused".to_owned()),
        last: source.last_event_at.map(|at| When::ago(at, now)),
        chart: Bars::small(good, bad, label),
        address: source.url_shown(),
        name,
    }
}

/// What is shorter is no silence.
const SILENCE_MIN: Duration = Duration::from_mins(10);
/// For how long an old secret must not have matched.
const SAFE_AFTER: Duration = Duration::from_hours(7 * 24);

/// Handlers that are named behind a type.
const TAKERS_MAX: usize = 6;
/// Gateways whose shares are shown.
const GATEWAYS_MAX: usize = 10;
/// Sources of a page: each with its chart takes up to 2 KB.
const ROWS_MAX: usize = 24;

#[derive(Template)]
#[template(path = "sources.html")]
struct SourcesPage {
    frame: Frame,
    sources: Vec<SourceRow>,
    rest: Option<Rest>,
}

pub(super) fn list(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    let (status, now) = (api.status(), api.now());
    let rates = api.rates().unwrap_or_default();
    let all = in_order(&status, now);
    let of_list = ("/sources", fields);
    let (shown, rest) = paged::page((&all, |one| one.name.as_str()), of_list, ROWS_MAX);
    let sources = rows(&status, &rates, now, shown);
    let json = "/api/v1/sources";
    let frame = Frame::new(api, &status, fields, viewer, Here::Sources, "Sources", json);
    rendered(&SourcesPage { frame, sources, rest })
}

#[derive(Template)]
#[template(path = "source.html")]
struct SourcePage {
    frame: Frame,
    source: SourceRow,
    /// Its address on this machine, where the one that the provider reaches is not known.
    local: Option<String>,
    /// Whether anything of what comes is checked.
    is_verified: bool,
    secrets: Vec<SecretRow>,
    last: Option<When>,
    /// Since when all that it sends is rejected, and how many requests that were.
    rejects: Option<(When, String)>,
    /// How it compares with what is expected or usual, and whether that is long.
    silence: (Ticked, bool),
    types: Vec<TypeRow>,
    /// This gateway, where several share the log: what it keeps is counted by reason, and leads to what it lists.
    here: Option<String>,
    /// Its rejected requests by reason.
    rejections: Vec<(Ticked, Linked)>,
    /// Of how many of the newest events the types were counted.
    n_looked_at: String,
    samples: Vec<Cow<'static, str>>,
    /// The one that is offered first.
    sample: Cow<'static, str>,
    setup: Vec<Ticked>,
    keys: Vec<(String, String)>,
    /// What its table leaves out.
    defaults: Vec<(String, String)>,
    /// What each gateway has counted of it, where several share the log.
    shares: Vec<ShareRow>,
}

/// What one gateway has counted of a source.
#[derive(Debug)]
struct ShareRow {
    gateway: String,
    /// As of when, where it is another one; nothing = now.
    at: Option<When>,
    counts: [Plain; 5],
}

/// A secret: never its value.
#[derive(Debug)]
struct SecretRow {
    place: Ticked,
    fingerprint: String,
    last: Option<When>,
    /// What follows from when it was last matched.
    advice: &'static str,
}

/// A type that came.
#[derive(Debug)]
struct TypeRow {
    event_type: String,
    count: Linked,
    /// Who asks for it, and how many more do.
    handlers: Vec<String>,
    n_more: usize,
}

pub(super) async fn show(
    api: &Api,
    name: &SourceName,
    fields: &Fields,
    viewer: &Viewer,
) -> Result<String, ApiError> {
    let (status, now) = (api.status(), api.now());
    let view = status.sources.iter().find(|source| source.name == *name);
    let view = view.ok_or_else(|| ApiError::NotFound(format!("there is no source `{name}`")))?;
    let rates = api.rates().unwrap_or_default();
    let config = api.config()?;
    let detail = api.source_detail(view.clone()).await?;
    let types = detail.types.iter().map(|row| TypeRow {
        event_type: words::shown(row.seen.event_type.as_str(), 80),
        count: Linked::new(
            row.seen.count,
            events::of_type(name.as_str(), row.seen.event_type.as_str()),
        ),
        n_more: row.handlers.len().saturating_sub(TAKERS_MAX),
        handlers: row.handlers.iter().take(TAKERS_MAX).map(ToString::to_string).collect(),
    });
    let rejections = detail.rejections.iter().map(|row| {
        let list = rejected::of_reason(name.as_str(), &row.reason);
        (Ticked::new(&row.reason, 160), Linked::new(row.count, list))
    });
    let secrets = view.secrets.iter().map(|secret| SecretRow {
        place: Ticked::new(&secret.place, 120),
        fingerprint: secret.fingerprint.clone().unwrap_or_default(),
        last: secret.last_matched_at.map(|at| When::ago(at, now)),
        // Another gateway may have seen it used: one that has not told since its start may, too.
        advice: advice(secret, view, now.since(status.all_count_since().unwrap_or(now))),
    });
    let Settings { keys, defaults } = Settings::of(&config, &format!("source.{name}."));
    let title = format!("{name} · Sources");
    let json = format!("/api/v1/sources/{name}");
    rendered(&SourcePage {
        frame: Frame::new(api, &status, fields, viewer, Here::Sources, title, json),
        source: row(view, &rates, counted_since(&status), now),
        local: view.url.is_none().then(|| format!("{}{}", config.around.address, view.path)),
        is_verified: view.is_verified,
        secrets: secrets.collect(),
        rejects: rejects(view, now),
        last: detail.newest_at.map(|at| When::ago(at, now)),
        silence: silence(&detail, now),
        types: types.collect(),
        n_looked_at: words::newest(detail.looked_at),
        here: status.cluster.as_ref().map(|cluster| cluster.node.to_string()),
        rejections: rejections.collect(),
        samples: view.sample_types.clone(),
        sample: view.sample_type.clone().unwrap_or_default(),
        setup: setup(view),
        keys,
        defaults,
        shares: shares(&status, name, now),
    })
}

fn shares(status: &StatusView, name: &SourceName, now: Timestamp) -> Vec<ShareRow> {
    let row = |of: &GatewayCounts| {
        let counts = of.sources.iter().find(|source| source.name == *name)?;
        let ReportedSource { accepted, duplicate, handshakes, rejected, turned_away, .. } = counts;
        Some(ShareRow {
            gateway: of.node.to_string(),
            at: of.at.filter(|_| !of.is_here).map(|at| When::ago(at, now)),
            counts: [accepted, duplicate, handshakes, rejected, turned_away].map(|one| Plain(*one)),
        })
    };
    status.gateways.iter().take(GATEWAYS_MAX).filter_map(row).collect()
}

/// Since when nothing gets in, and how many requests were rejected.
fn rejects(view: &SourceView, now: Timestamp) -> Option<(When, String)> {
    let since = view.rejected_since.filter(|_| view.rejects_all(now))?;
    let count = words::counted(view.rejected_in_a_row, "request was", "requests were");
    Some((When::clock(since, now), count))
}

/// Whether it is silent for longer than its owner expects, or than it was among its newest events.
fn silence(detail: &SourceDetail, now: Timestamp) -> (Ticked, bool) {
    let expected = detail.source.expect_every_seconds.map(|_| detail.source.expected());
    let since = detail.source.silent_since(detail.newest_at.max(detail.source.last_event_at), now);
    if let (Some(expected), Some(since)) = (&expected, since) {
        let silent = words::between(since, now);
        return (Ticked::of(&format!("Silent for {silent}: {expected}.")), true);
    }
    let (text, is_long) = unusual_silence(detail, now);
    match expected {
        Some(expected) => (Ticked::of(&format!("In time: {expected}.")), false),
        None => (Ticked::of(&text), is_long),
    }
}

fn unusual_silence(detail: &SourceDetail, now: Timestamp) -> (String, bool) {
    let (Some(newest_at), Some(longest)) = (detail.newest_at, detail.longest_silence_seconds)
    else {
        return (String::new(), false);
    };
    let silent = now.since(newest_at).as_secs();
    let longest_said = words::span(Duration::from_secs(longest));
    let n_events = words::count(detail.looked_at);
    // What comes every second is not missed after two.
    let is_long = silent > longest.saturating_mul(2).max(SILENCE_MIN.as_secs());
    let text = if is_long {
        format!(
            "Silent for longer than usual: {longest_said} at most between its newest {n_events}."
        )
    } else if longest == 0 {
        String::new()
    } else {
        format!("Up to {longest_said} between its newest {n_events} events.")
    };
    (text, is_long)
}

/// An old secret is safe to remove once others match and it does not, for long enough that a sender which still
/// signs with it would have come.
fn advice(secret: &SecretView, source: &SourceView, up: Duration) -> &'static str {
    let is_used = |one: &SecretView| one.last_matched_at.is_some();
    let others = source.secrets.iter().filter(|one| one.index != secret.index);
    if is_used(secret) || others.filter(|one| is_used(one)).count() == 0 {
        ""
    } else if up >= SAFE_AFTER {
        "unused for a week while another matches: safe to remove"
    } else {
        "unused so far while another matches"
    }
}

/// The steps in the provider's console, with this source's address and the place of its secret.
fn setup(view: &SourceView) -> Vec<Ticked> {
    let url = view.url_shown();
    let secret = view.secrets.first().map(|secret| secret.place.as_str()).unwrap_or_default();
    let secret = if secret.is_empty() { String::new() } else { format!("the {secret}") };
    let filled = |step: &str| step.replace("{url}", &url).replace("{secret}", &secret);
    view.setup.iter().map(|step| Ticked::new(&filled(step), 400)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn old_secret_is_safe_to_remove_after_a_week_in_which_another_one_matched() {
        let source = |matched: [bool; 2]| -> SourceView {
            let secret = |index: usize| {
                let at = matched[index].then_some("2026-11-28T10:00:00Z");
                json!({ "index": index, "place": "a file", "fingerprint": null, "last_matched_at": at })
            };
            serde_json::from_value(json!({
                "name": "hyvor", "provider": "hyvor-talk", "path": "/hooks/hyvor",
                "sample_type": null, "sample_types": [], "setup": [], "accepted": 0,
                "duplicate": 0, "rejected": 0, "turned_away": 0, "secrets": [secret(0), secret(1)],
            }))
            .unwrap()
        };
        let day = Duration::from_hours(24);
        for (matched, up, expected) in [
            ([true, false], 6 * day, "unused so far while another matches"),
            ([true, false], 7 * day, "unused for a week while another matches: safe to remove"),
            ([true, true], 7 * day, ""),
            ([false, false], 7 * day, ""),
        ] {
            let source = source(matched);
            assert_eq!(advice(&source.secrets[1], &source, up), expected, "{matched:?} {up:?}");
        }
    }
}
