//! Where events stand in their segments: tables of offsets, a bounded number of them in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::event::Position;
use crate::sync::lock;

/// From one entry of a table to the next.
pub(super) const TABLE_STEP_BYTES: u32 = 64 << 10;
/// Tables that stay in memory, each some 4 KiB.
const TABLES_MAX: usize = 512;

/// Ascending pairs of a position and where its event begins.
pub(super) type OffsetTable = Vec<(Position, u32)>;

/// The tables that are in memory.
#[derive(Debug, Default)]
pub(super) struct OffsetTables {
    /// That of the segment that is written, which grows.
    live: Mutex<(u32, OffsetTable)>,
    sealed: Mutex<Sealed>,
}

#[derive(Debug, Default)]
struct Sealed {
    /// Each with when it was last used.
    tables: BTreeMap<u32, (Arc<OffsetTable>, u64)>,
    n_uses: u64,
}

impl OffsetTables {
    /// Begins the table of the live segment; gives that of the one before.
    pub(super) fn begin_live(&self, number: u32, table: OffsetTable) -> OffsetTable {
        let mut live = lock(&self.live);
        std::mem::replace(&mut *live, (number, table)).1
    }

    /// Adds an event of the live segment, where the last entry is far enough away.
    pub(super) fn note(&self, position: Position, offset: u32) {
        let mut live = lock(&self.live);
        push_entry(&mut live.1, position, offset);
    }

    pub(super) fn live(&self) -> OffsetTable {
        lock(&self.live).1.clone()
    }

    /// Where to begin in a segment to come to `position`; `None` = its table is not in memory.
    pub(super) fn offset_before(&self, number: u32, position: Position) -> Option<u32> {
        let live = lock(&self.live);
        if live.0 == number {
            return Some(last_before(&live.1, position));
        }
        drop(live);
        let mut sealed = lock(&self.sealed);
        sealed.n_uses += 1;
        let now = sealed.n_uses;
        let (table, used) = sealed.tables.get_mut(&number)?;
        *used = now;
        Some(last_before(table, position))
    }

    pub(super) fn insert(&self, number: u32, table: OffsetTable) {
        let mut sealed = lock(&self.sealed);
        sealed.n_uses += 1;
        let now = sealed.n_uses;
        sealed.tables.insert(number, (Arc::new(table), now));
        if sealed.tables.len() > TABLES_MAX {
            let oldest = sealed.tables.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(number, _)| *number) {
                sealed.tables.remove(&oldest);
            }
        }
    }

    pub(super) fn forget(&self, number: u32) {
        lock(&self.sealed).tables.remove(&number);
    }
}

pub(super) fn push_entry(table: &mut OffsetTable, position: Position, offset: u32) {
    let is_far = |(_, last): &(_, u32)| (*last..offset).len() >= TABLE_STEP_BYTES as usize;
    if table.last().is_none_or(is_far) {
        table.push((position, offset));
    }
}

pub(super) fn last_before(table: &OffsetTable, position: Position) -> u32 {
    let behind = table.partition_point(|(at, _)| *at <= position);
    behind.checked_sub(1).and_then(|index| table.get(index)).map_or(0, |(_, offset)| *offset)
}
