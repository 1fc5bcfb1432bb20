//! `events`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::{EventsAsk, ExportedEvent};
use crate::config::Config;
use crate::event::EventId;
use crate::queue::EventQuery;

use super::args::{Events, EventsFilter};
use super::output::{self, Column, Output, Page, cell, plain};
use super::store::{self, Via};
use super::{CliError, fixtures, rejected, replay, when};

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
        Events::Show { id, raw: false } => {
            let event = via.show(parse_id(&id)?).await?;
            // As it came: its payload may be nested deeper than a value of ours may be.
            if output.is_json() {
                output::line(&event)
            } else {
                output::line(&text(&without_payload(&event)?))
            }
        }
        Events::Save { id, to } => {
            let event = via.exported(parse_id(&id)?).await;
            via.close().await?;
            fixtures::save(&event?, to.as_deref(), config, output)
        }
        Events::Tail(filter) => tail(&via, &filter, output).await,
        Events::Replay(options) => replay::run(&via, &options, config, output).await,
    }
}

impl Via {
    async fn list(&self, ask: EventsAsk) -> Result<Vec<Value>, CliError> {
        let events = match self {
            Self::Server(server) => server.get("events", &store::pairs(&ask)?).await?,
            Self::Store(api) => store::value(&api.events(ask).await?.events)?,
        };
        match events {
            Value::Array(events) => Ok(events),
            _ => Err(CliError::Failed("the answer is not a list".into())),
        }
    }

    /// One event as JSON text.
    pub(super) async fn show(&self, id: EventId) -> Result<String, CliError> {
        match self {
            Self::Server(server) => {
                let event = server.bytes(&format!("events/{id}")).await?;
                String::from_utf8(event).map_err(|err| CliError::failed(&err))
            }
            Self::Store(api) => {
                let event = api.event(id).await?;
                serde_json::to_string(&event).map_err(|err| CliError::failed(&err))
            }
        }
    }

    /// One event with all that belongs to it.
    pub(super) async fn exported(&self, id: EventId) -> Result<ExportedEvent, CliError> {
        let event = without_payload(&self.show(id).await?)?;
        let before = position(&event).unwrap_or(0).saturating_sub(1);
        let found = self.export(before, 1).await?.pop();
        let found = found.filter(|found| found.id == id.to_string());
        found.ok_or_else(|| CliError::Failed(format!("no event `{id}` is retained")))
    }

    async fn raw(&self, id: EventId) -> Result<Vec<u8>, CliError> {
        match self {
            Self::Server(server) => server.bytes(&format!("events/{id}/raw")).await,
            Self::Store(api) => Ok(api.raw(id).await?.into()),
        }
    }

    /// The newest position.
    pub(super) async fn last(&self) -> Result<u64, CliError> {
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
        contains: filter.contains.clone(),
        field: filter.field.clone(),
        ..EventsAsk::default()
    })
}

pub(super) fn parse_id(text: &str) -> Result<EventId, CliError> {
    text.parse().map_err(|_| CliError::Usage(format!("`{text}` is not an event's id")))
}

/// What is known of an event, all but its payload.
pub(super) fn without_payload(event: &str) -> Result<Value, CliError> {
    let fields: BTreeMap<&str, &RawValue> =
        serde_json::from_str(event).map_err(|err| CliError::failed(&err))?;
    let fields = fields.into_iter().filter(|(name, _)| *name != "payload");
    let fields = fields.map(|(name, field)| {
        serde_json::from_str(field.get()).map(|field| (name.to_owned(), field))
    });
    let fields = fields.collect::<Result<_, _>>().map_err(|err| CliError::failed(&err))?;
    Ok(Value::Object(fields))
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
    if event.get("unreadable").is_some() {
        text.line(format_args!("no fields: {}", field("unreadable")));
    }
    let deliveries = event.get("deliveries").and_then(Value::as_array);
    for delivery in deliveries.into_iter().flatten() {
        let (handler, state) = (cell(delivery.get("handler")), cell(delivery.get("state")));
        text.line(format_args!("\n{handler}: {state}"));
        let attempts = delivery.get("attempts").and_then(Value::as_array);
        for attempt in attempts.into_iter().flatten() {
            text.line(format_args!("  {}", attempt_text(attempt)));
            output_lines(attempt, &mut text);
        }
    }
    text.finish()
}

/// What the other side said, line by line.
pub(super) fn output_lines(attempt: &Value, text: &mut Page) {
    let Some(output) = attempt.get("output").and_then(Value::as_object) else { return };
    for (stream, said) in output {
        text.line(format_args!("    {stream}:"));
        for line in said.as_str().unwrap_or_default().lines() {
            // Tabs stay; the rest was scrubbed when it was kept.
            text.line(format_args!(
                "      {}",
                line.split('\t').map(plain).collect::<Vec<_>>().join("\t")
            ));
        }
    }
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
