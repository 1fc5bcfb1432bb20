//! Filters over lists that hold what is missing: it counts for nothing, and a list that is missing
//! makes none.

use std::cmp::Ordering;
use std::sync::Arc;

use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};
use smallvec::{SmallVec, smallvec};

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
    for (name, filter, gives) in [
        ("sort", Value::from_function(filters::sort), Gives::Items),
        ("unique", Value::from_function(filters::unique), Gives::Items),
        ("min", Value::from_function(filters::min), Gives::Item),
        ("max", Value::from_function(filters::max), Gives::Item),
    ] {
        let filter = move |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| {
            by_number(state, (&filter, gives), args)
        };
        environment.add_filter(name, filter);
    }
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

/// A list without what is missing, each item of it made by `number`.
pub(super) fn present(
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

/// What a filter that goes by the order of items gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gives {
    /// A list of them.
    Items,
    /// One of those that are not missing.
    Item,
}

/// `sort`, `unique`, `min` and `max` go by the numbers that items are, and give them as they were written.
fn by_number(
    state: &mut State<'_, '_>,
    (filter, gives): (&Value, Gives),
    args: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    let values = args.into_values();
    let args = Arguments::of(Rest(values.iter().cloned().map(ValueOrKwargs::from).collect()))?;
    let list = args.value();
    if is_missing(&list) {
        return Ok(Value::UNDEFINED);
    }
    if !matches!(list.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return filter.call(state, &values);
    }
    let path = args.named("attribute")?;
    let is_exact = args.named("case_sensitive")?;
    let folds_case = !is_exact.as_ref().is_some_and(Value::is_true);
    let mut keyed = Vec::new();
    for item in list.try_iter()?.checked() {
        let item = item?;
        state.consume_fuel(4)?;
        if gives == Gives::Item && is_missing(&item) {
            continue;
        }
        let keys =
            path.as_ref().map_or_else(|| smallvec![item.clone()], |path| sort_keys(&item, path));
        keyed.push((keys, item));
    }
    let keyed = with_order(keyed, folds_case);
    let by_key = [("attribute", Some(Value::from("0"))), ("case_sensitive", is_exact)];
    let named = by_key.into_iter().chain([("reverse", args.named("reverse")?)]);
    let named: Kwargs = named.filter_map(|(name, value)| Some((name, value?))).collect();
    args.finish()?;
    let mut passed = vec![keyed];
    passed.extend_from_slice(args.more());
    passed.push(named.into());
    let found = filter.call(state, &passed)?;
    let item = |pair: Value| pair.get_item_by_index(1).unwrap_or_default();
    Ok(match gives {
        Gives::Items => found.try_iter()?.map(item).collect(),
        Gives::Item => item(found),
    })
}

type SortKeys = SmallVec<[Value; 1]>;

/// What an item is sorted by: the field at `path`, or at each of several paths with commas between them.
fn sort_keys(item: &Value, path: &Value) -> SortKeys {
    let paths = path.as_str().filter(|path| path.contains(','));
    let Some(paths) = paths else { return smallvec![field(item, path)] };
    let names = paths.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| field(item, &Value::from(name))).collect()
}

/// Pairs of a key that `MiniJinja` orders and an item. Numbers of more digits than a float has are told apart: then all
/// numbers of the list are keys of our own, beside where their kind stands among others.
fn with_order(keyed: Vec<(SortKeys, Value)>, folds_case: bool) -> Value {
    let mut keys = keyed.iter().flat_map(|(keys, _)| keys);
    let is_exact = keys.any(|key| number::written(key).is_some());
    let ordered = |key: Value| match key.as_str() {
        Some(text) if folds_case => Value::from(text.to_lowercase()),
        Some(_) | None => key,
    };
    let ranked = |key: Value| match number::sort_key(&key) {
        Some(key) => vec![Value::from(RANK_OF_NUMBERS), key],
        None => vec![Value::from(rank(key.kind())), ordered(key)],
    };
    let pairs = keyed.into_iter().map(|(mut keys, item)| {
        let key = match (is_exact, keys.len()) {
            (false, 1) => keys.pop().unwrap_or_default(),
            (false, _) => keys.into_iter().map(ordered).collect(),
            (true, _) => keys.into_iter().flat_map(ranked).collect(),
        };
        Value::from(vec![key, item])
    });
    Value::from(pairs.collect::<Vec<_>>())
}

const RANK_OF_NUMBERS: i64 = 2;

/// Where values of this kind stand among others, as `MiniJinja` has it.
fn rank(kind: ValueKind) -> i64 {
    match kind {
        ValueKind::Undefined => 0,
        ValueKind::None => 1,
        ValueKind::Bool | ValueKind::Number => RANK_OF_NUMBERS,
        ValueKind::String => 3,
        _ => 4,
    }
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
        (_, _) => match (number::sort_key(one), number::sort_key(other)) {
            (Some(one), Some(other)) => one.cmp(&other),
            (_, _) => number::plain(one.clone()).cmp(&number::plain(other.clone())),
        },
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
