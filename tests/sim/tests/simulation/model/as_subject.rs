//! The model, asked as the queue is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gatepost_sim::clock::{Clock, ManualClock};
use gatepost_sim::event::{
    Delivery, Event, HandlerName, OrderKey, Origin, Outcome, Position, Settlement,
};
use gatepost_sim::queue::QueueError;
use rand::Rng;
use rand::rngs::StdRng;

use crate::damage::{Damage, Effects, Fault};
use crate::subject::{Answer, Config, End, Part, Request, Standing, Subject, Ticket};

use super::*;
use crate::mutants::Mutant;

impl<const MUTANT: usize> Subject for Model<MUTANT> {
    fn new(_config: Config) -> Self {
        Self { disk: Vec::new(), n_synced: 0, open: None, free: None }
    }

    fn open(&mut self, clock: &Arc<ManualClock>, _seed: u64) -> Result<(), QueueError> {
        let mut live = Live {
            clock: Arc::clone(clock),
            events: BTreeMap::new(),
            keys: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            unheard: BTreeSet::new(),
            heard: BTreeMap::new(),
            handlers: BTreeMap::new(),
            inbox: Vec::new(),
            unsynced: Vec::new(),
            answers: Vec::new(),
            now: Duration::ZERO,
            next: Position(1),
            published: Position(1),
            next_id: 1,
        };
        for (index, record) in self.disk.iter().enumerate() {
            Self::apply(&mut live, record, index + 60 > self.disk.len());
        }
        live.published = live.next;
        self.open = Some(live);
        Ok(())
    }

    fn end(&mut self, end: End, random: &mut StdRng) {
        self.open = None;
        if let End::PowerCut { .. } = end {
            self.disk.truncate(random.random_range(self.n_synced..=self.disk.len()));
        }
        self.n_synced = self.disk.len();
    }

    fn is_poisoned(&self) -> bool {
        false
    }

    fn start(&mut self, ticket: Ticket, request: Request) {
        self.live().inbox.push((ticket, request));
    }

    fn abandon(&mut self, ticket: Ticket) {
        let live = self.live();
        live.unheard.insert(ticket);
        live.answers.retain(|(its, _)| *its != ticket);
        live.unsynced.retain(|(its, _)| *its != ticket);
        let heard = live.heard.remove(&ticket).filter(|_| !Self::is(Mutant::ForgetsTheUnheard));
        live.unanswered.extend(heard);
    }

    fn poll(&mut self) -> Vec<(Ticket, Result<Answer, QueueError>)> {
        let live = self.live();
        let mut answers = std::mem::take(&mut live.answers);
        answers.retain(|(ticket, _)| !live.unheard.contains(ticket));
        answers
    }

    fn step(&mut self, part: Part, now: Duration) -> bool {
        if part != Part::Committer {
            return false;
        }
        self.live().now = now;
        if self.n_synced < self.disk.len() || !self.live().unsynced.is_empty() {
            self.n_synced = self.disk.len();
            let live = self.live();
            live.published = live.next;
            live.answers.append(&mut live.unsynced);
            return true;
        }
        let inbox = std::mem::take(&mut self.live().inbox);
        let n_before = self.disk.len();
        let has_news = !inbox.is_empty();
        self.record_outboxes(false);
        for (ticket, request) in inbox {
            self.do_one(ticket, request);
        }
        has_news || self.disk.len() > n_before
    }

    fn unsubscribe(&mut self, handler: &HandlerName) {
        if let Some(handler) = self.live().handlers.get_mut(handler) {
            handler.session = None;
        }
    }

    fn take(&mut self, name: &HandlerName, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let due = self.due(name);
        let mut taken = Vec::new();
        for position in due.into_iter().take(max) {
            let live = self.live();
            let Some((new, id)) = live.events.get(&position).cloned() else { continue };
            let handler = live.handlers.get_mut(name).expect("it is subscribed");
            let (attempts, origin) = match handler.state(position) {
                State::Waiting { attempts, .. } => (attempts, Origin::Entry),
                _ => (0, Origin::Log),
            };
            let Some(session) = &mut handler.session else { continue };
            session.leased.insert(position);
            session.released.remove(&position);
            let mut event = Event::new(new, id, position);
            if Self::is(Mutant::ChangesBodies) && event.body.len() > 100 {
                event.received.body = event.body.slice(..100);
            }
            let attempt = if Self::is(Mutant::ForgetsAttempts) { 1 } else { attempts + 1 };
            let event = Arc::new(event);
            taken.push(Delivery {
                event,
                attempt,
                first_attempt_at: None,
                origin,
                replay: 0,
                progress: None,
                order_key: None,
            });
        }
        Ok(taken)
    }

    fn settle(&mut self, name: &HandlerName, settlement: Settlement) -> Result<(), QueueError> {
        let (now, steady) = (self.live().now, self.live().clock.steady());
        let handler = self.handler(name);
        let Settlement { delivery, outcome, attempt } = settlement;
        let position = delivery.event.position;
        let attempts = delivery.attempt - u32::from(attempt.is_none());
        let is_waiting = matches!(handler.state(position), State::Waiting { .. });
        let Some(session) = &mut handler.session else { return Ok(()) };
        session.leased.remove(&position);
        let mut left = session.parked.get(&position).copied();
        if let State::Waiting { key, .. } = handler.state(position) {
            left = left.or(key);
        }
        let Some(session) = &mut handler.session else { return Ok(()) };
        let state = match outcome {
            Outcome::Held { order_key } if attempt.is_none() => {
                if !is_waiting && !Self::is(Mutant::OverlooksParkedOnes) {
                    session.parked.insert(position, order_key);
                }
                return Ok(());
            }
            Outcome::Held { order_key } => {
                let (due, wait, key) = (steady, Duration::ZERO, Some(order_key));
                State::Waiting { due, wait, attempts, key }
            }
            Outcome::Retry { at, order_key } => {
                State::Waiting { due: at, wait: at.since(steady), attempts, key: order_key }
            }
            Outcome::Dead { order_key } => State::Dead { key: order_key },
            Outcome::Delivered | Outcome::Skipped => State::Settled,
        };
        session.parked.remove(&position);
        handler.change(position, state, now);
        let stays =
            matches!(state, State::Waiting { key: Some(_), .. } | State::Dead { key: Some(_) });
        if let Some(key) = left.filter(|_| !stays) {
            handler.release(key);
        }
        Ok(())
    }

    fn release(&mut self, name: &HandlerName, delivery: Delivery) -> Result<(), QueueError> {
        if let Some(session) = &mut self.handler(name).session {
            session.leased.remove(&delivery.event.position);
        }
        Ok(())
    }

    fn is_key_waiting(&mut self, name: &HandlerName, key: OrderKey, position: Position) -> bool {
        self.handler(name).head(key).is_some_and(|head| head < position)
    }

    fn release_key(&mut self, name: &HandlerName, key: OrderKey) {
        self.handler(name).release(key);
    }

    fn standing(&self, name: &HandlerName, position: Position) -> Option<Standing> {
        let handler = self.open.as_ref()?.handlers.get(name)?;
        Some(match handler.state(position) {
            State::Settled => Standing::Settled,
            State::Open => Standing::Open,
            State::Waiting { .. } => Standing::Waiting,
            State::Dead { .. } => Standing::Dead,
        })
    }

    fn describe(&self) -> String {
        String::new()
    }

    fn compare_rebuilt(&self, _clock: &Arc<ManualClock>) -> Result<(), String> {
        Ok(())
    }

    fn damage(&mut self, _damage: Damage) -> Effects {
        Effects::default()
    }

    fn set_fault(&mut self, fault: Option<Fault>) -> Effects {
        self.free = match fault {
            Some(Fault::Full { free }) => Some(free % 200),
            Some(_) | None => None,
        };
        Effects::default()
    }
}
