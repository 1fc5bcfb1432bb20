//! How one handler's deliveries are made: plain values with their defaults.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::classify::FailurePattern;
use crate::clock::Timestamp;
use crate::event::{Failure, FailureKind, Glob};
use crate::expr::Expression;
use crate::handler::Exempt;

/// What is wanted, in what order, how many at once, and how hard it is tried.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which events are wanted; empty = all but Gatepost's own.
    pub on: Vec<EventGlob>,
    /// Which of those are wanted after a look at the payload.
    pub when: Option<Arc<Expression>>,
    /// Which of them are wanted whatever `when` says.
    pub exempt: Exempt,
    /// Events with the same value are delivered in order.
    pub order_by: Option<Arc<Expression>>,
    /// What a dead letter does to the events behind it that have the same order key.
    pub on_dead_letter: OnDeadLetter,
    /// How many calls there may be at once.
    pub concurrency: NonZeroUsize,
    pub timeout: Duration,
    pub retry: Retry,
    /// What is tried again though its kind would not.
    pub retry_on: Vec<FailurePattern>,
    /// What is given up though its kind would try it again.
    pub dead_on: Vec<FailurePattern>,
    /// When a handler that is down is left alone.
    pub breaker: Breaker,
    /// How many events one call takes; `None` = what the kind takes unasked, mostly one.
    pub batch: Option<Batch>,
    /// How long calls that run are waited for at the end. Shorter than the 10 s within which the
    /// process ends.
    pub drain: Duration,
}

impl Policy {
    /// Calls at once where nothing else is said.
    pub const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(4).unwrap();
    /// How long one call may take where nothing else is said.
    pub const TIMEOUT: Duration = Duration::from_secs(30);
    /// How long calls that run are waited for at the end.
    pub const DRAIN: Duration = Duration::from_secs(7);
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            on: Vec::new(),
            when: None,
            exempt: Exempt::default(),
            order_by: None,
            on_dead_letter: OnDeadLetter::Release,
            concurrency: Self::CONCURRENCY,
            timeout: Self::TIMEOUT,
            retry: Retry::DEFAULT,
            retry_on: Vec::new(),
            dead_on: Vec::new(),
            breaker: Breaker::DEFAULT,
            batch: None,
            drain: Self::DRAIN,
        }
    }
}

/// A pattern over sources and types: `hyvor:comment.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventGlob {
    pub source: Glob,
    pub event_type: Glob,
}

impl EventGlob {
    /// Reads `source:type`; `None` where either is missing.
    pub fn parse(text: &str) -> Option<Self> {
        let (source, event_type) = text.split_once(':')?;
        (!source.is_empty() && !event_type.is_empty())
            .then(|| Self { source: Glob::new(source), event_type: Glob::new(event_type) })
    }
}

/// When a delivery that failed is tried again: after a random wait between `min` and a ceiling that
/// grows with each try, up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many tries there are in all; `None` = as many as `total` has room for.
    pub attempts: Option<NonZeroU32>,
    pub min: Duration,
    pub max: Duration,
    /// How long it is tried in all, counted from the first try. The last one is at its end.
    pub total: Duration,
    /// How fast the ceiling grows.
    pub growth: Growth,
}

impl Retry {
    /// Three days, some 35 tries: a mail password that expires on a Friday night costs nothing.
    pub const DEFAULT: Self = Self {
        attempts: None,
        min: Duration::from_secs(10),
        max: Duration::from_hours(6),
        total: Duration::from_hours(72),
        growth: Growth::DOUBLING,
    };
}

/// By how much the longest wait grows with each try, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Growth(pub(super) u32);

impl Growth {
    /// The usual one.
    pub const DOUBLING: Self = Self(200);
    /// From a second to ten days at once: the second try waits as long as any.
    pub const MAX: Self = Self(100_000_000);

    pub(super) fn factor(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// When a handler that is down is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// It opens after so many transient failures without a success in between. More than one
    /// handler call can be under way, so this is more than the usual concurrency.
    pub failures: NonZeroU32,
    /// While it is open, one delivery is tried this often.
    pub probe_interval: Duration,
}

impl Breaker {
    /// Half a minute after the other side is back, deliveries go on.
    pub const DEFAULT: Self =
        Self { failures: NonZeroU32::new(10).unwrap(), probe_interval: Duration::from_secs(30) };
}

/// How many events one call takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub max: NonZeroUsize,
    /// How long the first one waits for others.
    pub wait: Wait,
}

/// How long an event waits for others to share its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// So long after it came in. Zero = what is there goes.
    For(Duration),
    /// Until it is this time of day for the first time after it came in. On a day on which a change
    /// of the clocks leaves that time out, the hour after.
    Until {
        /// The time of day.
        time: jiff::civil::Time,
        /// Where it is that time.
        zone: TimeZone,
    },
}

impl Wait {
    /// How long an event waits that came in then.
    pub(super) fn after(&self, received_at: Timestamp) -> Duration {
        match self {
            Self::For(wait) => *wait,
            // Out of the calendar's range: without a wait rather than for ever.
            Self::Until { time, zone } => until(received_at, *time, zone).unwrap_or_default(),
        }
    }
}

fn until(from: Timestamp, time: jiff::civil::Time, zone: &TimeZone) -> Option<Duration> {
    let from = jiff::Timestamp::from_millisecond(from.as_millis()).ok()?;
    let date = from.to_zoned(zone.clone()).date();
    let on = |date: jiff::civil::Date| {
        date.to_datetime(time).to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
    };
    let next = on(date).filter(|next| *next > from).or_else(|| on(date.tomorrow().ok()?))?;
    next.duration_since(from).try_into().ok()
}

/// What a dead letter does to the events behind it that have the same order key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeadLetter {
    /// They go on.
    Release,
    /// They wait until it is redriven or dropped.
    Hold,
}

impl Policy {
    /// `failure` as the owner wants it judged: of the patterns that match, the narrowest counts.
    pub(super) fn classify(&self, mut failure: Failure) -> Failure {
        for (_, own) in &mut failure.each {
            own.kind = self.kind_of(own);
        }
        failure.kind = self.kind_of(&failure);
        failure
    }

    fn kind_of(&self, failure: &Failure) -> FailureKind {
        if failure.kind.is_wait() {
            return failure.kind;
        }
        let narrowest = |patterns: &[FailurePattern]| {
            let matching = patterns.iter().filter(|pattern| pattern.matches(failure));
            matching.map(FailurePattern::width).min()
        };
        match (narrowest(&self.retry_on), narrowest(&self.dead_on)) {
            (None, None) => failure.kind,
            (Some(retry), Some(dead)) if retry < dead => FailureKind::Transient,
            (Some(_), None) => FailureKind::Transient,
            (_, Some(_)) => FailureKind::Permanent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, hour: i8, zone: &str, expected: Duration) {
        let zone = if zone == "UTC" { TimeZone::UTC } else { TimeZone::posix(zone).unwrap() };
        let wait = Wait::Until { time: jiff::civil::time(hour, 30, 0, 0), zone };
        assert_eq!(wait.after(Timestamp::parse_rfc3339(from).unwrap()), expected, "{from}");
    }

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    #[test]
    fn an_event_waits_until_the_next_such_time_of_day() {
        check("2026-11-22T06:29:00Z", 6, "UTC", Duration::from_mins(1));
        check("2026-11-22T06:30:00Z", 6, "UTC", Duration::from_hours(24));
        check("2026-11-22T23:30:00Z", 6, "UTC", Duration::from_hours(7));
        check("2026-12-31T23:30:00Z", 0, "UTC", Duration::from_hours(1));
        check("2026-11-22T05:00:00Z", 6, BERLIN, Duration::from_mins(30));
        check("2026-07-22T05:00:00Z", 6, BERLIN, Duration::from_mins(23 * 60 + 30));
    }

    #[test]
    fn a_day_of_another_length_changes_the_wait_and_loses_no_mail() {
        // The night of 29 March 2026 has no 02:30 in Berlin; that of 25 October has it twice.
        check("2026-03-29T00:00:00Z", 2, BERLIN, Duration::from_mins(90));
        check("2026-03-28T05:30:00Z", 6, BERLIN, Duration::from_hours(23));
        check("2026-10-24T04:30:00Z", 6, BERLIN, Duration::from_hours(25));
        check("2026-10-24T22:00:00Z", 2, BERLIN, Duration::from_mins(150));
    }
}
