//! What forms change. Each leads back to the page that it came from, which shows what came of it.

use super::event_list::EventList;
use super::fields::Fields;
use super::{
    Answer, Page, Viewer, again, dead, event, event_edit, events, handlers, picked, rejected,
    sources, words,
};
use crate::api::{Api, ApiError, PauseAsk, Run};
use crate::clock::Timestamp;
use crate::event::{EventId, EventType, HandlerName, SourceName};

/// Does what a form asks for. Where that cannot be, the page that it stood on says why.
pub async fn change(
    api: &Api,
    page: Page,
    body: &str,
    viewer: &Viewer,
) -> Result<Answer, ApiError> {
    let fields = Fields::parse(body);
    let preview = match page {
        Page::EventEdit(id) if fields.get("preview").is_some() => Some(id),
        _ => None,
    };
    let done = match preview {
        None => done(api, page.clone(), body, &fields).await,
        Some(id) => match event_edit::preview(api, id, body).await {
            Ok(sent) => {
                return event::edited(api, id, &fields, sent, viewer).await.map(Answer::Html);
            }
            // Nothing is sent in its place.
            Err(err) => Err(err),
        },
    };
    match done {
        Ok(back) => {
            let newest = api.newest_action();
            let sign = if back.contains('?') { '&' } else { '?' };
            Ok(Answer::SeeOther(format!("{back}{sign}done={newest}")))
        }
        Err(err @ (ApiError::Bad(_) | ApiError::Conflict(_))) => {
            let fields = fields.refused(err.to_string(), OF_FORMS);
            match stood_on(api, page, (body, &fields), viewer).await {
                Some(page) => again(page, err),
                None => Err(err),
            }
        }
        Err(err) => Err(err),
    }
}

/// The page that a form stood on; `None` = what was wrong has more lines than a page has room for beside it, or
/// the form has more text.
async fn stood_on(
    api: &Api,
    page: Page,
    (body, fields): (&str, &Fields),
    viewer: &Viewer,
) -> Option<Result<String, ApiError>> {
    match page {
        Page::DeadRedrive | Page::DeadRollout | Page::DeadDrop | Page::RolloutStep(..) => {
            Some(dead::show(api, fields, viewer).await)
        }
        Page::EventEdit(id) => {
            let sent = event_edit::sent(api, id, body).await?;
            Some(event::edited(api, id, fields, sent, viewer).await)
        }
        Page::EventReplay(id) => Some(event::again(api, id, fields, viewer).await),
        Page::EventsReplay => Some(events::show(api, fields, viewer).await),
        Page::RejectedRelease(_) | Page::RejectedReleaseAll => {
            Some(rejected::show(api, fields, viewer).await)
        }
        Page::HandlerRun(name, _) | Page::HandlerRetry(name) | Page::HandlerForget(name) => {
            Some(handlers::show(api, &name, fields, viewer).await)
        }
        Page::SourceTest(name) => Some(sources::show(api, &name, fields, viewer).await),
        _ => None,
    }
}

/// Fields of forms that no address of a page has.
const OF_FORMS: &[&str] =
    &["all", "confirm", "limit", "rate", "pick", "picked", "to", "replay", "after", "up_to"];

/// Does it, and gives the address that it leads back to.
async fn done(api: &Api, page: Page, body: &str, fields: &Fields) -> Result<String, ApiError> {
    Ok(match page {
        Page::EventReplay(id) => replay(api, id, fields).await?,
        Page::EventEdit(id) => event_edit::send(api, id, body, fields).await?,
        Page::DeadRedrive => {
            redrive(api, fields).await?;
            dead_address(fields)
        }
        Page::DeadRollout => {
            let ask = dead::ask(api, fields)?;
            api.begin_rollout(ask.into_rollout(rate(fields)?)?).await?;
            dead_address(fields)
        }
        Page::RolloutStep(number, step) => {
            api.change_rollout(number, step).await?;
            dead_address(fields)
        }
        Page::DeadDrop => {
            drop_dead(api, fields).await?;
            dead_address(fields)
        }
        Page::RejectedReleaseAll => rejected::release_all(api, fields).await?,
        Page::EventsReplay => replay_listed(api, fields).await?,
        Page::RejectedRelease(number) => {
            api.release(number).await?;
            "/rejected".to_owned()
        }
        Page::HandlerRun(name, run) => steer(api, name, run, fields).await?,
        Page::HandlerRetry(name) => {
            api.retry_now(&name).await?;
            format!("/handlers/{name}")
        }
        Page::HandlerForget(name) => forget(api, &name, fields).await?,
        Page::SourceTest(name) => send_test(api, &name, fields).await?,
        Page::Reload => {
            api.reload().await?;
            "/config".to_owned()
        }
        Page::Overview
        | Page::Events
        | Page::EventsLatest
        | Page::Event(_)
        | Page::Dead
        | Page::Rejected
        | Page::RejectedOne(_)
        | Page::Handlers
        | Page::Handler(_)
        | Page::Sources
        | Page::Source(_)
        | Page::Config
        | Page::Log => return Err(ApiError::NotFound("nothing is changed there".into())),
    })
}

/// The dead letters that are ticked, or else all that the form selects.
async fn redrive(api: &Api, fields: &Fields) -> Result<(), ApiError> {
    if picked::is_meant(fields) {
        return picked::redrive(api, fields).await;
    }
    api.redrive(dead::selection(api, fields).await?).await.map(|_| ())
}

/// The events that are ticked, or else all that the form selects.
async fn replay_listed(api: &Api, fields: &Fields) -> Result<String, ApiError> {
    if picked::is_meant(fields) {
        picked::replay(api, fields).await?;
        return Ok(fields.address("/events", &["all", "to", "replay", "pick", "picked"], &[]));
    }
    events::replay(api, fields).await
}

async fn replay(api: &Api, id: EventId, fields: &Fields) -> Result<String, ApiError> {
    let handler = fields.get("handler").map(HandlerName::parse).transpose();
    let handler = handler.map_err(|err| ApiError::Bad(err.to_string()))?;
    // No tick for what was not done.
    if let Some(why) = api.replay(id, handler.as_ref()).await?.why {
        return Err(ApiError::Conflict(format!("nothing is delivered: {why}")));
    }
    Ok(EventList::of_event(fields).event(id))
}

async fn steer(
    api: &Api,
    name: HandlerName,
    run: Run,
    fields: &Fields,
) -> Result<String, ApiError> {
    match run {
        Run::Pause => api.pause(&name, pause(fields, api.now())?).await?,
        Run::Resume => api.resume(&name).await?,
    };
    Ok(format!("/handlers/{name}"))
}

/// Removes a handler's place, where its name was typed.
async fn forget(api: &Api, name: &HandlerName, fields: &Fields) -> Result<String, ApiError> {
    if fields.get("confirm") != Some(name.as_str()) {
        return Err(ApiError::Bad(format!("type `{name}` to forget its place")));
    }
    api.forget(name).await?;
    Ok("/handlers".to_owned())
}

/// Sends a sample; leads to the event that it became.
async fn send_test(api: &Api, name: &SourceName, fields: &Fields) -> Result<String, ApiError> {
    let event_type = EventType::new(fields.get("type").unwrap_or_default());
    let sent = api.send_test(name, event_type.as_str()).await?;
    Ok(match sent.id {
        Some(id) => format!("/events/{id}"),
        None => format!("/sources/{name}"),
    })
}

/// How many a second; nothing where that is left open.
fn rate(fields: &Fields) -> Result<Option<u32>, ApiError> {
    let Some(text) = fields.get("rate") else { return Ok(None) };
    let rate = text.parse().ok().filter(|rate| *rate > 0);
    let bad = || ApiError::Bad("`rate` is a whole number, of how many a second".to_owned());
    rate.ok_or_else(bad).map(Some)
}

/// How long or until when, and why.
fn pause(fields: &Fields, now: Timestamp) -> Result<PauseAsk, ApiError> {
    let until = fields.get("until").map(|text| {
        let bad = || {
            let zone = words::zone_name();
            ApiError::Bad(format!(
                "`until` is a time of day or a day with one, in {zone}: `14:30`, `2026-11-22 14:30`"
            ))
        };
        words::moment_ahead(text, now).ok_or_else(bad)
    });
    let until = until.transpose()?;
    Ok(PauseAsk { r#for: fields.text("for"), until, reason: fields.text("reason") })
}

/// What cannot be undone wants the number typed.
async fn drop_dead(api: &Api, fields: &Fields) -> Result<(), ApiError> {
    let mut selection = dead::selection(api, fields).await?;
    selection.is_dry_run = true;
    let matched = api.drop_dead(selection.clone()).await?.matched;
    if fields.number("confirm") != Some(matched) {
        let text = format!("{matched} dead letters match: type this number to drop them");
        return Err(ApiError::Conflict(text));
    }
    selection.is_dry_run = false;
    api.drop_dead(selection).await.map(|_| ())
}

/// The list that the form stood on.
fn dead_address(fields: &Fields) -> String {
    fields.address("/dead", &["all", "confirm", "limit", "rate", "pick", "picked"], &[])
}
