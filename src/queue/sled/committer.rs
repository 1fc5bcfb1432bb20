//! The one thread that writes the journal: takes whatever waits, writes it with one write and one
//! fdatasync, and only then answers.
//!
//! Invariants:
//!
//! * The duplicate check and the append are one step: nobody else appends.
//! * An answer goes out after the sync that covers it, for a duplicate after the sync of the
//!   event that it repeats.
//! * Settlements are collected at most [`SETTLE_EVERY`] after they were made.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::dedupe::{RecentKeys, Seen, prefix};
use super::index::Indexed;
use super::indexer::Applied;
use super::lookup;
use super::shared::{AppendReply, Durable, Job, Reply, Shared, lock};
use super::state::SubscriptionState;
use super::tail::Written;
use crate::clock::Stopwatch;
use crate::event::{Dedupe, EventId, HandlerName, NewEvent, Position};
use crate::queue::ids::Ids;
use crate::queue::journal::{Location, Writer};
use crate::queue::names::Names;
use crate::queue::record::{Batch, HEADER_BYTES, Kind, Place, Places, SettleBatch, event_bytes};
use crate::queue::{Appended, QueueError, Start};

mod carry;
mod handover;
mod jobs;
mod room;
mod unanswered;

pub(crate) use handover::HandOver;
pub(crate) use unanswered::Unanswered;

/// How long settlements are collected before they are written.
pub(crate) const SETTLE_EVERY: Duration = Duration::from_millis(40);
/// How many appends one commit takes at most.
const BATCH_EVENTS: usize = 4_096;
/// How much of the live segment is kept for settlements when there is no room for another one.
pub(crate) const SETTLE_ROOM: usize = 4 << 20;

/// Called with the duration of each commit and the number of events in it.
pub type CommitObserver = Box<dyn Fn(Duration, usize) + Send>;

/// Whose deliveries changed, and whether into an entry.
pub(crate) type Watched = HashMap<(HandlerName, Position), bool>;

/// The committer's own state.
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) keys: RecentKeys,
    pub(crate) unanswered: Unanswered,
    pub(crate) ids: Ids,
    /// Every subscription's place as recorded, and the next position.
    pub(crate) places: Places,
    pub(crate) handing_over: HandOver,
    pub(crate) observer: CommitObserver,
    /// What changed since the janitor asked to watch.
    pub(crate) watched: Option<Watched>,
    pub(crate) full: Option<(Stopwatch, String)>,
    pub(crate) since_settle: Stopwatch,
    /// How much of the live segment is kept for settlements.
    pub(crate) settle_room: usize,
    pub(crate) names: Names,
}

/// An append under way.
struct Pending {
    reply: AppendReply,
    appended: Appended,
    event: NewEvent,
}

impl Pending {
    /// Whether somebody was there to take the answer. What was stored stays stored.
    fn answer(self, result: Result<Appended, QueueError>) -> bool {
        self.reply.send((result, self.event)).is_ok()
    }
}

/// What one write will carry.
struct Commit {
    batch: Batch,
    pending: Vec<Pending>,
    n_events: usize,
    applied: Vec<Applied>,
    sections: Vec<Collected>,
}

/// A section of a settle batch and whose it is.
struct Collected {
    state: Arc<SubscriptionState>,
    flush: u64,
}

impl Committer {
    /// Works until it is told to close or every caller is gone.
    pub(crate) fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        let mut has_settles = false;
        loop {
            let job = match self.may_sleep(has_settles) {
                Some(wait) => match jobs.recv_timeout(wait) {
                    Ok(job) => Some(job),
                    Err(mpsc::RecvTimeoutError::Timeout) => None,
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                },
                None => match jobs.recv() {
                    Ok(job) => Some(job),
                    Err(mpsc::RecvError) => break,
                },
            };
            let mut others = Vec::new();
            let mut appends = Vec::new();
            let waiting = std::iter::from_fn(|| jobs.try_recv().ok());
            for job in job.into_iter().chain(waiting) {
                match job {
                    Job::Append(event, reply) => appends.push((event, reply)),
                    Job::Settle => {
                        if !has_settles {
                            self.since_settle = Stopwatch::start();
                        }
                        has_settles = true;
                    }
                    job => others.push(job),
                }
                if appends.len() >= BATCH_EVENTS {
                    break;
                }
            }
            let is_time = has_settles && self.since_settle.elapsed() >= SETTLE_EVERY;
            let collects = is_time || !others.is_empty();
            if collects {
                has_settles = false;
            }
            let is_recorded = self.commit_round(appends, collects);
            if !is_recorded {
                // Not recorded for want of room: try again after a while.
                has_settles = true;
                self.since_settle = Stopwatch::start();
            }
            for job in others {
                if !self.do_job(job, is_recorded) {
                    return self.hand_over_collected();
                }
            }
            self.hand_over_due();
        }
        self.hand_over_collected();
    }

    /// How long there is nothing to do unless a job comes; `None` = for ever.
    fn may_sleep(&self, has_settles: bool) -> Option<Duration> {
        let settle = SETTLE_EVERY.saturating_sub(self.since_settle.elapsed());
        let settle = has_settles.then_some(settle);
        let hand_over = self.handing_over.due_in();
        settle.into_iter().chain(hand_over).min()
    }

    /// Shows the janitor how far each handler's recorded cursor is.
    pub(crate) fn publish_places(&self) {
        let places = self.places.by_handler.iter();
        let cursors = places.map(|(handler, place)| (handler.clone(), place.cursor));
        *lock(&self.shared.recorded) = cursors.collect();
    }

    /// Writes appends, and settlements where it is time; `false` = the settlements still wait.
    fn commit_round(&mut self, appends: Vec<(NewEvent, AppendReply)>, with_settles: bool) -> bool {
        let mut commit = self.begin(appends.len());
        let blocked = lock(&self.shared.blocked).clone();
        for (event, reply) in appends {
            match &blocked {
                None => self.append(&mut commit, event, reply),
                Some(why) => drop(reply.send((Err(QueueError::Full(why.clone())), event))),
            }
        }
        let is_settled = !with_settles || self.add_settles(&mut commit);
        self.finish(commit).is_ok() && is_settled
    }

    /// A commit of about so many events.
    fn begin(&mut self, n_events: usize) -> Commit {
        Commit {
            batch: self.writer.begin(),
            pending: Vec::with_capacity(n_events),
            n_events: 0,
            applied: Vec::with_capacity(n_events),
            sections: Vec::new(),
        }
    }

    /// Adds one event to the commit, or answers at once where it cannot be.
    fn append(&mut self, commit: &mut Commit, event: NewEvent, reply: AppendReply) {
        match self.seen(&event) {
            Ok(None) => {}
            Ok(Some(id)) => {
                // The event that it repeats may be in this very commit: answer after it.
                let appended = Appended::Duplicate(id);
                return commit.pending.push(Pending { reply, appended, event });
            }
            Err(err) => return drop(reply.send((Err(err), event))),
        }
        let needed = HEADER_BYTES + event_bytes(&event);
        if let Err(err) = self.make_room(commit, needed, self.settle_room) {
            return drop(reply.send((Err(err), event)));
        }
        let position = self.places.next;
        let id = self.ids.next(self.shared.now());
        let at = self.location(&commit.batch);
        commit.batch.push_event(&event, id, position);
        self.places.next = position.next();
        if let Dedupe::Within { key, window } = event.dedupe {
            let seen = Seen { id, position, received_at: event.received_at };
            self.keys.insert(key, seen, event.received_at.after(window));
        }
        commit.applied.push(Applied::Event(self.indexed(&event, id, position), at));
        commit.n_events += 1;
        commit.pending.push(Pending { reply, appended: Appended::Stored(id), event });
    }

    /// What the index keeps of an event.
    fn indexed(&mut self, event: &NewEvent, id: EventId, position: Position) -> Indexed {
        let NewEvent { source, event_type, received_at, .. } = event;
        let known = self.names.get(source.as_str(), event_type.as_str());
        let (source, event_type) =
            known.unwrap_or_else(|| self.names.set(source.clone(), event_type.clone()));
        Indexed { position, id, received_at: *received_at, source, event_type }
    }

    /// Where the next record of `batch` will stand.
    fn location(&self, batch: &Batch) -> Location {
        let end = self.writer.end();
        let n_bytes = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        Location { offset: end.offset.saturating_add(n_bytes), ..end }
    }

    /// The event that `event` repeats, where it does.
    fn seen(&self, event: &NewEvent) -> Result<Option<EventId>, QueueError> {
        let (key, window) = match event.dedupe {
            Dedupe::Off => return Ok(None),
            Dedupe::Within { key, window } => (key, window),
            Dedupe::Unanswered { key } => return Ok(self.unanswered.get(key, self.shared.now())),
        };
        let repeats = |seen: &Seen| event.received_at.since(seen.received_at) < window;
        if let Some(seen) = self.keys.get(key) {
            return Ok(Some(seen).filter(repeats).map(|seen| seen.id));
        }
        for run in self.shared.runs.candidates(prefix(key), event.received_at) {
            let found = self.shared.index()?.find_key(run.first, prefix(key))?;
            for position in found.into_iter().rev() {
                let seen = lookup::seen_at(&self.shared, position, key)?;
                if let Some(seen) = seen.filter(repeats) {
                    return Ok(Some(seen.id));
                }
            }
        }
        Ok(None)
    }

    /// Adds all outboxes as one record; `false` = there is no room for it.
    fn add_settles(&mut self, commit: &mut Commit) -> bool {
        let states: Vec<_> = lock(&self.shared.subscriptions).values().map(Arc::clone).collect();
        let mut batch = SettleBatch { at: self.shared.now(), sections: Vec::new() };
        let mut collected = Vec::new();
        for state in states {
            if let Some((section, flush)) = state.collect() {
                batch.sections.push(section);
                collected.push(Collected { state, flush });
            }
        }
        if batch.sections.is_empty() {
            return true;
        }
        let mut payload = Vec::new();
        batch.encode(&mut payload);
        if let Err(err) = self.make_room(commit, HEADER_BYTES + payload.len(), 0) {
            tracing::debug!(error = %err, "Settlements wait for room");
            for (section, collected) in batch.sections.into_iter().zip(collected) {
                collected.state.uncollect(section.changes);
            }
            return false;
        }
        let at = self.location(&commit.batch);
        commit.batch.push(Kind::Settled, |out| out.extend_from_slice(&payload));
        commit.applied.push(Applied::Settled { at, batch });
        commit.sections = collected;
        true
    }

    /// Writes a commit and answers everybody in it.
    fn finish(&mut self, commit: Commit) -> Result<(), QueueError> {
        let Commit { batch, pending, n_events, mut applied, sections } = commit;
        let at = self.writer.end();
        let n_bytes = batch.len() as u64;
        let stopwatch = Stopwatch::start();
        let written = if batch.is_empty() { Ok(at) } else { self.writer.commit(&batch) };
        if let Err(err) = written {
            self.writer.reuse(batch.into_bytes());
            self.undo(n_events, applied, &sections);
            let err = self.no_room(err);
            for pending in pending {
                pending.answer(Err(repeat(&err)));
            }
            return Err(err);
        }
        if n_bytes > 0 {
            self.full = None;
            (self.observer)(stopwatch.elapsed(), n_events);
        }
        self.keep(batch, at, n_events);
        self.publish();
        for pending in pending {
            self.answer(pending);
        }
        self.note_places(&applied);
        for Collected { state, flush } in sections {
            state.recorded.notify_waiters();
            applied.push(Applied::Flushed { state, flush });
        }
        if let Some(generation) = self.keys.committed(self.places.next, n_bytes) {
            applied.push(Applied::Keys(generation));
        }
        self.hand_over(applied, n_bytes);
        Ok(())
    }

    /// Answers a durable append, and remembers where nobody was there to take the answer.
    fn answer(&mut self, pending: Pending) {
        let (appended, dedupe) = (pending.appended, pending.event.dedupe);
        let is_taken = pending.answer(Ok(appended));
        match dedupe {
            Dedupe::Unanswered { key } if is_taken => self.unanswered.remove(key),
            Dedupe::Unanswered { key } => {
                self.unanswered.insert(key, appended.id(), self.shared.now());
            }
            Dedupe::Off | Dedupe::Within { .. } => {}
        }
    }

    /// Keeps what was written for those who deliver it soon.
    fn keep(&mut self, batch: Batch, at: Location, n_events: usize) {
        let next = self.places.next;
        let first = Position(next.0.saturating_sub(n_events as u64));
        if n_events > 0 {
            self.shared.tail.extend(Written::new(batch.bytes(), at, first, next));
        }
        self.writer.reuse(batch.into_bytes());
    }

    /// Takes back what a failed commit had promised to itself.
    fn undo(&mut self, n_events: usize, applied: Vec<Applied>, sections: &[Collected]) {
        let first = Position(self.places.next.0.saturating_sub(n_events as u64));
        self.keys.forget_from(first);
        self.places.next = first;
        for change in applied {
            if let Applied::Settled { batch, .. } = change {
                for (section, collected) in batch.sections.into_iter().zip(sections) {
                    collected.state.uncollect(section.changes);
                }
            }
        }
    }

    /// Remembers the recorded places, and who changed while the janitor watches.
    fn note_places(&mut self, applied: &[Applied]) {
        for change in applied {
            let Applied::Settled { batch, .. } = change else { continue };
            for section in &batch.sections {
                if let Some(watched) = &mut self.watched {
                    let changed = section.changes.iter();
                    watched.extend(
                        changed
                            .map(|c| ((section.handler.clone(), c.position), c.state.is_entry())),
                    );
                }
                self.places.by_handler.insert(section.handler.clone(), section.place.clone());
                let cursor = section.place.cursor;
                lock(&self.shared.recorded).insert(section.handler.clone(), cursor);
            }
        }
    }

    /// Shows readers how far they may read.
    fn publish(&self) {
        let durable = Durable { end: self.writer.end(), next: self.places.next };
        self.shared.durable.send_if_modified(|before| {
            let is_news = *before != durable;
            *before = durable;
            is_news
        });
    }
}

/// The same error once more, for another caller.
fn repeat(err: &QueueError) -> QueueError {
    match err {
        QueueError::Full(why) => QueueError::Full(why.clone()),
        QueueError::Behind(why) => QueueError::Behind(why),
        QueueError::Closed => QueueError::Closed,
        _ => QueueError::Poisoned,
    }
}

/// Answers a caller, who may be gone: what was stored stays stored.
pub(crate) fn answer<T>(reply: Reply<T>, result: Result<T, QueueError>) {
    drop(reply.send(result));
}
