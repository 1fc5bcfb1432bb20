//! Several gateways of one configuration on one PostgreSQL.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::receiver::Receiver;
use crate::support::gateway::Folder;
use crate::support::program::{self, Served};
use crate::support::servers::Server;

pub(super) const LEASE: Duration = Duration::from_secs(3);

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
[queue]
backend = "postgres"
node = "NODE"
ack = "ACK"
lease = "3s"
disk_reserve = "1MiB"
[queue.postgres]
url = "URL"
[admin]
listen = "127.0.0.1:0"
[source.hyvor]
provider = "hyvor-talk"
secrets = [{ file = "secret" }]
[handler.app]
start = "oldest"
order_by = "data.key"
concurrency = 8
[handler.app.http]
url = "RECEIVER"
"#;

pub(super) struct Cluster {
    pub(super) server: Server,
    config: String,
    folders: BTreeMap<String, Folder>,
}

impl Cluster {
    /// `None` = PostgreSQL is not installed.
    pub(super) fn new(receiver: &Receiver, ack: &str) -> Option<Self> {
        let server = Server::postgres()?;
        let config = CONFIG
            .replace("ACK", ack)
            .replace("URL", &server.url("postgres"))
            .replace("RECEIVER", &receiver.url());
        Some(Self { server, config, folders: BTreeMap::new() })
    }

    /// Starts a gateway, in the folder that it had before.
    pub(super) fn start(&mut self, node: &str) -> Served {
        let text = self.config.replace("NODE", node);
        let folder = self.folders.entry(node.to_owned()).or_insert_with(|| Folder::of_text(&text));
        Served::start(folder)
    }

    /// Runs a command beside the gateway.
    pub(super) fn run(&self, node: &str, arguments: &[&str]) -> String {
        program::printed(&program::run(&self.folders[node], arguments), 0)
    }

    pub(super) fn view(node: &Served) -> Value {
        node.ask("GET", "/api/v1/cluster").json()["cluster"].clone()
    }

    pub(super) fn wait_for_view(node: &Served, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let view = Self::view(node);
            if fits(&view) {
                return view;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Who delivers to the handler, once that fits.
    pub(super) fn wait_for_owner(
        node: &Served,
        fits: impl Fn(Option<&str>) -> bool,
    ) -> Option<String> {
        let owner = |view: &Value| {
            let owner = view["handlers"][0]["owner"].as_str();
            owner.map(ToOwned::to_owned)
        };
        owner(&Self::wait_for_view(node, |view| fits(owner(view).as_deref())))
    }

    pub(super) fn wait_for_dead(node: &Served, n_letters: u64) {
        while node.ask("GET", "/api/v1/handlers").json()[0]["dead"] != n_letters {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a node says of its deliveries once nothing is left to be done.
    pub(super) fn settled(node: &Served) -> (Value, Value, Value) {
        loop {
            let status = node.ask("GET", "/api/v1/status").json();
            let handler = &status["handlers"][0];
            if handler["in_log"] == 0 && handler["waiting"] == 0 {
                let events = status["queue"]["events"].clone();
                return (events, status["queue"]["last"].clone(), handler["dead"].clone());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
