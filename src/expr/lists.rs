//! Filters over lists that hold what is missing: it counts for nothing, and a list that is missing
//! makes none.

use std::cmp::Ordering;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

use super::arguments::Arguments;
use super::values::is_missing;
use crate::body::number;

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("groupby", groupby);
    environment.add_filter("chain", chain);
    let zip = Value::from_function(filters::zip);
    environment.add_filter("zip", move |state: &mut State<'_, '_>, lists: Rest<Value>| {
        if lists.iter().any(is_missing) { Ok(Value::UNDEFINED) } else { zip.call(state, &lists) }
    });
    let map = Value::from_function(filters::map);
    environment.add_filter("map", move |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| {
        let values = args.into_values();
        if values.first().is_none_or(is_missing) {
            return Ok(Value::UNDEFINED);
        }
        let args = Arguments::of(Rest(values.iter().cloned().map(ValueOrKwargs::from).collect()))?;
        let default = args.named("default")?;
        let mapped = map.call(state, &values)?;
        let Some(default) = default else { return Ok(mapped) };
        let items = mapped.try_iter()?;
        Ok(items.map(|item| if is_missing(&item) { default.clone() } else { item }).collect())
    });
}

/// A list whose numbers can be calculated and compared with.
pub(super) fn numbers(value: &Value) -> Value {
    if value.kind() != ValueKind::Seq {
        return value.clone();
    }
    let items = || value.try_iter().into_iter().flatten();
    if !items().any(|item| number::written(&item).is_some()) {
        return value.clone();
    }
    items().map(number::plain).collect()
}

/// The same without what is missing, each made a number by `number`.
pub(super) fn present_numbers(
    state: &mut State<'_, '_>,
    value: &Value,
    number: fn(Value) -> Value,
) -> Result<Value, Error> {
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(value.clone());
    }
    let mut present = Vec::new();
    for item in value.try_iter()?.checked() {
        let item = item?;
        state.consume_fuel(1)?;
        if !is_missing(&item) {
            present.push(number(item));
        }
    }
    Ok(Value::from(present))
}

/// One list behind the other; those that are missing are left out.
fn chain(state: &mut State<'_, '_>, Rest(lists): Rest<Value>) -> Result<Value, Error> {
    let lists: Vec<Value> = lists.into_iter().filter(|list| !is_missing(list)).collect();
    if lists.is_empty() {
        return Ok(Value::UNDEFINED);
    }
    Value::from_function(filters::chain).call(state, &lists)
}

/// The items that have the same `attribute`, by its value; what is missing and `null` is one group.
fn groupby(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::of(args)?;
    let Some(path) = args.get(1, "attribute")? else {
        return Err(Error::new(ErrorKind::MissingArgument, "name the field to group by"));
    };
    let default = args.named("default")?.unwrap_or_default();
    let is_exact = args.named("case_sensitive")?.is_some_and(|value| value.is_true());
    args.finish()?;
    let list = args.value();
    if is_missing(&list) {
        return Ok(Value::UNDEFINED);
    }
    let mut keyed = Vec::new();
    for item in list.try_iter()?.checked() {
        let item = item?;
        state.consume_fuel(4)?;
        let key = field(&item, &path);
        keyed.push((if is_missing(&key) { default.clone() } else { key }, item));
    }
    let compare = |one: &Value, other: &Value| match (one.as_str(), other.as_str()) {
        (Some(one), Some(other)) if !is_exact => one.to_lowercase().cmp(&other.to_lowercase()),
        (_, _) => number::plain(one.clone()).cmp(&number::plain(other.clone())),
    };
    keyed.sort_by(|(one, _), (other, _)| compare(one, other));
    let groups = keyed.chunk_by(|(one, _), (other, _)| compare(one, other) == Ordering::Equal);
    let groups = groups.filter_map(|group| {
        let (grouper, _) = group.first()?.clone();
        let list = group.iter().map(|(_, item)| item.clone()).collect();
        Some(Value::from_object(GroupByEntry { grouper, list }))
    });
    Ok(groups.collect())
}

/// The field `a.b` of an item.
pub(super) fn field(item: &Value, path: &Value) -> Value {
    let Some(path) = path.as_str() else { return item.get_item(path).unwrap_or_default() };
    path.split('.').fold(item.clone(), |value, part| {
        match part.parse::<usize>() {
            Ok(place) if value.kind() == ValueKind::Seq => value.get_item_by_index(place),
            Ok(_) | Err(_) => value.get_attr(part),
        }
        .unwrap_or_default()
    })
}

/// That field of each item.
pub(super) fn fields(
    state: &mut State<'_, '_>,
    list: &Value,
    path: &Value,
) -> Result<Value, Error> {
    if is_missing(list) {
        return Ok(Value::UNDEFINED);
    }
    let mut fields = Vec::new();
    for item in list.try_iter()?.checked() {
        state.consume_fuel(1)?;
        fields.push(field(&item?, path));
    }
    Ok(Value::from(fields))
}

/// What `groupby` gives: a pair that can also be asked by name, as Jinja's.
#[derive(Debug)]
struct GroupByEntry {
    grouper: Value,
    list: Value,
}

impl Object for GroupByEntry {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_usize(), key.as_str()) {
            (Some(0), _) | (_, Some("grouper")) => Some(self.grouper.clone()),
            (Some(1), _) | (_, Some("list")) => Some(self.list.clone()),
            (_, _) => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}
