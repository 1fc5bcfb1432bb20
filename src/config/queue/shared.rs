//! What `[queue]` says of a log that several gateways share.

use std::time::Duration;

use crate::cluster::{ClusterAck, ClusterBackend, NatsSettings, NodeName, PostgresSettings};
use crate::settings::{Table, show_duration};
use crate::standby::Acknowledge;

/// How this gateway takes part in a log that several share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedLogSettings {
    /// This gateway's name among them.
    pub node: NodeName,
    /// When an event is acknowledged.
    pub ack: ClusterAck,
    /// After how long without a sign of life another node takes over.
    pub lease: Duration,
    /// What keeps the log.
    pub engine: EngineSettings,
}

/// What keeps a shared log, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineSettings {
    /// `[queue.postgres]`
    Postgres(PostgresSettings),
    /// `[queue.nats]`
    Nats(NatsSettings),
}

impl EngineSettings {
    pub const fn backend(&self) -> ClusterBackend {
        match self {
            Self::Postgres(_) => ClusterBackend::Postgres,
            Self::Nats(_) => ClusterBackend::Nats,
        }
    }
}

/// Each word that `ack` takes.
#[derive(Clone, Copy)]
enum QueueAck {
    Local,
    Standby,
    Both,
    Engine,
}

const LEASE: Duration = Duration::from_secs(10);
/// Below it a collection of garbage at the database, or a disk that is busy, moves handlers about.
const LEASE_MIN: Duration = Duration::from_secs(3);
const LEASE_MAX: Duration = Duration::from_mins(5);

const EMBEDDED: &str = "with the embedded queue it is \"local\" or \"standby\"";
const SHARED: &str = "with a shared log it is \"both\", \"engine\" or \"local\"";

/// Reads what belongs to a shared log, also where there is none: what is wrong with it is found all the
/// same. Gives when events are acknowledged with the embedded queue, too.
pub(super) fn read(table: &mut Table<'_>) -> (Acknowledge, Option<SharedLogSettings>) {
    let backends = [
        ("sled", None),
        ("postgres", Some(ClusterBackend::Postgres)),
        ("nats", Some(ClusterBackend::Nats)),
    ];
    let backend = table.choice("backend", &backends);
    let acks = [
        ("local", QueueAck::Local),
        ("standby", QueueAck::Standby),
        ("both", QueueAck::Both),
        ("engine", QueueAck::Engine),
    ];
    let ack = table.choice("ack", &acks);
    let node = table.checked("node", |name: String| NodeName::parse(&name));
    let lease =
        table.checked_or("lease", "for example `lease = \"10s\"`", check_lease).unwrap_or(LEASE);
    let postgres = engine(table, "postgres", PostgresSettings::read).map(EngineSettings::Postgres);
    let nats = engine(table, "nats", NatsSettings::read).map(EngineSettings::Nats);
    // What a word that is not known meant cannot be said.
    let is_unknown = table.has("backend") && backend.is_none();
    if is_unknown {
        return (Acknowledge::Local, None);
    }
    let Some(backend) = backend.flatten() else {
        refuse_tables(table, &["postgres", "nats"], "sled");
        return (embedded_ack(table, ack), None);
    };
    let engine = match backend {
        ClusterBackend::Postgres => {
            refuse_tables(table, &["nats"], "postgres");
            postgres
        }
        ClusterBackend::Nats => {
            refuse_tables(table, &["postgres"], "nats");
            nats
        }
    };
    let name = backend.as_str();
    if !table.has(name) {
        table.missing(name, &format!("write `[queue.{name}]` and its `url` below it"));
    }
    let ack = shared_ack(table, ack);
    let node = node.or_else(|| host_name(table));
    let shared = node.zip(engine);
    (
        Acknowledge::Local,
        shared.map(|(node, engine)| SharedLogSettings { node, ack, lease, engine }),
    )
}

fn engine<T>(
    table: &mut Table<'_>,
    name: &str,
    read: impl FnOnce(&mut Table<'_>) -> Option<T>,
) -> Option<T> {
    let mut table = table.table(name)?;
    let settings = read(&mut table);
    table.finish();
    settings
}

/// Tables of backends that are not used: probably the word was forgotten.
fn refuse_tables(table: &Table<'_>, others: &[&str], backend: &str) {
    for other in others.iter().filter(|other| table.has(other)) {
        table.problem(
            other,
            format_args!("`[queue.{other}]` is not used: the queue's backend is \"{backend}\""),
            format_args!("write `backend = \"{other}\"` in `[queue]`, or leave this table out"),
        );
    }
}

fn embedded_ack(table: &Table<'_>, ack: Option<QueueAck>) -> Acknowledge {
    match ack {
        None | Some(QueueAck::Local) => Acknowledge::Local,
        Some(QueueAck::Standby) => Acknowledge::Standby,
        Some(QueueAck::Both | QueueAck::Engine) => {
            table.problem(
                "ack",
                "the embedded queue is no shared log that could be waited for",
                EMBEDDED,
            );
            Acknowledge::Local
        }
    }
}

fn shared_ack(table: &Table<'_>, ack: Option<QueueAck>) -> ClusterAck {
    match ack {
        None | Some(QueueAck::Both) => ClusterAck::Both,
        Some(QueueAck::Engine) => ClusterAck::Engine,
        Some(QueueAck::Local) => ClusterAck::Local,
        Some(QueueAck::Standby) => {
            table.problem("ack", "a shared log has copies of its own, and no standby", SHARED);
            ClusterAck::Both
        }
    }
}

/// This machine's name, as far as the first dot.
fn host_name(table: &Table<'_>) -> Option<NodeName> {
    // A name that is wrong was told.
    if table.has("node") {
        return None;
    }
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let name = name.split('.').next().unwrap_or_default();
    let node = NodeName::parse(name).ok().filter(|_| name != "localhost");
    if node.is_none() {
        let name = name.escape_debug();
        table.problem_here(
            format_args!(
                "`node` is missing: this machine's name, `{name}`, tells no gateways apart"
            ),
            "write `node = \"a\"`, another one for each gateway",
        );
    }
    node
}

fn check_lease(lease: Duration) -> Result<Duration, String> {
    if (LEASE_MIN..=LEASE_MAX).contains(&lease) {
        Ok(lease)
    } else {
        let (min, max) = (show_duration(LEASE_MIN), show_duration(LEASE_MAX));
        Err(format!("a lease takes {min} to {max}"))
    }
}
