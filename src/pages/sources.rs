//! `/sources`: who sends, where to, and whether it still does.

use std::collections::BTreeMap;

use std::borrow::Cow;
use std::time::Duration;

use askama::Template;

use super::fields::{Fields, address};
use super::frame::{Frame, Here};
use super::widgets::{Bars, Linked, When};
use super::{Viewer, rendered, words};
use crate::api::{Api, ApiError, EventsAsk, RatesView, SecretView, SourceView, StatusView};
use crate::event::SourceName;

/// A source in a table.
#[derive(Debug)]
pub(super) struct SourceRow {
    pub(super) name: String,
    pub(super) provider: String,
    pub(super) accepted: Linked,
    pub(super) duplicate: u64,
    pub(super) rejected: Linked,
    pub(super) turned_away: u64,
    pub(super) chart: Bars,
    pub(super) address: String,
}

/// All sources.
pub(super) fn rows(status: &StatusView, rates: &RatesView, rows_max: usize) -> Vec<SourceRow> {
    status.sources.iter().take(rows_max).map(|source| row(source, rates, "")).collect()
}

fn row(source: &SourceView, rates: &RatesView, base: &str) -> SourceRow {
    let name = source.name.to_string();
    let rates = rates.sources.iter().find(|one| one.source == source.name);
    let none = Vec::new();
    let (good, bad) =
        rates.map_or((&none, &none), |one| (&one.accepted.minutes, &one.rejected.minutes));
    let n_events: u64 = good.iter().copied().map(u64::from).sum();
    let label = format!("{} in the last hour", words::counted(n_events, "event", "events"));
    SourceRow {
        provider: source.provider.clone(),
        accepted: Linked::new(source.accepted, address("/events", [("source", name.as_str())])),
        duplicate: source.duplicate,
        rejected: Linked::new(source.rejected, address("/rejected", [("source", name.as_str())])),
        turned_away: source.turned_away,
        chart: Bars::small(good, bad, label),
        address: format!("{base}{}", source.path),
        name,
    }
}

/// For how long an old secret must not have matched.
const SAFE_AFTER: Duration = Duration::from_hours(7 * 24);

/// Sources of a page: each with its chart takes up to 2 KB.
const ROWS_MAX: usize = 24;

#[derive(Template)]
#[template(path = "sources.html")]
struct SourcesPage {
    frame: Frame,
    sources: Vec<SourceRow>,
}

/// All sources.
pub(super) fn list(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    let status = api.status();
    let rates = api.rates().unwrap_or_default();
    let base = api.surroundings().map(|around| around.address).unwrap_or_default();
    let sources = status.sources.iter().take(ROWS_MAX);
    let sources = sources.map(|source| row(source, &rates, &base)).collect();
    let json = "/api/v1/status";
    let frame = Frame::new(api, &status, fields, viewer, Here::Sources, "Sources", json);
    rendered(&SourcesPage { frame, sources })
}

#[derive(Template)]
#[template(path = "source.html")]
struct SourcePage {
    frame: Frame,
    source: SourceRow,
    secrets: Vec<SecretRow>,
    last: Option<When>,
    types: Vec<TypeRow>,
    /// Of how many of the newest events the types were counted.
    n_looked_at: String,
    samples: Vec<Cow<'static, str>>,
    setup: Vec<String>,
    keys: Vec<(String, String)>,
}

/// A secret: never its value.
#[derive(Debug)]
struct SecretRow {
    place: String,
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
}

/// One source.
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
    let around = api.surroundings()?;
    let ask =
        EventsAsk { source: Some(name.to_string()), limit: Some(1_000), ..EventsAsk::default() };
    let events = api.events(ask).await?.events;
    let mut types: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &events {
        *types.entry(event.event_type.as_str()).or_default() += 1;
    }
    let mut types: Vec<(&str, u64)> = types.into_iter().collect();
    types.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let types = types.into_iter().take(30).map(|(event_type, count)| TypeRow {
        event_type: words::shown(event_type, 80),
        count: Linked::new(
            count,
            address("/events", [("source", name.as_str()), ("type", event_type)]),
        ),
    });
    let secrets = view.secrets.iter().map(|secret| SecretRow {
        place: words::shown(&secret.place, 120),
        fingerprint: secret.fingerprint.clone().unwrap_or_default(),
        last: secret.last_matched_at.map(|at| When::ago(at, now)),
        advice: advice(secret, view, now.since(status.started_at.unwrap_or(now))),
    });
    let part = format!("source.{name}.");
    let keys = around.keys.iter().filter_map(|(key, value)| {
        Some((words::shown(key.strip_prefix(&part)?, 80), words::shown(value, 300)))
    });
    let title = format!("{name} · Sources");
    let json = "/api/v1/status";
    rendered(&SourcePage {
        frame: Frame::new(api, &status, fields, viewer, Here::Sources, title, json),
        source: row(view, &rates, &around.address),
        secrets: secrets.collect(),
        last: events.first().map(|event| When::ago(event.received_at, now)),
        types: types.collect(),
        n_looked_at: words::count(events.len() as u64),
        samples: view.sample_types.clone(),
        setup: setup(view, &around.address),
        keys: keys.take(60).collect(),
    })
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
fn setup(view: &SourceView, base: &str) -> Vec<String> {
    let url = format!("{base}{}", view.path);
    let secret = view.secrets.first().map(|secret| secret.place.as_str()).unwrap_or_default();
    let filled = |step: &str| step.replace("{url}", &url).replace("{secret}", secret);
    view.setup.iter().map(|step| words::shown(&filled(step), 400)).collect()
}
