//! Several gateways of one configuration on one shared log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::receiver::Receiver;
use crate::support::gateway::Folder;
use crate::support::nats::NatsServers;
use crate::support::patience::{Patience, wait_until};
use crate::support::program::{self, Served};
use crate::support::servers::Server;

pub(super) const LEASE: Duration = Duration::from_secs(3);

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
[queue]
backend = "BACKEND"
node = "NODE"
ack = "ACK"
lease = "3s"
disk_reserve = "48MiB"
[queue.BACKEND]
url = URL
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

/// Gateways, and what keeps their log.
pub(super) struct Cluster<S> {
    pub(super) server: S,
    config: String,
    folders: BTreeMap<String, Folder>,
}

impl<S> Cluster<S> {
    /// On a log whose backend and address stand so in the configuration.
    pub(super) fn on(server: S, (backend, url): (&str, &str), receiver: &Receiver) -> Self {
        let config = CONFIG
            .replace("BACKEND", backend)
            .replace("ACK", "both")
            .replace("URL", url)
            .replace("RECEIVER", &receiver.url());
        Self { server, config, folders: BTreeMap::new() }
    }

    /// Starts a gateway, in the folder that it had before.
    pub(super) fn start(&mut self, node: &str) -> Served {
        self.start_behind(node, ("", ""))
    }

    /// The same with another address in the configuration.
    pub(super) fn start_behind(&mut self, node: &str, (old, new): (&str, &str)) -> Served {
        let text = self.config.replace("NODE", node).replace(old, new);
        let folder = self.folders.entry(node.to_owned()).or_insert_with(|| Folder::of_text(&text));
        Served::start(folder)
    }

    /// Starts `a` and `b`, and waits until one of them has the handler.
    pub(super) fn start_pair(&mut self) -> [Served; 2] {
        let nodes = [self.start("a"), self.start("b")];
        Cluster::wait_for_owner(&nodes[0], |owner| owner.is_some());
        nodes
    }

    /// Where a gateway has its queue.
    pub(super) fn queue(&self, node: &str) -> PathBuf {
        self.folders[node].path().join("data/queue")
    }

    /// Runs a command beside the gateway.
    pub(super) fn run(&self, node: &str, arguments: &[&str]) -> String {
        program::printed(&program::run(&self.folders[node], arguments), 0)
    }
}

impl<S> Cluster<S> {
    /// The same where the gateway says no; gives what it said.
    pub(super) fn refused(&self, node: &str, arguments: &[&str]) -> String {
        let output = program::run(&self.folders[node], arguments);
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Cluster<NatsServers> {
    /// On three servers; `None` = NATS is not installed.
    pub(super) fn on_nats(receiver: &Receiver) -> Option<Self> {
        let servers = NatsServers::start(3, "")?;
        let urls = format!("{:?}", servers.urls());
        Some(Self::on(servers, ("nats", &urls), receiver))
    }
}

impl Cluster<Server> {
    /// `None` = PostgreSQL is not installed.
    pub(super) fn new(receiver: &Receiver) -> Option<Self> {
        let server = Server::postgres()?;
        let url = format!("{:?}", server.url("postgres"));
        Some(Self::on(server, ("postgres", &url), receiver))
    }

    pub(super) fn view(node: &Served) -> Value {
        node.ask("GET", "/api/v1/cluster").json()["cluster"].clone()
    }

    #[track_caller]
    pub(super) fn wait_for_view(node: &Served, fits: impl Fn(&Value) -> bool) -> Value {
        let patience = Patience::new();
        loop {
            let view = Self::view(node);
            if fits(&view) {
                return view;
            }
            patience.look_again(format_args!("the cluster is {view}"));
        }
    }

    /// Who delivers to the handler, once that fits.
    #[track_caller]
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

    #[track_caller]
    pub(super) fn wait_for_dead(node: &Served, n_letters: u64) {
        let dead = || node.ask("GET", "/api/v1/handlers").json()[0]["dead"].clone();
        wait_until(format!("{n_letters} dead letters"), || dead() == n_letters);
    }

    /// What a node says of its events and deliveries, where it has applied all that the log has and nothing
    /// is left to be done.
    pub(super) fn standing(node: &Served) -> Option<(Value, Value, Value)> {
        let status = node.ask("GET", "/api/v1/status").json();
        let (cluster, handler) = (&status["cluster"], &status["handlers"][0]);
        let is_done = cluster["applied"] == cluster["head"]
            && handler["in_log"] == 0
            && handler["waiting"] == 0;
        let (events, last) = (&status["queue"]["events"], &status["queue"]["last"]);
        is_done.then(|| (events.clone(), last.clone(), handler["dead"].clone()))
    }
}
