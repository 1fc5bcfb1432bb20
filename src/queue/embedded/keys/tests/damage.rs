//! What cannot be read counts as not seen, is named, and is remade.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::super::testing::{Call, Verdict};
use super::*;

fn flip(path: &Path, offset: u64) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[usize::try_from(offset).unwrap()] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// Keys found, each under its own id only.
fn n_found(runs: &KeyRuns, n_keys: u64) -> usize {
    let is_found = |n: &u64| {
        let seen = found(runs, *n);
        assert!(seen.is_none_or(|seen| seen == id(*n)));
        seen.is_some()
    };
    (0..n_keys).filter(is_found).count()
}

/// What the core does: adds the keys that the log still has, from `first` on.
fn remake(runs: &KeyRuns, first: u64) {
    while let Some(records) = runs.next_to_remake().unwrap() {
        let from = records.start.0.max(first);
        for n in (from..records.end.0).step_by(100) {
            runs.add_frozen(frozen(n..records.end.0.min(n + 100), 0));
        }
        runs.remade(&records, Lsn(first), records.end).unwrap();
    }
}

#[test]
fn bad_page_of_any_kind_loses_its_own_keys_at_most_and_is_remade() {
    // Of 2,000 keys: header, 22 pages of entries, one of fences, one of the filter.
    for page in 0..25 {
        let folder = tempfile::tempdir().unwrap();
        drop(with_runs(folder.path(), 1, 2_000));
        let path = files(folder.path()).remove(0);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 25 * 4096);
        flip(&path, page * 4096 + 17);

        let runs = open(folder.path(), 2_000);
        let n = n_found(&runs, 2_000);
        match page {
            0 | 23 | 24 => assert_eq!(n, 0, "page {page}"),
            // 92 entries, or fewer on the last page.
            _ => assert!((1_908..2_000).contains(&n), "page {page}: {n}"),
        }
        let [damage] = &runs.damage()[..] else { panic!("{:?}", runs.damage()) };
        assert!(damage.contains(path.to_str().unwrap()) && damage.contains("checksum"), "{damage}");
        remake(&runs, 0);
        assert_eq!(n_found(&runs, 2_000), 2_000, "page {page}");
        assert!(runs.damage().is_empty());
        let runs = open(folder.path(), 2_000);
        assert_eq!(n_found(&runs, 2_000), 2_000, "page {page}");
        assert!(runs.damage().is_empty() && runs.next_to_remake().unwrap().is_none());
    }
}

#[test]
fn remaking_what_the_log_has_in_part_keeps_the_pages_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    drop(with_runs(folder.path(), 1, 2_000));
    flip(&files(folder.path())[0], 5 * 4096);
    let runs = open(folder.path(), 2_000);
    let before = n_found(&runs, 2_000);
    remake(&runs, 1_000);
    let after = n_found(&runs, 2_000);
    assert!(before < after && after < 2_000, "{before} {after}");
    assert_eq!(runs.next_to_remake().unwrap(), None);
    assert_eq!(runs.damage().len(), 1);
    // Neither a merge nor a start takes it or the remade runs away.
    merge_all(&runs, NO_TIME);
    assert_eq!(n_found(&runs, 2_000), after);
    let runs = open(folder.path(), 2_000);
    assert_eq!(n_found(&runs, 2_000), after);
    runs.expire(at(3_600)).unwrap();
    assert!(files(folder.path()).is_empty() && runs.damage().is_empty());
}

#[test]
fn start_in_the_middle_of_remaking_goes_on() {
    for page in [0, 3] {
        let folder = tempfile::tempdir().unwrap();
        drop(with_runs(folder.path(), 1, 2_000));
        flip(&files(folder.path())[0], page * 4096 + 9);
        let runs = open(folder.path(), 2_000);
        n_found(&runs, 2_000);
        assert_eq!(runs.next_to_remake().unwrap(), Some(Lsn(0)..Lsn(2_000)));
        runs.add_frozen(frozen(0..500, 0));
        runs.write_step().unwrap();
        let runs = open(folder.path(), 2_000);
        assert!(n_found(&runs, 2_000) >= 500);
        remake(&runs, 0);
        assert_eq!(n_found(&runs, 2_000), 2_000);
        assert_eq!(n_found(&open(folder.path(), 2_000), 2_000), 2_000);
    }
}

#[test]
fn runs_around_keys_that_are_still_to_be_remade_are_not_merged() {
    let folder = tempfile::tempdir().unwrap();
    let runs = with_runs(folder.path(), 10, 16);
    assert!(runs.set_missing(Lsn(160)..Lsn(480)));
    for start in (480..720).step_by(16) {
        runs.add_frozen(frozen(start..start + 16, 0));
        runs.write_step().unwrap();
    }
    // Three pieces, with which 18 runs would follow each other.
    for start in (160..208).step_by(16) {
        runs.add_frozen(frozen(start..start + 16, 0));
        runs.remade(&(Lsn(start)..Lsn(480)), Lsn(0), Lsn(start + 16)).unwrap();
    }
    merge_all(&runs, NO_TIME);
    drop(runs);
    let runs = open(folder.path(), 720);
    assert_eq!(runs.next_to_remake().unwrap(), Some(Lsn(160)..Lsn(480)));
    remake(&runs, 0);
    merge_all(&runs, NO_TIME);
    assert_eq!(n_found(&open(folder.path(), 720), 720), 720);
}

#[test]
fn damaged_run_is_not_merged() {
    let folder = tempfile::tempdir().unwrap();
    drop(with_runs(folder.path(), 16, 16));
    flip(&files(folder.path())[7], 4096 + 100);
    let runs = open(folder.path(), 256);
    merge_all(&runs, NO_TIME);
    assert_eq!(files(folder.path()).len(), 16);
    assert_eq!((runs.damage().len(), n_found(&runs, 256)), (1, 240));
    remake(&runs, 0);
    merge_all(&runs, NO_TIME);
    assert_eq!((files(folder.path()).len(), n_found(&runs, 256)), (1, 256));
}

#[test]
fn missing_cut_and_foreign_files_cost_their_own_keys_only() {
    let folder = tempfile::tempdir().unwrap();
    drop(with_runs(folder.path(), 5, 16));
    let paths = files(folder.path());
    std::fs::remove_file(&paths[0]).unwrap();
    let whole = std::fs::read(&paths[1]).unwrap();
    std::fs::write(folder.path().join("README"), "hello").unwrap();
    std::fs::write(folder.path().join("0000-zzzz.run"), "hello").unwrap();
    for length in (0..whole.len()).step_by(1_000) {
        std::fs::write(&paths[1], &whole[..length]).unwrap();
        let runs = open(folder.path(), 80);
        assert_eq!((n_found(&runs, 80), runs.damage().len()), (48, 1), "{length} bytes");
    }
    // Another run's file under this name.
    std::fs::copy(&paths[2], &paths[1]).unwrap();
    let runs = open(folder.path(), 80);
    assert_eq!((n_found(&runs, 80), runs.damage().len()), (48, 1));
}

#[test]
fn crash_before_a_merge_removed_its_inputs_leaves_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let runs = with_runs(folder.path(), 16, 16);
    let inputs: Vec<_> = files(folder.path())
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    merge_all(&runs, NO_TIME);
    let output = files(folder.path());
    for (path, bytes) in inputs {
        std::fs::write(path, bytes).unwrap();
    }
    std::fs::write(folder.path().join(format!("{:016x}-{:016x}.new", 0, 99)), "half").unwrap();
    let runs = open(folder.path(), 256);
    assert_eq!(files(folder.path()), output);
    assert_eq!(n_found(&runs, 256), 256);
}

#[test]
fn error_at_each_call_of_writing_and_merging_loses_no_key() {
    for calls in 0..40 {
        let storage = MemoryStorage::new();
        let runs = open_in(&storage, 0);
        (0..15).for_each(|run| runs.add_frozen(frozen(run * 16..run * 16 + 16, 0)));
        while runs.write_step().unwrap() == Step::Again {}
        runs.add_frozen(frozen(240..256, 0));
        // Of the calls that change something, one fails half-way.
        let calls_left = AtomicUsize::new(calls);
        storage.fail(move |call, _, _, len| {
            let counts = !matches!(call, Call::Read | Call::List | Call::Open);
            if !counts || calls_left.fetch_sub(1, Ordering::Relaxed) != 0 {
                return Verdict::Ok;
            }
            if call == Call::Write { Verdict::Short(len / 2) } else { Verdict::Errno(28) }
        });
        let mut n_errors = 0;
        for _ in 0..10 {
            let steps = [runs.write_step(), runs.merge_step(NO_TIME)];
            n_errors += steps.iter().filter(|step| step.is_err()).count();
            assert_eq!(n_found(&runs, 256), 256, "call {calls}");
        }
        assert!(n_errors <= 1, "call {calls}: {n_errors}");
        storage.clear_faults();
        assert_eq!((n_found(&open_in(&storage, 256), 256), runs.damage().len()), (256, 0));
        // All files but the merged run are gone, unless removing one failed.
        let n_files = storage.paths().len();
        assert!(n_files == 1 || n_errors == 1, "call {calls}: {:?}", storage.paths());
        assert_eq!(runs.written_through(), Lsn(256));
    }
}

#[test]
fn disk_that_fails_is_asked_once_until_the_run_is_remade() {
    let storage = MemoryStorage::new();
    let runs = open_in(&storage, 0);
    runs.add_frozen(frozen(0..16, 0));
    runs.add_frozen(frozen(16..32, 0));
    while runs.write_step().unwrap() == Step::Again {}
    let runs = open_in(&storage, 32);
    let (failing, n_reads) = (storage.paths().remove(0), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&n_reads);
    storage.fail(move |call, path, _, _| {
        if call == Call::Read && path == failing {
            counted.fetch_add(1, Ordering::Relaxed);
            return Verdict::Errno(5);
        }
        Verdict::Ok
    });
    assert_eq!(n_found(&runs, 32), 16);
    assert_eq!(n_reads.load(Ordering::Relaxed), 1);
    assert_eq!(runs.damage().len(), 1);
    remake(&runs, 8);
    assert_eq!((n_found(&runs, 32), runs.damage().len()), (24, 0));
}
