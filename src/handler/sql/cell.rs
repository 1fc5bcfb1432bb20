//! From what an expression came to, to what a column takes.

use jiff::tz::TimeZone;
use minijinja::value::ValueKind;

use crate::expr::Value;

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
    /// JSON.
    Json,
    /// A moment, from Unix time (seconds, or finer where the number is too large for them) or ISO
    /// 8601 text; text without an offset is UTC.
    Timestamp,
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
            Self::Timestamp => Cell::Timestamp(jiff::Timestamp::UNIX_EPOCH),
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
    Bool(bool),
    Json(String),
    Timestamp(jiff::Timestamp),
}

/// A value that a column cannot take. Says kinds, never values: those come from a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} is no {}", wanted.as_str())]
pub(super) struct Misfit {
    found: String,
    wanted: ColumnType,
}

impl Cell {
    /// `value` as a `wanted`. Undefined, null and, except for text, the empty text are NULL.
    pub(super) fn of(value: &Value, wanted: ColumnType) -> Result<Self, Misfit> {
        if value.is_undefined() || value.is_none() {
            return Ok(Self::Null);
        }
        let is_blank = value.as_str().is_some_and(|text| text.trim().is_empty());
        let cell = match wanted {
            ColumnType::Text => text(value).map(Self::Text),
            ColumnType::Json => serde_json::to_string(value).ok().map(Self::Json),
            _ if is_blank => Some(Self::Null),
            ColumnType::Integer => integer(value).map(Self::Integer),
            ColumnType::Real => real(value),
            ColumnType::Bool => boolean(value).map(Self::Bool),
            ColumnType::Timestamp => moment(value).map(Self::Timestamp),
        };
        cell.ok_or_else(|| Misfit { found: format!("a {}", value.kind()), wanted })
    }

    /// The same in a column that is really a `column`, whatever it was declared as.
    pub(super) fn fit(self, column: ColumnType) -> Result<Self, Misfit> {
        let misfit = |found: &str| Err(Misfit { found: found.to_owned(), wanted: column });
        match (self, column) {
            (cell @ Self::Null, _)
            | (cell @ Self::Text(_), ColumnType::Text)
            | (
                cell @ Self::Integer(_),
                ColumnType::Integer | ColumnType::Real | ColumnType::Json,
            )
            | (cell @ Self::Real(_), ColumnType::Real | ColumnType::Json)
            | (cell @ Self::Bool(_), ColumnType::Bool | ColumnType::Json)
            | (cell @ Self::Json(_), ColumnType::Json)
            | (cell @ Self::Timestamp(_), ColumnType::Timestamp) => Ok(cell),
            (Self::Json(json), ColumnType::Text) => Ok(Self::Text(json)),
            (Self::Timestamp(moment), ColumnType::Text) => Ok(Self::Text(iso(moment))),
            (Self::Timestamp(moment), ColumnType::Json) => {
                Ok(Self::Json(format!("\"{}\"", iso(moment))))
            }
            (Self::Timestamp(moment), ColumnType::Integer) => Ok(Self::Integer(moment.as_second())),
            (Self::Timestamp(moment), ColumnType::Real) => {
                Ok(Self::Real(moment.as_duration().as_secs_f64()))
            }
            (Self::Bool(yes), ColumnType::Integer | ColumnType::Real) => {
                Ok(Self::Integer(yes.into()))
            }
            (Self::Timestamp(_), ColumnType::Bool) => misfit("a timestamp"),
            (Self::Text(text), wanted) => Self::of(&Value::from(text), wanted),
            (Self::Integer(number), wanted) => Self::of(&Value::from(number), wanted),
            (Self::Real(number), wanted) => Self::of(&Value::from(number), wanted),
            (Self::Bool(yes), wanted) => Self::of(&Value::from(yes), wanted),
            (Self::Json(_), _) => misfit("JSON"),
        }
    }

    /// About how many bytes it takes on its way.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
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
            cell => cell,
        }
    }
}

/// ISO 8601 in UTC with milliseconds: of one length, so that it sorts as text.
pub(super) fn iso(moment: jiff::Timestamp) -> String {
    format!("{moment:.3}")
}

fn text(value: &Value) -> Option<String> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => serde_json::to_string(value).ok(),
        // As JSON has it; MiniJinja prints Python's words.
        ValueKind::Bool => Some(value.is_true().to_string()),
        _ => Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None if value.kind() == ValueKind::Bool => Some(value.is_true().into()),
        None => value.as_i64(),
    }
}

/// Whole numbers stay whole: a decimal column keeps all their digits.
fn real(value: &Value) -> Option<Cell> {
    if let Some(whole) = integer(value) {
        return Some(Cell::Integer(whole));
    }
    let number: f64 = match value.as_str() {
        Some(text) => text.trim().parse().ok()?,
        None => value.clone().try_into().ok()?,
    };
    number.is_finite().then_some(Cell::Real(number))
}

fn boolean(value: &Value) -> Option<bool> {
    match value.kind() {
        ValueKind::Bool => Some(value.is_true()),
        ValueKind::String => match value.as_str()?.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => match value.as_i64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}

/// The moment that a value of either form means.
pub(super) fn moment(value: &Value) -> Option<jiff::Timestamp> {
    match value.kind() {
        ValueKind::Number => unix(value),
        ValueKind::String => {
            let text = value.as_str()?.trim();
            text.parse::<jiff::Timestamp>()
                .ok()
                .or_else(|| without_offset(text))
                .or_else(|| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp()))
                .or_else(|| unix(&text.parse::<f64>().ok().map(Value::from)?))
        }
        _ => None,
    }
}

fn without_offset(text: &str) -> Option<jiff::Timestamp> {
    let date_time: jiff::civil::DateTime = text.parse().ok()?;
    date_time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
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

fn json_without_nul(json: &str) -> String {
    fn clean(value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(text.replace('\0', "\u{fffd}")),
            Value::Array(items) => items.into_iter().map(clean).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(key, value)| (key.replace('\0', "\u{fffd}"), clean(value)))
                .collect(),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
        }
    }
    // It was just written as JSON: text that does not parse cannot come here.
    serde_json::from_str(json).map_or_else(|_| json.to_owned(), |value| clean(value).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: impl Into<Value>, wanted: ColumnType, expected: impl Into<Option<Cell>>) {
        let value = value.into();
        assert_eq!(Cell::of(&value, wanted).ok(), expected.into(), "{value:?} as {wanted:?}");
    }

    fn at(text: &str) -> Cell {
        Cell::Timestamp(text.parse().unwrap())
    }

    #[test]
    fn what_is_missing_is_null_in_every_type() {
        for (_, wanted) in ColumnType::NAMES {
            check(Value::UNDEFINED, wanted, Cell::Null);
            check(Value::from(()), wanted, Cell::Null);
        }
        check(" ", ColumnType::Integer, Cell::Null);
        check("", ColumnType::Text, Cell::Text(String::new()));
    }

    #[test]
    fn text_takes_everything() {
        check("a\"b", ColumnType::Text, Cell::Text("a\"b".into()));
        check(5, ColumnType::Text, Cell::Text("5".into()));
        check(true, ColumnType::Text, Cell::Text("true".into()));
        check(vec![1, 2], ColumnType::Text, Cell::Text("[1,2]".into()));
    }

    #[test]
    fn numbers_and_truth_come_also_as_text() {
        check("42", ColumnType::Integer, Cell::Integer(42));
        check(5.0, ColumnType::Integer, Cell::Integer(5));
        check(5.5, ColumnType::Integer, None);
        check("x", ColumnType::Integer, None);
        check(u64::MAX, ColumnType::Integer, None);
        check("1.5", ColumnType::Real, Cell::Real(1.5));
        check(7, ColumnType::Real, Cell::Integer(7));
        check(f64::NAN, ColumnType::Real, None);
        check(1, ColumnType::Bool, Cell::Bool(true));
        check("False", ColumnType::Bool, Cell::Bool(false));
        check("maybe", ColumnType::Bool, None);
        check("a", ColumnType::Json, Cell::Json("\"a\"".into()));
    }

    #[test]
    fn a_timestamp_comes_as_unix_time_or_as_text() {
        let moment = at("2014-04-25T04:17:38Z");
        for text in [
            "2014-04-25T04:17:38Z",
            "2014-04-25T06:17:38+02:00",
            "2014-04-25T04:17:38",
            "2014-04-25 04:17:38",
            "Fri, 25 Apr 2014 04:17:38 +0000",
            "1398399458",
        ] {
            check(text, ColumnType::Timestamp, moment.clone());
        }
        check(1_398_399_458, ColumnType::Timestamp, moment.clone());
        check(1_398_399_458_000_i64, ColumnType::Timestamp, moment.clone());
        check(1_398_399_458_000_000_i64, ColumnType::Timestamp, moment.clone());
        check(1_398_399_458_000_000_000_i64, ColumnType::Timestamp, moment);
        check(1_398_399_458.5, ColumnType::Timestamp, at("2014-04-25T04:17:38.5Z"));
        check("2014-04-25", ColumnType::Timestamp, at("2014-04-25T00:00:00Z"));
        check("yesterday", ColumnType::Timestamp, None);
        check(true, ColumnType::Timestamp, None);
    }

    #[test]
    fn a_cell_fits_the_column_that_is_really_there() {
        let moment = Cell::of(&Value::from(1_398_399_458), ColumnType::Timestamp).unwrap();
        let fit = |cell: &Cell, column| cell.clone().fit(column).unwrap();
        assert_eq!(fit(&moment, ColumnType::Integer), Cell::Integer(1_398_399_458));
        assert_eq!(
            fit(&moment, ColumnType::Text),
            Cell::Text("2014-04-25T04:17:38.000Z".to_owned())
        );
        assert_eq!(fit(&Cell::Bool(true), ColumnType::Integer), Cell::Integer(1));
        assert_eq!(fit(&Cell::Text("7".into()), ColumnType::Integer), Cell::Integer(7));
        assert!(moment.fit(ColumnType::Bool).is_err());
    }

    #[test]
    fn a_misfit_shows_no_value() {
        let misfit = Cell::of(&Value::from("hunter2"), ColumnType::Integer).unwrap_err();
        assert_eq!(misfit.to_string(), "a string is no integer");
    }

    #[test]
    fn nul_leaves_text_and_json_but_not_what_looks_like_it() {
        let clean = |cell: Cell| cell.without_nul();
        assert_eq!(clean(Cell::Text("a\0b".into())), Cell::Text("a\u{fffd}b".into()));
        assert_eq!(
            clean(Cell::Json(r#"{"a":"\u0000"}"#.into())),
            Cell::Json("{\"a\":\"\u{fffd}\"}".into())
        );
        let escaped = Cell::Json(r#""\\u0000""#.into());
        assert_eq!(clean(escaped.clone()), escaped);
    }
}
