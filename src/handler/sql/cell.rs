//! From what an expression came to, to what a column takes.

use minijinja::value::ValueKind;

use crate::body::json::{self, Layout};
use crate::body::number;
use crate::expr::{CalendarTime, MomentDoubt, Value, is_zero_date, moment, moment_doubt};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text; what is not text becomes it, lists and maps as JSON.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Real,
    /// True or false.
    Bool,
    Json,
    /// A moment, from Unix time (seconds, or finer where the number is too large for them) or ISO
    /// 8601 text; text without an offset is UTC.
    Timestamp,
    /// A day: what a column is, never what the configuration says.
    Date,
}

impl ColumnType {
    /// Every type by its name in the configuration.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("text", Self::Text),
        ("integer", Self::Integer),
        ("real", Self::Real),
        ("bool", Self::Bool),
        ("json", Self::Json),
        ("timestamp", Self::Timestamp),
    ];

    /// The type's name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Bool => "bool",
            Self::Json => "json",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
        }
    }

    /// Whether a column that holds `column` takes at least some values of this type.
    pub(super) fn fits(self, column: Self) -> bool {
        let sample = match self {
            // Text may hold anything.
            Self::Text => return true,
            Self::Integer | Self::Real => Cell::Integer(1),
            Self::Bool => Cell::Bool(true),
            Self::Json => Cell::Json("{}".to_owned()),
            Self::Timestamp | Self::Date => Cell::Timestamp(jiff::Timestamp::UNIX_EPOCH.into()),
        };
        sample.fit(column).is_ok()
    }
}

/// A value on its way into a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Integer(i64),
    Real(f64),
    /// A number with more digits than a float keeps, as it was written.
    Decimal(String),
    Bool(bool),
    Json(String),
    Timestamp(CalendarTime),
    Bytes(Vec<u8>),
    /// What an array of PostgreSQL holds.
    List(Vec<Self>),
}

/// A value that a column cannot take. Says kinds, never values: those come from a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} is no {}{help}", wanted.as_str())]
pub(super) struct TypeMismatch {
    found: String,
    wanted: ColumnType,
    /// What to write, behind a colon; empty where there is nothing to say.
    help: String,
}

impl TypeMismatch {
    fn new(found: impl Into<String>, wanted: ColumnType) -> Self {
        Self { found: found.into(), wanted, help: String::new() }
    }

    /// That a text or number is no moment of a form that is known.
    fn no_moment(doubt: MomentDoubt, wanted: ColumnType) -> Self {
        let MomentDoubt { form, help } = doubt;
        Self { found: format!("a {form}"), wanted, help: format!(": {help}") }
    }
}

impl Cell {
    /// `value` as a `wanted`. Undefined, null and, except for text, the empty text are NULL.
    pub(super) fn of(value: &Value, wanted: ColumnType) -> Result<Self, TypeMismatch> {
        if value.is_undefined() || value.is_none() {
            return Ok(Self::Null);
        }
        let is_blank = value.as_str().is_some_and(|text| text.trim().is_empty());
        let cell = match wanted {
            ColumnType::Text => text(value).map(Self::Text),
            ColumnType::Json => json::write(value, Layout::Compact).ok().map(Self::Json),
            _ if is_blank => Some(Self::Null),
            ColumnType::Integer => integer(value).map(Self::Integer),
            ColumnType::Real => real(value),
            ColumnType::Bool => boolean(value).map(Self::Bool),
            ColumnType::Timestamp | ColumnType::Date if is_zero_date(value) => Some(Self::Null),
            ColumnType::Timestamp => moment(value).map(Self::Timestamp),
            ColumnType::Date => moment(value).map(day),
        };
        cell.ok_or_else(|| {
            if let ColumnType::Timestamp | ColumnType::Date = wanted
                && let Some(doubt) = moment_doubt(value)
            {
                return TypeMismatch::no_moment(doubt, wanted);
            }
            let is_number = number::written(value).is_some();
            let kind = if is_number { ValueKind::Number } else { value.kind() };
            let found = format!("a {kind}");
            if wanted == ColumnType::Integer && kind == ValueKind::Number {
                let help = ": with `| round | int` behind it is a whole one".to_owned();
                return TypeMismatch { found, wanted, help };
            }
            TypeMismatch::new(found, wanted)
        })
    }

    /// `value` as a whole number that only an unsigned column holds.
    pub(super) fn unsigned(value: &Value) -> Option<Self> {
        let number: u64 = match value.as_str() {
            Some(text) => text.trim().parse().ok()?,
            None => number::json(value)?.parse().ok()?,
        };
        // As text MySQL reads it exactly.
        Some(Self::Decimal(number.to_string()))
    }

    /// `value` as an array of `column`s, each item as a `wanted`. What is no list is the only item. At
    /// most so many lists are within each other that are arrays.
    pub(super) fn list(
        value: &Value,
        wanted: ColumnType,
        column: ColumnType,
        depth_max: usize,
    ) -> Result<Self, TypeMismatch> {
        let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
        let item = |value: &Value| match depth_max {
            2.. if is_list(value) => Self::list(value, wanted, column, depth_max - 1),
            _ => Self::of(value, wanted).and_then(|cell| cell.fit(column)),
        };
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => Ok(Self::Null),
            _ if is_list(value) => {
                let items = value.try_iter().into_iter().flatten();
                items.map(|value| item(&value)).collect::<Result<_, _>>().map(Self::List)
            }
            _ => item(value).map(|cell| Self::List(vec![cell])),
        }
    }

    /// The texts of a list with commas between them, as a `set` of MySQL takes them; `None` = it has others.
    pub(super) fn joined(value: &Value) -> Option<Self> {
        if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
            return None;
        }
        let items = value.try_iter().ok()?;
        let words = items.map(|item| text(&item)).collect::<Option<Vec<_>>>()?;
        Some(Self::Text(words.join(",")))
    }

    /// The same in a column that is really a `column`, whatever it was declared as.
    pub(super) fn fit(self, column: ColumnType) -> Result<Self, TypeMismatch> {
        let mismatch = |found: &str| Err(TypeMismatch::new(found, column));
        match (self, column) {
            (cell @ Self::Null, _)
            | (cell @ Self::Text(_), ColumnType::Text)
            | (
                cell @ Self::Integer(_),
                ColumnType::Integer | ColumnType::Real | ColumnType::Json,
            )
            | (cell @ (Self::Real(_) | Self::Decimal(_)), ColumnType::Real | ColumnType::Json)
            | (cell @ Self::Bool(_), ColumnType::Bool | ColumnType::Json)
            | (cell @ Self::Json(_), ColumnType::Json)
            | (cell @ Self::Timestamp(_), ColumnType::Timestamp) => Ok(cell),
            (Self::Json(text) | Self::Decimal(text), ColumnType::Text) => Ok(Self::Text(text)),
            (Self::Timestamp(moment), ColumnType::Text) => Ok(Self::Text(iso(moment))),
            (Self::Timestamp(moment), ColumnType::Json) => {
                Ok(Self::Json(format!("\"{}\"", iso(moment))))
            }
            (Self::Timestamp(moment), ColumnType::Date) => Ok(day(moment)),
            (Self::Timestamp(moment), ColumnType::Integer) => {
                Ok(Self::Integer(moment.since_epoch().as_secs()))
            }
            (Self::Timestamp(moment), ColumnType::Real) => {
                Ok(Self::Real(moment.since_epoch().as_secs_f64()))
            }
            (Self::Bool(yes), ColumnType::Integer | ColumnType::Real) => {
                Ok(Self::Integer(yes.into()))
            }
            (Self::Timestamp(_), ColumnType::Bool) => mismatch("a timestamp"),
            (Self::Text(text) | Self::Decimal(text), wanted) => {
                Self::of(&Value::from(text), wanted)
            }
            (Self::Integer(number), wanted) => Self::of(&Value::from(number), wanted),
            (Self::Real(number), wanted) => Self::of(&Value::from(number), wanted),
            (Self::Bool(yes), wanted) => Self::of(&Value::from(yes), wanted),
            (Self::Json(_), _) => mismatch("JSON"),
            (Self::Bytes(_), _) => mismatch("bytes"),
            (Self::List(_), _) => mismatch("a list"),
        }
    }

    /// The same for a column of what a clock shows, out of `value`: a bare number is seconds. By the
    /// databases' own rules `130` is a minute and a half. `None` = a text like `1430`, which may be half
    /// past two (ISO 8601) as well.
    pub(super) fn on_a_clock(self, value: &Value) -> Option<Self> {
        match self {
            Self::Text(_) if value.as_str().is_some_and(is_time_or_seconds) => None,
            Self::Text(text) => Some(Self::Text(clock(text.trim()).unwrap_or(text))),
            Self::List(items) => {
                let values = match value.kind() {
                    ValueKind::Seq | ValueKind::Iterable => value.try_iter().ok()?.collect(),
                    _ => vec![value.clone()],
                };
                let pairs = items.into_iter().zip(values);
                pairs
                    .map(|(item, value)| item.on_a_clock(&value))
                    .collect::<Option<_>>()
                    .map(Self::List)
            }
            cell => Some(cell),
        }
    }

    /// Whether it, or one of its items, has more characters than a column of text takes; white space
    /// at the end does not count (SQL).
    pub(super) fn is_longer_than(&self, chars_max: Option<usize>) -> bool {
        let Some(chars_max) = chars_max else { return false };
        match self {
            Self::Text(text) => text.trim_end_matches(' ').chars().count() > chars_max,
            Self::List(items) => items.iter().any(|item| item.is_longer_than(Some(chars_max))),
            Self::Null
            | Self::Integer(_)
            | Self::Real(_)
            | Self::Decimal(_)
            | Self::Bool(_)
            | Self::Json(_)
            | Self::Bytes(_)
            | Self::Timestamp(_) => false,
        }
    }

    /// About how many bytes it takes on its way.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) | Self::Decimal(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(items) => items.iter().map(Self::bytes).sum(),
            Self::Null | Self::Integer(_) | Self::Real(_) | Self::Bool(_) | Self::Timestamp(_) => {
                16
            }
        }
    }

    /// The same for PostgreSQL, whose text and JSON take no NUL: it becomes `�`.
    pub(super) fn without_nul(self) -> Self {
        match self {
            Self::Text(text) if text.contains('\0') => Self::Text(text.replace('\0', "\u{fffd}")),
            Self::Json(json) if json.contains("\\u0000") => Self::Json(json_without_nul(&json)),
            Self::List(items) => Self::List(items.into_iter().map(Self::without_nul).collect()),
            cell => cell,
        }
    }
}

/// ISO 8601 in UTC with milliseconds: of one length, so that it sorts as text.
pub(super) fn iso(moment: CalendarTime) -> String {
    format!("{moment:.3}")
}

/// The day that was sent: in UTC it may be the one before or behind.
fn day(moment: CalendarTime) -> Cell {
    Cell::Text(moment.day().to_string())
}

/// `HHMM` and `HHMMSS` are times without colons (ISO 8601), and numbers of seconds.
fn is_time_or_seconds(text: &str) -> bool {
    let text = text.trim();
    matches!(text.len(), 4 | 6) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// So many seconds as hours, minutes and seconds; `None` = it is no number.
fn clock(number: &str) -> Option<String> {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |number| ("-", number));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = [whole, fraction].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let seconds: u64 = whole.parse().ok().filter(|_| is_number)?;
    let point = if fraction.is_empty() { "" } else { "." };
    let (minutes, second) = (seconds / 60, seconds % 60);
    let (hour, minute) = (minutes / 60, minutes % 60);
    Some(format!("{sign}{hour:02}:{minute:02}:{second:02}{point}{fraction}"))
}

fn text(value: &Value) -> Option<String> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            json::write(value, Layout::Compact).ok()
        }
        // As JSON has it; MiniJinja prints Python's words.
        ValueKind::Bool => Some(value.is_true().to_string()),
        _ => Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None if value.kind() == ValueKind::Bool => Some(value.is_true().into()),
        // As a float it would look whole where it has too many digits.
        None if number::written(value).is_some_and(has_fraction) => None,
        None => number::plain(value.clone()).as_i64(),
    }
}

fn has_fraction(number: &str) -> bool {
    let fraction = number.split_once('.').map(|(_, fraction)| fraction).unwrap_or_default();
    !number.contains(['e', 'E']) && fraction.contains(|digit| digit != '0')
}

/// The most digits that every float keeps.
const FLOAT_DIGITS: usize = 15;

/// Whole numbers stay whole, and those of many digits as they were written: a decimal column keeps
/// all their digits.
fn real(value: &Value) -> Option<Cell> {
    if let Some(whole) = integer(value) {
        return Some(Cell::Integer(whole));
    }
    let text = match value.as_str() {
        Some(text) => text.trim().into(),
        None => number::json(value)?,
    };
    let number: f64 = text.parse().ok()?;
    let n_digits = text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let n_digits = n_digits.filter(u8::is_ascii_digit).count();
    let cell =
        if n_digits > FLOAT_DIGITS { Cell::Decimal(text.into_owned()) } else { Cell::Real(number) };
    number.is_finite().then_some(cell)
}

fn boolean(value: &Value) -> Option<bool> {
    match value.kind() {
        ValueKind::Bool => Some(value.is_true()),
        ValueKind::String => match value.as_str()?.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
            "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
            _ => None,
        },
        _ => match number::plain(value.clone()).as_i64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}

/// JSON without the escape `\u0000`. A backslash that is escaped itself begins none.
fn json_without_nul(json: &str) -> String {
    let mut clean = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, escape)) = rest.split_once('\\') {
        clean.push_str(before);
        if let Some(behind) = escape.strip_prefix("u0000") {
            clean.push('\u{fffd}');
            rest = behind;
            continue;
        }
        clean.push('\\');
        let mut escaped = escape.chars();
        clean.extend(escaped.next());
        rest = escaped.as_str();
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests;
