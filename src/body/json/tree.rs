//! The lists and maps of a payload: MiniJinja's own would be dropped, compared and printed
//! recursively, at up to four kilobytes of stack for each level of a hostile body.

use std::cmp::Ordering;
use std::fmt;
use std::mem::take;
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{DynObject, Enumerator, Object, ObjectExt, ObjectRepr};

use super::write::{Layout, write};
use crate::body::number;

/// A JSON array.
pub(super) struct List(pub(super) Vec<Value>);

/// A JSON object. Of a repeated key the last value counts.
pub(super) struct Map(pub(super) IndexMap<Box<str>, Value>);

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        other.downcast_ref::<Self>()?;
        let other = Value::from_dyn_object(other.clone());
        Some(compare(Value::from_dyn_object(Arc::clone(self)), other))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render(&Value::from_dyn_object(Arc::clone(self)), f)
    }
}

impl Object for Map {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_key_value_enumerator(|map| {
            Box::new(map.0.iter().map(|(key, value)| (Value::from(&**key), value.clone())))
        })
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        other.downcast_ref::<Self>()?;
        let other = Value::from_dyn_object(other.clone());
        Some(compare(Value::from_dyn_object(Arc::clone(self)), other))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render(&Value::from_dyn_object(Arc::clone(self)), f)
    }
}

/// As JSON: not Python's `None` and `True`.
fn render(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&write(value, Layout::Compact).map_err(|_| fmt::Error)?)
}

/// The size only: contents of events do not belong in a log.
impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} items]", self.0.len())
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{} fields}}", self.0.len())
    }
}

/// Compares two values of a payload: lists item by item, maps field by field in the order of their
/// keys, numbers by value however they are written.
fn compare(one: Value, other: Value) -> Ordering {
    let mut left = vec![(one, other)];
    while let Some((one, other)) = left.pop() {
        let first = left.len();
        let order = if let (Some(one), Some(other)) =
            (one.downcast_object_ref::<List>(), other.downcast_object_ref::<List>())
        {
            left.extend(one.0.iter().cloned().zip(other.0.iter().cloned()));
            // Of two lists that begin alike the shorter one is the lesser.
            left.push((Value::from(one.0.len()), Value::from(other.0.len())));
            Ordering::Equal
        } else if let (Some(one), Some(other)) =
            (one.downcast_object_ref::<Map>(), other.downcast_object_ref::<Map>())
        {
            let (one, other) = (sorted(one), sorted(other));
            let pairs = one.iter().zip(&other);
            left.extend(pairs.map(|((_, one), (_, other))| ((*one).clone(), (*other).clone())));
            one.iter().map(|(key, _)| key).cmp(other.iter().map(|(key, _)| key))
        } else {
            number::plain(one).cmp(&number::plain(other))
        };
        if order.is_ne() {
            return order;
        }
        // The first pair is looked at next.
        if let Some(pairs) = left.get_mut(first..) {
            pairs.reverse();
        }
    }
    Ordering::Equal
}

fn sorted(map: &Map) -> Vec<(&str, &Value)> {
    let mut fields: Vec<_> = map.0.iter().map(|(key, value)| (&**key, value)).collect();
    fields.sort_unstable_by_key(|(key, _)| *key);
    fields
}

impl Drop for List {
    fn drop(&mut self) {
        dismantle(take(&mut self.0));
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        dismantle(take(&mut self.0).into_values().collect());
    }
}

/// Drops values level by level: whatever a container holds alone is taken out before it is dropped.
fn dismantle(mut values: Vec<Value>) {
    while let Some(value) = values.pop() {
        if value.as_object().is_none() {
            continue;
        }
        let (list, map) = (value.downcast_object::<List>(), value.downcast_object::<Map>());
        drop(value);
        if let Some(mut list) = list.and_then(Arc::into_inner) {
            values.append(&mut list.0);
        }
        if let Some(mut map) = map.and_then(Arc::into_inner) {
            values.extend(take(&mut map.0).into_values());
        }
    }
}
