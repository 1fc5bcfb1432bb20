//! What was taken and is not on its way yet: deliveries that may go, and those that stand in line
//! behind another of the same order key.
//!
//! A key's deliveries are either *ready* (nobody of the key is on its way), or *waiting* in the
//! key's line. A line that grows too long *spills*: what comes then is held by the queue, so that
//! one busy key neither fills the memory nor keeps other keys from being taken. Once a line has
//! spilled, everything later must be held too, or it would overtake; when the line is empty at
//! last, the queue is asked to let its first one go.

use std::collections::{HashMap, VecDeque};

use crate::clock::Timestamp;
use crate::event::{Delivery, OrderKey};
use crate::queue::TAKE_BYTES_MAX;

/// How many deliveries are taken ahead, at least: enough that taking costs little per delivery.
const TAKEN_MIN: usize = 256;

/// The longest line that is kept here.
const LINE_MAX: usize = 32;

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

#[derive(Debug, Default)]
struct Line {
    is_on_its_way: bool,
    n_ready: usize,
    /// The first so many of the ready ones come out of the line: they may go even where it has
    /// spilled, since what spilled is behind them.
    n_next: usize,
    waiting: VecDeque<Job>,
    has_spilled: bool,
}

impl Line {
    fn is_empty(&self) -> bool {
        !self.is_on_its_way && self.n_ready == 0 && self.waiting.is_empty()
    }
}

#[derive(Debug)]
pub(super) struct Buffer {
    /// The most deliveries that one call takes.
    load_max: usize,
    n_max: usize,
    ready: VecDeque<Job>,
    lines: HashMap<OrderKey, Line>,
    n_waiting: usize,
    n_bytes: usize,
    /// Spilled lines that are empty: the queue may let their first ones go.
    emptied: Vec<OrderKey>,
}

impl Buffer {
    /// A buffer for so many calls at once, each with at most `load_max` deliveries.
    pub(super) fn new(concurrency: usize, load_max: usize) -> Self {
        Self {
            load_max,
            n_max: TAKEN_MIN.max(load_max.saturating_mul(2)).max(concurrency.saturating_mul(2)),
            ready: VecDeque::new(),
            lines: HashMap::new(),
            n_waiting: 0,
            n_bytes: 0,
            emptied: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ready.len().saturating_add(self.n_waiting)
    }

    pub(super) fn n_ready(&self) -> usize {
        self.ready.len()
    }

    /// How many more deliveries to take; 0 where it is not worth asking.
    pub(super) fn room(&self) -> usize {
        let room = self.n_max.saturating_sub(self.len());
        if self.is_heavy() || room < self.n_max / 4 { 0 } else { room }
    }

    /// Whether there are as many bytes here as there should be.
    pub(super) fn is_heavy(&self) -> bool {
        self.n_bytes >= TAKE_BYTES_MAX
    }

    /// When the first of the ready ones goes even without a full batch.
    pub(super) fn send_by(&self) -> Option<Timestamp> {
        self.ready.iter().map(|job| job.send_by).min()
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

    pub(super) fn push(&mut self, job: Job) {
        if let Some(key) = job.key {
            let line = self.lines.entry(key).or_default();
            line.n_ready = line.n_ready.saturating_add(1);
        }
        self.n_bytes = self.n_bytes.saturating_add(job.delivery.event.body.len());
        self.ready.push_back(job);
    }

    /// Up to `max` deliveries for one call, and those that the queue must hold.
    pub(super) fn load(&mut self, max: usize) -> (Load, Vec<Job>) {
        let mut load = Load::default();
        let mut held = Vec::new();
        while load.deliveries.len() < max {
            let Some(job) = self.ready.front() else { break };
            let is_alone = job.delivery.attempt >= ALONE_FROM;
            if is_alone && !load.deliveries.is_empty() {
                break;
            }
            let Some(job) = self.ready.pop_front() else { break };
            if let Some(job) = self.put_in_line(job, &mut held) {
                self.leave(&job);
                load.deliveries.push(job.delivery);
                load.keys.push(job.key);
                if is_alone {
                    break;
                }
            }
        }
        for key in load.keys.iter().flatten() {
            if let Some(line) = self.lines.get_mut(key) {
                line.is_on_its_way = true;
            }
        }
        self.leave_all(&held);
        (load, held)
    }

    /// Gives the job back if it may go.
    fn put_in_line(&mut self, job: Job, held: &mut Vec<Job>) -> Option<Job> {
        let Some(line) = job.key.and_then(|key| self.lines.get_mut(&key)) else { return Some(job) };
        line.n_ready = line.n_ready.saturating_sub(1);
        let is_next = line.n_next > 0;
        line.n_next = line.n_next.saturating_sub(1);
        let is_full = line.waiting.len() >= LINE_MAX
            || self.n_waiting >= self.n_max / 2
            || self.n_bytes >= TAKE_BYTES_MAX;
        if !is_next && (line.has_spilled || (line.is_on_its_way && is_full)) {
            line.has_spilled = true;
            held.push(job);
        } else if line.is_on_its_way || !(is_next || line.waiting.is_empty()) {
            self.n_waiting = self.n_waiting.saturating_add(1);
            line.waiting.push_back(job);
        } else {
            return Some(job);
        }
        None
    }

    /// The delivery of `key` that was on its way is settled for good: the next one may go.
    pub(super) fn go_on(&mut self, key: OrderKey) {
        let Some(line) = self.lines.get_mut(&key) else { return };
        line.is_on_its_way = false;
        let n_next = line.waiting.len().min(self.load_max);
        line.n_ready = line.n_ready.saturating_add(n_next);
        line.n_next = n_next;
        self.n_waiting = self.n_waiting.saturating_sub(n_next);
        for job in line.waiting.drain(..n_next).rev() {
            self.ready.push_front(job);
        }
        self.tidy(key);
    }

    /// The delivery of `key` that was on its way stays in the queue in front of its line. Gives the
    /// rest of the line, which the queue must hold.
    pub(super) fn stop(&mut self, key: OrderKey) -> Vec<Job> {
        let Some(line) = self.lines.get_mut(&key) else { return Vec::new() };
        line.is_on_its_way = false;
        line.has_spilled = true;
        let held: Vec<Job> = std::mem::take(&mut line.waiting).into();
        self.n_waiting = self.n_waiting.saturating_sub(held.len());
        self.leave_all(&held);
        self.tidy(key);
        held
    }

    /// Keys whose first held delivery the queue may let go.
    pub(super) fn take_emptied(&mut self) -> Vec<OrderKey> {
        std::mem::take(&mut self.emptied)
    }

    fn leave(&mut self, job: &Job) {
        self.n_bytes = self.n_bytes.saturating_sub(job.delivery.event.body.len());
    }

    fn leave_all(&mut self, held: &[Job]) {
        for job in held {
            self.leave(job);
            if let Some(key) = job.key {
                self.tidy(key);
            }
        }
    }

    fn tidy(&mut self, key: OrderKey) {
        if let Some(line) = self.lines.get(&key)
            && line.is_empty()
        {
            if line.has_spilled {
                self.emptied.push(key);
            }
            self.lines.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
