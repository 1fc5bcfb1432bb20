//! `/`: is all well?

use std::time::Duration;

use askama::Template;

use super::cluster::{ClusterCard, card};
use super::fields::{Fields, address};
use super::frame::{Frame, Here};
use super::handlers::{HandlerRow, in_order, rows};
use super::idle::{for_idle, is_left};
use super::sources::SourceRow;
use super::verdict::{Verdict, since, verdict, young_since};
use super::widgets::{Bars, Linked, When};
use super::{Viewer, rendered, sources, words};
use crate::api::{Api, ApiError, HandlerStatus, HandlerView, LevelsView, RatesView, StatusView};
use crate::clock::Timestamp;
use crate::cluster::NodeName;
use crate::standby::StandbyView;

/// Handlers, and sources, that are shown: each with its chart takes up to 2 KB.
const ROWS_MAX: usize = 10;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    verdict: Verdict,
    /// Since when events are counted, and how many they are.
    received: (&'static str, Linked),
    waiting: u64,
    waiting_shown: Linked,
    /// What of it is for handlers that take nothing, by handler, and why.
    for_idle: Vec<(Linked, String, &'static str)>,
    /// How long the oldest of it has waited, and for whom where that is such a handler.
    oldest: String,
    oldest_idle: Option<(String, &'static str)>,
    charts: Charts,
    dead: Linked,
    rejected: Linked,
    /// What half of the acknowledgements took at most, and 99 of 100.
    acknowledged: Option<(String, String)>,
    chart: Bars,
    axis: Vec<When>,
    cluster: Option<ClusterCard>,
    handlers: Vec<HandlerRow>,
    sources: Vec<SourceRow>,
    n_more_handlers: usize,
    n_more_sources: usize,
    machine: Vec<(&'static str, String, String)>,
    first_steps: Option<FirstSteps>,
}

/// How the figures were in the last hour.
#[derive(Debug)]
struct Charts {
    waiting: Bars,
    oldest: Bars,
    dead: Bars,
    rejected: Bars,
    acknowledged: Bars,
}

impl Charts {
    /// `here` = what only this gateway knows is named so, since several share the log.
    fn new(rates: &RatesView, here: Option<&NodeName>) -> Self {
        let LevelsView { waiting, oldest_seconds, dead, ack_p99_micros } = &rates.levels;
        let rejected = sum_by_minute(rates.sources.iter().map(|source| &source.rejected.minutes));
        let most = |levels: &[u32]| u64::from(levels.iter().copied().max().unwrap_or_default());
        let hour = "in the last hour";
        let dead_most = words::counted(most(dead), "dead letter", "dead letters");
        let oldest = words::span(Duration::from_secs(most(oldest_seconds)));
        let slowest = ack_p99_micros.iter().copied().flatten().max();
        let here = here.map(|node| format!(" on gateway {node}")).unwrap_or_default();
        let acknowledged = match slowest {
            Some(micros) => format!(
                "99 % were acknowledged{here} in {} at most {hour}, by minute; a gap where none was",
                words::latency(micros.into())
            ),
            None => format!("Nothing was acknowledged{here} {hour}"),
        };
        // A gap is for none only.
        let shown = ack_p99_micros.iter().map(|micros| micros.map_or(0, |micros| micros.max(1)));
        let n_rejected = rejected.iter().copied().map(u64::from).sum();
        let n_rejected = words::counted(n_rejected, "rejected request", "rejected requests");
        Self {
            waiting: Bars::levels(
                waiting,
                format!("At most {} still to do {hour}, by minute", words::count(most(waiting))),
            ),
            oldest: Bars::levels(
                oldest_seconds,
                format!("The oldest waited {oldest} at most {hour}, by minute"),
            ),
            dead: Bars::levels(dead, format!("At most {dead_most} {hour}, by minute")),
            rejected: Bars::small(&rejected, &[], format!("{n_rejected} {hour}, by minute")),
            acknowledged: Bars::levels(&shown.collect::<Vec<_>>(), acknowledged),
        }
    }
}

/// As many as the page has rows.
fn first<T>(all: &[T]) -> &[T] {
    all.get(..ROWS_MAX.min(all.len())).unwrap_or_default()
}

/// The first steps of a new owner.
#[derive(Debug)]
struct FirstSteps {
    /// Each with the address that its provider gets.
    sources: Vec<(String, String)>,
    /// The local address, where the one that providers reach is not known.
    local: Option<String>,
    sample: Option<(String, String)>,
    /// Those that take events of sources.
    handlers: Vec<String>,
    /// Those that would, but are disabled.
    disabled: Vec<String>,
    n_handlers: usize,
}

pub(super) async fn show(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    let (status, now) = (api.status(), api.now());
    let rates = api.rates().unwrap_or_default();
    let unasked = api.unasked(since(&status, now).1).await.unwrap_or_default();
    let verdict = verdict(&status, &rates, unasked, now);
    let title = match (&verdict.handler, verdict.is_trouble) {
        (Some(handler), _) => format!("{handler} is failing"),
        (None, true) => "Trouble".to_owned(),
        (None, false) => verdict.first.trim_end_matches(':').to_owned(),
    };
    // What keeps events from coming goes before where to have them from.
    let first_steps = if verdict.is_trouble { None } else { first_steps(api, &status) };
    let frame = Frame::new(api, &status, fields, viewer, Here::Overview, title, "/api/v1/status");
    let sum = |of: fn(&HandlerView) -> u64| status.handlers.iter().map(of).sum::<u64>();
    let waiting = sum(HandlerView::pending);
    let is_bound = status.handlers.iter().any(HandlerView::is_bound);
    let linked = if is_bound { Linked::at_most } else { Linked::new };
    let oldest = status.handlers.iter().filter(|one| one.oldest_pending_at.is_some());
    let oldest_for = oldest.min_by_key(|one| one.oldest_pending_at);
    let oldest = oldest_for.and_then(|one| one.oldest_pending_at);
    let for_idle = for_idle(&status);
    let oldest_idle = oldest_for.filter(|one| is_left(one));
    let oldest_idle =
        oldest_idle.map(|one| (one.name.to_string(), one.why_idle().unwrap_or_default()));
    let minutes = events_by_minute(&rates);
    let n_received = minutes.iter().copied().map(u64::from).sum();
    let label =
        format!("{} in the last hour, by minute", words::counted(n_received, "event", "events"));
    let before = |minutes: u64| When::clock(now.before(Duration::from_mins(minutes)), now);
    rendered(&OverviewPage {
        verdict,
        received: received(&status, n_received, now),
        waiting,
        waiting_shown: linked(waiting, "/handlers".to_owned()),
        oldest: oldest.map_or(String::new(), |at| words::up_to(is_bound, words::between(at, now))),
        for_idle,
        oldest_idle,
        charts: Charts::new(&rates, status.cluster.as_ref().map(|cluster| &cluster.node)),
        dead: Linked::new(sum(|handler| handler.dead), "/dead".to_owned()),
        rejected: Linked::new(status.rejected as u64, "/rejected".to_owned()),
        acknowledged: rates
            .ack
            .map(|ack| (words::latency(ack.p50_micros), words::latency(ack.p99_micros))),
        chart: Bars::large(&minutes, &failed_by_minute(&rates), label),
        axis: [59, 45, 30, 15].map(before).to_vec(),
        cluster: status.cluster.as_ref().map(|view| card(view, &status.gateways, now)),
        handlers: rows(first(&in_order(&status)), &rates, now),
        sources: sources::rows(&status, &rates, now, first(&sources::in_order(&status, now))),
        n_more_handlers: status.handlers.len().saturating_sub(ROWS_MAX),
        n_more_sources: status.sources.len().saturating_sub(ROWS_MAX),
        machine: machine(api, &status),
        first_steps,
        frame,
    })
}

/// How many events came, and where they are listed: counting begins with the process, and Gatepost's
/// own events are none that came.
fn received(status: &StatusView, n: u64, now: Timestamp) -> (&'static str, Linked) {
    let label = match young_since(status, now) {
        Some(_) => "New since the start",
        None => "Received, last hour",
    };
    let (since, _) = since(status, now);
    let address = address("/events", [("since", since.as_str()), ("q", "-source:gatepost")]);
    (label, Linked::new(n, address))
}

fn events_by_minute(rates: &RatesView) -> Vec<u32> {
    sum_by_minute(rates.sources.iter().map(|source| &source.accepted.minutes))
}

fn failed_by_minute(rates: &RatesView) -> Vec<u32> {
    sum_by_minute(rates.handlers.iter().map(|handler| &handler.failed.minutes))
}

fn sum_by_minute<'a>(series: impl Iterator<Item = &'a Vec<u32>>) -> Vec<u32> {
    let mut sums = vec![0_u32; 60];
    for minutes in series {
        for (sum, more) in sums.iter_mut().zip(minutes) {
            *sum = sum.saturating_add(*more);
        }
    }
    sums
}

/// What is in the box about this machine: a name, a figure, what more there is to say.
fn machine(api: &Api, status: &StatusView) -> Vec<(&'static str, String, String)> {
    let queue = &status.queue;
    let mut facts = vec![("Kept", words::count(queue.events), "events".to_owned())];
    if let Ok(around) = api.surroundings() {
        let of = format!("of {}", words::bytes(around.disk_max));
        facts.push(("Queue on disk", words::bytes(queue.bytes), of));
        if queue.aside_bytes > 0 {
            let what = "could not be read; yours to remove".to_owned();
            facts.push(("Put aside", words::bytes(queue.aside_bytes), what));
        }
        if let Some(free) = around.disk_free {
            facts.push(("Disk free", words::bytes(free), String::new()));
        }
        let age = words::between(around.read_at, api.now());
        facts.push(("Configuration read", format!("{age} ago"), String::new()));
    }
    facts.push(match queue.lag_bytes {
        0 => ("Search and history", "up to date".to_owned(), String::new()),
        bytes => ("Search and history", words::bytes(bytes), "behind".to_owned()),
    });
    facts.extend(status.standby.as_ref().map(second_copy));
    facts
}

/// How the second copy stands, in one line.
fn second_copy(view: &StandbyView) -> (&'static str, String, String) {
    let lag = format!("{:.1} s behind", view.lag.seconds);
    let (figure, more) = match (&view.name, view.connected) {
        (Some(name), true) => (lag, format!("on {name}")),
        (Some(name), false) => ("not followed".to_owned(), format!("{name}, {lag}")),
        (None, _) => ("not followed".to_owned(), "no standby has asked yet".to_owned()),
    };
    ("Second copy", figure, more)
}

/// `None` once an event has come.
fn first_steps(api: &Api, status: &StatusView) -> Option<FirstSteps> {
    if status.queue.last.0 > 0 {
        return None;
    }
    let local = api.surroundings().map(|around| around.address).unwrap_or_default();
    let sources = status.sources.iter();
    let takes = |one: &&HandlerView| {
        let given = api.given(&one.name);
        given.is_some_and(|given| status.sources.iter().any(|source| given.may_be_of(&source.name)))
    };
    let (disabled, handlers): (Vec<_>, Vec<_>) =
        status.handlers.iter().filter(takes).partition(|one| one.state == HandlerStatus::Disabled);
    let names = |handlers: Vec<&HandlerView>| -> Vec<String> {
        handlers.into_iter().map(|one| one.name.to_string()).collect()
    };
    Some(FirstSteps {
        local: status.sources.iter().any(|one| one.url.is_none()).then_some(local),
        sources: sources.map(|one| (one.name.to_string(), one.url_shown())).collect(),
        sample: status.sources.iter().find_map(|source| {
            let sample = source.sample_type.as_deref()?;
            Some((source.name.to_string(), sample.to_owned()))
        }),
        handlers: names(handlers),
        disabled: names(disabled),
        n_handlers: status.handlers.len(),
    })
}
