//! When a certificate is renewed, and when it is tried again.

use std::time::Duration;

use crate::clock::Timestamp;

use super::super::Certificate;

/// After a failure: a minute, then three times as long each time, up to this.
const RETRY_MIN: Duration = Duration::from_mins(1);
const RETRY_MAX: Duration = Duration::from_hours(6);
/// Authorities count failures and orders by the hour.
const RATE_LIMIT_MIN: Duration = Duration::from_hours(1);

/// How long to wait after so many failures in a row.
pub fn retry_after(n_failures: u32, is_rate_limit: bool) -> Duration {
    let factor = 3_u32.saturating_pow(n_failures.saturating_sub(1));
    let wait = RETRY_MIN.saturating_mul(factor).min(RETRY_MAX);
    if is_rate_limit { wait.max(RATE_LIMIT_MIN) } else { wait }
}

/// When one certificate is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When two thirds of its life are over.
    default: Timestamp,
    /// What the authority suggests (ARI): a time between these two.
    window: Option<(Timestamp, Timestamp)>,
    /// Where within the window, in 256ths: of the certificate, so that it stays the same.
    part: u8,
}

impl Schedule {
    /// For a certificate of which its authority has said nothing yet.
    pub fn of(certificate: &Certificate) -> Self {
        let life = certificate.not_after().since(certificate.not_before());
        let default = certificate.not_before().after(life / 3 * 2);
        let part = certificate.serial().last().copied().unwrap_or_default();
        Self { default, window: None, part }
    }

    /// Takes what the authority suggests in place of the rule.
    pub fn suggest(&mut self, window: (Timestamp, Timestamp)) {
        self.window = Some(window);
    }

    /// When to renew.
    pub fn due(&self) -> Timestamp {
        match self.window {
            Some((start, end)) => start.after(end.since(start) / 256 * u32::from(self.part)),
            None => self.default,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_wait_longer_each_time_up_to_a_bound() {
        let minutes = |n, is_limit| retry_after(n, is_limit).as_secs() / 60;
        let waits: Vec<u64> = (1..8).map(|n| minutes(n, false)).collect();
        assert_eq!(waits, [1, 3, 9, 27, 81, 243, 360]);
        assert_eq!(minutes(1, true), 60);
        assert_eq!(minutes(u32::MAX, true), 360);
    }

    #[test]
    fn certificate_is_renewed_at_two_thirds_or_when_its_authority_says() {
        let at = |hours: u64| Timestamp::from_millis(0).after(Duration::from_hours(hours));
        let mut schedule = Schedule { default: at(60), window: None, part: 128 };
        assert_eq!(schedule.due(), at(60));
        schedule.suggest((at(10), at(20)));
        assert_eq!(schedule.due(), at(15));
        // It was withdrawn: at once.
        schedule.suggest((at(0), at(0)));
        assert_eq!(schedule.due(), at(0));
    }
}
