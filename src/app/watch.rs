//! Watches what no request shows, and reports it by Gatepost's own events: a source that fell
//! silent, requests that fail verification, a disk that fills up; and the end of each.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::api::{Actor, Api};
use crate::clock::Timestamp;
use crate::event::{HandlerName, Position, SourceName};
use crate::ingest::Ingest;
use crate::metrics::RequestOutcome;
use crate::queue::{Backlog, EventQuery, QueueError, QueueStats, WantedBodies};

use self::dead_retention::DeadRetention;
use super::control::Server;
use super::core::Core;
use super::system_events::SystemSource;

mod dead_retention;

/// How often to look.
const EVERY: Duration = Duration::from_mins(1);
/// How long one sort of event is not repeated for one source; that it is silent, not before what it expects of
/// itself has passed once more.
const PAUSE: Duration = Duration::from_hours(1);

/// What waits for a handler is told of once less than this part of `disk_max` is left for more.
const UNSETTLED_PART: u64 = 5;

/// How long the newest events of all sources are looked for at one look.
const RECALL_TIME: Duration = Duration::from_secs(2);
/// How often that is tried for one source, a minute apart at least: the queue waits 1 min for its index after a
/// start, and a search that finds nothing in its time goes on at the next try.
const RECALL_TRIES: u32 = 10;

const SILENT: &str = "source.silent";
const LOW: &str = "disk.low";

/// How full the disk of the queue is.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) path: PathBuf,
    pub(super) free: u64,
    /// Below this nothing is taken any more.
    pub(super) reserve: u64,
    /// What the queue may take of it.
    pub(super) queue_max: u64,
}

pub(super) type LookAtDisk = Box<dyn Fn() -> io::Result<Disk> + Send>;

/// How far the search for a source's newest event is.
#[derive(Clone, Copy, Debug)]
struct Recall {
    n_tries_left: u32,
    /// It goes on before this one; nothing = at the newest.
    before: Option<Position>,
}

/// What was seen last time.
pub(super) struct Watch {
    core: Core,
    ingest: Arc<Ingest>,
    disk: LookAtDisk,
    own: Arc<SystemSource>,
    /// Since when each source is looked after, by the steady clock.
    watched: HashMap<SourceName, Timestamp>,
    /// The sources whose newest event is still looked for.
    recalls: HashMap<SourceName, Recall>,
    /// How many requests of a source had failed or were turned away when that was last told.
    rejected: HashMap<SourceName, u64>,
    /// When each sort of event was told last, by the steady clock.
    told: HashMap<(&'static str, String), Timestamp>,
    dead_retention: Option<(DeadRetention, Api)>,
}

impl Watch {
    pub(super) fn new(
        core: Core,
        ingest: Arc<Ingest>,
        disk: LookAtDisk,
        own: Arc<SystemSource>,
    ) -> Self {
        let told = recalled(&core, &own);
        let (rejected, dead_retention) = (HashMap::new(), None);
        let (watched, recalls) = (HashMap::new(), HashMap::new());
        Self { core, ingest, disk, own, watched, recalls, rejected, told, dead_retention }
    }

    /// Drops dead letters once they died longer ago than this, by `api`, whose action log says so.
    #[must_use]
    pub(super) fn with_dead_retention(self, retention: Option<Duration>, api: &Api) -> Self {
        let dead_retention =
            retention.map(|retention| (DeadRetention::new(retention), api.by(Actor::Retention)));
        Self { dead_retention, ..self }
    }

    /// Looks now and then, until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.recall_sources() => {}
        }
        let mut look = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {}
            }
            // A store that hangs must not keep the process from ending.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
        }
    }

    async fn look(&mut self) {
        self.look_for_new_sources();
        self.look_for_rejected().await;
        if let Err(err) = self.look_for_silence().await {
            warn!(error = %err, "Silent sources cannot be looked for");
        }
        self.look_at_disk().await;
        self.drop_old_dead_letters().await;
        // It only completes what pages show, and must not keep the others waiting.
        self.recall_within(RECALL_TIME).await;
    }

    /// Begins to look after each source that is new here: at the start, or by a reload.
    fn look_for_new_sources(&mut self) {
        for endpoint in self.ingest.endpoints() {
            if endpoint.course().watch(self.core.clock.now()) {
                let name = endpoint.source().name();
                self.watched.insert(name.clone(), self.core.clock.steady());
                let recall = Recall { n_tries_left: RECALL_TRIES, before: None };
                self.recalls.insert(name.clone(), recall);
            }
        }
    }

    /// Finds out when the newest event that is kept came of each source that is new here. Where that fails it is
    /// tried again at the next looks.
    async fn recall_sources(&mut self) {
        self.look_for_new_sources();
        self.recall_within(RECALL_TIME).await;
    }

    /// The same within `time` for all of them: who has no turn in it is the first next time.
    async fn recall_within(&mut self, time: Duration) {
        let until = Instant::now() + time;
        let mut endpoints = self.ingest.endpoints();
        endpoints.retain(|one| self.recalls.contains_key(one.source().name()));
        let n_left = |name: &SourceName| self.recalls.get(name).map(|recall| recall.n_tries_left);
        endpoints.sort_by_key(|one| std::cmp::Reverse(n_left(one.source().name())));
        for endpoint in endpoints {
            let name = endpoint.source().name();
            // One came meanwhile, which is newer than all that are kept.
            if endpoint.course().get().last_event_at.is_some() {
                self.recalls.remove(name);
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let Some(recall) = self.recalls.remove(name) else { continue };
            let (newest, more) = newest_kept(&self.core, name, recall, left).await;
            if let Some(at) = newest {
                endpoint.course().had_event(at);
            }
            if let Some(more) = more.filter(|more| more.n_tries_left > 0) {
                self.recalls.insert(name.clone(), more);
            }
        }
    }

    async fn look_for_rejected(&mut self) {
        for endpoint in self.ingest.endpoints() {
            let name = endpoint.source().name().clone();
            let count = [RequestOutcome::Rejected, RequestOutcome::UnverifiedLimited]
                .map(|outcome| endpoint.metrics().requests(outcome))
                .iter()
                .sum();
            let before = self.rejected.get(&name).copied().unwrap_or(0);
            if count > before && self.may_tell("signature.rejected", name.as_str()) {
                self.rejected.insert(name.clone(), count);
                let newest = self.ingest.rejected().newest_of(&name);
                let payload = json!({
                    "source": name,
                    "count": count - before,
                    "newest": newest.as_ref().map(|request| request.number),
                    "reason": newest.as_ref().map(|request| &request.reason),
                });
                self.tell("signature.rejected", name.as_str(), &payload).await;
            }
        }
    }

    async fn look_for_silence(&mut self) -> Result<(), QueueError> {
        let endpoints = self.ingest.endpoints();
        let is_there = |of: &str| endpoints.iter().any(|one| one.source().name().as_str() == of);
        let gone = self.own.alerts().all().into_iter().filter(|(_, of, _)| !is_there(of));
        for (_, of, _) in gone {
            self.own.alerts().end(SILENT, &of);
        }
        for endpoint in endpoints {
            let source = endpoint.source();
            let name = source.name().clone();
            let Some(expected) = source.settings().expect_every else {
                // No owner waits for it any more.
                self.own.alerts().end(SILENT, name.as_str());
                continue;
            };
            let newest = self.core.queue.list(newest_of(&name)).await?;
            let newest = newest.first().map(|event| event.received_at);
            // Another gateway that shares the log may have stored it.
            if let Some(at) = newest {
                endpoint.course().had_event(at);
            }
            let silent = match newest {
                Some(at) => self.core.clock.now().since(at),
                // Nothing is retained of it: counted from when it came to be configured.
                None => self
                    .watched
                    .get(&name)
                    .map_or(Duration::ZERO, |since| self.core.clock.steady().since(*since)),
            };
            let now = self.core.clock.now();
            if silent > expected && self.may_tell_after(SILENT, name.as_str(), expected.max(PAUSE))
            {
                let payload = json!({
                    "source": name,
                    "silent_seconds": silent.as_secs(),
                    "expect_every_seconds": expected.as_secs(),
                    "newest_at": newest,
                });
                self.own.alerts().begin(SILENT, name.as_str(), (now.before(silent), now));
                self.tell(SILENT, name.as_str(), &payload).await;
            } else if silent <= expected
                && newest.is_some()
                && self.own.alerts().end(SILENT, name.as_str()).is_some()
            {
                let payload = json!({ "source": name, "newest_at": newest });
                self.tell("source.back", name.as_str(), &payload).await;
            }
        }
        Ok(())
    }

    async fn look_at_disk(&mut self) {
        let Disk { path, free, reserve, queue_max: disk_max } = match (self.disk)() {
            Ok(disk) => disk,
            Err(err) => return warn!(error = %err, "The disk's free space cannot be found out"),
        };
        let stats = self.core.queue.stats();
        let (unsettled, waits_for) = unsettled(&stats);
        let left = disk_max.saturating_sub(unsettled);
        let is_pinned = left < disk_max / UNSETTLED_PART;
        let payload = json!({
            "free_bytes": free,
            "reserve_bytes": reserve,
            "path": path,
            "unsettled_bytes": unsettled,
            "disk_max_bytes": disk_max,
            "waits_for": waits_for.filter(|_| is_pinned),
        });
        // Told while there is still room for the telling.
        let is_low = free < reserve.saturating_mul(2) || is_pinned;
        // The one is no reason not to tell of the other.
        let cause = if is_pinned { "disk_max" } else { "" };
        if is_low && self.may_tell(LOW, cause) {
            let now = self.core.clock.now();
            self.own.alerts().begin(LOW, cause, (now, now));
            self.tell(LOW, cause, &payload).await;
        }
        // With some room between the two, so that one file does not make both.
        let is_enough = free >= reserve.saturating_mul(2).saturating_add(reserve / 4)
            && left >= disk_max / (UNSETTLED_PART - 1);
        let ended = |cause| is_enough && self.own.alerts().end(LOW, cause).is_some();
        if ["", "disk_max"].map(ended).contains(&true) {
            self.tell("disk.back", "", &payload).await;
        }
    }

    async fn drop_old_dead_letters(&mut self) {
        let Some((retention, api)) = &mut self.dead_retention else { return };
        let Some(until) = retention.look(&*self.core.clock) else { return };
        match api.drop_expired(until).await {
            Ok(0) => {}
            Ok(count) => info!(count, died_before = %until, "Dead letters were dropped by age"),
            Err(err) => warn!(error = %err, "Old dead letters cannot be dropped"),
        }
    }

    fn may_tell(&self, what: &'static str, of: &str) -> bool {
        self.may_tell_after(what, of, PAUSE)
    }

    fn may_tell_after(&self, what: &'static str, of: &str, pause: Duration) -> bool {
        let told = self.told.get(&(what, of.to_owned()));
        told.is_none_or(|told| self.core.clock.steady().since(*told) >= pause)
    }

    async fn tell(&mut self, what: &'static str, of: &str, payload: &serde_json::Value) {
        let now = self.core.clock.steady();
        self.told.insert((what, of.to_owned()), now);
        self.own.append(what, &format!("{of} {}", now.as_millis()), payload).await;
    }
}

/// Looks at the disk of the queue.
pub(super) fn disk(server: &Arc<Server>) -> LookAtDisk {
    let server = Arc::clone(server);
    Box::new(move || {
        let queue = &server.started_with.queue;
        let disk = rustix::fs::statvfs(&queue.path)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let (reserve, queue_max) = (queue.disk_reserve.0, queue.disk_max.0);
        Ok(Disk { path: queue.path.clone(), free, reserve, queue_max })
    })
}

/// When an earlier process told what is not over, by the steady clock: a restart is no reason to tell it again.
fn recalled(core: &Core, own: &SystemSource) -> HashMap<(&'static str, String), Timestamp> {
    let (now, steady) = (core.clock.now(), core.clock.steady());
    let told = own.alerts().all().into_iter().filter_map(|(event_type, of, alert)| {
        let what = [SILENT, LOW].into_iter().find(|one| *one == event_type)?;
        Some(((what, of), steady.before(now.since(alert.told_at))))
    });
    told.collect()
}

/// How many bytes the events take that a handler is not done with, dead letters among them, by their number, and
/// whose they are. They stay whatever `disk_max` says; what is settled goes before its time where they need room.
fn unsettled(stats: &QueueStats) -> (u64, Option<&HandlerName>) {
    let open = |backlog: &Backlog| backlog.in_log + backlog.waiting + backlog.dead;
    let most = stats.handlers.iter().max_by_key(|(_, backlog)| open(backlog));
    let Some((name, backlog)) = most else { return (0, None) };
    let part =
        u128::from(stats.bytes) * u128::from(open(backlog)) / u128::from(stats.events.max(1));
    (u64::try_from(part).unwrap_or(u64::MAX).min(stats.bytes), Some(name))
}

/// When the newest event of a source came; where that was not found out, how the search goes on.
async fn newest_kept(
    core: &Core,
    name: &SourceName,
    recall: Recall,
    time: Duration,
) -> (Option<Timestamp>, Option<Recall>) {
    let Recall { n_tries_left, before } = recall;
    let n_tries_left = n_tries_left - 1;
    let query = EventQuery { cursor: before, ..newest_of(name) };
    match core.queue.search(query, time).await {
        Ok(found) => match found.events.first() {
            Some((event, _)) => (Some(event.received_at), None),
            // Its time was up before all was looked at.
            None => (None, found.next.map(|at| Recall { n_tries_left, before: Some(at) })),
        },
        Err(err) => {
            let source = name.as_str();
            warn!(
                source.name = source, error = %err, n_tries_left,
                "The newest event of a source cannot be looked for"
            );
            (None, Some(Recall { n_tries_left, before }))
        }
    }
}

fn newest_of(source: &SourceName) -> EventQuery {
    let bodies = WantedBodies::UpTo(0);
    EventQuery { source: Some(source.clone()), limit: 1, bodies, ..EventQuery::default() }
}

#[cfg(test)]
mod tests;
