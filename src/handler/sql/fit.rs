//! From what an expression came to, to what one column or placeholder takes.

use minijinja::value::ValueKind;

use super::cell::{Cell, ColumnType};
use super::engine::Engine;
use super::target::{Shape, TargetColumn};
use crate::body::number;
use crate::expr::Value;

/// The most dimensions of an array of PostgreSQL.
const DIMENSIONS_MAX: usize = 6;

/// `value` in the column `real`, which the configuration says to hold `declared`. An error says why
/// it takes none such.
pub(super) fn fit(
    engine: Engine,
    value: &Value,
    declared: Option<ColumnType>,
    real: &TargetColumn,
) -> Result<Cell, String> {
    let wanted = declared.unwrap_or(real.holds);
    if let Some(cell) = own_form(value, real) {
        return Ok(cell);
    }
    let cell = match real.shape {
        Shape::One => {
            let cell = Cell::of(value, wanted).and_then(|cell| cell.fit(real.holds));
            let unsigned = || Cell::unsigned(value).filter(|_| real.is_unsigned());
            cell.or_else(|mismatch| unsigned().ok_or(mismatch))
        }
        Shape::List => {
            let depth_max = if real.nests() { DIMENSIONS_MAX } else { 1 };
            Cell::list(value, wanted, real.holds, depth_max)
        }
    };
    let cell = match cell.map_err(|err| err.to_string())? {
        Cell::Text(text) if text.trim().is_empty() && real.refuses_blank() => Cell::Null,
        Cell::Text(text) if real.takes_for_place(text.trim()) => {
            return Err("a number is none of its words".to_owned());
        }
        Cell::Bool(yes) => real.bit(yes).map_or(Cell::Bool(yes), |bit| Cell::Text(bit.to_owned())),
        cell => cell,
    };
    // SQLite knows no times: what is called so holds what it gets.
    let is_clock = engine != Engine::Sqlite && real.is_clock();
    let cell = if is_clock {
        let either =
            "four or six digits may be a time or seconds: with `| int` behind they are seconds";
        cell.on_a_clock(value).ok_or_else(|| either.to_owned())?
    } else {
        cell
    };
    let cell = if real.is_bytes() { bytes(engine, cell) } else { cell };
    Ok(if engine == Engine::Postgres { cell.without_nul() } else { cell })
}

/// The bytes of a text. What is `\x` and the digits of whole bytes says them in PostgreSQL's own form.
fn bytes(engine: Engine, cell: Cell) -> Cell {
    let said = |text: &str| match engine {
        // White space may stand between two bytes.
        Engine::Postgres => {
            let parts = text.strip_prefix("\\x")?.split_ascii_whitespace().map(hex::decode);
            parts.collect::<Result<Vec<_>, _>>().ok().map(|parts| parts.concat())
        }
        Engine::Sqlite | Engine::MySql => None,
    };
    match cell {
        Cell::Text(text) => Cell::Bytes(said(&text).unwrap_or_else(|| text.into_bytes())),
        Cell::List(items) => {
            Cell::List(items.into_iter().map(|item| bytes(engine, item)).collect())
        }
        cell => cell,
    }
}

/// `value` where nothing is known of what takes it: as JSON has it.
pub(super) fn as_it_is(value: &Value) -> Result<Cell, String> {
    let wanted = match value.kind() {
        ValueKind::Bool => ColumnType::Bool,
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => ColumnType::Json,
        // A whole number stays one.
        _ if number::json(value).is_some() => ColumnType::Real,
        _ => ColumnType::Text,
    };
    // A number that no float is near is its digits.
    let cell = Cell::of(value, wanted).or_else(|_| Cell::of(value, ColumnType::Text));
    cell.map_err(|err| err.to_string())
}

/// What some types of columns take in a form of their own: the bits of a number, the words of a list.
fn own_form(value: &Value, real: &TargetColumn) -> Option<Cell> {
    if real.shape == Shape::One && real.is_set() {
        return Cell::joined(value);
    }
    if !real.is_bits() {
        return None;
    }
    // Text says which bits are meant.
    let number = match value.kind() {
        ValueKind::Bool => Some(value.is_true().into()),
        _ if value.as_str().is_none() => number::json(value)?.parse().ok(),
        _ => None,
    };
    real.bits(number?).map(Cell::Text)
}
