//! What a filter is given: by its place or by its name.

use minijinja::value::{Kwargs, Rest, ValueOrKwargs, from_args};
use minijinja::{Error, Value};

use super::values::is_missing;
use crate::body::number;

/// The arguments of one call. The value that the filter is applied to has the place 0.
pub(super) struct Arguments {
    by_place: Vec<Value>,
    by_name: Kwargs,
}

impl Arguments {
    pub(super) fn of(args: Rest<ValueOrKwargs>) -> Result<Self, Error> {
        let args = args.into_values();
        let (by_place, by_name): (&[Value], Kwargs) = from_args(&args)?;
        Ok(Self { by_place: by_place.to_vec(), by_name })
    }

    /// What the filter is applied to.
    pub(super) fn value(&self) -> Value {
        self.by_place.first().cloned().unwrap_or_default()
    }

    /// What is given by its place behind that.
    pub(super) fn more(&self) -> &[Value] {
        self.by_place.get(1..).unwrap_or_default()
    }

    /// `None` where nothing is given, or what is missing is.
    pub(super) fn get(&self, place: usize, name: &str) -> Result<Option<Value>, Error> {
        let argument = match self.by_place.get(place) {
            Some(argument) => Some(argument.clone()),
            None => self.named(name)?,
        };
        Ok(argument.filter(|argument| !is_missing(argument)))
    }

    /// The same of what can be given by its name only.
    pub(super) fn named(&self, name: &str) -> Result<Option<Value>, Error> {
        let argument: Option<Value> = self.by_name.get(name)?;
        Ok(argument.filter(|argument| !is_missing(argument)))
    }

    pub(super) fn count(&self, place: usize, name: &str, default: usize) -> Result<usize, Error> {
        match self.get(place, name)? {
            Some(argument) => usize::try_from(number::plain(argument)),
            None => Ok(default),
        }
    }

    /// Nothing else is given by name.
    pub(super) fn finish(&self) -> Result<(), Error> {
        self.by_name.assert_all_used()
    }
}
