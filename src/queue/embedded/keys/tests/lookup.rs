//! Lookups, merges, expiry, and what is bounded.

use super::super::filter::BloomFilter;
use super::*;

#[test]
fn filter_lets_one_stranger_in_700_through_at_most() {
    let mut filter = BloomFilter::new(32_768);
    (0..32_768).for_each(|n| filter.insert(key(n)));
    assert!((0..32_768).all(|n| filter.may_hold(key(n))));
    let n_false = (1 << 20..2 << 20).filter(|n| filter.may_hold(key(*n))).count();
    let per_million = n_false * 1_000_000 / (1 << 20);
    assert!(per_million < 1_430, "{per_million} of 1,000,000 strangers got through");
}

#[test]
fn every_key_of_a_run_of_many_pages_is_found_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let runs = with_runs(folder.path(), 1, 20_000);
    assert!((0..20_000).all(|n| found(&runs, n) == Some(id(n))));
    assert!((20_000..60_000).all(|n| found(&runs, n).is_none()));
    let runs = open(folder.path(), 20_000);
    assert_eq!(runs.written_through(), Lsn(20_000));
    // Once through the filter's pages, once through the filter in memory.
    for _ in 0..2 {
        assert!((0..20_000).all(|n| found(&runs, n) == Some(id(n))));
        assert!((20_000..30_000).all(|n| found(&runs, n).is_none()));
        while runs.load_step() == Step::Again {}
    }
    assert!(runs.damage().is_empty());
}

#[test]
fn equal_keys_over_several_pages_give_the_newest_that_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let runs = open(folder.path(), 0);
    let mut memtable = KeyMemtable::new(Lsn(0), options());
    for n in 0..1_000 {
        memtable.insert(entry(n, 0), Lsn(n));
        // An hour apart: each was stored.
        let entry = KeyEntry { key: key(7), ..entry(2_000 + n, 3_600 * n.cast_signed()) };
        memtable.insert(entry, Lsn(2_000 + n));
    }
    runs.add_frozen(memtable.freeze(Lsn(3_000)));
    for _ in 0..2 {
        for hour in [1, 500, 999] {
            let seen = runs.lookup(&probe(7, 3_600 * hour + 5), Generation::default()).0;
            assert_eq!(seen.map(|seen| seen.id), Some(id(2_000 + hour.cast_unsigned())));
        }
        assert_eq!(runs.lookup(&probe(7, 3_600 * 1_000), Generation::default()).0, None);
        runs.write_step().unwrap();
    }
}

#[test]
fn a_key_from_before_the_clock_was_set_back_is_no_duplicate() {
    let (early, late) = (0, 365 * 86_400);
    let seen = |seconds| entry(1, seconds).seen();
    assert!(!probe(1, 3_600).repeats(&seen(late)));
    // A step of the clock by less than five minutes is none.
    assert!(probe(1, 0).repeats(&seen(299)) && !probe(1, 0).repeats(&seen(300)));
    assert!(probe(1, 3_599).repeats(&seen(early)) && !probe(1, 3_600).repeats(&seen(early)));

    let folder = tempfile::tempdir().unwrap();
    let runs = open(folder.path(), 0);
    let mut memtable = KeyMemtable::new(Lsn(0), options());
    memtable.insert(entry(1, early), Lsn(1));
    memtable.insert(KeyEntry { key: key(1), ..entry(2, late) }, Lsn(2));
    memtable.insert(entry(3, late), Lsn(3));
    for place in ["memtable", "frozen", "run"] {
        let get = |n, seconds| {
            let probe = probe(n, seconds);
            memtable.get(&probe).or(runs.lookup(&probe, Generation::default()).0)
        };
        // The clock is right again: what was seen at the wrong time does not hide the earlier one.
        assert_eq!(get(1, 1_800).map(|seen| seen.id), Some(id(1)), "{place}");
        assert_eq!(get(1, 7_200), None, "{place}");
        assert_eq!(get(3, 1_800), None, "{place}");
        assert_eq!(get(3, late + 60).map(|seen| seen.id), Some(id(3)), "{place}");
        if memtable.begin().is_some() {
            runs.add_frozen(memtable.freeze(Lsn(4)));
        } else {
            runs.write_step().unwrap();
        }
    }
}

#[test]
fn later_lookup_asks_only_runs_that_came_since() {
    let folder = tempfile::tempdir().unwrap();
    let runs = with_runs(folder.path(), 2, 16);
    let (seen, generation) = runs.lookup(&probe(3, 1), Generation::default());
    assert_eq!(seen.map(|seen| seen.id), Some(id(3)));
    assert_eq!(runs.lookup(&probe(3, 1), generation), (None, generation));
    runs.add_frozen(frozen(32..48, 0));
    for _ in 0..2 {
        let (seen, newer) = runs.lookup(&probe(40, 1), generation);
        assert_eq!(seen.map(|seen| seen.id), Some(id(40)));
        assert_eq!(runs.lookup(&probe(40, 1), newer).0, None);
        assert_eq!(runs.lookup(&probe(3, 1), generation).0, None);
        runs.write_step().unwrap();
    }
}

#[test]
fn runs_merge_sixteen_to_one_twice() {
    let folder = tempfile::tempdir().unwrap();
    let runs = with_runs(folder.path(), 16 * 16 + 3, 16);
    merge_all(&runs, NO_TIME);
    assert_eq!(files(folder.path()).len(), 4);
    assert!((0..259 * 16).all(|n| found(&runs, n) == Some(id(n))));
    assert_eq!(runs.written_through(), Lsn(259 * 16));
    // Large runs are left as they are.
    let runs = open(folder.path(), 259 * 16);
    assert_eq!(runs.merge_step(NO_TIME).unwrap(), Step::Idle);
    assert!((0..259 * 16).all(|n| found(&runs, n) == Some(id(n))));
}

#[test]
fn small_runs_merge_into_small_runs_until_there_are_enough_keys() {
    let folder = tempfile::tempdir().unwrap();
    let runs = with_runs(folder.path(), 46, 1);
    merge_all(&runs, NO_TIME);
    assert_eq!(files(folder.path()).len(), 1);
    assert!((0..46).all(|n| found(&runs, n) == Some(id(n))));
}

#[test]
fn runs_expire_whole_and_merging_drops_what_has_expired() {
    let folder = tempfile::tempdir().unwrap();
    let runs = open(folder.path(), 0);
    runs.add_frozen(frozen(0..16, 0));
    runs.add_frozen(frozen(16..32, 1_000));
    let mut memtable = KeyMemtable::new(Lsn(32), options());
    for n in 32..48 {
        let window = if n == 40 { 30 * 24 * WINDOW } else { WINDOW };
        memtable.insert(KeyEntry { window, ..entry(n, 1_000) }, Lsn(n));
    }
    runs.add_frozen(memtable.freeze(Lsn(48)));
    while runs.write_step().unwrap() == Step::Again {}
    runs.expire(at(3_599)).unwrap();
    assert_eq!(files(folder.path()).len(), 3);
    runs.expire(at(3_600)).unwrap();
    assert_eq!(files(folder.path()).len(), 2);
    runs.expire(at(4_600)).unwrap();
    assert_eq!(files(folder.path()).len(), 1);
    let found = |runs: &KeyRuns, n| {
        runs.lookup(&probe(n, 1_001), Generation::default()).0.map(|seen| seen.id)
    };
    assert_eq!(found(&runs, 39), Some(id(39)));
    // One long window does not keep the others' keys.
    merge_all(&runs, at(4_600));
    assert_eq!((found(&runs, 39), found(&runs, 40)), (None, Some(id(40))));
    let runs = open(folder.path(), 48);
    assert_eq!((found(&runs, 39), found(&runs, 40)), (None, Some(id(40))));
    assert_eq!(runs.written_through(), Lsn(48));
    runs.expire(at(100 * 86_400)).unwrap();
    assert!(files(folder.path()).is_empty());
}

#[test]
fn keys_of_events_that_the_log_lost_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    drop(with_runs(folder.path(), 16, 16));
    let runs = open(folder.path(), 100);
    assert_eq!((found(&runs, 100), found(&runs, 101)), (Some(id(100)), None));
    merge_all(&runs, NO_TIME);
    // The same ids are not given again; larger ones are, and count.
    runs.add_frozen(frozen(300..316, 0));
    runs.write_step().unwrap();
    let runs = open(folder.path(), 315);
    assert_eq!((found(&runs, 100), found(&runs, 101)), (Some(id(100)), None));
    assert_eq!(found(&runs, 305), Some(id(305)));
    let none = KeyRuns::open(Arc::new(OsStorage), folder.path(), None, options()).unwrap();
    assert_eq!(found(&none, 305), None);
}

#[test]
fn memory_is_bounded_and_lookups_stay_exact() {
    let folder = tempfile::tempdir().unwrap();
    drop(with_runs(folder.path(), 10, 1_024));
    // Room for three filters of 2 KiB.
    let options = KeyOptions { filter_memory: 3 * 2_048 + 100, ..options() };
    let runs = KeyRuns::open(Arc::new(OsStorage), folder.path(), Some(id(20_000)), options);
    let runs = runs.unwrap();
    assert_eq!(runs.memory_bytes(), 10 * 16);
    while runs.load_step() == Step::Again {}
    assert_eq!(runs.memory_bytes(), 10 * 16 + 3 * 2_048);
    assert!((0..10_240).all(|n| found(&runs, n) == Some(id(n))));
    assert!((10_240..20_000).all(|n| found(&runs, n).is_none()));
    // A newer run's filter takes the oldest one's room.
    runs.add_frozen(frozen(10_240..11_264, 0));
    runs.write_step().unwrap();
    assert_eq!(runs.load_step(), Step::Idle);
    assert_eq!(runs.memory_bytes(), 11 * 16 + 3 * 2_048);
    assert!((0..11_264).all(|n| found(&runs, n) == Some(id(n))));
}

#[test]
fn failed_commit_leaves_no_keys() {
    let mut memtable = KeyMemtable::new(Lsn(0), options());
    memtable.insert(entry(1, 0), Lsn(10));
    memtable.insert(entry(2, 0), Lsn(20));
    memtable.insert(entry(3, 0), Lsn(30));
    memtable.remove_from(Lsn(20));
    let get = |memtable: &KeyMemtable, n| memtable.get(&probe(n, 0)).map(|seen| seen.id);
    assert_eq!([1, 2, 3].map(|n| get(&memtable, n)), [Some(id(1)), None, None]);
    assert_eq!(memtable.begin(), Some(Lsn(10)));
    memtable.remove_from(Lsn(0));
    assert_eq!((memtable.begin(), get(&memtable, 1)), (None, None));
}

#[test]
fn memtable_is_full_by_keys_or_by_bytes_of_the_log() {
    let mut memtable = KeyMemtable::new(Lsn(0), options());
    let is_full = |memtable: &KeyMemtable, end| memtable.is_full(Lsn(end), 64 << 20);
    assert!(!is_full(&memtable, (1 << 20) - 1) && is_full(&memtable, 1 << 20));
    (0..15).for_each(|n| memtable.insert(entry(n, 0), Lsn(n)));
    assert!(!is_full(&memtable, 15));
    memtable.insert(entry(15, 0), Lsn(15));
    assert!(is_full(&memtable, 16));
    memtable.freeze(Lsn(16));
    assert!(!is_full(&memtable, 16) && memtable.begin().is_none());
}

#[test]
fn written_through_waits_for_the_oldest_frozen_keys() {
    let folder = tempfile::tempdir().unwrap();
    let runs = with_runs(folder.path(), 1, 16);
    runs.add_frozen(frozen(16..32, 0));
    runs.add_frozen(frozen(32..32, 0));
    runs.add_frozen(frozen(32..48, 0));
    assert_eq!(runs.written_through(), Lsn(16));
    runs.write_step().unwrap();
    assert_eq!(runs.written_through(), Lsn(32));
    runs.write_step().unwrap();
    assert_eq!((runs.written_through(), runs.write_step().unwrap()), (Lsn(48), Step::Idle));
    let mut memtable = KeyMemtable::new(Lsn(48), options());
    runs.add_frozen(memtable.freeze(Lsn(60)));
    assert_eq!(runs.written_through(), Lsn(60));
}

#[test]
fn unanswered_keys_count_for_ten_minutes() {
    let mut keys = UnansweredKeys::default();
    keys.insert(key(1), id(1), at(0));
    keys.insert(key(2), id(2), at(300));
    keys.insert(key(1), id(3), at(400));
    assert_eq!(keys.get(key(1), at(999)), Some(id(3)));
    assert_eq!(keys.get(key(2), at(899)), Some(id(2)));
    assert_eq!(keys.get(key(2), at(900)), None);
    // The first insertion's end does not take the second one out.
    keys.insert(key(4), id(4), at(700));
    assert_eq!(keys.get(key(1), at(999)), Some(id(3)));
    assert_eq!(keys.get(key(1), at(1_000)), None);
}

#[test]
fn unanswered_keys_are_bounded() {
    let mut keys = UnansweredKeys::default();
    (0..140_000).for_each(|n| keys.insert(key(n), id(n), at(0)));
    assert_eq!(keys.get(key(0), at(0)), None);
    assert_eq!(keys.get(key(139_999), at(0)), Some(id(139_999)));
    let n_kept = (0..140_000).filter(|n| keys.get(key(*n), at(0)).is_some()).count();
    assert_eq!(n_kept, 131_072);
}
