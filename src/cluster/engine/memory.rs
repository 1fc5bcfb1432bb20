//! An engine in memory, which tests can take away, damage and make anew.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::contract::{
    EngineAppendError, EngineError, EngineHead, EngineReadError, EngineReport, LogEngine, Sequence,
    StoredUnit,
};
use crate::sync::lock;

const UNIT_MAX: usize = 8 << 20;

/// A shared log in memory. Clones are the same connection to it.
#[derive(Clone, Debug)]
pub struct MemoryEngine {
    shared: Arc<Mutex<MemoryUnits>>,
    next: watch::Sender<u64>,
    unit_max: usize,
    is_cut: Arc<AtomicBool>,
    is_held: watch::Sender<bool>,
    n_lost: Arc<AtomicU64>,
}

#[derive(Debug)]
struct MemoryUnits {
    units: BTreeMap<u64, Bytes>,
    first: u64,
    next: u64,
    lineage: u64,
    is_away: bool,
    is_refusing: bool,
    loses_answers: bool,
    room: usize,
    kept: usize,
    n_lost_at_once: u64,
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new(UNIT_MAX)
    }
}

impl MemoryEngine {
    /// An empty one that takes units of at most `unit_max` bytes.
    pub fn new(unit_max: usize) -> Self {
        let shared = MemoryUnits {
            units: BTreeMap::new(),
            first: 1,
            next: 1,
            lineage: 1,
            is_away: false,
            is_refusing: false,
            loses_answers: false,
            room: usize::MAX,
            kept: usize::MAX,
            n_lost_at_once: 0,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            next: watch::Sender::new(1),
            unit_max,
            is_cut: Arc::default(),
            is_held: watch::Sender::new(false),
            n_lost: Arc::default(),
        }
    }

    /// Another connection to the same log.
    #[must_use]
    pub fn connection(&self) -> Self {
        let is_held = watch::Sender::new(false);
        Self { is_cut: Arc::default(), is_held, ..self.clone() }
    }

    /// Cut: over this connection it is away.
    pub fn set_cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }

    /// Held: over this connection nothing is read until that ends. Appends are made.
    pub fn hold_reads(&self, is_held: bool) {
        self.is_held.send_replace(is_held);
    }

    /// Away: every call is `Unavailable`, and nothing is appended.
    pub fn set_away(&self, is_away: bool) {
        lock(&self.shared).is_away = is_away;
    }

    /// Every call is `Refused`, as with a password that was changed at the server alone.
    pub fn set_refusing(&self, is_refusing: bool) {
        lock(&self.shared).is_refusing = is_refusing;
    }

    /// Appends are made and answered `Unavailable` all the same.
    pub fn lose_answers(&self, loses_answers: bool) {
        lock(&self.shared).loses_answers = loses_answers;
    }

    /// Units of more bytes are `Full`, as with a disk that has only so much left.
    pub fn set_room(&self, room: usize) {
        lock(&self.shared).room = room;
    }

    /// Units of more bytes are acknowledged and lost at once, as by servers that had not synced them.
    pub fn set_kept(&self, kept: usize) {
        lock(&self.shared).kept = kept;
    }

    /// How many it has lost so.
    pub fn n_lost_at_once(&self) -> u64 {
        lock(&self.shared).n_lost_at_once
    }

    /// Loses a unit in the middle.
    pub fn lose(&self, sequence: Sequence) {
        lock(&self.shared).units.remove(&sequence.0);
    }

    /// Puts other bytes in the place of a unit's.
    pub fn replace(&self, sequence: Sequence, bytes: Bytes) {
        lock(&self.shared).units.insert(sequence.0, bytes);
    }

    /// A failover to a copy that lacks the units from `next` on.
    pub fn fail_over(&self, next: Sequence) {
        let mut shared = lock(&self.shared);
        shared.units.split_off(&next.0);
        shared.next = next.0;
        shared.first = shared.first.min(next.0);
        shared.lineage += 1;
    }

    /// A restart from an older copy so quick that no call fails: the lineage is the same.
    pub fn restart_from(&self, next: Sequence) {
        let mut shared = lock(&self.shared);
        shared.units.split_off(&next.0);
        shared.next = next.0;
        self.n_lost.fetch_add(1, Ordering::SeqCst);
    }

    fn available(&self) -> Result<std::sync::MutexGuard<'_, MemoryUnits>, EngineError> {
        let shared = lock(&self.shared);
        if shared.is_away || self.is_cut.load(Ordering::SeqCst) {
            return Err(EngineError::Unavailable("it was taken away".to_owned()));
        }
        if shared.is_refusing {
            return Err(EngineError::Refused("password authentication failed".to_owned()));
        }
        Ok(shared)
    }
}

#[async_trait]
impl LogEngine for MemoryEngine {
    async fn append(&self, unit: &Bytes) -> Result<Sequence, EngineAppendError> {
        if unit.len() > self.unit_max {
            return Err(EngineAppendError::TooLarge { max: self.unit_max });
        }
        let mut shared = self.available()?;
        if unit.len() > shared.room {
            return Err(EngineAppendError::Full("no room is left".to_owned()));
        }
        let sequence = shared.next;
        if unit.len() > shared.kept {
            shared.n_lost_at_once += 1;
            return Ok(Sequence(sequence));
        }
        shared.units.insert(sequence, unit.clone());
        shared.next += 1;
        self.next.send_replace(shared.next);
        if shared.loses_answers {
            return Err(EngineAppendError::Unavailable("the answer was lost".to_owned()));
        }
        Ok(Sequence(sequence))
    }

    async fn read(&self, from: Sequence, bytes: usize) -> Result<Vec<StoredUnit>, EngineReadError> {
        let mut is_held = self.is_held.subscribe();
        // An error means that the engine is gone.
        drop(is_held.wait_for(|is_held| !is_held).await);
        let shared = self.available()?;
        if from.0 < shared.first {
            return Err(EngineReadError::Trimmed { first: Sequence(shared.first) });
        }
        let (mut units, mut n_bytes) = (Vec::new(), 0);
        for sequence in from.0..shared.next {
            let Some(unit) = shared.units.get(&sequence) else { break };
            if !units.is_empty() && n_bytes >= bytes {
                break;
            }
            n_bytes += unit.len();
            units.push(StoredUnit { sequence: Sequence(sequence), bytes: unit.clone() });
        }
        if units.is_empty() && from.0 < shared.next {
            let to = shared.units.range(from.0..).next().map_or(shared.next, |(found, _)| *found);
            return Err(EngineReadError::Damaged { from, to: Sequence(to) });
        }
        Ok(units)
    }

    async fn head(&self) -> Result<EngineHead, EngineError> {
        let shared = self.available()?;
        Ok(EngineHead {
            first: Sequence(shared.first),
            next: Sequence(shared.next),
            lineage: format!("memory {}", shared.lineage),
        })
    }

    async fn wait(&self, from: Sequence, most: Duration) {
        let mut next = self.next.subscribe();
        // Both ends are the same to the caller: it looks again.
        drop(tokio::time::timeout(most, next.wait_for(|next| *next > from.0)).await);
    }

    async fn trim(&self, before: Sequence) -> Result<(), EngineError> {
        let mut shared = self.available()?;
        let first = before.0.clamp(shared.first, shared.next);
        shared.units = shared.units.split_off(&first);
        shared.first = first;
        Ok(())
    }

    async fn check(&self) -> Result<EngineReport, EngineError> {
        drop(self.available()?);
        Ok(EngineReport {
            version: "memory".to_owned(),
            durability: "an acknowledged unit survives nothing: it is in memory".to_owned(),
            problems: Vec::new(),
        })
    }

    fn unit_max(&self) -> usize {
        self.unit_max
    }

    fn n_lost(&self) -> u64 {
        self.n_lost.load(Ordering::SeqCst)
    }
}
