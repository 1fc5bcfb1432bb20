//! The embedded queue as the subject.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gatepost_sim::clock::ManualClock;
use gatepost_sim::event::{Delivery, HandlerName, OrderKey, Position, Settlement};
use gatepost_sim::queue::embedded::testing::manual_queue::{
    self, Call, Component, ManualQueue, ManualSubscription,
};
use gatepost_sim::queue::embedded::testing::{CrashOptions, MemoryStorage};
use gatepost_sim::queue::embedded::{IndexIn, Settings};
use gatepost_sim::queue::{DeadFilter, Queue, QueueError, ReplayResult};
use rand::rngs::StdRng;

use crate::damage::{Damage, Effects, Fault, FileClass};
use crate::disk::{FaultPlan, cost_of, cost_of_all, table_of, tokens_of};
use crate::subject::{Answer, Config, End, Part, Request, Standing, Subject, Ticket};

mod compare;

type Answered = Result<Answer, QueueError>;

const FOLDER: &str = "/queue";

pub struct Embedded {
    config: Config,
    storage: MemoryStorage,
    faults: Arc<FaultPlan>,
    open: Option<Open>,
    /// What can be made anew from the log may not be the same any more.
    is_rotten: bool,
}

struct Open {
    queue: ManualQueue,
    subscriptions: BTreeMap<HandlerName, Arc<ManualSubscription>>,
    calls: Vec<(Ticket, Call<Answered>)>,
    upkeep: Vec<(Ticket, Call<Result<(), QueueError>>)>,
    subscribing: Vec<(Ticket, HandlerName, Call<Result<ManualSubscription, QueueError>>)>,
}

impl Embedded {
    fn open_on(
        &self,
        storage: &MemoryStorage,
        clock: &Arc<ManualClock>,
        seed: u64,
    ) -> Result<ManualQueue, QueueError> {
        let Config { retention, segment_bytes, memtable_keys, waiting_max, has_lying_index } =
            self.config;
        let settings = Settings {
            retention,
            segment_bytes,
            memtable_keys,
            waiting_max,
            disk_reserve: 0,
            storage: Arc::new(storage.clone()),
            index: IndexIn::Memory,
            ..Settings::new(FOLDER)
        };
        let clock: Arc<ManualClock> = Arc::clone(clock);
        if has_lying_index {
            ManualQueue::open_with_lying_index(settings, clock, seed)
        } else {
            ManualQueue::open(settings, clock, seed)
        }
    }

    fn live(&mut self) -> &mut Open {
        self.open.as_mut().expect("it is open")
    }

    fn subscription(&self, handler: &HandlerName) -> Result<Arc<ManualSubscription>, QueueError> {
        let open = self.open.as_ref().ok_or(QueueError::Closed)?;
        open.subscriptions.get(handler).map(Arc::clone).ok_or(QueueError::Closed)
    }

    fn files(&self, class: FileClass) -> Vec<PathBuf> {
        let folder = Path::new(FOLDER).join(class.folder());
        let is_of_it = |path: &PathBuf| path.parent() == Some(&*folder) && !path.ends_with("spare");
        self.storage.paths().into_iter().filter(is_of_it).collect()
    }

    /// A file's bytes as they were written.
    fn written(&self, path: &Path) -> Vec<u8> {
        self.storage.written(path).unwrap_or_default()
    }

    /// Adds to what damage may cost the events that are on the disk, where it hit a record of what
    /// was trimmed.
    fn with_what_is_left(&self, mut effects: Effects) -> Effects {
        let logs = self.files(FileClass::Log).into_iter();
        let n_logs = logs.filter(|path| used(&self.written(path)) > 0).count();
        if let Some(left) = &mut effects.only_left {
            // Keys of events that are newer than the newest of the log do not count, and where its
            // only segment has lost its head, or is lost, the newest one may be unknown.
            effects.keys |= n_logs == 1;
            let classes = [FileClass::Log, FileClass::Kept];
            let files = classes.into_iter().flat_map(|class| self.files(class));
            left.extend(files.flat_map(|path| tokens_of(&self.written(&path))));
        }
        effects
    }
}

/// `number` of `n`, where there are any.
fn pick(number: u16, n: usize) -> Option<usize> {
    (n > 0).then(|| usize::from(number) % n)
}

/// Where the zeros at the end begin.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

impl Subject for Embedded {
    fn new(config: Config) -> Self {
        let storage = MemoryStorage::new();
        let faults = Arc::new(FaultPlan::default());
        storage.set_faults(Arc::<FaultPlan>::clone(&faults));
        Self { config, storage, faults, open: None, is_rotten: false }
    }

    fn open(&mut self, clock: &Arc<ManualClock>, seed: u64) -> Result<(), QueueError> {
        let queue = self.open_on(&self.storage, clock, seed)?;
        self.open = Some(Open {
            queue,
            subscriptions: BTreeMap::new(),
            calls: Vec::new(),
            upkeep: Vec::new(),
            subscribing: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self, end: End, random: &mut StdRng) {
        let after = match end {
            End::Kill => self.storage.kill(),
            End::PowerCut { torn_sectors } => {
                let after = self.storage.crash(random, CrashOptions { torn_sectors });
                // What goes on after the cut is gone.
                drop(self.storage.kill());
                after
            }
        };
        self.open = None;
        self.storage = after;
        self.storage.set_faults(Arc::<FaultPlan>::clone(&self.faults));
    }

    fn is_poisoned(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.queue.is_poisoned())
    }

    fn start(&mut self, ticket: Ticket, request: Request) {
        let open = self.live();
        let queue = &open.queue;
        let of = |handler, position| DeadFilter {
            handler: Some(handler),
            position,
            ..DeadFilter::default()
        };
        let call: Call<Answered> = match request {
            Request::Append(new) => {
                queue.call(|queue| async move { queue.append(new).await.map(Answer::Appended) })
            }
            Request::AppendAll(all) => queue
                .call(|queue| async move { queue.append_all(all).await.map(Answer::AppendedAll) }),
            Request::FindRepeated(new) => queue
                .call(|queue| async move { queue.find_repeated(&new).await.map(Answer::Repeats) }),
            Request::Subscribe(handler, start) => {
                let call = queue.subscribe(&handler, start);
                open.subscribing.push((ticket, handler, call));
                return;
            }
            Request::Forget(handler) => queue.call(|queue| async move {
                queue.forget(&handler).await.map(|was| Answer::Count(u64::from(was)))
            }),
            Request::Redrive(handler, position) => queue.call(move |queue| async move {
                queue.redrive(of(handler, position)).await.map(Answer::Count)
            }),
            Request::DropDead(handler, position) => queue.call(move |queue| async move {
                queue.drop_dead(of(handler, position)).await.map(Answer::Count)
            }),
            Request::Replay(handler, positions) => queue.call(|queue| async move {
                let there = |one: &&ReplayResult| **one != ReplayResult::Gone;
                let replayed = queue.replay(&handler, &positions).await;
                replayed.map(|of| Answer::Count(of.iter().filter(there).count() as u64))
            }),
            Request::Clean { is_full } => {
                open.upkeep.push((ticket, queue.clean(is_full)));
                return;
            }
            Request::Snapshot => {
                open.upkeep.push((ticket, queue.snapshot()));
                return;
            }
            Request::Close => {
                open.subscriptions.clear();
                queue.call(|queue| async move { queue.close().await.map(|()| Answer::Done) })
            }
        };
        open.calls.push((ticket, call));
    }

    fn abandon(&mut self, ticket: Ticket) {
        if let Some(open) = &mut self.open {
            open.calls.retain(|(its, _)| *its != ticket);
            open.subscribing.retain(|(its, ..)| *its != ticket);
        }
    }

    fn poll(&mut self) -> Vec<(Ticket, Answered)> {
        let Some(open) = &mut self.open else { return Vec::new() };
        let mut answers = Vec::new();
        open.subscribing.retain_mut(|(ticket, handler, call)| {
            let Some(answer) = call.poll() else { return true };
            let answer = answer.map(|subscription| {
                open.subscriptions.insert(handler.clone(), Arc::new(subscription));
                Answer::Done
            });
            answers.push((*ticket, answer));
            false
        });
        open.upkeep.retain_mut(|(ticket, call)| {
            let answer = call.poll().map(|answer| answer.map(|()| Answer::Done));
            let is_pending = answer.is_none();
            answers.extend(answer.map(|answer| (*ticket, answer)));
            is_pending
        });
        open.calls.retain_mut(|(ticket, call)| {
            let answer = call.poll();
            let is_pending = answer.is_none();
            answers.extend(answer.map(|answer| (*ticket, answer)));
            is_pending
        });
        answers
    }

    fn step(&mut self, part: Part, now: Duration) -> bool {
        let component = match part {
            Part::Committer => Component::Committer,
            Part::Allocator => Component::Allocator,
            Part::Index => Component::Index,
        };
        self.open.as_ref().is_some_and(|open| open.queue.step(component, now))
    }

    fn unsubscribe(&mut self, handler: &HandlerName) {
        self.live().subscriptions.remove(handler);
    }

    fn take(&mut self, handler: &HandlerName, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.subscription(handler)?.take(max)
    }

    fn settle(&mut self, handler: &HandlerName, settlement: Settlement) -> Result<(), QueueError> {
        let mut call = self.subscription(handler)?.settle(settlement);
        call.poll().unwrap_or(Err(QueueError::Closed))
    }

    fn release(&mut self, handler: &HandlerName, delivery: Delivery) -> Result<(), QueueError> {
        let mut call = self.subscription(handler)?.release(delivery);
        call.poll().unwrap_or(Err(QueueError::Closed))
    }

    fn is_key_waiting(&mut self, handler: &HandlerName, key: OrderKey, position: Position) -> bool {
        self.subscription(handler).is_ok_and(|it| it.is_key_waiting(key, position))
    }

    fn release_key(&mut self, handler: &HandlerName, key: OrderKey) {
        if let Ok(subscription) = self.subscription(handler) {
            subscription.release_key(key);
        }
    }

    fn standing(&self, handler: &HandlerName, position: Position) -> Option<Standing> {
        let standing = self.open.as_ref()?.queue.standing(handler, position)?;
        Some(match standing {
            manual_queue::Standing::Settled => Standing::Settled,
            manual_queue::Standing::Open => Standing::Open,
            manual_queue::Standing::Waiting => Standing::Waiting,
            manual_queue::Standing::Dead => Standing::Dead,
            manual_queue::Standing::Lost => Standing::Lost,
        })
    }

    fn incarnation(&self, handler: &HandlerName) -> Option<u64> {
        self.open.as_ref()?.queue.incarnation(handler)
    }

    fn describe(&self) -> String {
        let Some(open) = &self.open else { return "it is closed".to_owned() };
        let mut text = format!("positions {:?}\n", open.queue.positions());
        let damage = open.queue.queue.stats().damage;
        damage.iter().chain(&open.queue.states()).for_each(|line| {
            text.push_str(line);
            text.push('\n');
        });
        for path in self.storage.paths() {
            let bytes = self.storage.bytes(&path).unwrap_or_default();
            text.push_str(&format!("{:9} {}\n", bytes.len(), path.display()));
            if path.extension().is_some_and(|extension| extension == "log") {
                text.push_str(&table_of(&self.written(&path)));
            }
        }
        text
    }

    fn compare_rebuilt(&self, clock: &Arc<ManualClock>) -> Result<(), String> {
        self.is_aside_counted()?;
        let Some(open) = self.open.as_ref().filter(|_| !self.is_rotten) else { return Ok(()) };
        let live = open.queue.states();
        for (is_rebuilt, what) in [(false, "snapshot and tail"), (true, "kept log and log")] {
            let copy = self.copy(is_rebuilt);
            let opened = self.open_on(&copy, clock, 1);
            let other = opened.map_err(|err| format!("a copy does not open: {err:?}"))?;
            let made = other.states();
            if made != live {
                return Err(format!("states made of {what} differ:\n{made:#?}\nlive:\n{live:#?}"));
            }
        }
        Ok(())
    }

    fn damage(&mut self, damage: Damage) -> Effects {
        let (class, file) = match damage {
            Damage::Flip { class, file, .. } | Damage::Remove { class, file } => (class, file),
        };
        let files = self.files(class);
        let Some(path) = pick(file, files.len()).map(|index| files[index].clone()) else {
            return Effects::default();
        };
        // What is written to the file from then on would be gone with it.
        if matches!(damage, Damage::Remove { .. }) && self.open.is_some() {
            return Effects::default();
        }
        let bytes = self.written(&path);
        let is_truth = matches!(class, FileClass::Log | FileClass::Kept);
        let effects = match damage {
            Damage::Flip { at, bit, .. } => {
                // Near the end of what is written there is more to break than in the zeros behind.
                let Some(offset) = pick(at, used(&bytes)) else { return Effects::default() };
                let effects = cost_of(class, &bytes, offset..offset + 1);
                let effects = self.with_what_is_left(effects);
                self.storage.flip_bit(&path, offset as u64, bit);
                effects
            }
            Damage::Remove { .. } => {
                let effects = self.with_what_is_left(cost_of_all(class, &bytes));
                self.storage.remove_now(&path);
                effects
            }
        };
        self.is_rotten |= is_truth;
        effects
    }

    fn set_fault(&mut self, fault: Option<Fault>) -> Effects {
        self.storage.set_free(None);
        self.faults.set(fault);
        match fault {
            Some(Fault::Full { free }) => self.storage.set_free(Some(free.into())),
            Some(Fault::ReadRegion { file, at, blocks }) => {
                let files = self.files(FileClass::Log);
                let Some(path) = pick(file, files.len()).map(|index| files[index].clone()) else {
                    return Effects::default();
                };
                let bytes = self.written(&path);
                // Blocks that are full: what is written later cannot come to stand in them.
                let n_full = used(&bytes) / 4_096;
                let Some(block) = pick(at, n_full) else { return Effects::default() };
                let end = (block + usize::from(blocks)).min(n_full);
                let region = block * 4_096..end * 4_096;
                let effects = cost_of(FileClass::Log, &bytes, region.clone());
                let effects = self.with_what_is_left(effects);
                self.faults.fail_reads_of(path, region);
                // A start while it lasts finds less of the log.
                self.is_rotten = true;
                return effects;
            }
            // A page of keys that could not be read once is not asked again.
            Some(Fault::ReadOnce { .. }) => {
                return Effects { keys: true, ..Effects::default() };
            }
            Some(_) | None => {}
        }
        Effects::default()
    }
}
