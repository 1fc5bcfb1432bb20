//! What of the kept log cannot be read.

use std::fmt;
use std::io;

use super::super::record::{SegmentId, end_of};

/// A stretch of a segment that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptDamage {
    pub(super) segment: SegmentId,
    pub(super) offset: u32,
    pub(super) bytes: u32,
    pub(super) cause: DamageCause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DamageCause {
    Checksum,
    Io(io::ErrorKind),
    /// Whole bytes that make no sense.
    Undecodable,
    MissingFile,
}

impl KeptDamage {
    fn end(&self) -> u32 {
        end_of(self.offset, self.bytes as usize)
    }

    /// Whether all of `other` is part of this.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.segment.number == other.segment.number
            && self.offset <= other.offset
            && other.end() <= self.end()
    }
}

impl fmt::Display for KeptDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, bytes, cause } = self;
        let file = segment.file_name();
        match cause {
            DamageCause::MissingFile => {
                return write!(f, "kept segment {} is missing", segment.number);
            }
            DamageCause::Checksum | DamageCause::Io(_) | DamageCause::Undecodable => {}
        }
        write!(f, "`kept/{file}`: {bytes} bytes from byte {offset} on cannot be read (")?;
        match cause {
            DamageCause::Io(kind) => write!(f, "{kind})"),
            DamageCause::Undecodable => f.write_str("a whole record that makes no sense)"),
            DamageCause::Checksum | DamageCause::MissingFile => f.write_str("wrong checksum)"),
        }
    }
}
