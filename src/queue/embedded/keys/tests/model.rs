//! Against a list of all that was stored: two equal keys within the window are stored once,
//! whatever freezes, merges, expiries and starts lie between, and a distinct event is never
//! swallowed.

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::super::testing::CrashOptions;
use super::*;

#[derive(Clone, Debug)]
enum Action {
    /// A request with one of 300 keys.
    Append(u64),
    /// Its commit fails.
    AppendFailed(u64),
    Wait(i64),
    /// The clock is set.
    Jump(i64),
    Freeze,
    Write,
    Load,
    Merge,
    Expire,
    Reopen,
    PowerCut(u64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        60 => (0_u64..300).prop_map(Action::Append),
        3 => (0_u64..300).prop_map(Action::AppendFailed),
        6 => (0_i64..900).prop_map(Action::Wait),
        1 => prop_oneof![Just(365 * 86_400_i64), Just(-365 * 86_400), -400_i64..400]
            .prop_map(Action::Jump),
        6 => Just(Action::Freeze),
        8 => Just(Action::Write),
        4 => Just(Action::Load),
        8 => Just(Action::Merge),
        2 => Just(Action::Expire),
        2 => Just(Action::Reopen),
        2 => any::<u64>().prop_map(Action::PowerCut),
    ]
}

struct Test {
    storage: MemoryStorage,
    runs: KeyRuns,
    memtable: KeyMemtable,
    /// What the log says.
    stored: Vec<(Lsn, KeyEntry)>,
    now: i64,
    /// With it nothing expires: which time is right is not known.
    has_jumps: bool,
}

impl Test {
    fn new(has_jumps: bool) -> Self {
        let storage = MemoryStorage::new();
        let runs = open_in(&storage, 0);
        let memtable = KeyMemtable::new(Lsn(0), options());
        Self { storage, runs, memtable, stored: Vec::new(), now: 0, has_jumps }
    }

    fn append(&mut self, n: u64, is_failed: bool) {
        let window = if n.is_multiple_of(10) { 24 * WINDOW } else { WINDOW };
        let probe = KeyProbe { key: key(n), received_at: at(self.now), window, log_time: NO_TIME };
        let (early, generation) = self.runs.lookup(&probe, Generation::default());
        // The memtable may be frozen between the first look and the committer's.
        if self.stored.len().is_multiple_of(13) {
            self.freeze();
        }
        let late = || self.runs.lookup(&probe, generation).0;
        let seen = early.or_else(|| self.memtable.get(&probe)).or_else(late);
        let repeated =
            |(_, entry): &&(Lsn, KeyEntry)| entry.key == key(n) && probe.repeats(&entry.seen());
        let repeated: Vec<EventId> =
            self.stored.iter().filter(repeated).map(|(_, entry)| entry.id).collect();
        if let Some(seen) = seen {
            assert!(repeated.contains(&seen.id), "{seen:?}: {repeated:?}");
            return;
        }
        assert!(repeated.is_empty(), "key {n} at {} was stored as {repeated:?}", self.now);
        let number = self.stored.len() as u64 + 1;
        let entry = KeyEntry { key: key(n), id: id(number), received_at: at(self.now), window };
        self.memtable.insert(entry, Lsn(number));
        if is_failed {
            self.memtable.remove_from(Lsn(number));
        } else {
            self.stored.push((Lsn(number), entry));
        }
        if self.memtable.is_full(Lsn(number), 64 << 20) {
            self.freeze();
        }
    }

    fn freeze(&mut self) {
        self.runs.add_frozen(self.memtable.freeze(Lsn(self.stored.len() as u64 + 1)));
    }

    fn reopen(&mut self) {
        self.runs = open_in(&self.storage, self.stored.len() as u64);
        let from = self.runs.written_through();
        self.memtable = KeyMemtable::new(from, options());
        for (lsn, entry) in self.stored.iter().filter(|(lsn, _)| *lsn >= from) {
            self.memtable.insert(*entry, *lsn);
        }
    }

    fn act(&mut self, action: &Action) {
        let trusted = if self.has_jumps { NO_TIME } else { at(self.now) };
        match action {
            Action::Append(n) => self.append(*n, false),
            Action::AppendFailed(n) => self.append(*n, true),
            Action::Wait(seconds) => self.now += seconds,
            Action::Jump(seconds) if self.has_jumps => self.now += seconds,
            Action::Jump(_) => {}
            Action::Freeze => self.freeze(),
            Action::Write => drop(self.runs.write_step().unwrap()),
            Action::Load => drop(self.runs.load_step()),
            Action::Merge => drop(self.runs.merge_step(trusted).unwrap()),
            Action::Expire => self.runs.expire(trusted).unwrap(),
            Action::Reopen => self.reopen(),
            Action::PowerCut(seed) => {
                let mut rng = StdRng::seed_from_u64(*seed);
                self.storage = self.storage.crash(&mut rng, CrashOptions::default());
                self.reopen();
            }
        }
        assert_eq!(self.runs.damage(), Vec::<String>::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn keys_within_the_window_are_stored_once(
        actions in prop::collection::vec(action(), 1..1_500),
        has_jumps: bool,
    ) {
        let mut test = Test::new(has_jumps);
        for action in actions {
            test.act(&action);
        }
    }
}
