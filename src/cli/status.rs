//! `status`.

use serde_json::Value;

use crate::config::Config;

use super::CliError;
use super::args::Status;
use super::output::{Column, Output, Page, cell, table};
use super::store::{self, Reached, Server};

/// Shows how everything stands.
pub(super) async fn run(options: &Status, config: &Config, output: Output) -> Result<(), CliError> {
    if options.ready {
        let ready = Server::require(config).await?.ready().await?;
        return output.one(&ready, |ready| cell(ready.get("status")));
    }
    let status = match Server::reach(config).await? {
        Reached::Server(server) => server.get("status", &[]).await?,
        Reached::Nobody => store::value(&store::open(config).await?.status())?,
    };
    output.one(&status, text)
}

const SOURCES: &[Column] = &[
    ("SOURCE", "name"),
    ("PROVIDER", "provider"),
    ("ACCEPTED", "accepted"),
    ("DUPLICATE", "duplicate"),
    ("REJECTED", "rejected"),
    ("TURNED AWAY", "turned_away"),
];

const SECRETS: &[Column] = &[
    ("SOURCE", "source"),
    ("SECRET", "place"),
    ("LAST MATCHED SINCE THE START", "last_matched_at"),
];

const REFUSED: &[Column] = &[
    ("REFUSED", "status"),
    ("COUNT", "count"),
    ("LAST", "last_at"),
    ("CLIENT", "client"),
    ("PATH", "path"),
    ("WHY", "reason"),
];

/// The columns of a list of handlers.
pub(super) const HANDLERS: &[Column] = &[
    ("HANDLER", "name"),
    ("KIND", "kind"),
    ("STATE", "state"),
    ("BACKLOG", "in_log"),
    ("WAITING", "waiting"),
    ("DEAD", "dead"),
    ("OLDEST, S", "oldest_pending_seconds"),
];

fn text(status: &Value) -> String {
    let running = status.get("running").and_then(Value::as_bool).unwrap_or(false);
    let version = cell(status.get("version"));
    let mut text = Page::default();
    if running {
        let since = cell(status.get("started_at"));
        text.line(format_args!("gatepost {version}, running since {since}"));
    } else {
        text.line(format_args!("gatepost {version}, not running: this is what the store says"));
    }
    let queue = status.get("queue");
    let figure = |key| cell(queue.and_then(|queue| queue.get(key)));
    text.line(format_args!(
        "queue: {} events retained, {} bytes on disk, newest position {}",
        figure("events"),
        figure("bytes"),
        figure("last")
    ));
    let damage = queue.and_then(|queue| queue.get("damage")).and_then(Value::as_array);
    for line in damage.into_iter().flatten() {
        text.line(format_args!("damage: {}", cell(Some(line))));
    }
    let list = |key| status.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (sources, handlers) = (list("sources"), list("handlers"));
    let secrets = secrets(&sources);
    let reasons: Vec<String> = handlers
        .iter()
        .filter_map(|handler| handler.get("reason").filter(|reason| !reason.is_null()))
        .map(|reason| cell(Some(reason)))
        .collect();
    let refused = list("refused");
    for (rows, columns) in
        [(sources, SOURCES), (secrets, SECRETS), (handlers, HANDLERS), (refused, REFUSED)]
    {
        if !rows.is_empty() {
            text.line(format_args!(""));
            text.text(&table(&rows, columns));
        }
    }
    for reason in reasons {
        text.line(format_args!("\n{reason}; it is tried again every minute"));
    }
    for proxy in list("proxies") {
        text.line(format_args!("\n{}", cell(proxy.get("advice"))));
    }
    let n_rejected = status.get("rejected").and_then(Value::as_u64).unwrap_or(0);
    if n_rejected > 0 {
        text.line(format_args!(
            "\n{n_rejected} rejected requests are kept: see `gatepost rejected list`"
        ));
    }
    text.finish()
}

/// A row for each secret: where it stands tells its owner when an old one can go.
fn secrets(sources: &[Value]) -> Vec<Value> {
    let of = |source: &Value| {
        let name = source.get("name").cloned().unwrap_or_default();
        let secrets = source.get("secrets").and_then(Value::as_array).cloned().unwrap_or_default();
        secrets.into_iter().filter_map(move |secret| match secret {
            Value::Object(mut fields) => {
                fields.insert("source".to_owned(), name.clone());
                let last = fields.entry("last_matched_at").or_insert(Value::Null);
                if last.is_null() {
                    *last = "never".into();
                }
                Some(Value::Object(fields))
            }
            _ => None,
        })
    };
    sources.iter().flat_map(of).collect()
}
