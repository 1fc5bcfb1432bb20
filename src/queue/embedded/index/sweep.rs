//! Takes facts about events that are gone out of the index.

use super::facts::SettledFact;
use super::keys::{position_key, position_of};
use super::store::{Direction, Pair, Store, StoreError, Table, Write};
use super::zone::Zone;
use crate::event::Position;
use crate::queue::embedded::kept::KeptLog;
use crate::queue::embedded::log::LogHead;

/// How many pairs are looked at in one step: about a millisecond in sled.
const PAIRS_PER_STEP: usize = 1_000;

const TABLES: [Table; 4] = [Table::Zones, Table::Settled, Table::Attempts, Table::Dead];

/// One walk over all facts about positions before the log's first one.
#[derive(Debug)]
pub(super) struct Sweep {
    head: LogHead,
    /// The index in `TABLES` of the one that is walked.
    table: usize,
    next_key: Vec<u8>,
}

impl Sweep {
    pub(super) fn new(head: LogHead) -> Self {
        Self { head, table: 0, next_key: Vec::new() }
    }

    /// The position before which it has swept once it is done.
    pub(super) fn first_position(&self) -> Position {
        self.head.first_position
    }

    /// A step of the walk; `true` = it is done.
    pub(super) fn step(&mut self, store: &dyn Store, kept: &KeptLog) -> Result<bool, StoreError> {
        let Some(table) = TABLES.get(self.table).copied() else { return Ok(true) };
        let end = position_key(self.head.first_position);
        let (from, forward) = (&self.next_key, Direction::Forward);
        let pairs = store.scan(table, from, &end, forward, PAIRS_PER_STEP)?;
        let mut writes = Vec::new();
        for pair in &pairs {
            if self.is_gone(table, pair, kept)? {
                writes.push(Write::Delete { table, key: pair.0.clone() });
            }
        }
        if pairs.len() < PAIRS_PER_STEP {
            self.table += 1;
            self.next_key.clear();
        } else if let Some((key, _)) = pairs.into_iter().next_back() {
            self.next_key = key;
            // The next key in order.
            self.next_key.push(0);
        }
        store.apply(writes)?;
        Ok(self.table >= TABLES.len())
    }

    fn is_gone(&self, table: Table, pair: &Pair, kept: &KeptLog) -> Result<bool, StoreError> {
        Ok(match table {
            Table::Zones => Zone::read(pair)?.last < self.head.first_position,
            // The record that it names is gone.
            Table::Settled => SettledFact::read(pair)?.lsn < self.head.first,
            Table::Attempts | Table::Dead => !kept.holds(position_of(&pair.0)?),
            Table::Meta => false,
        })
    }
}
