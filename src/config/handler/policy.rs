//! `retry`, `breaker` and `batch`.

use std::num::NonZeroUsize;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::deliver::{Batch, Breaker, Retry, Wait};
use crate::handler::{Kind, KindSettings};
use crate::settings::Table;

/// How long the first event of a batch waits for others where the configuration does not say.
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// Reads `retry`.
pub(super) fn read_retry(handler: &mut Table<'_>) -> Retry {
    let Some(mut table) = handler.table("retry") else { return Retry::DEFAULT };
    let retry = Retry {
        attempts: table.take_or("attempts", Retry::DEFAULT.attempts),
        min: table.take_or("min", Retry::DEFAULT.min),
        max: table.take_or("max", Retry::DEFAULT.max),
        total: table.take_or("total", Retry::DEFAULT.total),
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

/// Reads `breaker`.
pub(super) fn read_breaker(handler: &mut Table<'_>) -> Breaker {
    let Some(mut table) = handler.table("breaker") else { return Breaker::DEFAULT };
    let breaker = Breaker {
        failures: table.take_or("failures", Breaker::DEFAULT.failures),
        probe_every: table.take_or("probe_every", Breaker::DEFAULT.probe_every),
    };
    if breaker.probe_every.is_zero() {
        let message = "without a wait the other side is hammered";
        table.problem("probe_every", message, "write `probe_every = \"30s\"`");
    }
    table.finish();
    breaker
}

/// Reads `batch`.
pub(super) fn read_batch(handler: &mut Table<'_>) -> Option<Batch> {
    let mut table = handler.table("batch")?;
    let max = table.require::<NonZeroUsize>("max");
    let wait = table.take_or("wait", BATCH_WAIT);
    let at = table.checked("at", |text: String| {
        let hint = "write hours and minutes, such as \"07:00\"";
        text.parse::<jiff::civil::Time>().map_err(|_| format!("`{text}` is no time of day: {hint}"))
    });
    if table.has("wait") && table.has("at") {
        let message = "a batch waits so long, or until then";
        table.problem("at", message, "leave out one of `wait` and `at`");
    }
    table.finish();
    let wait = match at {
        Some(time) => Wait::Until { time, zone: TimeZone::system() },
        None => Wait::For(wait),
    };
    Some(Batch { max: max?, wait })
}

/// Only some kinds take several events at once, and some of them only when told how. `settings`
/// are those of the kind, where they are good.
pub(super) fn check_batch(
    handler: &Table<'_>,
    batch: Option<&Batch>,
    kind: &Kind,
    settings: Option<&dyn KindSettings>,
) {
    let Some(batch) = batch else { return };
    if kind.batch_max <= 1 {
        let message = format_args!("the kind `{}` takes one event at a time", kind.name);
        handler.problem("batch", message, "leave `batch` out");
    } else if let Some(needed) = settings.and_then(KindSettings::batch_needs) {
        let name = kind.name;
        let message = format_args!("as it is set up, the kind `{name}` takes one event at a time");
        handler.problem("batch", message, format_args!("write {needed}, or leave `batch` out"));
    } else if batch.max.get() > kind.batch_max {
        let most = kind.batch_max;
        let message = format_args!("the kind `{}` takes at most {most} events", kind.name);
        handler.problem("batch", message, format_args!("write `max = {most}` or less"));
    }
}
