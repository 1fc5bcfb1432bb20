//! How many mails may go in an hour.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::sync::lock;

/// What `max_per_hour` counts over.
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// How long to wait for mails that are on their way: where they fail, there is room again.
const MOMENT: Duration = Duration::from_secs(10);

/// Counts the mails of an hour. What is on its way counts as well, until it has failed.
#[derive(Debug)]
pub(super) struct HourlyQuota {
    /// `None` = as many as there are.
    max: Option<usize>,
    clock: Arc<dyn Clock>,
    hour: Mutex<Hour>,
}

#[derive(Debug, Default)]
struct Hour {
    /// When its first mail was sent, by the steady clock; `None` = none was yet.
    began_at: Option<Timestamp>,
    n_sent: usize,
    /// On their way, or about to be.
    n_reserved: usize,
}

/// Room for mails. What is not used of it is given back in the end, also where a call is dropped.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    hourly: &'a HourlyQuota,
    n_mails: usize,
}

/// When there is room for a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Availability {
    /// At once.
    Now,
    /// Perhaps soon: what is on its way may fail.
    Maybe(Duration),
    /// When this time has passed, and the hour with it.
    NextHour(Duration),
}

impl HourlyQuota {
    pub(super) fn new(max: Option<NonZeroU32>, clock: Arc<dyn Clock>) -> Self {
        let max = max.map(|max| usize::try_from(max.get()).unwrap_or(usize::MAX));
        Self { max, clock, hour: Mutex::default() }
    }

    /// Takes room for `n_wanted` mails, or for as many as the hour leaves.
    pub(super) fn reserve(&self, n_wanted: usize) -> Reservation<'_> {
        let now = self.clock.steady();
        let mut hour = self.lock();
        let n_mails = n_wanted.min(hour.n_left(self.max, now));
        hour.n_reserved += n_mails;
        Reservation { hourly: self, n_mails }
    }

    pub(super) fn availability(&self) -> Availability {
        let now = self.clock.steady();
        let hour = self.lock();
        let is_full = self.max.is_some_and(|max| hour.n_sent >= max);
        match hour.began_at.filter(|_| !hour.is_over(now)) {
            _ if hour.n_left(self.max, now) > 0 => Availability::Now,
            Some(began_at) if is_full => {
                Availability::NextHour(HOUR.saturating_sub(now.since(began_at)))
            }
            _ => Availability::Maybe(MOMENT),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Hour> {
        lock(&self.hour)
    }
}

impl Hour {
    fn is_over(&self, now: Timestamp) -> bool {
        self.began_at.is_none_or(|at| now.since(at) >= HOUR)
    }

    /// How many more may go.
    fn n_left(&self, max: Option<usize>, now: Timestamp) -> usize {
        let Some(max) = max else { return usize::MAX };
        let n_sent = if self.is_over(now) { 0 } else { self.n_sent };
        // Reservations of the hour before count in this one, so the sum may be above `max`.
        max.saturating_sub(n_sent).saturating_sub(self.n_reserved)
    }
}

impl Reservation<'_> {
    pub(super) fn n_mails(&self) -> usize {
        self.n_mails
    }

    /// Gives back all but `n_mails`.
    pub(super) fn keep(&mut self, n_mails: usize) {
        let n_unused = self.n_mails.saturating_sub(n_mails);
        self.n_mails = self.n_mails.min(n_mails);
        let mut hour = self.hourly.lock();
        debug_assert!(hour.n_reserved >= n_unused, "what is given back was reserved");
        hour.n_reserved = hour.n_reserved.saturating_sub(n_unused);
    }

    /// One of the mails was sent.
    pub(super) fn sent_one(&mut self) {
        let now = self.hourly.clock.steady();
        debug_assert!(self.n_mails > 0, "only as many mails are sent as were reserved");
        self.n_mails = self.n_mails.saturating_sub(1);
        let mut hour = self.hourly.lock();
        debug_assert!(hour.n_reserved > 0, "a mail that is sent was reserved");
        hour.n_reserved = hour.n_reserved.saturating_sub(1);
        if hour.is_over(now) {
            (hour.began_at, hour.n_sent) = (Some(now), 0);
        }
        hour.n_sent += 1;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.keep(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::handler::testing::NOW;

    fn hourly(max: u32) -> (Arc<ManualClock>, HourlyQuota) {
        let clock = Arc::new(ManualClock::new(NOW));
        let hourly = HourlyQuota::new(NonZeroU32::new(max), Arc::<ManualClock>::clone(&clock));
        (clock, hourly)
    }

    fn n_left(hourly: &HourlyQuota) -> usize {
        hourly.reserve(9).n_mails()
    }

    fn mins(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    #[test]
    fn an_hour_begins_with_its_first_mail_and_takes_no_more_than_its_mails() {
        let (clock, hourly) = hourly(3);
        let send = |n_mails| {
            let mut reserved = hourly.reserve(n_mails);
            (0..reserved.n_mails()).for_each(|_| reserved.sent_one());
        };
        send(0);
        clock.advance(mins(10));
        send(1);
        clock.advance(mins(10));
        assert_eq!((n_left(&hourly), hourly.availability()), (2, Availability::Now));
        send(9);
        assert_eq!((n_left(&hourly), hourly.availability()), (0, Availability::NextHour(mins(50))));
        clock.advance(mins(49));
        assert_eq!(hourly.availability(), Availability::NextHour(mins(1)));
        clock.advance(mins(1));
        assert_eq!((n_left(&hourly), hourly.availability()), (3, Availability::Now));
    }

    #[test]
    fn what_was_not_sent_is_given_back() {
        let (clock, hourly) = hourly(3);
        let mut one = hourly.reserve(3);
        assert_eq!((n_left(&hourly), hourly.availability()), (0, Availability::Maybe(MOMENT)));
        one.keep(2);
        assert_eq!((n_left(&hourly), hourly.availability()), (1, Availability::Now));
        one.sent_one();
        drop(one);
        assert_eq!((n_left(&hourly), hourly.availability()), (2, Availability::Now));
        // What was on its way when the hour ended counts for the hour in which it went.
        let mut late = hourly.reserve(2);
        clock.advance(HOUR);
        assert_eq!(n_left(&hourly), 1);
        late.sent_one();
        drop(late);
        assert_eq!(n_left(&hourly), 2);
    }

    #[test]
    fn without_a_cap_there_is_always_room() {
        let hourly = HourlyQuota::new(None, Arc::new(ManualClock::new(NOW)));
        let mut reserved = hourly.reserve(1_000);
        assert_eq!(reserved.n_mails(), 1_000);
        reserved.sent_one();
        assert_eq!(hourly.availability(), Availability::Now);
    }
}
