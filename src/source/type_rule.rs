//! Where an event's type is.

use super::field_ref::FieldRef;

/// Where an event's type is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeRule {
    /// Always this one.
    Literal(String),
    /// The request's method.
    Method,
    /// In the first of these places that has text.
    At(Vec<FieldRef>),
}

impl TypeRule {
    /// Where it looks.
    pub(super) fn places(&self) -> &[FieldRef] {
        match self {
            Self::Literal(_) | Self::Method => &[],
            Self::At(places) => places,
        }
    }
}
