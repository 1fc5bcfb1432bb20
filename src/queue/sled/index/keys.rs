//! Dedupe keys of older events: runs of sorted 8-byte prefixes. The prefix only finds candidates;
//! the whole key is compared with the event itself, or with the key record that outlives it.

use super::{Index, IndexError, last_u64, put_location, take_location};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::queue::codec::{Put, Take};
use crate::queue::journal::Location;

/// How many keys a page holds: some 4 KiB.
const PAGE_KEYS: usize = 256;

/// A key's first 8 bytes (as a big-endian number) and its event.
pub(crate) type PageKey = (u64, Position);

/// A run of keys, named by the first position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyRun {
    pub(crate) first: Position,
    pub(crate) last: Position,
    /// When the last of its keys stops making duplicates.
    pub(crate) expires_at: Timestamp,
}

/// A record in the journal that keeps the keys of a segment that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) at: Location,
}

impl Index {
    /// Stores a run; `keys` are sorted. A shorter one that begins with the same event is replaced,
    /// a longer one has all of it: pages of two runs must not stand among each other.
    pub(crate) fn put_key_run(&self, run: KeyRun, keys: &[PageKey]) -> Result<(), IndexError> {
        let known = self.key_runs()?.into_iter().find(|known| known.first == run.first);
        if known.is_some_and(|known| known.last > run.last) {
            return Ok(());
        }
        self.fence(|| {
            for key in self.keys.scan_prefix(run.first.0.to_be_bytes()).keys() {
                self.keys.remove(key?)?;
            }
            for page in keys.chunks(PAGE_KEYS) {
                let Some((first, _)) = page.first() else { continue };
                let mut key = run.first.0.to_be_bytes().to_vec();
                key.put_raw(&first.to_be_bytes());
                let mut value = Vec::with_capacity(page.len() * 12);
                for (prefix, position) in page {
                    value.put_raw(&prefix.to_be_bytes());
                    value.put_varint(position.0.saturating_sub(run.first.0));
                }
                self.keys.insert(key, value)?;
            }
            let mut value = Vec::new();
            value.put_varint(run.last.0);
            value.put_signed(run.expires_at.as_millis());
            self.key_runs.insert(run.first.0.to_be_bytes(), value)?;
            Ok(())
        })
    }

    /// All runs, oldest first.
    pub(crate) fn key_runs(&self) -> Result<Vec<KeyRun>, IndexError> {
        self.fence(|| {
            let items = self.key_runs.iter();
            items
                .map(|item| {
                    let (key, value) = item?;
                    let mut take = Take(&value);
                    let read = (|| {
                        let first = Position(last_u64(&key)?);
                        let last = Position(take.varint()?);
                        let expires_at = Timestamp::from_millis(take.signed()?);
                        Some(KeyRun { first, last, expires_at })
                    })();
                    read.ok_or(IndexError::Bad)
                })
                .collect()
        })
    }

    /// Every key of a run.
    pub(crate) fn keys_of(&self, run: Position) -> Result<Vec<PageKey>, IndexError> {
        self.fence(|| {
            let mut keys = Vec::new();
            for value in self.keys.scan_prefix(run.0.to_be_bytes()).values() {
                read_page(run, &value?, &mut keys)?;
            }
            Ok(keys)
        })
    }

    /// The events of a run whose keys begin with `prefix`.
    pub(crate) fn find_key(&self, run: Position, prefix: u64) -> Result<Vec<Position>, IndexError> {
        self.fence(|| {
            let mut end = run.0.to_be_bytes().to_vec();
            end.put_raw(&prefix.to_be_bytes());
            let mut keys = Vec::new();
            // Equal prefixes may begin on the page before.
            for item in self.keys.range(run.0.to_be_bytes().to_vec()..=end).rev().take(2) {
                read_page(run, &item?.1, &mut keys)?;
            }
            keys.retain(|(found, _)| *found == prefix);
            Ok(keys.into_iter().map(|(_, position)| position).collect())
        })
    }

    /// Removes a run.
    pub(crate) fn remove_key_run(&self, run: Position) -> Result<(), IndexError> {
        self.fence(|| {
            for key in self.keys.scan_prefix(run.0.to_be_bytes()).keys() {
                self.keys.remove(key?)?;
            }
            self.key_runs.remove(run.0.to_be_bytes())?;
            Ok(())
        })
    }

    /// Remembers where the keys of events that are gone are kept.
    pub(crate) fn put_key_record(&self, record: KeyRecord) -> Result<(), IndexError> {
        let mut value = Vec::new();
        value.put_varint(record.last.0);
        put_location(record.at, &mut value);
        self.fence(|| {
            self.key_records.insert(record.first.0.to_be_bytes(), value)?;
            Ok(())
        })
    }

    /// All key records, by position.
    pub(crate) fn key_records(&self) -> Result<Vec<KeyRecord>, IndexError> {
        self.fence(|| self.key_records.iter().map(|item| read_record(item?)).collect())
    }

    /// The key record that may hold `position`.
    pub(crate) fn key_record_of(
        &self,
        position: Position,
    ) -> Result<Option<KeyRecord>, IndexError> {
        self.fence(|| {
            let mut found = self.key_records.range(..=position.0.to_be_bytes()).rev();
            let record = found.next().map(|item| read_record(item?)).transpose()?;
            Ok(record.filter(|record| record.last >= position))
        })
    }

    /// Forgets a key record.
    pub(crate) fn remove_key_record(&self, first: Position) -> Result<(), IndexError> {
        self.fence(|| Ok(self.key_records.remove(first.0.to_be_bytes()).map(|_| ())?))
    }
}

fn read_page(run: Position, value: &[u8], keys: &mut Vec<PageKey>) -> Result<(), IndexError> {
    let mut take = Take(value);
    while !take.0.is_empty() {
        let prefix = take.array().map(u64::from_be_bytes).ok_or(IndexError::Bad)?;
        let position = take.varint().ok_or(IndexError::Bad)?;
        keys.push((prefix, Position(run.0.saturating_add(position))));
    }
    Ok(())
}

fn read_record((key, value): (sled::IVec, sled::IVec)) -> Result<KeyRecord, IndexError> {
    let mut take = Take(&value);
    let read = (|| {
        let first = Position(last_u64(&key)?);
        let last = Position(take.varint()?);
        Some(KeyRecord { first, last, at: take_location(&mut take)? })
    })();
    read.ok_or(IndexError::Bad)
}
