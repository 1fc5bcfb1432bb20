//! A power cut, or an error, at every call of `append` and `compact` leaves the old or the new.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// All calls from the given one on fail, or only that one.
fn fail_from(storage: &MemoryStorage, calls_left: usize, errno: i32, is_once: bool) {
    let calls_left = AtomicUsize::new(calls_left);
    storage.fail(move |call, _, _, len| {
        let is_write = !matches!(call, Call::Read | Call::List | Call::Open);
        let left = calls_left.load(Ordering::Relaxed);
        if left > 0 {
            calls_left.fetch_sub(usize::from(is_write), Ordering::Relaxed);
            return Verdict::Ok;
        }
        if is_once && is_write {
            calls_left.store(usize::MAX, Ordering::Relaxed);
        }
        match call {
            Call::Write => Verdict::Short(len / 2),
            Call::Read | Call::List | Call::Open if is_once => Verdict::Ok,
            _ => Verdict::Errno(errno),
        }
    });
}

/// A kept log of several segments in which every fourth event is alive, its end, and its view.
fn some_segments() -> (MemoryStorage, KeptEnd) {
    let storage = storage();
    let kept = open(&storage, KeptEnd::default());
    let end = (0..6).map(|n| keep(&kept, n * 10 + 1..=n * 10 + 10)).last().unwrap();
    (storage, end)
}

fn is_alive(_: &HandlerName, position: Position) -> bool {
    position.0.is_multiple_of(4)
}

/// Every power cut of a few finds this when it starts with this end.
fn check_crashes(storage: &MemoryStorage, end: KeptEnd, expected: &View) {
    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let options = CrashOptions { torn_sectors: seed % 2 == 1 };
        let crashed = storage.crash(&mut rng, options);
        let kept = open(&crashed, end);
        assert_eq!(kept.damage(), Vec::<String>::new(), "seed {seed}");
        assert_eq!(view(&kept, 100), *expected, "seed {seed}");
        // And it goes on from there.
        let next = keep(&kept, [90]);
        let again = open(&crashed.crash(&mut rng, options), next);
        assert_eq!(
            (view(&again, 100).events.len(), again.damage().len()),
            (expected.events.len() + 1, 0)
        );
    }
}

#[test]
fn power_cut_at_each_call_of_an_append_leaves_the_old_or_the_new() {
    for is_first in [true, false] {
        let mut is_done = false;
        for calls in 0..20 {
            let (storage, end) = some_segments();
            let storage = if is_first { storage.kill() } else { storage };
            let kept = open(&storage, end);
            if !is_first {
                keep(&kept, [70]);
            }
            let (end, old) = (kept.end(), view(&kept, 100));
            fail_from(&storage, calls, 5, false);
            let appended = kept.append(8, &[event(80), event(81)], &[]);
            check_crashes(&storage, end, &old);
            if let Ok(new_end) = appended {
                storage.clear_faults();
                kept.record(new_end);
                let new = view(&kept, 100);
                assert_eq!(new.events.len(), old.events.len() + 2);
                check_crashes(&storage, new_end, &new);
                is_done = true;
                break;
            }
        }
        assert!(is_done);
    }
}

#[test]
fn power_cut_at_each_call_of_a_compaction_leaves_the_old_or_the_new() {
    let mut n_seen = (0, 0);
    for calls in 0..30 {
        let (storage, _) = some_segments();
        let kept = open(&storage, keep(&open(&storage, some_segments().1), [70]));
        let (end, old) = (kept.end(), view(&kept, 100));
        fail_from(&storage, calls, 5, false);
        let compacted = kept.compact((8, Timestamp::default()), ALL_READ, &is_alive, &no_states);
        check_crashes(&storage, end, &old);
        let Ok(Some(new_end)) = compacted else {
            n_seen.0 += 1;
            continue;
        };
        kept.record(new_end);
        let removed = kept.remove_compacted();
        storage.clear_faults();
        let new = view(&kept, 100);
        assert!(new.events.len() < old.events.len());
        let mut alive = old.events.iter().filter(|at| **at % 4 == 0);
        assert!(alive.all(|at| new.events.contains(at)));
        check_crashes(&storage, new_end, &new);
        n_seen.1 += 1;
        if removed.is_ok() {
            break;
        }
    }
    assert!(n_seen.0 >= 3 && n_seen.1 >= 3, "{n_seen:?}");
}

#[test]
fn error_at_each_call_changes_nothing_and_the_next_append_works() {
    for errno in [5, 28] {
        for calls in 0..12 {
            let (storage, end) = some_segments();
            let kept = open(&storage, end);
            let old = view(&kept, 100);
            fail_from(&storage, calls, errno, true);
            let appended = kept.append(8, &[event(80)], &[]);
            storage.clear_faults();
            if appended.is_ok() {
                kept.discard_unrecorded();
            }
            assert_eq!((view(&kept, 100), kept.end()), (old, end));
            let new_end = keep(&kept, [81]);
            let again = open(&storage, new_end);
            assert_eq!(view(&again, 100), view(&kept, 100));
            assert_eq!(again.damage(), Vec::<String>::new());
            assert!(again.holds(Position(81)) && !again.holds(Position(80)));
        }
    }
}

#[test]
fn compaction_counts_where_what_it_copied_is_gone_and_nothing_tells_of_it_any_more() {
    let (storage, end) = some_segments();
    let expected = {
        let kept = open(&storage, end);
        let compacted = kept
            .compact((7, Timestamp::default()), ALL_READ, &is_alive, &no_states)
            .unwrap()
            .unwrap();
        kept.record(compacted);
        kept.remove_compacted().unwrap();
        view(&kept, 100)
    };
    // The record with its end was the log's last one, and a bit of that was changed.
    for _ in 0..2 {
        let kept = open(&storage, end);
        assert_eq!(view(&kept, 100), expected);
        assert_eq!(kept.damage(), Vec::<String>::new());
    }
}
