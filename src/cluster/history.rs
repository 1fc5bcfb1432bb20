//! Whether the shared log still is the one that was applied: after a failover to another copy, or a restored
//! backup, it may end earlier or go another way.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::{EngineError, EngineReadError, Sequence};
use super::local_node::LocalNode;
use super::rebuild;
use crate::clock::Timestamp;

/// How long the log is believed to be the same. An engine that was away is asked before anything is applied.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// So many units are remembered between two checks, and those of one read: then it is time for the next one.
const APPLIED_MAX: usize = 4_096;
/// How many bytes of units are compared at once.
const COMPARED_BYTES: usize = 4 << 20;
/// What cannot be read is asked for again so often at least, and for so long: a new leader of the engine, or a
/// server that has begun a moment ago, may not have it at first, and a node that gives up needs a person.
const ASKED_MIN: u32 = 3;
const ASKED_FOR: Duration = Duration::from_secs(4);
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

/// What a check has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HistoryCheck {
    /// It goes on from what was applied, and so does what was read a moment ago.
    IsSame,
    /// It goes on from what was applied, in another life of the engine or over another connection: what was read
    /// before is to be read again.
    IsSameInAnotherLife,
    /// The engine cannot be asked now.
    Unknown,
}

/// Units that were there and cannot be read.
#[derive(Debug)]
pub(super) struct MissingUnits {
    from: Sequence,
    /// By the steady clock.
    since: Timestamp,
    n_asked: u32,
}

impl MissingUnits {
    /// Notes that units could not be read once more; whether they are given up.
    pub(super) fn are_gone(
        known: &mut Option<Self>,
        node: &LocalNode,
        from: Sequence,
        to: Sequence,
    ) -> bool {
        let now = node.clock.steady();
        let before = known.take().filter(|missing| missing.from == from);
        let missing = known.insert(before.unwrap_or(Self { from, since: now, n_asked: 0 }));
        missing.n_asked += 1;
        if missing.n_asked >= ASKED_MIN && now.since(missing.since) >= ASKED_FOR {
            return true;
        }
        node.note_engine(Some(format!(
            "units {from} up to and without {to} cannot be read: they are asked for again"
        )));
        false
    }
}

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct LogHistory {
    /// Which life of the engine was checked.
    lineage: Option<String>,
    /// When, by the steady clock.
    checked_at: Option<Timestamp>,
    /// The newest unit that was applied by then, and those that were applied since: their checksums.
    applied: BTreeMap<Sequence, u32>,
    missing: Option<MissingUnits>,
}

impl LogHistory {
    /// Notes a unit that was applied.
    pub(super) fn note(&mut self, at: Sequence, crc: u32) {
        self.applied.insert(at, crc);
    }

    /// Checks it, unless that was done a moment ago.
    pub(super) async fn check(
        &mut self,
        node: &LocalNode,
        applied: Sequence,
    ) -> Result<HistoryCheck, HistoryError> {
        let now = node.clock.steady();
        let is_known = node.is_log_known();
        let n_lost = node.engine.n_lost();
        let is_fresh = self.checked_at.is_some_and(|at| now.since(at) < CHECK_EVERY);
        if is_known && is_fresh && self.applied.len() <= APPLIED_MAX {
            return Ok(HistoryCheck::IsSame);
        }
        let head = match node.engine.head().await {
            Ok(head) => head,
            Err(EngineError::Unavailable(why) | EngineError::Refused(why)) => {
                node.note_engine(Some(why));
                return Ok(HistoryCheck::Unknown);
            }
        };
        let newest = node.members.lock().newest();
        // Behind what is applied durably where a large unit was read in part.
        let applied = newest.map_or(applied, |(at, _)| at.max(applied));
        if head.next <= applied {
            let remedy = prepare_remedy(node, head.first);
            return Err(HistoryError::Shorter { end: head.next, applied, remedy });
        }
        // A backup that was restored has the lineage of before.
        let is_other = !is_known || self.lineage.as_ref() != Some(&head.lineage);
        if is_other {
            self.applied.extend(newest);
            if !self.compare(node, head.first).await? {
                return Ok(HistoryCheck::Unknown);
            }
        }
        self.missing = None;
        self.lineage = Some(head.lineage);
        self.checked_at = Some(now);
        self.applied = newest.into_iter().collect();
        if !is_known {
            node.n_lost_known.store(n_lost, Ordering::SeqCst);
            node.is_log_known.send_replace(true);
        }
        Ok(if is_other { HistoryCheck::IsSameInAnotherLife } else { HistoryCheck::IsSame })
    }

    /// Whether the log has every unit that was applied since it was checked last; `false` = the engine cannot be
    /// asked now. The newest alone may be the same where another unit took the place of one before it.
    async fn compare(&mut self, node: &LocalNode, first: Sequence) -> Result<bool, HistoryError> {
        // What is let go is not compared.
        self.applied = self.applied.split_off(&first);
        let mut rest = self.applied.clone();
        while let Some((&at, _)) = rest.first_key_value() {
            let bytes = if rest.contains_key(&at.next()) { COMPARED_BYTES } else { 1 };
            let units = match node.engine.read(at, bytes).await {
                Ok(units) => units,
                // Let go since the head was asked: as those before its first unit, they are not compared.
                Err(EngineReadError::Trimmed { first }) if first > at => {
                    rest = rest.split_off(&first);
                    continue;
                }
                Err(EngineReadError::Trimmed { .. }) => return Ok(true),
                // Nothing else tells whether what comes behind it goes on from what was applied.
                Err(EngineReadError::Damaged { from, to }) => {
                    if MissingUnits::are_gone(&mut self.missing, node, from, to) {
                        return Err(HistoryError::Missing { from, to });
                    }
                    return Ok(false);
                }
                Err(EngineReadError::Unavailable(why) | EngineReadError::Refused(why)) => {
                    self.missing = None;
                    node.note_engine(Some(why));
                    return Ok(false);
                }
            };
            if units.is_empty() {
                // It had more a moment ago: the next look says what became of it.
                return Ok(false);
            }
            for unit in units {
                let is_other = rest
                    .remove(&unit.sequence)
                    .is_some_and(|crc| crc32c::crc32c(&unit.bytes) != crc);
                if is_other {
                    let remedy = prepare_remedy(node, first);
                    return Err(HistoryError::Differs { at: unit.sequence, remedy });
                }
            }
        }
        self.missing = None;
        Ok(true)
    }
}

/// Has the next start make the copy anew, where the log can be read from its first unit on.
fn prepare_remedy(node: &LocalNode, first: Sequence) -> &'static str {
    if first > Sequence::FIRST {
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
