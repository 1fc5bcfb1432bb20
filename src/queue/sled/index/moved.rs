//! Where events were copied forward to, out of segments that went.

use std::sync::atomic::Ordering;

use super::{Index, IndexError, last_u64, put_location, take_location};
use crate::event::Position;
use crate::queue::codec::{Put, Take};
use crate::queue::journal::Location;

impl Index {
    /// Where an event was copied forward to.
    pub(crate) fn moved(&self, position: Position) -> Result<Option<Location>, IndexError> {
        Ok(self.moved_and_size(position)?.map(|(at, _)| at))
    }

    fn moved_and_size(&self, position: Position) -> Result<Option<(Location, u64)>, IndexError> {
        self.fence(|| {
            let Some(value) = self.moved.get(position.0.to_be_bytes())? else { return Ok(None) };
            read_moved(&value).map(Some)
        })
    }

    /// Remembers that an event was copied forward.
    pub(crate) fn set_moved(
        &self,
        position: Position,
        at: Location,
        n_bytes: u64,
    ) -> Result<(), IndexError> {
        let before = self.moved_and_size(position)?;
        let mut value = Vec::new();
        put_location(at, &mut value);
        value.put_varint(n_bytes);
        self.fence(|| {
            self.moved_in.insert(moved_in_key(at.segment, position), &[])?;
            if let Some((before, _)) = before.filter(|(before, _)| before.segment != at.segment) {
                self.moved_in.remove(moved_in_key(before.segment, position))?;
            }
            // In place of an older copy: whoever looks for the event meanwhile finds one of them.
            self.moved.insert(position.0.to_be_bytes(), value)?;
            Ok(())
        })?;
        self.moved_bytes.fetch_add(n_bytes, Ordering::AcqRel);
        let n_bytes_before = before.map_or(0, |(_, n_bytes)| n_bytes);
        self.moved_bytes.fetch_sub(n_bytes_before, Ordering::AcqRel);
        Ok(())
    }

    fn forget_moved(&self, position: Position) -> Result<(), IndexError> {
        let Some((before, n_bytes)) = self.moved_and_size(position)? else { return Ok(()) };
        self.fence(|| {
            self.moved.remove(position.0.to_be_bytes())?;
            self.moved_in.remove(moved_in_key(before.segment, position))?;
            Ok(())
        })?;
        self.moved_bytes.fetch_sub(n_bytes, Ordering::AcqRel);
        Ok(())
    }

    /// The events from `first` to before `end` that were copied forward, in order.
    pub(crate) fn moved_in_range(
        &self,
        first: Position,
        end: Position,
    ) -> Result<Vec<Position>, IndexError> {
        if first >= end {
            return Ok(Vec::new());
        }
        self.fence(|| {
            let keys = self.moved.range(first.0.to_be_bytes()..end.0.to_be_bytes()).keys();
            keys.map(|key| last_u64(&key?).map(Position).ok_or(IndexError::Bad)).collect()
        })
    }

    /// How large the events that were copied forward are together.
    pub(crate) fn moved_bytes(&self) -> u64 {
        self.moved_bytes.load(Ordering::Acquire)
    }

    /// Counts anew what was copied forward.
    pub(super) fn count_moved(&self) -> Result<(), IndexError> {
        let mut n_bytes = 0_u64;
        for value in self.moved.iter().values() {
            n_bytes = n_bytes.saturating_add(read_moved(&value?)?.1);
        }
        self.moved_bytes.store(n_bytes, Ordering::Release);
        Ok(())
    }

    /// The events that were copied forward into `segment`.
    pub(crate) fn moved_into(&self, segment: u64) -> Result<Vec<Position>, IndexError> {
        self.fence(|| {
            let keys = self.moved_in.scan_prefix(segment.to_be_bytes()).keys();
            keys.map(|key| last_u64(&key?).map(Position).ok_or(IndexError::Bad)).collect()
        })
    }

    /// Forgets the copies that stood in a segment that is gone.
    pub(crate) fn forget_moved_in(&self, segment: u64) -> Result<(), IndexError> {
        for position in self.moved_into(segment)? {
            self.forget_moved(position)?;
        }
        Ok(())
    }
}

fn read_moved(value: &[u8]) -> Result<(Location, u64), IndexError> {
    let mut take = Take(value);
    let read = (|| Some((take_location(&mut take)?, take.varint()?)))();
    read.ok_or(IndexError::Bad)
}

fn moved_in_key(segment: u64, position: Position) -> Vec<u8> {
    let mut key = segment.to_be_bytes().to_vec();
    key.put_raw(&position.0.to_be_bytes());
    key
}
