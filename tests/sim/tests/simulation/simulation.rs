//! One run: a subject, the oracle beside it, and the clients between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gatepost_sim::clock::{Clock, ManualClock, Timestamp};
use gatepost_sim::event::{HandlerName, NewEvent, OrderKey};
use gatepost_sim::queue::QueueError;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::action::Action;
use crate::damage::{Damage, Effects, Fault};
use crate::oracle::{Asked, Oracle, Verdict};
use crate::subject::{Answer, Config, End, Part, Request, Standing, Subject, Ticket};
use crate::worker::Worker;

mod appending;
mod ending;
mod subscribing;

pub const N_HANDLERS: usize = 3;
/// Settlements are recorded within this time, and the work that is left then.
const RECORDED_AFTER: Duration = Duration::from_millis(41);
/// After the disk was found full, the queue does not look again for so long.
const FULL_FOR: Duration = Duration::from_millis(250);
/// More rounds of work than anything takes.
const ROUNDS_MAX: usize = 2_000;
/// How long a key is remembered, by source.
const WINDOWS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3_600)];

/// What a call under way is about.
#[derive(Debug)]
enum Pending {
    Append(u32),
    /// So many, from this one on.
    AppendAll(u32, u32),
    /// The same, whose sender was not answered the first time, and gave up at this moment.
    Again(u32, Timestamp),
    /// Of what was known when it was asked.
    Ask(NewEvent, Asked),
    /// Nothing hangs on its answer. It may be an error where anything failed meanwhile: a pass goes on behind a
    /// step that fails, so its answer may come when all is well again.
    Upkeep {
        may_fail: bool,
    },
    /// Somebody waits for it.
    Waited,
}

pub struct Simulation<S> {
    pub subject: S,
    pub oracle: Oracle,
    pub clock: Arc<ManualClock>,
    pub workers: Vec<Worker>,
    pub handlers: Vec<HandlerName>,
    random: StdRng,
    pending: BTreeMap<Ticket, Pending>,
    /// Answers that somebody waits for.
    waited: BTreeMap<Ticket, Result<Answer, QueueError>>,
    next_ticket: Ticket,
    opened_at: Timestamp,
    /// Calls to the disk may fail just now.
    has_faults: bool,
    /// Until then it may refuse for want of room without looking again.
    full_until: Timestamp,
    /// How often it was opened.
    n_opened: u64,
    /// Whose senders gave up since it was opened, and when.
    unheard: Vec<(u32, Timestamp)>,
}

impl<S: Subject> Simulation<S> {
    /// Opens an empty queue.
    pub fn new(config: Config, seed: u64) -> Result<Self, String> {
        let start = Timestamp::from_millis(1_750_000_000_000);
        let names = ["plain", "hold", "skip"];
        let mut simulation = Self {
            subject: S::new(config),
            oracle: Oracle::new(N_HANDLERS),
            clock: Arc::new(ManualClock::new(start)),
            workers: (0..N_HANDLERS).map(|_| Worker::default()).collect(),
            handlers: names.map(|name| HandlerName::parse(name).unwrap()).to_vec(),
            random: StdRng::seed_from_u64(seed),
            pending: BTreeMap::new(),
            waited: BTreeMap::new(),
            next_ticket: 0,
            opened_at: start,
            has_faults: false,
            full_until: start,
            n_opened: 0,
            unheard: Vec::new(),
        };
        simulation.open()?;
        Ok(simulation)
    }

    pub fn steady(&self) -> Timestamp {
        self.clock.steady()
    }

    fn uptime(&self) -> Duration {
        self.steady().since(self.opened_at)
    }

    /// Whether the handler's loop keeps an order: deliveries with a key go one at a time.
    pub fn key_of(&self, handler: usize, token: u32) -> Option<u8> {
        let order = self.oracle.facts(token).order;
        (handler > 0 && order < 4).then_some(order)
    }

    /// Does one action.
    pub fn act(&mut self, action: &Action) -> Verdict {
        match *action {
            Action::Append { source, dedupe, order, bytes } => {
                self.append(source, dedupe, order, bytes);
                Ok(())
            }
            Action::AppendAll { source, dedupe, order, bytes, n_events } => {
                self.append_all((source, dedupe), order, bytes, n_events);
                Ok(())
            }
            Action::Unheard { source, order, bytes, n_steps } => {
                return self.append_unheard(source, order, bytes, n_steps);
            }
            Action::Again => {
                self.append_again();
                Ok(())
            }
            Action::Ask { source, key } => {
                self.ask_for_repeat(source, key);
                Ok(())
            }
            Action::Subscribe { handler, is_interrupted } => {
                self.subscribe(handler.into(), is_interrupted)
            }
            Action::Unsubscribe { handler } => {
                self.unsubscribe(handler.into());
                Ok(())
            }
            Action::Forget { handler } => self.forget(handler.into()),
            Action::Take { handler, max } => self.take(handler.into(), max.into()),
            Action::Finish { handler, pick, how } => self.finish(handler.into(), pick, how),
            Action::Release { handler, pick } => self.release(handler.into(), pick),
            Action::Redrive { handler, pick } => self.by_hand(handler.into(), pick, true),
            Action::DropDead { handler, pick } => self.by_hand(handler.into(), pick, false),
            Action::Replay { handler, pick } => self.replay(handler.into(), pick),
            Action::Step(part) => {
                self.step(part);
                Ok(())
            }
            Action::Work => {
                self.work();
                Ok(())
            }
            Action::Wait { ms } => {
                self.wait(Duration::from_millis(ms.into()));
                Ok(())
            }
            Action::Record => {
                self.record();
                Ok(())
            }
            Action::SetClock { by_ms } => {
                let now = self.clock.now().as_millis() + by_ms;
                self.clock.jump_to(Timestamp::from_millis(now.max(86_400_000)));
                self.oracle.time_is(self.clock.now());
                Ok(())
            }
            Action::Clean { is_full } => {
                self.oracle.was_cleaned = true;
                self.start_upkeep(Request::Clean { is_full });
                Ok(())
            }
            Action::Snapshot => {
                self.start_upkeep(Request::Snapshot);
                Ok(())
            }
            Action::Close => self.close(),
            Action::Crash { end, damage } => self.crash(end, damage),
            Action::Damage(damage) => {
                self.damage(damage);
                Ok(())
            }
            Action::Fault(fault) => {
                self.set_fault(Some(fault));
                Ok(())
            }
            Action::Mend => {
                self.set_fault(None);
                Ok(())
            }
            Action::Compare => self.compare(),
            Action::Drain => self.drain(),
        }?;
        self.poll()?;
        self.end_faults()
    }

    /// Now and then a fault ends, and a poisoned queue is started again.
    fn end_faults(&mut self) -> Verdict {
        if self.has_faults && self.random.random_bool(0.04) {
            self.set_fault(None);
        }
        if self.subject.is_poisoned() && self.random.random_bool(0.3) {
            let end = if self.random.random_bool(0.5) {
                End::Kill
            } else {
                End::PowerCut { torn_sectors: false }
            };
            self.crash(end, None)?;
        }
        Ok(())
    }

    pub(super) fn start_upkeep(&mut self, request: Request) {
        let may_fail = self.may_fail();
        self.start(request, Pending::Upkeep { may_fail });
    }

    fn start(&mut self, request: Request, pending: Pending) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.pending.insert(ticket, pending);
        self.subject.start(ticket, request);
        ticket
    }

    /// Takes the answers that have come.
    pub fn poll(&mut self) -> Verdict {
        for (ticket, answer) in self.subject.poll() {
            match (self.pending.remove(&ticket), answer) {
                (Some(Pending::Append(token)), Ok(Answer::Appended(appended))) => {
                    self.oracle.answered(token, &Ok(appended))?;
                }
                (Some(Pending::Append(token)), Err(err)) => {
                    self.oracle.answered(token, &Err(err))?;
                }
                (Some(Pending::AppendAll(first, n)), answer) => {
                    self.all_answered(first..first + n, answer)?;
                }
                (Some(Pending::Again(token, gave_up)), answer) => {
                    self.again_answered(token, gave_up, answer)?;
                }
                (Some(Pending::Ask(new, asked)), Ok(Answer::Repeats(found))) => {
                    self.oracle.told_of_repeat(&new, &asked, found)?;
                }
                (Some(Pending::Ask(..)), Err(err)) if self.may_fail() => drop(err),
                (Some(Pending::Append(_) | Pending::Ask(..)), answer) => {
                    return Err(format!("an append or a question was answered with {answer:?}"));
                }
                // It ends with the queue.
                (Some(Pending::Upkeep { .. }), Ok(_) | Err(QueueError::Closed)) => {}
                (Some(Pending::Upkeep { may_fail }), Err(err)) => {
                    if !may_fail && !self.may_fail() {
                        return Err(format!("upkeep failed on a sound disk: {err:?}"));
                    }
                }
                (Some(Pending::Waited), answer) => {
                    self.waited.insert(ticket, answer);
                }
                (None, answer) => return Err(format!("an answer that nobody asked: {answer:?}")),
            }
        }
        Ok(())
    }

    /// Asks, and works until there is an answer; `None` = none came.
    pub fn ask(&mut self, request: Request) -> Result<Option<Result<Answer, QueueError>>, String> {
        let ticket = self.start(request, Pending::Waited);
        for _ in 0..ROUNDS_MAX {
            self.poll()?;
            if let Some(answer) = self.waited.remove(&ticket) {
                return Ok(Some(answer));
            }
            let has_worked = self.step(Part::Committer) | self.step(Part::Allocator);
            if !has_worked {
                self.wait(Duration::from_millis(7));
            }
            if self.subject.is_poisoned() && self.random.random_bool(0.1) {
                break;
            }
        }
        if !self.has_faults && !self.subject.is_poisoned() {
            return Err("a call was never answered".into());
        }
        self.subject.abandon(ticket);
        let may_fail = self.may_fail();
        self.pending.insert(ticket, Pending::Upkeep { may_fail });
        Ok(None)
    }

    fn step(&mut self, part: Part) -> bool {
        let now = self.uptime();
        self.subject.step(part, now)
    }

    /// Works until nothing is left to do; `false` = it did not end.
    fn work(&mut self) -> bool {
        for _ in 0..ROUNDS_MAX {
            let has_worked =
                self.step(Part::Committer) | self.step(Part::Allocator) | self.step(Part::Index);
            if !has_worked {
                return true;
            }
        }
        false
    }

    pub fn wait(&mut self, time: Duration) {
        self.clock.advance(time);
        self.oracle.time_is(self.clock.now());
    }

    /// What is settled by now is recorded, where nothing fails.
    pub fn record(&mut self) {
        let settled = self.steady();
        self.wait(RECORDED_AFTER);
        let is_done = self.work();
        // A segment that was made meanwhile has let what waited for it come to be written only now.
        self.wait(RECORDED_AFTER);
        if is_done && self.work() && !self.may_fail() {
            for handler in &mut self.oracle.handlers {
                handler.recorded_until(settled);
            }
        }
    }

    fn damage(&mut self, damage: Damage) {
        self.oracle.was_damaged = true;
        let effects = self.subject.damage(damage);
        self.oracle.damaged(&effects);
    }

    pub fn set_fault(&mut self, fault: Option<Fault>) {
        if self.has_faults {
            self.full_until = self.steady().after(FULL_FOR);
        }
        self.has_faults = fault.is_some();
        if fault.is_some() {
            for pending in self.pending.values_mut() {
                if let Pending::Upkeep { may_fail } = pending {
                    *may_fail = true;
                }
            }
        }
        self.oracle.was_damaged |= matches!(fault, Some(Fault::ReadRegion { .. }));
        self.oracle.keys_may_go = matches!(fault, Some(Fault::ReadOnce { .. }));
        let effects: Effects = self.subject.set_fault(fault);
        self.oracle.damaged(&effects);
    }

    /// Whether anything may fail just now, other than by the queue's own fault.
    pub fn may_fail(&self) -> bool {
        let is_full = self.steady() < self.full_until;
        self.has_faults || is_full || self.subject.is_poisoned()
    }

    /// All is well: nothing fails, everybody is subscribed.
    pub fn calm_down(&mut self) -> Verdict {
        self.set_fault(None);
        self.wait(FULL_FOR);
        if self.subject.is_poisoned() {
            self.crash(End::Kill, None)?;
        }
        for handler in 0..N_HANDLERS {
            self.subscribe(handler, false)?;
            if self.oracle.handlers[handler].session.is_none() {
                return Err(format!("`{}` cannot be subscribed", self.handlers[handler]));
            }
        }
        self.record();
        self.poll()
    }

    pub fn order_key(key: u8) -> OrderKey {
        OrderKey([key; 16])
    }

    /// How a delivery stands, as the queue says.
    pub fn standing(&self, handler: usize, token: u32) -> Option<Standing> {
        let position = self.oracle.facts(token).position?;
        self.subject.standing(&self.handlers[handler], position)
    }
}
