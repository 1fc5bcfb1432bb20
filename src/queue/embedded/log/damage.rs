//! What of the log cannot be read.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::{Range, RangeInclusive};
use std::sync::Mutex;

use crate::queue::embedded::record::{SegmentId, end_of, offset_of};
use crate::sync::lock;

/// A stretch of a segment that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) segment: SegmentId,
    pub(crate) offset: u32,
    /// How many bytes were skipped; 0 = all of a missing file.
    pub(crate) bytes: u32,
    pub(crate) cause: Cause,
}

/// Why it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The bytes are no whole records.
    BadChecksum,
    /// The disk does not give them.
    Io(io::ErrorKind),
    /// The bytes are whole and make no sense.
    Undecodable,
    /// The bytes are whole and were written by a newer version.
    Unsupported { kind: u8, version: u8 },
    /// The log went on here, as a snapshot or dedupe keys tell; so many events at least.
    LostEnd { n_events: u64 },
    /// The file is shorter than it was made.
    CutShort,
    /// Files are gone; `segment` names the first of them, with no salt.
    Missing { n_files: u32 },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe("log"))
    }
}

impl Damage {
    pub(super) fn of(segment: SegmentId, range: Range<u32>, cause: Cause) -> Self {
        Self { segment, offset: range.start, bytes: offset_of(range.len()), cause }
    }

    /// All of it in words; `folder` has the segments.
    pub(crate) fn describe(&self, folder: &str) -> String {
        let Self { segment, offset, bytes, cause } = self;
        let number = segment.number;
        let why = match cause {
            Cause::Missing { n_files: 1 } => {
                return format!("{folder} segment {number} is missing");
            }
            Cause::Missing { n_files } => {
                let last = number + (n_files - 1);
                return format!("{folder} segments {number} to {last} are missing");
            }
            Cause::LostEnd { n_events } => {
                let how_many = match n_events {
                    0 => String::new(),
                    1 => ", one event at least".to_owned(),
                    _ => format!(", {n_events} events at least"),
                };
                return format!(
                    "the {folder}'s end is missing from segment {number}, byte {offset} on{how_many}"
                );
            }
            Cause::CutShort => {
                let file = segment.file_name();
                return format!(
                    "`{folder}/{file}` is cut short: its last {bytes} bytes, from byte {offset} \
                     on, are gone, with all events that stood there"
                );
            }
            Cause::BadChecksum => "wrong checksum".to_owned(),
            Cause::Io(kind) => kind.to_string(),
            Cause::Undecodable => "a whole record that makes no sense".to_owned(),
            Cause::Unsupported { kind, version } => {
                format!("kind {kind} and version {version} of a newer gatepost")
            }
        };
        let file = segment.file_name();
        format!("`{folder}/{file}`: {bytes} bytes from byte {offset} on cannot be read ({why})")
    }

    fn end(&self) -> u32 {
        end_of(self.offset, self.bytes as usize)
    }

    /// Whether one goes on where the other ends, for the same reason.
    fn touches(&self, other: &Self) -> bool {
        self.segment == other.segment
            && self.cause == other.cause
            && (self.end() == other.offset || other.end() == self.offset)
    }

    fn joined(self, other: &Self) -> Self {
        let (start, end) = (self.offset.min(other.offset), self.end().max(other.end()));
        Self { offset: start, bytes: end - start, ..self }
    }

    /// Whether all of `other` is part of this.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.segment.number == other.segment.number
            && self.offset <= other.offset
            && other.end() <= self.end()
    }
}

/// The damage found so far, by segment and offset.
#[derive(Debug, Default)]
pub(super) struct DamageList(Mutex<BTreeMap<(u32, u32), Damage>>);

impl DamageList {
    /// Remembers damage, and logs what is no part of a known stretch and does not go on where one ends.
    /// Readers begin at different places: of two overlapping stretches the wider one stays. Behind a bad
    /// place of the live segment each new record is damage that goes on.
    pub(super) fn note(&self, mut damage: Damage) {
        let mut known = lock(&self.0);
        let in_segment = segment_range(damage.segment.number);
        if known.range(in_segment.clone()).any(|(_, known)| known.covers(&damage)) {
            return;
        }
        let parts: Vec<(u32, u32)> = known
            .range(in_segment)
            .filter(|(_, known)| damage.covers(known) || damage.touches(known))
            .map(|(key, _)| *key)
            .collect();
        for key in &parts {
            let Some(part) = known.remove(key) else { continue };
            damage = damage.joined(&part);
        }
        if parts.is_empty() {
            tracing::error!(damage = %damage, "The log is damaged; the rest of it is served");
        }
        known.insert((damage.segment.number, damage.offset), damage);
    }

    pub(super) fn all(&self) -> Vec<Damage> {
        let known = lock(&self.0);
        known.values().cloned().collect()
    }

    pub(super) fn forget(&self, number: u32) {
        let mut known = lock(&self.0);
        known.retain(|(segment, _), _| *segment != number);
    }
}

fn segment_range(number: u32) -> RangeInclusive<(u32, u32)> {
    (number, 0)..=(number, u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_that_goes_on_is_one_stretch() {
        let list = DamageList::default();
        let of = |segment, range: Range<u32>, cause| {
            Damage::of(SegmentId { number: segment, salt: 7 }, range, cause)
        };
        let io = Cause::Io(io::ErrorKind::Other);
        for range in [100..200, 300..400, 200..250, 250..300, 90..100] {
            list.note(of(1, range, io));
        }
        assert_eq!(list.all(), [of(1, 90..400, io)]);
        list.note(of(1, 400..410, Cause::BadChecksum));
        list.note(of(2, 410..500, io));
        let all = [of(1, 90..400, io), of(1, 400..410, Cause::BadChecksum), of(2, 410..500, io)];
        assert_eq!(list.all(), all);
    }
}
