//! A log with events and settlements, for the tests of the index and of what is read with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::{Follower, Index, Store};
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::event::{
    Attempt, ErrorText, Event, EventId, Excerpt, HandlerName, NewEvent, OrderKey, Output, Position,
    Progress, SourceName, Stream,
};
use crate::queue::embedded::kept::{EndTrust, KeptLog, KeptOptions};
use crate::queue::embedded::log::{
    FileLog, LogReader, LogWriter, OpenOptions, Reserve, SegmentAllocator, Want,
};
use crate::queue::embedded::read::{Reading, Standing, States};
use crate::queue::embedded::record::{
    DeliveryRecord, Incarnation, KeptChanges, KeptEnd, Kind, Lsn, NewState, Record, Section,
    SegmentHead, SegmentId, SettleRecord,
};
use crate::queue::embedded::state::{HandlerState, Status};
use crate::queue::embedded::step::Step;
use crate::queue::embedded::testing::MemoryStorage;

pub(crate) const AT: Timestamp = Timestamp::from_millis(1_704_067_200_000);

/// The states as a core has them.
#[derive(Debug, Default)]
pub(crate) struct TestStates {
    handlers: Mutex<BTreeMap<HandlerName, (Incarnation, HandlerState)>>,
    pub(crate) held: Mutex<BTreeSet<(HandlerName, Position)>>,
}

impl TestStates {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<HandlerName, (Incarnation, HandlerState)>> {
        self.handlers.lock().unwrap()
    }

    pub(crate) fn incarnation(&self, name: &HandlerName) -> Incarnation {
        self.lock()[name].0
    }
}

impl States for TestStates {
    fn handlers(&self) -> Vec<(HandlerName, Incarnation)> {
        self.lock().iter().map(|(name, (incarnation, _))| (name.clone(), *incarnation)).collect()
    }

    fn standing(&self, handler: &HandlerName, position: Position) -> Option<Standing> {
        let handlers = self.lock();
        let (_, state) = handlers.get(handler)?;
        let attempts = match state.change_of(position) {
            Some(DeliveryRecord { to: NewState::Retry { .. }, attempts, .. }) => attempts,
            Some(_) | None => 0,
        };
        let is_held = self.held.lock().unwrap().contains(&(handler.clone(), position));
        Some(Standing { status: state.status(position), attempts, is_held })
    }

    fn dead_from(
        &self,
        handler: &HandlerName,
        from: Position,
        limit: usize,
    ) -> Vec<(Position, Option<OrderKey>)> {
        let handlers = self.lock();
        let Some((_, state)) = handlers.get(handler) else { return Vec::new() };
        let positions = (from.0..state.high().0).map(Position);
        let dead = positions.filter_map(|position| match state.status(position) {
            Status::Dead => Some((position, None)),
            Status::DeadHolding => Some((position, Some(OrderKey([1; 16])))),
            Status::Settled | Status::Open | Status::Waiting | Status::Lost | Status::Unread => {
                None
            }
        });
        dead.take(limit).collect()
    }

    fn lost(&self, handler: &HandlerName) -> Vec<Range<Position>> {
        let handlers = self.lock();
        handlers.get(handler).map_or(Vec::new(), |(_, state)| state.lost().iter_ranges().collect())
    }
}

/// A log in memory that is written by hand.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) log: Arc<FileLog>,
    pub(crate) storage: Arc<MemoryStorage>,
    writer: LogWriter,
    pub(crate) kept: Arc<KeptLog>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) states: Arc<TestStates>,
    pub(crate) next: Position,
    segment_bytes: u32,
}

pub(crate) fn handler(name: &str) -> HandlerName {
    HandlerName::parse(name).unwrap()
}

pub(crate) fn new_event(source: &str, event_type: &str, at: Timestamp, body: &str) -> NewEvent {
    NewEvent::new(SourceName::parse(source).unwrap(), event_type, at, body.to_owned())
}

pub(crate) fn attempt(started: u64, error: &str) -> Attempt {
    let started_at = AT.after(Duration::from_secs(started));
    let duration = Duration::from_millis(7);
    let output = Output::new([Excerpt::tail(Stream::Stderr, error.as_bytes())]);
    let progress = Some(Progress(error.as_bytes().into()));
    let error = ErrorText::new(error);
    Attempt { started_at, duration, error, status: Some(503), output, progress }
}

/// One outcome, with an attempt that began so many seconds after [`AT`].
pub(crate) fn tried(
    position: u64,
    to: NewState,
    attempts: u32,
    started: u64,
    err: &str,
) -> DeliveryRecord {
    let attempt = Some(attempt(started, err));
    DeliveryRecord { attempts, attempt, ..DeliveryRecord::of(Position(position), 1, to) }
}

pub(crate) fn retry() -> NewState {
    NewState::Retry { due: AT, wait: Duration::from_secs(1), order_key: None }
}

pub(crate) fn dead(died: u64, reason: &str) -> NewState {
    let died_at = AT.after(Duration::from_secs(died));
    NewState::Dead { died_at, reason: ErrorText::new(reason), order_key: None }
}

impl Rig {
    pub(crate) fn new(segment_bytes: u32) -> Self {
        let clock = Arc::new(ManualClock::new(AT));
        let dyn_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let options = OpenOptions {
            segment_bytes,
            disk_reserve: 0,
            clock: dyn_clock,
            known: Vec::new(),
            synced_until: Lsn(0),
            drops_torn_units: false,
        };
        let shared = Arc::new(MemoryStorage::new());
        let folder = Path::new("/queue");
        let opened = FileLog::open(Arc::<MemoryStorage>::clone(&shared), folder, &options).unwrap();
        let kept_options = KeptOptions { segment_bytes: 1 << 20, compact_above: 1 << 30 };
        let kept = KeptLog::open(
            Arc::<MemoryStorage>::clone(&shared),
            folder,
            (KeptEnd::default(), EndTrust::Sure),
            kept_options,
        )
        .unwrap();
        let log = opened.writer.log();
        let mut rig = Self {
            log,
            storage: shared,
            writer: opened.writer,
            kept: Arc::new(kept),
            clock,
            states: Arc::default(),
            next: Position(1),
            segment_bytes,
        };
        rig.roll();
        rig
    }

    pub(crate) fn roll(&mut self) {
        let number = self.writer.next_number();
        let id = SegmentId { number, salt: u64::from(number) * 77 };
        let want = Want { id, reserve: Reserve::Used };
        let mut allocator = SegmentAllocator::new(Arc::clone(&self.log));
        let segment = loop {
            if let Some(segment) = allocator.step(want).unwrap() {
                break segment;
            }
        };
        let head = SegmentHead {
            at: self.clock.now(),
            next: self.next,
            newest_id: None,
            opening: 1,
            first: self.log.head().first.segment().max(1),
            first_position: self.log.head().first_position,
            kept: self.kept.end(),
            previous: None,
            handlers: Vec::new(),
        };
        self.writer.roll(segment, head, 0).unwrap();
        self.writer.publish(self.next);
    }

    fn roll_if_needed(&mut self, wanted: usize) {
        if self.writer.room() < wanted {
            assert!(wanted < self.segment_bytes as usize);
            self.roll();
        }
    }

    pub(crate) fn id_of(position: Position) -> EventId {
        let id = uuid::Builder::from_unix_timestamp_millis(
            1_704_067_200_000 + position.0 / 3,
            &u128_tail(position.0),
        );
        EventId(id.into_uuid())
    }

    /// Appends an event; its id's time is a third of its position.
    pub(crate) fn append(&mut self, event: &NewEvent) -> Position {
        let id = Self::id_of(self.next);
        self.append_as(event, id)
    }

    pub(crate) fn append_as(&mut self, event: &NewEvent, id: EventId) -> Position {
        self.roll_if_needed(event.body.len() + 512);
        let position = self.next;
        let mut unit = self.writer.begin();
        let lsn = unit.push_event(event, id, position);
        self.writer.note_event(position, lsn.offset());
        self.writer.append(&unit).unwrap();
        self.next = position.next();
        self.writer.publish(self.next);
        position
    }

    pub(crate) fn append_many(&mut self, n: u64) {
        for _ in 0..n {
            self.append(&new_event("shop", "comment.create", self.clock.now(), "{}"));
        }
    }

    /// A handler's subscription begins at the oldest event.
    pub(crate) fn subscribe(&mut self, name: &str) {
        self.subscribe_since(name, Position(1));
    }

    pub(crate) fn subscribe_since(&mut self, name: &str, since: Position) {
        self.roll_if_needed(512);
        let mut unit = self.writer.begin();
        let subscribed = unit.push_subscribed(&handler(name), since, 1);
        self.writer.append(&unit).unwrap();
        self.writer.publish(self.next);
        let incarnation = Incarnation { subscribed, since };
        let state = HandlerState::new(incarnation);
        self.states.lock().insert(handler(name), (incarnation, state));
    }

    /// Records outcomes of several handlers in one record.
    pub(crate) fn settle(&mut self, outcomes: &[(&str, Vec<DeliveryRecord>)]) -> Lsn {
        let mut sections = Vec::new();
        for (name, changes) in outcomes {
            let handler = handler(name);
            let mut handlers = self.states.lock();
            let (incarnation, state) = handlers.get_mut(&handler).unwrap();
            for change in changes {
                state.apply(change);
            }
            let incarnation = *incarnation;
            sections.push(Section { handler, incarnation, epoch: 1, changes: changes.clone() });
        }
        let record = SettleRecord { at: self.clock.now(), sections };
        self.roll_if_needed(200 * record.sections.iter().map(|s| s.changes.len()).sum::<usize>());
        let mut unit = self.writer.begin();
        let lsn = unit.push_settle(&record);
        self.writer.append(&unit).unwrap();
        self.writer.publish(self.next);
        lsn
    }

    /// Lets the oldest segment go, as the cleaner does: events that are dead for a handler and the
    /// changes of their deliveries go into the kept log.
    pub(crate) fn trim(&mut self) {
        let segments = self.log.segments();
        let [oldest, second, ..] = segments.as_slice() else { return };
        let mut events = Vec::new();
        let mut changes = Vec::new();
        let mut reader = LogReader::new(Arc::clone(&self.log), Lsn::start_of(oldest.id.number));
        let end = Lsn::start_of(second.id.number);
        while let Some(found) = reader.next(end).unwrap() {
            if found.kind == Kind::Event && self.is_dead(found.position().unwrap()) {
                events.push((found.position().unwrap(), found.payload.clone()));
            }
            let Some(Record::Settle(record)) = found.decode() else { continue };
            for Section { handler, incarnation, changes: recorded, .. } in record.sections {
                let dead = recorded.into_iter().filter(|change| self.is_dead(change.first));
                let copied: Vec<_> = dead.map(|change| (found.lsn, change)).collect();
                if !copied.is_empty() {
                    changes.push(KeptChanges { handler, incarnation, changes: copied });
                }
            }
        }
        if !events.is_empty() || !changes.is_empty() {
            let end = self.kept.append(7, &events, &changes).unwrap();
            self.kept.record(end);
        }
        self.log.trim(second.id.number).unwrap();
    }

    fn is_dead(&self, position: Position) -> bool {
        let handlers = self.states.lock();
        let mut states = handlers.values();
        states
            .any(|(_, state)| matches!(state.status(position), Status::Dead | Status::DeadHolding))
    }

    /// Every event that is there, by position: out of the log and the kept log, record by record.
    pub(crate) fn all_events(&self) -> Vec<Event> {
        let head = self.log.head();
        let mut events = Vec::new();
        for position in 1..head.first_position.0 {
            let kept = self.kept.find(Position(position)).unwrap();
            events.extend(kept.map(|(event, _)| event));
        }
        let mut reader = LogReader::new(Arc::clone(&self.log), head.first);
        while let Some(found) = reader.next(head.next).unwrap() {
            if let Some(Record::Event(event, _)) = found.decode() {
                events.push(event);
            }
        }
        events
    }

    pub(crate) fn follower(&self, index: &Arc<Index>) -> Follower {
        let (log, kept) = (Arc::clone(&self.log), Arc::clone(&self.kept));
        Follower::new(log, kept, Arc::clone(index))
    }

    /// Lets the follower work until it has nothing to do now.
    pub(crate) fn run(&self, follower: &mut Follower) -> Step {
        for _ in 0..100_000 {
            let step = follower.step(self.clock.steady());
            if step != Step::Again {
                return step;
            }
        }
        panic!("the follower does not come to an end");
    }

    /// An index over `store` that has everything.
    pub(crate) fn indexed(&self, store: Arc<dyn Store>) -> Arc<Index> {
        let index = Index::new(store);
        self.run(&mut self.follower(&index));
        index
    }

    pub(crate) fn reading(&self, index: &Arc<Index>) -> Reading {
        let states: Arc<dyn States> = Arc::<TestStates>::clone(&self.states);
        Reading::new(Arc::clone(&self.log), Arc::clone(&self.kept), Arc::clone(index), states)
    }
}

fn u128_tail(position: u64) -> [u8; 10] {
    let mut tail = [0; 10];
    // The counter in front, so that ids of one millisecond ascend.
    tail[1] = u8::try_from(position % 3).unwrap();
    tail[2..].copy_from_slice(&position.to_be_bytes());
    tail
}
