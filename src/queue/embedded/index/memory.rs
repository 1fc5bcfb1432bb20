//! The index in memory, for queues that keep no files and for the simulation.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use super::store::{Direction, Pair, Store, StoreError, Table, Write};
use crate::sync::lock;

/// All tables, one behind the other.
type Pairs = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// A store whose content goes with it.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore(Mutex<Pairs>);

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Pairs> {
        lock(&self.0)
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().get(&(table, key.to_vec())).cloned())
    }

    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut pairs = self.lock();
        for write in writes {
            match write {
                Write::Put { table, key, value } => drop(pairs.insert((table, key), value)),
                Write::Delete { table, key } => drop(pairs.remove(&(table, key))),
            }
        }
        Ok(())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let pairs = self.lock();
        let range = pairs.range((table, from.to_vec())..(table, to.to_vec()));
        let own = |((_, key), value): (&(Table, Vec<u8>), &Vec<u8>)| (key.clone(), value.clone());
        Ok(match direction {
            Direction::Forward => range.take(limit).map(own).collect(),
            Direction::Backward => range.rev().take(limit).map(own).collect(),
        })
    }

    fn bytes(&self) -> u64 {
        let pairs = self.lock();
        pairs.iter().map(|((_, key), value)| (key.len() + value.len()) as u64).sum()
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.lock().clear();
        Ok(())
    }

    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
