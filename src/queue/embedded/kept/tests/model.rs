//! The kept log together with the log is what it stands for: whatever is copied, compacted and
//! opened again, a rebuild gives each delivery its newest state, and every event that is alive can
//! be read.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    /// Events that are alive in some of three handlers outlive their segment.
    Keep(Vec<u8>),
    /// Deliveries of the nth kept events change; recorded in the log.
    DeliveryRecord(Vec<(u16, u8, u8)>),
    /// The oldest changes of the log go.
    Trim(u8),
    Compact,
    /// The copy of events is not recorded.
    KeepInVain(u8),
    Reopen,
    PowerCut(u64),
}

fn action() -> impl Strategy<Value = Action> {
    let changes = prop::collection::vec((0_u16..200, 0_u8..3, 0_u8..6), 1..20);
    prop_oneof![
        4 => prop::collection::vec(1_u8..8, 1..12).prop_map(Action::Keep),
        8 => changes.prop_map(Action::DeliveryRecord),
        6 => (1_u8..60).prop_map(Action::Trim),
        6 => Just(Action::Compact),
        1 => (1_u8..5).prop_map(Action::KeepInVain),
        1 => Just(Action::Reopen),
        1 => any::<u64>().prop_map(Action::PowerCut),
    ]
}

type Delivery = (HandlerName, Position);

struct Test {
    storage: MemoryStorage,
    kept: KeptLog,
    /// Changes that are in the log still.
    log: Vec<(Delivery, u64, DeliveryRecord)>,
    /// The deliveries that are alive, with the change that made them so.
    alive: BTreeMap<Delivery, DeliveryRecord>,
    next_position: u64,
    next_lsn: u64,
}

impl Test {
    fn new() -> Self {
        let storage = storage();
        let kept = open(&storage, KeptEnd::default());
        let (log, alive) = (Vec::new(), BTreeMap::new());
        Self { storage, kept, log, alive, next_position: 1, next_lsn: 1_000 }
    }

    fn lsn(&mut self) -> u64 {
        self.next_lsn += 1;
        self.next_lsn
    }

    fn keep(&mut self, handlers: &[u8], is_recorded: bool) {
        let (mut events, mut told) =
            (Vec::new(), BTreeMap::<u8, Vec<(u64, DeliveryRecord)>>::new());
        let lsn = self.lsn();
        for bits in handlers {
            let position = self.next_position;
            self.next_position += 1;
            events.push(event(position));
            for number in (0..3).filter(|number| bits >> number & 1 == 1) {
                let open = change(position, NewState::Open);
                if is_recorded {
                    self.alive.insert((handler(number), Position(position)), open.clone());
                }
                told.entry(number).or_default().push((lsn, open));
            }
        }
        let told: Vec<_> =
            told.into_iter().map(|(number, told)| super::told(number, told)).collect();
        let end = self.kept.append(lsn, &events, &told).unwrap();
        if is_recorded {
            self.kept.record(end);
        } else {
            self.kept.discard_unrecorded();
        }
    }

    fn change(&mut self, nth: u16, number: u8, to: u8) {
        let Some(position) = (self.next_position - 1).checked_sub(u64::from(nth)) else { return };
        let delivery = (handler(number), Position(position));
        // Only what is alive may change: what went does not come back.
        if !self.alive.contains_key(&delivery) {
            return;
        }
        let lsn = self.lsn();
        let to = match to {
            0 => NewState::Open,
            1 => retry(i64::try_from(lsn).unwrap()),
            2 => dead("a reason"),
            3 => NewState::Dropped,
            4 => NewState::Skipped,
            _ => NewState::Delivered,
        };
        let is_alive = !matches!(to, NewState::Dropped | NewState::Skipped | NewState::Delivered);
        let change = change(position, to);
        if is_alive {
            self.alive.insert(delivery.clone(), change.clone());
        } else {
            self.alive.remove(&delivery);
        }
        self.log.push((delivery, lsn, change));
    }

    fn trim(&mut self, n_changes: usize) {
        let rest = self.log.split_off(n_changes.min(self.log.len()));
        let mut told = BTreeMap::<HandlerName, Vec<(Lsn, DeliveryRecord)>>::new();
        for ((name, position), lsn, change) in std::mem::replace(&mut self.log, rest) {
            if self.kept.mentions(position) {
                told.entry(name).or_default().push((Lsn(lsn), change));
            }
        }
        let told: Vec<_> = told
            .into_iter()
            .map(|(handler, changes)| KeptChanges { handler, incarnation: INCARNATION, changes })
            .collect();
        if !told.is_empty() {
            let end = self.kept.append(self.next_lsn, &[], &told).unwrap();
            self.kept.record(end);
        }
    }

    fn compact(&mut self) {
        let is_alive = |name: &HandlerName, position: Position| {
            self.alive.contains_key(&(name.clone(), position))
        };
        if let Some(end) = self
            .kept
            .compact((self.next_lsn, Timestamp::default()), ALL_READ, &is_alive, &no_states)
            .unwrap()
        {
            self.kept.record(end);
            self.kept.remove_compacted().unwrap();
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Keep(handlers) => self.keep(&handlers, true),
            Action::KeepInVain(n) => self.keep(&vec![7; n.into()], false),
            Action::DeliveryRecord(changes) => {
                for (nth, number, to) in changes {
                    self.change(nth, number, to);
                }
            }
            Action::Trim(n) => self.trim(n.into()),
            Action::Compact => self.compact(),
            Action::Reopen => self.kept = open(&self.storage, self.kept.end()),
            Action::PowerCut(seed) => {
                let mut rng = StdRng::seed_from_u64(seed);
                self.storage = self.storage.crash(&mut rng, CrashOptions::default());
                self.kept = open(&self.storage, self.kept.end());
            }
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.kept.damage(), Vec::<String>::new());
        let mut rebuilt: BTreeMap<Delivery, DeliveryRecord> = BTreeMap::new();
        let kept = self.kept.changes().unwrap();
        let kept = kept.into_iter().map(|(name, _, _, change)| ((name, change.first), change));
        let log = self.log.iter().map(|(delivery, _, change)| (delivery.clone(), change.clone()));
        for (delivery, change) in kept.chain(log) {
            match change.to {
                NewState::Open | NewState::Retry { .. } | NewState::Dead { .. } => {
                    rebuilt.insert(delivery, change);
                }
                NewState::Delivered | NewState::Skipped | NewState::Dropped | NewState::Lost => {
                    rebuilt.remove(&delivery);
                }
            }
        }
        assert_eq!(rebuilt, self.alive);
        for (_, position) in self.alive.keys() {
            let (found, _) = self.kept.find(*position).unwrap().unwrap();
            assert_eq!(found.body, body(position.0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rebuild_from_the_kept_log_and_the_log_gives_every_newest_state(
        actions in prop::collection::vec(action(), 1..120),
    ) {
        let mut test = Test::new();
        for action in actions {
            test.act(action);
        }
    }
}
