//! Real servers for the promises, and logs on them.

use std::path::Path;
use std::sync::Arc;

use gatepost::cluster::{
    LogEngine as _, MemoryEngine, NatsEngine, NatsLogin, NatsSettings, PostgresEngine,
    PostgresServer, PostgresSettings, Sequence,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::SharedEngine;
use crate::support::nats::NatsServers;
use crate::support::servers::Server;

/// Servers of one kind.
pub(crate) enum Rig {
    Memory(MemoryEngine),
    Postgres(Box<Server>),
    Nats(NatsServers),
}

impl Rig {
    pub(super) fn memory() -> Self {
        Self::Memory(MemoryEngine::default())
    }

    pub(crate) fn postgres() -> Option<Self> {
        Some(Self::Postgres(Box::new(Server::postgres()?)))
    }

    /// One server, or several as a cluster.
    pub(crate) fn nats(n_servers: usize) -> Option<Self> {
        Some(Self::Nats(NatsServers::start(n_servers, "")?))
    }

    /// Another log on the same servers, by a name of its own.
    pub(super) fn next_log(&mut self) {
        if let Self::Memory(engine) = self {
            *engine = MemoryEngine::default();
        }
    }

    /// An engine with connections of its own.
    pub(crate) fn engine(&self, log: &str) -> SharedEngine {
        match self {
            Self::Memory(engine) => Arc::new(engine.clone()),
            Self::Postgres(server) => {
                Arc::new(PostgresEngine::new(postgres_settings(server, log)).unwrap())
            }
            Self::Nats(servers) => Arc::new(NatsEngine::new(nats_settings(servers, log)).unwrap()),
        }
    }

    /// Ends a server as a crash does, or all of them, and starts what ended again.
    pub(super) fn crash_and_restart(&mut self, index: usize) {
        match self {
            Self::Memory(_) => {}
            Self::Postgres(server) => server.crash_and_restart(),
            Self::Nats(servers) => {
                let index = index % servers.len();
                servers.crash(index);
                servers.restart(index);
            }
        }
    }

    /// Takes a unit out of the middle, behind the engine's back.
    pub(super) async fn lose(&self, log: &str, sequence: u64) {
        match self {
            Self::Memory(engine) => engine.lose(Sequence(sequence)),
            Self::Postgres(server) => {
                sql(server, &format!("DELETE FROM {log}.log_units WHERE sequence = {sequence}"))
                    .await;
            }
            Self::Nats(servers) => {
                let ask = serde_json::json!({ "seq": sequence, "no_erase": true });
                api(servers, &format!("STREAM.MSG.DELETE.{log}"), &ask).await;
            }
        }
    }

    /// Removes the log as a whole.
    pub(crate) async fn drop_log(&self, log: &str) {
        match self {
            Self::Memory(engine) => engine.fail_over(Sequence::FIRST),
            Self::Postgres(server) => sql(server, &format!("DROP SCHEMA {log} CASCADE")).await,
            Self::Nats(servers) => {
                api(servers, &format!("STREAM.DELETE.{log}"), &serde_json::Value::Null).await;
            }
        }
    }

    /// Makes the log by hand where the engine's own would not let a unit be lost.
    pub(super) async fn make_fragile(&self, log: &str) {
        if let Self::Nats(servers) = self {
            make_stream(servers, log, &serde_json::json!({ "deny_delete": false })).await;
        }
        self.engine(log).check().await.unwrap();
    }
}

pub(super) fn postgres_settings(server: &Server, schema: &str) -> PostgresSettings {
    postgres_at(&[&server.url("postgres")], schema)
}

/// The same by the URLs of a primary and its standbys.
pub(super) fn postgres_at(urls: &[&str], schema: &str) -> PostgresSettings {
    let servers = urls.iter().map(|url| PostgresServer::parse(url, Path::new("/")).unwrap());
    PostgresSettings {
        servers: servers.collect(),
        password: None,
        ca: None,
        schema: schema.to_owned(),
    }
}

pub(super) fn nats_settings(servers: &NatsServers, stream: &str) -> NatsSettings {
    NatsSettings {
        servers: servers.urls(),
        stream: stream.to_owned(),
        replicas: servers.len(),
        login: NatsLogin::Nothing,
        ca: None,
        requires_tls: false,
    }
}

pub(super) async fn sql(server: &Server, text: &str) {
    let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
}

/// Asks JetStream's API as its owner's tools do.
pub(super) async fn api(servers: &NatsServers, what: &str, ask: &serde_json::Value) {
    let client = async_nats::connect(servers.urls()).await.unwrap();
    let body = if ask.is_null() { String::new() } else { ask.to_string() };
    let answer = client.request(format!("$JS.API.{what}"), body.into()).await.unwrap();
    let answer = String::from_utf8_lossy(&answer.payload).into_owned();
    assert!(!answer.contains("\"error\""), "{what}: {answer}");
}

/// Makes a stream that is a log but for `changes`.
pub(super) async fn make_stream(servers: &NatsServers, stream: &str, changes: &serde_json::Value) {
    let mut config = serde_json::json!({
        "name": stream,
        "subjects": [format!("{stream}.units")],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "num_replicas": servers.len(),
        "allow_direct": true,
        "deny_delete": true,
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    let engine = NatsEngine::new(nats_settings(servers, stream)).unwrap();
    // A cluster has no leader in its first seconds.
    super::once_available(|| engine.check()).await;
    api(servers, &format!("STREAM.CREATE.{stream}"), &config).await;
}
