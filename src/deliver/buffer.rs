//! What was taken and is not on its way yet.
//!
//! Deliveries with an order key stand in that key's line, and one call at a time takes from a line.
//! A line that grows too long *spills*: what comes then is held by the queue, so that one busy key
//! neither fills the memory nor keeps other keys from being taken. Once a line has spilled,
//! everything later must be held too, or it would overtake; when the line has ended here, the queue
//! is asked to let its first one go.

use std::collections::{HashMap, VecDeque};

use crate::clock::Timestamp;
use crate::event::{Delivery, OrderKey};
use crate::queue::TAKE_BYTES_MAX;

/// How many deliveries are taken ahead, at least: enough that taking costs little per delivery.
const TAKEN_MIN: usize = 256;

/// How many are taken ahead, at most, unless there are even more calls at once.
const TAKEN_MAX: usize = 4_096;

/// From this attempt on a delivery goes alone, so that one that breaks its batches does not use up
/// the attempts of the others.
const ALONE_FROM: u32 = 4;

/// A delivery that the handler wants.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) delivery: Delivery,
    pub(super) key: Option<OrderKey>,
    /// When it goes even if its batch is not full.
    pub(super) send_by: Timestamp,
}

/// What one call of the handler takes.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) deliveries: Vec<Delivery>,
    /// The order key of each.
    pub(super) keys: Vec<Option<OrderKey>>,
}

impl Load {
    /// Whether `job` may be in the same call as what is there.
    fn takes(&self, job: &Job, max: usize) -> bool {
        let goes_alone = |attempt: u32| attempt >= ALONE_FROM;
        match self.deliveries.first() {
            None => true,
            Some(first) => {
                self.deliveries.len() < max
                    && !goes_alone(first.attempt)
                    && !goes_alone(job.delivery.attempt)
            }
        }
    }
}

#[derive(Debug, Default)]
struct Line {
    is_on_its_way: bool,
    waiting: VecDeque<Job>,
    has_spilled: bool,
}

#[derive(Debug)]
enum Turn {
    /// A delivery that waits for nobody.
    Free(Job),
    /// The first of this line. A line that is not empty and not on its way has one turn.
    Line(OrderKey),
}

#[derive(Debug)]
pub(super) struct Buffer {
    n_max: usize,
    /// The longest line. So short that the lines of all calls at once fill half of what is taken
    /// ahead, and other keys come in too.
    line_max: usize,
    turns: VecDeque<Turn>,
    lines: HashMap<OrderKey, Line>,
    n_jobs: usize,
    /// Those that stand in the lines of calls that are on their way.
    n_blocked: usize,
    n_bytes: usize,
    /// Lines that have ended here while the queue may hold more of them.
    ended: Vec<OrderKey>,
}

impl Buffer {
    /// A buffer for so many calls at once, each with at most `load_max` deliveries.
    pub(super) fn new(concurrency: usize, load_max: usize) -> Self {
        let least = TAKEN_MIN.max(concurrency.saturating_mul(4));
        let wanted = concurrency.saturating_mul(load_max).saturating_mul(2);
        let n_max = wanted.clamp(least, least.max(TAKEN_MAX));
        Self {
            n_max,
            line_max: (n_max / 2 / concurrency.max(1)).max(1),
            turns: VecDeque::new(),
            lines: HashMap::new(),
            n_jobs: 0,
            n_blocked: 0,
            n_bytes: 0,
            ended: Vec::new(),
        }
    }

    /// All deliveries that are here.
    pub(super) fn len(&self) -> usize {
        self.n_jobs
    }

    /// Those that a call could take.
    pub(super) fn n_ready(&self) -> usize {
        self.n_jobs.saturating_sub(self.n_blocked)
    }

    /// How many more deliveries to take; 0 where it is not worth asking.
    pub(super) fn room(&self) -> usize {
        let room = self.n_max.saturating_sub(self.n_jobs);
        if self.is_heavy() || room < self.n_max / 4 { 0 } else { room }
    }

    /// Whether there are as many bytes here as there should be.
    pub(super) fn is_heavy(&self) -> bool {
        self.n_bytes >= TAKE_BYTES_MAX
    }

    /// When the first of the ready ones goes even without a full batch.
    pub(super) fn send_by(&self) -> Option<Timestamp> {
        let first_of = |turn: &Turn| match turn {
            Turn::Free(job) => Some(job.send_by),
            Turn::Line(key) => self.lines.get(key)?.waiting.iter().map(|job| job.send_by).min(),
        };
        self.turns.iter().filter_map(first_of).min()
    }

    /// Whether a delivery of this key is here, or on its way.
    pub(super) fn has(&self, key: OrderKey) -> bool {
        self.lines.contains_key(&key)
    }

    /// Whether later deliveries of this key must be held.
    pub(super) fn has_spilled(&self, key: OrderKey) -> bool {
        self.lines.get(&key).is_some_and(|line| line.has_spilled)
    }

    /// A delivery of this key, which is here, is held: later ones must be too.
    pub(super) fn spill(&mut self, key: OrderKey) {
        if let Some(line) = self.lines.get_mut(&key) {
            line.has_spilled = true;
        }
    }

    /// Takes the job in, or gives it back when its line is too long.
    pub(super) fn push(&mut self, job: Job) -> Result<(), Job> {
        let n_bytes = job.delivery.event.body.len();
        match job.key {
            None => self.turns.push_back(Turn::Free(job)),
            Some(key) => {
                let line = self.lines.entry(key).or_default();
                let is_heavy = line.is_on_its_way && self.n_bytes >= TAKE_BYTES_MAX / 2;
                if line.waiting.len() >= self.line_max || is_heavy {
                    return Err(job);
                }
                if line.is_on_its_way {
                    self.n_blocked = self.n_blocked.saturating_add(1);
                } else if line.waiting.is_empty() {
                    self.turns.push_back(Turn::Line(key));
                }
                line.waiting.push_back(job);
            }
        }
        self.n_jobs = self.n_jobs.saturating_add(1);
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
        Ok(())
    }

    /// Up to `max` deliveries for one call.
    pub(super) fn load(&mut self, max: usize) -> Load {
        let mut load = Load::default();
        while let Some(turn) = self.turns.pop_front() {
            let unused = match turn {
                Turn::Free(job) => self.load_free(job, max, &mut load).map(Turn::Free),
                Turn::Line(key) => {
                    (!self.load_line(key, max, &mut load)).then_some(Turn::Line(key))
                }
            };
            if let Some(turn) = unused {
                self.turns.push_front(turn);
                break;
            }
        }
        load
    }

    /// Loads the job, or gives it back.
    fn load_free(&mut self, job: Job, max: usize, load: &mut Load) -> Option<Job> {
        if !load.takes(&job, max) {
            return Some(job);
        }
        self.put(job, load);
        None
    }

    /// Loads the line's first ones; `false` = not even one of them.
    fn load_line(&mut self, key: OrderKey, max: usize, load: &mut Load) -> bool {
        let mut has_begun = false;
        loop {
            let Some(line) = self.lines.get_mut(&key) else { return true };
            let takes = line.waiting.front().is_some_and(|job| load.takes(job, max));
            let job = if takes { line.waiting.pop_front() } else { None };
            let Some(job) = job else {
                if has_begun {
                    line.is_on_its_way = true;
                    self.n_blocked = self.n_blocked.saturating_add(line.waiting.len());
                }
                return has_begun;
            };
            has_begun = true;
            self.put(job, load);
        }
    }

    fn put(&mut self, job: Job, load: &mut Load) {
        self.n_jobs = self.n_jobs.saturating_sub(1);
        self.n_bytes = self.n_bytes.saturating_sub(job.delivery.event.body.len());
        load.deliveries.push(job.delivery);
        load.keys.push(job.key);
    }

    /// The call of `key` has settled its deliveries for good: the next ones may go.
    pub(super) fn go_on(&mut self, key: OrderKey) {
        let Some(line) = self.lines.get_mut(&key) else { return };
        line.is_on_its_way = false;
        self.n_blocked = self.n_blocked.saturating_sub(line.waiting.len());
        if !line.waiting.is_empty() {
            self.turns.push_back(Turn::Line(key));
            return;
        }
        if line.has_spilled {
            self.ended.push(key);
        }
        self.lines.remove(&key);
    }

    /// A delivery of the call of `key` stays in the queue, in front of its line. Gives the rest of
    /// the line, which the queue must hold.
    pub(super) fn stop(&mut self, key: OrderKey) -> Vec<Job> {
        let Some(line) = self.lines.remove(&key) else { return Vec::new() };
        self.n_blocked = self.n_blocked.saturating_sub(line.waiting.len());
        self.n_jobs = self.n_jobs.saturating_sub(line.waiting.len());
        for job in &line.waiting {
            self.n_bytes = self.n_bytes.saturating_sub(job.delivery.event.body.len());
        }
        self.ended.push(key);
        line.waiting.into()
    }

    /// Keys whose first held delivery the queue may let go, if nothing is in front of it there.
    pub(super) fn take_ended(&mut self) -> Vec<OrderKey> {
        std::mem::take(&mut self.ended)
    }
}

#[cfg(test)]
mod tests;
