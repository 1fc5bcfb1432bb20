//! `events`.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::EventsAsk;
use crate::config::Config;
use crate::event::{EventId, HandlerName};
use crate::queue::EventQuery;

use super::args::{Events, EventsFilter, EventsReplay};
use super::output::{self, Column, Output, Page, cell};
use super::store::{self, Via};
use super::{CliError, rejected, when};

const COLUMNS: &[Column] = &[
    ("EVENT", "id"),
    ("RECEIVED AT", "received_at"),
    ("SOURCE", "source"),
    ("BYTES", "body_bytes"),
    ("TYPE", "type"),
];

/// How often `tail` looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Does what `verb` says.
pub(super) async fn run(verb: Events, config: &Config, output: Output) -> Result<(), CliError> {
    let via = Via::reach(config).await?;
    match verb {
        Events::List(list) => {
            let limit = usize::try_from(list.limit).ok();
            let events = via.list(EventsAsk { limit, ..ask(&list.filter)? }).await?;
            output.list(&Value::Array(events), COLUMNS, "no events")
        }
        Events::Show { id, raw: true } => output::bytes(&via.raw(parse_id(&id)?).await?),
        Events::Show { id, raw: false } => output.one(&via.show(parse_id(&id)?).await?, text),
        Events::Tail(filter) => tail(&via, &filter, output).await,
        Events::Replay(replay) => self::replay(&via, replay, output).await,
    }
}

impl Via {
    async fn list(&self, ask: EventsAsk) -> Result<Vec<Value>, CliError> {
        let events = match self {
            Self::Server(server) => server.get("events", &store::pairs(&ask)?).await?,
            Self::Store(api) => store::value(&api.events(ask.parse()?).await?)?,
        };
        match events {
            Value::Array(events) => Ok(events),
            _ => Err(CliError::Failed("the answer is not a list".into())),
        }
    }

    async fn show(&self, id: EventId) -> Result<Value, CliError> {
        match self {
            Self::Server(server) => server.get(&format!("events/{id}"), &[]).await,
            Self::Store(api) => store::value(&api.event(id).await?),
        }
    }

    async fn raw(&self, id: EventId) -> Result<Vec<u8>, CliError> {
        match self {
            Self::Server(server) => server.bytes(&format!("events/{id}/raw")).await,
            Self::Store(api) => Ok(api.raw(id).await?.into()),
        }
    }

    async fn replay(&self, id: &str, handler: Option<&HandlerName>) -> Result<(), CliError> {
        match self {
            Self::Server(server) => {
                let body = json!({ "handler": handler });
                server.post(&format!("events/{id}/replay"), &body).await?;
            }
            Self::Store(api) => {
                api.replay(parse_id(id)?, handler).await?;
            }
        }
        Ok(())
    }

    async fn last(&self) -> Result<u64, CliError> {
        match self {
            Self::Server(server) => {
                let status = server.get("status", &[]).await?;
                let last = status.get("queue").and_then(|queue| queue.get("last"));
                Ok(last.and_then(Value::as_u64).unwrap_or(0))
            }
            Self::Store(api) => Ok(api.stats().last.0),
        }
    }
}

fn ask(filter: &EventsFilter) -> Result<EventsAsk, CliError> {
    Ok(EventsAsk {
        source: filter.source.clone(),
        event_type: filter.event_type.clone(),
        since: when::maybe(filter.since.as_deref())?,
        until: when::maybe(filter.until.as_deref())?,
        ..EventsAsk::default()
    })
}

fn parse_id(text: &str) -> Result<EventId, CliError> {
    text.parse().map_err(|_| CliError::Usage(format!("`{text}` is not an event's id")))
}

fn position(event: &Value) -> Option<u64> {
    event.get("position").and_then(Value::as_u64)
}

/// Prints events as they come in.
async fn tail(via: &Via, filter: &EventsFilter, output: Output) -> Result<(), CliError> {
    let mut after = via.last().await?;
    loop {
        let ask = EventsAsk { after: Some(after), limit: Some(LIMIT), ..ask(filter)? };
        for event in via.list(ask).await? {
            after = position(&event).unwrap_or(after);
            if output.is_json() {
                output::line(&event.to_string())?;
            } else {
                let fields = ["received_at", "id", "source", "type"];
                let fields: Vec<String> = fields.iter().map(|key| cell(event.get(*key))).collect();
                output::line(&fields.join("  "))?;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// As many as one page gives.
const LIMIT: usize = EventQuery::LIMIT_MAX;

/// Delivers again what the filter finds, oldest first, page by page.
async fn replay(via: &Via, replay: EventsReplay, output: Output) -> Result<(), CliError> {
    let handler = replay.handler.as_deref().map(HandlerName::parse).transpose();
    let handler = handler.map_err(|err| CliError::Usage(err.to_string()))?;
    if let Some(id) = &replay.id {
        if !replay.dry_run {
            via.replay(id, handler.as_ref()).await?;
        }
        return done(1, replay.dry_run, output);
    }
    // What comes in from here on is delivered anyway.
    let last = via.last().await?;
    let mut after = replay.after.unwrap_or(0);
    let mut n_replayed: u64 = 0;
    let mut pace = replay.rate.map(pace);
    loop {
        let ask = EventsAsk { after: Some(after), limit: Some(LIMIT), ..ask(&replay.filter)? };
        let events = via.list(ask).await?;
        let is_last_page = events.len() < LIMIT;
        for event in events {
            let at = position(&event).unwrap_or(u64::MAX);
            if at > last {
                return done(n_replayed, replay.dry_run, output);
            }
            if !replay.dry_run {
                if let Some(pace) = &mut pace {
                    pace.tick().await;
                }
                let id = cell(event.get("id"));
                via.replay(&id, handler.as_ref()).await.map_err(|err| stopped(after, &err))?;
            }
            after = at;
            n_replayed += 1;
        }
        if is_last_page {
            return done(n_replayed, replay.dry_run, output);
        }
        writeln!(std::io::stderr(), "{n_replayed} so far, up to position {after}")?;
    }
}

fn pace(per_second: u32) -> tokio::time::Interval {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    pace
}

fn stopped(after: u64, err: &CliError) -> CliError {
    CliError::Failed(format!("{err}; go on with `--after {after}`"))
}

fn done(count: u64, is_dry: bool, output: Output) -> Result<(), CliError> {
    output.one(&json!({ "count": count, "dry_run": is_dry }), |_| {
        let events = if count == 1 { "event" } else { "events" };
        let will = if is_dry { "would be" } else { "will be" };
        format!("{count} {events} {will} delivered again")
    })
}

fn text(event: &Value) -> String {
    let field = |key| cell(event.get(key));
    let mut text = Page::default();
    for (name, key) in [
        ("event", "id"),
        ("position", "position"),
        ("source", "source"),
        ("type", "type"),
        ("received", "received_at"),
    ] {
        text.line(format_args!("{name:8} {}", field(key)));
    }
    text.line(format_args!(""));
    rejected::headers(event, &mut text);
    text.line(format_args!("\n{} bytes of body: see them with --raw", field("body_bytes")));
    let deliveries = event.get("deliveries").and_then(Value::as_array);
    for delivery in deliveries.into_iter().flatten() {
        let (handler, state) = (cell(delivery.get("handler")), cell(delivery.get("state")));
        text.line(format_args!("\n{handler}: {state}"));
        let attempts = delivery.get("attempts").and_then(Value::as_array);
        for attempt in attempts.into_iter().flatten() {
            text.line(format_args!("  {}", attempt_text(attempt)));
        }
    }
    text.finish()
}

fn attempt_text(attempt: &Value) -> String {
    let field = |key| cell(attempt.get(key));
    let said = |key, before| {
        let value = field(key);
        if value.is_empty() || value == "-" { String::new() } else { format!("{before}{value}") }
    };
    format!(
        "try {} at {}, {} ms: {}{}{}",
        field("number"),
        field("started_at"),
        field("duration_ms"),
        field("led_to"),
        said("status", " with status "),
        said("error", ": "),
    )
}
