//! One handler: what it is built of, its task, and what it is where it could not be built.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::api::{HandlerControl, HandlerStatus};
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, ConfigSnapshot, HandlerSettings};
use crate::deliver::{
    self, BreakerState, GiveUpStreak, Health, HealthRecord, LoopState, Policy, Status,
};
use crate::event::HandlerName;
use crate::handler::{BuildError, Handler};
use crate::queue::{Start, Subscription};
use crate::secret::{Fingerprint, SecretRef};

/// How long a handler's calls fail, at least two of them where another comes so soon, until it counts
/// as down: a restart of the other side takes less.
const DOWN_AFTER: Duration = Duration::from_secs(30);

/// A handler that is ready to run, or the reason why it is not.
pub(in crate::app) struct BuiltHandler {
    pub(super) name: HandlerName,
    pub(super) kind: &'static str,
    pub(super) start: Start,
    pub(super) policy: Policy,
    pub(super) of: BuildInputs,
    pub(super) handler: Result<Arc<dyn Handler>, BuildError>,
}

/// What a handler was built of: with all of it the same it need not be built again.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::app) struct BuildInputs {
    snapshot: ConfigSnapshot,
    secrets: Secrets,
}

impl BuildInputs {
    pub(in crate::app) fn now(config: &Config, handler: &HandlerName) -> Self {
        let secrets = config.secrets_of(handler).map(SecretRef::fingerprint).collect();
        Self { snapshot: config.snapshot_of(handler), secrets }
    }

    /// Whether a secret is another one, and nothing else is.
    pub(in crate::app) fn differs_by_secrets(&self, other: &Self) -> bool {
        self.snapshot == other.snapshot && self.secrets != other.secrets
    }
}

/// What a handler's secrets were when it was built: a new one in the same file is a change.
type Secrets = Vec<Option<Fingerprint>>;

impl BuiltHandler {
    pub(in crate::app) fn new(
        name: HandlerName,
        settings: &HandlerSettings,
        of: BuildInputs,
        handler: Result<Arc<dyn Handler>, BuildError>,
    ) -> Self {
        let (kind, start) = (settings.kind_name, settings.start);
        Self { name, kind, start, policy: settings.policy.clone(), of, handler }
    }
}

pub(super) enum Place {
    /// Its task runs.
    Running(Running),
    /// It could not be started.
    Failed(Failed),
    /// Its task ends with the calls under way; `next` takes its place then, where there is one.
    Finishing { running: Running, next: Option<Box<BuiltHandler>> },
}

pub(super) struct Running {
    pub(super) kind: &'static str,
    pub(super) concurrency: usize,
    pub(super) of: BuildInputs,
    pub(super) control: deliver::Control,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// A handler without a task.
pub(super) struct Failed {
    pub(super) kind: &'static str,
    pub(super) why: String,
    pub(super) since: Timestamp,
    /// Held, so that events wait for it and `handlers forget` cannot drop its cursor.
    pub(super) subscription: Option<Box<dyn Subscription>>,
}

/// How a handler does, for status, alerts and `readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) enum Condition {
    /// It answers.
    Well,
    /// Its calls fail, since then.
    Down { since: Timestamp, n_failures: u32, error: String },
    /// It could not be started, since then.
    Failed { since: Timestamp, reason: String },
    /// It was not called yet, not since a start that knows of earlier failures, is paused or ends; or another
    /// gateway delivers to it.
    Unclear,
}

impl Place {
    pub(super) fn show(&self, name: &HandlerName, clock: &dyn Clock) -> HandlerControl {
        match self {
            Self::Running(running) | Self::Finishing { running, .. } => running.show(clock),
            Self::Failed(Failed { kind, why, .. }) => HandlerControl {
                reason: Some(why.clone()),
                ..HandlerControl::idle(name.clone(), kind, HandlerStatus::Failed)
            },
        }
    }

    pub(super) fn condition(&self, clock: &dyn Clock) -> Condition {
        match self {
            Self::Running(running) => condition(&running.control.status(), clock),
            Self::Failed(Failed { why, since, .. }) => {
                Condition::Failed { since: *since, reason: why.clone() }
            }
            Self::Finishing { .. } => Condition::Unclear,
        }
    }
}

impl Running {
    pub(super) fn show(&self, clock: &dyn Clock) -> HandlerControl {
        let status = self.control.status();
        let state = match status.state {
            LoopState::Paused => HandlerStatus::Paused,
            LoopState::Stopped => HandlerStatus::Stopped,
            LoopState::Finishing => HandlerStatus::Finishing,
            LoopState::Running if down_since(&status, clock.steady()).is_some() => {
                HandlerStatus::Down
            }
            LoopState::Running => HandlerStatus::Running,
        };
        let (now, steady) = (clock.now(), clock.steady());
        let wall = |at: Timestamp| {
            if at > steady { now.after(at.since(steady)) } else { now.before(steady.since(at)) }
        };
        let failing = match status.health {
            Health::Fails { since, count, .. } => Some((since, count)),
            Health::Unknown | Health::Answers => None,
        };
        let left_alone = status.left_alone.filter(|(until, _)| *until > steady);
        let until = left_alone.as_ref().map(|(until, _)| *until);
        HandlerControl {
            reason: left_alone.map(|(_, why)| why.to_string()),
            in_flight: status.in_flight,
            concurrency: self.concurrency,
            health: HealthRecord {
                last_success_at: status.last_success_at,
                last_error: status.last_error,
                failing_since: failing.map(|(since, _)| wall(since)),
                n_failures: failing.map_or(0, |(_, count)| count),
                given_up_since: status.given_up.map(|given_up| wall(given_up.since)),
                n_given_up: status.given_up.map_or(0, |given_up| given_up.count),
            },
            probe_at: status.probe_at.max(until).map(wall),
            began_at: status.began_at,
            stops: status.stops,
            calls: self.control.calls(),
            ..HandlerControl::idle(status.handler, self.kind, state)
        }
    }

    /// Ends its task. Deliveries that do not end in time come back.
    pub(super) async fn end(&self, name: &HandlerName, timeout: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(timeout, self.tasks.wait()).await.is_err() {
            warn!(handler.name = %name, "Deliveries under way took too long; they come back");
        }
    }
}

/// How a handler with a task does.
fn condition(status: &Status, clock: &dyn Clock) -> Condition {
    if status.state != LoopState::Running {
        return Condition::Unclear;
    }
    let steady = clock.steady();
    let trouble = down_since(status, steady).or_else(|| gives_up_since(status, steady));
    if let Some((since, n_failures)) = trouble {
        // Mostly the other side was restarted too, and answers the first call: the time that this
        // process was away is no time of failures.
        if !status.has_failed {
            return Condition::Unclear;
        }
        let since = clock.now().before(steady.since(since));
        let error = status.last_error.as_ref().map(|error| error.text.as_str().to_owned());
        return Condition::Down { since, n_failures, error: error.unwrap_or_default() };
    }
    match status.health {
        // One that gives up all that it gets is not back because it says so at once.
        Health::Answers if status.given_up.is_none_or(|one| one.count < GiveUpStreak::MANY) => {
            Condition::Well
        }
        Health::Answers | Health::Unknown | Health::Fails { .. } => Condition::Unclear,
    }
}

/// Since when a handler is down, by the steady clock, and how many calls failed in a row.
fn down_since(status: &Status, steady: Timestamp) -> Option<(Timestamp, u32)> {
    let Health::Fails { since, count, next_try_at } = status.health else { return None };
    let is_left_alone = match status.breaker {
        BreakerState::Closed => false,
        // One delivery is tried now and then.
        BreakerState::Open | BreakerState::Probing => true,
    };
    // A second call that comes later than that is not waited for, whether the policy puts it off or
    // the other side's `Retry-After`.
    let is_far_off = next_try_at.is_some_and(|at| at.since(since) > DOWN_AFTER);
    let is_sure = count >= 2 || is_far_off;
    let fails_for_long = is_sure && steady.since(since) >= DOWN_AFTER;
    (is_left_alone || fails_for_long).then_some((since, count))
}

/// Since when a handler gives up all that it gets, by the steady clock, and how many deliveries.
fn gives_up_since(status: &Status, steady: Timestamp) -> Option<(Timestamp, u32)> {
    let GiveUpStreak { since, count } = status.given_up?;
    (count >= GiveUpStreak::MANY && steady.since(since) >= DOWN_AFTER).then_some((since, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::health::EVERY;
    use crate::clock::ManualClock;

    fn status(health: Health, given_up: Option<GiveUpStreak>) -> Status {
        let mail = Status::new(HandlerName::parse("mail").unwrap());
        Status { health, given_up, has_failed: true, ..mail }
    }

    #[test]
    fn what_failed_before_a_restart_is_trouble_once_a_call_fails_after_it() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let clock = ManualClock::new(now);
        let since = clock.steady().before(Duration::from_mins(1));
        let fails = Health::Fails { since, count: 2, next_try_at: None };
        let streak = GiveUpStreak { since, count: GiveUpStreak::MANY };
        for (health, given_up) in [(fails, None), (Health::Unknown, Some(streak))] {
            let recalled = Status { has_failed: false, ..status(health, given_up) };
            assert_eq!(condition(&recalled, &clock), Condition::Unclear);
            let called = Status { has_failed: true, ..recalled };
            let is_since = |condition: Condition| match condition {
                Condition::Down { since, .. } => Some(since),
                Condition::Well | Condition::Failed { .. } | Condition::Unclear => None,
            };
            assert_eq!(
                is_since(condition(&called, &clock)),
                Some(now.before(Duration::from_mins(1)))
            );
        }
    }

    #[test]
    fn handler_that_gives_up_several_in_a_row_is_told_as_down() {
        let since = Timestamp::from_millis(1_000);
        for (count, after, expected) in
            [(1, 90, false), (2, 90, false), (3, 29, false), (3, 30, true)]
        {
            let status = status(Health::Answers, Some(GiveUpStreak { since, count }));
            let found = gives_up_since(&status, since.after(Duration::from_secs(after)));
            assert_eq!(found.is_some(), expected, "{count} {after}");
        }
        assert_eq!(gives_up_since(&status(Health::Answers, None), since), None);
    }

    /// From its first failure on, with the default `retry` and `timeout`, however the waits fall.
    #[test]
    fn handler_that_fails_is_told_of_within_a_minute() {
        let since = Timestamp::from_millis(1_000);
        let shortest = deliver::Retry::DEFAULT.min;
        for wait in [shortest, shortest * 2] {
            for takes in [Duration::ZERO, Policy::TIMEOUT] {
                let again_at = wait + takes;
                let is_down = |after: Duration| {
                    let (count, next) =
                        if after < again_at { (1, wait) } else { (2, again_at + wait) };
                    let next_try_at = Some(since.after(next));
                    let status = status(Health::Fails { since, count, next_try_at }, None);
                    down_since(&status, since.after(after)).is_some()
                };
                let told = (1..=60).map(Duration::from_secs).find(|after| is_down(*after));
                // It is looked at now and then.
                let told = told.map(|after| after + EVERY);
                let within = |told: Duration| told <= Duration::from_mins(1);
                assert!(told.is_some_and(within), "{wait:?} {takes:?}: {told:?}");
            }
        }
    }

    #[test]
    fn handler_is_down_after_two_failures_or_one_whose_next_try_is_far_off() {
        let since = Timestamp::from_millis(1_000);
        let is_down = |count: u32, next_try: Option<u64>, after: u64| {
            let next_try_at = next_try.map(|secs| since.after(Duration::from_secs(secs)));
            let status = status(Health::Fails { since, count, next_try_at }, None);
            let steady = since.after(Duration::from_secs(after));
            down_since(&status, steady).is_some()
        };
        for (count, next_try, after, expected) in [
            (1, Some(10), 31, false),
            (2, Some(10), 29, false),
            (2, Some(10), 30, true),
            (2, None, 30, true),
            (1, Some(30), 31, false),
            (1, Some(3_600), 29, false),
            (1, Some(3_600), 30, true),
            // Its only event was given up: that is told by itself.
            (1, None, 31, false),
        ] {
            let found = is_down(count, next_try, after);
            assert_eq!(found, expected, "{count} {next_try:?} {after}");
        }
    }
}
