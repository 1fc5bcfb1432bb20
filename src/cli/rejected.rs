//! `rejected`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api::{ExplainView, RejectedView};
use crate::config::Config;
use crate::ingest::RejectedRing;
use crate::source::Source;

use super::CliError;
use super::args::Rejected;
use super::output::{self, Column, Output, Page, cell, plain};
use super::store::{self, Reached, Server};

const COLUMNS: &[Column] = &[
    ("NUMBER", "number"),
    ("RECEIVED AT", "received_at"),
    ("SOURCE", "source"),
    ("CLIENT", "client"),
    ("BYTES", "body_bytes"),
    ("REASON", "reason"),
];

/// Does what `verb` says. While no server runs, what the last one kept is read from its file.
pub(super) async fn run(verb: Rejected, config: &Config, output: Output) -> Result<(), CliError> {
    let kept = match (&verb, Server::reach(config).await?) {
        (_, Reached::Server(server)) => Kept::Server(server),
        // Only a server can store what is released.
        (Rejected::Release { .. }, Reached::Nobody) => Kept::Server(Server::require(config).await?),
        (_, Reached::Nobody) => Kept::File(RejectedRing::open(config.admin.rejected())),
    };
    match verb {
        Rejected::List { limit } => {
            let rejected = kept.list(limit).await?;
            output.list(&rejected, COLUMNS, "no rejected requests are kept")
        }
        Rejected::Show { number, raw } => {
            let request = kept.one(number).await?;
            if raw { output::bytes(&body(&request)?) } else { output.one(&request, text) }
        }
        Rejected::Explain { number } => {
            let answer = kept.explain(number, config).await?;
            output.one(&answer, |answer| {
                let line = cell(answer.get("line"));
                match answer.get("config_hint").filter(|hint| !hint.is_null()) {
                    Some(hint) => format!("{line}\n{}", cell(Some(hint))),
                    None => line,
                }
            })
        }
        Rejected::Release { number } => {
            let answer = kept.release(number).await?;
            output.one(&answer, |answer| format!("stored as {}", cell(answer.get("id"))))
        }
    }
}

/// Whom to ask.
enum Kept {
    /// The server that runs.
    Server(Server),
    /// What the last one left.
    File(RejectedRing),
}

impl Kept {
    async fn list(&self, limit: u32) -> Result<Value, CliError> {
        match self {
            Self::Server(server) => {
                server.get("rejected", &[("limit".to_owned(), limit.to_string())]).await
            }
            Self::File(ring) => store::value(&RejectedView::list(ring, limit as usize)),
        }
    }

    async fn one(&self, number: u64) -> Result<Value, CliError> {
        match self {
            Self::Server(server) => server.get(&format!("rejected/{number}"), &[]).await,
            Self::File(ring) => store::value(&RejectedView::one(ring, number)?),
        }
    }

    async fn explain(&self, number: u64, config: &Config) -> Result<Value, CliError> {
        match self {
            Self::Server(server) => server.get(&format!("rejected/{number}/explain"), &[]).await,
            Self::File(ring) => {
                let sources = config.sources.iter();
                let sources =
                    sources.map(|(name, settings)| Source::build(name.clone(), settings.clone()));
                let sources: Vec<Source> =
                    sources.collect::<Result<_, _>>().map_err(|err| CliError::failed(&err))?;
                let sources: Vec<&Source> = sources.iter().collect();
                store::value(&ExplainView::new(ring, &sources, number)?)
            }
        }
    }

    async fn release(&self, number: u64) -> Result<Value, CliError> {
        match self {
            Self::Server(server) => {
                server.post(&format!("rejected/{number}/release"), &json!({})).await
            }
            Self::File(_) => Err(CliError::Unreachable("no server is running".to_owned())),
        }
    }
}

fn body(request: &Value) -> Result<Vec<u8>, CliError> {
    let text = request.get("body_base64").and_then(Value::as_str).unwrap_or_default();
    STANDARD.decode(text).map_err(|err| CliError::failed(&err))
}

fn text(request: &Value) -> String {
    let field = |key| cell(request.get(key));
    let mut text = Page::default();
    text.line(format_args!(
        "request {} to {} at {} from {}: {}",
        field("number"),
        field("source"),
        field("received_at"),
        field("client"),
        field("reason"),
    ));
    text.line(format_args!("{} {}", field("method"), field("path")));
    headers(request, &mut text);
    text.line(format_args!("\n{} bytes of body: see them with --raw", field("body_bytes")));
    text.finish()
}

/// Adds one header a line.
pub(super) fn headers(thing: &Value, text: &mut Page) {
    let headers = thing.get("headers").and_then(Value::as_array);
    for header in headers.into_iter().flatten() {
        let part = |index| header.get(index).and_then(Value::as_str).unwrap_or_default();
        text.line(format_args!("{}: {}", plain(part(0)), plain(part(1))));
    }
}
