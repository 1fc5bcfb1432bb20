use super::*;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::queue::embedded::testing::CrashOptions;

#[derive(Clone, Copy, Debug)]
enum Step {
    Append { n_events: u64, body_bytes: usize },
    Roll,
    TrimOldest,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..4_u64, 0..1500_usize)
            .prop_map(|(n_events, body_bytes)| Step::Append { n_events, body_bytes }),
        1 => Just(Step::Roll),
        1 => Just(Step::TrimOldest),
    ]
}

/// The power goes at a call: it and every later one fail.
fn cut_at(storage: &MemoryStorage, n: u64) {
    let seen = AtomicU64::new(0);
    storage.fail(move |call, _, _, len| {
        if matches!(call, Call::Read | Call::List | Call::Open) {
            return Verdict::Ok;
        }
        match seen.fetch_add(1, Ordering::SeqCst) {
            before if before < n => Verdict::Ok,
            at if at == n && call == Call::Write => Verdict::Short(len / 2),
            _ => EIO,
        }
    });
}

/// What was acknowledged, and the first position that a trim left.
#[derive(Debug, Default)]
struct Promised {
    last: u64,
    first: u64,
    /// A trim that may or may not have been recorded.
    first_at_most: u64,
}

fn make_step(fixture: &mut Fixture, step: Step, promised: &mut Promised) -> Result<(), ()> {
    match step {
        Step::Append { n_events, body_bytes } => {
            fixture.try_append(n_events, body_bytes).map_err(drop)?;
            promised.last = fixture.next.0 - 1;
        }
        Step::Roll => fixture.try_roll(0).map_err(drop)?,
        Step::TrimOldest => {
            let segments = fixture.log.segments();
            let [oldest, next, _, ..] = segments.as_slice() else { return Ok(()) };
            let first = fixture.log.first_position_of(next.id.number).map_err(drop)?;
            let first = first.expect("to be known");
            if fixture.writer.room() < 100 {
                return Ok(());
            }
            promised.first_at_most = first.0;
            let mut unit = fixture.writer.begin();
            unit.push_trim(next.id.number, first, KeptEnd::default());
            fixture.writer.append(&unit).map_err(drop)?;
            fixture.writer.publish(fixture.next);
            promised.first = first.0;
            fixture.log.trim(next.id.number).map_err(drop)?;
            fixture.log.remove(oldest.id.number, Removal::Spare).map_err(drop)?;
        }
    }
    Ok(())
}

/// The positions that are named as those of torn units.
fn torn_positions(fixture: &Fixture) -> Vec<u64> {
    let (mut reader, mut torn) = (fixture.reader(), Vec::new());
    while let Some(found) = reader.next(fixture.log.head().next).expect("to read") {
        let range = found.torn_positions();
        torn.extend(range.into_iter().flat_map(|range| range.start.0..range.end.0));
    }
    torn
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_events_survive_every_power_cut(
        lives in proptest::collection::vec(
            (proptest::collection::vec(step(), 1..30), 0..120_u64, any::<u64>()), 1..4),
    ) {
        let mut storage = MemoryStorage::new();
        let mut promised = Promised { last: 0, first: 1, first_at_most: 1 };
        let mut never_acknowledged = std::collections::BTreeSet::new();
        for (steps, n_calls, seed) in lives {
            let mut fixture = Fixture::open(&storage);
            cut_at(&storage, n_calls);
            for step in steps {
                if make_step(&mut fixture, step, &mut promised).is_err() {
                    break;
                }
            }
            let crashed = storage.crash(&mut StdRng::seed_from_u64(seed), CrashOptions::default());
            let reopened = Fixture::open(&crashed);
            let positions = reopened.positions();
            // Ascending by one but for torn ones, from a first one that a trim explains, to the last
            // one at least.
            let mut all = positions.clone();
            all.extend(torn_positions(&reopened));
            all.sort_unstable();
            for pair in all.windows(2) {
                prop_assert_eq!(pair[0] + 1, pair[1]);
            }
            let first = all.first().copied().unwrap_or(reopened.next.0);
            prop_assert!(first <= promised.first_at_most, "{} {:?}", first, promised);
            let last = positions.last().copied().unwrap_or(reopened.next.0 - 1);
            prop_assert!(last >= promised.last, "{} {:?}", last, promised);
            let given: Vec<u64> = (first..=promised.last)
                .filter(|position| !never_acknowledged.contains(position))
                .collect();
            prop_assert!(given.iter().all(|position| positions.contains(position)));
            never_acknowledged.extend(torn_positions(&reopened));
            prop_assert_eq!(reopened.damage(), Vec::<String>::new());
            prop_assert_eq!(reopened.next.0, last + 1);
            for position in &positions {
                let found = Finder::default().event_at(&reopened.log, Position(*position)).unwrap();
                prop_assert!(found.is_some(), "{}", position);
            }
            promised.last = last;
            storage = crashed;
        }
    }

    #[test]
    fn torn_sectors_never_make_anything_up(
        steps in proptest::collection::vec(step(), 1..30), n_calls in 0..120_u64, seed: u64,
    ) {
        let storage = MemoryStorage::new();
        let mut fixture = Fixture::open(&storage);
        let mut promised = Promised { last: 0, first: 1, first_at_most: 1 };
        cut_at(&storage, n_calls);
        for step in steps {
            if make_step(&mut fixture, step, &mut promised).is_err() {
                break;
            }
        }
        let options = CrashOptions { torn_sectors: true };
        let crashed = storage.crash(&mut StdRng::seed_from_u64(seed), options);
        let mut reopened = Fixture::open(&crashed);
        // Each that is read is what was written, and what is missing is missing for good.
        let positions = reopened.positions();
        prop_assert!(positions.is_sorted());
        reopened.append(1, 10);
        prop_assert_eq!(reopened.positions().len(), positions.len() + 1);
        prop_assert_eq!(Fixture::open(&crashed).positions().len(), positions.len() + 1);
    }
}
