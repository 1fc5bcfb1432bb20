//! `retry`, `breaker` and `batch`.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::deliver::{Batch, Breaker, FailurePattern, Policy, Retry, Wait};
use crate::handler::{Kind, KindSettings};
use crate::settings::{FromToml, Table, Value, parse_duration, show_duration};

/// How long the first event of a batch waits for others where the configuration does not say.
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// How a number that was written in a table's place is written.
fn example(handler: &Table<'_>, key: &str, field: &str) -> String {
    let in_text = || handler.text_of(key).and_then(|text| text.parse().ok());
    let number = handler.number_of(key).or_else(in_text).filter(|number| *number > 0).unwrap_or(5);
    format!("{{ {field} = {number} }}")
}

pub(super) fn read_retry(handler: &mut Table<'_>) -> Retry {
    if let Some(text) = handler.text_of("retry").filter(|text| parse_duration(text).is_ok()) {
        let help = format_args!(
            "write `retry = {{ min = \"{text}\" }}` for the first wait, or `retry = {{ total = \"{text}\" }}` for \
             how long it is tried"
        );
        handler.reject("retry", "expected a table, found a string", help);
        return Retry::DEFAULT;
    }
    let Some(mut table) = handler.table_like("retry", example(handler, "retry", "attempts")) else {
        return Retry::DEFAULT;
    };
    let max = if is_number_of_tries(&mut table) {
        Retry::DEFAULT.max
    } else {
        table.take_or("max", Retry::DEFAULT.max)
    };
    let retry = Retry {
        attempts: table.take("attempts"),
        min: table.take_or("min", Retry::DEFAULT.min),
        max,
        total: table.take_or("total", Retry::DEFAULT.total),
        growth: Retry::DEFAULT.growth,
    };
    let mut is_good = true;
    if retry.min.is_zero() {
        table.problem("min", "without a wait the other side is hammered", "write `min = \"1s\"`");
        is_good = false;
    }
    if retry.max < retry.min {
        let key = if table.has("max") { "max" } else { "min" };
        table.problem(key, "`max` is less than `min`", "the wait grows from `min` to `max`");
        is_good = false;
    }
    if table.has("total") && retry.total < retry.min && is_good {
        let min = show_duration(retry.min);
        let message = format_args!(
            "this is over before the first wait of {min} is: there is one more try, at its end"
        );
        table.warning("total", message, "write a longer `total`, or a shorter `min`");
    }
    // Who names tries alone wants so many, however soon they are over.
    let spread = table.has("attempts") && table.has("total") && is_good;
    let retry = if spread { spread_over_total(&table, retry) } else { retry };
    table.finish();
    retry
}

/// `max = 5`: other programs call the number of tries so.
fn is_number_of_tries(table: &mut Table<'_>) -> bool {
    let Some(number) = table.number_of("max") else { return false };
    let help = format_args!(
        "write `attempts = {number}` for the number of tries, or `max = \"{number}s\"` for the longest wait"
    );
    table.reject("max", "expected a duration, found an integer", help);
    true
}

/// Spreads the tries over the time that is to be tried; what cannot last so long is told.
fn spread_over_total(table: &Table<'_>, retry: Retry) -> Retry {
    let retry = retry.spread_over_total();
    let mean = retry.mean(retry.growth);
    if mean < retry.total {
        let (mean, total) = (show_rounded(mean), show_duration(retry.total));
        let message = format_args!("so many tries last for {mean} in the mean, not for {total}");
        table.warning("attempts", message, "leave `attempts` out, or write a longer `max`");
    }
    retry
}

/// To the second, or to the minute where that is enough.
fn show_rounded(time: Duration) -> String {
    let step = if time > Duration::from_hours(1) { 60 } else { 1 };
    show_duration(Duration::from_secs(time.as_secs() / step * step))
}

pub(super) fn read_judgement(
    handler: &mut Table<'_>,
) -> (Vec<FailurePattern>, Vec<FailurePattern>) {
    let mut read = |key| handler.one_or_many::<FailurePattern>(key).unwrap_or_default();
    let (retry_on, dead_on) = (read("retry_on"), read("dead_on"));
    if retry_on.iter().any(|pattern| dead_on.contains(pattern)) {
        let message = "the same failure is to be tried again and to be given up";
        handler.problem("dead_on", message, "take it out of `retry_on` or `dead_on`");
    }
    (retry_on, dead_on)
}

/// Warns of statuses that no failure of the kind has: what is written of them never comes to pass.
pub(super) fn check_judgement(handler: &Table<'_>, kind: &Kind, policy: &Policy) {
    for (key, patterns) in [("retry_on", &policy.retry_on), ("dead_on", &policy.dead_on)] {
        let mut statuses = patterns.iter().filter_map(|pattern| match pattern {
            FailurePattern::Status(range) => Some(range),
            FailurePattern::Class(_) => None,
        });
        let name = kind.name;
        let is_void = |range: &&RangeInclusive<u16>| {
            let overlaps = |known: &RangeInclusive<u16>| {
                range.start() <= known.end() && known.start() <= range.end()
            };
            !kind.statuses.as_ref().is_some_and(overlaps)
        };
        if let Some(range) = statuses.find(is_void) {
            let first = range.start();
            let message = format_args!("no failure of the kind `{name}` has the status {first}");
            let help = match &kind.statuses {
                Some(known) => format!("its failures have {} to {}", known.start(), known.end()),
                None => format!(
                    "its failures have no statuses: leave {first} out; \"timeout\" and \"connection\" \
                     are told apart"
                ),
            };
            handler.warning(key, message, help);
        }
    }
}

impl FromToml for FailurePattern {
    fn expected() -> String {
        "a status (404, \"4xx\", \"500-503\"), \"timeout\" or \"connection\"".to_owned()
    }

    fn example() -> String {
        "\"4xx\"".to_owned()
    }

    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": ["string", "integer"] })
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        let pattern = match (value.as_str(), value.as_integer()) {
            (Some(text), _) => Self::parse(text),
            (None, Some(number)) => Self::parse(&number.to_string()),
            (None, None) => None,
        };
        let Some(text) = value.as_str().filter(|_| pattern.is_none()) else {
            return pattern.or_else(|| value.mismatch());
        };
        let message = format_args!("`{}` names no failures", text.escape_debug());
        value.problem(message, format_args!("write {}", Self::expected()));
        None
    }
}

pub(super) fn read_breaker(handler: &mut Table<'_>) -> Breaker {
    let Some(mut table) = handler.table_like("breaker", example(handler, "breaker", "failures"))
    else {
        return Breaker::DEFAULT;
    };
    let breaker = Breaker {
        failures: table.take_or("failures", Breaker::DEFAULT.failures),
        probe_interval: table.take_or("probe_interval", Breaker::DEFAULT.probe_interval),
    };
    if breaker.probe_interval.is_zero() {
        let message = "without a wait the other side is hammered";
        table.problem("probe_interval", message, "write `probe_interval = \"30s\"`");
    }
    table.finish();
    breaker
}

pub(super) fn read_batch(handler: &mut Table<'_>) -> Option<Batch> {
    let mut table = handler.table_like("batch", example(handler, "batch", "max"))?;
    let max = table.require::<NonZeroUsize>("max");
    let wait = table.take_or("wait", BATCH_WAIT);
    let hint = "write hours and minutes, such as `at = \"07:00\"`";
    let at = table.checked_or("at", hint, |text: String| {
        text.parse::<jiff::civil::Time>().map_err(|_| format!("`{text}` is no time of day"))
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
