//! Moments in every form that senders write, and the filter `date` that shows them.

use jiff::tz::TimeZone;
use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, Value};

use super::arguments::Arguments;
use super::filters::is_missing;
use super::{bad_argument, plain};
use crate::body::number;

/// What a date looks like where nothing is said.
const FORMAT: &str = "%Y-%m-%d %H:%M";

/// Forms that are neither ISO 8601 nor RFC 2822: Rails and GitLab, git, ctime.
const FORMS: &[&str] = &[
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%Y-%m-%d %H:%M:%S%.f %:z",
    "%a %b %d %H:%M:%S %z %Y",
    "%d/%b/%Y:%H:%M:%S %z",
];

/// `value | date("%d.%m.%Y %H:%M", "Europe/Berlin")`: a moment in the words of strftime(3).
pub(super) fn date(args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::of(args)?;
    let format = args.get(1, "format")?.map_or_else(|| FORMAT.to_owned(), |text| plain(&text));
    let zone = args.get(2, "tz")?.map_or_else(|| "UTC".to_owned(), |text| plain(&text));
    args.finish()?;
    let zone = zone_of(&zone)?;
    show(jiff::Timestamp::UNIX_EPOCH, &zone, &format)?;
    let value = args.value();
    if is_missing(&value) || value.as_str().is_some_and(|text| text.trim().is_empty()) {
        return Ok(Value::UNDEFINED);
    }
    let moment = moment(&value).ok_or_else(|| {
        let message = format!("this {} is no date", value.kind());
        Error::new(ErrorKind::InvalidOperation, message)
    })?;
    show(moment, &zone, &format).map(Value::from)
}

fn zone_of(name: &str) -> Result<TimeZone, Error> {
    if name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        bad_argument(format!("there is no time zone `{name}`: write one as `Europe/Berlin`"))
    })
}

fn show(moment: jiff::Timestamp, zone: &TimeZone, format: &str) -> Result<String, Error> {
    let zoned = moment.to_zoned(zone.clone());
    jiff::fmt::strtime::format(format, &zoned)
        .map_err(|err| bad_argument(format!("the date format is wrong: {err}")))
}

/// The moment that a value means: Unix time, or text in one of the usual forms. Text without an
/// offset is UTC.
pub fn moment(value: &Value) -> Option<jiff::Timestamp> {
    match value.kind() {
        ValueKind::Number => unix(value),
        ValueKind::Plain => unix(&number::plain(value.clone())),
        ValueKind::String => {
            let text = value.as_str()?.trim();
            text.parse::<jiff::Timestamp>()
                .ok()
                .or_else(|| without_offset(text))
                .or_else(|| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp()))
                .or_else(|| other(text))
                .or_else(|| unix(&text.parse::<f64>().ok().map(Value::from)?))
        }
        _ => None,
    }
}

fn without_offset(text: &str) -> Option<jiff::Timestamp> {
    let date_time: jiff::civil::DateTime = text.parse().ok()?;
    date_time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn other(text: &str) -> Option<jiff::Timestamp> {
    let text = match text.strip_suffix("UTC").or_else(|| text.strip_suffix("GMT")) {
        Some(text) => format!("{text}+0000"),
        None => text.to_owned(),
    };
    FORMS.iter().find_map(|form| jiff::fmt::strtime::parse(form, &text).ok()?.to_timestamp().ok())
}

/// Seconds up to the year 5138, milliseconds, microseconds or nanoseconds beyond it: senders do
/// not say which, and no other reading of such a number is a date of our time.
fn unix(value: &Value) -> Option<jiff::Timestamp> {
    let Some(number) = value.as_i64() else {
        let seconds: f64 = value.clone().try_into().ok()?;
        let duration = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
        return jiff::Timestamp::from_duration(duration).ok();
    };
    match number.unsigned_abs() {
        0..100_000_000_000 => jiff::Timestamp::from_second(number),
        100_000_000_000..100_000_000_000_000 => jiff::Timestamp::from_millisecond(number),
        100_000_000_000_000..100_000_000_000_000_000 => jiff::Timestamp::from_microsecond(number),
        _ => jiff::Timestamp::from_nanosecond(number.into()),
    }
    .ok()
}
