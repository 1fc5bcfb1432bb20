//! `status`.

use std::time::Duration;

use crate::api::{GatewayCounts, HandlerView, SecretView, SourceTrouble, SourceView, StatusView};
use crate::config::Config;
use crate::event::SourceName;
use crate::ingest::RefusedRow;
use crate::standby::StandbyView;
use crate::text::{bytes, count, counted, latency, span, up_to};

use super::CliError;
use super::args::Status;
use super::cluster;
use super::human::{self, ago, ago_or, ahead};
use super::known;
use super::output::{Column, Output, Page, line, plain, table};
use super::store::{self, Reached, Server};

/// Shows the state of everything.
pub(super) async fn run(options: &Status, config: &Config, output: Output) -> Result<(), CliError> {
    if options.ready {
        let ready = Server::require(config).await?.ready().await?;
        return output.one(&ready, |ready| match &ready.note {
            Some(note) => format!("{}: {}", plain(&ready.status), plain(note)),
            None => plain(&ready.status),
        });
    }
    let status: StatusView = match Server::reach(config).await? {
        Reached::Server(server) => server.get("status", &[]).await?,
        Reached::Nobody => {
            let sources = crate::app::configured_sources(config);
            let store = match store::open(config).await {
                Ok(store) => store,
                // Before the first start there is nothing else to tell of.
                Err(err @ CliError::Unreachable(_)) if !sources.is_empty() && !output.is_json() => {
                    line(&table(&sources, CONFIGURED))?;
                    return Err(err);
                }
                Err(err) => return Err(err),
            };
            let status = store.status();
            let handlers = known::with_kinds(status.handlers, config);
            StatusView { sources, handlers, ..status }
        }
    };
    output.one(&status, text)
}

const SOURCES: &[Column<SourceView>] = &[
    ("SOURCE", |one| one.name.to_string()),
    ("PROVIDER", |one| plain(&one.provider)),
    ("ACCEPTED", |one| count(one.accepted)),
    ("DUPLICATE", |one| count(one.duplicate)),
    ("HANDSHAKES", |one| count(one.handshakes)),
    ("REJECTED", |one| count(one.rejected)),
    ("TURNED AWAY", |one| count(one.turned_away)),
];

/// The same where no server counts anything.
const CONFIGURED: &[Column<SourceView>] = &[
    ("SOURCE", |one| one.name.to_string()),
    ("PROVIDER", |one| plain(&one.provider)),
    ("PATH", |one| one.path.clone()),
];

/// What each gateway has counted, where several share the log.
const GATEWAYS: &[Column<GatewayCounts>] = &[
    ("GATEWAY", |one| format!("{}{}", one.node, if one.is_here { " (this one)" } else { "" })),
    ("STATE", |one| one.state.as_str().to_owned()),
    ("TOLD", |one| if one.is_here { "now".to_owned() } else { ago_or(one.at, "not yet") }),
    ("STARTED", |one| ago_or(one.started_at, "not told")),
    ("ACCEPTED", |one| told(one, one.sum(|source| source.accepted))),
    ("DUPLICATE", |one| told(one, one.sum(|source| source.duplicate))),
    ("REJECTED", |one| told(one, one.sum(|source| source.rejected))),
    ("TURNED AWAY", |one| told(one, one.sum(|source| source.turned_away))),
    ("NOT STORED", |one| told(one, one.refused)),
    ("ANSWERS, 99 %", |one| one.ack.map_or_else(|| "-".to_owned(), |ack| latency(ack.p99_micros))),
];

/// A count of a gateway, where it has told any.
fn told(one: &GatewayCounts, number: u64) -> String {
    one.started_at.map_or_else(|| "-".to_owned(), |_| count(number))
}

/// A secret with whose it is: where it stands tells its owner when an old one can go.
type SourceSecret = (SourceName, SecretView);

const SECRETS: &[Column<SourceSecret>] = &[
    ("SOURCE", |(source, _)| source.to_string()),
    ("SECRET", |(_, secret)| plain(&secret.place)),
    ("FINGERPRINT", |(_, secret)| secret.fingerprint.clone().unwrap_or_else(|| "-".to_owned())),
    ("LAST MATCHED SINCE THE START", |(_, secret)| ago_or(secret.last_matched_at, "never")),
];

const NOT_STORED: &[Column<RefusedRow>] = &[
    ("NOT STORED", |one| one.status.map_or_else(|| "-".to_owned(), |status| status.to_string())),
    ("COUNT", |one| count(one.count)),
    ("LAST", |one| ago(one.last_at)),
    ("CLIENT", |one| one.client.map_or_else(|| "-".to_owned(), |client| client.to_string())),
    ("PATH", |one| one.path.as_deref().map_or_else(|| "no path".to_owned(), plain)),
    ("WHY", |one| plain(&one.reason)),
];

/// The columns of a list of handlers.
pub(super) const HANDLERS: &[Column<HandlerView>] = &[
    ("HANDLER", |one| one.name.to_string()),
    ("KIND", |one| one.kind.as_deref().unwrap_or("-").to_owned()),
    ("STATE", |one| one.state_shown().to_owned()),
    ("IN LOG", in_log),
    ("WAITING", |one| count(one.waiting)),
    ("DEAD", |one| count(one.dead)),
    ("OLDEST", oldest),
];

/// What a handler has not come to.
pub(super) fn in_log(one: &HandlerView) -> String {
    up_to(one.is_bound(), count(one.in_log))
}

/// How old the oldest is of what waits for it.
pub(super) fn oldest(one: &HandlerView) -> String {
    let oldest = one.oldest_pending_at.map(|_| Duration::from_secs(one.oldest_pending_seconds));
    oldest.map_or_else(|| "-".to_owned(), |oldest| up_to(one.is_bound(), span(oldest)))
}

/// Since when the calls of a handler fail, or why it waits, and what comes next.
fn failing(handler: &HandlerView) -> Option<String> {
    let why = handler
        .last_error
        .as_ref()
        .map_or_else(String::new, |error| plain(&error.text.to_string()));
    let name = &handler.name;
    if handler.is_giving_up() {
        let since = handler.last_success_at.map_or_else(|| "the start".to_owned(), ago);
        let n_given_up = handler.given_up_in_a_row;
        let what = format!("its last {n_given_up} deliveries were given up");
        return Some(format!(
            "handler `{name}` has delivered nothing since {since}, {what}: {why}"
        ));
    }
    if let (None, Some(why)) = (handler.failing_since, handler.why_left_alone()) {
        let next =
            handler.probe_at.map_or_else(String::new, |at| format!("; goes on {}", ahead(at)));
        return Some(format!("handler `{name}` waits: {}{next}", plain(why)));
    }
    let since = handler.failing_since?;
    let next = handler.probe_at.or(handler.next_try_at);
    let next = next.map_or_else(String::new, |at| format!("; next try {}", ahead(at)));
    let tries = counted(handler.failures.into(), "try", "tries");
    Some(format!("handler `{name}` fails since {}, {tries}: {why}{next}", ago(since)))
}

/// Each source from which nothing comes in, since when and why: what the overview calls in trouble.
pub(super) fn troubled_sources(status: &StatusView) -> Vec<String> {
    let line = |one: &SourceView| {
        let (what, since) = one.trouble(human::now())?;
        let (name, says) = (&one.name, one.trouble_says(what));
        let is_so = match what {
            SourceTrouble::Rejected(_) => "has let nothing in since",
            SourceTrouble::Silent => "has been silent since",
        };
        Some(format!("source `{name}` {is_so} {}: {says}", ago(since)))
    };
    status.sources.iter().filter_map(line).collect()
}

/// Who knows it, where that is another gateway.
fn reported_by(handler: &HandlerView) -> String {
    let by = handler.reported_by.as_ref();
    by.map_or_else(String::new, |by| format!(" (gateway `{}` told so {})", by.node, ago(by.at)))
}

fn text(status: &StatusView) -> String {
    let mut text = Page::default();
    let version = &status.version;
    match (status.running, status.started_at) {
        (true, Some(at)) => {
            text.line(format_args!("gatepost {version}, running, started {}", ago(at)));
        }
        (true, None) => text.line(format_args!("gatepost {version}, running")),
        (false, _) => {
            let what = "not running: this is what the store says";
            text.line(format_args!("gatepost {version}, {what}"));
        }
    }
    let queue = &status.queue;
    text.line(format_args!(
        "queue: {} retained, {} on disk, newest position {}",
        counted(queue.events, "event", "events"),
        bytes(queue.bytes),
        queue.last.0
    ));
    if let Some(standby) = &status.standby {
        text.line(format_args!("{}", second_copy(standby)));
    }
    if let Some(view) = &status.cluster {
        text.line(format_args!("{}", cluster::summary(view)));
    }
    add_put_aside(&mut text, queue.aside_bytes);
    for line in &status.problems {
        text.line(format_args!("not ready: {}", plain(line)));
    }
    for line in &queue.damage {
        text.line(format_args!("damage: {}", plain(line)));
    }
    section(&mut text, &status.sources, if status.running { SOURCES } else { CONFIGURED });
    let secrets: Vec<SourceSecret> = status
        .sources
        .iter()
        .filter(|_| status.running)
        .flat_map(|one| one.secrets.iter().map(|secret| (one.name.clone(), secret.clone())))
        .collect();
    section(&mut text, &status.gateways, GATEWAYS);
    if !status.gateways.is_empty() {
        text.line(format_args!("\nabove and below: all gateways together, each since its start"));
    }
    section(&mut text, &secrets, SECRETS);
    section(&mut text, &status.handlers, HANDLERS);
    section(&mut text, &status.refused, NOT_STORED);
    for handler in &status.handlers {
        if let Some(line) = failing(handler) {
            text.line(format_args!("\n{line}{}", reported_by(handler)));
        }
    }
    for line in troubled_sources(status) {
        text.line(format_args!("\n{line}"));
    }
    add_proxies(&mut text, status);
    kept_requests(&mut text, status);
    text.finish()
}

fn add_put_aside(text: &mut Page, n_bytes: u64) {
    if n_bytes > 0 {
        text.line(format_args!(
            "put aside: {} that could not be read, in `aside/` of the queue's folder, for you to remove",
            bytes(n_bytes)
        ));
    }
}

/// The questions and the rejected requests that are kept.
fn kept_requests(text: &mut Page, status: &StatusView) {
    for source in &status.sources {
        if let Some(number) = source.newest_handshake {
            text.line(format_args!(
                "\nsource `{}`: its sender asked, see `gatepost rejected show {number}` for what it brought",
                source.name
            ));
        }
    }
    if status.rejected > 0 {
        text.line(format_args!(
            "\n{} kept: see `gatepost rejected list`",
            counted(status.rejected as u64, "rejected request is", "rejected requests are")
        ));
    }
}

/// Each gateway knows of its own alone: below sums of all it is said whose they are.
fn add_proxies(text: &mut Page, status: &StatusView) {
    let of = if status.gateways.is_empty() { "" } else { "on this gateway: " };
    for proxy in &status.proxies {
        text.line(format_args!("\n{of}{}", plain(&proxy.advice)));
    }
}

/// How the second copy stands.
fn second_copy(view: &StandbyView) -> String {
    let waits = if view.acknowledges { "; senders' answers wait for it" } else { "" };
    let behind = format!("{:.1} s, {} behind", view.lag.seconds, bytes(view.lag.bytes));
    match (&view.name, view.connected, view.last_seen_at) {
        (Some(name), true, _) => format!("standby: `{}` follows, {behind}{waits}", plain(name)),
        (Some(name), false, Some(at)) => {
            format!("standby: `{}` asked last {}, {behind}{waits}", plain(name), ago(at))
        }
        (Some(_) | None, _, _) => format!("standby: none has asked since the start{waits}"),
    }
}

fn section<T>(text: &mut Page, rows: &[T], columns: &[Column<T>]) {
    if !rows.is_empty() {
        text.line(format_args!(""));
        text.text(&table(rows, columns));
    }
}
