//! The filter `format`, whose text may ask for a number that is missing.

use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Error, State, Value, filters};

use super::methods::with_named;
use super::values::{calculable, calculable_or_empty, is_missing};

pub(super) fn format(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let format = Value::from_function(filters::format);
    let args = args.into_values();
    let given = |arg| with_named(arg).unwrap_or_else(|| calculable_or_empty(arg));
    let mut values: Vec<Value> = args.iter().map(given).collect();
    if let Some((text, others)) = args.split_first()
        && let Some(text) = text.as_str()
        && let Some(first) = values.first_mut()
    {
        *first = Value::from(without_missing(text, others));
    }
    format.call(state, &values).or_else(|err| {
        // `%.2f` of a form's field, which is a text. Others are texts to `%s`.
        let numbers: Vec<Value> = values.iter().cloned().map(calculable).collect();
        format.call(state, &numbers).map_err(|_| err)
    })
}

/// `text` with `%s` for each number that is missing: it prints as nothing.
fn without_missing(text: &str, args: &[Value]) -> String {
    let mut shown = String::with_capacity(text.len());
    let (mut rest, mut place) = (text, 0);
    while let Some(at) = rest.find('%') {
        let (before, code) = rest.split_at(at);
        shown.push_str(before);
        let is_letter = |c: char| c.is_alphabetic() || c == '%';
        let behind = code.get(1..).unwrap_or_default();
        let Some(letter) = behind.find(is_letter).filter(|_| !behind.starts_with('(')) else {
            return shown + code;
        };
        let length = 1
            + letter
            + behind.get(letter..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        let (spec, after) = code.split_at(length);
        rest = after;
        if spec.ends_with('%') {
            shown.push_str(spec);
            continue;
        }
        let is_none = args.get(place).is_some_and(is_missing);
        shown.push_str(if is_none { "%s" } else { spec });
        // A width of its own takes a value, too.
        place += 1 + spec.matches('*').count();
    }
    shown + rest
}
