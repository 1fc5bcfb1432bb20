//! How values compare: what is missing is neither less nor more than anything, and a number is not
//! compared by how it happens to be written.
//!
//! MiniJinja orders all values, and what is missing comes before every number: `data.count < 3` would
//! be true of an event that counts nothing. So its operators are rewritten (see [`super::rewrite`])
//! to `in`, which asks an object of ours.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, State, Value};

use super::exact::exact;
use super::values::{is_missing, is_number, paid, weight};
use crate::body::number;

/// The filters that the operators become, each with what it asks.
const OPERATORS: [(&str, Is); 4] = [
    ("_lt", Ordering::is_lt),
    ("_lte", Ordering::is_le),
    ("_gt", Ordering::is_gt),
    ("_gte", Ordering::is_ge),
];

type Is = fn(Ordering) -> bool;

pub(super) fn add_to(environment: &mut Environment<'_>) {
    for (name, is) in OPERATORS {
        environment.add_filter(name, paid(move |value| Value::from_object(Right { is, value })));
    }
    environment.add_filter("_equal", paid(comparable));
    environment.add_filter("_numeric", paid(|value| comparable(exact(value))));
    environment.add_filter("_literal", paid(exact));
    environment.add_test("none", |value: &Value| is_missing(value));
    let orders: [(&[&'static str], Is); 4] = [
        (&["lt", "lessthan", "<"], Ordering::is_lt),
        (&["le", "<="], Ordering::is_le),
        (&["gt", "greaterthan", ">"], Ordering::is_gt),
        (&["ge", ">="], Ordering::is_ge),
    ];
    for (names, is) in orders {
        for name in names {
            let test = comparison(move |one, other| order(one, other).is_some_and(is));
            environment.add_test(*name, test);
        }
    }
    for name in ["eq", "equalto", "=="] {
        environment.add_test(name, comparison(is_equal));
    }
    for name in ["ne", "!="] {
        environment.add_test(name, comparison(|one, other| !is_equal(one, other)));
    }
}

/// A test of two values, for which is paid by all that it may look at.
fn comparison(
    is: impl Fn(&Value, &Value) -> bool + Send + Sync + 'static,
) -> impl Fn(&mut State<'_, '_>, &Value, &Value) -> Result<bool, Error> + Send + Sync + 'static {
    move |state, one, other| {
        state.consume_fuel(weight(one).saturating_add(weight(other)))?;
        Ok(is(one, other))
    }
}

/// How two values compare; `None` = they do not: one of them is missing, or they are of different
/// kinds. A text that is a number compares with numbers as one.
pub(super) fn order(one: &Value, other: &Value) -> Option<Ordering> {
    let kinds = (one.kind(), other.kind());
    match kinds {
        (ValueKind::Undefined | ValueKind::None, _)
        | (_, ValueKind::Undefined | ValueKind::None) => None,
        (ValueKind::String, ValueKind::String) => Some(one.cmp(other)),
        _ => number::order(one, other).or_else(|| {
            let is_number = |kind| matches!(kind, ValueKind::Number | ValueKind::Plain);
            let is_alike = kinds.0 == kinds.1 && !is_number(kinds.0);
            is_alike.then(|| one.cmp(other))
        }),
    }
}

/// Whether two values are the same. What is missing is what is `null`, and a text that is a number is the
/// same as a number, and not as another text.
pub(super) fn is_equal(one: &Value, other: &Value) -> bool {
    let is_text = |value: &Value| value.kind() == ValueKind::String;
    if (is_text(one) && is_number(other)) || (is_number(one) && is_text(other)) {
        return number::order(one, other) == Some(Ordering::Equal);
    }
    comparable(one.clone()) == comparable(other.clone())
}

fn comparable(value: Value) -> Value {
    if is_missing(&value) { Value::from(()) } else { number::comparable(value) }
}

/// The right side of a comparison, as a map that has whatever stands in that order to it.
#[derive(Debug)]
struct Right {
    is: Is,
    value: Value,
}

impl Object for Right {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, left: &Value) -> Option<Value> {
        // In `1 < a < 3` the right side of one is the left side of the next.
        let left = left.downcast_object_ref::<Self>().map_or(left, |right| &right.value);
        let is_so = order(left, &self.value).is_some_and(self.is);
        is_so.then(|| Value::from(true))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.value, f)
    }
}
