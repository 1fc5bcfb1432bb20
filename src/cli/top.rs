//! `top`: how everything stands and how fast it goes, live on a terminal, or once as text.

use std::io::{self, IsTerminal};
use std::time::Duration;

use serde::Serialize;

use crate::api::{HandlerRates, HandlerView, RatesView, SourceView, StatusView};
use crate::clock::{Stopwatch, whole_millis};
use crate::config::Config;
use crate::text::{bytes, count, counted, latency, up_to};

use super::args::Top;
use super::fitted::{FitRules, fitted, wrapped};
use super::human::ago;
use super::output::{Column, Output, Page, plain, table};
use super::screen::{Key, Screen};
use super::status::{in_log, oldest, troubled_sources};
use super::store::Server;
use super::{CliError, screen};

/// The longest error in a row.
const ERROR_CHARS_MAX: usize = 60;
/// The keys, as the last line of the screen says.
const KEYS: &str = "q quits, space looks at once";

/// All that is shown.
#[derive(Debug, Serialize)]
struct TopView {
    status: StatusView,
    rates: RatesView,
}

impl TopView {
    async fn of(server: &Server) -> Result<Self, CliError> {
        let status = server.get("status", &[]).await?;
        let rates = server.get("rates", &[]).await?;
        Ok(Self { status, rates })
    }

    /// Events stored since the start.
    fn n_accepted(&self) -> u64 {
        self.status.sources.iter().map(|source| source.accepted).sum()
    }
}

/// Shows it until the owner quits; once where there is no terminal, or that is asked for.
pub(super) async fn run(options: &Top, config: &Config, output: Output) -> Result<(), CliError> {
    let server = Server::require(config).await?;
    let is_watched = io::stdin().is_terminal() && io::stdout().is_terminal();
    if options.once || output.is_json() || !is_watched {
        return output.one(&TopView::of(&server).await?, |view| page(view, None, None));
    }
    live(&server, Duration::from_secs(options.every.into())).await
}

async fn live(server: &Server, every: Duration) -> Result<(), CliError> {
    // The terminal is ours until it is dropped.
    let _screen = Screen::open()?;
    let mut before: Option<(Stopwatch, u64)> = None;
    loop {
        let text = match TopView::of(server).await {
            Ok(view) => {
                let accepted = view.n_accepted();
                let per_second = before.as_ref().map(|(since, seen)| {
                    let millis = whole_millis(since.elapsed());
                    // In tenths. A server that was started anew counts from 0.
                    accepted.saturating_sub(*seen).saturating_mul(10_000) / millis.max(1)
                });
                before = Some((Stopwatch::start(), accepted));
                let (_, columns) = screen::size();
                page(&view, per_second, Some(columns))
            }
            Err(err) => {
                before = None;
                format!("{err}; waiting for it\n")
            }
        };
        screen::draw(&text, KEYS)?;
        if screen::key_within(every)? == Some(Key::Quit) {
            return Ok(());
        }
    }
}

/// A handler with its rates.
type HandlerRow = (HandlerView, Option<HandlerRates>);
/// A source with how many events came in the last full minute and the last hour, and what was turned
/// down in it.
type SourceRow = (SourceView, u64, u64, u64);

const HANDLERS: &[Column<HandlerRow>] = &[
    ("HANDLER", |(one, _)| one.name.to_string()),
    ("STATE", |(one, _)| one.state_shown().to_owned()),
    ("IN LOG", |(one, _)| in_log(one)),
    ("WAITING", |(one, _)| count(one.waiting)),
    ("DEAD", |(one, _)| count(one.dead)),
    ("OLDEST", |(one, _)| oldest(one)),
    ("BUSY", |(one, _)| format!("{}/{}", one.in_flight, one.concurrency)),
    ("DONE/MIN", |(_, rates)| {
        count(rates.as_ref().map_or(0, |one| last_minute(&one.delivered.minutes)))
    }),
    ("FAILED/MIN", |(_, rates)| {
        count(rates.as_ref().map_or(0, |one| last_minute(&one.failed.minutes)))
    }),
    ("CALL 99 %", |(_, rates)| match rates.as_ref().and_then(|one| one.calls) {
        Some(calls) => latency(calls.p99_micros),
        None => "-".to_owned(),
    }),
    ("LAST ERROR", |(one, _)| error(one)),
];

const SOURCES: &[Column<SourceRow>] = &[
    ("SOURCE", |(one, ..)| one.name.to_string()),
    ("PROVIDER", |(one, ..)| plain(&one.provider)),
    ("EVENTS/MIN", |(_, minute, ..)| count(*minute)),
    ("LAST HOUR", |(_, _, hour, _)| count(*hour)),
    ("REJECTED, HOUR", |(.., rejected)| count(*rejected)),
    ("SINCE THE START", |(one, ..)| count(one.accepted)),
];

/// What a narrow terminal shows least of all; the line above says who fails.
const OF_HANDLERS: FitRules = FitRules {
    least_needed: &[
        "BUSY",
        "CALL 99 %",
        "DONE/MIN",
        "FAILED/MIN",
        "OLDEST",
        "LAST ERROR",
        "WAITING",
        "IN LOG",
        "DEAD",
    ],
    text: Some("LAST ERROR"),
};
const OF_SOURCES: FitRules = FitRules {
    least_needed: &["PROVIDER", "SINCE THE START", "REJECTED, HOUR", "LAST HOUR", "EVENTS/MIN"],
    text: None,
};

/// The last minute that is over.
fn last_minute(minutes: &[u32]) -> u64 {
    minutes.iter().rev().nth(1).copied().unwrap_or(0).into()
}

fn error(handler: &HandlerView) -> String {
    let newest = handler.last_error.as_ref().filter(|_| handler.is_in_trouble());
    let text = handler.reason.as_deref().or(newest.map(|error| error.text.as_str()));
    text.map_or_else(|| "-".to_owned(), |text| plain(text).chars().take(ERROR_CHARS_MAX).collect())
}

/// What is said above the tables.
fn head(TopView { status, rates }: &TopView, per_second: Option<u64>) -> [String; 3] {
    let started = status.started_at.map(|at| format!(", started {}", ago(at))).unwrap_or_default();
    let by_minute: u64 = rates.sources.iter().map(|one| last_minute(&one.accepted.minutes)).sum();
    let tenths = per_second.unwrap_or(by_minute * 10 / 60);
    let took = rates.ack.map(|ack| {
        let (half, most) = (latency(ack.p50_micros), latency(ack.p99_micros));
        format!(", acknowledged in {half} (99 % in {most})")
    });
    let speed = format!(
        "gatepost {}{started}; {}.{} events a second{}",
        status.version,
        count(tenths / 10),
        tenths % 10,
        took.unwrap_or_default()
    );
    let queue = format!(
        "queue: {} retained, {} on disk, index {} behind, {} kept",
        counted(status.queue.events, "event", "events"),
        bytes(status.queue.bytes),
        bytes(status.queue.lag_bytes),
        counted(status.rejected as u64, "rejected request", "rejected requests"),
    );
    [speed, verdict(status), queue]
}

/// The rows as a table, no wider than `width` where there is one.
fn table_in<T>(
    rows: &[T],
    columns: &[Column<T>],
    rules: &FitRules,
    width: Option<usize>,
) -> String {
    width.map_or_else(|| table(rows, columns), |width| fitted(rows, columns, rules, width))
}

/// `per_second` in tenths, as it was seen; by the last full minute else. `width` = that of the screen.
fn page(view: &TopView, per_second: Option<u64>, width: Option<usize>) -> String {
    let TopView { status, rates } = view;
    let mut text = Page::default();
    for line in head(view, per_second) {
        text.text(&wrapped(&line, width.unwrap_or(usize::MAX)));
    }
    let mut handlers: Vec<HandlerRow> = status
        .handlers
        .iter()
        .map(|one| {
            let of = rates.handlers.iter().find(|rates| rates.handler == one.name);
            (one.clone(), of.cloned())
        })
        .collect();
    handlers.sort_by_key(|(one, _)| !one.is_in_trouble());
    let sources: Vec<SourceRow> = status
        .sources
        .iter()
        .map(|one| {
            let rates = rates.sources.iter().find(|rates| rates.source == one.name);
            let minute = rates.map_or(0, |rates| last_minute(&rates.accepted.minutes));
            let hour = rates.map_or(0, |rates| rates.accepted.last_hour());
            (one.clone(), minute, hour, rates.map_or(0, |rates| rates.rejected.last_hour()))
        })
        .collect();
    if !handlers.is_empty() {
        text.line(format_args!(""));
        text.text(&table_in(&handlers, HANDLERS, &OF_HANDLERS, width));
    }
    if !sources.is_empty() {
        text.line(format_args!(""));
        text.text(&table_in(&sources, SOURCES, &OF_SOURCES, width));
    }
    text.finish()
}

/// Whether all is well, in one line.
fn verdict(status: &StatusView) -> String {
    if let Some(damage) = status.queue.damage.first() {
        return format!("the queue is damaged: {}", plain(damage));
    }
    if let Some(problem) = status.problems.first() {
        return format!("not ready: {}", plain(problem));
    }
    let failing = status.handlers.iter().filter(|one| one.is_in_trouble());
    let failing: Vec<&str> = failing.map(|one| one.name.as_str()).collect();
    let sum = |of: fn(&HandlerView) -> u64| status.handlers.iter().map(of).sum::<u64>();
    let waiting = counted(sum(HandlerView::pending), "delivery waits", "deliveries wait");
    let waiting = up_to(status.handlers.iter().any(HandlerView::is_bound), waiting);
    let dead = counted(sum(|one| one.dead), "dead letter", "dead letters");
    let sources = troubled_sources(status);
    let fails = match (failing.as_slice(), sources.as_slice()) {
        ([], []) => "all handlers answer".to_owned(),
        ([], sources) => of_sources(sources),
        (failing, []) => of_handlers(failing),
        (failing, sources) => format!("{}; {}", of_handlers(failing), of_sources(sources)),
    };
    format!("{fails}; {waiting}, {dead}")
}

fn of_handlers(failing: &[&str]) -> String {
    match failing {
        [one] => format!("{one} fails"),
        many => format!("{} fail", many.join(", ")),
    }
}

fn of_sources(lines: &[String]) -> String {
    match lines {
        [one] => one.clone(),
        many => format!("nothing comes in from {} sources", many.len()),
    }
}
