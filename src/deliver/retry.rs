//! The retry policy, as a function of its arguments.

use std::time::Duration;

use super::settings::{Growth, Retry};
use crate::clock::Timestamp;
use crate::event::{Failure, FailureKind};

/// When to try again after try number `attempt` failed at `now`; `None` = never: another try cannot
/// help, or there were enough. `first_attempt_at` and `now` are by the
/// steady clock; `random` is evenly spread over 0..1.
///
/// A delivery whose next wait ends after the policy's total time has a last try at that moment, so
/// that a long `Retry-After` does not cost the rest of the time.
pub fn next_try(
    policy: &Retry,
    attempt: u32,
    first_attempt_at: Timestamp,
    now: Timestamp,
    failure: &Failure,
    random: f64,
) -> Option<Timestamp> {
    let asked = failure.retry_after.unwrap_or_default();
    match failure.kind {
        FailureKind::Permanent => return None,
        // It was not tried: there is no end to that, and all of it is due at the same moment.
        FailureKind::Deferred | FailureKind::Paused => return Some(now.after(asked)),
        FailureKind::Transient => {}
    }
    let last = first_attempt_at.after(policy.total);
    let had_enough = policy.attempts.is_some_and(|attempts| attempt >= attempts.get());
    if had_enough || now >= last {
        return None;
    }
    Some(now.after(wait(policy, attempt, random).max(asked)).min(last))
}

/// Full jitter: evenly spread between `min` and the ceiling, so that what failed together does not
/// come back together.
fn wait(policy: &Retry, attempt: u32, random: f64) -> Duration {
    let ceiling = ceiling(policy, policy.growth, attempt);
    let spread = ceiling.saturating_sub(policy.min);
    // Outside 0..1 there is nothing to be had from a random source that means it.
    policy.min.saturating_add(spread.mul_f64(random.clamp(0.0, 1.0)))
}

/// The longest wait after try number `attempt`.
fn ceiling(policy: &Retry, growth: Growth, attempt: u32) -> Duration {
    let max = policy.max.max(policy.min);
    // More than 1,024 doublings of a nanosecond are beyond every `max`.
    let exponent = i32::try_from(attempt).unwrap_or(i32::MAX).min(1_024);
    let ceiling = policy.min.as_secs_f64() * growth.factor().powi(exponent);
    if policy.min.is_zero() {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(ceiling).unwrap_or(max).clamp(policy.min, max)
}

impl Retry {
    /// How long it is tried in the mean, where the waits grow by `growth` and `total` does not end
    /// them.
    pub fn mean(&self, growth: Growth) -> Duration {
        let Some(attempts) = self.attempts else { return Duration::MAX };
        let n_waits = attempts.get().saturating_sub(1);
        let mut sum = Duration::ZERO;
        if self.min.is_zero() {
            // It never grows.
            return sum;
        }
        for attempt in 1..=n_waits {
            let ceiling = ceiling(self, growth, attempt);
            let mean = self.min.saturating_add(ceiling) / 2;
            if ceiling >= self.max || sum >= self.total {
                let n_left = n_waits.saturating_sub(attempt).saturating_add(1);
                return sum.saturating_add(mean.saturating_mul(n_left));
            }
            sum = sum.saturating_add(mean);
        }
        sum
    }

    /// The same, with waits that grow as fast as it takes for the tries to last for `total` in the
    /// mean; never slower than by doubling, never beyond `max`.
    #[must_use]
    pub fn spread_over_total(self) -> Self {
        let (mut slow, mut fast) = (Growth::DOUBLING.0, Growth::MAX.0);
        if self.mean(Growth::DOUBLING) >= self.total {
            return Self { growth: Growth::DOUBLING, ..self };
        }
        while slow < fast {
            let middle = slow + (fast - slow) / 2;
            if self.mean(Growth(middle)) < self.total { slow = middle + 1 } else { fast = middle }
        }
        Self { growth: Growth(slow), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn refused() -> Failure {
        Failure::transient("refused")
    }

    #[track_caller]
    fn check(attempt: u32, since_first: Duration, random: f64, expected: Option<Duration>) {
        let verdict =
            next_try(&Retry::DEFAULT, attempt, NOW.before(since_first), NOW, &refused(), random);
        let expected = expected.map(|wait| NOW.after(wait));
        assert_eq!(verdict, expected);
    }

    #[test]
    fn the_wait_is_spread_below_a_ceiling_that_doubles() {
        check(1, secs(0), 0.0, Some(secs(10)));
        check(1, secs(0), 1.0, Some(secs(20)));
        check(2, secs(0), 1.0, Some(secs(40)));
        check(2, secs(0), 0.5, Some(secs(25)));
        check(11, secs(0), 1.0, Some(secs(20_480)));
        for attempt in [12, 31, 32, 33, u32::MAX] {
            check(attempt, secs(0), 1.0, Some(Retry::DEFAULT.max));
        }
    }

    #[test]
    fn it_ends_with_the_total_time_and_with_the_attempts_where_there_are_some() {
        check(1_000, secs(0), 0.0, Some(secs(10)));
        let few = Retry { attempts: NonZeroU32::new(12), ..Retry::DEFAULT };
        let verdict = |attempt| next_try(&few, attempt, NOW, NOW, &refused(), 0.0);
        assert_eq!((verdict(11), verdict(12)), (Some(NOW.after(secs(10))), None));
        check(1, Retry::DEFAULT.total, 0.0, None);
        check(1, Retry::DEFAULT.total.saturating_sub(secs(5)), 0.0, Some(secs(5)));
    }

    #[test]
    fn a_permanent_failure_is_the_end() {
        let failure = Failure::permanent("404").with_retry_after(Some(secs(1)));
        assert_eq!(next_try(&Retry::DEFAULT, 1, NOW, NOW, &failure, 0.0), None);
    }

    #[test]
    fn retry_after_is_obeyed_within_the_total_time() {
        let asked =
            |asked| next_try(&Retry::DEFAULT, 1, NOW, NOW, &refused().with_retry_after(asked), 0.0);
        assert_eq!(asked(Some(secs(3_600))), Some(NOW.after(secs(3_600))));
        assert_eq!(asked(Some(secs(1))), Some(NOW.after(secs(10))));
        assert_eq!(asked(Some(Duration::MAX)), Some(NOW.after(Retry::DEFAULT.total)));
    }

    #[test]
    fn what_is_put_off_is_due_when_it_says_however_often() {
        for (attempt, since_first) in [(1, secs(0)), (12, secs(0)), (1, Retry::DEFAULT.total)] {
            for wait in [secs(0), secs(3_600)] {
                let failure = Failure::deferred("not yet", wait);
                let first = NOW.before(since_first);
                let verdict = next_try(&Retry::DEFAULT, attempt, first, NOW, &failure, 1.0);
                assert_eq!(verdict, Some(NOW.after(wait)));
            }
        }
    }

    prop_compose! {
        fn durations()(secs in prop_oneof![0..100_u64, 0..10_000_000_u64, Just(u64::MAX)]) -> Duration {
            Duration::from_secs(secs)
        }
    }

    prop_compose! {
        fn policies()(
            attempts in 0..200_u32,
            min in durations(),
            max in durations(),
            total in durations(),
            growth in Growth::DOUBLING.0..Growth::MAX.0,
        ) -> Retry {
            let attempts = NonZeroU32::new(attempts);
            Retry { attempts, min, max, total, growth: Growth(growth) }
        }
    }

    /// How long a delivery that always fails is tried, and how often.
    fn life(policy: &Retry, seed: u64) -> (Duration, u32) {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut now, mut attempt) = (NOW, 1);
        while let Some(at) = next_try(policy, attempt, NOW, now, &refused(), random.random()) {
            (now, attempt) = (at, attempt + 1);
        }
        (now.since(NOW), attempt)
    }

    #[test]
    fn the_default_is_tried_for_three_days_however_the_dice_fall() {
        for seed in 0..1_000 {
            let (time, n_tries) = life(&Retry::DEFAULT, seed);
            assert_eq!(time, Duration::from_hours(72), "after {n_tries} tries");
            assert!((20..80).contains(&n_tries), "{n_tries}");
        }
    }

    #[test]
    fn tries_that_are_counted_are_spread_over_the_total() {
        for (attempts, total, max) in [
            (5, Duration::from_hours(1), Duration::from_hours(6)),
            (12, Duration::from_hours(24), Duration::from_hours(6)),
            (20, Duration::from_hours(48), Duration::from_hours(6)),
            (30, Duration::from_hours(72), Duration::from_hours(6)),
        ] {
            let attempts = NonZeroU32::new(attempts);
            let policy = Retry { attempts, max, total, ..Retry::DEFAULT }.spread_over_total();
            let mean = policy.mean(policy.growth).as_secs_f64() / total.as_secs_f64();
            assert!((0.97..1.1).contains(&mean), "{policy:?}: {mean}");
            // `total` cuts the longer half of the lives.
            let times = (0..2_000).map(|seed| life(&policy, seed).0.as_secs_f64());
            let mean_time = times.sum::<f64>() / 2_000.0 / total.as_secs_f64();
            assert!((0.7..=1.0).contains(&mean_time), "{policy:?}: {mean_time}");
        }
    }

    proptest! {
        #[test]
        fn the_mean_reaches_the_total_wherever_the_longest_waits_could(
            policy in policies(),
        ) {
            let spread = policy.spread_over_total();
            let mean = spread.mean(spread.growth);
            prop_assert!(mean >= policy.total || spread.growth == Growth::MAX);
            // The next slower growth would not do.
            if spread.growth > Growth::DOUBLING {
                let slower = Growth(spread.growth.0 - 1);
                prop_assert!(spread.mean(slower) < policy.total);
            }
        }

        #[test]
        fn a_retry_lies_ahead_and_within_all_bounds(
            policy in policies(),
            attempt in 1..300_u32,
            passed in durations(),
            asked in prop::option::of(durations()),
            random in 0.0..1.0_f64,
        ) {
            let (first, now) = (NOW, NOW.after(passed));
            let failure = refused().with_retry_after(asked);
            match next_try(&policy, attempt, first, now, &failure, random) {
                Some(at) => {
                    prop_assert!(at >= now);
                    prop_assert!(at <= first.after(policy.total));
                    prop_assert!(policy.attempts.is_none_or(|most| attempt < most.get()));
                    let wait = at.since(now);
                    let longest = policy.max.max(policy.min).max(asked.unwrap_or_default());
                    prop_assert!(wait <= longest);
                    if at < first.after(policy.total) {
                        // Milliseconds are all that a timestamp knows.
                        prop_assert!(wait >= policy.min.max(asked.unwrap_or_default()));
                    }
                }
                None => prop_assert!(
                    policy.attempts.is_some_and(|most| attempt >= most.get())
                        || now >= first.after(policy.total)
                ),
            }
        }

        #[test]
        fn more_luck_never_means_a_shorter_wait(
            policy in policies(),
            attempt in 1..20_u32,
            one in 0.0..1.0_f64,
            other in 0.0..1.0_f64,
        ) {
            let wait_of = |random| wait(&policy, attempt, random);
            prop_assert!(wait_of(one.min(other)) <= wait_of(one.max(other)));
            prop_assert!(wait_of(one) <= wait(&policy, attempt + 1, one));
        }

        #[test]
        fn every_delivery_with_counted_tries_ends(
            policy in policies(),
            attempts in 1..200_u32,
            seed in 0.0..1.0_f64,
        ) {
            let policy = Retry { attempts: NonZeroU32::new(attempts), ..policy };
            let mut now = NOW;
            for attempt in 1..=attempts {
                match next_try(&policy, attempt, NOW, now, &refused(), seed) {
                    Some(at) => now = at,
                    None => return Ok(()),
                }
            }
            prop_assert!(false, "more tries than the policy has");
        }
    }
}
