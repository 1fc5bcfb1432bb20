//! A moment that a sender names, up to the end of the year 9999: `9999-12-31` stands for "never" with
//! many of them, and its last day is beyond what a timestamp of the library holds.

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// A moment, and the day that was written where it was sent.
#[derive(Clone, Copy, Debug)]
pub struct CalendarTime {
    utc: DateTime,
    day: Date,
}

/// The calendar's last second, without a fraction: a database that rounds it would leave the calendar.
const END: DateTime = DateTime::constant(9999, 12, 31, 23, 59, 59, 0);
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl CalendarTime {
    /// What the clock shows at this offset from UTC. What UTC would call the year 10000 is the end of
    /// 9999.
    pub(super) fn at(local: DateTime, offset: Offset) -> Self {
        let utc = local.saturating_sub(SignedDuration::from_secs(offset.seconds().into()));
        Self { utc: utc.min(END), day: local.date() }
    }

    /// So long after the start of 1970. The day is UTC's.
    pub(super) fn after_epoch(duration: SignedDuration) -> Option<Self> {
        let utc = EPOCH.saturating_add(duration).min(END);
        (utc > DateTime::MIN).then(|| Self::at(utc, Offset::UTC))
    }

    /// In UTC.
    pub fn utc(&self) -> DateTime {
        self.utc
    }

    /// The day where it was sent: of `2024-02-29T23:30:00-05:00` the 29th.
    pub fn day(&self) -> Date {
        self.day
    }

    /// Since the start of 1970.
    pub fn since_epoch(&self) -> SignedDuration {
        self.utc.duration_since(EPOCH)
    }

    /// As a timestamp of the library, unless it is in the calendar's last hours.
    pub(super) fn timestamp(&self) -> Option<Timestamp> {
        Offset::UTC.to_timestamp(self.utc).ok()
    }
}

impl From<Timestamp> for CalendarTime {
    fn from(timestamp: Timestamp) -> Self {
        Self::at(Offset::UTC.to_datetime(timestamp), Offset::UTC)
    }
}

/// The same moment, wherever it was written.
impl PartialEq for CalendarTime {
    fn eq(&self, other: &Self) -> bool {
        self.utc == other.utc
    }
}

/// ISO 8601 in UTC; the precision is the number of digits behind the second.
impl fmt::Display for CalendarTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.utc, f)?;
        f.write_str("Z")
    }
}
