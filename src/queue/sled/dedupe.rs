//! Which events were seen before, exactly: the newest keys in memory, older ones in sled, found
//! through a filter in memory that answers "never seen" for nearly all of what is new.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::index::{KeyRun, PageKey};
use crate::clock::Timestamp;
use crate::event::{DedupeKey, EventId, Position};

/// How many keys stay in memory before they go to sled as a run.
const GENERATION_KEYS: usize = 32_768;
/// After how many bytes of the journal a run is closed all the same: so much is read again at the
/// next start.
const GENERATION_BYTES: u64 = 32 << 20;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: EventId,
    pub(crate) position: Position,
    pub(crate) received_at: Timestamp,
}

/// A run of keys on its way into sled.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) run: KeyRun,
    keys: HashMap<DedupeKey, Seen>,
    is_written: AtomicBool,
}

impl Generation {
    /// The keys as pages hold them, sorted.
    pub(crate) fn page_keys(&self) -> Vec<PageKey> {
        let mut keys: Vec<PageKey> =
            self.keys.iter().map(|(key, seen)| (prefix(*key), seen.position)).collect();
        keys.sort_unstable();
        keys
    }

    /// Says that sled has it: the memory can go.
    pub(crate) fn set_written(&self) {
        self.is_written.store(true, Ordering::Release);
    }
}

/// The first 8 bytes of a key.
pub(crate) fn prefix(key: DedupeKey) -> u64 {
    u64::try_from(u128::from_be_bytes(key.0) >> 64).unwrap_or(u64::MAX)
}

/// The keys that are in memory. Owned by the committer.
#[derive(Debug)]
pub(crate) struct RecentKeys {
    keys: HashMap<DedupeKey, Seen>,
    first: Position,
    expires_at: Timestamp,
    bytes: u64,
    closed: Vec<Arc<Generation>>,
}

impl RecentKeys {
    /// Begins a generation with the event at `first`.
    pub(crate) fn new(first: Position) -> Self {
        let expires_at = Timestamp::from_millis(i64::MIN);
        Self { keys: HashMap::new(), first, expires_at, bytes: 0, closed: Vec::new() }
    }

    /// What is known of `key` here.
    pub(crate) fn get(&self, key: DedupeKey) -> Option<Seen> {
        let closed = self.closed.iter().rev().find_map(|generation| generation.keys.get(&key));
        self.keys.get(&key).or(closed).copied()
    }

    /// Remembers a key until `expires_at`.
    pub(crate) fn insert(&mut self, key: DedupeKey, seen: Seen, expires_at: Timestamp) {
        self.expires_at = self.expires_at.max(expires_at);
        self.keys.insert(key, seen);
    }

    /// Forgets the keys of events that were not stored after all.
    pub(crate) fn forget_from(&mut self, first: Position) {
        self.keys.retain(|_, seen| seen.position < first);
    }

    /// Counts what was committed up to `next`; gives a full generation, for sled.
    pub(crate) fn committed(&mut self, next: Position, bytes: u64) -> Option<Arc<Generation>> {
        self.closed.retain(|generation| !generation.is_written.load(Ordering::Acquire));
        self.bytes += bytes;
        let is_full = self.keys.len() >= GENERATION_KEYS || self.bytes >= GENERATION_BYTES;
        if is_full { self.close(next) } else { None }
    }

    /// Gives what there is up to `next`, for sled; `None` = nothing came since the last time.
    pub(crate) fn close(&mut self, next: Position) -> Option<Arc<Generation>> {
        if next <= self.first {
            return None;
        }
        let last = Position(next.0 - 1);
        let run = KeyRun { first: self.first, last, expires_at: self.expires_at };
        let keys = std::mem::take(&mut self.keys);
        let generation = Arc::new(Generation { run, keys, is_written: AtomicBool::new(false) });
        self.closed.push(Arc::clone(&generation));
        let closed = std::mem::take(&mut self.closed);
        *self = Self { closed, ..Self::new(next) };
        Some(generation)
    }
}

/// A Bloom filter with 24 bits and 8 probes per key: about 1 in 20,000 strangers gets through. Each
/// costs a look into every run, which was felt at 1 in 1,000.
#[derive(Debug)]
struct Filter {
    bits: Vec<u64>,
    n_keys: usize,
    n_keys_max: usize,
}

impl Filter {
    const PROBES: u64 = 8;
    const BITS_PER_KEY: usize = 24;

    fn new(n_keys_max: usize) -> Self {
        let n_words = (n_keys_max * Self::BITS_PER_KEY).div_ceil(64);
        Self { bits: vec![0; n_words], n_keys: 0, n_keys_max }
    }

    /// Word and bit of each probe. Keys are hashes already: two halves of one give all probes.
    fn probes(&self, prefix: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let n_bits = (self.bits.len() as u64).saturating_mul(64);
        let step = prefix.rotate_left(32) | 1;
        (0..Self::PROBES).map(move |i| {
            let probe = prefix.wrapping_add(i.wrapping_mul(step));
            // As evenly spread as a remainder, without a division.
            let bit = u64::try_from((u128::from(probe) * u128::from(n_bits)) >> 64).unwrap_or(0);
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        })
    }

    fn insert(&mut self, prefix: u64) {
        for (word, bit) in self.probes(prefix) {
            if let Some(word) = self.bits.get_mut(word) {
                *word |= bit;
            }
        }
        self.n_keys += 1;
    }

    fn may_hold(&self, prefix: u64) -> bool {
        self.probes(prefix).all(|(word, bit)| self.bits.get(word).is_some_and(|w| w & bit != 0))
    }
}

/// Some runs under one filter.
#[derive(Debug)]
struct Era {
    filter: Filter,
    runs: Vec<KeyRun>,
}

/// All runs in sled, newest last. Three bytes of memory per key.
#[derive(Debug, Default)]
pub(crate) struct Runs(RwLock<Vec<Era>>);

impl Runs {
    /// How many keys the largest filter is made for: 3 MiB.
    const ERA_KEYS_MAX: usize = 1 << 20;

    /// Adds a run that sled has.
    pub(crate) fn add(&self, run: KeyRun, keys: &[PageKey]) {
        let mut eras = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let has_room = |era: &Era| era.filter.n_keys + keys.len() <= era.filter.n_keys_max;
        if !eras.last().is_some_and(has_room) {
            // Grows with what is there: an idle gateway pays for little.
            let n_keys_max = (GENERATION_KEYS << (2 * eras.len()).min(5)).min(Self::ERA_KEYS_MAX);
            let n_keys_max = n_keys_max.max(keys.len());
            eras.push(Era { filter: Filter::new(n_keys_max), runs: Vec::new() });
        }
        let Some(era) = eras.last_mut() else { return };
        for (prefix, _) in keys {
            era.filter.insert(*prefix);
        }
        era.runs.push(run);
    }

    /// Puts others in place of all runs.
    pub(crate) fn replace(&self, others: Self) {
        let others = others.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = others;
    }

    /// Whether one run holds all positions from `first` to `last`.
    pub(crate) fn covers(&self, first: Position, last: Position) -> bool {
        let eras = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut runs = eras.iter().flat_map(|era| era.runs.iter());
        runs.any(|run| run.first <= first && last <= run.last)
    }

    /// The runs, newest first, in which a key with this prefix may be.
    pub(crate) fn candidates(&self, prefix: u64, now: Timestamp) -> Vec<KeyRun> {
        let eras = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let eras = eras.iter().rev().filter(|era| era.filter.may_hold(prefix));
        let runs = eras.flat_map(|era| era.runs.iter().rev());
        runs.filter(|run| run.expires_at > now).copied().collect()
    }

    /// Takes out the runs whose keys have all expired, as far as whole filters go with them; the
    /// newest run stays, since it says how far the keys were taken in.
    pub(crate) fn expire(&self, now: Timestamp) -> Vec<KeyRun> {
        let mut eras = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let n_old = eras
            .iter()
            .take(eras.len().saturating_sub(1))
            .take_while(|era| era.runs.iter().all(|run| run.expires_at <= now))
            .count();
        eras.drain(..n_old).flat_map(|era| era.runs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_knows_what_it_holds_and_little_else() {
        let mut filter = Filter::new(10_000);
        let key = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (i << 40);
        for i in 0..10_000 {
            filter.insert(key(i));
        }
        assert!((0..10_000).all(|i| filter.may_hold(key(i))));
        let strangers = (10_000..110_000).filter(|i| filter.may_hold(key(*i))).count();
        assert!(strangers < 50, "{strangers} of 100,000 strangers got through");
    }

    #[test]
    fn a_generation_is_closed_when_it_is_full_and_found_until_it_is_written() {
        let mut keys = RecentKeys::new(Position(1));
        let seen = |n: u64| Seen {
            id: EventId(uuid::Uuid::from_u128(n.into())),
            position: Position(n),
            received_at: Timestamp::from_millis(0),
        };
        let key = |n: u64| DedupeKey(u128::from(n).to_be_bytes());
        for n in 1..=GENERATION_KEYS as u64 {
            keys.insert(key(n), seen(n), Timestamp::from_millis(5));
        }
        let next = Position(GENERATION_KEYS as u64 + 1);
        let generation = keys.committed(next, 1).unwrap();
        assert_eq!(generation.run.last, Position(GENERATION_KEYS as u64));
        assert_eq!(keys.get(key(7)), Some(seen(7)));
        generation.set_written();
        assert!(keys.committed(next.next(), 1).is_none());
        assert_eq!(keys.get(key(7)), None);
    }

    #[test]
    fn expired_runs_are_no_candidates() {
        let runs = Runs::default();
        // Prefixes of hashes: their first bits differ.
        let (known, stranger) = (0x2a2a_2a2a_2a2a_2a2a, 0x9e37_79b9_7f4a_7c15);
        let run =
            KeyRun { first: Position(1), last: Position(2), expires_at: Timestamp::from_millis(9) };
        runs.add(run, &[(known, Position(1))]);
        assert_eq!(runs.candidates(known, Timestamp::from_millis(8)), [run]);
        assert!(runs.candidates(known, Timestamp::from_millis(9)).is_empty());
        assert!(runs.candidates(stranger, Timestamp::from_millis(8)).is_empty());
    }
}
