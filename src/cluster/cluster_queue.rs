//! The queue where several gateways share a log: events and outcomes go into that log, and what comes
//! back makes this node's copy, which answers everything that is asked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::ack::ClusterAck;
use super::action_log::ActionLog;
use super::engine::{LogEngine, Sequence};
use super::follower::LogFollower;
use super::forwarder::Forwarder;
use super::handlers::LocalHandlers;
use super::identity::NodeIdentity;
use super::local_node::{LocalNode, NodeParts, faulty_copy};
use super::members::Members;
use super::node::NodeName;
use super::spool::Spool;
use super::view::ClusterBackend;
use super::{duties, proposer, rebuild, tidying};
use crate::clock::Clock;
use crate::queue::QueueError;
use crate::queue::embedded::{self, EmbeddedQueue};
use crate::queue::ids::Ids;

/// How long a settled event stays in the spool: to look it up while the copy gets it, and to append it again
/// where the engine loses it.
const SPOOL_RETENTION: Duration = Duration::from_hours(1);

/// How a node takes part.
#[derive(Debug)]
pub struct ClusterOptions {
    /// What the engine is.
    pub backend: ClusterBackend,
    /// This node; no other has the same name.
    pub name: NodeName,
    /// When an event counts as taken in.
    pub ack: ClusterAck,
    /// After how long without a sign of life another node takes over.
    pub lease: Duration,
    /// The shared log.
    pub engine: Arc<dyn LogEngine>,
    /// Of the copy; its spool is in the folder `spool` within.
    pub copy: embedded::Settings,
    /// For leases by its steady time, for people by its wall clock.
    pub clock: Arc<dyn Clock>,
}

/// A queue over a shared log.
#[derive(Debug)]
pub struct ClusterQueue {
    pub(super) node: Arc<LocalNode>,
    pub(super) handlers: Arc<LocalHandlers>,
    /// `None` = nothing is taken in without the engine.
    pub(super) spool: Option<Arc<Spool>>,
    pub(super) ack: ClusterAck,
    pub(super) backend: ClusterBackend,
    /// For events that no spool has named.
    pub(super) ids: Mutex<Ids>,
    tasks: TaskTracker,
}

impl ClusterQueue {
    /// Opens this node's copy and its spool, and begins to take part.
    pub async fn open(options: ClusterOptions) -> Result<Arc<Self>, QueueError> {
        let ClusterOptions { backend, name, ack, lease, engine, copy, clock } = options;
        let folder = copy.folder.clone();
        let copy = embedded::Settings { is_copy_of_shared: true, ..copy };
        let spool_settings = spool_settings(&copy, folder.join("spool"));
        let failed = |what: &str, source| QueueError::Io {
            what: format!("{what} `{}`", folder.display()),
            source,
        };
        let mut may_lack = rebuild::begin(&folder)
            .map_err(|source| failed("putting the old copy aside in", source))?;
        let is_renamed = NodeIdentity::is_of_another(&folder, &name)
            .map_err(|source| failed("reading `node.json` in", source))?;
        if is_renamed && spool_settings.folder.exists() {
            // What its spool has may be in the log under the name of before.
            rebuild::note_old_spool(&folder)
                .map_err(|source| failed("writing `republish` in", source))?;
            may_lack = true;
        }
        // Another number where the log may lack what was forwarded: it goes by the newest of a number.
        let is_spool_new = may_lack || !spool_settings.folder.exists();
        let copy = open_embedded(copy, &clock).await?;
        check_whole(&copy, &folder)?;
        let drawn = (clock.now(), StdRng::from_os_rng().next_u64() >> 1, is_spool_new);
        let (applied, members) = taken_over(&copy)?;
        let identity = NodeIdentity::begin(&folder, &name, members.session(&name), drawn)
            .map_err(|source| failed("writing `node.json` in", source))?;
        let action_log =
            ActionLog::open(&folder).map_err(|source| failed("reading `notes` in", source))?;
        let copy = Arc::new(copy);
        let session = identity.session;
        let parts =
            NodeParts { name, session, lease, engine, copy, folder, clock, members, action_log };
        let (node, inbox) = LocalNode::new(parts, applied);
        let node = Arc::new(node);
        let spool = match ack {
            ClusterAck::Engine => None,
            ClusterAck::Both | ClusterAck::Local => {
                let queue = open_embedded(spool_settings, &node.clock).await?;
                Some(Arc::new(Spool::begin(queue, identity, may_lack, &node.folder).await?))
            }
        };
        let queue = Arc::new(Self {
            node: Arc::clone(&node),
            handlers: Arc::default(),
            spool,
            ack,
            backend,
            ids: Mutex::new(Ids::after(None, StdRng::from_os_rng())),
            tasks: TaskTracker::new(),
        });
        queue.start(inbox, applied);
        node.first_contact().await;
        Ok(queue)
    }

    fn start(&self, inbox: mpsc::Receiver<super::local_node::Proposal>, applied: Sequence) {
        let node = || Arc::clone(&self.node);
        self.tasks.spawn(proposer::run(node(), inbox));
        self.tasks.spawn(LogFollower::new(node(), Arc::clone(&self.handlers), applied).run());
        self.tasks.spawn(duties::run(node(), Arc::clone(&self.handlers)));
        self.tasks.spawn(tidying::run(node()));
        if let Some(spool) = self.spool.clone() {
            let node = node();
            self.tasks.spawn(async move {
                match Forwarder::new(&spool, &node).run().await {
                    Ok(()) | Err(QueueError::Closed) => {}
                    Err(err) => node.fail(format!("forwarding failed: {err}")),
                }
            });
        }
        self.tasks.close();
    }

    /// Resolves when this node can take no further part, with the reason.
    pub async fn failed(&self) -> String {
        let mut failed = self.node.failed.subscribe();
        // An error means that the node is gone, which cannot be while `self` is borrowed.
        match failed.wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => why,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// This node's copy of the log, with its state and index.
    pub fn copy(&self) -> Arc<EmbeddedQueue> {
        Arc::clone(&self.node.copy)
    }

    /// Ends all tasks, and lets go of both folders.
    pub(super) async fn end(&self) -> Result<(), QueueError> {
        self.node.closed.cancel();
        self.tasks.wait().await;
        if let Some(spool) = &self.spool {
            crate::queue::Queue::close(&spool.queue).await?;
        }
        crate::queue::Queue::close(&*self.node.copy).await
    }
}

/// As if the process had ended: nothing is told to the others, whose patience runs out.
impl Drop for ClusterQueue {
    fn drop(&mut self) {
        self.node.closed.cancel();
    }
}

/// A copy that lacks anything may decide other than its peers.
fn check_whole(copy: &EmbeddedQueue, folder: &Path) -> Result<(), QueueError> {
    let Some(damage) = copy.damage().into_iter().next() else { return Ok(()) };
    Err(QueueError::Corrupt(faulty_copy(&damage, folder)))
}

/// How far the copy goes and what was made of the log until there.
fn taken_over(copy: &EmbeddedQueue) -> Result<(Sequence, Members), QueueError> {
    let Some((sequence, note)) = copy.taken_over() else {
        let is_empty = copy.oldest() == crate::queue::Queue::newest(copy).next();
        return if is_empty {
            Ok((Sequence(0), Members::default()))
        } else {
            Err(QueueError::Corrupt(
                "the folder holds the events of a gateway that had them for itself; take them over by \
                 `gatepost queue export` and `import` (docs/cluster.md), into an empty folder"
                    .into(),
            ))
        };
    };
    let members = Members::decode(note).ok_or_else(|| QueueError::Unsupported {
        folder: "the copy of the shared log".into(),
        found: "a note of another layout".into(),
    })?;
    Ok((Sequence(sequence), members))
}

fn spool_settings(copy: &embedded::Settings, folder: PathBuf) -> embedded::Settings {
    embedded::Settings {
        // What the copy has let go of is not taken for lost.
        retention: SPOOL_RETENTION.min(copy.retention),
        disk_max: copy.disk_max,
        disk_reserve: copy.disk_reserve,
        segment_bytes: copy.segment_bytes,
        storage: Arc::clone(&copy.storage),
        index: copy.index,
        ..embedded::Settings::new(folder)
    }
}

async fn open_embedded(
    settings: embedded::Settings,
    clock: &Arc<dyn Clock>,
) -> Result<EmbeddedQueue, QueueError> {
    let clock = Arc::clone(clock);
    let opened = tokio::task::spawn_blocking(move || EmbeddedQueue::open(settings, clock)).await;
    opened.map_err(|err| QueueError::Corrupt(format!("opening panicked: {err}")))?
}
