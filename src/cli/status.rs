//! `status`.

use serde_json::Value;

use crate::config::Config;

use super::output::{Column, Output, cell, table};
use super::store::{self, Reached, Server};
use super::CliError;

/// Shows how everything stands.
pub(super) async fn run(config: &Config, output: Output) -> Result<(), CliError> {
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
    let mut text = if running {
        format!("gatepost {version}, running since {}\n", cell(status.get("started_at")))
    } else {
        format!("gatepost {version}, no server is running: this is what the store says\n")
    };
    let queue = status.get("queue");
    let figure = |key| cell(queue.and_then(|queue| queue.get(key)));
    text.push_str(&format!(
        "queue: {} events retained, {} bytes on disk, newest position {}\n",
        figure("events"),
        figure("bytes"),
        figure("last")
    ));
    let damage = queue.and_then(|queue| queue.get("damage")).and_then(Value::as_array);
    for line in damage.into_iter().flatten() {
        text.push_str(&format!("damage: {}\n", cell(Some(line))));
    }
    for (key, columns) in [("sources", SOURCES), ("handlers", HANDLERS)] {
        let rows = status.get(key).and_then(Value::as_array);
        if let Some(rows) = rows.filter(|rows| !rows.is_empty()) {
            text.push('\n');
            text.push_str(&table(rows, columns));
        }
    }
    if status.get("rejected").and_then(Value::as_u64).is_some_and(|count| count > 0) {
        let count = cell(status.get("rejected"));
        text.push_str(&format!(
            "\n{count} rejected requests are kept: see `gatepost rejected list`\n"
        ));
    }
    text
}
