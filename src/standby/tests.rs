//! Gateway and standby in one process, with segments of 8 KiB.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::error::StandbyError;
use super::local::{CopyError, LocalCopy};
use super::promote::promote;
use super::standbys::{Acknowledge, Rule, Standbys};
use super::wire::{Batch, Hello, Pull};
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::event::{
    Attempt, DataRoot, Dedupe, DedupeKey, ErrorText, EventId, EventType, HandlerName, Headers,
    NewEvent, Outcome, Output, Position, Settlement, SourceName,
};
use crate::queue::embedded::{COPY_FORMAT, EmbeddedQueue, IndexIn, Settings};
use crate::queue::{Appended, DeadFilter, EventQuery, Queue, QueueError, Start, Subscription};

const RULE: Rule = Rule {
    acknowledge: Acknowledge::Standby,
    timeout: Duration::from_millis(50),
    is_expected: true,
    lag_max: Duration::from_secs(10),
};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)))
}

fn open(folder: &std::path::Path) -> Result<EmbeddedQueue, QueueError> {
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

fn web() -> HandlerName {
    HandlerName::parse("web").unwrap()
}

fn new_event(n: u32) -> NewEvent {
    let key = DedupeKey(u128::from(n).to_be_bytes());
    NewEvent {
        source: SourceName::parse("shop").unwrap(),
        event_type: EventType::new("x.y"),
        received_at: clock().now(),
        data_root: DataRoot::Payload,
        is_json: false,
        headers: Headers::default(),
        body: Bytes::from(n.to_string().repeat(300)),
        dedupe: Dedupe::Within { key, window: Duration::from_hours(1) },
    }
}

/// A gateway and the folder of a copy.
struct Rig {
    folder: tempfile::TempDir,
    queue: EmbeddedQueue,
    subscription: Box<dyn Subscription>,
    standbys: Standbys,
    n_events: u32,
}

impl Rig {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(&folder.path().join("gateway")).unwrap();
        let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
        let standbys = Standbys::new(queue.files(), folder.path().join("gateway"), clock(), RULE);
        Self { folder, queue, subscription, standbys, n_events: 0 }
    }

    fn copy_folder(&self) -> PathBuf {
        self.folder.path().join("copy")
    }

    fn copy(&self) -> LocalCopy {
        LocalCopy::open(&self.copy_folder()).unwrap()
    }

    async fn append(&mut self, n_events: u32) {
        for _ in 0..n_events {
            self.queue.append(new_event(self.n_events)).await.unwrap();
            self.n_events += 1;
        }
    }

    /// Delivers what waits, but lets every tenth event die; then frees what may be freed.
    async fn deliver(&self) {
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

    fn hello(&self, copy: &mut LocalCopy) -> Result<String, StandbyError> {
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

    async fn pull(&self, session: &str, copy: &LocalCopy) -> Result<Bytes, StandbyError> {
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

    async fn step(&self, session: &str, copy: &mut LocalCopy) -> Batch {
        let answer = self.pull(session, copy).await.unwrap();
        let (batch, parts) = Batch::decode(&answer).unwrap();
        copy.apply(batch.clone(), &parts, clock().now()).unwrap();
        batch
    }

    /// Follows until nothing more comes.
    async fn follow(&self, copy: &mut LocalCopy) {
        let session = self.hello(copy).unwrap();
        while !self.step(&session, copy).await.chunks.is_empty() {}
        assert_eq!(copy.durable(), self.queue.files().head());
        assert!(copy.is_complete());
    }

    /// Makes a queue of the copy, and compares it with the gateway's.
    async fn compare(&self) {
        let promoted = promote(&self.copy_folder(), false).unwrap();
        assert_eq!(promoted.events_behind, Some(0));
        let second = open(&self.copy_folder()).unwrap();
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
async fn events(queue: &EmbeddedQueue) -> Vec<(Position, EventId, Bytes)> {
    let query = EventQuery { limit: 10_000, ..EventQuery::default() };
    let events = queue.list(query).await.unwrap().into_iter();
    events.map(|event| (event.position, event.id, event.body)).collect()
}

/// Turns a byte of a file over.
fn flip(path: &std::path::Path, at: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_copy_follows_through_segments_that_come_and_go() {
    let mut rig = Rig::new().await;
    let mut copy = rig.copy();
    for _ in 0..6 {
        rig.append(50).await;
        rig.follow(&mut copy).await;
        rig.deliver().await;
        rig.append(3).await;
        rig.follow(&mut copy).await;
        // The lists count once the log is as far as they are.
        rig.append(1).await;
        rig.follow(&mut copy).await;
    }
    assert!(rig.queue.files().first_segment() > 10, "segments were let go of");
    let there = files(&rig.copy_folder().join("log")).len();
    assert!(there < 10, "the copy lets go of them, too: {there}");
    drop(copy);
    rig.compare().await;
}

#[tokio::test]
async fn a_copy_that_begins_late_or_was_away_has_all_that_is_alive() {
    let mut rig = Rig::new().await;
    rig.append(100).await;
    rig.deliver().await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    // While it is away the gateway lets go of all that it has.
    drop(copy);
    rig.append(200).await;
    rig.deliver().await;
    rig.append(30).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    drop(copy);
    rig.compare().await;
}

#[tokio::test]
async fn a_copy_that_is_cut_off_at_any_question_goes_on_where_it_stood() {
    let mut rig = Rig::new().await;
    rig.append(60).await;
    rig.deliver().await;
    for _ in 0..30 {
        rig.append(7).await;
        // Killed after a single answer, and begun anew.
        let mut copy = rig.copy();
        let session = rig.hello(&mut copy).unwrap();
        rig.step(&session, &mut copy).await;
    }
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    drop(copy);
    rig.compare().await;
}

#[tokio::test]
async fn every_byte_that_is_turned_over_on_the_way_is_noticed() {
    let mut rig = Rig::new().await;
    rig.append(5).await;
    let mut copy = rig.copy();
    let session = rig.hello(&mut copy).unwrap();
    let answer = rig.pull(&session, &copy).await.unwrap();
    for at in 0..answer.len() {
        let mut garbled = answer.to_vec();
        garbled[at] ^= 0x10;
        assert!(Batch::decode(&garbled.into()).is_err(), "byte {at}");
    }
    for length in 0..answer.len() {
        assert!(Batch::decode(&answer.slice(..length)).is_err(), "cut at {length}");
    }
}

#[tokio::test]
async fn what_rots_in_the_copy_is_fetched_again() {
    let mut rig = Rig::new().await;
    rig.append(60).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    let sealed = files(&rig.copy_folder().join("log"))[1].clone();
    // While it follows: found by the look at one segment after another.
    flip(&sealed, 4_000);
    let n_looks = (0..40).take_while(|_| copy.scrub()).count();
    assert!(n_looks < 40, "it is found");
    rig.follow(&mut copy).await;
    drop(copy);
    // While it is away, in a complete segment and in the newest one.
    flip(&sealed, 4_000);
    flip(files(&rig.copy_folder().join("log")).last().unwrap(), 100);
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    drop(copy);
    rig.compare().await;
}

#[tokio::test]
async fn a_damaged_copy_is_promoted_by_force_only() {
    let mut rig = Rig::new().await;
    rig.append(60).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    drop(copy);
    flip(&files(&rig.copy_folder().join("log"))[1], 4_000);
    let err = promote(&rig.copy_folder(), false).unwrap_err();
    assert!(matches!(err, CopyError::Damaged { .. }), "{err}");
    assert!(matches!(open(&rig.copy_folder()), Err(QueueError::Standby { .. })));
    let promoted = promote(&rig.copy_folder(), true).unwrap();
    assert!(!promoted.damage.is_empty());
    assert!(!open(&rig.copy_folder()).unwrap().stats().damage.is_empty(), "the rest is served");
}

#[tokio::test]
async fn a_copy_that_is_not_complete_is_promoted_by_force_only() {
    let mut rig = Rig::new().await;
    rig.append(3).await;
    let mut copy = rig.copy();
    rig.hello(&mut copy).unwrap();
    drop(copy);
    let err = promote(&rig.copy_folder(), false).unwrap_err();
    assert!(matches!(err, CopyError::Incomplete(_)), "{err}");
}

#[tokio::test]
async fn nobody_serves_from_a_copy_and_no_standby_writes_into_a_queue() {
    let mut rig = Rig::new().await;
    rig.append(3).await;
    let mut copy = rig.copy();
    rig.follow(&mut copy).await;
    // Held by the standby.
    let err = promote(&rig.copy_folder(), true).unwrap_err();
    assert!(matches!(err, CopyError::Queue(QueueError::Held { .. })), "{err}");
    drop(copy);
    assert!(matches!(open(&rig.copy_folder()), Err(QueueError::Standby { .. })));
    promote(&rig.copy_folder(), false).unwrap();
    drop(open(&rig.copy_folder()).unwrap());
    let err = LocalCopy::open(&rig.copy_folder()).unwrap_err();
    assert!(matches!(err, CopyError::IsQueue(_)), "{err}");
    let err = promote(&rig.copy_folder(), true).unwrap_err();
    assert!(matches!(err, CopyError::IsQueue(_)), "{err}");
    let other = rig.folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("letter.txt"), "dear").unwrap();
    assert!(matches!(LocalCopy::open(&other), Err(CopyError::NotEmpty(_))));
}

#[tokio::test]
async fn a_copy_of_another_gateway_is_refused() {
    let (mut one, mut two) = (Rig::new().await, Rig::new().await);
    one.append(3).await;
    two.append(3).await;
    let mut copy = one.copy();
    one.follow(&mut copy).await;
    let err = two.hello(&mut copy).unwrap_err();
    assert!(matches!(err, StandbyError::OtherGateway { .. }), "{err}");
}

#[tokio::test]
async fn a_gateway_that_was_restored_from_an_older_copy_is_refused() {
    for n_new in [0, 1, 3, 40] {
        let mut rig = Rig::new().await;
        rig.append(20).await;
        let mut copy = rig.copy();
        rig.follow(&mut copy).await;
        rig.queue.close().await.unwrap();
        let (now, older) = (rig.folder.path().join("gateway"), rig.folder.path().join("older"));
        // The older copy: as it stands now, before three more events.
        let copied =
            std::process::Command::new("cp").arg("-a").arg(&now).arg(&older).status().unwrap();
        assert!(copied.success());
        rig.queue = open(&now).unwrap();
        rig.standbys = Standbys::new(rig.queue.files(), now.clone(), clock(), RULE);
        rig.append(3).await;
        rig.follow(&mut copy).await;
        rig.queue = open(&older).unwrap();
        rig.standbys = Standbys::new(rig.queue.files(), older, clock(), RULE);
        rig.n_events = 1_000;
        rig.append(n_new).await;
        let err = rig.hello(&mut copy).unwrap_err();
        assert!(matches!(err, StandbyError::Diverged(_)), "after {n_new}: {err}");
        let text = err.to_string();
        assert!(text.contains("promote it, or give the standby an empty folder"), "{text}");
    }
}

#[tokio::test]
async fn another_format_is_refused_by_name() {
    let rig = Rig::new().await;
    let hello = Hello {
        format: COPY_FORMAT + 1,
        version: "9.9.9".to_owned(),
        name: "two".to_owned(),
        gateway: None,
        stand: None,
    };
    let text = rig.standbys.hello(&hello).unwrap_err().to_string();
    assert!(text.contains("9.9.9") && text.contains("run the same version on both"), "{text}");
}

#[tokio::test]
async fn an_answer_waits_for_the_copy_and_no_longer_than_it_may() {
    let mut rig = Rig::new().await;
    rig.append(1).await;
    assert!(!rig.standbys.is_copied().await, "nobody has it");
    assert!(rig.standbys.problem().is_some_and(|text| text.contains("no standby has asked")));
    let mut copy = rig.copy();
    let session = rig.hello(&mut copy).unwrap();
    rig.step(&session, &mut copy).await;
    assert!(!rig.standbys.is_copied().await, "it has not said that it is durable");
    rig.step(&session, &mut copy).await;
    assert!(rig.standbys.is_copied().await);
    assert_eq!(rig.standbys.problem(), None);
    let view = rig.standbys.view().unwrap();
    assert_eq!((view.name.as_deref(), view.connected), (Some("two"), true));
    assert_eq!((view.lag.seconds, view.lag.bytes), (0.0, 0));
    rig.append(1).await;
    assert!(!rig.standbys.is_copied().await, "the copy lacks the newest");
    assert!(rig.standbys.view().unwrap().lag.bytes > 300);
    rig.standbys.set_rule(Rule { acknowledge: Acknowledge::Local, ..RULE });
    assert!(rig.standbys.is_copied().await, "nobody wants it to");
}
