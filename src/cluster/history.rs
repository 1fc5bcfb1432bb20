//! Whether the shared log still is the one that was applied: after a failover to another copy, or a restored
//! backup, it may end earlier or go another way.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::{EngineError, EngineHead, EngineReadError, Sequence};
use super::local_node::LocalNode;
use super::rebuild;
use crate::clock::Timestamp;

/// How long the log is believed to be the same. An engine that was away is asked before anything is applied.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// What its owner is to do while the log still begins with its first unit.
const RESTART: &str = "restart this gateway: it makes its copy anew from the log as it is, and appends again \
                       what it had answered (docs/cluster.md)";
/// What is to be done where it does not.
const BY_HAND: &str = "no gateway can read the log anew, since its beginning was let go: what it lost is in \
                       this gateway's copy, and goes into a new log by `gatepost queue export` and `import` \
                       (docs/cluster.md, \"When the log lost something\")";

/// What became of the log's history.
#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryError {
    #[error(
        "the shared log ends before unit {end}, and this gateway has applied {applied}: the engine lost what \
         it had acknowledged; {remedy}"
    )]
    Shorter { end: Sequence, applied: Sequence, remedy: &'static str },
    #[error(
        "unit {at} of the shared log is another one than this gateway has applied: the engine's history was \
         changed; {remedy}"
    )]
    Differs { at: Sequence, remedy: &'static str },
    #[error(
        "the shared log begins with unit {first} by now, and this gateway has applied {applied}: stop it, put a \
         copy of another gateway's folder in place of all but `spool` and `node.json` (docs/cluster.md, \"Add \
         and remove a gateway\"), and start it; what it takes in until then waits in its spool"
    )]
    Trimmed { first: Sequence, applied: Sequence },
    #[error(
        "units {from} up to and without {to} of the shared log are missing or cannot be read: they were removed by \
         hand, or the engine lost them; stop this gateway, put a copy of the folder of one that goes on in place of \
         all but `spool` and `node.json` (docs/cluster.md, \"When units were removed by hand\", also where none \
         goes on), and start it; what it takes in until then waits in its spool"
    )]
    Missing { from: Sequence, to: Sequence },
}

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct LogHistory {
    /// Which life of the engine was checked.
    lineage: Option<String>,
    /// When, by the steady clock.
    checked_at: Option<Timestamp>,
    /// The newest unit that was applied by then, and its checksum.
    checked: Option<(Sequence, u32)>,
}

impl LogHistory {
    /// Checks it, unless that was done a moment ago; `false` = the engine cannot be asked now.
    pub(super) async fn check(
        &mut self,
        node: &LocalNode,
        applied: Sequence,
    ) -> Result<bool, HistoryError> {
        let now = node.clock.steady();
        let is_known = node.is_log_known();
        let n_lost = node.engine.n_lost();
        if is_known && self.checked_at.is_some_and(|at| now.since(at) < CHECK_EVERY) {
            return Ok(true);
        }
        let head = match node.engine.head().await {
            Ok(head) => head,
            Err(EngineError::Unavailable(why) | EngineError::Refused(why)) => {
                node.note_engine(Some(why));
                return Ok(false);
            }
        };
        let newest = node.members.lock().newest();
        // Behind what is applied durably where a large unit was read in part.
        let applied = newest.map_or(applied, |(at, _)| at.max(applied));
        if head.next <= applied {
            let remedy = prepare_remedy(node, &head);
            return Err(HistoryError::Shorter { end: head.next, applied, remedy });
        }
        // A backup that was restored has the lineage of before.
        if !is_known || self.lineage.as_ref() != Some(&head.lineage) {
            let known = [self.checked, newest].into_iter().flatten();
            for (at, crc) in known.filter(|(at, _)| *at >= head.first) {
                match is_same(node, at, crc).await? {
                    Some(true) => {}
                    Some(false) => {
                        let remedy = prepare_remedy(node, &head);
                        return Err(HistoryError::Differs { at, remedy });
                    }
                    None => return Ok(false),
                }
            }
            self.lineage = Some(head.lineage);
        }
        (self.checked_at, self.checked) = (Some(now), newest);
        if !is_known {
            node.n_lost_known.store(n_lost, Ordering::SeqCst);
            node.is_log_known.send_replace(true);
        }
        Ok(true)
    }
}

/// Whether the unit at `at` is the one whose checksum is `crc`; `None` = the engine cannot be asked now.
async fn is_same(node: &LocalNode, at: Sequence, crc: u32) -> Result<Option<bool>, HistoryError> {
    match node.engine.read(at, 1).await {
        Ok(units) => Ok(Some(units.first().is_none_or(|unit| crc32c::crc32c(&unit.bytes) == crc))),
        // Let go since the head was asked: as those before its first unit, it is not compared.
        Err(EngineReadError::Trimmed { .. }) => Ok(Some(true)),
        // Nothing else tells whether what comes behind it goes on from what was applied.
        Err(EngineReadError::Damaged { from, to }) => Err(HistoryError::Missing { from, to }),
        Err(EngineReadError::Unavailable(why) | EngineReadError::Refused(why)) => {
            node.note_engine(Some(why));
            Ok(None)
        }
    }
}

/// Has the next start make the copy anew, where the log can be read from its first unit on.
fn prepare_remedy(node: &LocalNode, head: &EngineHead) -> &'static str {
    if head.first > Sequence::FIRST {
        return BY_HAND;
    }
    match rebuild::ask(&node.folder, "the shared log lost or changed what was applied") {
        Ok(()) => RESTART,
        Err(err) => {
            tracing::error!(error = %err, "The copy's folder cannot be written");
            BY_HAND
        }
    }
}
