//! How a handler's loop is steered and looked at from outside.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::breaker::{Breaker, BreakerState};
use super::health_record::{HealthRecord, LastError};
use super::stops::{StopCause, Stoppage, Stops};
use super::under_way::CallsUnderWay;
use crate::clock::{Clock, Timestamp};
use crate::event::{ErrorText, EventId, HandlerName};
use crate::sync::lock;

/// How often is looked whether a loop has gone round.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Steers one handler's loop. Cheap to clone; outlives the loop.
#[derive(Clone, Debug)]
pub struct Control(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) mode: watch::Sender<Mode>,
    pub(super) calls: CallsUnderWay,
    seen: Mutex<Seen>,
}

/// What the loop was told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Run,
    Pause,
    Finish,
}

#[derive(Clone, Debug)]
struct Seen {
    /// But for its state and stops, which are told from what follows.
    status: Status,
    has_ended: bool,
    /// How often the loop has gone round.
    rounds: u64,
    /// Whether it waits for a queue that cannot answer.
    is_waiting: bool,
    /// Whether the owner wants a try at once.
    is_asked: bool,
    stops: Stops,
}

/// How a handler's loop is at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    pub handler: HandlerName,
    pub state: LoopState,
    /// Whether the handler is left alone because it is down.
    pub breaker: BreakerState,
    /// When it is tried next while it is left alone, by the steady clock.
    pub probe_at: Option<Timestamp>,
    pub health: Health,
    /// What was given up since the newest delivery that was made; `None` = nothing.
    pub given_up: Option<GiveUpStreak>,
    /// Whether a call failed or was given up by this loop; `false` = what is known of failures is of an
    /// earlier process, and may be over.
    pub has_failed: bool,
    pub in_flight: usize,
    /// Deliveries that were taken and are not on their way yet.
    pub taken: usize,
    /// Until when it takes nothing, by the steady clock, and why: that was asked for, or is its own rate.
    pub left_alone: Option<(Timestamp, ErrorText)>,
    /// The newest failure, of an earlier process too.
    pub last_error: Option<LastError>,
    /// When the newest delivery was made, by an earlier process too, by the wall clock.
    pub last_success_at: Option<Timestamp>,
    /// When its loop began, by the wall clock.
    pub began_at: Option<Timestamp>,
    /// When the handler was given nothing since then.
    pub stops: Vec<Stoppage>,
}

/// Whether a handler answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It was not called yet.
    #[default]
    Unknown,
    /// Its last call was answered, even if it did not want the event.
    Answers,
    /// Its last calls failed, and other tries may not.
    Fails {
        /// When the first of them failed, by the steady clock.
        since: Timestamp,
        count: u32,
        /// When what the newest of them was about is tried again, by the steady clock; `None` = it was
        /// given up.
        next_try_at: Option<Timestamp>,
    },
}

/// Deliveries that were given up one after the other, without one that was made in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GiveUpStreak {
    /// When the first of them was, by the steady clock.
    pub since: Timestamp,
    pub count: u32,
}

impl GiveUpStreak {
    /// So many in a row are no odd event any more, but the handler.
    pub const MANY: u32 = 3;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopState {
    Running,
    /// It was told to pause: calls under way end, no new ones begin.
    Paused,
    /// It takes nothing new: another is to take its place.
    Finishing,
    Stopped,
}

impl Status {
    /// Of a loop that has not gone round yet.
    pub(crate) fn new(handler: HandlerName) -> Self {
        Self {
            handler,
            state: LoopState::Running,
            breaker: BreakerState::default(),
            probe_at: None,
            health: Health::Unknown,
            given_up: None,
            has_failed: false,
            in_flight: 0,
            taken: 0,
            left_alone: None,
            last_error: None,
            last_success_at: None,
            began_at: None,
            stops: Vec::new(),
        }
    }
}

impl Control {
    pub(super) fn new(name: HandlerName) -> Self {
        let mode = watch::Sender::new(Mode::Run);
        let calls = CallsUnderWay::default();
        let seen = Seen {
            status: Status::new(name),
            has_ended: false,
            rounds: 0,
            is_waiting: false,
            is_asked: false,
            stops: Stops::default(),
        };
        Self(Arc::new(Shared { mode, calls, seen: Mutex::new(seen) }))
    }

    /// Goes on from what an earlier process knew of the handler, before its loop begins: what failed until
    /// then fails until a call is answered.
    pub fn recall(&self, record: HealthRecord, clock: &dyn Clock) {
        let (now, steady) = (clock.now(), clock.steady());
        let steadily = |at: Timestamp| steady.before(now.since(at));
        self.0.with(|Seen { status, .. }| {
            if let Some(at) = record.failing_since {
                let (since, count) = (steadily(at), record.n_failures);
                status.health = Health::Fails { since, count, next_try_at: None };
            }
            status.given_up = record
                .given_up_since
                .map(|at| GiveUpStreak { since: steadily(at), count: record.n_given_up });
            status.last_error = record.last_error;
            status.last_success_at = record.last_success_at;
        });
    }

    /// Forgets how the handler did: another gateway calls it, and what comes of that is not known here.
    pub fn forget(&self) {
        self.0.with(|Seen { status, .. }| {
            (status.health, status.given_up, status.has_failed) = (Health::Unknown, None, false);
            (status.last_error, status.last_success_at) = (None, None);
        });
    }

    /// No new calls begin until [`Control::resume`]. It does not outlive the process.
    pub fn pause(&self) {
        self.0.mode.send_replace(Mode::Pause);
    }

    pub fn resume(&self) {
        self.0.mode.send_replace(Mode::Run);
    }

    /// One delivery is tried at once, whatever the breaker says and whenever its next try is due.
    pub fn try_now(&self) {
        self.0.with(|seen| seen.is_asked = true);
        self.0.mode.send_modify(|_mode| {});
    }

    /// Takes nothing new and ends once the calls under way have ended, each within its `timeout`.
    pub fn finish(&self) {
        self.0.mode.send_replace(Mode::Finish);
    }

    /// Wakes the loop and waits until it has gone round: for ever where something blocks it. One that
    /// has ended, or waits for a queue that cannot answer, is not waited for.
    pub async fn go_round(&self) {
        let before = self.0.with(|seen| seen.rounds);
        self.0.mode.send_modify(|_mode| {});
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            if self.0.with(|seen| seen.has_ended || seen.is_waiting || seen.rounds != before) {
                return;
            }
        }
    }

    /// Which deliveries are with the handler.
    pub fn calls(&self) -> CallsUnderWay {
        self.0.calls.clone()
    }

    /// How the loop is at this moment.
    pub fn status(&self) -> Status {
        let seen = self.0.with(|seen| seen.clone());
        let mode = *self.0.mode.borrow();
        let state = match mode {
            _ if seen.has_ended => LoopState::Stopped,
            Mode::Run => LoopState::Running,
            Mode::Pause => LoopState::Paused,
            Mode::Finish => LoopState::Finishing,
        };
        Status { state, stops: seen.stops.list(), ..seen.status }
    }
}

impl Shared {
    /// Plain values: a panic elsewhere leaves nothing half done.
    fn with<T>(&self, step: impl FnOnce(&mut Seen) -> T) -> T {
        step(&mut lock(&self.seen))
    }

    /// What the loop sees when it goes round at `now`, by the wall clock.
    pub(super) fn counted(
        &self,
        breaker: &Breaker,
        in_flight: usize,
        taken: usize,
        now: Timestamp,
    ) {
        let is_paused = *self.mode.borrow() == Mode::Pause;
        self.with(|seen| {
            seen.status.began_at.get_or_insert(now);
            seen.stops.look(StopCause::Paused, is_paused, now);
            seen.stops.look(StopCause::Down, breaker.state() != BreakerState::Closed, now);
            seen.rounds = seen.rounds.wrapping_add(1);
            seen.is_waiting = false;
            let status = &mut seen.status;
            (status.breaker, status.probe_at) = (breaker.state(), breaker.probe_at());
            (status.in_flight, status.taken) = (in_flight, taken);
        });
    }

    /// Whether the owner wants a try at once; says so once.
    pub(super) fn take_asked(&self) -> bool {
        self.with(|seen| std::mem::take(&mut seen.is_asked))
    }

    pub(super) fn succeeded(&self, at: Timestamp) {
        self.with(|Seen { status, .. }| {
            status.last_success_at = Some(at);
            status.given_up = None;
        });
    }

    /// A delivery was given up at `now`, by the steady clock.
    pub(super) fn gave_up(&self, now: Timestamp) {
        self.with(|Seen { status, .. }| {
            let before = status.given_up.unwrap_or(GiveUpStreak { since: now, count: 0 });
            let count = before.count.saturating_add(1);
            status.given_up = Some(GiveUpStreak { count, ..before });
            status.has_failed = true;
        });
    }

    pub(super) fn failed(&self, at: Timestamp, event: EventId, text: ErrorText) {
        self.with(|seen| seen.status.last_error = Some(LastError { at, event, text }));
    }

    /// It takes nothing until then.
    pub(super) fn left_alone(&self, until: Option<(Timestamp, ErrorText)>) {
        self.with(|seen| seen.status.left_alone = until);
    }

    pub(super) fn answers(&self) {
        self.with(|seen| seen.status.health = Health::Answers);
    }

    /// A call failed, and another may not; the next try of it is at `next_try_at`.
    pub(super) fn fails(&self, now: Timestamp, next_try_at: Option<Timestamp>) {
        self.with(|Seen { status, .. }| {
            let (since, count) = match status.health {
                Health::Unknown | Health::Answers => (now, 0),
                Health::Fails { since, count, .. } => (since, count),
            };
            let count = count.saturating_add(1);
            status.health = Health::Fails { since, count, next_try_at };
            status.has_failed = true;
        });
    }

    /// The queue cannot answer, and is asked again later. The calls under way ended with the worker.
    pub(super) fn waits(&self) {
        self.calls.clear();
        self.with(|seen| seen.is_waiting = true);
    }

    pub(super) fn ended(&self) {
        self.calls.clear();
        self.with(|seen| {
            seen.has_ended = true;
            (seen.status.in_flight, seen.status.taken) = (0, 0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::deliver::settings;

    /// Longer than the watchdog waits for a loop.
    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_recalled_is_no_failure_of_this_process_until_a_call_fails() {
        let (then, now) = (Timestamp::from_millis(1_000), Timestamp::from_millis(61_000));
        let clock = ManualClock::new(now);
        let record = HealthRecord {
            failing_since: Some(then),
            n_failures: 2,
            given_up_since: Some(then),
            n_given_up: 3,
            ..HealthRecord::default()
        };
        let since = clock.steady().before(Duration::from_mins(1));
        let fails = |count| Health::Fails { since, count, next_try_at: None };
        let of = |control: &Control| {
            let status = control.status();
            (status.health, status.given_up.map(|one| one.count), status.has_failed)
        };
        let control = Control::new(HandlerName::parse("mail").unwrap());
        control.recall(record.clone(), &clock);
        assert_eq!(of(&control), (fails(2), Some(3), false));
        control.0.fails(clock.steady(), None);
        assert_eq!(of(&control), (fails(3), Some(3), true));
        // Another gateway calls it.
        control.forget();
        assert_eq!(of(&control), (Health::Unknown, None, false));
        control.recall(record, &clock);
        control.0.gave_up(clock.steady());
        assert_eq!(of(&control), (fails(2), Some(4), true));
    }

    #[tokio::test(start_paused = true)]
    async fn loop_is_waited_for_until_it_goes_round_ends_or_waits_for_its_queue() {
        let control = Control::new(HandlerName::parse("mail").unwrap());
        let goes_round = || tokio::time::timeout(LONG, control.go_round());
        assert!(goes_round().await.is_err(), "nobody loops");
        let breaker = Breaker::new(settings::Breaker::DEFAULT);
        let counts = async {
            tokio::time::sleep(LONG / 2).await;
            control.0.counted(&breaker, 0, 0, Timestamp::from_millis(0));
        };
        let (went, ()) = tokio::join!(goes_round(), counts);
        assert!(went.is_ok(), "it went round once");
        assert!(goes_round().await.is_err(), "and not again");
        control.0.waits();
        assert!(goes_round().await.is_ok());
        control.0.counted(&breaker, 0, 0, Timestamp::from_millis(0));
        assert!(goes_round().await.is_err());
        control.0.ended();
        assert!(goes_round().await.is_ok());
    }
}
