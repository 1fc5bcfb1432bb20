//! Moments in every form that senders write, and the filter `date` that shows them.

use jiff::civil::Time;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, Value};

use super::arguments::Arguments;
use super::calendar_time::CalendarTime;
use super::values::is_missing;
use super::{bad_argument, plain};
use crate::body::number;

mod doubt;
mod forms;

pub use doubt::{MomentDoubt, moment_doubt};
use doubt::{is_packed_or_millis, is_small, is_year_or_seconds};
use forms::{DAYS, FORMS, OFFSET_WITHIN, ZERO_DATES, ZONES};

/// What a date looks like where nothing is said.
const FORMAT: &str = "%Y-%m-%d %H:%M";

/// `value | date("%d.%m.%Y %H:%M", "Europe/Berlin")`: a moment in the words of strftime(3).
pub(super) fn date(args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::of(args)?;
    let format = args.get(1, "format")?.map_or_else(|| FORMAT.to_owned(), |text| plain(&text));
    let zone = args.get(2, "tz")?.map_or_else(|| "UTC".to_owned(), |text| plain(&text));
    args.finish()?;
    let zone = zone_of(&zone)?;
    show(Timestamp::UNIX_EPOCH.into(), &zone, &format)?;
    let value = args.value();
    let value = packed(&value).map_or(value, Value::from);
    let is_blank = value.as_str().is_some_and(|text| text.trim().is_empty());
    if is_missing(&value) || is_blank || is_zero_date(&value) {
        return Ok(Value::UNDEFINED);
    }
    let moment = moment(&value).ok_or_else(|| {
        let message = match moment_doubt(&value) {
            Some(MomentDoubt { form, help }) => format!("this {form} is no date: {help}"),
            None => format!("this {} is no date", value.kind()),
        };
        Error::new(ErrorKind::InvalidOperation, message)
    })?;
    // A day is that day in every zone, not the evening before in America.
    let day = value.as_str().and_then(day).and_then(|day| in_zone(day, &zone));
    show(day.unwrap_or(moment), &zone, &format).map(Value::from)
}

/// The midnight, as in UTC, of a text that has neither a time in it nor an offset. A zone that is named by its
/// place does not move a day either.
fn day(text: &str) -> Option<CalendarTime> {
    let text = text.trim();
    let text = with_named_zone(text).map_or(text, |(local, _)| local);
    if let Ok(pieces) = Pieces::parse(text) {
        let is_day = pieces.time().is_none() && pieces.to_numeric_offset().is_none();
        return is_day.then(|| iso(text))?;
    }
    let (text, offset) = with_offset(text);
    DAYS.iter().filter(|_| offset.is_empty()).find_map(|day| of_day(day, &text, "+0000"))
}

fn zone_of(name: &str) -> Result<TimeZone, Error> {
    if name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        bad_argument(format!("there is no time zone `{name}`: write one as `Europe/Berlin`"))
    })
}

fn show(moment: CalendarTime, zone: &TimeZone, format: &str) -> Result<String, Error> {
    if let Some(code) = codes(format).into_iter().find(|code| code.ends_with('Q')) {
        let message = format!(
            "the date format is wrong: strftime knows no `{code}`; `%Z` is the zone's short name, `%z` its offset"
        );
        return Err(bad_argument(message));
    }
    if !format.contains('%') {
        let message = "the date format has no `%`: write `%d.%m.%Y %H:%M` as strftime has it";
        return Err(bad_argument(message.to_owned()));
    }
    let shown = match moment.timestamp() {
        Some(timestamp) => jiff::fmt::strtime::format(format, &timestamp.to_zoned(zone.clone())),
        None => at_the_end(moment, zone, format),
    };
    shown.map_err(|err| bad_argument(format!("the date format is wrong: {err}")))
}

/// A moment in the calendar's last hours, which no timestamp of the library holds: its zone's name and
/// its Unix time are put in here.
fn at_the_end(moment: CalendarTime, zone: &TimeZone, format: &str) -> Result<String, jiff::Error> {
    let zone = zone.to_offset_info(Timestamp::MAX);
    let mut filled = String::new();
    let mut rest = format;
    for code in codes(format) {
        let (before, behind) = rest.split_once(code).unwrap_or((rest, ""));
        filled.push_str(before);
        match code.chars().next_back() {
            Some('Z') => filled.push_str(zone.abbreviation()),
            Some('s') => filled.push_str(&moment.since_epoch().as_secs().to_string()),
            _ => filled.push_str(code),
        }
        rest = behind;
    }
    filled.push_str(rest);
    let local =
        moment.utc().saturating_add(SignedDuration::from_secs(zone.offset().seconds().into()));
    let mut broken_down = BrokenDownTime::from(local);
    broken_down.set_offset(Some(zone.offset()));
    broken_down.to_string(&filled)
}

/// The codes of a format, each from its `%` to its letter. `%Q` is one that the library reads and
/// strftime(3) does not: it would show a zone's name where its writer meant something else.
fn codes(format: &str) -> Vec<&str> {
    let mut codes = Vec::new();
    let mut rest = format;
    while let Some(code) = rest.find('%').and_then(|at| rest.get(at..)) {
        let is_flag = |c: char| c.is_ascii_digit() || "-_^#:.".contains(c);
        let letter = code.char_indices().skip(1).find(|(_, c)| !is_flag(*c));
        let Some((code, behind)) =
            letter.and_then(|(at, letter)| code.split_at_checked(at + letter.len_utf8()))
        else {
            break;
        };
        codes.push(code);
        rest = behind;
    }
    codes
}

/// The moment that a value means: Unix time, or text in one of the usual forms. Text without an
/// offset is UTC.
pub fn moment(value: &Value) -> Option<CalendarTime> {
    match value.kind() {
        ValueKind::Number => unix(value),
        ValueKind::Plain => unix(&number::plain(value.clone())),
        ValueKind::String => {
            let text = value.as_str()?.trim();
            if let Some((local, zone)) = with_named_zone(text) {
                return in_zone(written(local)?, &TimeZone::get(zone).ok()?);
            }
            let is_in_doubt = || is_packed_or_millis(text) || is_year_or_seconds(text);
            let number = || text.parse::<f64>().ok().filter(|_| !is_in_doubt());
            written(text).or_else(|| unix(&number().map(Value::from)?))
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

/// A moment in text.
fn written(text: &str) -> Option<CalendarTime> {
    iso(text).or_else(|| rfc2822(text)).or_else(|| other(text))
}

/// Text and the zone behind it that is named by its place, as in `2026-01-02 03:04:05 Europe/Berlin` or in
/// brackets. `None` where there is an offset, which counts for more.
fn with_named_zone(text: &str) -> Option<(&str, &str)> {
    let (local, zone) = match text.strip_suffix(']') {
        Some(text) => text.rsplit_once('[')?,
        None => text.rsplit_once(' ').filter(|(_, zone)| {
            zone.contains('/') && zone.starts_with(|c: char| c.is_ascii_alphabetic())
        })?,
    };
    let local = local.trim_end();
    let is_plain = match Pieces::parse(local) {
        Ok(pieces) => pieces.offset().is_none(),
        Err(_) => with_offset(local).1.is_empty(),
    };
    is_plain.then_some((local, zone.trim_start_matches('!')))
}

/// What clocks of the zone show as what was read as UTC.
fn in_zone(local: CalendarTime, zone: &TimeZone) -> Option<CalendarTime> {
    let local = local.utc();
    let timestamp = zone.to_ambiguous_timestamp(local).compatible().ok()?;
    Some(CalendarTime::at(local, zone.to_offset(timestamp)))
}

/// PHP's date object, as `json_encode` writes it: its zone is an offset, a short name or a place.
fn of_php(date: &str, zone: &str) -> Option<CalendarTime> {
    let text = format!("{date} {zone}");
    if with_offset(&text).1.is_empty() {
        return in_zone(written(date)?, &TimeZone::get(zone).ok()?);
    }
    written(&text)
}

/// A moment as `MongoDB`, Firestore and PHP write it: `{"$date": …}`, `{"seconds": 1, "nanos": 0}`,
/// `{"date": …, "timezone": …}`.
fn within(value: &Value) -> Option<CalendarTime> {
    let field = |name: &str| value.get_attr(name).ok().filter(|field| !is_missing(field));
    if let (Some(date), Some(zone)) = (field("date"), field("timezone")) {
        return of_php(date.as_str()?.trim(), zone.as_str()?.trim());
    }
    if let Some(date) = field("$date").filter(|date| date.kind() != ValueKind::Map) {
        return moment(&date);
    }
    let number = |names: [&str; 3]| {
        let found = names.into_iter().find_map(field)?;
        number::plain(found).as_i64()
    };
    let seconds = number(["seconds", "_seconds", "sec"])?;
    let nanos = number(["nanos", "nanoseconds", "_nanoseconds"]).unwrap_or(0);
    CalendarTime::after_epoch(SignedDuration::new(seconds, i32::try_from(nanos).ok()?))
}

/// ISO 8601. A zone in brackets says again what the offset before it says. `T24:00` is the midnight at the
/// end of that day.
fn iso(text: &str) -> Option<CalendarTime> {
    let Ok(pieces) = Pieces::parse(text) else {
        let begun = text.replacen("T24", "T00", 1);
        let pieces = Pieces::parse(&begun).ok().filter(|_| begun != text)?;
        let day = pieces.date().tomorrow().ok()?;
        let local = day.to_datetime(pieces.time().filter(|time| *time == Time::midnight())?);
        return Some(CalendarTime::at(local, pieces.to_numeric_offset().unwrap_or(Offset::UTC)));
    };
    let local = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
    Some(CalendarTime::at(local, pieces.to_numeric_offset().unwrap_or(Offset::UTC)))
}

fn rfc2822(text: &str) -> Option<CalendarTime> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(CalendarTime::at(zoned.datetime(), zoned.offset()))
}

fn broken_down(form: &str, text: &str) -> Option<CalendarTime> {
    let parsed = jiff::fmt::strtime::parse(form, text).ok()?;
    // The `13` of a year is no year of the first century.
    let local = parsed.to_datetime().ok().filter(|local| local.year() >= 100)?;
    Some(CalendarTime::at(local, parsed.offset()?))
}

fn other(text: &str) -> Option<CalendarTime> {
    if let Some(ticks) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        // .NET: milliseconds, whatever offset is behind them.
        let end = ticks.rfind(['+', '-']).filter(|at| *at > 0).unwrap_or(ticks.len());
        let millis = ticks.get(..end)?.parse().ok()?;
        return CalendarTime::after_epoch(SignedDuration::from_millis(millis));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // All in one, of this century or the last: as Unix time it would be no date of our time.
        let is_date = text.len() == 14 && (text.starts_with("19") || text.starts_with("20"));
        let parsed = broken_down("%Y%m%d%H%M%S %z", &format!("{text} +0000"));
        return parsed.filter(|_| is_date);
    }
    let (text, offset) = with_offset(text);
    if let Some(parsed) = broken_down(OFFSET_WITHIN, &format!("{text}{offset}")) {
        return Some(parsed);
    }
    let offset = if offset.is_empty() { "+0000" } else { &offset };
    let of_form = |form| broken_down(&format!("{form} %z"), &format!("{text} {offset}"));
    let found = FORMS.iter().find_map(of_form);
    found.or_else(|| DAYS.iter().find_map(|day| of_day(day, &text, offset)))
}

fn of_day(day: &str, text: &str, offset: &str) -> Option<CalendarTime> {
    broken_down(&format!("{day} %H:%M %z"), &format!("{text} 00:00 {offset}"))
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

/// The digits of a number that are a date: `20191219102115`, as M-Pesa writes it, and `20191219`. As Unix time the
/// one is beyond the year 2600, in milliseconds, and the other of 1970.
fn packed(value: &Value) -> Option<String> {
    let number = value.as_i64().filter(|_| value.kind() == ValueKind::Number)?;
    let text = number.to_string();
    let is_date = match number {
        19_000_101..=21_001_231 => iso(&text).is_some(),
        19_000_101_000_000..=21_001_231_235_959 => other(&text).is_some(),
        _ => false,
    };
    is_date.then_some(text)
}

/// Seconds up to the year 5138, milliseconds, microseconds or nanoseconds beyond it: senders do
/// not say which, and no other reading of such a number is a date of our time. What is the last day of
/// 9999 in one of these units is that: it stands for "never". A small number is hardly one of these.
fn unix(value: &Value) -> Option<CalendarTime> {
    if let Some(text) = packed(value) {
        return written(&text);
    }
    if is_small(value) {
        return None;
    }
    let Some(number) = value.as_i64() else {
        let seconds: f64 = value.clone().try_into().ok()?;
        let duration = SignedDuration::try_from_secs_f64(seconds).ok()?;
        // What is finer is noise of a binary number: .123 would be .122999.
        return CalendarTime::after_epoch(duration.round(jiff::Unit::Microsecond).ok()?);
    };
    let is_never =
        |per_second: i64| (LAST_DAY..=LAST_DAY + 86_400).contains(&(number / per_second));
    let duration = match number.unsigned_abs() {
        _ if is_never(1) => SignedDuration::from_secs(number),
        _ if is_never(1_000) => SignedDuration::from_millis(number),
        _ if is_never(1_000_000) => SignedDuration::from_micros(number),
        0..100_000_000_000 => SignedDuration::from_secs(number),
        100_000_000_000..100_000_000_000_000 => SignedDuration::from_millis(number),
        100_000_000_000_000..100_000_000_000_000_000 => SignedDuration::from_micros(number),
        _ => SignedDuration::from_nanos(number),
    };
    CalendarTime::after_epoch(duration)
}

/// 9999-12-31T00:00:00Z in seconds.
const LAST_DAY: i64 = 253_402_214_400;
