//! Copies of one shared log: each node makes the same of it.

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use super::*;
use crate::event::EventId;
use crate::queue::ids::Ids;

const MINUTE: i64 = 60_000;

/// A node's copy, with its own size of runs, its own clock and its own cuts of the log.
struct Copy {
    storage: MemoryStorage,
    memtable_keys: usize,
    wall: i64,
    events_at_once: usize,
    units_per_cleaning: usize,
}

impl Copy {
    fn open(&self) -> EmbeddedQueue {
        let settings = Settings {
            memtable_keys: self.memtable_keys,
            is_copy_of_shared: true,
            retention: Duration::ZERO,
            ..settings(&self.storage)
        };
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(self.wall)));
        EmbeddedQueue::open_inline(settings, clock, 7).unwrap()
    }

    /// Takes all events over and says what became of each. It is opened again now and then.
    async fn take_over(&self, events: &[(NewEvent, EventId)]) -> Vec<Appended> {
        let mut answers = Vec::new();
        let mut queue = self.open();
        for (number, unit) in events.chunks(self.events_at_once).enumerate() {
            let sequence = number as u64 + 1;
            answers.extend(queue.take_over(unit.to_vec(), sequence, Vec::new()).await.unwrap());
            if number % self.units_per_cleaning == 0 {
                queue.clean().await.unwrap();
            }
            if number % 31 == 0 {
                queue.close().await.unwrap();
                queue = self.open();
            }
        }
        answers
    }
}

/// Events of three hours and more, a minute apart, many of them repeats. Some were kept back for hours
/// while their node had no way to the log.
fn events() -> Vec<(NewEvent, EventId)> {
    let mut random = StdRng::seed_from_u64(3);
    let mut ids = Ids::after(None, StdRng::seed_from_u64(4));
    let mut late_ids = Ids::after(None, StdRng::seed_from_u64(5));
    let mut now = 30_000_000 * MINUTE;
    let mut event = || {
        now += MINUTE;
        let n = random.next_u64();
        let is_late = n.is_multiple_of(5);
        let hours = i64::from(is_late) * (n / 5 % 4).cast_signed();
        let received_at = Timestamp::from_millis(now - hours * 60 * MINUTE);
        let key = DedupeKey(u128::from(n / 64 % 40).to_be_bytes());
        let window = Duration::from_mins(if n / 4_096 % 2 == 0 { 20 } else { 150 });
        let id = if is_late { late_ids.next(received_at) } else { ids.next(received_at) };
        let dedupe = Dedupe::Within { key, window };
        (NewEvent { received_at, dedupe, ..new_event() }, id)
    };
    (0..600).map(|_| event()).collect()
}

#[tokio::test]
async fn copies_find_the_same_repeats_however_they_cut_the_log_and_whatever_their_clocks_show() {
    let events = events();
    let copy = |memtable_keys, wall, events_at_once, units_per_cleaning| {
        let storage = MemoryStorage::new();
        Copy { storage, memtable_keys, wall, events_at_once, units_per_cleaning }
    };
    let now = 30_000_000 * MINUTE;
    let far_ahead = copy(4, now + 5_000_000 * MINUTE, 1, 5).take_over(&events).await;
    let behind = copy(1_000, now - 5_000 * MINUTE, 7, 11).take_over(&events).await;
    let all_in_memory = copy(1_000, now, 3, usize::MAX).take_over(&events).await;
    let repeats = |answers: &[Appended]| {
        answers.iter().filter(|answer| matches!(answer, Appended::Duplicate(_))).count()
    };
    // Not vacuous: repeats of all kinds are among them, and many are none.
    assert!((100..500).contains(&repeats(&far_ahead)), "{}", repeats(&far_ahead));
    assert_eq!(far_ahead, behind);
    assert_eq!(far_ahead, all_in_memory);
}
