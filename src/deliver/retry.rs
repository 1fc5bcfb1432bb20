//! The retry policy, as a function of its arguments.

use std::time::Duration;

use super::settings::Retry;
use crate::clock::Timestamp;
use crate::event::{Failure, FailureKind};

/// What the policy says after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, not before this moment.
    Again(Timestamp),
    /// Give up: another try cannot help, or there were enough.
    Never,
}

/// What comes after try number `attempt` failed at `now`. `first_attempt_at` and `now` are by the
/// steady clock; `random` is evenly spread over 0..1.
///
/// A delivery whose next wait ends after the policy's total time has a last try at that moment, so
/// that a long `Retry-After` does not cost the rest of the time.
pub fn decide(
    policy: &Retry,
    attempt: u32,
    first_attempt_at: Timestamp,
    now: Timestamp,
    failure: &Failure,
    random: f64,
) -> Verdict {
    let asked = failure.retry_after.unwrap_or_default();
    match failure.kind {
        FailureKind::Permanent => return Verdict::Never,
        // It was not tried: there is no end to that, and all of it is due at the same moment.
        FailureKind::PutOff => return Verdict::Again(now.after(asked)),
        FailureKind::Transient => {}
    }
    let last = first_attempt_at.after(policy.total);
    if attempt >= policy.attempts.get() || now >= last {
        return Verdict::Never;
    }
    Verdict::Again(now.after(wait(policy, attempt, random).max(asked)).min(last))
}

/// Full jitter: evenly spread between `min` and the ceiling, so that what failed together does not
/// come back together.
fn wait(policy: &Retry, attempt: u32, random: f64) -> Duration {
    let max = policy.max.max(policy.min);
    let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
    let ceiling = policy.min.saturating_mul(factor).min(max);
    let spread = ceiling.saturating_sub(policy.min);
    // Outside 0..1 there is nothing to be had from a random source that means it.
    policy.min.saturating_add(spread.mul_f64(random.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

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
            decide(&Retry::DEFAULT, attempt, NOW.before(since_first), NOW, &refused(), random);
        let expected = expected.map_or(Verdict::Never, |wait| Verdict::Again(NOW.after(wait)));
        assert_eq!(verdict, expected);
    }

    #[test]
    fn the_wait_is_spread_below_a_ceiling_that_doubles() {
        check(1, secs(0), 0.0, Some(secs(10)));
        check(1, secs(0), 1.0, Some(secs(20)));
        check(2, secs(0), 1.0, Some(secs(40)));
        check(2, secs(0), 0.5, Some(secs(25)));
        check(11, secs(0), 1.0, Some(secs(20_480)));
        let patient = Retry { attempts: NonZeroU32::MAX, ..Retry::DEFAULT };
        for attempt in [12, 31, 32, 33, u32::MAX - 1] {
            let verdict = decide(&patient, attempt, NOW, NOW, &refused(), 1.0);
            assert_eq!(verdict, Verdict::Again(NOW.after(patient.max)));
        }
    }

    #[test]
    fn it_ends_with_the_attempts_and_with_the_total_time() {
        check(12, secs(0), 0.0, None);
        check(1, Retry::DEFAULT.total, 0.0, None);
        check(1, Retry::DEFAULT.total.saturating_sub(secs(5)), 0.0, Some(secs(5)));
    }

    #[test]
    fn a_permanent_failure_is_the_end() {
        let failure = Failure::permanent("404").with_retry_after(Some(secs(1)));
        assert_eq!(decide(&Retry::DEFAULT, 1, NOW, NOW, &failure, 0.0), Verdict::Never);
    }

    #[test]
    fn retry_after_is_obeyed_within_the_total_time() {
        let asked =
            |asked| decide(&Retry::DEFAULT, 1, NOW, NOW, &refused().with_retry_after(asked), 0.0);
        assert_eq!(asked(Some(secs(3_600))), Verdict::Again(NOW.after(secs(3_600))));
        assert_eq!(asked(Some(secs(1))), Verdict::Again(NOW.after(secs(10))));
        assert_eq!(asked(Some(Duration::MAX)), Verdict::Again(NOW.after(Retry::DEFAULT.total)));
    }

    #[test]
    fn what_is_put_off_is_due_when_it_says_however_often() {
        for (attempt, since_first) in [(1, secs(0)), (12, secs(0)), (1, Retry::DEFAULT.total)] {
            for wait in [secs(0), secs(3_600)] {
                let failure = Failure::put_off("not yet", wait);
                let first = NOW.before(since_first);
                let verdict = decide(&Retry::DEFAULT, attempt, first, NOW, &failure, 1.0);
                assert_eq!(verdict, Verdict::Again(NOW.after(wait)));
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
            attempts in 1..200_u32, min in durations(), max in durations(), total in durations(),
        ) -> Retry {
            Retry { attempts: NonZeroU32::new(attempts).unwrap(), min, max, total }
        }
    }

    proptest! {
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
            match decide(&policy, attempt, first, now, &failure, random) {
                Verdict::Again(at) => {
                    prop_assert!(at >= now);
                    prop_assert!(at <= first.after(policy.total));
                    prop_assert!(attempt < policy.attempts.get());
                    let wait = at.since(now);
                    let longest = policy.max.max(policy.min).max(asked.unwrap_or_default());
                    prop_assert!(wait <= longest);
                    if at < first.after(policy.total) {
                        // Milliseconds are all that a timestamp knows.
                        prop_assert!(wait >= policy.min.max(asked.unwrap_or_default()));
                    }
                }
                Verdict::Never => prop_assert!(
                    attempt >= policy.attempts.get() || now >= first.after(policy.total)
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
        fn every_delivery_ends(policy in policies(), seed in 0.0..1.0_f64) {
            let mut now = NOW;
            for attempt in 1..=policy.attempts.get() {
                match decide(&policy, attempt, NOW, now, &refused(), seed) {
                    Verdict::Again(at) => now = at,
                    Verdict::Never => return Ok(()),
                }
            }
            prop_assert!(false, "more tries than the policy has");
        }
    }
}
