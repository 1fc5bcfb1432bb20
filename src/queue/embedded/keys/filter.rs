//! A blocked Bloom filter: all bits of a key are in one block of 64 bytes, so that asking costs one
//! cache line, or one page of the file.

use crate::event::DedupeKey;

/// 64 bytes.
pub(super) type Block = [u64; 8];
pub(super) const BLOCK_BYTES: usize = 64;

const BLOCK_BITS: u64 = 512;
const BITS_PER_KEY: u64 = 16;
/// Bits per key that are set, each named by 9 bits of the key's second half.
const PROBES: u32 = 7;

/// Keys are hashes: their first half chooses the block, the second half the bits.
#[derive(Debug)]
pub(super) struct BloomFilter {
    blocks: Vec<Block>,
}

impl BloomFilter {
    /// A filter for at most `n_keys` keys.
    pub(super) fn new(n_keys: u64) -> Self {
        let n_blocks = (n_keys * BITS_PER_KEY).div_ceil(BLOCK_BITS).clamp(1, u64::from(u32::MAX));
        Self { blocks: vec![Block::default(); usize::try_from(n_blocks).unwrap_or(1)] }
    }

    pub(super) const fn from_blocks(blocks: Vec<Block>) -> Self {
        Self { blocks }
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub(super) fn insert(&mut self, key: DedupeKey) {
        let block = block_of(key, self.blocks.len());
        let Some(block) = self.blocks.get_mut(block) else { return };
        for (word, bit) in bits(key) {
            if let Some(word) = block.get_mut(word) {
                *word |= bit;
            }
        }
    }

    pub(super) fn may_hold(&self, key: DedupeKey) -> bool {
        let block = self.blocks.get(block_of(key, self.blocks.len()));
        block.is_some_and(|block| block_may_hold(block, key))
    }
}

/// The block, of so many, that has the bits of a key.
pub(super) fn block_of(key: DedupeKey, n_blocks: usize) -> usize {
    // As evenly spread as a remainder, without a division.
    let block = ((u128::from_be_bytes(key.0) >> 64) * n_blocks as u128) >> 64;
    usize::try_from(block).unwrap_or(0)
}

pub(super) fn block_may_hold(block: &Block, key: DedupeKey) -> bool {
    bits(key).all(|(word, bit)| block.get(word).is_some_and(|word| word & bit != 0))
}

fn bits(key: DedupeKey) -> impl Iterator<Item = (usize, u64)> {
    let half = key.0.last_chunk().map_or(0, |half| u64::from_be_bytes(*half));
    (0..PROBES).map(move |probe| {
        let bit = ((half >> (9 * probe)) & (BLOCK_BITS - 1)) as usize;
        (bit / 64, 1 << (bit % 64))
    })
}
