//! Dedupe keys that outlive their events, version 1: varint count, then per key the position as a
//! varint difference to the one before, received at and window as varints, 16 bytes of key and 16
//! of id.

use std::time::Duration;

use uuid::Uuid;

use super::super::codec::{Put, Take};
use crate::clock::Timestamp;
use crate::event::{DedupeKey, EventId, Position};

/// One remembered key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    pub(crate) position: Position,
    pub(crate) key: DedupeKey,
    pub(crate) id: EventId,
    pub(crate) received_at: Timestamp,
    pub(crate) window: Duration,
}

impl KeyEntry {
    /// When the key stops making duplicates.
    pub(crate) fn expires_at(&self) -> Timestamp {
        self.received_at.after(self.window)
    }
}

/// Keys in ascending order of their positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys(pub(crate) Vec<KeyEntry>);

impl Keys {
    /// How many keys one record holds at most: so that looking one up reads some 80 KiB.
    pub(crate) const PER_RECORD: usize = 2_048;

    pub(crate) fn encode(entries: &[KeyEntry], out: &mut Vec<u8>) {
        out.put_varint(entries.len() as u64);
        let mut before = Position(0);
        let mut received_before = 0;
        for entry in entries {
            out.put_varint(entry.position.0.saturating_sub(before.0));
            let received = entry.received_at.as_millis();
            out.put_signed(received.saturating_sub(received_before));
            out.put_varint(u64::try_from(entry.window.as_millis()).unwrap_or(u64::MAX));
            out.put_raw(&entry.key.0);
            out.put_raw(entry.id.0.as_bytes());
            before = entry.position;
            received_before = received;
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut take = Take(payload);
        let n_entries = take.varint()?;
        let mut entries = Vec::new();
        let mut position = 0_u64;
        let mut received = 0_i64;
        for _ in 0..n_entries {
            position = position.checked_add(take.varint()?)?;
            received = received.checked_add(take.signed()?)?;
            let window = Duration::from_millis(take.varint()?);
            let key = DedupeKey(take.array()?);
            let id = EventId(Uuid::from_bytes(take.array()?));
            let received_at = Timestamp::from_millis(received);
            entries.push(KeyEntry { position: Position(position), key, id, received_at, window });
        }
        Some(Self(entries))
    }
}
