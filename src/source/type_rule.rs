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
    /// Where a sender that this program stands for puts it beside the body; `None` = what it sends says it.
    pub(super) fn place_beside_body(&self) -> Option<&FieldRef> {
        let first = self.places().first();
        first.filter(|place| matches!(place, FieldRef::Header(_) | FieldRef::Query(_)))
    }

    pub(super) fn places(&self) -> &[FieldRef] {
        match self {
            Self::Literal(_) | Self::Method => &[],
            Self::At(places) => places,
        }
    }
}
