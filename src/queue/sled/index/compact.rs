//! Making the index as small as what is alive in it. sled's file never shrinks by itself, and
//! grows wherever a few old values stay.

use std::path::Path;

use super::{Index, IndexError};

/// Below this size nothing is compacted: it is not worth the reading.
const COMPACT_BYTES_MIN: u64 = 64 << 20;
/// How many times larger than after the last time the file may get.
const GROWTH_MAX: u64 = 3;
/// How many values are written at once.
const BATCH: usize = 1_000;

impl Index {
    /// Whether most of the file must be dead.
    pub(crate) fn is_mostly_dead(&self) -> Result<bool, IndexError> {
        let bytes = self.bytes();
        if bytes < COMPACT_BYTES_MIN {
            return Ok(false);
        }
        let after_last = self.fence(|| {
            let value = self.meta.get(COMPACTED)?;
            Ok(value.and_then(|value| Some(u64::from_le_bytes(*value.first_chunk::<8>()?))))
        })?;
        Ok(bytes > after_last.unwrap_or(0).saturating_mul(GROWTH_MAX))
    }

    /// Writes what is alive into an index of its own in `folder`, and leaves that closed.
    pub(crate) fn copy_into(&self, folder: &Path) -> Result<(), IndexError> {
        let copy = Self::open(folder)?;
        self.fence(|| {
            for name in self.db.tree_names() {
                let (from, to) = (self.db.open_tree(&name)?, copy.db.open_tree(&name)?);
                let mut batch = sled::Batch::default();
                for (n, item) in from.iter().enumerate() {
                    let (key, value) = item?;
                    batch.insert(key, value);
                    if n % BATCH == BATCH - 1 {
                        to.apply_batch(std::mem::take(&mut batch))?;
                    }
                }
                to.apply_batch(batch)?;
            }
            copy.db.flush()?;
            let bytes = copy.db.size_on_disk()?;
            copy.meta.insert(COMPACTED, &bytes.to_le_bytes())?;
            copy.db.flush()?;
            Ok(())
        })
    }
}

/// Where `meta` keeps the size of the file after the last compaction.
const COMPACTED: &str = "compacted";
