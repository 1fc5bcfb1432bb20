//! One source as requests see it: who may send how much and how often, and what is counted.

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, NotUntil, Quota, RateLimiter};

use super::course::Course;
use super::error::IngestError;
use super::request::{BodyError, BodyLimits, Limits, RequestHead};
use crate::clock::Timestamp;
use crate::metrics::{Metrics, RequestOutcome, SecretMetrics, SourceMetrics};
use crate::source::{MethodUse, RateLimit, Source, Verified};

/// A source with its limits and counters.
#[derive(Debug)]
pub struct Endpoint {
    source: Source,
    metrics: SourceMetrics,
    secrets: Vec<SecretMetrics>,
    limiter: Option<DefaultDirectRateLimiter>,
    /// The longest body, where the source has a limit of its own.
    body_max: Option<usize>,
    /// Whether the log was told of a look by GET.
    had_look: AtomicBool,
    course: Course,
}

impl Endpoint {
    /// `before` is the endpoint of the same name that this one replaces.
    pub(super) fn new(source: Source, metrics: &Metrics, before: Option<&Self>) -> Self {
        let source = match before {
            Some(before) => source.with_keys_of(&before.source),
            None => source,
        };
        let name = source.name();
        let settings = source.settings();
        // A gauge belongs to a place in the list: what it says must go with the secret when the
        // list changes, or a new secret would have been matched before it was there.
        let matched_before: Vec<Timestamp> = (0..source.n_secrets())
            .map(|n| {
                before.and_then(|endpoint| endpoint.last_matched(&source, n)).unwrap_or_default()
            })
            .collect();
        let secrets = matched_before.into_iter().enumerate().map(|(n, at)| {
            let secret = metrics.secret(name, n);
            secret.matched(at);
            secret
        });
        let course = before.map(|before| {
            let mut course = before.course.get();
            // What is expected from now on is not late for what was before.
            if settings.expect_every.is_some() && before.source.settings().expect_every.is_none() {
                course.watched_since = None;
            }
            Course::after(course, is_checked_alike(&source, &before.source))
        });
        Self {
            course: course.unwrap_or_default(),
            metrics: metrics.source(name),
            secrets: secrets.collect(),
            limiter: settings.rate_limit.and_then(quota).map(RateLimiter::direct),
            body_max: settings.body_max.map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
            had_look: AtomicBool::new(before.is_some_and(|one| one.had_look.load(Relaxed))),
            source,
        }
    }

    /// Whether no good request that is taken for a look came before.
    pub(super) fn is_first_look(&self) -> bool {
        !self.had_look.swap(true, Relaxed)
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    pub fn metrics(&self) -> &SourceMetrics {
        &self.metrics
    }

    /// Counts what became of a request at this moment.
    pub(super) fn count(&self, outcome: RequestOutcome, at: Timestamp) {
        self.metrics.request(outcome);
        self.course.note(outcome, at);
    }

    /// How it goes with it.
    pub fn course(&self) -> &Course {
        &self.course
    }

    /// Whether every address may send.
    pub(super) fn is_open(&self) -> bool {
        self.source.settings().allow.is_empty()
    }

    /// What the head alone says: whether the body is worth reading, and how much of it.
    pub(super) fn check_head(
        &self,
        head: &RequestHead<'_>,
        limits: &Limits,
    ) -> Result<BodyLimits, IngestError> {
        if head.is_preflight && !self.source.has_own_options() {
            return Err(IngestError::Preflight { allow: self.source.event_methods() });
        }
        if self.source.method_use(head.method) == MethodUse::None {
            return Err(IngestError::Method { allow: self.source.methods() });
        }
        let is_allowed = |client: IpAddr| {
            self.source.settings().allow.iter().any(|network| network.contains(&client))
        };
        if !self.is_open() && !head.client.is_some_and(is_allowed) {
            return Err(if head.is_behind_unnamed_proxy {
                IngestError::NotAllowedBehindProxy
            } else {
                IngestError::NotAllowed
            });
        }
        let bytes_max = self.bytes_max(limits);
        if head.content_length.is_some_and(|length| length > bytes_max) {
            return Err(BodyError::TooLarge.into());
        }
        Ok(BodyLimits { bytes_max, time: limits.body_timeout })
    }

    /// The longest body that it takes, in bytes.
    pub(super) fn bytes_max(&self, limits: &Limits) -> usize {
        self.body_max.unwrap_or(limits.body_max)
    }

    /// When each secret was last matched since the start, in the order of the configuration.
    pub fn secrets(&self) -> impl Iterator<Item = Option<Timestamp>> {
        self.secrets.iter().map(|secret| {
            let last = secret.last_matched_at();
            (last.as_millis() > 0).then_some(last)
        })
    }

    /// When the secret that `source` has at `index` was last matched here.
    fn last_matched(&self, source: &Source, index: usize) -> Option<Timestamp> {
        let here = source.find_secret_in(index, &self.source)?;
        self.secrets.get(here).map(SecretMetrics::last_matched_at)
    }

    /// Takes a verified request off the source's rate, and notes which secret it was signed with; or
    /// says when there is room again.
    pub(super) fn take_verified(
        &self,
        verified: &Verified,
        received_at: Timestamp,
    ) -> Result<(), Duration> {
        if let Some(limiter) = &self.limiter {
            let wait = |until: NotUntil<_>| until.wait_time_from(DefaultClock::default().now());
            limiter.check().map_err(wait)?;
        }
        if let Some(secret) = self.secrets.get(verified.secret_index()) {
            secret.matched(received_at);
        }
        Ok(())
    }
}

/// Whether both believe the same requests: they have the same rules, and the same secrets.
fn is_checked_alike(source: &Source, before: &Source) -> bool {
    let rules = |source: &Source| format!("{:?}", source.settings().profile);
    source.n_secrets() == before.n_secrets()
        && (0..source.n_secrets()).all(|n| source.find_secret_in(n, before) == Some(n))
        && rules(source) == rules(before)
}

/// So many at once, and as many again in the time that the rate names.
fn quota(rate: RateLimit) -> Option<Quota> {
    let each = rate.per.checked_div(rate.n_requests.get())?;
    Some(Quota::with_period(each)?.allow_burst(rate.n_requests))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lets_its_number_through_at_once_and_says_when_there_is_room_again() {
        let rate = RateLimit::parse("3/h").unwrap();
        let limiter = RateLimiter::direct(quota(rate).unwrap());
        for _ in 0..3 {
            assert!(limiter.check().is_ok());
        }
        let wait = limiter.check().unwrap_err().wait_time_from(DefaultClock::default().now());
        assert!(wait > Duration::from_secs(1190) && wait <= Duration::from_mins(20), "{wait:?}");
    }
}
