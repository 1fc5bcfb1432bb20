//! A store that answers what it likes.

use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::queue::embedded::index::{
    Direction, MemoryStore, Pair, Store, StoreError, Table, Write,
};
use crate::sync::lock;

/// Answers rightly, wrongly, or not at all, at random.
#[derive(Debug)]
pub(crate) struct LyingStore {
    inner: MemoryStore,
    rng: Mutex<StdRng>,
}

impl LyingStore {
    pub(crate) fn new(seed: u64) -> Self {
        Self { inner: MemoryStore::default(), rng: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    fn with_rng<T>(&self, call: impl FnOnce(&mut StdRng) -> T) -> T {
        call(&mut lock(&self.rng))
    }

    /// Changes some bytes, cuts, or makes all up.
    fn distort(&self, bytes: &mut Vec<u8>) {
        self.with_rng(|rng| match rng.random_range(0..8) {
            0 => bytes.truncate(rng.random_range(0..=bytes.len())),
            1 => {
                bytes.resize(rng.random_range(0..60), 0);
                rng.fill_bytes(bytes);
            }
            2 if !bytes.is_empty() => {
                let at = rng.random_range(0..bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
            _ => {}
        });
    }
}

impl Store for LyingStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut found = self.inner.get(table, key)?;
        if let Some(value) = &mut found {
            self.distort(value);
        }
        Ok(found)
    }

    fn apply(&self, mut writes: Vec<Write>) -> Result<(), StoreError> {
        writes.retain(|_| self.with_rng(|rng| rng.random_range(0..10) > 0));
        self.inner.apply(writes)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        match self.with_rng(|rng| rng.random_range(0..20)) {
            0 => return Err(StoreError::Panicked),
            1 => return Ok(Vec::new()),
            2 => return self.inner.scan(table, &[], &[0xff; 40], direction, limit),
            _ => {}
        }
        let mut pairs = self.inner.scan(table, from, to, direction, limit)?;
        if self.with_rng(|rng| rng.random_range(0..3)) == 0 {
            for (key, value) in &mut pairs {
                self.distort(key);
                self.distort(value);
            }
        }
        Ok(pairs)
    }

    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.inner.clear()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}
