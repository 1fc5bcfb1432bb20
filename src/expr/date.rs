//! Moments in every form that senders write, and the filter `date` that shows them.

use jiff::tz::TimeZone;
use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, Value};

use super::arguments::Arguments;
use super::values::is_missing;
use super::{bad_argument, plain};
use crate::body::number;

/// What a date looks like where nothing is said.
const FORMAT: &str = "%Y-%m-%d %H:%M";

/// Forms that are neither ISO 8601 nor RFC 2822, each with an offset behind it or without one:
/// Rails, GitLab and git; with slashes; ctime, with the year at the end or before the offset, as
/// JavaScript has it; web servers' logs; names of months, with the time behind or, as `PayPal` has
/// it, before the date.
const FORMS: &[&str] = &[
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %Y %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S",
    "%A, %d-%b-%y %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
    "%b %d, %Y %I:%M %p",
    "%b %d, %Y %H:%M:%S",
    "%d %b %Y %H:%M:%S",
    "%B %d, %Y %I:%M:%S %p",
    "%B %d, %Y %I:%M %p",
    "%B %d, %Y %H:%M:%S",
    "%d %B %Y %H:%M:%S",
    "%H:%M:%S %b %d, %Y",
];
/// The same for a day.
const DAYS: &[&str] = &["%Y/%m/%d", "%b %d, %Y", "%d %b %Y", "%B %d, %Y", "%d %B %Y"];
/// With the offset in the middle: `date(1)`, Ruby and Twitter.
const OFFSET_WITHIN: &str = "%a %b %d %H:%M:%S %z %Y";

/// The names of zones that RFC 2822 knows, and what `PayPal` and Go write.
const ZONES: [(&str, &str); 12] = [
    ("UTC", "+0000"),
    ("GMT", "+0000"),
    ("UT", "+0000"),
    ("Z", "+0000"),
    ("EST", "-0500"),
    ("EDT", "-0400"),
    ("CST", "-0600"),
    ("CDT", "-0500"),
    ("MST", "-0700"),
    ("MDT", "-0600"),
    ("PST", "-0800"),
    ("PDT", "-0700"),
];

/// The first years of databases and languages, which stand for no date: MySQL's zero date, the zero
/// values of Go and .NET.
const ZERO_DATES: [&str; 2] = ["0000-00-00", "0001-01-01"];

/// `value | date("%d.%m.%Y %H:%M", "Europe/Berlin")`: a moment in the words of strftime(3).
pub(super) fn date(args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::of(args)?;
    let format = args.get(1, "format")?.map_or_else(|| FORMAT.to_owned(), |text| plain(&text));
    let zone = args.get(2, "tz")?.map_or_else(|| "UTC".to_owned(), |text| plain(&text));
    args.finish()?;
    let zone = zone_of(&zone)?;
    show(jiff::Timestamp::UNIX_EPOCH, &zone, &format)?;
    let value = args.value();
    let is_blank = value.as_str().is_some_and(|text| text.trim().is_empty());
    if is_missing(&value) || is_blank || is_zero_date(&value) {
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
    if let Some(code) = foreign_code(format) {
        let message = format!(
            "the date format is wrong: strftime knows no `{code}`; `%Z` is the zone's short name, `%z` its offset"
        );
        return Err(bad_argument(message));
    }
    if !format.contains('%') {
        let message = "the date format has no `%`: write `%d.%m.%Y %H:%M` as strftime has it";
        return Err(bad_argument(message.to_owned()));
    }
    let zoned = moment.to_zoned(zone.clone());
    jiff::fmt::strtime::format(format, &zoned)
        .map_err(|err| bad_argument(format!("the date format is wrong: {err}")))
}

/// A code that the library reads and strftime(3) does not: it would show a zone's name where its writer
/// meant something else.
fn foreign_code(format: &str) -> Option<&str> {
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let code = rest.get(at..)?;
        let is_flag = |c: char| c.is_ascii_digit() || "-_^#:.".contains(c);
        let letter = code.char_indices().skip(1).find(|(_, c)| !is_flag(*c));
        let (place, letter) = letter?;
        let end = place + letter.len_utf8();
        if letter == 'Q' {
            return code.get(..end);
        }
        rest = code.get(end..)?;
    }
    None
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
        ValueKind::Map => within(value),
        _ => None,
    }
}

/// Whether the text is what stands for no date in databases and languages that have no null.
pub fn is_zero_date(value: &Value) -> bool {
    let is_zero = |text: &str| ZERO_DATES.iter().any(|zero| text.trim().starts_with(zero));
    value.as_str().is_some_and(is_zero)
}

/// A moment as `MongoDB` and Firestore write it: `{"$date": …}`, `{"seconds": 1, "nanos": 0}`.
fn within(value: &Value) -> Option<jiff::Timestamp> {
    let field = |name: &str| value.get_attr(name).ok().filter(|field| !is_missing(field));
    if let Some(date) = field("$date").filter(|date| date.kind() != ValueKind::Map) {
        return moment(&date);
    }
    let number = |names: [&str; 3]| {
        let found = names.into_iter().find_map(field)?;
        number::plain(found).as_i64()
    };
    let seconds = number(["seconds", "_seconds", "sec"])?;
    let nanos = number(["nanos", "nanoseconds", "_nanoseconds"]).unwrap_or(0);
    jiff::Timestamp::new(seconds, i32::try_from(nanos).ok()?).ok()
}

fn without_offset(text: &str) -> Option<jiff::Timestamp> {
    let date_time: jiff::civil::DateTime = text.parse().ok()?;
    date_time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn other(text: &str) -> Option<jiff::Timestamp> {
    if let Some(ticks) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        // .NET: milliseconds, whatever offset is behind them.
        let end = ticks.rfind(['+', '-']).filter(|at| *at > 0).unwrap_or(ticks.len());
        return jiff::Timestamp::from_millisecond(ticks.get(..end)?.parse().ok()?).ok();
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // All in one, of this century or the last: as Unix time it would be no date of our time.
        let is_date = text.len() == 14 && (text.starts_with("19") || text.starts_with("20"));
        let parsed = jiff::fmt::strtime::parse("%Y%m%d%H%M%S %z", format!("{text} +0000"));
        return parsed.ok().filter(|_| is_date)?.to_timestamp().ok();
    }
    let (text, offset) = with_offset(text);
    if let Ok(parsed) = jiff::fmt::strtime::parse(OFFSET_WITHIN, format!("{text}{offset}")) {
        return parsed.to_timestamp().ok();
    }
    let offset = if offset.is_empty() { "+0000" } else { &offset };
    let forms = FORMS.iter().map(|form| (format!("{form} %z"), format!("{text} {offset}")));
    let days = DAYS.iter().map(|day| (format!("{day} %H:%M %z"), format!("{text} 00:00 {offset}")));
    forms
        .chain(days)
        .find_map(|(form, text)| jiff::fmt::strtime::parse(form, &text).ok()?.to_timestamp().ok())
}

/// The text without the offset at its end, and the offset as `+hhmm`; empty where there is none.
/// Names of zones are offsets; behind an offset they, and what is in brackets, say it again.
fn with_offset(text: &str) -> (String, String) {
    let text = text.split(['(', '[']).next().unwrap_or(text);
    // Go's monotonic clock.
    let text = text.split(" m=").next().unwrap_or(text);
    let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    for word in &mut words {
        let after_zone = ["GMT", "UTC"].iter().find_map(|zone| word.strip_prefix(zone));
        let offset = after_zone.filter(|rest| is_offset(rest)).map(str::to_owned);
        let named = ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        if let Some(offset) = offset.or_else(|| named.map(|(_, offset)| (*offset).to_owned())) {
            *word = offset;
        }
    }
    if let [.., before, last] = &words[..]
        && is_offset(before)
        && is_offset(last)
    {
        words.pop();
    }
    let offset = words.pop_if(|last| is_offset(last)).map(|last| last.replace(':', ""));
    (words.join(" "), offset.unwrap_or_default())
}

/// `+hhmm` or `+hh:mm`.
fn is_offset(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or_default();
    let n_digits = digits.bytes().filter(u8::is_ascii_digit).count();
    n_digits == 4 && (digits.len() == 4 || (digits.len() == 5 && digits.get(2..3) == Some(":")))
}

/// Seconds up to the year 5138, milliseconds, microseconds or nanoseconds beyond it: senders do
/// not say which, and no other reading of such a number is a date of our time.
fn unix(value: &Value) -> Option<jiff::Timestamp> {
    let Some(number) = value.as_i64() else {
        let seconds: f64 = value.clone().try_into().ok()?;
        let duration = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
        // What is finer is noise of a binary number: .123 would be .122999.
        let duration = duration.round(jiff::Unit::Microsecond).ok()?;
        return jiff::Timestamp::from_duration(duration).ok();
    };
    // `20191219102115`, as M-Pesa writes it: as Unix time in milliseconds it is beyond the year 2600.
    if (19_000_101_000_000..=21_001_231_235_959).contains(&number)
        && let Some(moment) = other(&number.to_string())
    {
        return Some(moment);
    }
    match number.unsigned_abs() {
        0..100_000_000_000 => jiff::Timestamp::from_second(number),
        100_000_000_000..100_000_000_000_000 => jiff::Timestamp::from_millisecond(number),
        100_000_000_000_000..100_000_000_000_000_000 => jiff::Timestamp::from_microsecond(number),
        _ => jiff::Timestamp::from_nanosecond(number.into()),
    }
    .ok()
}
