//! A record that was found in the log.

use std::ops::Range;

use bytes::Bytes;

use crate::event::{Dedupe, Event, Position};
use crate::queue::embedded::record::{
    HEADER_BYTES, Kind, Lsn, Record, SettleRecord, decode_event, position_of, torn_positions,
};
use crate::queue::names::Names;

/// A whole record and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) lsn: Lsn,
    /// Where the next record begins.
    pub(crate) end: Lsn,
    pub(crate) kind: Kind,
    pub(crate) payload: Bytes,
}

impl Found {
    /// How long it is.
    pub(crate) fn bytes(&self) -> u32 {
        self.end.bytes_since(self.lsn)
    }

    /// How much of its payload was left unread: its end.
    pub(crate) fn unread_bytes(&self) -> usize {
        (self.bytes() as usize).saturating_sub(HEADER_BYTES + self.payload.len())
    }

    /// Whether all of it is here, and was checked.
    pub(crate) fn is_whole(&self) -> bool {
        self.unread_bytes() == 0
    }

    /// How much was read for it.
    pub(crate) fn read_bytes(&self) -> u64 {
        (HEADER_BYTES + self.payload.len()) as u64
    }

    /// The position of an event, without decoding the rest; `None` for other kinds.
    pub(crate) fn position(&self) -> Option<Position> {
        if self.kind == Kind::Event { position_of(&self.payload) } else { None }
    }

    /// Positions that were given to events of a torn unit, which was never acknowledged: they are
    /// missing, and no loss. `None` for other kinds.
    pub(crate) fn torn_positions(&self) -> Option<Range<Position>> {
        if self.kind == Kind::Filler { torn_positions(&self.payload) } else { None }
    }

    /// Reads the payload. `None` = it makes no sense: skip it, `FileLog::note_undecodable`.
    pub(crate) fn decode(&self) -> Option<Record> {
        Record::decode(self.kind, &self.payload)
    }

    /// The same for outcomes, without what was said in tries that ended at once; `None` for other kinds.
    pub(crate) fn decode_settle(&self) -> Option<SettleRecord> {
        let is_settle = self.kind == Kind::Settle;
        if is_settle { SettleRecord::decode_without_said(&self.payload) } else { None }
    }

    /// The same for an event, sharing the names of the one before; `None` for other kinds.
    pub(crate) fn decode_event(&self, names: &mut Names) -> Option<(Event, Dedupe)> {
        if self.kind == Kind::Event { decode_event(&self.payload, names) } else { None }
    }
}
