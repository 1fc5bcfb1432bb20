//! From deliveries to what a transaction has to do. Nothing here waits.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp as Moment;
use minijinja::value::ValueKind;
use sha2::{Digest, Sha256};

use super::cell::Cell;
use super::engine::Engine;
use super::own_tables::RowVersion;
use super::table::Target;
use super::{Column, Settings};
use crate::body::number;
use crate::event::{Delivery, Event, Failure};
use crate::expr::{Expression, Scope, Value, moment};

/// What one event asks for.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) event_id: String,
    /// The key's cells as text: equal for two events about the same row. Empty without a key.
    key_text: String,
    key: Vec<Cell>,
    /// The whole row; `None` = the row is to be deleted.
    row: Option<Vec<Cell>>,
    version: Option<i128>,
}

impl Change {
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
    let cells = |index: usize| cell_of(settings, target, index, &scope);
    let row = if is_delete(settings, &delivery.event) {
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
    let version = match &settings.version {
        Some(expression) => version_of(expression, &scope)?,
        None => None,
    };
    let event_id = delivery.event.id.to_string();
    Ok(Change { event_id, key_text: key_text(&key), key, row, version })
}

fn is_delete(settings: &Settings, event: &Event) -> bool {
    if settings.delete_on.is_empty() {
        return false;
    }
    let name = format!("{}:{}", event.source, event.event_type);
    settings.delete_on.iter().any(|glob| glob.matches(&name))
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
    let cell = Cell::of(&value, declared.unwrap_or(real.holds))
        .and_then(|cell| cell.fit(real.holds))
        .map_err(|err| in_column(&err))?;
    Ok(if target.engine == Engine::Postgres { cell.without_nul() } else { cell })
}

fn key_text(key: &[Cell]) -> String {
    let values: serde_json::Value = key
        .iter()
        .map(|cell| match cell {
            Cell::Null => serde_json::Value::Null,
            Cell::Text(text) | Cell::Json(text) => text.as_str().into(),
            Cell::Integer(number) => (*number).into(),
            Cell::Real(number) => (*number).into(),
            Cell::Bool(yes) => (*yes).into(),
            Cell::Timestamp(moment) => moment.to_string().into(),
        })
        .collect();
    if key.is_empty() { String::new() } else { values.to_string() }
}

/// A version as a number that can be compared: a number in millionths, a time in microseconds.
/// Undefined and null are no version: such an event counts as the newest.
fn version_of(expression: &Expression, scope: &Scope) -> Result<Option<i128>, Failure> {
    let in_version =
        |err: &dyn std::fmt::Display| Failure::permanent(format_args!("`version`: {err}"));
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
            let time = moment(value).map(|moment| moment.as_microsecond().into());
            time.or_else(|| of_float(text.parse().ok()?))
        }
        _ => None,
    }
}

/// What a batch comes to: deletes first, then rows.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Net {
    pub(super) deletes: Vec<Vec<Cell>>,
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) versions: Vec<RowVersion>,
}

/// Puts `changes` together, in their order: of several events about one row the last one counts,
/// and none that is older than what is known. `known` holds the newest versions by row key.
pub(super) fn net(
    target: &Target,
    changes: Vec<Change>,
    mut known: HashMap<String, i128>,
    now: Moment,
) -> Net {
    let mut net = Net::default();
    if target.key.is_empty() {
        net.rows = changes.into_iter().filter_map(|change| change.row).collect();
        return net;
    }
    // In the order of the keys, so that two handlers never wait for each other's rows.
    let mut rows: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
    let mut deletes: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
    let mut versions: BTreeMap<String, RowVersion> = BTreeMap::new();
    for change in changes {
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
        if let Some(row) = change.row {
            rows.insert(change.key_text, row);
        } else {
            rows.remove(&change.key_text);
            deletes.insert(change.key_text, change.key);
        }
    }
    net.deletes = deletes.into_values().collect();
    net.rows = rows.into_values().collect();
    net.versions = versions.into_values().collect();
    net
}

/// Without the events that are in already, and without the second of two deliveries of one event.
pub(super) fn only_new(changes: Vec<Change>, done: &HashSet<String>) -> Vec<Change> {
    let mut seen = HashSet::new();
    changes
        .into_iter()
        .filter(|change| !done.contains(&change.event_id) && seen.insert(change.event_id.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
