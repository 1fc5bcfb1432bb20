//! Time as an argument: the rest of the program asks a [`Clock`] and never the system.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(feature = "test-support")]
mod manual;

#[cfg(feature = "test-support")]
pub use manual::ManualClock;

/// Milliseconds since the Unix epoch, UTC. Written as RFC 3339 wherever people or JSON see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every other moment.
    pub const MIN: Self = Self(i64::MIN);

    /// The moment `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The same for formats that know no earlier time: 0 before the epoch.
    pub fn millis_since_epoch(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0)
    }

    /// The moment `later` after this one; stops at the largest value.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(millis(later)))
    }

    /// The moment `earlier` before this one; stops at the smallest value.
    #[must_use]
    pub fn before(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(millis(earlier)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339 text such as `2014-04-25T04:17:38.306Z`.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|parsed| Self(parsed.as_millisecond()))
    }

    /// Reads a date and time as senders write it: RFC 3339, the same without a zone (which means
    /// UTC), or the date of HTTP (RFC 9110 section 5.6.7).
    pub fn parse_date(text: &str) -> Option<Self> {
        let without_zone = || {
            let parsed = text.parse::<jiff::civil::DateTime>().ok()?;
            let zoned = parsed.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            Some(Self(zoned.timestamp().as_millisecond()))
        };
        let http = || {
            let parsed = jiff::fmt::rfc2822::parse(text).ok()?;
            Some(Self(parsed.timestamp().as_millisecond()))
        };
        Self::parse_rfc3339(text).or_else(without_zone).or_else(http).or_else(|| in_words(text))
    }

    /// The time as HTTP writes it, in whole seconds; empty where it is outside the calendar.
    pub fn http_date(self) -> String {
        let timestamp = jiff::Timestamp::from_millisecond(self.0).ok();
        let text = |timestamp: jiff::Timestamp| {
            timestamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
        };
        timestamp.map(text).unwrap_or_default()
    }
}

/// A date as programs print it for people: `2023-11-14 22:13:20 UTC`, `… +0000`, `2023/11/14 22:13:20`,
/// and the two forms of HTTP that are given up (RFC 9110, 5.6.7).
fn in_words(text: &str) -> Option<Timestamp> {
    let (text, is_utc) = ["UTC", "GMT", "Z"]
        .iter()
        .find_map(|zone| Some((text.strip_suffix(zone)?.trim_end(), true)))
        .unwrap_or((text, false));
    if let Some((time, offset)) = text.rsplit_once(' ')
        && offset.starts_with(['+', '-'])
    {
        return Timestamp::parse_rfc3339(&format!("{time}{offset}"));
    }
    let civil = is_utc.then(|| text.parse::<jiff::civil::DateTime>().ok()).flatten();
    let formats = ["%Y/%m/%d %H:%M:%S", "%a %b %e %H:%M:%S %Y", "%A, %d-%b-%y %H:%M:%S"];
    let civil = civil.or_else(|| {
        formats.iter().find_map(|format| jiff::civil::DateTime::strptime(format, text).ok())
    });
    let zoned = civil?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

/// A duration in whole milliseconds. `u64::MAX` of them are more than 500 million years.
pub fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The same in microseconds: more than 500,000 years.
pub fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A duration in whole milliseconds, at most `i64::MAX` of them.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            // Outside the calendar's range (years -9999 to 9999).
            Err(_) => write!(f, "@{}ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock: what a request's `received_at` says. Jumps when the clock is set.
    fn now(&self) -> Timestamp;

    /// The wall clock as it was at the start, plus the time that has passed since. Never jumps
    /// and never goes back while the process lives: retries are due by it, so that neither an
    /// NTP step nor a wrong clock fires them all at once or stalls them.
    fn steady(&self) -> Timestamp;
}

#[derive(Debug)]
pub struct SystemClock {
    started_at: Timestamp,
    /// Time since boot at the start, suspended time included.
    started_boot: Duration,
}

impl SystemClock {
    /// A clock whose steady time begins at the wall clock's present reading.
    pub fn new() -> Self {
        Self { started_at: wall(), started_boot: since_boot() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        wall()
    }

    fn steady(&self) -> Timestamp {
        self.started_at.after(since_boot().saturating_sub(self.started_boot))
    }
}

fn wall() -> Timestamp {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    Timestamp(now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000))
}

/// `CLOCK_BOOTTIME`: unlike `CLOCK_MONOTONIC` it counts the time a laptop or VM was suspended.
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Measures how long something takes, to the nanosecond. For figures only: what decides by time
/// asks a [`Clock`].
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the one place that measures")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_and_read_as_rfc3339_with_milliseconds() {
        let timestamp = Timestamp::from_millis(1_398_399_458_306);
        assert_eq!(timestamp.to_string(), "2014-04-25T04:17:38.306Z");
        assert_eq!(Timestamp::parse_rfc3339("2014-04-25T04:17:38.306Z"), Some(timestamp));
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        let last = Timestamp::from_millis(i64::MAX);
        assert_eq!(last.after(Duration::MAX), last);
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    }

    #[test]
    fn a_jump_of_the_wall_clock_leaves_steady_time_alone() {
        let clock = ManualClock::new(Timestamp::from_millis(1_000));
        clock.jump_to(Timestamp::from_millis(9_000_000));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_millis(9_001_000));
        assert_eq!(clock.steady(), Timestamp::from_millis(2_000));
    }
}
