//! Which event a verb is for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::clock::Timestamp;
use crate::event::{BadEventId, EventId};

/// Options of `events edit`.
#[derive(Debug, Args)]
pub struct EventsEdit {
    /// The event's id, or its beginning; `last` is the newest that was sent.
    pub(in crate::cli) id: SaidEvent,
    /// The new body; `-` reads standard input. Left out: opens the event's own in `$VISUAL` or `$EDITOR`.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) body: Option<PathBuf>,
    /// Only say what it would be, and which handlers would get it.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// An event, as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidEvent {
    /// By its id.
    Id(EventId),
    /// By how its id begins.
    Begin(IdBeginning),
    /// The newest one.
    Last,
}

impl FromStr for SaidEvent {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "last" {
            return Ok(Self::Last);
        }
        match (text.parse(), IdBeginning::parse(text)) {
            (Ok(id), _) => Ok(Self::Id(id)),
            (Err(_), Some(beginning)) => Ok(Self::Begin(beginning)),
            (Err(err), None) => Err(err),
        }
    }
}

/// The first digits of an id, as people copy them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdBeginning {
    digits: u128,
    n_digits: usize,
}

/// The fewest: they say the time to 49 days.
const DIGITS_MIN: usize = 4;
/// Those of a whole id.
const DIGITS: usize = 32;
/// The day before the calendar's last one, with room for some minutes: no event is of a later one.
const TIME_MAX: i64 = 253_402_128_000_000;
/// Behind the time of an id.
const BITS_BEHIND_TIME: usize = 80;

impl IdBeginning {
    fn parse(text: &str) -> Option<Self> {
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        let is_beginning = (DIGITS_MIN..DIGITS).contains(&hex.len());
        let is_hex = hex.bytes().all(|digit| digit.is_ascii_hexdigit());
        let digits = u128::from_str_radix(&hex, 16).ok().filter(|_| is_beginning && is_hex)?;
        Some(Self { digits, n_digits: hex.len() })
    }

    const fn bits_left(self) -> usize {
        4 * (DIGITS - self.n_digits)
    }

    /// Whether `id` begins so.
    pub(in crate::cli) const fn is_of(self, id: EventId) -> bool {
        id.0.as_u128() >> self.bits_left() == self.digits
    }

    /// The last moment that such an id may be of: it begins with its time.
    pub(in crate::cli) fn last_time(self) -> Timestamp {
        let last = (self.digits << self.bits_left()) | ((1 << self.bits_left()) - 1);
        let millis = i64::try_from(last >> BITS_BEHIND_TIME).unwrap_or(TIME_MAX).min(TIME_MAX);
        Timestamp::from_millis(millis)
    }
}

impl fmt::Display for IdBeginning {
    /// With the dashes of an id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = uuid::Uuid::from_u128(self.digits << self.bits_left()).to_string();
        let n_dashes = [8, 12, 16, 20].iter().filter(|at| self.n_digits > **at).count();
        f.write_str(id.get(..self.n_digits + n_dashes).unwrap_or(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_may_be_named_by_its_beginning() {
        let id: EventId = "01a228c8-9a69-7000-b418-0e01b9450f36".parse().unwrap();
        assert_eq!("last".parse(), Ok(SaidEvent::Last));
        assert_eq!(id.to_string().parse(), Ok(SaidEvent::Id(id)));
        for (said, shown) in [
            ("01a2", "01a2"),
            ("01A228C8", "01a228c8"),
            ("01a228c8-", "01a228c8"),
            ("01a228c89a69", "01a228c8-9a69"),
            ("01a228c8-9a69-7000-b418-0e01b9450f3", "01a228c8-9a69-7000-b418-0e01b9450f3"),
        ] {
            let Ok(SaidEvent::Begin(beginning)) = said.parse() else { panic!("{said}") };
            assert_eq!(beginning.to_string(), shown);
            assert!(beginning.is_of(id), "{said}");
            let at = Timestamp::from_millis(0x01a2_28c8_9a69);
            let last = beginning.last_time();
            assert!(at <= last, "{said}: {last}");
        }
        let other: SaidEvent = "01a228c9".parse().unwrap();
        assert!(matches!(other, SaidEvent::Begin(other) if !other.is_of(id)));
        for bad in
            ["", "01a", "first", "+1a228c8", "0x01a228", "01a228c8-9a69-7000-b418-0e01b9450f36f"]
        {
            assert!(bad.parse::<SaidEvent>().is_err(), "{bad}");
        }
    }
}
