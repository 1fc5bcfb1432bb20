//! Finds whole records in bytes of which nothing else is known.

use super::frame::{HEADER_BYTES, Header, Kind, SegmentId, Validity};

/// From one of these to the next the CRC is computed; in between it is known.
const SUM_EVERY: usize = 4096;

/// A stretch of a segment, searched for records.
///
/// A search costs a few passes over the bytes at most, whatever they hold. An event's body may
/// look like a quarter of a million headers that each claim some MiB: their CRCs are not computed
/// one by one but from the CRCs of the bytes' beginnings.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    bytes: &'a [u8],
    /// Where in the segment they begin.
    base: u32,
    segment: SegmentId,
    /// The CRC of the first `n * SUM_EVERY` bytes; made when first needed.
    sums: Vec<u32>,
    /// How the CRC of bytes changes when `1 << n` bytes of zeros come behind them.
    shifts: Vec<Shift>,
}

/// A record that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Whole {
        at: usize,
        header: Header,
        kind: Kind,
    },
    /// Whole, and not to be understood by this version.
    Unsupported {
        at: usize,
        header: Header,
    },
}

impl Next {
    /// Its index in the bytes that were searched, and its header.
    pub(crate) const fn place(&self) -> (usize, Header) {
        match self {
            Self::Whole { at, header, .. } | Self::Unsupported { at, header } => (*at, *header),
        }
    }
}

impl<'a> Scan<'a> {
    /// `bytes` begin at offset `base` of the segment.
    pub(crate) fn new(bytes: &'a [u8], base: u32, segment: SegmentId) -> Self {
        Self { bytes, base, segment, sums: Vec::new(), shifts: Vec::new() }
    }

    /// The first whole record at or behind index `from`.
    pub(crate) fn next(&mut self, from: usize) -> Option<Next> {
        find_record(self.bytes, from, |at| self.record_at(at))
    }

    fn record_at(&mut self, at: usize) -> Option<Next> {
        let tail = self.bytes.get(at..)?;
        let header = Header::parse(tail.first_chunk()?)?;
        let payload = tail.get(HEADER_BYTES..header.record_bytes())?;
        // A unit begins at or before each of its records.
        if header.batch_start as usize > at.saturating_add(self.base as usize) {
            return None;
        }
        let prefix = header.prefix_crc(self.segment);
        let crc = if payload.len() <= 2 * SUM_EVERY {
            crc32c::crc32c_append(prefix, payload)
        } else {
            self.crc_from_sums(prefix, at + HEADER_BYTES, at + header.record_bytes())?
        };
        match header.judge(crc) {
            Validity::Whole(header, kind) => Some(Next::Whole { at, header, kind }),
            Validity::Unsupported(header) => Some(Next::Unsupported { at, header }),
            Validity::Bad => None,
        }
    }

    /// The CRC of `prefix`'s bytes and the bytes `from..to` behind them. A CRC is linear: with
    /// S(n) for n zeros appended, `crc(a + b) = S(len b)(crc a) ^ crc b`.
    fn crc_from_sums(&mut self, prefix: u32, from: usize, to: usize) -> Option<u32> {
        let (before, all) = (self.sum(from)?, self.sum(to)?);
        Some(self.shift(prefix ^ before, to - from) ^ all)
    }

    /// The CRC of the first `n_bytes` bytes.
    fn sum(&mut self, n_bytes: usize) -> Option<u32> {
        if self.sums.is_empty() {
            self.sums.push(0);
            for block in self.bytes.chunks_exact(SUM_EVERY) {
                let before = self.sums.last().copied().unwrap_or_default();
                self.sums.push(crc32c::crc32c_append(before, block));
            }
        }
        let known = n_bytes / SUM_EVERY;
        let rest = self.bytes.get(known * SUM_EVERY..n_bytes)?;
        Some(crc32c::crc32c_append(*self.sums.get(known)?, rest))
    }

    fn shift(&mut self, mut crc: u32, n_bytes: usize) -> u32 {
        if self.shifts.is_empty() {
            let byte = (0..3).fold(Shift::by_one_bit(), |shift, _| shift.twice());
            let doubled = std::iter::successors(Some(byte), |shift| Some(shift.twice()));
            self.shifts = doubled.take(u32::BITS as usize).collect();
        }
        for (power, shift) in self.shifts.iter().enumerate() {
            if n_bytes >> power & 1 == 1 {
                crc = shift.apply(crc);
            }
        }
        crc
    }
}

/// What is not written of a segment is passed in steps of a block.
const ZEROS: [u8; 4096] = [0; 4096];

/// The index of the first byte that is not zero.
fn first_used(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    while let Some(behind) = rest.strip_prefix(&ZEROS) {
        rest = behind;
    }
    let index = rest.iter().position(|byte| *byte != 0)?;
    Some(bytes.len() - rest.len() + index)
}

/// The index of the last byte that is not zero.
pub(crate) fn last_used(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    while let Some(before) = rest.strip_suffix(&ZEROS) {
        rest = before;
    }
    rest.iter().rposition(|byte| *byte != 0)
}

/// The first index at or behind `from` of which `record_at` gives a record.
pub(crate) fn find_record<T>(
    bytes: &[u8],
    from: usize,
    mut record_at: impl FnMut(usize) -> Option<T>,
) -> Option<T> {
    if let Some(found) = record_at(from) {
        return Some(found);
    }
    let mut at = from;
    loop {
        // Nearly all of what is searched are zeros, which begin no record.
        let next = at + first_used(bytes.get(at..)?)?;
        // The bytes of a length may be zero, all four of them in an empty record, and so may the
        // first ones of a checksum: begin some bytes earlier.
        if let Some(found) = (at.max(next.saturating_sub(7))..=next).find_map(&mut record_at) {
            return Some(found);
        }
        at = next + 1;
    }
}

/// A linear map of CRCs: what each bit becomes.
#[derive(Clone, Debug)]
struct Shift([u32; 32]);

impl Shift {
    /// One zero bit more behind the bytes.
    fn by_one_bit() -> Self {
        /// CRC-32C's polynomial, lowest power in the highest bit.
        const POLYNOMIAL: u32 = 0x82f6_3b78;
        let mut columns = [0; 32];
        for (bit, column) in columns.iter_mut().enumerate() {
            *column = if bit == 0 { POLYNOMIAL } else { 1 << (bit - 1) };
        }
        Self(columns)
    }

    fn apply(&self, crc: u32) -> u32 {
        let set = self.0.iter().enumerate().filter(|(bit, _)| crc >> bit & 1 == 1);
        set.fold(0, |sum, (_, column)| sum ^ column)
    }

    fn twice(&self) -> Self {
        Self(self.0.map(|column| self.apply(column)))
    }
}
