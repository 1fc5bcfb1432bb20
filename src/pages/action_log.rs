//! `/log`: who changed what, and where that is found.

use askama::Template;

use super::fields::{Fields, address};
use super::frame::{Frame, Here};
use super::widgets::{Sign, Ticked, When};
use super::words::Room;
use super::{Viewer, rendered, words};
use crate::api::{
    ActedOn, ActionView, ActionsAsk, Actor, Api, ApiError, ListName, ListedActions, StatusView,
};
use crate::clock::Timestamp;

/// Actions of a page, and bytes of their texts and links.
const ROWS: usize = 40;
const ROOM: usize = 20 << 10;
/// The longest address of a list.
const ADDRESS_MAX: usize = 600;
/// Kinds of actions that are offered.
const WORDS_MAX: usize = 40;
/// The fields that choose some of them.
const FILTER: [&str; 5] = ["actor", "action", "target", "since", "until"];
/// What the list of events that a page shows is asked for: the API knows more.
const OF_EVENTS: [&str; 5] = ["source", "type", "since", "until", "q"];

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    frame: Frame,
    actions: Vec<ActionRow>,
    is_filtered: bool,
    /// The filter as it was said.
    actor: String,
    action: String,
    target: String,
    since: String,
    until: String,
    /// Whom, and what, one can choose: what an address says, and what people read.
    actors: Vec<(&'static str, &'static str)>,
    words: Vec<String>,
    older: Option<String>,
    newest: Option<String>,
}

#[derive(Debug)]
pub(super) struct ActionRow {
    pub(super) at: When,
    pub(super) who: String,
    action: String,
    target: Ticked,
    /// Where that is found: an address, and what is there.
    links: Vec<(String, String)>,
    pub(super) result: Ticked,
    pub(super) sign: Sign,
}

impl ActionRow {
    pub(super) fn new(
        action: &ActionView,
        status: &StatusView,
        now: Timestamp,
        room: &mut Room,
    ) -> Self {
        let links = links(action, status).into_iter().filter(|(address, _)| room.takes(address));
        Self {
            at: When::ago(action.at, now),
            who: match &action.node {
                Some(node) => format!("{} on {node}", action.actor.as_str()),
                None => action.actor.as_str().to_owned(),
            },
            links: links.collect(),
            target: Ticked::within(&action.target, 200, room),
            result: Ticked::within(&words::with_clock(&action.result, now), 200, room),
            sign: if action.is_done { Sign::Ok } else { Sign::Bad },
            action: words::shown(&action.action, 40),
        }
    }
}

/// Where what an action was for is found: an address, and what is there. Rejected requests and rollouts are those
/// of the gateway that has them.
fn links(action: &ActionView, status: &StatusView) -> Vec<(String, String)> {
    // This gateway, of those that share a log.
    let is_here = action.node.as_ref() == status.cluster.as_ref().map(|cluster| &cluster.node);
    let ActedOn { event, handler, source, rejected, rollout, list, made } = &action.about;
    let event = event.map(|id| (format!("/events/{id}"), "the event".to_owned()));
    let made = made.map(|id| (format!("/events/{id}"), "the copy".to_owned()));
    let named = |kind: &str, name: &str| (format!("/{kind}s/{name}"), format!("{kind} {name}"));
    // One that was let in is an event by now.
    let rejected = rejected.filter(|_| event.is_none() && is_here);
    let rejected = rejected.map(|number| (format!("/rejected/{number}"), "the request".to_owned()));
    let rollout = rollout
        .filter(|_| is_here)
        .map(|number| ("/dead#rollouts".to_owned(), format!("rollout {number}")));
    let list = list.as_ref().and_then(|list| {
        let said = || list.filter.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let (path, words) = match list.name {
            ListName::Events if said().any(|(name, _)| !OF_EVENTS.contains(&name)) => return None,
            ListName::Events => ("/events", "the events"),
            ListName::Dead => ("/dead", "the dead letters"),
            ListName::Rejected if !is_here => return None,
            ListName::Rejected => ("/rejected", "the requests"),
        };
        let address = address(path, said());
        (address.len() <= ADDRESS_MAX).then(|| (address, words.to_owned()))
    });
    let config =
        (action.action == "reload").then(|| ("/config".to_owned(), "the configuration".to_owned()));
    // A name that was mistyped, or is gone since, has no page.
    let handler =
        handler.as_ref().filter(|name| status.handlers.iter().any(|one| one.name == **name));
    let handler = handler.map(|name| named("handler", name.as_str()));
    let source = source.as_ref().filter(|name| status.sources.iter().any(|one| one.name == **name));
    let source = source.map(|name| named("source", name.as_str()));
    let all = [event, made, rejected, list, rollout, handler, source, config];
    all.into_iter().flatten().collect()
}

/// The question of the page's fields.
fn ask(api: &Api, fields: &Fields) -> Result<ActionsAsk, ApiError> {
    let now = api.now();
    let actor = fields.get("actor").map(|name| {
        let found = Actor::ALL.into_iter().find(|actor| actor.name() == name);
        found.ok_or_else(|| {
            let all = Actor::ALL.map(Actor::name).join(", ");
            ApiError::Bad(format!("`actor` is one of: {all}"))
        })
    });
    Ok(ActionsAsk {
        actor: actor.transpose()?,
        action: fields.text("action"),
        target: fields.text("target"),
        since: fields.time("since", now)?,
        until: fields.time("until", now)?,
        before: fields.number("before"),
        limit: Some(ROWS),
    })
}

pub(super) fn show(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    fields.check(&[&FILTER[..], &["done"]].concat(), &["before"])?;
    let found = api.actions(&ask(api, fields)?)?;
    page(api, fields, viewer, &found)
}

/// The form as it was filled in, where what it says cannot be looked for.
pub(super) fn form(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    page(api, fields, viewer, &ListedActions { actions: Vec::new(), next: None })
}

fn page(
    api: &Api,
    fields: &Fields,
    viewer: &Viewer,
    found: &ListedActions,
) -> Result<String, ApiError> {
    let (status, now) = (api.status(), api.now());
    let mut room = Room::new(ROOM);
    let actions = found.actions.iter();
    let actions = actions.map(|action| ActionRow::new(action, &status, now, &mut room)).collect();
    let said = FILTER.into_iter().chain(["before"]);
    let json = address("/api/v1/actions", said.filter_map(|name| Some((name, fields.get(name)?))));
    let frame = Frame::new(api, &status, fields, viewer, Here::Log, "Action log", json);
    let shown =
        |name: &str| fields.get(name).map(|text| words::shown(text, 200)).unwrap_or_default();
    let offered = api.action_words()?;
    rendered(&LogPage {
        frame,
        actions,
        is_filtered: FILTER.iter().any(|name| fields.get(name).is_some()),
        actor: shown("actor"),
        action: shown("action"),
        target: shown("target"),
        since: shown("since"),
        until: shown("until"),
        actors: Actor::ALL.map(|actor| (actor.name(), actor.as_str())).to_vec(),
        words: offered.into_iter().take(WORDS_MAX).map(|word| words::shown(&word, 40)).collect(),
        older: found
            .next
            .map(|next| fields.address("/log", &["done"], &[("before", &next.to_string())])),
        newest: fields.get("before").map(|_| fields.address("/log", &["before", "done"], &[])),
    })
}
