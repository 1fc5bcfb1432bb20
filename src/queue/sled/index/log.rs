//! Finding events and their history in the journal.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Index, IndexError, handler_prefix, last_u64, put_location, take_location};
use crate::clock::Timestamp;
use crate::event::{Event, EventId, EventType, HandlerName, Position, SourceName};
use crate::queue::codec::{Put, Take};
use crate::queue::journal::Location;
use crate::queue::record::Change;

/// Where a run of events begins, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first: Position,
    /// The id of that event.
    pub(crate) first_id: EventId,
    pub(crate) at: Location,
    pub(crate) oldest: Timestamp,
    pub(crate) newest: Timestamp,
    /// `source:type` of its events; `None` = too many to say.
    pub(crate) types: Option<BTreeSet<String>>,
}

/// What the index is told of an event.
#[derive(Clone, Debug)]
pub(crate) struct Indexed {
    pub(crate) position: Position,
    pub(crate) id: EventId,
    pub(crate) received_at: Timestamp,
    pub(crate) source: SourceName,
    pub(crate) event_type: EventType,
}

impl Indexed {
    /// What the index keeps of an event.
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            position: event.position,
            id: event.id,
            received_at: event.received_at,
            source: event.source.clone(),
            event_type: event.event_type.clone(),
        }
    }
}

/// Collects a block.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    block: Option<Block>,
    n_events: usize,
    /// What was added last: most events are like the one before.
    last: Option<(SourceName, EventType)>,
}

impl BlockBuilder {
    /// How many events make a full block.
    const EVENTS: usize = 256;
    /// How many bytes of the journal do: so much is read to find one event.
    const BYTES: u32 = 256 << 10;
    /// How many different types a block names.
    const TYPES_MAX: usize = 32;

    /// Adds an event; `true` = the block is full.
    pub(crate) fn push(&mut self, event: &Indexed, at: Location) -> bool {
        let block = self.block.get_or_insert_with(|| Block {
            first: event.position,
            first_id: event.id,
            at,
            oldest: event.received_at,
            newest: event.received_at,
            types: Some(BTreeSet::new()),
        });
        block.oldest = block.oldest.min(event.received_at);
        block.newest = block.newest.max(event.received_at);
        let is_like_last = self.n_events > 0
            && self.last.as_ref().is_some_and(|(source, event_type)| {
                *source == event.source && *event_type == event.event_type
            });
        if let Some(types) = block.types.as_mut().filter(|_| !is_like_last) {
            types.insert(format!("{}:{}", event.source, event.event_type));
            if types.len() > Self::TYPES_MAX {
                block.types = None;
            }
            self.last = Some((event.source.clone(), event.event_type.clone()));
        }
        let n_bytes = at.offset.saturating_sub(block.at.offset);
        self.n_events += 1;
        self.n_events >= Self::EVENTS || n_bytes >= Self::BYTES || at.segment != block.at.segment
    }

    /// The block so far, and a new one begins.
    pub(crate) fn take(&mut self) -> Option<Block> {
        self.n_events = 0;
        self.block.take()
    }
}

/// A settle record that may hold a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SettledIn {
    pub(crate) at: Location,
    pub(crate) last: Position,
}

impl Index {
    /// Remembers a block.
    pub(crate) fn put_block(&self, block: &Block) -> Result<(), IndexError> {
        let mut value = Vec::new();
        put_location(block.at, &mut value);
        value.put_raw(block.first_id.0.as_bytes());
        value.put_signed(block.oldest.as_millis());
        value.put_signed(block.newest.as_millis());
        if let Some(types) = &block.types {
            for name in types {
                value.put_bytes(name.as_bytes());
            }
        }
        self.fence(|| Ok(self.blocks.insert(block.first.0.to_be_bytes(), value).map(|_| ())?))
    }

    /// The block that `position` is in, if it begins at or before it.
    pub(crate) fn block_of(&self, position: Position) -> Result<Option<Block>, IndexError> {
        self.fence(|| {
            let mut found = self.blocks.range(..=position.0.to_be_bytes()).rev();
            found.next().map(|item| read_block(item?)).transpose()
        })
    }

    /// The block behind `position`'s own.
    pub(crate) fn block_after(&self, position: Position) -> Result<Option<Block>, IndexError> {
        self.fence(|| {
            let mut found = self.blocks.range(position.next().0.to_be_bytes()..);
            found.next().map(|item| read_block(item?)).transpose()
        })
    }

    /// Adds a try to a delivery's history.
    pub(crate) fn add_attempt(
        &self,
        handler: &HandlerName,
        at: Timestamp,
        change: &Change,
    ) -> Result<(), IndexError> {
        let mut key = change.position.0.to_be_bytes().to_vec();
        key.extend_from_slice(&handler_prefix(handler));
        key.put_raw(&change.attempts.to_be_bytes());
        // A redriven delivery begins at attempt 1 again: the time keeps both. The try's own time,
        // so that a copy of its record says nothing new.
        let began_at = change.attempt.as_ref().map_or(at, |attempt| attempt.started_at);
        key.put_raw(&began_at.as_millis().to_be_bytes());
        let mut value = Vec::new();
        value.put_signed(at.as_millis());
        change.encode(Position(0), at, &mut value);
        self.fence(|| {
            // What was no try must not take the place of one at the same time.
            if change.attempt.is_some() || self.attempts.get(&key)?.is_none() {
                self.attempts.insert(key, value)?;
            }
            Ok(())
        })
    }

    /// The tries of one event that are kept one by one, oldest first, with when each began (what
    /// was no try: when it was recorded).
    pub(crate) fn attempts(
        &self,
        handler: &HandlerName,
        position: Position,
    ) -> Result<Vec<(Timestamp, Change)>, IndexError> {
        let mut prefix = position.0.to_be_bytes().to_vec();
        prefix.extend_from_slice(&handler_prefix(handler));
        self.fence(|| {
            let values = self.attempts.scan_prefix(prefix).values();
            let read = values.map(|value| {
                let value = value?;
                let mut take = Take(&value);
                let at = take.signed().map(Timestamp::from_millis).ok_or(IndexError::Bad)?;
                let change = Change::decode(Position(0), at, &mut take).ok_or(IndexError::Bad)?;
                let began_at = change.attempt.as_ref().map_or(at, |attempt| attempt.started_at);
                Ok((began_at, change))
            });
            let mut tries = read.collect::<Result<Vec<_>, IndexError>>()?;
            // A redriven delivery begins at 1 again. The sort is stable: a standing clock leaves
            // the order of their numbers.
            tries.sort_by_key(|(began_at, _)| *began_at);
            Ok(tries)
        })
    }

    /// Remembers which positions a settle record holds.
    pub(crate) fn put_settled(
        &self,
        handler: &HandlerName,
        first: Position,
        settled: SettledIn,
    ) -> Result<(), IndexError> {
        let mut key = handler_prefix(handler);
        key.put_raw(&first.0.to_be_bytes());
        // A replayed delivery ends once more: each has a record.
        key.put_raw(&settled.at.segment.to_be_bytes());
        key.put_raw(&settled.at.offset.to_be_bytes());
        let mut value = Vec::new();
        put_location(settled.at, &mut value);
        value.put_varint(settled.last.0);
        self.fence(|| Ok(self.settled.insert(key, value).map(|_| ())?))
    }

    /// The settle records that may hold `position`, newest positions first, no further back than
    /// `oldest_first`.
    pub(crate) fn settled_near(
        &self,
        handler: &HandlerName,
        position: Position,
        oldest_first: Position,
    ) -> Result<Vec<SettledIn>, IndexError> {
        let key = |position: Position| {
            let mut key = handler_prefix(handler);
            key.put_raw(&position.0.to_be_bytes());
            key
        };
        self.fence(|| {
            let mut found = Vec::new();
            for item in self.settled.range(key(oldest_first)..key(position.next())).rev() {
                let (_, value) = item?;
                let mut take = Take(&value);
                let read = (|| {
                    let at = take_location(&mut take)?;
                    Some(SettledIn { at, last: Position(take.varint()?) })
                })();
                let settled = read.ok_or(IndexError::Bad)?;
                if settled.last >= position {
                    found.push(settled);
                }
            }
            Ok(found)
        })
    }

    /// Forgets what led to events before `first` and to records in segments before `segment`.
    pub(crate) fn forget_before(
        &self,
        first: Position,
        segment: u64,
        handlers: &[HandlerName],
    ) -> Result<(), IndexError> {
        self.fence(|| {
            // The block that `first` is in may begin before it.
            let begin = self.blocks.range(..=first.0.to_be_bytes()).next_back().transpose()?;
            let end = begin.map_or_else(|| first.0.to_be_bytes().to_vec(), |(key, _)| key.to_vec());
            for key in self.blocks.range(..end).keys() {
                self.blocks.remove(key?)?;
            }
            for key in self.attempts.range(..first.0.to_be_bytes().to_vec()).keys() {
                let key = key?;
                let position = key.first_chunk::<8>().ok_or(IndexError::Bad)?;
                if self.moved.get(position)?.is_none() {
                    self.attempts.remove(key)?;
                }
            }
            for handler in handlers {
                let prefix = handler_prefix(handler);
                let mut end = prefix.clone();
                end.put_raw(&first.0.to_be_bytes());
                for item in self.settled.range(prefix..end) {
                    let (key, value) = item?;
                    let at = take_location(&mut Take(&value)).ok_or(IndexError::Bad)?;
                    if at.segment < segment {
                        self.settled.remove(key)?;
                    }
                }
            }
            Ok(())
        })
    }
}

fn read_block((key, value): (sled::IVec, sled::IVec)) -> Result<Block, IndexError> {
    let mut take = Take(&value);
    let read = (|| {
        let first = Position(last_u64(&key)?);
        let at = take_location(&mut take)?;
        let first_id = EventId(Uuid::from_bytes(take.array()?));
        let oldest = Timestamp::from_millis(take.signed()?);
        let newest = Timestamp::from_millis(take.signed()?);
        let mut types = BTreeSet::new();
        while !take.0.is_empty() {
            types.insert(take.text()?.to_owned());
        }
        let types = (!types.is_empty()).then_some(types);
        Some(Block { first, first_id, at, oldest, newest, types })
    })();
    read.ok_or(IndexError::Bad)
}
