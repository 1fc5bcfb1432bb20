//! A gateway and a copy in one process, with segments of 8 KiB.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::error::StandbyError;
use super::super::local::LocalCopy;
use super::super::promote::{Promoted, promote};
use super::super::standbys::{Acknowledge, Rule, Standbys};
use super::super::wire::{Hello, Pull, PulledParts};
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::event::{
    Attempt, Dedupe, DedupeKey, ErrorText, EventId, HandlerName, NewEvent, Outcome, Output,
    Position, Settlement, SourceName,
};
use crate::queue::embedded::{COPY_FORMAT, EmbeddedQueue, IndexIn, Settings};
use crate::queue::{Appended, DeadFilter, EventQuery, Queue, QueueError, Start, Subscription};

pub(in crate::standby) const RULE: Rule = Rule {
    acknowledge: Acknowledge::Standby,
    timeout: Duration::from_millis(50),
    is_expected: true,
    lag_max: Duration::from_secs(10),
};

pub(in crate::standby) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)))
}

pub(in crate::standby) fn open(folder: &Path) -> Result<EmbeddedQueue, QueueError> {
    let settings = Settings {
        segment_bytes: 8_192,
        disk_reserve: 0,
        retention: Duration::ZERO,
        memtable_keys: 16,
        index: IndexIn::Memory,
        ..Settings::new(folder)
    };
    EmbeddedQueue::open_inline(settings, clock(), 7)
}

pub(in crate::standby) fn web() -> HandlerName {
    HandlerName::parse("web").unwrap()
}

pub(in crate::standby) fn new_event(n: u32) -> NewEvent {
    let key = DedupeKey(u128::from(n).to_be_bytes());
    let (source, body) = (SourceName::parse("shop").unwrap(), n.to_string().repeat(300));
    NewEvent {
        dedupe: Dedupe::Within { key, window: Duration::from_hours(1) },
        ..NewEvent::new(source, "x.y", clock().now(), body)
    }
}

/// A gateway and the folder of a copy.
pub(in crate::standby) struct Rig {
    pub(in crate::standby) folder: tempfile::TempDir,
    pub(in crate::standby) queue: EmbeddedQueue,
    pub(in crate::standby) subscription: Box<dyn Subscription>,
    pub(in crate::standby) standbys: Standbys,
    pub(in crate::standby) n_events: u32,
}

impl Rig {
    pub(in crate::standby) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(&folder.path().join("gateway")).unwrap();
        let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
        let standbys = Standbys::new(queue.files(), folder.path().join("gateway"), clock(), RULE);
        Self { folder, queue, subscription, standbys, n_events: 0 }
    }

    pub(in crate::standby) fn copy_folder(&self) -> PathBuf {
        self.folder.path().join("copy")
    }

    pub(in crate::standby) fn copy(&self) -> LocalCopy {
        LocalCopy::open(&self.copy_folder()).unwrap()
    }

    pub(in crate::standby) async fn append(&mut self, n_events: u32) {
        for _ in 0..n_events {
            self.queue.append(new_event(self.n_events)).await.unwrap();
            self.n_events += 1;
        }
    }

    /// Delivers what waits, but lets every tenth event die; then frees what may be freed.
    pub(in crate::standby) async fn deliver(&self) {
        while self.subscription.backlog().in_log > 0 {
            for delivery in self.subscription.next(100).await.unwrap() {
                let attempt = Attempt {
                    started_at: clock().now(),
                    duration: Duration::ZERO,
                    error: ErrorText::new("no"),
                    status: None,
                    output: Output::default(),
                    progress: None,
                };
                let is_tenth = delivery.event.position.0.is_multiple_of(10);
                let outcome =
                    if is_tenth { Outcome::Dead { order_key: None } } else { Outcome::Delivered };
                let settlement = Settlement { delivery, outcome, attempt: Some(attempt) };
                self.subscription.settle(settlement).await.unwrap();
            }
        }
        self.queue.clean().await.unwrap();
    }

    pub(in crate::standby) fn hello(&self, copy: &mut LocalCopy) -> Result<String, StandbyError> {
        let hello = Hello {
            format: COPY_FORMAT,
            version: "test".to_owned(),
            name: "two".to_owned(),
            gateway: copy.gateway().map(str::to_owned),
            stand: copy.checked_end().unwrap(),
        };
        let welcome = self.standbys.hello(&hello)?;
        copy.begin(&welcome.gateway).unwrap();
        Ok(welcome.session)
    }

    pub(in crate::standby) async fn pull(
        &self,
        session: &str,
        copy: &LocalCopy,
    ) -> Result<Bytes, StandbyError> {
        let pull = Pull {
            session: session.to_owned(),
            from: copy.stand(),
            durable: copy.durable(),
            kept: copy.kept_parts(),
            keys: copy.key_parts(),
            wait_ms: 0,
        };
        self.standbys.pull(pull).await
    }

    pub(in crate::standby) async fn step(
        &self,
        session: &str,
        copy: &mut LocalCopy,
    ) -> PulledParts {
        let answer = self.pull(session, copy).await.unwrap();
        let (batch, parts) = PulledParts::decode(&answer).unwrap();
        copy.apply(batch.clone(), &parts, clock().now()).unwrap();
        batch
    }

    /// Follows until nothing more comes.
    pub(in crate::standby) async fn follow(&self, copy: &mut LocalCopy) {
        let session = self.hello(copy).unwrap();
        while !self.step(&session, copy).await.chunks.is_empty() {}
        assert_eq!(copy.durable(), self.queue.files().head());
        assert!(copy.is_complete());
    }

    /// Makes a queue of the copy, and compares it with the gateway's.
    pub(in crate::standby) async fn compare(&self) {
        let promoted = promote(&self.copy_folder(), false, &|_, _| ()).unwrap();
        self.compare_with(promoted, &self.copy_folder()).await;
    }

    /// Compares the queue that a copy has become with the gateway's.
    pub(in crate::standby) async fn compare_with(&self, promoted: Promoted, folder: &Path) {
        assert_eq!(promoted.events_behind, Some(0));
        let second = open(folder).unwrap();
        assert_eq!(events(&second).await, events(&self.queue).await);
        let dead = |letters: Vec<crate::queue::DeadLetter>| -> Vec<_> {
            letters.into_iter().map(|letter| (letter.position, letter.id)).collect()
        };
        assert_eq!(
            dead(second.dead(DeadFilter::default()).await.unwrap()),
            dead(self.queue.dead(DeadFilter::default()).await.unwrap())
        );
        assert_eq!(second.stats().damage, Vec::<String>::new());
        // What was stored is known to be stored, also of segments that are gone.
        for n in 0..self.n_events {
            let appended = second.append(new_event(n)).await.unwrap();
            assert!(matches!(appended, Appended::Duplicate(_)), "{n}");
        }
        let subscription = second.subscribe(&web(), Start::Now).await.unwrap();
        assert_eq!(subscription.backlog().in_log, self.subscription.backlog().in_log);
    }
}

/// All events of a queue.
pub(in crate::standby) async fn events(queue: &EmbeddedQueue) -> Vec<(Position, EventId, Bytes)> {
    let query = EventQuery { limit: 10_000, ..EventQuery::default() };
    let events = queue.list(query).await.unwrap().into_iter();
    events.map(|event| (event.position, event.id, event.received.body)).collect()
}

/// Turns a byte of a file over.
pub(in crate::standby) fn flip(path: &Path, at: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

pub(in crate::standby) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
