//! `[handler.NAME]`: what every kind has in common, and the one kind table.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::deliver::{OnDeadLetter, Policy};
use crate::event::{HandlerName, SourceName};
use crate::handler::{KindSettings, UnreadKind, read_expression};
use crate::queue::Start;
use crate::settings::{Table, show_duration};

mod kind;
mod on;
mod policy;

#[derive(Debug)]
pub struct HandlerSettings {
    /// Whether it gets anything; while it does not, what comes in waits.
    pub is_enabled: bool,
    /// Which events it wants, how many at once, and how hard it is tried.
    pub policy: Policy,
    /// The `timeout` of a call that is written in the table.
    pub own_timeout: Option<Duration>,
    /// Where a new subscription begins.
    pub start: Start,
    pub kind: Box<dyn KindSettings>,
    pub kind_name: &'static str,
}

/// Each one may hold a body, a connection and a thread's stack.
const CONCURRENCY_MAX: usize = 1024;
const TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// Every handler that there is in the file.
#[derive(Debug, Default)]
pub(super) struct ReadHandlers {
    pub(super) whole: BTreeMap<HandlerName, HandlerSettings>,
    /// Those whose kind could not be read: of it there are only texts.
    pub(super) unread: BTreeMap<HandlerName, HandlerSettings>,
}

/// Reads every `[handler.NAME]`. `sources` are the names that `on` may match.
pub(super) fn read_all(root: &mut Table<'_>, sources: &[SourceName]) -> ReadHandlers {
    let tables = root.tables("handler", HandlerName::parse);
    if tables.is_empty() && !root.has("handler") && !root.is_broken() {
        root.warning_here(
            "there is no handler: events are kept and go nowhere",
            "add `[handler.NAME]`",
        );
    }
    let mut handlers = ReadHandlers::default();
    for (name, mut table) in tables {
        drop(match read(&mut table, sources) {
            ReadHandler::Whole(settings) => handlers.whole.insert(name, settings),
            ReadHandler::Unread(settings) => handlers.unread.insert(name, settings),
        });
        table.finish();
    }
    handlers
}

/// One handler; what is left of it where its kind could not be read.
enum ReadHandler {
    Whole(HandlerSettings),
    Unread(HandlerSettings),
}

fn read(table: &mut Table<'_>, sources: &[SourceName]) -> ReadHandler {
    let is_enabled = table.take_or("enabled", true);
    if !is_enabled {
        table.is_unused();
    }
    let on = on::read(table, sources);
    let when = read_expression(table, "when");
    let order_by = read_expression(table, "order_by");
    let on_dead_letter = read_on_dead_letter(table);
    let starts = [("now", Start::Now), ("oldest", Start::Oldest)];
    let start = table.choice("start", &starts).unwrap_or(Start::Now);
    let concurrency = table
        .checked_or("concurrency", "for example `concurrency = 4`", check_concurrency)
        .unwrap_or(Policy::CONCURRENCY);
    table.limit("concurrency", CONCURRENCY_MAX);
    let retry = policy::read_retry(table);
    let (retry_on, dead_on) = policy::read_judgement(table);
    let breaker = policy::read_breaker(table);
    let timeout = table.checked_or("timeout", "for example `timeout = \"30s\"`", check_timeout);
    let batch = policy::read_batch(table);
    let (kind, settings) = kind::read(table, sources, &on).unzip();
    let settings = settings.flatten();
    let of_kind = || settings.as_deref().and_then(KindSettings::default_timeout);
    let own_timeout = timeout;
    let timeout = own_timeout.or_else(of_kind).unwrap_or(Policy::TIMEOUT);
    if let Some(kind) = kind {
        policy::check_batch(table, batch.as_ref(), kind, settings.as_deref());
    }
    if order_by.is_none()
        && let Some(help) = settings.as_deref().and_then(KindSettings::needs_order)
    {
        table.warning_here(
            "an older event that is tried again may overwrite what a newer one wrote",
            help,
        );
    }
    let exempt = settings.as_deref().map(KindSettings::exempt).unwrap_or_default();
    let drain = Policy::DRAIN;
    let policy = Policy {
        on,
        when,
        exempt,
        order_by,
        on_dead_letter,
        concurrency,
        timeout,
        retry,
        retry_on,
        dead_on,
        breaker,
        batch,
        drain,
    };
    if let Some(kind) = kind {
        policy::check_judgement(table, kind, &policy);
    }
    let kind_name = kind.map_or("", |kind| kind.name);
    let is_whole = settings.is_some();
    let kind = settings.unwrap_or_else(|| unread(table, kind_name));
    let settings = HandlerSettings { is_enabled, policy, own_timeout, start, kind, kind_name };
    if is_whole { ReadHandler::Whole(settings) } else { ReadHandler::Unread(settings) }
}

fn read_on_dead_letter(table: &mut Table<'_>) -> OnDeadLetter {
    let choices = [("release", OnDeadLetter::Release), ("hold", OnDeadLetter::Hold)];
    let on_dead_letter = table.choice("on_dead_letter", &choices).unwrap_or(OnDeadLetter::Release);
    if on_dead_letter == OnDeadLetter::Hold && !table.has("order_by") {
        table.warning(
            "on_dead_letter",
            "without `order_by` there is nothing to hold",
            "add `order_by`",
        );
    }
    on_dead_letter
}

/// What is left of a kind that could not be read.
fn unread(table: &Table<'_>, kind_name: &str) -> Box<dyn KindSettings> {
    let kind = format!("{}.{kind_name}", table.path());
    Box::new(UnreadKind::new(&kind, &table.noted_texts()))
}

fn check_concurrency(concurrency: NonZeroUsize) -> Result<NonZeroUsize, String> {
    if concurrency.get() > CONCURRENCY_MAX {
        Err(format!("at most {CONCURRENCY_MAX} deliveries are made at once"))
    } else {
        Ok(concurrency)
    }
}

fn check_timeout(timeout: Duration) -> Result<Duration, String> {
    if timeout.is_zero() {
        Err("no delivery would be in time".to_owned())
    } else if timeout > TIMEOUT_MAX {
        Err(format!("a try takes at most {}", show_duration(TIMEOUT_MAX)))
    } else {
        Ok(timeout)
    }
}
