//! From deliveries to what a transaction has to do. Nothing here waits.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp as Moment;
use minijinja::value::ValueKind;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::cell::Cell;
use super::fit::fit;
use super::ledger::RowVersion;
use super::owner;
use super::statement::Statement;
use super::target::Target;
use super::{Column, OnConflict, Settings};
use crate::body::number;
use crate::event::{Delivery, EventId, Failure};
use crate::expr::{Expression, Scope, Value, moment};

/// What one event asks for.
#[derive(Debug)]
pub(super) struct Change {
    /// The event's name in the ledger; `None` = it is delivered by hand, beside the queue, which
    /// the ledger says nothing of.
    pub(super) ledger_id: Option<String>,
    /// The key's cells as text: equal for two events about the same row. Empty without a key.
    key_text: String,
    key: Vec<Cell>,
    /// The whole row; `None` = the row is to be deleted.
    row: Option<Vec<Cell>>,
    version: Option<i128>,
    /// The owner's own statements, which run in place of all that.
    pub(super) statements: Vec<Statement>,
}

impl Change {
    /// The cells that are sent, each with the index of its column.
    pub(super) fn cells<'a>(
        &'a self,
        target: &'a Target,
    ) -> impl Iterator<Item = (usize, &'a Cell)> {
        let row = self.row.iter().flatten().enumerate();
        let key = target.key.iter().copied().zip(&self.key).filter(|_| self.row.is_none());
        row.chain(key)
    }

    /// What the row is called in the table of versions: short, whatever the key is.
    pub(super) fn row_key(&self, target: &Target) -> String {
        let digest = Sha256::new()
            .chain_update(&target.table)
            .chain_update([0])
            .chain_update(&self.key_text)
            .finalize();
        hex::encode(digest.get(..16).unwrap_or_default())
    }
}

/// What each delivery asks for, in order. An expression that fails, a value that no column takes
/// and a key that is NULL are permanent: the same event will always fail.
pub(super) fn changes(
    settings: &Settings,
    target: &Target,
    deliveries: &[Delivery],
) -> Result<Vec<Change>, Failure> {
    deliveries.iter().map(|delivery| change(settings, target, delivery)).collect()
}

fn change(settings: &Settings, target: &Target, delivery: &Delivery) -> Result<Change, Failure> {
    let scope = Scope::of(&delivery.event);
    let ledger_id = ledger_id(delivery.event.id, delivery.replay).to_string();
    let ledger_id = Some(ledger_id).filter(|_| !delivery.is_by_hand());
    if !settings.statements.is_empty() {
        let statements = owner::statements(settings, target, &scope)?;
        let (key_text, key, row, version) = (String::new(), Vec::new(), None, None);
        return Ok(Change { ledger_id, key_text, key, row, version, statements });
    }
    let cells = |index: usize| cell_of(settings, target, index, &scope);
    let is_delete = settings.deletes.has(&delivery.event, &scope);
    let is_delete =
        is_delete.map_err(|err| Failure::permanent(format_args!("`delete_when`: {err}")))?;
    let row = if is_delete {
        None
    } else {
        Some((0..settings.columns.len()).map(cells).collect::<Result<Vec<_>, _>>()?)
    };
    let key = target.key.iter().map(|&index| match &row {
        Some(row) => Ok(row.get(index).cloned().unwrap_or(Cell::Null)),
        None => cells(index),
    });
    let key = key.collect::<Result<Vec<_>, _>>()?;
    for (cell, name) in key.iter().zip(&settings.key) {
        if *cell == Cell::Null {
            return Err(Failure::permanent(format_args!("key column `{name}` would be NULL")));
        }
    }
    let version = match &settings.newer_by {
        Some(expression) => version_of(expression, &scope)?,
        None => None,
    };
    let statements = Vec::new();
    Ok(Change { ledger_id, key_text: key_text(&key), key, row, version, statements })
}

fn cell_of(
    settings: &Settings,
    target: &Target,
    index: usize,
    scope: &Scope,
) -> Result<Cell, Failure> {
    let (Some(column), Some(real)) = (settings.columns.get(index), target.columns.get(index))
    else {
        return Ok(Cell::Null);
    };
    let Column { name, value, declared } = column;
    let in_column =
        |err: &dyn std::fmt::Display| Failure::permanent(format_args!("column `{name}`: {err}"));
    let value = value.eval(scope).map_err(|err| in_column(&err))?;
    fit(target.engine, &value, *declared, real).map_err(|err| in_column(&err))
}

fn key_text(key: &[Cell]) -> String {
    let values: serde_json::Value = key.iter().map(key_value).collect();
    if key.is_empty() { String::new() } else { values.to_string() }
}

fn key_value(cell: &Cell) -> serde_json::Value {
    match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Text(text) | Cell::Json(text) | Cell::Decimal(text) => text.as_str().into(),
        Cell::Integer(number) => (*number).into(),
        Cell::Real(number) => (*number).into(),
        Cell::Bool(yes) => (*yes).into(),
        Cell::Timestamp(moment) => moment.to_string().into(),
        // As the text that it was: versions that are stored are found by it.
        Cell::Bytes(bytes) => match String::from_utf8(bytes.clone()) {
            // Not what looks like the other form.
            Ok(text) if !text.starts_with("\\x") => text.into(),
            Ok(_) | Err(_) => format!("\\x{}", hex::encode(bytes)).into(),
        },
        Cell::List(items) => items.iter().map(key_value).collect(),
    }
}

/// A version as a number that can be compared: a number in millionths, a time in microseconds.
/// Undefined and null are no version: such an event counts as the newest.
fn version_of(expression: &Expression, scope: &Scope) -> Result<Option<i128>, Failure> {
    let in_version =
        |err: &dyn std::fmt::Display| Failure::permanent(format_args!("`newer_by`: {err}"));
    let value = expression.eval(scope).map_err(|err| in_version(&err))?;
    if value.is_undefined() || value.is_none() {
        return Ok(None);
    }
    match millionths(&value) {
        Some(version) => Ok(Some(version)),
        None => Err(in_version(&format_args!("a {} is neither number nor time", value.kind()))),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a version beyond 2^127 stops at the end")]
fn millionths(value: &Value) -> Option<i128> {
    let of_float = |number: f64| number.is_finite().then(|| (number * 1e6).round() as i128);
    let value = &number::plain(value.clone());
    match value.kind() {
        ValueKind::Number => match i128::try_from(value.clone()) {
            Ok(whole) => Some(whole.saturating_mul(1_000_000)),
            Err(_) => of_float(value.clone().try_into().ok()?),
        },
        ValueKind::String => {
            let text = value.as_str()?.trim();
            if let Ok(whole) = text.parse::<i128>() {
                return Some(whole.saturating_mul(1_000_000));
            }
            let time = moment(value).map(|moment| moment.since_epoch().as_micros());
            time.or_else(|| of_float(text.parse().ok()?))
        }
        _ => None,
    }
}

/// What a batch comes to: deletes first, then rows.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Merged {
    pub(super) deletes: Vec<Vec<Cell>>,
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) versions: Vec<RowVersion>,
}

/// Puts `changes` together, in their order: of several events about one row the last one counts,
/// and none that is older than what is known. `known` holds the newest versions by row key.
pub(super) fn merge(
    target: &Target,
    changes: Vec<Change>,
    mut known: HashMap<String, i128>,
    now: Moment,
) -> Merged {
    let mut merged = Merged::default();
    if target.key.is_empty() {
        merged.rows = changes.into_iter().filter_map(|change| change.row).collect();
        return merged;
    }
    // In the order of the keys, so that two handlers never wait for each other's rows.
    let mut rows: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
    let mut deletes: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
    let mut versions: BTreeMap<String, RowVersion> = BTreeMap::new();
    for change in changes {
        // Without `newer_by` there are none, and a row's key is a digest: 4 % of all that the process
        // calculates for an event.
        if change.version.is_some() || !known.is_empty() {
            let row_key = change.row_key(target);
            let old = known.get(&row_key).copied();
            if let (Some(version), Some(old)) = (change.version, old)
                && version < old
            {
                continue;
            }
            if let Some(version) = change.version.or(old) {
                let deleted_at = change.row.is_none().then_some(now);
                versions.insert(
                    row_key.clone(),
                    RowVersion { row_key: row_key.clone(), version, deleted_at },
                );
                known.insert(row_key, version);
            }
        }
        if let Some(row) = change.row {
            put_row(target, &mut rows, change.key_text, row);
        } else {
            rows.remove(&change.key_text);
            deletes.insert(change.key_text, change.key);
        }
    }
    merged.deletes = deletes.into_values().collect();
    merged.rows = rows.into_values().collect();
    merged.versions = versions.into_values().collect();
    merged
}

/// Puts a row in the place of an earlier one of the same batch, as the table would: without what
/// only an insert writes, or not at all.
fn put_row(
    target: &Target,
    rows: &mut BTreeMap<String, Vec<Cell>>,
    key_text: String,
    mut row: Vec<Cell>,
) {
    let Some(earlier) = rows.get_mut(&key_text) else {
        rows.insert(key_text, row);
        return;
    };
    if target.on_conflict == OnConflict::Ignore {
        return;
    }
    for index in &target.kept {
        if let (Some(cell), Some(kept)) = (row.get_mut(*index), earlier.get_mut(*index)) {
            std::mem::swap(cell, kept);
        }
    }
    *earlier = row;
}

/// What the ledger calls an event that is delivered for the first time (its own id), or replayed: an
/// id of the same moment, so that it is removed with it.
fn ledger_id(event: EventId, replay: u32) -> Uuid {
    if replay == 0 {
        return event.0;
    }
    let digest = Sha256::new()
        .chain_update(event.0.as_bytes())
        .chain_update(replay.to_be_bytes())
        .finalize();
    let mut bytes = *event.0.as_bytes();
    // Behind time, version and variant (RFC 9562).
    for (byte, hashed) in bytes.iter_mut().zip(digest).skip(9) {
        *byte = hashed;
    }
    Uuid::from_bytes(bytes)
}

/// Without the events that are in already, and without the second of two deliveries of one event.
pub(super) fn without_known(changes: Vec<Change>, done: &HashSet<String>) -> Vec<Change> {
    let mut seen = HashSet::new();
    changes
        .into_iter()
        .filter(|change| match &change.ledger_id {
            Some(id) => !done.contains(id) && seen.insert(id.clone()),
            None => true,
        })
        .collect()
}

#[cfg(test)]
mod tests;
