//! Events that go past a handler's `when`.

use std::sync::Arc;

use crate::event::{Event, Glob};
use crate::expr::{ExprError, Expression, Scope};

/// Events that go past a handler's `when`: those that take something back must come through where
/// the filter says no to what they leave behind.
#[derive(Clone, Debug, Default)]
pub struct Exempt {
    /// Patterns over `source:type`.
    pub on: Vec<Glob>,
    /// An expression that is true for them.
    pub when: Option<Arc<Expression>>,
}

impl Exempt {
    /// Whether no event is one of them.
    pub fn is_empty(&self) -> bool {
        self.on.is_empty() && self.when.is_none()
    }

    /// Whether `event`, which `scope` is of, is one of them.
    pub fn has(&self, event: &Event, scope: &Scope) -> Result<bool, ExprError> {
        if !self.on.is_empty() {
            let name = format!("{}:{}", event.source, event.event_type);
            if self.on.iter().any(|glob| glob.matches(&name)) {
                return Ok(true);
            }
        }
        self.when.as_ref().map_or(Ok(false), |when| when.is_true(scope))
    }
}
