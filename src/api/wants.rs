//! Why a handler was not called, worked out on demand: nothing of it is stored, so it is
//! by today's configuration.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::event::HandlerName;

/// What a configured handler says to an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WantsView {
    pub handler: HandlerName,
    pub kind: Cow<'static, str>,
    /// Whether it wants the event.
    pub answer: Wish,
    /// Which key of the configuration decides, with its text.
    pub because: String,
    /// The fields that the text asks for, and the values that the event has there.
    pub values: Vec<SeenValue>,
    /// The line that the event is in, where it is wanted.
    #[serde(skip)]
    pub line: Option<EventLine>,
}

/// The events that handlers take one after the other with an event, since they have the same `order_by`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    pub handlers: Vec<HandlerName>,
    /// What `order_by` asks for, with the event's values.
    pub values: Vec<SeenValue>,
    /// The search that finds them.
    pub q: String,
}

/// What a handler would do with an event. Nothing of it is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanView {
    /// Whether it wants the event, and why not.
    #[serde(flatten)]
    pub wants: WantsView,
    /// What it would do, step by step; nothing where that cannot be worked out.
    pub steps: Option<serde_json::Value>,
    /// The same for people.
    pub text: String,
    /// Why it cannot be worked out.
    pub failure: Option<String>,
}

/// Whether a handler wants an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// It does.
    Wanted,
    /// `on` does not name it.
    NotNamed,
    /// `when` said no.
    Filtered,
    /// It could not be worked out.
    Unclear,
    /// The handler is disabled.
    Disabled,
}

/// A field and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenValue {
    /// As in `data.comment.status`.
    pub field: String,
    /// Its value as JSON, cut off where it is long; `missing` where there is none.
    pub value: String,
}
