//! The embedded queue beside the one in memory, which keeps the same promises without a disk: the
//! same random calls to both, with crashes, lost indexes, prunes and compactions thrown in that
//! only the embedded one goes through. Whatever is asked, both answer the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use gatepost::event::{Delivery, EventId, OrderKey, Outcome, Position, Settled};
use gatepost::queue::memory::MemoryQueue;
use gatepost::queue::sled::SledQueue;
use gatepost::queue::{Appended, DeadFilter, DeliveryState, Queue, Start, Subscription};
use proptest::prelude::*;

use super::{Site, event, keyed, record};
use crate::support::events::{handler, key, tried, untried};

#[derive(Clone, Debug)]
enum Action {
    Append { kib: usize },
    AppendKeyed { key: u64 },
    Take { max: usize },
    Settle { which: usize, how: How },
    Release { which: usize },
    ReleaseKey { key: u8 },
    Redrive { position: u64 },
    RedriveAll,
    Drop { position: u64 },
    Replay { position: u64 },
    Advance { secs: u64 },
    Resubscribe,
    Record,
    Tidy,
    Compact,
    Reopen { without_index: bool },
    Crash { seed: u64, without_index: bool },
}

#[derive(Clone, Debug)]
enum How {
    Delivered,
    Skipped,
    Retry { secs: u64, key: Option<u8> },
    Held { key: u8 },
    Dead { key: Option<u8> },
}

/// Which actions there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum World {
    /// Deliveries wait in line for each other; nothing is started anew. What was let go before a
    /// restart may come out of the log or as an entry after it: both are right.
    Lines,
    /// No lines, and restarts of every kind.
    Restarts,
    Both,
}

fn how(world: World) -> BoxedStrategy<How> {
    let key = move || match world {
        World::Lines | World::Both => proptest::option::of(0..3_u8).boxed(),
        World::Restarts => Just(None).boxed(),
    };
    let held = move |key| match world {
        World::Lines | World::Both => How::Held { key },
        World::Restarts => How::Delivered,
    };
    prop_oneof![
        4 => Just(How::Delivered),
        1 => Just(How::Skipped),
        3 => (0..100_u64, key()).prop_map(|(secs, key)| How::Retry { secs, key }),
        2 => (0..3_u8).prop_map(held),
        2 => key().prop_map(|key| How::Dead { key }),
    ]
    .boxed()
}

fn action(world: World) -> impl Strategy<Value = Action> {
    let fits = move |action| match action {
        Action::ReleaseKey { .. } if world == World::Restarts => Action::Record,
        Action::Resubscribe | Action::Reopen { .. } | Action::Crash { .. }
            if world == World::Lines =>
        {
            Action::Record
        }
        action => action,
    };
    prop_oneof![
        12 => (0..12_usize).prop_map(|kib| Action::Append { kib }),
        3 => (0..6_u64).prop_map(|key| Action::AppendKeyed { key }),
        12 => (1..6_usize).prop_map(|max| Action::Take { max }),
        24 => (0..8_usize, how(world)).prop_map(|(which, how)| Action::Settle { which, how }),
        2 => (0..8_usize).prop_map(|which| Action::Release { which }),
        2 => (0..3_u8).prop_map(|key| Action::ReleaseKey { key }),
        2 => (1..40_u64).prop_map(|position| Action::Redrive { position }),
        1 => Just(Action::RedriveAll),
        2 => (1..40_u64).prop_map(|position| Action::Drop { position }),
        3 => (1..40_u64).prop_map(|position| Action::Replay { position }),
        4 => (1..60_u64).prop_map(|secs| Action::Advance { secs }),
        2 => Just(Action::Resubscribe),
        2 => Just(Action::Record),
        3 => Just(Action::Tidy),
        1 => Just(Action::Compact),
        1 => any::<bool>().prop_map(|without_index| Action::Reopen { without_index }),
        2 => (any::<u64>(), any::<bool>())
            .prop_map(|(seed, without_index)| Action::Crash { seed, without_index }),
    ]
    .prop_map(fits)
}

type Sub = Box<dyn Subscription>;
/// How a delivery stands and after how many tries.
type Stand = (DeliveryState, usize);

struct Twins {
    site: Site,
    sled: SledQueue,
    memory: MemoryQueue,
    subscriptions: Option<(Sub, Sub)>,
    /// What the embedded one gave out, and the same from the one in memory.
    taken: Vec<(Delivery, Option<Delivery>)>,
    /// The ids of both, by position.
    ids: Vec<(EventId, EventId)>,
    /// What was settled since the last time that all was recorded: the event and how it stood
    /// before and after.
    unrecorded: Vec<(Position, Stand, Stand)>,
    n: u64,
}

impl Twins {
    async fn new() -> Self {
        let site = Site::new();
        let sled = open(&site);
        let memory = MemoryQueue::new(site.clock.clone());
        let (subscriptions, taken) = (None, Vec::new());
        let (ids, unrecorded) = (Vec::new(), Vec::new());
        let mut twins = Self { site, sled, memory, subscriptions, taken, ids, unrecorded, n: 0 };
        twins.subscribe().await;
        twins
    }

    async fn subscribe(&mut self) {
        self.taken.clear();
        self.subscriptions = None;
        let name = handler("h");
        let sled = self.sled.subscribe(&name, Start::Oldest).await.unwrap();
        let memory = self.memory.subscribe(&name, Start::Oldest).await.unwrap();
        self.subscriptions = Some((sled, memory));
        // A start lets lines go, and that is recorded like any settlement.
        self.record().await;
    }

    async fn record(&mut self) {
        record(&self.sled).await.unwrap();
        self.unrecorded.clear();
        // The one in memory forgets how to undo.
        self.memory.forget(&handler("nobody")).await.unwrap();
    }

    async fn stand(queue: &dyn Queue, position: Position) -> Stand {
        let history = queue.history(position).await.unwrap();
        let found = history.first().expect("an event that is open has a history");
        (found.state, found.attempts.len())
    }

    async fn append(&mut self, kib: usize, key: Option<u64>) {
        self.n += 1;
        let window = Duration::from_secs(200);
        let new = || match key {
            Some(key) => keyed(key, 100, window),
            None => event(self.n, kib << 10),
        };
        let received_at = gatepost::clock::Clock::now(&*self.site.clock);
        let new = || gatepost::event::NewEvent { received_at, ..new() };
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

    fn take(&mut self, max: usize) {
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

    fn settled(&self, how: &How) -> Settled {
        let now = gatepost::clock::Clock::steady(&*self.site.clock);
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

    async fn settle(&mut self, which: usize, how: &How) {
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

    async fn release(&mut self, which: usize) {
        if self.taken.is_empty() {
            return;
        }
        let (on_sled, in_memory) = self.taken.remove(which % self.taken.len());
        let (sled, memory) = self.subscriptions.as_ref().unwrap();
        sled.release(on_sled).await.unwrap();
        memory.release(in_memory.unwrap()).await.unwrap();
    }

    async fn release_key(&mut self, order_key: OrderKey) {
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

    async fn change_dead(&mut self, position: Option<u64>, drops: bool) {
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

    async fn replay(&mut self, position: u64) {
        self.site.advance_secs(1);
        let (name, position) = (handler("h"), Position(position));
        // The one in memory never prunes.
        if self.sled.replay(&name, position).await.unwrap() {
            assert!(self.memory.replay(&name, position).await.unwrap());
        }
        self.record().await;
    }

    /// Starts both anew. `n_lost` settlements are not in the embedded one any more.
    async fn restart(&mut self, n_lost: usize) {
        self.memory = self.memory.crash(n_lost);
        self.unrecorded.clear();
        self.subscribe().await;
        self.compare().await;
        self.compare_histories().await;
    }

    async fn reopen(&mut self, without_index: bool) {
        self.taken.clear();
        self.subscriptions = None;
        self.sled.close().await.unwrap();
        if without_index {
            self.site.remove_index();
        }
        self.sled = open(&self.site);
        self.restart(0).await;
    }

    async fn crash(&mut self, seed: u64, without_index: bool) {
        // What was not tried leaves no trace by which to see whether it was recorded.
        if self.unrecorded.iter().any(|(_, before, after)| before.1 == after.1) {
            self.record().await;
        }
        self.power_cut(seed, without_index);
        let n_lost = self.n_lost().await;
        self.restart(n_lost).await;
    }

    fn power_cut(&mut self, seed: u64, without_index: bool) {
        self.taken.clear();
        self.subscriptions = None;
        let disk = self.site.disk.power_cut(seed);
        // Another folder's lock: the old process is not quite gone yet.
        let placeholder = SledQueue::open(
            gatepost::queue::sled::Settings::new(self.site.folder.path().join("nothing")),
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

    /// How many of the last settlements are gone: a last part of them, and nothing else.
    async fn n_lost(&self) -> usize {
        let touched: BTreeSet<Position> = self.unrecorded.iter().map(|(p, ..)| *p).collect();
        let mut possible: Vec<usize> = (0..=self.unrecorded.len()).collect();
        let mut seen = Vec::new();
        for position in touched {
            let found = Self::stand(&self.sled, position).await;
            seen.push((position, found));
            possible.retain(|n_lost| {
                let kept = self.unrecorded.len() - n_lost;
                let is_it = |(p, ..): &&(Position, Stand, Stand)| *p == position;
                let first = self.unrecorded.iter().find(is_it).unwrap();
                let last = self.unrecorded[..kept].iter().rfind(is_it);
                let expected = last.map_or(first.1, |(_, _, after)| *after);
                found.1 == expected.1
            });
        }
        let Some(n_lost) = possible.first() else {
            panic!("{seen:?} is not what a first part of {:?} leads to", self.unrecorded)
        };
        *n_lost
    }

    /// Asks both everything that can be asked.
    async fn compare(&mut self) {
        let dead = |letters: Vec<gatepost::queue::DeadLetter>| -> Vec<(u64, u32)> {
            letters.iter().map(|letter| (letter.position.0, letter.attempts)).collect()
        };
        let on_sled = dead(self.sled.dead(DeadFilter::default()).await.unwrap());
        let in_memory = dead(self.memory.dead(DeadFilter::default()).await.unwrap());
        assert_eq!(on_sled, in_memory, "dead letters");
        let backlog = |stats: gatepost::queue::QueueStats| {
            let backlog = stats.handlers[0].1;
            (stats.last, backlog.in_log, backlog.waiting, backlog.dead)
        };
        assert_eq!(backlog(self.sled.stats()), backlog(self.memory.stats()));
        for (n, (on_sled, in_memory)) in (1..).zip(&self.ids) {
            let Some(event) = self.sled.get(*on_sled).await.unwrap() else { continue };
            assert_eq!(event.position, Position(n));
            let expected = self.memory.get(*in_memory).await.unwrap().unwrap();
            assert_eq!(event.body, expected.body);
        }
        assert_eq!(self.sled.stats().damage, Vec::<String>::new());
    }

    async fn compare_histories(&self) {
        for (n, (id, _)) in (1..).zip(&self.ids) {
            if self.sled.get(*id).await.unwrap().is_some() {
                let on_sled = Self::stand(&self.sled, Position(n)).await;
                let in_memory = Self::stand(&self.memory, Position(n)).await;
                // Given up for good: one still says that it died.
                let is_given_up =
                    (on_sled.0, in_memory.0) == (DeliveryState::Dead, DeliveryState::Skipped);
                assert!(
                    on_sled == in_memory || is_given_up && on_sled.1 == in_memory.1,
                    "event {n}: {on_sled:?} embedded, {in_memory:?} in memory"
                );
            }
        }
    }

    /// The same without the one in memory.
    async fn act_alone(&mut self, action: &Action) {
        match action {
            Action::Append { .. }
            | Action::AppendKeyed { .. }
            | Action::Advance { .. }
            | Action::Tidy
            | Action::Compact => self.act(action).await,
            Action::Take { max } => {
                let (sled, _) = self.subscriptions.as_ref().unwrap();
                let taken = sled.next(*max).now_or_never().map_or_else(Vec::new, Result::unwrap);
                self.taken.extend(taken.into_iter().map(|delivery| (delivery, None)));
            }
            Action::Settle { which, how } if !self.taken.is_empty() => {
                let (delivery, _) = self.taken.remove(which % self.taken.len());
                let (sled, _) = self.subscriptions.as_ref().unwrap();
                sled.settle(delivery, self.settled(how)).await.unwrap();
            }
            Action::Release { which } if !self.taken.is_empty() => {
                let (delivery, _) = self.taken.remove(which % self.taken.len());
                let (sled, _) = self.subscriptions.as_ref().unwrap();
                sled.release(delivery).await.unwrap();
            }
            Action::Settle { .. } | Action::Release { .. } => {}
            Action::ReleaseKey { key: n } => {
                let (sled, _) = self.subscriptions.as_ref().unwrap();
                sled.release_key(key(*n)).await.unwrap();
            }
            Action::Redrive { position } | Action::Drop { position } => {
                let position = Some(Position(*position));
                let filter = DeadFilter { position, ..DeadFilter::default() };
                if let Action::Drop { .. } = action {
                    self.sled.drop_dead(filter).await.unwrap();
                } else {
                    self.sled.redrive(filter).await.unwrap();
                }
            }
            Action::RedriveAll => drop(self.sled.redrive(DeadFilter::default()).await.unwrap()),
            Action::Replay { position } => {
                self.sled.replay(&handler("h"), Position(*position)).await.unwrap();
            }
            Action::Record => record(&self.sled).await.unwrap(),
            Action::Resubscribe => self.subscribe().await,
            Action::Reopen { without_index } => {
                if *without_index {
                    self.subscriptions = None;
                    self.taken.clear();
                    self.sled.close().await.unwrap();
                    self.site.remove_index();
                    self.sled = open(&self.site);
                    self.subscribe().await;
                } else {
                    self.restart_alone().await;
                }
            }
            Action::Crash { seed, without_index } => {
                self.power_cut(*seed, *without_index);
                self.subscribe().await;
            }
        }
    }

    async fn restart_alone(&mut self) {
        self.subscriptions = None;
        self.taken.clear();
        self.sled.close().await.unwrap();
        self.sled = open(&self.site);
        self.subscribe().await;
    }

    async fn act(&mut self, action: &Action) {
        match action {
            Action::Append { kib } => self.append(*kib, None).await,
            Action::AppendKeyed { key } => self.append(0, Some(*key)).await,
            Action::Take { max } => self.take(*max),
            Action::Settle { which, how } => self.settle(*which, how).await,
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

fn open(site: &Site) -> SledQueue {
    let mut settings = site.settings();
    settings.retention = Duration::from_mins(1);
    SledQueue::open(settings, Arc::clone(&site.clock) as Arc<dyn gatepost::clock::Clock>).unwrap()
}

async fn run(actions: &[Action], world: World) {
    let mut twins = Twins::new().await;
    for action in actions {
        twins.act(action).await;
    }
    twins.compare().await;
    // In the end everything comes, in the same order.
    twins.site.advance_secs(1_000);
    twins.take(1_000);
    if world == World::Restarts {
        twins.reopen(false).await;
        twins.take(1_000);
    }
}

/// Whatever was done, everything comes in the end: nothing is stranded in a line.
async fn run_out(actions: &[Action]) {
    let mut twins = Twins::new().await;
    for action in actions {
        twins.act_alone(action).await;
    }
    twins.site.advance_secs(1_000);
    twins.restart_alone().await;
    loop {
        let (sled, _) = twins.subscriptions.as_ref().unwrap();
        let mut n_taken = 0;
        for delivery in super::take_due(&**sled) {
            n_taken += 1;
            sled.settle(delivery, untried(Outcome::Delivered)).await.unwrap();
        }
        for n in 0..3 {
            n_taken += usize::from(sled.release_key(key(n)).await.unwrap());
        }
        if n_taken == 0 {
            break;
        }
    }
    // Dead letters that hold their keys hold back who is behind them: give them up.
    twins.sled.drop_dead(DeadFilter::default()).await.unwrap();
    let (sled, _) = twins.subscriptions.as_ref().unwrap();
    loop {
        let due = super::take_due(&**sled);
        if due.is_empty() {
            break;
        }
        for delivery in due {
            sled.settle(delivery, untried(Outcome::Delivered)).await.unwrap();
        }
    }
    let backlog = sled.backlog();
    assert_eq!((backlog.in_log, backlog.waiting, backlog.dead), (0, 0, 0));
}

fn with_runtime(run: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run);
}

/// Few by default, since each goes through many starts; `PROPTEST_CASES` makes it more.
fn cases(n: u32) -> ProptestConfig {
    const UNSET: u32 = 256;
    let config = ProptestConfig { max_shrink_iters: 300, ..ProptestConfig::default() };
    let cases = if config.cases == UNSET { n } else { config.cases };
    ProptestConfig { cases, ..config }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn lines_are_as_in_memory(
        actions in proptest::collection::vec(action(World::Lines), 1..120)
    ) {
        with_runtime(run(&actions, World::Lines));
    }

    #[test]
    fn restarts_are_as_in_memory(
        actions in proptest::collection::vec(action(World::Restarts), 1..120)
    ) {
        with_runtime(run(&actions, World::Restarts));
    }

    #[test]
    fn nothing_is_stranded(actions in proptest::collection::vec(action(World::Both), 1..120)) {
        with_runtime(run_out(&actions));
    }
}
