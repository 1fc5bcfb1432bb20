//! The types of columns that Gatepost makes: as the settings say, else as the senders' samples show.

use std::sync::Arc;

use minijinja::value::ValueKind;

use super::{Column, ColumnType, Settings};
use crate::body::number;
use crate::event::Event;
use crate::expr::{Scope, Value};

/// One type for each column, in the order of the settings. Worked out once: of one configuration
/// the samples are always the same, and a plan of each event would evaluate them all.
pub(super) fn types<'a>(settings: &'a Settings, samples: &[Arc<Event>]) -> &'a [ColumnType] {
    settings.made.get_or_init(|| types_of(settings, samples))
}

fn types_of(settings: &Settings, samples: &[Arc<Event>]) -> Vec<ColumnType> {
    let scopes: Vec<Scope> = samples.iter().map(Scope::of).collect();
    let columns = settings.columns.iter();
    columns.map(|column| column.declared.unwrap_or_else(|| of_samples(column, &scopes))).collect()
}

/// Text takes everything: another type only where all samples that have a value agree.
fn of_samples(column: &Column, scopes: &[Scope]) -> ColumnType {
    let values = scopes.iter().filter_map(|scope| column.value.eval(scope).ok());
    let types = values.filter(|value| !value.is_undefined() && !value.is_none()).map(|v| of(&v));
    types.reduce(wider).unwrap_or(ColumnType::Text)
}

fn of(value: &Value) -> ColumnType {
    if value.kind() == ValueKind::Bool {
        return ColumnType::Bool;
    }
    match number::json(value) {
        Some(text) if text.parse::<i64>().is_ok() => ColumnType::Integer,
        Some(text) if text.contains(['.', 'e', 'E']) => ColumnType::Real,
        // A whole number that no integer holds is an id: its digits count.
        Some(_) | None => ColumnType::Text,
    }
}

fn wider(one: ColumnType, other: ColumnType) -> ColumnType {
    match (one, other) {
        _ if one == other => one,
        (ColumnType::Integer, ColumnType::Real) | (ColumnType::Real, ColumnType::Integer) => {
            ColumnType::Real
        }
        _ => ColumnType::Text,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::handler::testing::delivery;

    #[track_caller]
    fn check(bodies: &[&str], expected: ColumnType) {
        let text = "url = \"sqlite:x\"\ntable = \"t\"\ncolumns = { a = \"payload.a\" }";
        let read = crate::settings::read(text, Path::new("/"), Settings::read);
        let samples: Vec<_> = bodies.iter().map(|body| delivery(body).event).collect();
        assert_eq!(types(&read.value.unwrap(), &samples), [expected], "{bodies:?}");
    }

    #[test]
    fn samples_that_agree_say_the_type() {
        check(&[], ColumnType::Text);
        check(&[r#"{"a":5}"#, r#"{"a":null}"#, "{}"], ColumnType::Integer);
        check(&[r#"{"a":5}"#, r#"{"a":1.5}"#], ColumnType::Real);
        check(&[r#"{"a":true}"#], ColumnType::Bool);
        check(&[r#"{"a":5}"#, r#"{"a":"5"}"#], ColumnType::Text);
        check(&[r#"{"a":true}"#, r#"{"a":1}"#], ColumnType::Text);
        check(&[r#"{"a":18446744073709551617}"#], ColumnType::Text);
        check(&[r#"{"a":123456789012345678901234567890123456789012}"#], ColumnType::Text);
        check(&[r#"{"a":[1]}"#], ColumnType::Text);
        check(&["no JSON"], ColumnType::Text);
    }
}
