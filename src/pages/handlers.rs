//! `/handlers`: who gets events, and how each of them does.

use askama::Template;

use super::fields::{Fields, address};
use super::frame::{Frame, Here};
use super::paged::{self, Rest};
use super::widgets::{Bars, Linked, Sign, Ticked, When};
use super::{Viewer, rendered, words};
use crate::api::{
    Actor, Api, ApiError, ConfigView, DeadGroup, HandlerRates, HandlerStatus, HandlerView,
    PauseView, RatesView, StatusView,
};
use crate::clock::Timestamp;
use crate::event::HandlerName;

/// The longest error in a table.
const ERROR_CHARS_MAX: usize = 140;

/// A handler in a table.
#[derive(Debug)]
pub(super) struct HandlerRow {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) sign: Sign,
    pub(super) state: &'static str,
    pub(super) in_log: Linked,
    pub(super) waiting: Linked,
    pub(super) dead: Linked,
    pub(super) oldest: String,
    pub(super) busy: String,
    pub(super) chart: Bars,
    pub(super) last_success: Option<When>,
    pub(super) error: Ticked,
    /// Red says that it fails: one that waits because it was asked to does not.
    pub(super) colour: &'static str,
    pub(super) error_event: String,
    pub(super) error_at: Option<When>,
    pub(super) probe: Option<When>,
    pub(super) is_paused: bool,
    /// Until when, why and by whom it is paused.
    pub(super) pause: Option<PauseLine>,
    /// Whether the owner may want to have it tried at once.
    pub(super) next_step: NextStep,
    pub(super) is_configured: bool,
    /// The gateway that delivers to it, where that is another one, and when it told how it does.
    pub(super) reported_by: Option<(String, When)>,
}

/// A pause in words.
#[derive(Debug)]
pub(super) struct PauseLine {
    pub(super) until: Option<When>,
    pub(super) reason: String,
    pub(super) by: &'static str,
}

impl PauseLine {
    fn new(pause: &PauseView, now: Timestamp) -> Self {
        Self {
            until: pause.until.map(|at| When::ahead(at, now)),
            reason: pause.reason.as_deref().map(|why| words::shown(why, 200)).unwrap_or_default(),
            by: pause.by.map(Actor::as_str).unwrap_or_default(),
        }
    }
}

/// What its owner does next to a handler, once the other side is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    Nothing,
    /// It is started, or tried with one of the deliveries that wait.
    Retry,
    /// Nothing waits but what was given up.
    Redrive,
}

impl NextStep {
    fn of(handler: &HandlerView, is_in_trouble: bool) -> Self {
        let may_be_tried = handler.pending() > 0 && handler.state != HandlerStatus::Stopped;
        // One that could not be started is started by that.
        if is_in_trouble && (may_be_tried || handler.state == HandlerStatus::Failed) {
            Self::Retry
        } else if is_in_trouble && handler.pending() == 0 && handler.dead > 0 {
            Self::Redrive
        } else {
            Self::Nothing
        }
    }
}

impl HandlerRow {
    fn new(handler: &HandlerView, rates: Option<&HandlerRates>, now: Timestamp) -> Self {
        let name = handler.name.to_string();
        let is_in_trouble = handler.is_in_trouble();
        let none = Vec::new();
        let (good, bad) =
            rates.map_or((&none, &none), |one| (&one.delivered.minutes, &one.failed.minutes));
        let sum = |minutes: &[u32]| minutes.iter().copied().map(u64::from).sum::<u64>();
        let label = format!("{} delivered, {} failed tries in the last hour", sum(good), sum(bad));
        let error = handler.last_error.as_ref().filter(|_| is_in_trouble);
        let text = handler.reason.as_deref().or(error.map(|error| error.text.as_str()));
        Self {
            kind: handler.kind.as_deref().unwrap_or("gone").to_owned(),
            // It was asked to wait: well, and not at work.
            sign: match handler.why_left_alone() {
                Some(_) if !is_in_trouble => Sign::Wait,
                _ => Sign::of_handler(handler.state, is_in_trouble),
            },
            state: handler.state_shown(),
            in_log: Linked::at_most(
                handler.in_log,
                address("/events", [("handler", name.as_str()), ("state", "pending")]),
            ),
            waiting: Linked::new(handler.waiting, waiting_address(&name)),
            dead: Linked::new(handler.dead, address("/dead", [("handler", name.as_str())])),
            oldest: match handler.oldest_pending_at {
                Some(at) => words::up_to(handler.is_bound(), words::between(at, now)),
                None => "–".to_owned(),
            },
            busy: format!("{} of {}", handler.in_flight, handler.concurrency),
            chart: Bars::small(good, bad, label),
            last_success: handler.last_success_at.map(|at| When::ago(at, now)),
            error: text.map(|text| Ticked::new(text, ERROR_CHARS_MAX)).unwrap_or_default(),
            colour: if is_in_trouble { "bad" } else { "wait" },
            error_event: error.map(|error| error.event.to_string()).unwrap_or_default(),
            error_at: error.map(|error| When::ago(error.at, now)),
            probe: handler.probe_at.map(|at| When::ahead(at, now)),
            is_paused: handler.state == HandlerStatus::Paused,
            pause: handler.pause.as_ref().map(|pause| PauseLine::new(pause, now)),
            next_step: NextStep::of(handler, is_in_trouble),
            is_configured: handler.kind.is_some(),
            reported_by: handler
                .reported_by
                .as_ref()
                .map(|by| (by.node.to_string(), When::ago(by.at, now))),
            name,
        }
    }
}

/// Those in trouble first.
pub(super) fn in_order(status: &StatusView) -> Vec<&HandlerView> {
    let mut handlers: Vec<&HandlerView> = status.handlers.iter().collect();
    handlers.sort_by_key(|handler| !handler.is_in_trouble());
    handlers
}

pub(super) fn rows(
    handlers: &[&HandlerView],
    rates: &RatesView,
    now: Timestamp,
) -> Vec<HandlerRow> {
    let rates_of = |name: &HandlerName| rates.handlers.iter().find(|one| one.handler == *name);
    handlers.iter().map(|handler| HandlerRow::new(handler, rates_of(&handler.name), now)).collect()
}

/// Keys of a table that are shown.
const KEYS_MAX: usize = 60;
/// Types that a handler takes.
const TAKES_MAX: usize = 20;
/// Handlers of a page: each with its chart takes up to 2 KB.
const ROWS_MAX: usize = 24;

#[derive(Template)]
#[template(path = "handlers.html")]
struct HandlersPage {
    frame: Frame,
    handlers: Vec<HandlerRow>,
    n_troubled: usize,
    n_all: usize,
    rest: Option<Rest>,
}

pub(super) fn list(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    let status = api.status();
    let rates = api.rates().unwrap_or_default();
    let n_troubled = status.handlers.iter().filter(|one| one.is_in_trouble()).count();
    let all = in_order(&status);
    let of_list = ("/handlers", fields);
    let (shown, rest) = paged::page((&all, |one| one.name.as_str()), of_list, ROWS_MAX);
    let handlers = rows(shown, &rates, api.now());
    let json = "/api/v1/handlers";
    let frame = Frame::new(api, &status, fields, viewer, Here::Handlers, "Handlers", json);
    let n_all = status.handlers.len();
    rendered(&HandlersPage { frame, handlers, n_troubled, n_all, rest })
}

#[derive(Template)]
#[template(path = "handler.html")]
struct HandlerPage {
    frame: Frame,
    handler: HandlerRow,
    failing_since: Option<When>,
    /// How many deliveries were given up one after the other, where it gives up all that it gets.
    n_given_up: Option<u32>,
    n_failures: u32,
    /// What half of its calls took at most, and 99 of 100.
    calls: Option<(String, String)>,
    day: Bars,
    keys: Vec<(String, String)>,
    /// What its table leaves out.
    defaults: Vec<(String, String)>,
    dead: Vec<(Ticked, Linked)>,
    retries: Vec<RetryRow>,
    /// What it was given among the newest events, by type.
    takes: Vec<(String, Linked)>,
    n_looked_at: String,
}

/// An event that waits.
#[derive(Debug)]
struct RetryRow {
    id: String,
    event_type: String,
    received: When,
    due: When,
}

pub(super) async fn show(
    api: &Api,
    name: &HandlerName,
    fields: &Fields,
    viewer: &Viewer,
) -> Result<String, ApiError> {
    let (status, now) = (api.status(), api.now());
    let rates = api.rates().unwrap_or_default();
    let view = status.handlers.iter().find(|handler| handler.name == *name);
    let view = view.ok_or_else(|| ApiError::NotFound(format!("there is no handler `{name}`")))?;
    let of = rates.handlers.iter().find(|one| one.handler == *name);
    let mut handler = HandlerRow::new(view, of, now);
    // Whether it is in trouble is known to the gateway that delivers to it.
    let is_elsewhere = status.cluster.as_ref().is_some_and(|cluster| !cluster.delivers_to(name));
    if is_elsewhere && view.waiting > 0 {
        handler.next_step = NextStep::Retry;
    }
    let config = api.config().ok();
    let settings = config.map(|view| Settings::of(&view, &format!("handler.{name}.")));
    let Settings { keys, defaults } = settings.unwrap_or_default();
    let detail = api.handler_detail(view.clone()).await?;
    let retries = detail.next_tries.into_iter().map(|next| RetryRow {
        id: next.id.to_string(),
        event_type: words::shown(next.event_type.as_str(), 60),
        received: When::ago(next.received_at, now),
        due: When::ahead(next.at, now),
    });
    let takes = detail.takes.iter().map(|row| {
        let of_type = address(
            "/events",
            [
                ("source", row.source.as_str()),
                ("type", row.event_type.as_str()),
                ("handler", name.as_str()),
            ],
        );
        let name = format!("{}:{}", row.source, words::shown(row.event_type.as_str(), 60));
        (name, Linked::new(row.count, of_type))
    });
    let groups = detail.dead_groups;
    let none = Vec::new();
    let hours = of.map_or((&none, &none), |of| (&of.delivered.hours, &of.failed.hours));
    let label = "Deliveries and failed tries of the last day, by hour".to_owned();
    let title = format!("{name} · Handlers");
    let json = format!("/api/v1/handlers/{name}");
    rendered(&HandlerPage {
        frame: Frame::new(api, &status, fields, viewer, Here::Handlers, title, json),
        handler,
        failing_since: view.failing_since.map(|at| When::clock(at, now)),
        n_given_up: view.is_giving_up().then_some(view.given_up_in_a_row),
        n_failures: view.failures,
        calls: of
            .and_then(|of| of.calls)
            .map(|calls| (words::latency(calls.p50_micros), words::latency(calls.p99_micros))),
        day: Bars::large(hours.0, hours.1, label),
        keys,
        defaults,
        dead: groups.iter().take(20).map(|group| dead_line(group, name)).collect(),
        retries: retries.collect(),
        takes: takes.take(TAKES_MAX).collect(),
        n_looked_at: words::newest(detail.looked_at),
    })
}

/// A table of the configuration: what the file says, and what holds where it says nothing.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) keys: Vec<(String, String)>,
    pub(super) defaults: Vec<(String, String)>,
}

impl Settings {
    /// `part` = what the names of its keys begin with.
    pub(super) fn of(view: &ConfigView, part: &str) -> Self {
        let within = |all: &[(String, String)]| {
            let found = all.iter().filter_map(|(key, value)| {
                Some((words::shown(key.strip_prefix(part)?, 80), words::shown(value, 300)))
            });
            found.take(KEYS_MAX).collect()
        };
        Self { keys: within(&view.around.keys), defaults: within(&view.defaults) }
    }
}

fn dead_line(group: &DeadGroup, name: &HandlerName) -> (Ticked, Linked) {
    let list = [("handler", name.as_str()), ("like", group.key.as_str())];
    (Ticked::new(&group.reason, 160), Linked::new(group.count, address("/dead", list)))
}

/// Where a handler's waiting events are listed.
fn waiting_address(handler: &str) -> String {
    address("/events", [("handler", handler), ("state", "waiting")])
}
