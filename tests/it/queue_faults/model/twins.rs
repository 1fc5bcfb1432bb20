//! Both queues, and every action on both.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use gatepost::clock::Clock;
use gatepost::event::{Delivery, EventId, NewEvent, OrderKey, Outcome, Position, Settled};
use gatepost::queue::memory::MemoryQueue;
use gatepost::queue::sled::{Settings, SledQueue};
use gatepost::queue::{Appended, DeadFilter, DeliveryState, Queue, Start, Subscription};

use super::actions::{Action, How};
use crate::queue_faults::{Site, event, keyed, record};
use crate::support::events::{handler, key, tried, untried};

pub(super) type Sub = Box<dyn Subscription>;
/// How a delivery stands and after how many tries.
pub(super) type Stand = (DeliveryState, usize);

pub(super) struct Twins {
    pub(super) site: Site,
    pub(super) sled: SledQueue,
    pub(super) memory: MemoryQueue,
    pub(super) subscriptions: Option<(Sub, Sub)>,
    /// What the embedded one gave out, and the same from the one in memory.
    pub(super) taken: Vec<(Delivery, Option<Delivery>)>,
    /// The ids of both, by position.
    pub(super) ids: Vec<(EventId, EventId)>,
    /// What was settled since the last time that all was recorded: the event and how it stood
    /// before and after.
    pub(super) unrecorded: Vec<(Position, Stand, Stand)>,
    pub(super) n: u64,
}

impl Twins {
    pub(super) async fn new() -> Self {
        let site = Site::new();
        let sled = open(&site);
        let memory = MemoryQueue::new(site.clock.clone());
        let (subscriptions, taken) = (None, Vec::new());
        let (ids, unrecorded) = (Vec::new(), Vec::new());
        let mut twins = Self { site, sled, memory, subscriptions, taken, ids, unrecorded, n: 0 };
        twins.subscribe().await;
        twins
    }

    pub(super) async fn subscribe(&mut self) {
        self.taken.clear();
        self.subscriptions = None;
        let name = handler("h");
        let sled = self.sled.subscribe(&name, Start::Oldest).await.unwrap();
        let memory = self.memory.subscribe(&name, Start::Oldest).await.unwrap();
        self.subscriptions = Some((sled, memory));
        // A start lets lines go, and that is recorded like any settlement.
        self.record().await;
    }

    pub(super) async fn record(&mut self) {
        record(&self.sled).await.unwrap();
        self.unrecorded.clear();
        // The one in memory forgets how to undo.
        self.memory.forget(&handler("nobody")).await.unwrap();
    }

    pub(super) async fn stand(queue: &dyn Queue, position: Position) -> Stand {
        let history = queue.history(position).await.unwrap();
        let found = history.first().expect("an event that is open has a history");
        (found.state, found.attempts.len())
    }

    pub(super) async fn append(&mut self, kib: usize, key: Option<u64>) {
        self.n += 1;
        let window = Duration::from_secs(200);
        let new = || match key {
            Some(key) => keyed(key, 100, window),
            None => event(self.n, kib << 10),
        };
        let received_at = self.site.clock.now();
        let new = || NewEvent { received_at, ..new() };
        let sled = self.sled.append(new()).await.unwrap();
        let memory = self.memory.append(new()).await.unwrap();
        match (sled, memory) {
            (Appended::Stored(sled), Appended::Stored(memory)) => self.ids.push((sled, memory)),
            (Appended::Duplicate(sled), Appended::Duplicate(memory)) => {
                assert!(self.ids.contains(&(sled, memory)));
            }
            differ => panic!("{differ:?}"),
        }
    }

    pub(super) fn take(&mut self, max: usize) {
        let (sled, memory) = self.subscriptions.as_ref().unwrap();
        let sled = sled.next(max).now_or_never().map_or_else(Vec::new, Result::unwrap);
        let memory = memory.next(max).now_or_never().map_or_else(Vec::new, Result::unwrap);
        let say = |taken: &[Delivery]| -> Vec<(u64, u32, Option<i64>)> {
            let first =
                |d: &Delivery| d.first_attempt_at.map(gatepost::clock::Timestamp::as_millis);
            taken.iter().map(|d| (d.event.position.0, d.attempt, first(d))).collect()
        };
        assert_eq!(say(&sled), say(&memory), "what is due (embedded, in memory)");
        for (sled, memory) in sled.iter().zip(&memory) {
            assert_eq!(sled.event.body, memory.event.body);
        }
        self.taken.extend(sled.into_iter().zip(memory.into_iter().map(Some)));
    }

    pub(super) fn settled(&self, how: &How) -> Settled {
        let now = self.site.clock.steady();
        let line = |n: &Option<u8>| n.map(key);
        match how {
            How::Delivered => tried(Outcome::Delivered, now, ""),
            How::Skipped => untried(Outcome::Skipped),
            How::Retry { secs, key } => {
                let at = now.after(Duration::from_secs(*secs));
                tried(Outcome::Retry { at, order_key: line(key) }, now, "refused")
            }
            How::Held { key: n } => untried(Outcome::Held { order_key: key(*n) }),
            How::Dead { key } => tried(Outcome::Dead { order_key: line(key) }, now, "dead"),
        }
    }

    pub(super) async fn settle(&mut self, which: usize, how: &How) {
        if self.taken.is_empty() {
            return;
        }
        let (on_sled, in_memory) = self.taken.remove(which % self.taken.len());
        let position = on_sled.event.position;
        let before = Self::stand(&self.memory, position).await;
        let (sled, memory) = self.subscriptions.as_ref().unwrap();
        sled.settle(on_sled, self.settled(how)).await.unwrap();
        memory.settle(in_memory.unwrap(), self.settled(how)).await.unwrap();
        let after = Self::stand(&self.memory, position).await;
        self.unrecorded.push((position, before, after));
    }

    pub(super) async fn settle_all(&mut self, hows: &[How]) {
        let n = hows.len().min(self.taken.len());
        let (mut on_sled, mut in_memory, mut stood) = (Vec::new(), Vec::new(), Vec::new());
        let taken: Vec<_> = self.taken.drain(..n).collect();
        for ((sled, memory), how) in taken.into_iter().zip(hows) {
            let position = sled.event.position;
            stood.push((position, Self::stand(&self.memory, position).await));
            on_sled.push((sled, self.settled(how)));
            in_memory.push((memory.unwrap(), self.settled(how)));
        }
        let (sled, memory) = self.subscriptions.as_ref().unwrap();
        sled.settle_all(on_sled).await.unwrap();
        memory.settle_all(in_memory).await.unwrap();
        for (position, before) in stood {
            let after = Self::stand(&self.memory, position).await;
            self.unrecorded.push((position, before, after));
        }
    }

    pub(super) async fn release(&mut self, which: usize) {
        if self.taken.is_empty() {
            return;
        }
        let (on_sled, in_memory) = self.taken.remove(which % self.taken.len());
        let (sled, memory) = self.subscriptions.as_ref().unwrap();
        sled.release(on_sled).await.unwrap();
        memory.release(in_memory.unwrap()).await.unwrap();
    }

    pub(super) async fn release_key(&mut self, order_key: OrderKey) {
        let (sled, memory) = self.subscriptions.as_ref().unwrap();
        let released = sled.release_key(order_key).await.unwrap();
        assert_eq!(released, memory.release_key(order_key).await.unwrap(), "released");
        for position in [1, 5, 1_000].map(Position) {
            let is_waiting = sled.is_key_waiting(order_key, position).await.unwrap();
            let expected = memory.is_key_waiting(order_key, position).await.unwrap();
            assert_eq!(is_waiting, expected, "{order_key:?} before {position:?}");
        }
        self.record().await;
    }

    pub(super) async fn change_dead(&mut self, position: Option<u64>, drops: bool) {
        // Two first tries of one delivery never begin at the same moment.
        self.site.advance_secs(1);
        let filter = || DeadFilter { position: position.map(Position), ..DeadFilter::default() };
        let (sled, memory) = if drops {
            (self.sled.drop_dead(filter()).await, self.memory.drop_dead(filter()).await)
        } else {
            (self.sled.redrive(filter()).await, self.memory.redrive(filter()).await)
        };
        assert_eq!(sled.unwrap(), memory.unwrap(), "dead letters changed");
        self.record().await;
    }

    pub(super) async fn replay(&mut self, position: u64) {
        self.site.advance_secs(1);
        let (name, position) = (handler("h"), Position(position));
        // The one in memory never prunes.
        if self.sled.replay(&name, &[position]).await.unwrap() == 1 {
            assert_eq!(self.memory.replay(&name, &[position]).await.unwrap(), 1);
        }
        self.record().await;
    }

    /// Starts both anew. `n_lost` settlements are not in the embedded one any more.
    pub(super) async fn restart(&mut self, n_lost: usize) {
        self.memory = self.memory.crash(n_lost);
        self.unrecorded.clear();
        self.subscribe().await;
        self.compare().await;
        self.compare_histories().await;
    }

    pub(super) async fn reopen(&mut self, without_index: bool) {
        self.taken.clear();
        self.subscriptions = None;
        self.sled.close().await.unwrap();
        if without_index {
            self.site.remove_index();
        }
        self.sled = open(&self.site);
        self.restart(0).await;
    }

    pub(super) async fn crash(&mut self, seed: u64, without_index: bool) {
        // What was not tried leaves no trace by which to see whether it was recorded.
        if self.unrecorded.iter().any(|(_, before, after)| before.1 == after.1) {
            self.record().await;
        }
        self.power_cut(seed, without_index);
        let n_lost = self.n_lost().await;
        self.restart(n_lost).await;
    }

    pub(super) fn power_cut(&mut self, seed: u64, without_index: bool) {
        self.taken.clear();
        self.subscriptions = None;
        let disk = self.site.disk.power_cut(seed);
        // Another folder's lock: the old process is not quite gone yet.
        let placeholder = SledQueue::open(
            Settings::new(self.site.folder.path().join("nothing")),
            self.site.clock.clone(),
        );
        drop(std::mem::replace(&mut self.sled, placeholder.unwrap()));
        self.site.disk = disk;
        if without_index {
            self.site.remove_index();
        }
        self.sled = open(&self.site);
        assert_eq!(self.sled.stats().damage, Vec::<String>::new());
    }

    pub(super) async fn act(&mut self, action: &Action) {
        match action {
            Action::Append { kib } => self.append(*kib, None).await,
            Action::AppendKeyed { key } => self.append(0, Some(*key)).await,
            Action::Take { max } => self.take(*max),
            Action::Settle { which, how } => self.settle(*which, how).await,
            Action::SettleAll { hows } => self.settle_all(hows).await,
            Action::Release { which } => self.release(*which).await,
            Action::ReleaseKey { key: n } => self.release_key(key(*n)).await,
            Action::Redrive { position } => self.change_dead(Some(*position), false).await,
            Action::RedriveAll => self.change_dead(None, false).await,
            Action::Drop { position } => self.change_dead(Some(*position), true).await,
            Action::Replay { position } => self.replay(*position).await,
            Action::Advance { secs } => self.site.advance_secs(*secs),
            Action::Resubscribe => self.subscribe().await,
            Action::Record => self.record().await,
            Action::Tidy => self.sled.tidy().await.unwrap(),
            Action::Compact => {
                self.sled.compact().await.unwrap();
                self.record().await;
            }
            Action::Reopen { without_index } => self.reopen(*without_index).await,
            Action::Crash { seed, without_index } => self.crash(*seed, *without_index).await,
        }
    }
}

pub(super) fn open(site: &Site) -> SledQueue {
    let mut settings = site.settings();
    settings.retention = Duration::from_mins(1);
    SledQueue::open(settings, Arc::clone(&site.clock) as Arc<dyn Clock>).unwrap()
}
