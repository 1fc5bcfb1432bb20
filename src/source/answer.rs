//! What is answered once an event is durable.

use std::sync::Arc;

use crate::body;
use crate::event::{Event, EventId, NewEvent, Position};
use crate::expr::{Escape, ExprError, Scope, Template};

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

    fn is_json(&self) -> bool {
        let essence = self.content_type.as_deref().and_then(|text| text.split(';').next());
        essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
    }

    /// The answer to a request that was stored as `id`; and why its body is empty, where it cannot be made of the
    /// event, which is stored all the same.
    pub fn reply(&self, event: Option<NewEvent>, id: EventId) -> (Reply, Option<ExprError>) {
        let rendered = self.body.as_ref().zip(event).map(|(template, event)| {
            let event = Arc::new(Event::new(event, id, Position::default()));
            template.render(&Scope::of(&event))
        });
        let (body, err) = match rendered {
            Some(Ok(body)) if self.is_json() => (body::json::without_spare_commas(body), None),
            Some(Ok(body)) => (body, None),
            Some(Err(err)) => (String::new(), Some(err)),
            None => (String::new(), None),
        };
        let reply = Reply {
            status: self.status,
            content_type: self.content_type.clone().unwrap_or_default().into(),
            headers: Vec::new(),
            body: body.into_bytes(),
        };
        (reply, err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::SourceName;
    use crate::source::tests::configured;

    #[test]
    fn answer_that_cannot_be_made_says_why() {
        let text = "provider = \"hyvor-talk\"\nanswer = { body = \"{{ payload.n + 'x' }}\" }";
        let settings = configured(text, &["k"]).settings().clone();
        let rule = settings.answer.body().unwrap();
        let source = SourceName::parse("s").unwrap();
        let event = |body: &str| NewEvent {
            is_json: true,
            ..NewEvent::new(source.clone(), "t", Timestamp::default(), body.to_owned())
        };
        let id = EventId(uuid::Uuid::nil());
        let (reply, err) = rule.reply(Some(event("{\"n\":5}")), id);
        assert_eq!((reply.status, reply.body), (200, Vec::new()));
        assert!(err.unwrap().message.contains("tried to use + operator"));
        let (reply, err) = rule.reply(Some(event("{\"n\":\"y\"}")), id);
        assert_eq!((reply.body, err), (b"yx".to_vec(), None));
    }
}
