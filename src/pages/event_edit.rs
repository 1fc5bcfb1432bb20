//! An edited copy on the page of one event: the form that makes one, and what was made out of what.

use super::event_list::EventList;
use super::fields::Fields;
use super::widgets::{Ticked, When};
use super::{Viewer, words};
use crate::api::{
    Actor, Api, ApiError, EditAsk, EditView, Edited, EventEntry, StatusView, editable,
};
use crate::body::form_fields;
use crate::clock::Timestamp;
use crate::deliver::OWN_SOURCE;
use crate::event::EventId;
use crate::text::is_deceptive;

/// The most bytes of HTML that the form's text takes.
const HTML_MAX: usize = 20_000;
/// Copies that are named.
const COPIES_MAX: usize = 6;
/// Handlers that are named.
const HANDLERS_MAX: usize = 12;
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
    /// What would come of the text, where that was asked for.
    pub(super) preview: Option<EditPreview>,
}

/// What would come of an edited copy.
#[derive(Debug)]
pub(super) struct EditPreview {
    /// Its source and type.
    pub(super) name: String,
    pub(super) size: String,
    /// Who would get it.
    pub(super) handlers: Vec<String>,
    pub(super) n_more: usize,
    /// Why it is no JSON any more; it must be confirmed then.
    pub(super) no_longer_json: Option<Ticked>,
}

impl EditPreview {
    fn new(edited: &Edited) -> Self {
        let event_type = words::shown(edited.event_type.as_str(), 120);
        Self {
            name: format!("{}:{event_type}", edited.source),
            size: words::bytes(edited.body_bytes as u64),
            handlers: edited.handlers.iter().take(HANDLERS_MAX).map(ToString::to_string).collect(),
            n_more: edited.handlers.len().saturating_sub(HANDLERS_MAX),
            no_longer_json: edited.no_longer_json.as_deref().map(|why| Ticked::new(why, 200)),
        }
    }
}

/// The form as it was sent.
pub(super) struct SentForm {
    text: String,
    preview: Option<EditPreview>,
}

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
        (sent, now): (Option<SentForm>, Timestamp),
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
        let (typed, preview) = sent.map(|sent| (sent.text, sent.preview)).unzip();
        let (text, why_not) = match form {
            Some(Ok(text)) => (Some(typed.unwrap_or(text)), String::new()),
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
            preview: preview.flatten(),
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

/// Makes the copy that the form asks for; gives its address. What was JSON and is none any more must be confirmed:
/// it goes to every handler at once.
pub(super) async fn send(
    api: &Api,
    id: EventId,
    form: &str,
    fields: &Fields,
) -> Result<String, ApiError> {
    let body = body(api, id, form).await?;
    let is_confirmed = fields.get("confirm").is_some();
    let looked_at = api.edit(id, EditAsk::new(body.clone(), true)).await?;
    if looked_at.no_longer_json.is_some() && !is_confirmed {
        return Err(ApiError::Conflict(
            "nothing was sent: the body was JSON and is none now".to_owned(),
        ));
    }
    let edited = api.edit(id, EditAsk::new(body, false)).await?;
    Ok(EventList::of_event(fields).event(edited.id.unwrap_or(id)))
}

/// The form once more, with what was typed and what would come of it; `None` = it is too long for a page.
pub(super) async fn sent(api: &Api, id: EventId, form: &str) -> Option<SentForm> {
    let looked_at = look(api, id, form).await.ok();
    sent_form(form, looked_at.as_ref())
}

/// What came of the button that only shows what would happen.
pub(super) async fn preview(api: &Api, id: EventId, form: &str) -> Result<SentForm, ApiError> {
    let looked_at = look(api, id, form).await?;
    let too_long = || ApiError::TooLarge("the text is too long for this page".to_owned());
    sent_form(form, Some(&looked_at)).ok_or_else(too_long)
}

/// What would come of the form; nothing is sent.
async fn look(api: &Api, id: EventId, form: &str) -> Result<Edited, ApiError> {
    api.edit(id, EditAsk::new(body(api, id, form).await?, true)).await
}

fn sent_form(form: &str, looked_at: Option<&Edited>) -> Option<SentForm> {
    let text = String::from_utf8(typed(form)).ok()?;
    let preview = looked_at.map(EditPreview::new);
    (words::html_bytes(&text) <= HTML_MAX).then_some(SentForm { text, preview })
}

fn typed(form: &str) -> Vec<u8> {
    let fields = form_fields(None, form.as_bytes());
    let said = fields.into_iter().find(|(name, _)| **name == *FIELD.as_bytes());
    said.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The body that the form makes, with the line ends that were there.
async fn body(api: &Api, id: EventId, form: &str) -> Result<Vec<u8>, ApiError> {
    Ok(match (text(&api.entry(id).await?), String::from_utf8(typed(form))) {
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
    })
}
