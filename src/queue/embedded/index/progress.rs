//! How much of the log is in the index.

use super::LAYOUT;
use super::store::{Store, StoreError, Table, Write};
use crate::queue::codec::{Put, Take};
use crate::queue::embedded::record::Lsn;

const LAYOUT_KEY: &[u8] = b"layout";
const PROGRESS_KEY: &[u8] = b"progress";

/// What of the log is in the index: the records from `from` to before `to`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// `false` = the store was not opened yet, or it failed: nothing is asked of it.
    pub(crate) is_known: bool,
    pub(crate) from: Lsn,
    pub(crate) to: Lsn,
    /// Whether the kept log's changes are in it too. They come last, since it is read oldest.
    pub(crate) has_kept: bool,
}

impl Progress {
    /// Whether everything recorded from `from` to before `to` is in the index.
    pub(crate) fn covers(&self, from: Lsn, to: Lsn) -> bool {
        self.is_known && self.from <= from && to <= self.to
    }
}

/// What is on disk: the progress, and the salt of the segment that `to` is in. A database that
/// belongs to another log has another one there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) progress: Progress,
    pub(super) salt: u64,
}

impl Saved {
    pub(super) fn writes(&self) -> Vec<Write> {
        let mut value = Vec::new();
        value.put_u64(self.progress.from.0);
        value.put_u64(self.progress.to.0);
        value.put_u64(self.salt);
        value.put_u8(u8::from(self.progress.has_kept));
        let layout = LAYOUT.to_le_bytes().to_vec();
        vec![
            Write::Put { table: Table::Meta, key: LAYOUT_KEY.to_vec(), value: layout },
            Write::Put { table: Table::Meta, key: PROGRESS_KEY.to_vec(), value },
        ]
    }

    /// `None` = the store is empty, has another layout, or what it says makes no sense: clear it.
    pub(super) fn read(store: &dyn Store) -> Result<Option<Self>, StoreError> {
        let layout = store.get(Table::Meta, LAYOUT_KEY)?;
        if layout.as_deref() != Some(LAYOUT.to_le_bytes().as_slice()) {
            return Ok(None);
        }
        let Some(value) = store.get(Table::Meta, PROGRESS_KEY)? else { return Ok(None) };
        let read = || {
            let mut take = Take(&value);
            let (from, to, salt) = (Lsn(take.u64()?), Lsn(take.u64()?), take.u64()?);
            let has_kept = match take.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            };
            let progress = Progress { is_known: true, from, to, has_kept };
            (from <= to).then_some(Self { progress, salt })
        };
        Ok(read())
    }
}
