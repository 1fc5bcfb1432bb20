//! What a rejection says by itself: nothing needs to be tried to explain it.

use super::super::rejection::Rejection;
use super::case::{Case, Explanation, because};

/// A clock is seldom off by more: what is older is a late repeat.
const LATE_S: i64 = 600;

/// How far a time may be off that is recognised in another unit.
const DAY_MS: u64 = 86_400_000;

impl Case<'_> {
    /// The explanation of a rejection that says what it is; nothing where the reason is to be looked
    /// for.
    pub(super) fn of_rejection(&self, rejection: &Rejection) -> Option<Explanation> {
        match rejection {
            Rejection::Stale { seconds } => Some(self.stale(*seconds)),
            Rejection::BadTimestamp => {
                let hint = "check `unit` of the timestamp: s, ms or rfc3339";
                Some(because("the signature is good, but its timestamp cannot be read", Some(hint)))
            }
            Rejection::NoVariable(what) => {
                let hint = "a proxy in front may drop it, or the sender is not the one configured";
                Some(because(
                    &format!("the {what} is missing, which is part of what is signed"),
                    Some(self.dropped_header(rejection).unwrap_or(hint)),
                ))
            }
            Rejection::Repeated(what) => Some(because(
                &format!("the {what} is there more than once, which no honest sender does"),
                Some("look for a proxy that adds it a second time"),
            )),
            Rejection::Claim(name) => {
                let line = format!("it is signed, but its `{name}` is not the expected one");
                let hint = format!(
                    "compare {} with what the sender's page says of its tokens or signatures",
                    self.table()
                );
                Some(because(&line, Some(&hint)))
            }
            Rejection::ForeignKey(place) => {
                let line = format!("the address in {place} leads to no host of the sender's");
                let hint = format!(
                    "its keys are on {}: nothing was fetched, and whoever sent this is somebody else",
                    self.key_places()
                );
                Some(because(&line, Some(&hint)))
            }
            Rejection::KeyNotFetched(why) => {
                let line =
                    format!("whether it is signed is not known, for its key is missing: {why}");
                let hint = format!(
                    "let this machine reach {} (DNS, port 443, a firewall); the sender was asked to \
                     come again, and it can be released once the key is there",
                    self.key_places()
                );
                Some(because(&line, Some(&hint)))
            }
            Rejection::TooManyFields => {
                Some(because("the form has more fields than any sender has", None))
            }
            Rejection::NotUnpacked => Some(because(
                "the body cannot be unpacked, which is signed as it was before it was packed",
                Some(
                    "gzip, deflate and br are unpacked, to 16 MiB and 200 times what came at most",
                ),
            )),
            Rejection::Missing
            | Rejection::NotWrapped
            | Rejection::Undecodable
            | Rejection::WrongLength
            | Rejection::Mismatch => None,
        }
    }

    /// A time in milliseconds that is read as seconds, or the other way round.
    fn other_unit(&self, seconds: i64) -> Option<Explanation> {
        let now = self.rejected.received_at.as_millis();
        let read = now.checked_sub(seconds.checked_mul(1000)?)?;
        let is_now = |millis: i64| now.abs_diff(millis) < DAY_MS;
        let (unit, line) = if is_now(read.div_euclid(1000)) {
            ("ms", "the signature is good, but its time is in milliseconds, and read as seconds")
        } else if is_now(read.checked_mul(1000)?) {
            ("s", "the signature is good, but its time is in seconds, and read as milliseconds")
        } else {
            return None;
        };
        Some(because(
            line,
            Some(&format!("`unit = \"{unit}\"` of the timestamp in {}", self.table())),
        ))
    }

    fn stale(&self, seconds: i64) -> Explanation {
        if let Some(explanation) = self.other_unit(seconds) {
            return explanation;
        }
        let off = seconds.unsigned_abs();
        let line = if seconds >= LATE_S {
            format!(
                "it comes late: the signature is good, but it was made {off} s before the request \
                 came; a repeat that kept its first time looks like this"
            )
        } else if seconds >= 0 {
            format!(
                "the clock is {off} s off: the signature is good, but it was made {off} s before \
                 the request came"
            )
        } else {
            format!(
                "the clock is {off} s off: the signature is good, but it was made {off} s after \
                 the request came"
            )
        };
        let key = match self.source.settings.profile.provider {
            Some(_) => format!("`tolerance = \"…\"` in [source.{}]", self.source.name()),
            None => format!("`tolerance` of the timestamp in {}", self.table()),
        };
        if seconds >= LATE_S {
            let hint = format!(
                "if the sender is known to repeat or to be late, widen {key}; what was seen before \
                 is told by its identity. If every request fails like this, set this machine's \
                 clock (`timedatectl`)"
            );
            return because(&line, Some(&hint));
        }
        let hint = format!(
            "set this machine's clock (`timedatectl`); an old request that somebody repeats looks \
             the same, so widen {key} only if the sender is known to be late"
        );
        because(&line, Some(&hint))
    }
}
