//! From what an expression came to, to what a column takes.

use minijinja::value::ValueKind;

use crate::body::json::{self, Layout};
use crate::body::number;
use crate::expr::{Value, moment};

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
            ColumnType::Json => json::write(value, Layout::Compact).ok().map(Self::Json),
            _ if is_blank => Some(Self::Null),
            ColumnType::Integer => integer(value).map(Self::Integer),
            ColumnType::Real => real(value),
            ColumnType::Bool => boolean(value).map(Self::Bool),
            ColumnType::Timestamp => moment(value).map(Self::Timestamp),
        };
        cell.ok_or_else(|| {
            let is_number = number::written(value).is_some();
            let kind = if is_number { ValueKind::Number } else { value.kind() };
            Misfit { found: format!("a {kind}"), wanted }
        })
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
        None => number::plain(value.clone()).as_i64(),
    }
}

/// Whole numbers stay whole: a decimal column keeps all their digits.
fn real(value: &Value) -> Option<Cell> {
    if let Some(whole) = integer(value) {
        return Some(Cell::Integer(whole));
    }
    let number: f64 = match value.as_str() {
        Some(text) => text.trim().parse().ok()?,
        None => number::plain(value.clone()).try_into().ok()?,
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
    fn written_numbers_keep_their_text_and_fit_every_column() {
        let read = number::read;
        check(read("1.10"), ColumnType::Text, Cell::Text("1.10".into()));
        check(
            read("18446744073709551617"),
            ColumnType::Text,
            Cell::Text("18446744073709551617".into()),
        );
        let huge = "9".repeat(50);
        check(read(&huge), ColumnType::Text, Cell::Text(huge.clone()));
        check(read("1.10"), ColumnType::Json, Cell::Json("1.10".into()));
        check(vec![read("1.10")], ColumnType::Text, Cell::Text("[1.10]".into()));
        check(read("1.10"), ColumnType::Real, Cell::Real(1.1));
        check(read("1e2"), ColumnType::Integer, Cell::Integer(100));
        check(read("1.00"), ColumnType::Bool, Cell::Bool(true));
        check(read("1398399458.0"), ColumnType::Timestamp, at("2014-04-25T04:17:38Z"));
        for misfit in ["1e400", "Infinity", "NaN"] {
            check(read(misfit), ColumnType::Real, None);
        }
        let misfit = Cell::of(&read("1e400"), ColumnType::Real).unwrap_err();
        assert_eq!(misfit.to_string(), "a number is no real");
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
            "2014-04-25 04:17:38 UTC",
            "2014-04-25 06:17:38 +0200",
            "2014-04-25 06:17:38 +02:00",
            "Fri Apr 25 04:17:38 +0000 2014",
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
