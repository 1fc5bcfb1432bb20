//! `events`.

use std::time::Duration;

use serde::Deserialize;

use crate::api::{
    ArrivalView, AttemptView, EventDetail, EventSummary, EventsAsk, ExportedEvent, SenderSecrets,
    WantsView,
};
use crate::config::Config;
use crate::event::{EventId, Output as Said, Position};
use crate::queue::{DeliveryState, EventQuery};
use crate::text::{bytes, count, unescaped_json};

use super::args::{Events, EventsFilter, EventsTail, SaidEvent};
use super::human::{ago, ago_and_exact, ahead};
use super::output::{self, Column, Output, Page, note, plain};
use super::pretty::pretty;
use super::store::{self, Reached, Server, Via};
use super::{CliError, edit, fixtures, known, rejected, replay};

const COLUMNS: &[Column<EventSummary>] = &[
    ("EVENT", |one| one.id.to_string()),
    ("RECEIVED", |one| ago(one.received_at)),
    ("SOURCE", |one| one.source.to_string()),
    ("SIZE", |one| bytes(one.body_bytes as u64)),
    ("TYPE", |one| plain(one.event_type.as_str())),
];

/// How often `tail` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it looks for a server that is gone.
const TRY_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(verb: Events, config: &Config, output: Output) -> Result<(), CliError> {
    let reach = || Via::reach(config);
    match verb {
        Events::List(list) => {
            let via = reach().await?;
            let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
            known::source(&via, list.filter.source.as_deref(), config).await?;
            let handler = list.handler.as_ref().map(ToString::to_string);
            let ask =
                EventsAsk { limit: Some(limit), handler, state: list.state, ..ask(&list.filter) };
            let events = via.list(ask, limit).await?;
            if let Some(name) = list.handler.as_ref().filter(|_| events.is_empty()) {
                known::handler(name, config)?;
            }
            output.list(&events, COLUMNS, "no events")?;
            output::note_limit(output, (events.len(), limit), "newest")
        }
        Events::Show { id, raw } => {
            let via = reach().await?;
            let id = via.event(id).await?;
            if raw {
                return output::bytes(&via.raw(id).await?);
            }
            output.one(&via.show(id).await?, text)
        }
        Events::Save { id, to } => {
            let via = reach().await?;
            let event = via.exported(id).await;
            via.close().await?;
            fixtures::save(&event?, to.as_deref(), config, output)
        }
        Events::Tail(options) => tail(reach().await?, &options, config, output).await,
        Events::Edit(options) => edit::run(&options, config, output).await,
        Events::Replay(options) => replay::run(&reach().await?, &options, config, output).await,
    }
}

impl Via {
    /// So many events, newest first, however often the search has to go on for them.
    pub(super) async fn list(
        &self,
        mut ask: EventsAsk,
        limit: usize,
    ) -> Result<Vec<EventSummary>, CliError> {
        let mut events = Vec::new();
        loop {
            let (page, next) = self.page(ask.clone()).await?;
            events.extend(page);
            if next.is_none() || events.len() >= limit {
                events.truncate(limit);
                return Ok(events);
            }
            ask.before = next;
        }
    }

    /// The same with the position to go on with, where not everything was looked at.
    pub(super) async fn page(
        &self,
        ask: EventsAsk,
    ) -> Result<(Vec<EventSummary>, Option<u64>), CliError> {
        match self {
            Self::Server(server) => server.page("events", &store::pairs(&ask)?).await,
            Self::Store(api) => {
                let listed = api.events(ask).await?;
                Ok((listed.events, listed.next))
            }
        }
    }

    /// One event with all that is known of it.
    pub(super) async fn show(&self, id: EventId) -> Result<EventDetail, CliError> {
        match self {
            Self::Server(server) => server.get(&format!("events/{id}"), &[]).await,
            Self::Store(api) => Ok(api.event(id).await?),
        }
    }

    /// One event with all that belongs to it.
    pub(super) async fn exported(&self, said: SaidEvent) -> Result<ExportedEvent, CliError> {
        let id = self.event(said).await?;
        let before = self.show(id).await?.summary.position.previous();
        let found = self.export(before.0, 1).await?.pop();
        let found = found.filter(|found| found.id == id.to_string());
        found.ok_or_else(|| CliError::Failed(format!("no event `{id}` is retained")))
    }

    /// One event's body, byte for byte.
    pub(super) async fn raw(&self, id: EventId) -> Result<Vec<u8>, CliError> {
        match self {
            Self::Server(server) => server.bytes(&format!("events/{id}/raw")).await,
            Self::Store(api) => Ok(api.raw(id, SenderSecrets::Given).await?.into()),
        }
    }

    /// The newest position.
    pub(super) async fn last(&self) -> Result<u64, CliError> {
        match self {
            Self::Server(server) => {
                let NewestOfQueue { queue } = server.get("status", &[]).await?;
                Ok(queue.last.0)
            }
            Self::Store(api) => Ok(api.stats().last.0),
        }
    }

    /// How many events are retained.
    pub(super) async fn n_events(&self) -> Result<u64, CliError> {
        match self {
            Self::Server(server) => {
                let NewestOfQueue { queue } = server.get("status", &[]).await?;
                Ok(queue.events)
            }
            Self::Store(api) => Ok(api.stats().events),
        }
    }
}

/// All of a status that is needed to begin behind what is there.
#[derive(Debug, Deserialize)]
struct NewestOfQueue {
    queue: NewestPosition,
}

#[derive(Debug, Deserialize)]
struct NewestPosition {
    last: Position,
    #[serde(default)]
    events: u64,
}

fn ask(filter: &EventsFilter) -> EventsAsk {
    EventsAsk {
        source: filter.source.clone(),
        event_type: filter.event_type.clone(),
        since: filter.since.as_ref().map(|said| said.at),
        until: filter.until.as_ref().map(|said| said.at),
        contains: filter.contains.clone(),
        field: filter.field.clone(),
        q: filter.search.clone(),
        ..EventsAsk::default()
    }
}

/// Prints events as they come in, each with its position: an interrupted reader goes on from there.
async fn tail(
    mut via: Via,
    options: &EventsTail,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    known::source(&via, options.filter.source.as_deref(), config).await?;
    let mut after = match options.from {
        Some(position) => position,
        None => via.last().await?,
    };
    loop {
        let ask = EventsAsk { after: Some(after), limit: Some(LIMIT), ..ask(&options.filter) };
        let (last, events) = match newer(&via, ask).await {
            Ok(newer) => newer,
            Err(CliError::Unreachable(_) | CliError::Unavailable(_)) => {
                note(&format!("the server is gone; waiting for it behind position {after}"))?;
                via = Via::Server(server_again(config).await?);
                continue;
            }
            Err(err) => return Err(err),
        };
        let is_full = events.len() >= LIMIT;
        for event in events {
            after = event.position.0;
            if output.is_json() {
                output.one(&event, |_| String::new())?;
            } else {
                output::line(&tail_line(&event))?;
            }
        }
        if is_full {
            continue;
        }
        // What was looked at and does not match is not looked at again.
        after = after.max(last);
        if let Via::Store(api) = via {
            // Nothing comes into a queue without a server, and none can start while it is held here.
            api.close().await?;
            note(&format!("no server is running; waiting for one behind position {after}"))?;
            via = Via::Server(server_again(config).await?);
        } else {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What a look finds, and the newest position before it: all up to there was looked at, where the page is
/// not full.
async fn newer(via: &Via, ask: EventsAsk) -> Result<(u64, Vec<EventSummary>), CliError> {
    let last = via.last().await?;
    if ask.after.is_some_and(|after| after >= last) {
        return Ok((last, Vec::new()));
    }
    let (events, next) = via.page(ask).await?;
    // A list that ended early says where to go on.
    Ok((next.unwrap_or(last), events))
}

fn tail_line(event: &EventSummary) -> String {
    let EventSummary { id, position, source, event_type, received_at, .. } = event;
    format!("{}  {received_at}  {id}  {source}  {}", position.0, plain(event_type.as_str()))
}

/// Waits until a server runs again. The store itself is left alone: who opens it keeps the server
/// from starting.
async fn server_again(config: &Config) -> Result<Server, CliError> {
    loop {
        tokio::time::sleep(TRY_EVERY).await;
        match Server::reach(config).await? {
            Reached::Server(server) => return Ok(server),
            Reached::Nobody => {}
        }
    }
}

/// As many as one page gives.
const LIMIT: usize = EventQuery::LIMIT_MAX;

fn text(event: &EventDetail) -> String {
    let summary = &event.summary;
    let mut text = Page::default();
    for (name, value) in [
        ("event", summary.id.to_string()),
        ("position", summary.position.0.to_string()),
        ("source", summary.source.to_string()),
        ("type", plain(summary.event_type.as_str())),
        ("received", ago_and_exact(summary.received_at)),
    ] {
        text.line(format_args!("{name:11} {value}"));
    }
    if let Some(parent) = summary.parent {
        let who = event.made_by.map(|actor| format!(", by {}", actor.as_str()));
        text.line(format_args!("made out of {parent}{}", who.unwrap_or_default()));
    }
    for copy in &event.edits {
        let (when, who) = (ago_and_exact(copy.at), copy.actor.as_str());
        text.line(format_args!("edited copy {}, {when}, by {who}", copy.id));
    }
    for (name, value) in event.arrival.iter().flat_map(ArrivalView::facts) {
        text.line(format_args!("{:11} {}", name.to_lowercase(), plain(&value)));
    }
    text.line(format_args!(""));
    rejected::headers(&event.headers, &mut text);
    body(event, &mut text);
    handlers(event, &mut text);
    text.finish()
}

/// A line for each handler, its tries below it.
fn handlers(event: &EventDetail, text: &mut Page) {
    text.line(format_args!(""));
    for delivery in &event.deliveries {
        let unwanted = event.not_called.iter().find(|one| one.handler == delivery.handler);
        let why = unwanted.map_or_else(String::new, |one| format!(": {}", why_not(one)));
        let next = delivery.next_try_at;
        let next = next.map_or_else(String::new, |at| format!(", next try {} ({at})", ahead(at)));
        let since = delivery.under_way_since;
        let now = since.map_or_else(String::new, |at| format!(", being tried since {at}"));
        text.line(format_args!("{}: {}{now}{next}{why}", delivery.handler, state(delivery.state)));
        for attempt in &delivery.attempts {
            text.line(format_args!("  {}", attempt_text(attempt)));
            output_lines(&attempt.output, text);
        }
    }
    let is_told = |one: &&WantsView| event.deliveries.iter().any(|it| it.handler == one.handler);
    for one in event.not_called.iter().filter(|one| !is_told(one)) {
        text.line(format_args!("{}: not called: {}", one.handler, why_not(one)));
    }
}

/// Which key decides, and by which values.
fn why_not(one: &WantsView) -> String {
    let values = one.values.iter();
    let values = values.map(|seen| format!("{} is {}", plain(&seen.field), plain(&seen.value)));
    let values: Vec<String> = values.collect();
    let because = match one.because.as_str() {
        "" => "it had no place in the log yet when the event came in".to_owned(),
        because => plain(because),
    };
    if values.is_empty() { because } else { format!("{because} ({})", values.join(", ")) }
}

/// The body where it is JSON, else how to see it.
fn body(event: &EventDetail, text: &mut Page) {
    let size = bytes(event.summary.body_bytes as u64);
    match &event.payload {
        Some(payload) => {
            // A form, a packed body, text: its own bytes are shown with --raw.
            let how = if event.body_base64.is_some() { ", as it is read" } else { "" };
            text.line(format_args!("\n{size} of body{how}:"));
            for line in pretty(&unescaped_json(payload.get())).lines() {
                text.line(format_args!("{}", plain(line)));
            }
        }
        None => text.line(format_args!("\n{size} of body: see them with --raw")),
    }
    if let Some(why) = &event.unreadable {
        text.line(format_args!("no fields: {}", plain(why)));
    }
}

/// What the other side said, line by line.
pub(super) fn output_lines(said: &Said, text: &mut Page) {
    for excerpt in said.excerpts() {
        text.line(format_args!("    {}:", excerpt.stream.name()));
        for line in excerpt.text().lines() {
            // Tabs stay; the rest was scrubbed when it was kept.
            text.line(format_args!(
                "      {}",
                line.split('\t').map(plain).collect::<Vec<_>>().join("\t")
            ));
        }
    }
}

fn attempt_text(attempt: &AttemptView) -> String {
    let status = attempt.status.map_or_else(String::new, |status| format!(" with status {status}"));
    let error = attempt.error.as_str();
    let error = if error.is_empty() { String::new() } else { format!(": {}", plain(error)) };
    format!(
        "try {} at {}, {} ms: {}{status}{error}",
        attempt.number,
        attempt.started_at,
        count(attempt.duration_ms),
        state(attempt.led_to),
    )
}

/// A delivery's state as the API names it.
pub(super) const fn state(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Skipped => "skipped",
        DeliveryState::Retry => "retry",
        DeliveryState::Held => "held",
        DeliveryState::Dead => "dead",
    }
}
