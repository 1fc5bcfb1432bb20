//! `rejected`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::config::Config;

use super::CliError;
use super::args::Rejected;
use super::output::{self, Column, Output, Page, cell, plain};
use super::store::Server;

const COLUMNS: &[Column] = &[
    ("NUMBER", "number"),
    ("RECEIVED AT", "received_at"),
    ("SOURCE", "source"),
    ("CLIENT", "client"),
    ("BYTES", "body_bytes"),
    ("REASON", "reason"),
];

/// Does what `verb` says. The ring lives in the server's memory: without one there is nothing.
pub(super) async fn run(verb: Rejected, config: &Config, output: Output) -> Result<(), CliError> {
    let server = Server::require(config).await?;
    match verb {
        Rejected::List { limit } => {
            let rejected =
                server.get("rejected", &[("limit".to_owned(), limit.to_string())]).await?;
            output.list(&rejected, COLUMNS, "no rejected requests are kept")
        }
        Rejected::Show { number, raw } => {
            let request = server.get(&format!("rejected/{number}"), &[]).await?;
            if raw { output::bytes(&body(&request)?) } else { output.one(&request, text) }
        }
        Rejected::Explain { number } => {
            let answer = server.get(&format!("rejected/{number}/explain"), &[]).await?;
            output.one(&answer, |answer| {
                let line = cell(answer.get("line"));
                match answer.get("config_hint").filter(|hint| !hint.is_null()) {
                    Some(hint) => format!("{line}\n{}", cell(Some(hint))),
                    None => line,
                }
            })
        }
        Rejected::Release { number } => {
            let answer = server.post(&format!("rejected/{number}/release"), &json!({})).await?;
            output.one(&answer, |answer| format!("stored as {}", cell(answer.get("id"))))
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
