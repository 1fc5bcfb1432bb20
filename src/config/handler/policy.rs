//! `retry`, `batch` and `on_dead`.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::handler::Kind;
use crate::settings::Table;

/// When a delivery that failed is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many tries there are in all.
    pub attempts: NonZeroU32,
    /// The wait before the second try.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
    /// How long it is tried in all.
    pub total: Duration,
}

/// How many events one call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// At most so many.
    pub max: NonZeroUsize,
    /// How long the first one waits for others.
    pub wait: Duration,
}

/// What a dead letter does to the events behind it that have the same order key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDead {
    /// They go on.
    Release,
    /// They wait until it is redriven or dropped.
    Hold,
}

const RETRY: Retry = Retry {
    attempts: NonZeroU32::new(12).unwrap(),
    min: Duration::from_secs(10),
    max: Duration::from_hours(6),
    total: Duration::from_hours(72),
};
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// Reads `retry`.
pub(super) fn read_retry(handler: &mut Table<'_>) -> Retry {
    let Some(mut table) = handler.table("retry") else { return RETRY };
    let retry = Retry {
        attempts: table.take_or("attempts", RETRY.attempts),
        min: table.take_or("min", RETRY.min),
        max: table.take_or("max", RETRY.max),
        total: table.take_or("total", RETRY.total),
    };
    if retry.min.is_zero() {
        table.problem("min", "without a wait the other side is hammered", "write `min = \"1s\"`");
    }
    if retry.max < retry.min {
        let key = if table.has("max") { "max" } else { "min" };
        table.problem(key, "`max` is less than `min`", "the wait grows from `min` to `max`");
    }
    table.finish();
    retry
}

/// Reads `batch`.
pub(super) fn read_batch(handler: &mut Table<'_>) -> Option<Batch> {
    let mut table = handler.table("batch")?;
    let max = table.require::<NonZeroUsize>("max");
    let wait = table.take_or("wait", BATCH_WAIT);
    table.finish();
    Some(Batch { max: max?, wait })
}

/// Only some kinds take several events at once.
pub(super) fn check_batch(handler: &Table<'_>, batch: Option<Batch>, kind: &Kind) {
    let Some(batch) = batch else { return };
    if kind.batch_max <= 1 {
        let message = format_args!("the kind `{}` takes one event at a time", kind.name);
        handler.problem("batch", message, "leave `batch` out");
    } else if batch.max.get() > kind.batch_max {
        let most = kind.batch_max;
        let message = format_args!("the kind `{}` takes at most {most} events", kind.name);
        handler.problem("batch", message, format_args!("write `max = {most}` or less"));
    }
}
