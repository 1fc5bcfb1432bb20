//! One file's bytes, and what of them is not durable.

use std::collections::BTreeMap;

use rand::{Rng, RngCore};

/// What a disk writes whole or not at all, unless torn sectors are asked for.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    bytes: Vec<u8>,
    /// Each sector that was written since the last sync, as it was before.
    unsynced: BTreeMap<usize, OldSector>,
    durable_size: usize,
    /// Bits that rot flipped, by byte: what was written there since is whole again.
    rot: BTreeMap<usize, u8>,
}

/// The durable bytes of a sector, as far as the file went then.
#[derive(Clone, Debug)]
struct OldSector {
    bytes: Vec<u8>,
    rot: BTreeMap<usize, u8>,
}

impl Inode {
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { durable_size: bytes.len(), bytes, ..Self::default() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes as they were written: without rot.
    pub(super) fn written(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (at, bits) in &self.rot {
            if let Some(byte) = bytes.get_mut(*at) {
                *byte ^= bits;
            }
        }
        bytes
    }

    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> usize {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(from..).unwrap_or_default();
        let n_read = rest.len().min(buffer.len());
        if let (Some(into), Some(rest)) = (buffer.get_mut(..n_read), rest.get(..n_read)) {
            into.copy_from_slice(rest);
        }
        n_read
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let to = from.saturating_add(bytes.len());
        // A gap that comes to be behind the old end is written as well.
        let first = from.min(self.bytes.len()) / SECTOR;
        for sector in first..=(to - 1) / SECTOR {
            if !self.unsynced.contains_key(&sector) {
                let bytes = self.sector(sector).to_vec();
                let rot = self.rot.range(sector * SECTOR..(sector + 1) * SECTOR);
                let rot = rot.map(|(at, bits)| (*at, *bits)).collect();
                self.unsynced.insert(sector, OldSector { bytes, rot });
            }
        }
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        if let Some(into) = self.bytes.get_mut(from..to) {
            into.copy_from_slice(bytes);
        }
        self.rot.retain(|at, _| *at < from || to <= *at);
    }

    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
        self.durable_size = self.bytes.len();
    }

    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let bits = 1 << (bit % 8);
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte ^= bits;
            *self.rot.entry(at).or_default() ^= bits;
        }
    }

    pub(super) fn cut(&mut self, len: u64) {
        self.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        self.sync();
    }

    fn sector(&self, sector: usize) -> &[u8] {
        let end = self.bytes.len().min((sector + 1) * SECTOR);
        self.bytes.get(sector * SECTOR..end).unwrap_or_default()
    }

    /// What is left of it: each sector that was not synced is there or not.
    pub(super) fn after_power_cut(&self, rng: &mut impl RngCore, torn_sectors: bool) -> Self {
        // Often all is lost or nothing: the ends are where mistakes are.
        let chance = match rng.random_range(0..5) {
            0 => 0.0,
            1 => 1.0,
            2 => 0.9,
            _ => 0.5,
        };
        let (mut bytes, mut rot) = (self.bytes.clone(), self.rot.clone());
        let mut size = self.durable_size;
        for (sector, old) in &self.unsynced {
            let new = self.sector(*sector);
            let n_kept = if !rng.random_bool(chance) {
                0
            } else if torn_sectors && rng.random_bool(0.3) {
                rng.random_range(0..=new.len())
            } else {
                new.len()
            };
            if n_kept > 0 {
                size = size.max(sector * SECTOR + n_kept);
            }
            let from = sector * SECTOR;
            for (index, byte) in bytes.iter_mut().skip(from).take(new.len()).enumerate() {
                if index >= n_kept {
                    *byte = old.bytes.get(index).copied().unwrap_or(0);
                }
            }
            let lost = from + n_kept..from + SECTOR;
            rot.retain(|at, _| !lost.contains(at));
            rot.extend(old.rot.range(lost).map(|(at, bits)| (*at, *bits)));
        }
        bytes.truncate(size);
        Self { rot, ..Self::durable(bytes) }
    }
}
