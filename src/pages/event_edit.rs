//! An edited copy on the page of one event: the form that makes one, and what was made out of what.

use super::fields::Fields;
use super::widgets::When;
use super::{Viewer, words};
use crate::api::{Actor, Api, ApiError, EditAsk, EditView, EventEntry, StatusView, editable};
use crate::body::form_fields;
use crate::clock::Timestamp;
use crate::deliver::OWN_SOURCE;
use crate::event::EventId;
use crate::text::is_deceptive;

/// The most bytes of HTML that the form's text takes.
const HTML_MAX: usize = 20_000;
/// Copies that are named.
const COPIES_MAX: usize = 6;
/// The form's field.
const FIELD: &str = "text";

/// What the page says of edited copies.
#[derive(Debug)]
pub(super) struct EditPart {
    /// The event that it was made out of, and by whom.
    pub(super) made: Option<(EventId, Option<&'static str>)>,
    /// The newest copies of it.
    pub(super) copies: Vec<EditedCopy>,
    pub(super) n_more_copies: usize,
    /// Whether its viewer can make one: of a sender's event only.
    pub(super) is_offered: bool,
    /// Where the form was asked for: the text to be edited, else why there is none.
    pub(super) text: Option<String>,
    pub(super) why_not: String,
}

/// One edited copy.
#[derive(Debug)]
pub(super) struct EditedCopy {
    pub(super) id: EventId,
    pub(super) at: When,
    pub(super) who: &'static str,
}

impl EditPart {
    pub(super) fn new(
        entry: &EventEntry,
        fields: &Fields,
        status: &StatusView,
        viewer: &Viewer,
        now: Timestamp,
    ) -> Self {
        let (event, detail) = (&entry.event, &entry.detail);
        let copied = |edit: &EditView| EditedCopy {
            id: edit.id,
            at: When::ago(edit.at, now),
            who: edit.actor.as_str(),
        };
        let is_offered = viewer.may_change && event.source.as_str() != OWN_SOURCE;
        let form = || {
            if status.sources.iter().all(|source| source.name != event.source) {
                let name = &event.source;
                return Err(format!("Source {name} is in no configuration any more."));
            }
            text(entry).map_err(|why| {
                format!("{why} The command line takes any: gatepost events edit {}", event.id)
            })
        };
        let form = (is_offered && fields.get("body") == Some("edit")).then(form);
        let (text, why_not) = match form {
            Some(Ok(text)) => (Some(text), String::new()),
            Some(Err(why_not)) => (None, why_not),
            None => (None, String::new()),
        };
        Self {
            made: detail.summary.parent.map(|parent| (parent, detail.made_by.map(Actor::as_str))),
            copies: detail.edits.iter().rev().take(COPIES_MAX).map(copied).collect(),
            n_more_copies: detail.edits.len().saturating_sub(COPIES_MAX),
            is_offered,
            text,
            why_not,
        }
    }

    /// Whether the form stands where the body is.
    pub(super) fn is_asked(&self) -> bool {
        self.text.is_some() || !self.why_not.is_empty()
    }
}

/// The body as a browser can edit it without changing anything else; an error says why it cannot.
fn text(entry: &EventEntry) -> Result<String, String> {
    if !entry.is_body_whole {
        return Err("The body carries a password, which is not shown here.".to_owned());
    }
    let encoding = entry.event.headers.get("content-encoding");
    let text = editable(encoding, &entry.event.body)
        .map_err(|why| format!("This cannot be edited here: {why}."))?;
    // A browser sends all line ends in one way.
    let is_lone = |end: char| text.replace("\r\n", "").contains(end);
    let is_mixed = is_lone('\r') || text.contains("\r\n") && is_lone('\n');
    let is_hidden = |c: char| is_deceptive(c) && !matches!(c, '\n' | '\r' | '\t');
    if is_mixed || text.chars().any(is_hidden) {
        return Err("The body has characters that a browser would change or not show.".to_owned());
    }
    if words::html_bytes(&text) > HTML_MAX {
        return Err("The body is too long to be edited here.".to_owned());
    }
    Ok(text)
}

/// Makes the copy that the form asks for; gives its address.
pub(super) async fn send(api: &Api, id: EventId, form: &str) -> Result<String, ApiError> {
    let fields = form_fields(None, form.as_bytes());
    let said = fields.into_iter().find(|(name, _)| **name == *FIELD.as_bytes());
    let said = said.map(|(_, value)| value.into_owned()).unwrap_or_default();
    let body = match (text(&api.entry(id).await?), String::from_utf8(said)) {
        (Ok(before), Ok(said)) => {
            let lines = said.replace("\r\n", "\n");
            let body = if before.contains("\r\n") { lines.replace('\n', "\r\n") } else { lines };
            if body == before {
                return Err(ApiError::Bad(
                    "nothing was changed in it: to deliver the event once more as it is, use \
                     `Deliver it again` on its page"
                        .to_owned(),
                ));
            }
            body.into_bytes()
        }
        (Err(_), Ok(said)) => said.into_bytes(),
        (_, Err(said)) => said.into_bytes(),
    };
    let edited = api.edit(id, EditAsk::new(body, false)).await?;
    Ok(format!("/events/{}", edited.id.unwrap_or(id)))
}
