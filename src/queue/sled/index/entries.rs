//! Subscriptions' places, and the deliveries that are entries of their own.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::PoisonError;

use super::counts::Counted;
use super::{Counts, Index, IndexError, handler_prefix, last_u64, split_handler};
use crate::clock::Timestamp;
use crate::event::{HandlerName, OrderKey, Position};
use crate::queue::codec::{Put, Take};
use crate::queue::record::{Change, Place, Places, State};

/// A delivery that left its cursor's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The segment of the newest record that says so.
    pub(crate) recorded_in: u64,
    pub(crate) change: Change,
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let mut value = Vec::new();
        value.put_u64(self.recorded_in);
        self.change.encode(Position(0), Timestamp::default(), &mut value);
        value
    }

    fn decode(value: &[u8]) -> Result<Self, IndexError> {
        let mut take = Take(value);
        let read = (|| {
            let recorded_in = take.u64()?;
            let change = Change::decode(Position(0), Timestamp::default(), &mut take)?;
            Some(Self { recorded_in, change })
        })();
        read.ok_or(IndexError::Bad)
    }
}

impl Index {
    /// Every subscription's place.
    pub(crate) fn places(&self) -> Result<Places, IndexError> {
        self.fence(|| {
            let mut places = Places::default();
            for item in &self.places {
                let (key, value) = item?;
                let name = std::str::from_utf8(&key).map_err(|_| IndexError::Bad)?;
                let handler = HandlerName::parse(name).map_err(|_| IndexError::Bad)?;
                let place = Place::from_bytes(&value).ok_or(IndexError::Bad)?;
                places.by_handler.insert(handler, place);
            }
            Ok(places)
        })
    }

    /// Sets one subscription's place.
    pub(crate) fn set_place(&self, handler: &HandlerName, place: &Place) -> Result<(), IndexError> {
        self.fence(|| Ok(self.places.insert(handler.as_str(), place.to_bytes()).map(|_| ())?))
    }

    /// Takes a checkpoint in: whoever is not in it was forgotten, with all entries.
    pub(crate) fn set_places(&self, places: &Places) -> Result<(), IndexError> {
        for handler in self.places()?.by_handler.keys() {
            if !places.by_handler.contains_key(handler) {
                self.forget(handler)?;
            }
        }
        for (handler, place) in &places.by_handler {
            self.set_place(handler, place)?;
        }
        Ok(())
    }

    fn forget(&self, handler: &HandlerName) -> Result<(), IndexError> {
        for position in self.positions(handler, Position(0)..=Position(u64::MAX))? {
            if let Some(entry) = self.entry(handler, position)? {
                self.remove_entry(handler, &entry)?;
            }
        }
        self.fence(|| {
            for item in self.settled.scan_prefix(handler_prefix(handler)).keys() {
                self.settled.remove(item?)?;
            }
            self.places.remove(handler.as_str())?;
            Ok(())
        })
    }

    /// Takes a change in that was recorded in `segment`.
    pub(crate) fn apply_change(
        &self,
        handler: &HandlerName,
        segment: u64,
        change: &Change,
    ) -> Result<(), IndexError> {
        // Nearly all deliveries end without having been an entry: that is not asked for each.
        let before = if self.may_have_entry(handler, change.position) {
            self.entry(handler, change.position)?
        } else {
            None
        };
        let after = change.state.is_entry().then(|| {
            // The error is in the history already, a dead letter's in its reason.
            let change = Change { attempt: None, ..change.clone() };
            Entry { recorded_in: segment, change }
        });
        match (before, after) {
            // A copy of its record: handlers that look meanwhile must not miss the entry.
            (Some(before), Some(after)) if before.change == after.change => {
                self.pin_entry(handler, before.recorded_in, &after)
            }
            (before, after) => {
                if let Some(before) = before {
                    self.remove_entry(handler, &before)?;
                }
                after.map_or(Ok(()), |after| self.insert_entry(handler, &after))
            }
        }
    }

    /// Notes that the newest record of an entry is elsewhere; all else of it stays in place. A
    /// crash at any point is made good by applying it once more: the entry is written last.
    fn pin_entry(
        &self,
        handler: &HandlerName,
        recorded_before: u64,
        entry: &Entry,
    ) -> Result<(), IndexError> {
        let position = entry.change.position;
        self.fence(|| {
            self.pins.insert(pin_key(entry.recorded_in, position, handler), &[])?;
            if recorded_before != entry.recorded_in {
                self.pins.remove(pin_key(recorded_before, position, handler))?;
            }
            self.entries.insert(entry_key(handler, position), entry.encode())?;
            Ok(())
        })
    }

    fn insert_entry(&self, handler: &HandlerName, entry: &Entry) -> Result<(), IndexError> {
        let position = entry.change.position;
        let state = &entry.change.state;
        self.fence(|| {
            self.entries.insert(entry_key(handler, position), entry.encode())?;
            self.pins.insert(pin_key(entry.recorded_in, position, handler), &[])?;
            if let State::Retry { due, .. } = state {
                self.due.insert(due_key(handler, *due, position), &[])?;
            }
            if let Some(order_key) = state.order_key() {
                self.lines.insert(line_key(handler, order_key, position), &[])?;
            }
            Ok(())
        })?;
        self.counted(handler, |counted| counted.add(position, state));
        Ok(())
    }

    fn remove_entry(&self, handler: &HandlerName, entry: &Entry) -> Result<(), IndexError> {
        let position = entry.change.position;
        let state = &entry.change.state;
        self.fence(|| {
            self.entries.remove(entry_key(handler, position))?;
            self.pins.remove(pin_key(entry.recorded_in, position, handler))?;
            if let State::Retry { due, .. } = state {
                self.due.remove(due_key(handler, *due, position))?;
            }
            if let Some(order_key) = state.order_key() {
                self.lines.remove(line_key(handler, order_key, position))?;
            }
            Ok(())
        })?;
        self.counted(handler, |counted| counted.remove(state));
        Ok(())
    }

    fn counted(&self, handler: &HandlerName, change: impl FnOnce(&mut Counted)) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(counts.entry(handler.clone()).or_default());
    }

    /// Counts all entries anew.
    pub(super) fn count_entries(&self) -> Result<(), IndexError> {
        let mut counts: HashMap<HandlerName, Counted> = HashMap::new();
        for item in &self.entries {
            let (key, value) = item?;
            let (handler, _) = split_handler(&key).ok_or(IndexError::Bad)?;
            let position = last_u64(&key).map(Position).ok_or(IndexError::Bad)?;
            let entry = Entry::decode(&value)?;
            counts.entry(handler).or_default().add(position, &entry.change.state);
        }
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        Ok(())
    }

    /// How many entries a handler has.
    pub(crate) fn counts(&self, handler: &HandlerName) -> Counts {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(handler).map(|counted| counted.counts).unwrap_or_default()
    }

    /// `false` = the handler has no entry of this position, found out without asking sled.
    fn may_have_entry(&self, handler: &HandlerName, position: Position) -> bool {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(handler).is_some_and(|counted| counted.may_hold(position))
    }

    /// One entry.
    pub(crate) fn entry(
        &self,
        handler: &HandlerName,
        position: Position,
    ) -> Result<Option<Entry>, IndexError> {
        self.fence(|| {
            let value = self.entries.get(entry_key(handler, position))?;
            value.map(|value| Entry::decode(&value)).transpose()
        })
    }

    /// The positions of a handler's entries.
    pub(crate) fn positions(
        &self,
        handler: &HandlerName,
        range: std::ops::RangeInclusive<Position>,
    ) -> Result<Vec<Position>, IndexError> {
        self.fence(|| {
            let range = entry_key(handler, *range.start())..=entry_key(handler, *range.end());
            let keys = self.entries.range(range).keys();
            keys.map(|key| last_u64(&key?).map(Position).ok_or(IndexError::Bad)).collect()
        })
    }

    /// The first positions of a handler's entries.
    pub(crate) fn first_positions(
        &self,
        handler: &HandlerName,
        limit: usize,
    ) -> Result<Vec<Position>, IndexError> {
        self.fence(|| {
            let keys = self.entries.scan_prefix(handler_prefix(handler)).keys().take(limit);
            keys.map(|key| last_u64(&key?).map(Position).ok_or(IndexError::Bad)).collect()
        })
    }

    /// Up to `limit` retries, by due time, behind `after`.
    pub(crate) fn due(
        &self,
        handler: &HandlerName,
        after: Option<(Timestamp, Position)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, Position)>, IndexError> {
        let mut found = Vec::new();
        self.visit_due(handler, after, |due, position| {
            found.push((due, position));
            found.len() < limit
        })?;
        Ok(found)
    }

    /// Shows retries by due time, behind `after`, until `visit` says stop (`false`).
    pub(crate) fn visit_due(
        &self,
        handler: &HandlerName,
        after: Option<(Timestamp, Position)>,
        mut visit: impl FnMut(Timestamp, Position) -> bool,
    ) -> Result<(), IndexError> {
        self.fence(|| {
            let prefix = handler_prefix(handler);
            let start = match after {
                None => Bound::Included(prefix.clone()),
                Some((due, position)) => Bound::Excluded(due_key(handler, due, position)),
            };
            let mut end = prefix.clone();
            end.put_raw(&[0xff; 17]);
            for key in self.due.range((start, Bound::Included(end))).keys() {
                let key = key?;
                let rest = key.get(prefix.len()..).ok_or(IndexError::Bad)?;
                let due = rest.first_chunk::<8>().ok_or(IndexError::Bad)?;
                let position = last_u64(rest).ok_or(IndexError::Bad)?;
                if !visit(from_sortable(*due), Position(position)) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The first position in the line of a key that `is_it`.
    pub(crate) fn first_in_line(
        &self,
        handler: &HandlerName,
        order_key: OrderKey,
        is_it: impl Fn(&Position) -> bool,
    ) -> Result<Option<Position>, IndexError> {
        self.fence(|| {
            let mut prefix = handler_prefix(handler);
            prefix.put_raw(&order_key.0);
            for key in self.lines.scan_prefix(prefix).keys() {
                let position = last_u64(&key?).map(Position).ok_or(IndexError::Bad)?;
                if is_it(&position) {
                    return Ok(Some(position));
                }
            }
            Ok(None)
        })
    }

    /// The first position of every line of a handler.
    pub(crate) fn line_heads(&self, handler: &HandlerName) -> Result<Vec<Position>, IndexError> {
        self.fence(|| {
            let prefix = handler_prefix(handler);
            let mut heads = Vec::new();
            let mut before: Option<Vec<u8>> = None;
            for key in self.lines.scan_prefix(&prefix).keys() {
                let key = key?;
                let line = key.get(..prefix.len() + 16).ok_or(IndexError::Bad)?;
                if before.as_deref() != Some(line) {
                    heads.push(Position(last_u64(&key).ok_or(IndexError::Bad)?));
                    before = Some(line.to_vec());
                }
            }
            Ok(heads)
        })
    }

    /// Entries whose newest record is in `segment`.
    pub(crate) fn pinned_in(
        &self,
        segment: u64,
    ) -> Result<Vec<(Position, HandlerName)>, IndexError> {
        self.fence(|| {
            let keys = self.pins.scan_prefix(segment.to_be_bytes()).keys();
            keys.map(|key| {
                let key = key?;
                let position = key.get(8..16).and_then(last_u64).ok_or(IndexError::Bad)?;
                let name = key.get(16..).and_then(|name| std::str::from_utf8(name).ok());
                let handler = name.and_then(|name| HandlerName::parse(name).ok());
                Ok((Position(position), handler.ok_or(IndexError::Bad)?))
            })
            .collect()
        })
    }
}

fn entry_key(handler: &HandlerName, position: Position) -> Vec<u8> {
    let mut key = handler_prefix(handler);
    key.put_raw(&position.0.to_be_bytes());
    key
}

fn due_key(handler: &HandlerName, due: Timestamp, position: Position) -> Vec<u8> {
    let mut key = handler_prefix(handler);
    key.put_raw(&sortable(due));
    key.put_raw(&position.0.to_be_bytes());
    key
}

fn line_key(handler: &HandlerName, order_key: OrderKey, position: Position) -> Vec<u8> {
    let mut key = handler_prefix(handler);
    key.put_raw(&order_key.0);
    key.put_raw(&position.0.to_be_bytes());
    key
}

fn pin_key(segment: u64, position: Position, handler: &HandlerName) -> Vec<u8> {
    let mut key = segment.to_be_bytes().to_vec();
    key.put_raw(&position.0.to_be_bytes());
    key.put_raw(handler.as_str().as_bytes());
    key
}

/// A signed time so that its bytes sort as it does.
fn sortable(time: Timestamp) -> [u8; 8] {
    (time.as_millis().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn from_sortable(bytes: [u8; 8]) -> Timestamp {
    Timestamp::from_millis((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}
