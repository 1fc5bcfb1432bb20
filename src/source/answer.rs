//! What is answered once an event is durable.

use std::sync::Arc;

use crate::event::{Event, EventId, NewEvent, Position};
use crate::expr::{Escape, Scope, Template};

use super::reply::Reply;

/// What is answered once an event is durable.
#[derive(Clone, Debug)]
pub enum AnswerRule {
    /// `{"id":"…"}`.
    Id,
    /// A body of the owner's or the sender's own.
    Body(AnswerBody),
}

/// A body of the owner's or the sender's own.
#[derive(Clone, Debug)]
pub struct AnswerBody {
    /// 200 or another status of success: any other would make the sender try again.
    pub status: u16,
    /// What the body is.
    pub content_type: Option<String>,
    /// The body, over the event; nothing = empty.
    pub body: Option<Arc<Template>>,
}

impl AnswerRule {
    /// Nothing but the status.
    pub const EMPTY: Self = Self::Body(AnswerBody { status: 200, content_type: None, body: None });

    /// Whether [`AnswerBody::reply`] needs the event.
    pub fn body(&self) -> Option<&AnswerBody> {
        match self {
            Self::Id => None,
            Self::Body(body) => Some(body),
        }
    }
}

impl AnswerBody {
    /// This text, whatever the event.
    pub(super) fn fixed(text: &str) -> Self {
        // A test compares the text of every preset.
        let body = Template::compile(text, Escape::None).ok().map(Arc::new);
        Self { status: 200, content_type: Some("text/plain".to_owned()), body }
    }

    /// How values in a body of this type are escaped. In JSON they are not: what is quoted there is
    /// the owner's to say (`{{ payload.name | tojson }}`).
    pub fn escape(content_type: Option<&str>) -> Escape {
        let is_markup = |text: &str| text.contains("xml") || text.contains("html");
        if content_type.is_some_and(is_markup) { Escape::Html } else { Escape::None }
    }

    /// The answer to a request that was stored as `id`. A body that cannot be made of the event is
    /// left empty: it is stored all the same.
    pub fn reply(&self, event: Option<NewEvent>, id: EventId) -> Reply {
        let body = self.body.as_ref().zip(event).and_then(|(template, event)| {
            let event = Arc::new(Event::new(event, id, Position::default()));
            template.render(&Scope::of(&event)).ok()
        });
        Reply {
            status: self.status,
            content_type: self.content_type.clone().unwrap_or_default().into(),
            headers: Vec::new(),
            body: body.unwrap_or_default().into_bytes(),
        }
    }
}
