//! Keys of requests whose answer cannot have arrived.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::{Clock, Timestamp};
use crate::event::{DedupeKey, EventId};
use crate::queue::storage::{OpenMode, Storage, if_there, read_part};

/// For how long such a key counts.
const WINDOW: Duration = Duration::from_mins(10);
/// The most keys, the oldest go first: some 10 MB.
const KEYS_MAX: usize = 131_072;

/// Keys of requests whose answer cannot have arrived, of sources that give no id: an equal request
/// is the sender's repeat, while after an answer it would be a new event. In memory, and from a close
/// to the next start in an [`UnansweredFile`]. Times are of the steady clock.
#[derive(Debug, Default)]
pub(crate) struct UnansweredKeys {
    events: BTreeMap<DedupeKey, (EventId, Timestamp)>,
    by_age: VecDeque<(Timestamp, DedupeKey)>,
}

impl UnansweredKeys {
    pub(crate) fn insert(&mut self, key: DedupeKey, id: EventId, now: Timestamp) {
        self.expire(now);
        self.events.insert(key, (id, now));
        self.by_age.push_back((now, key));
    }

    /// The event that a request with this key repeats.
    pub(crate) fn get(&self, key: DedupeKey, now: Timestamp) -> Option<EventId> {
        let (id, at) = self.events.get(&key)?;
        (now.since(*at) < WINDOW).then_some(*id)
    }

    /// An answer has arrived: the next equal request is a new event.
    pub(crate) fn remove(&mut self, key: DedupeKey) {
        self.events.remove(&key);
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.by_age.front().copied()
            && (self.by_age.len() >= KEYS_MAX || now.since(at) >= WINDOW)
        {
            self.by_age.pop_front();
            // A key that was inserted again since is in `by_age` a second time.
            if self.events.get(&key).is_some_and(|(_, inserted_at)| *inserted_at == at) {
                self.events.remove(&key);
            }
        }
    }
}

/// The keys that a closing queue leaves to the next one: a checksum of the rest, when it was closed,
/// and for each key itself, its event and how long it was there, all little-endian. Times are of
/// milliseconds, by the wall clock since no other goes on while nothing runs.
#[derive(Debug)]
pub(crate) struct UnansweredFile {
    storage: Arc<dyn Storage>,
    path: PathBuf,
}

/// What the file has for each key.
const ENTRY_BYTES: usize = 16 + 16 + 8;

impl UnansweredFile {
    pub(crate) fn new(storage: Arc<dyn Storage>, folder: &Path) -> Self {
        Self { storage, path: folder.join("state/unanswered") }
    }

    /// Leaves `keys`; nothing where none counts any more. Unsynced: a power cut may take it along,
    /// which brings a repeat as an event, and loses none.
    pub(crate) fn leave(&self, keys: &UnansweredKeys, clock: &dyn Clock) -> io::Result<()> {
        let now = clock.steady();
        let young = keys.events.iter().filter(|(_, (_, at))| now.since(*at) < WINDOW);
        let mut rest = clock.now().as_millis().to_le_bytes().to_vec();
        let n_before = rest.len();
        for (key, (id, at)) in young {
            rest.extend_from_slice(&key.0);
            rest.extend_from_slice(id.0.as_bytes());
            rest.extend_from_slice(&crate::clock::whole_millis(now.since(*at)).to_le_bytes());
        }
        if rest.len() == n_before {
            return Ok(());
        }
        let mut bytes = crc32c::crc32c(&rest).to_le_bytes().to_vec();
        bytes.append(&mut rest);
        self.storage.open(&self.path, OpenMode::Create)?.write_all_at(&bytes, 0)
    }

    /// Takes what was left, and the file with it: a repeat that comes meanwhile is answered, and
    /// after a kill the same key would swallow a new event. What cannot be read says nothing.
    pub(crate) fn take(&self, clock: &dyn Clock) -> UnansweredKeys {
        let mut keys = UnansweredKeys::default();
        let found = self.read();
        if !matches!(if_there(self.storage.remove(&self.path)), Ok(Some(()))) {
            return keys;
        }
        let Some((closed_at, entries)) = found else { return keys };
        let (stood, now) = (clock.now().since(closed_at), clock.steady());
        for entry in entries.as_chunks::<ENTRY_BYTES>().0 {
            let (key, rest) = entry.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
            let (id, rest) = rest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
            let millis = rest.first_chunk::<8>().map_or(u64::MAX, |age| u64::from_le_bytes(*age));
            let age = Duration::from_millis(millis).saturating_add(stood);
            if age < WINDOW {
                keys.insert(DedupeKey(*key), EventId(Uuid::from_bytes(*id)), now.before(age));
            }
        }
        keys
    }

    /// Whether it has anything and is not as it was written.
    pub(crate) fn is_damaged(&self) -> bool {
        self.storage.size(&self.path).is_ok_and(|size| size > 0) && self.read().is_none()
    }

    /// When the queue was closed, and the entries.
    fn read(&self) -> Option<(Timestamp, Vec<u8>)> {
        let size = usize::try_from(self.storage.size(&self.path).ok()?).ok()?;
        let most = KEYS_MAX * ENTRY_BYTES + 12;
        let bytes = read_part(self.storage.as_ref(), &self.path, 0, size.min(most)).ok()??;
        let (checksum, rest) = bytes.split_first_chunk::<4>()?;
        let (millis, entries) = rest.split_first_chunk::<8>()?;
        let is_whole = *checksum == crc32c::crc32c(rest).to_le_bytes();
        is_whole.then(|| (Timestamp::from_millis(i64::from_le_bytes(*millis)), entries.to_vec()))
    }
}
