//! Lets the shared log go where all nodes have applied it, and asks what it survives: beside the signs of life,
//! which wait for neither, nor for room that only this makes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::engine::Sequence;
use super::local_node::LocalNode;
use super::node::NodeName;
use crate::clock::Timestamp;
use crate::sync::lock;

/// How often that is done, from the first moment on at which the engine can be reached.
const TIDY_EVERY: Duration = Duration::from_mins(1);
/// What all nodes have applied stays for so long: a node that comes new reads the log from its beginning.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// A node that was silent for so long is not waited for: it has to begin with a copy of another's.
const GONE_AFTER: Duration = Duration::from_hours(24);

/// Tidies until the node is stopped.
pub(super) async fn run(node: Arc<LocalNode>) {
    let mut tidying = Tidying { node: Arc::clone(&node), had_by_all: VecDeque::new() };
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
    /// How far all nodes had applied the log at some moments, the oldest first.
    had_by_all: VecDeque<(Timestamp, u64)>,
}

impl Tidying {
    /// Lets the engine drop what every node has applied.
    async fn trim(&mut self) {
        let steady = self.node.clock.steady();
        // One of them is enough, and an engine may not like two at a time.
        let is_first = |name: &NodeName| *name >= self.node.name || self.node.is_silent(name);
        if !self.node.members.lock().nodes().all(|(name, _)| is_first(name)) {
            return;
        }
        let before = {
            let members = self.node.members.lock();
            let life = self.node.life.lock();
            let seen = |name: &NodeName| life.seen.get(name).copied();
            let nodes = members.nodes().map(|(name, member)| (member.applied, seen(name)));
            applied_by_all(nodes, steady)
        };
        let Some(before) = before.filter(|before| *before > 0) else { return };
        self.had_by_all.push_back((steady, before));
        let is_old = |(at, _): &(Timestamp, u64)| steady.since(*at) >= KEPT_FOR;
        let mut trim_to = None;
        while let Some((_, before)) = self.had_by_all.pop_front_if(|had| is_old(had)) {
            trim_to = Some(Sequence(before));
        }
        let Some(before) = trim_to else { return };
        // Not in a hurry: it is tried again.
        if let Err(err) = self.node.engine.trim(before).await {
            tracing::debug!(error = %err, "The shared log could not be trimmed");
        }
    }
}

/// How far all nodes have applied the log that are waited for: each node's place, and when it gave its last sign of
/// life. The log is kept for ever neither for one that left nor for one that was never stopped in order.
fn applied_by_all(
    nodes: impl Iterator<Item = (u64, Option<Timestamp>)>,
    steady: Timestamp,
) -> Option<u64> {
    let is_waited_for = |seen: Timestamp| steady.since(seen) < GONE_AFTER;
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
