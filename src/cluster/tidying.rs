//! Lets the shared log go where all nodes have applied it, and asks what it survives: beside the signs of life,
//! which wait for neither, nor for room that only this makes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::engine::Sequence;
use super::local_node::LocalNode;
use super::node::NodeName;
use crate::clock::Timestamp;
use crate::files;
use crate::sync::lock;

/// How often that is done, from the first moment on at which the engine can be reached.
const TIDY_EVERY: Duration = Duration::from_mins(1);
/// What all nodes have applied stays for so long: a node that comes new reads the log from its beginning.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// A node that was silent for so long is not waited for: it has to begin with a copy of another's.
const GONE_AFTER: Duration = Duration::from_hours(24);
/// How often it is noted how far all nodes are: so a day is some 145 notes.
const NOTE_EVERY: Duration = Duration::from_mins(10);

/// Tidies until the node is stopped.
pub(super) async fn run(node: Arc<LocalNode>) {
    let mut tidying = Tidying::begin(Arc::clone(&node));
    while !node.leaving.is_cancelled() && node.failed.borrow().is_none() {
        let pause = if node.is_engine_up() && node.is_log_known() {
            tidying.trim().await;
            if let Ok(report) = node.engine.check().await {
                *lock(&node.durability) = Some(report.durability);
            }
            TIDY_EVERY
        } else {
            node.lease / 8
        };
        tokio::select! {
            () = node.closed.cancelled() => return,
            () = node.leaving.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct Tidying {
    node: Arc<LocalNode>,
    /// Since when nodes are silent as far as this process can tell: no sign of life was applied since.
    seen_at_start: BTreeMap<NodeName, Timestamp>,
    notes: TidyingNotes,
}

/// What outlives this process, in `tidying.json` of the copy's folder: a gateway that is restarted every day would
/// let nothing go otherwise. By the wall clock, in ms since the epoch; without the file everything stays for a day
/// longer.
#[derive(Debug, Default, Serialize, Deserialize)]
struct TidyingNotes {
    /// How far all nodes had applied the log at some moments, the oldest first.
    had_by_all: Vec<(i64, u64)>,
    /// When each node gave its newest sign of life.
    seen: BTreeMap<NodeName, i64>,
}

impl Tidying {
    fn begin(node: Arc<LocalNode>) -> Self {
        let seen_at_start = node.life.lock().seen.clone();
        let notes = TidyingNotes::read(&node.folder, node.clock.now()).unwrap_or_else(|err| {
            tracing::debug!(error = %err, "How far all nodes were is not known");
            TidyingNotes::default()
        });
        Self { node, seen_at_start, notes }
    }

    /// Lets the engine drop what every node has applied.
    async fn trim(&mut self) {
        // One of them is enough, and an engine may not like two at a time.
        let is_first = |name: &NodeName| *name >= self.node.name || self.node.is_silent(name);
        if !self.node.members.lock().nodes().all(|(name, _)| is_first(name)) {
            return;
        }
        let now = self.node.clock.now();
        self.notes.forget_future(now);
        self.note_seen(now);
        let before = {
            let members = self.node.members.lock();
            let seen =
                |name: &NodeName| self.notes.seen.get(name).map(|at| Timestamp::from_millis(*at));
            let nodes = members.nodes().map(|(name, member)| (member.applied, seen(name)));
            applied_by_all(nodes, now)
        };
        let Some(before) = before.filter(|before| *before > 0) else { return };
        let old = self.notes.let_go(now);
        if self.notes.note(now, before)
            && let Err(err) = self.notes.write(&self.node.folder)
        {
            // It is noted again, and what is not stays longer.
            tracing::debug!(error = %err, "How far all nodes are cannot be noted");
        }
        let Some(before) = old.map(|old| Sequence(old.min(before))) else { return };
        // Not in a hurry: it is tried again.
        if let Err(err) = self.node.engine.trim(before).await {
            tracing::debug!(error = %err, "The shared log could not be trimmed");
        }
    }

    /// Notes when each node gave its newest sign of life. One of which this process has had none gave it before.
    fn note_seen(&mut self, now: Timestamp) {
        let steady = self.node.clock.steady();
        let life = self.node.life.lock();
        let seen = &mut self.notes.seen;
        seen.retain(|name, _| life.seen.contains_key(name));
        for (name, at) in &life.seen {
            let is_of_before = self.seen_at_start.get(name) == Some(at) && *name != self.node.name;
            if !is_of_before || !seen.contains_key(name) {
                seen.insert(name.clone(), now.before(steady.since(*at)).as_millis());
            }
        }
    }
}

impl TidyingNotes {
    fn read(folder: &Path, now: Timestamp) -> io::Result<Self> {
        let mut notes: Self = match std::fs::read(path_in(folder)) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(err) => return Err(err),
        };
        notes.forget_future(now);
        Ok(notes)
    }

    /// Forgets what was noted while the clock was ahead.
    fn forget_future(&mut self, now: Timestamp) {
        self.had_by_all.retain(|(at, _)| *at <= now.as_millis());
        self.seen.retain(|_, at| *at <= now.as_millis());
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        files::replace_durably(&path_in(folder), serde_json::to_vec(self)?)
    }

    /// How far all nodes had the log so long ago that it may be let go up to there.
    fn let_go(&mut self, now: Timestamp) -> Option<u64> {
        let is_old = |(at, _): &&(i64, u64)| now.since(Timestamp::from_millis(*at)) >= KEPT_FOR;
        let n_old = self.had_by_all.iter().take_while(is_old).count();
        self.had_by_all.drain(..n_old).next_back().map(|(_, before)| before)
    }

    /// `true` = it is noted; that was a while ago.
    fn note(&mut self, now: Timestamp, before: u64) -> bool {
        let noted_at = self.had_by_all.last().map(|(at, _)| Timestamp::from_millis(*at));
        let is_due = noted_at.is_none_or(|at| now.since(at) >= NOTE_EVERY);
        if is_due {
            self.had_by_all.push((now.as_millis(), before));
        }
        is_due
    }
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("tidying.json")
}

/// How far all nodes have applied the log that are waited for: each node's place, and when it gave its last sign of
/// life. The log is kept for ever neither for one that left nor for one that was never stopped in order.
fn applied_by_all(
    nodes: impl Iterator<Item = (u64, Option<Timestamp>)>,
    now: Timestamp,
) -> Option<u64> {
    let is_waited_for = |seen: Timestamp| now.since(seen) < GONE_AFTER;
    let nodes = nodes.filter(|(_, seen)| seen.is_some_and(is_waited_for));
    nodes.map(|(applied, _)| applied).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_is_kept_for_a_silent_node_for_a_day_and_no_longer() {
        let hours = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
        let by_all = |now| {
            let nodes = [(10, Some(hours(now))), (3, Some(hours(100))), (1, None)];
            applied_by_all(nodes.into_iter(), hours(now))
        };
        assert_eq!([by_all(100), by_all(123), by_all(124)], [Some(3), Some(3), Some(10)]);
    }
}
