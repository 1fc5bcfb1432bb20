//! Edited copies: a new event with another body, which names the one that it was made out of.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::acted_on::{ActedOn, ActionTarget};
use super::actions::ACTIONS_MAX;
use super::{ActionsAsk, Actor, Api, ApiError, Wish};
use crate::body::{self, UnreadableBody};
use crate::clock::Timestamp;
use crate::deliver::OWN_SOURCE;
use crate::event::{Event, EventId, EventType, HandlerName, Position, SourceName};
use crate::ingest::EditError;

/// How the action log calls it.
const EDIT: &str = "edit";

/// The body of an edited copy: one of the two must be said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditAsk {
    /// As text.
    pub body: Option<String>,
    /// The same of bytes that are no text, in base64.
    pub body_base64: Option<String>,
    /// Only say what it would be, and who would get it.
    #[serde(default)]
    pub dry_run: bool,
}

impl EditAsk {
    /// The question for an event with this body.
    pub fn new(body: Vec<u8>, dry_run: bool) -> Self {
        match String::from_utf8(body) {
            Ok(text) => Self { body: Some(text), body_base64: None, dry_run },
            Err(err) => {
                Self { body: None, body_base64: Some(STANDARD.encode(err.as_bytes())), dry_run }
            }
        }
    }

    pub fn bytes(self) -> Result<Bytes, ApiError> {
        match (self.body, self.body_base64) {
            (Some(text), None) => Ok(text.into()),
            (None, Some(text)) => {
                let bytes = STANDARD.decode(text);
                Ok(bytes.map_err(|err| ApiError::Bad(format!("`body_base64`: {err}")))?.into())
            }
            _ => Err(ApiError::Bad(
                "say the new body either as `body`, which is text, or as `body_base64`".to_owned(),
            )),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// Its stable name; left out where it was only asked what it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    pub parent: EventId,
    pub source: SourceName,
    /// What happened, as its body says; where that says nothing, its parent's.
    #[serde(rename = "type")]
    pub event_type: EventType,
    pub body_bytes: usize,
    /// Who wants it, by today's configuration.
    pub handlers: Vec<HandlerName>,
    /// Why it is no JSON any more, where its parent's body was JSON: a filter or a template that asks for a field
    /// finds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_longer_json: Option<String>,
}

/// That an event was made out of another, as far as the action log goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditView {
    pub id: EventId,
    pub at: Timestamp,
    pub actor: Actor,
}

/// The text of a body as it is edited: unpacked. An error says why it is not edited as text.
pub fn editable(encoding: Option<&[u8]>, bytes: &[u8]) -> Result<String, &'static str> {
    let unpacked = body::unpacked(encoding, bytes);
    let unpacked = unpacked.map_err(|_err| "its body came packed and cannot be unpacked")?;
    match String::from_utf8(unpacked.into_owned()) {
        Ok(text) if text.contains('\0') => Err("its body is no text"),
        Ok(text) => Ok(text),
        Err(_) => Err("its body is no text in UTF-8"),
    }
}

impl Api {
    /// Stores a copy of the event `parent` with another body, which is delivered as any new event. A dry run
    /// only says what it would be.
    pub async fn edit(&self, parent: EventId, ask: EditAsk) -> Result<Edited, ApiError> {
        let is_dry_run = ask.dry_run;
        let body = ask.bytes()?;
        let edited = self.try_edit(parent, body, is_dry_run).await;
        if !is_dry_run {
            let made = edited.as_ref().ok().and_then(|edited| edited.id);
            let about = ActedOn { made, ..ActedOn::event(parent, None) };
            let target = ActionTarget::new(format!("event {parent}"), about);
            self.note(EDIT, target, &edited, |edited| {
                let id = edited.id.unwrap_or(EventId::NONE);
                let lost = if edited.no_longer_json.is_some() {
                    ", which is no JSON any more"
                } else {
                    ""
                };
                format!("made event {id}{lost}")
            });
        }
        edited
    }

    async fn try_edit(
        &self,
        parent: EventId,
        body: Bytes,
        is_dry_run: bool,
    ) -> Result<Edited, ApiError> {
        let server = self.server()?;
        let event = self.get(parent).await?;
        if event.source.as_str() == OWN_SOURCE {
            return Err(ApiError::Conflict(
                "what the gateway says of itself is not edited: no sender sent it".to_owned(),
            ));
        }
        let new = server.ingest.edited(&event, body).map_err(|err| match err {
            EditError::NoSource(_) => ApiError::Conflict(err.to_string()),
            EditError::TooLong { .. } => ApiError::TooLarge(err.to_string()),
            EditError::Empty => ApiError::Bad(err.to_string()),
        })?;
        let as_stored = Arc::new(Event::new(new.clone(), EventId::NONE, Position(0)));
        let wants = server.control.wants(&as_stored).into_iter();
        let wants = wants
            .filter(|one| matches!(one.answer, Wish::Wanted | Wish::Unclear))
            .map(|one| one.handler);
        let mut edited = Edited {
            id: None,
            parent,
            source: new.source.clone(),
            event_type: new.event_type.clone(),
            body_bytes: new.body.len(),
            handlers: wants.collect(),
            no_longer_json: why_no_json(&as_stored).filter(|_| why_no_json(&event).is_none()),
        };
        if !is_dry_run {
            edited.id = Some(server.ingest.append_edited(new).await?);
        }
        Ok(edited)
    }

    /// What was made out of `id`, oldest first, and by whom `id` was made if it is an edited copy.
    pub(super) fn edits_of(&self, id: EventId) -> (Vec<EditView>, Option<Actor>) {
        let Some(server) = &self.server else { return (Vec::new(), None) };
        let all = ActionsAsk {
            action: Some(EDIT.to_owned()),
            limit: Some(ACTIONS_MAX),
            ..ActionsAsk::default()
        };
        let mut edits = server.actions.list(&all).actions;
        edits.reverse();
        let made_by = edits.iter().find(|edit| edit.about.made == Some(id)).map(|edit| edit.actor);
        let edits = edits.into_iter().filter(|edit| edit.about.event == Some(id));
        let edits = edits.filter_map(|edit| {
            Some(EditView { id: edit.about.made?, at: edit.at, actor: edit.actor })
        });
        (edits.collect(), made_by)
    }
}

/// Why the body of an event is no list and no object of JSON, as every reader reads it; `None` = it is one.
fn why_no_json(event: &Event) -> Option<String> {
    let encoding = event.headers.get("content-encoding");
    let text = match body::unpacked(encoding, &event.body) {
        Ok(text) => text,
        Err(err) => return Some(err.to_string()),
    };
    match event.payload() {
        Ok(payload) if body::starts_like_json(&text) && !payload.is_text() => None,
        Ok(_) => {
            let read = serde_json::from_slice::<serde::de::IgnoredAny>(&text);
            Some(read.map_or_else(|err| err.to_string(), |_| "it is a single value".to_owned()))
        }
        Err(UnreadableBody::Json(why)) => Some(why.clone()),
        Err(err) => Some(err.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_said_as_text_or_as_bytes() {
        for body in [b"{\"a\":1}".as_slice(), b"\xff\x00"] {
            let ask = EditAsk::new(body.to_vec(), false);
            assert_eq!(ask.body.is_some(), body.is_ascii());
            assert_eq!(ask.bytes().unwrap(), body);
        }
        let both = EditAsk { body_base64: Some(String::new()), ..EditAsk::new(Vec::new(), false) };
        for wrong in [EditAsk::default(), both] {
            assert!(wrong.bytes().unwrap_err().to_string().contains("either as `body`"));
        }
        let no_base64 = EditAsk { body_base64: Some("é".into()), ..EditAsk::default() };
        assert!(no_base64.bytes().unwrap_err().to_string().starts_with("`body_base64`: "));
    }

    #[test]
    fn packed_body_is_edited_unpacked_and_what_is_no_text_is_not() {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"{\"a\":1}").unwrap();
        let packed = gzip.finish().unwrap();
        assert_eq!(editable(Some(b"gzip"), &packed).as_deref(), Ok("{\"a\":1}"));
        assert_eq!(editable(None, "é\r\n".as_bytes()).as_deref(), Ok("é\r\n"));
        for body in [b"\xff".as_slice(), b"a\0", &packed[..packed.len() - 4]] {
            editable(None, body).unwrap_err();
        }
    }
}
