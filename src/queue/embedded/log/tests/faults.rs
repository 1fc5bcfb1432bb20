use super::*;
use std::sync::atomic::{AtomicU64, Ordering};

fn filled(n_events: u64) -> Fixture {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    for _ in 0..n_events {
        fixture.append(1, 900);
    }
    fixture
}

#[test]
fn every_unreadable_block_of_a_sealed_segment_costs_its_events_only() {
    let fixture = filled(40);
    for block in 0..4 {
        let spoiled = fixture.storage.copy();
        let reopened = Fixture::open(&spoiled);
        fail_block(&spoiled, 2, block);
        // Until the disk has not answered for ten seconds this is an error.
        let mut n_errors = 0;
        let left = loop {
            match reopened.try_positions() {
                Ok(left) => break left,
                Err(ReadError::Io { file, source }) => {
                    assert!(file.contains("0000000002-"), "{file}");
                    assert_eq!(source.raw_os_error(), Some(5));
                    n_errors += 1;
                }
                Err(ReadError::Trimmed) => panic!("nothing was trimmed"),
            }
            // Many readers that fail at once are one failure.
            assert!(reopened.try_positions().is_err());
            assert!(reopened.damage().is_empty());
            reopened.clock.advance(Duration::from_secs(3));
        };
        assert_eq!(n_errors, 3, "block {block}");
        assert!((40 - left.len()) <= 6 && left.len() < 40, "block {block}: {left:?}");
        assert!(reopened.damage().iter().all(|damage| damage.contains("0000000002-")));
        assert_eq!(reopened.damage().len(), 1, "{:?}", reopened.damage());
        // When the disk answers again, all of it is read.
        spoiled.clear_faults();
        reopened.log.forget_damage(2);
        assert_eq!(reopened.positions(), up_to(40));
        assert!(reopened.damage().is_empty());
    }
}

#[test]
fn a_dead_segment_is_given_up_once_and_the_next_one_is_read() {
    let fixture = filled(40);
    let first = fixture.log.segments();
    fixture.storage.fail(
        |call, failing, _, _| {
            if call == Call::Read && failing == path(2) { EIO } else { Verdict::Ok }
        },
    );
    for _ in 0..3 {
        assert!(fixture.try_positions().is_err());
        fixture.clock.advance(Duration::from_secs(4));
    }
    let (from, to) = (first[1].first.unwrap().0, first[2].first.unwrap().0);
    let left: Vec<u64> = (1..from).chain(to..=40).collect();
    assert_eq!(fixture.positions(), left);
    let mut finder = Finder::default();
    assert!(finder.event_at(&fixture.log, Position(from)).unwrap().is_none());
    assert!(finder.event_at(&fixture.log, Position(to)).unwrap().is_some());
}

#[test]
fn a_segment_that_cannot_be_opened_is_the_same_and_scarce_handles_are_not() {
    let fixture = filled(40);
    for (verdict, is_given_up) in [(EIO, true), (EMFILE, false)] {
        let spoiled = fixture.storage.copy();
        let reopened = Fixture::open(&spoiled);
        spoiled.fail(
            move |call, failing, _, _| {
                if call == Call::Open && failing == path(2) { verdict } else { Verdict::Ok }
            },
        );
        for _ in 0..20 {
            drop(reopened.try_positions());
            reopened.clock.advance(Duration::from_secs(3));
        }
        assert_eq!(reopened.try_positions().is_ok(), is_given_up);
        assert_eq!(!reopened.damage().is_empty(), is_given_up);
    }
}

#[test]
fn an_unreadable_block_of_the_live_segment_lets_the_rest_count_and_rolls() {
    let fixture = filled(12);
    let next = fixture.next;
    for block in 0..4 {
        let spoiled = fixture.storage.copy();
        fail_block(&spoiled, 1, block);
        let before = spoiled.bytes(&path(1)).unwrap();
        let mut reopened = Fixture::open(&spoiled);
        assert!(reopened.writer.needs_roll(), "block {block}");
        assert!(reopened.next >= next, "no position is given twice");
        assert!(!reopened.damage().is_empty());
        reopened.append(1, 10);
        assert_eq!(spoiled.bytes(&path(1)).unwrap(), before, "nothing is written to it");
        for _ in 0..3 {
            drop(reopened.try_positions());
            reopened.clock.advance(Duration::from_secs(3));
        }
        let left = reopened.positions();
        assert!(left.len() > 6 && left.is_sorted(), "{left:?}");
        assert_eq!(left.last(), Some(&(reopened.next.0 - 1)));
    }
}

#[test]
fn a_newest_segment_that_cannot_be_read_is_left_alone() {
    let fixture = filled(20);
    let newest = fixture.writer.end().segment();
    assert_eq!(newest, 2);
    fixture.storage.fail(
        |call, failing, _, _| {
            if call == Call::Open && failing == path(2) { EIO } else { Verdict::Ok }
        },
    );
    let before = fixture.storage.bytes(&path(2));
    let mut reopened = Fixture::open(&fixture.storage);
    assert!(!reopened.damage().is_empty());
    reopened.writer.require_roll();
    reopened.next = Position(500);
    reopened.append(1, 10);
    assert_eq!(reopened.writer.end().segment(), 3);
    assert_eq!(fixture.storage.bytes(&path(2)), before);
    fixture.storage.clear_faults();
    let reopened = Fixture::open(&fixture.storage);
    let expected: Vec<u64> = (1..=20).chain([500]).collect();
    assert_eq!(reopened.positions(), expected);
}

/// Fails the `n`th call of these kinds, and no other.
fn fail_nth(storage: &MemoryStorage, calls: &'static [Call], n: u64, verdict: Verdict) {
    let seen = AtomicU64::new(0);
    storage.fail(move |call, _, _, _| {
        let is_it = calls.contains(&call) && seen.fetch_add(1, Ordering::SeqCst) == n;
        if is_it { verdict } else { Verdict::Ok }
    });
}

const CHANGING: &[Call] = &[Call::Create, Call::Write, Call::Sync, Call::Rename, Call::SyncFolder];

#[test]
fn allocations_that_fail_leave_nothing_and_can_be_tried_again() {
    let full = Verdict::Error(io::ErrorKind::StorageFull);
    for has_spare in [false, true] {
        for (verdict, n) in (0..5).flat_map(|n| [(full, n), (EMFILE, n), (EIO, n)]) {
            let mut fixture = filled(40);
            fixture.log.trim(2).unwrap();
            let removal = if has_spare { Removal::Spare } else { Removal::Delete };
            fixture.log.remove(1, removal).unwrap();
            let number = fixture.writer.next_number();
            fail_nth(&fixture.storage, CHANGING, n, verdict);
            let before = fixture.storage.paths().len();
            let made = allocate(&mut fixture.allocator, number);
            match made {
                // It needs fewer calls than that.
                Ok(_) => assert!(n >= 3, "{verdict:?} {n}"),
                Err(err) => {
                    let is_right = match err {
                        AllocateError::Full(_) => verdict == full,
                        AllocateError::Unavailable(_) => verdict == EMFILE,
                        AllocateError::Failed(_) => verdict == EIO,
                    };
                    assert!(is_right, "{verdict:?} {n}");
                    assert!(fixture.storage.paths().len() <= before);
                    assert!(!fixture.storage.paths().contains(&path(number)));
                }
            }
            fixture.storage.clear_faults();
            allocate(&mut fixture.allocator, number).unwrap();
            assert_eq!(fixture.storage.bytes(&path(number)), Some(vec![0; SEGMENT as usize]));
        }
    }
}

#[test]
fn segments_are_made_within_the_reserve_only_where_that_is_allowed() {
    let storage = MemoryStorage::new();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let reserved = OpenOptions { disk_reserve: 1_000, ..options(&clock) };
    let opened = FileLog::open(Arc::new(storage.clone()), folder(), &reserved).unwrap();
    let mut allocator = SegmentAllocator::new(opened.survey.log);
    storage.set_free(Some(u64::from(SEGMENT) + 999));
    let kept = allocator.step(Want { id: id(1), reserve: Reserve::Kept });
    let Err(AllocateError::Full(why)) = kept else { panic!("{kept:?}") };
    assert_eq!(why, "17383 bytes are free, and 1000 must stay so");
    assert!(allocator.step(Want { id: id(1), reserve: Reserve::Used }).unwrap().is_some());
}

#[test]
fn another_wish_gives_up_what_was_begun() {
    let storage = MemoryStorage::new();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let large = OpenOptions { segment_bytes: 1 << 20, ..options(&clock) };
    let opened = FileLog::open(Arc::new(storage.clone()), folder(), &large).unwrap();
    let mut allocator = SegmentAllocator::new(opened.survey.log);
    assert!(allocator.step(Want { id: id(1), reserve: Reserve::Kept }).unwrap().is_none());
    assert_eq!(storage.paths(), [path(1)]);
    let made = allocate(&mut allocator, 2).unwrap();
    assert_eq!((made.id, made.capacity), (id(2), 1 << 20));
    assert_eq!(storage.paths(), [path(2)]);
}

#[test]
fn appends_without_room_leave_nothing_and_can_be_tried_again() {
    for n_written in [0, 1, 50, 300] {
        let mut fixture = filled(3);
        fixture.storage.fail(move |call, _, _, len| match call {
            Call::Write if len > 300 => Verdict::Short(n_written),
            _ => Verdict::Ok,
        });
        // A storage without room stops a write halfway; here it says so by another error.
        let failed = fixture.try_append(1, 900);
        assert!(matches!(failed, Err(AppendError::Poisoned(_))));
        assert!(fixture.writer.is_poisoned());
        assert!(matches!(fixture.try_append(1, 10), Err(AppendError::Poisoned(_))));
        fixture.storage.clear_faults();
        let mut reopened = Fixture::open(&fixture.storage);
        reopened.append(1, 10);
        assert_eq!(reopened.positions(), up_to(4));
        assert_eq!(reopened.damage(), Vec::<String>::new());
    }
    let mut fixture = filled(3);
    fail_nth(&fixture.storage, &[Call::Write], 0, Verdict::Error(io::ErrorKind::StorageFull));
    assert!(matches!(fixture.try_append(3, 900), Err(AppendError::Full(_))));
    assert!(!fixture.writer.is_poisoned());
    fixture.append(1, 100);
    assert_eq!(fixture.positions(), up_to(4));
    let end = fixture.writer.end().offset() as usize;
    assert!(fixture.storage.bytes(&path(1)).unwrap()[end..].iter().all(|byte| *byte == 0));
    assert_eq!(Fixture::open(&fixture.storage).positions(), up_to(4));
}

#[test]
fn events_of_a_failed_append_are_in_no_table() {
    let mut fixture = filled(3);
    fail_nth(&fixture.storage, &[Call::Write], 0, Verdict::Error(io::ErrorKind::StorageFull));
    let before = fixture.log.offsets.live();
    assert!(fixture.try_append(3, 900).is_err());
    assert_eq!(fixture.log.offsets.live(), before);
}

#[test]
fn a_failed_sync_poisons_the_writer_and_what_was_written_counts_after_a_restart() {
    let mut fixture = filled(3);
    fail_nth(&fixture.storage, &[Call::Sync], 0, EIO);
    assert!(matches!(fixture.try_append(1, 900), Err(AppendError::Poisoned(_))));
    assert!(matches!(fixture.try_append(1, 900), Err(AppendError::Poisoned(_))));
    assert_eq!(fixture.positions(), up_to(3));
    fixture.storage.clear_faults();
    fixture.storage.record_calls();
    let reopened = Fixture::open(&fixture.storage);
    assert_eq!(reopened.positions(), up_to(4));
    // It counts from here on, so it is written and synced once more.
    let calls = fixture.storage.take_calls();
    let written = calls.iter().position(|call| *call == (Call::Write, path(1))).unwrap();
    assert!(calls[written..].contains(&(Call::Sync, path(1))));
}

#[test]
fn rolls_that_fail_lose_nothing() {
    let full = Verdict::Error(io::ErrorKind::StorageFull);
    for (verdict, n) in (0..4).flat_map(|n| [(full, n), (EIO, n)]) {
        let mut fixture = filled(5);
        let segment = allocate(&mut fixture.allocator, 2).unwrap();
        fail_nth(&fixture.storage, CHANGING, n, verdict);
        let rolled = fixture.writer.roll(segment, head(fixture.next), SEGMENT as usize);
        fixture.storage.clear_faults();
        if rolled.is_ok() {
            assert!(n >= 3, "{verdict:?} {n}");
            continue;
        }
        if !fixture.writer.is_poisoned() {
            assert_eq!(verdict, full);
            fixture.append(1, 900);
            fixture.roll();
            assert_eq!(fixture.writer.end().segment(), 3);
            fixture.append(1, 900);
        }
        let n_events = fixture.next.0 - 1;
        assert_eq!(fixture.positions(), up_to(n_events));
        let reopened = Fixture::open(&fixture.storage);
        assert_eq!(reopened.positions(), up_to(n_events), "{verdict:?} {n}");
        assert_eq!(reopened.damage(), Vec::<String>::new(), "{verdict:?} {n}");
    }
}

#[test]
fn a_removal_that_fails_can_be_repeated() {
    for n in 0..3 {
        let fixture = filled(40);
        fixture.log.trim(2).unwrap();
        fail_nth(&fixture.storage, &[Call::Remove, Call::SyncFolder], n, EIO);
        let removed = fixture.log.remove(1, Removal::Delete);
        assert_eq!(removed.is_err(), n < 2);
        assert_eq!(fixture.log.trimmed_segments().is_empty(), removed.is_ok());
        fixture.storage.clear_faults();
        fixture.log.remove(1, Removal::Delete).unwrap();
        assert!(fixture.log.trimmed_segments().is_empty());
        assert!(!fixture.storage.paths().contains(&path(1)));
    }
}

#[test]
fn blocks_that_cannot_be_read_for_a_moment_are_not_written() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    // One unit, over three blocks.
    fixture.append(12, 900);
    fail_block(&fixture.storage, 1, 1);
    drop(Fixture::open(&fixture.storage));
    fixture.storage.clear_faults();
    assert_eq!(Fixture::open(&fixture.storage).positions(), up_to(12));
}

#[test]
fn rot_before_a_torn_unit_that_is_taken_away_whole_stays_rot() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.append(1, 20);
    for _ in 0..2 {
        let first = fixture.append(2, 20);
        fixture.storage.flip_bit(&path(1), u64::from(first.offset()) + 20, 0);
    }
    let options = OpenOptions { drops_torn_units: true, ..options(&fixture.clock) };
    let opened = FileLog::open(Arc::new(fixture.storage.clone()), folder(), &options).unwrap();
    let damage = opened.survey.log.damage();
    assert!(matches!(&damage[..], [Damage { cause: Cause::BadChecksum, .. }]), "{damage:?}");
    assert!(opened.writer.needs_roll());
    assert_eq!(opened.survey.next_position, Position(4), "the torn unit comes once more");
}

#[test]
fn a_disk_that_is_full_while_a_torn_unit_is_cleared_does_not_stop_the_start() {
    let mut fixture = filled(3);
    let unit = fixture.append(3, 100);
    let end = fixture.writer.end();
    // Of the unit its middle is left: what stood before is filled, what stood behind is zeroed.
    for at in [unit.offset() + 20, end.offset() - 1] {
        fixture.storage.flip_bit(&path(1), at.into(), 0);
    }
    for n_written in 1..3 {
        let spoiled = fixture.storage.copy();
        let seen = AtomicU64::new(0);
        spoiled.fail(move |call, failing, _, _| {
            let is_it = call == Call::Write && failing == path(1);
            let is_full = is_it && seen.fetch_add(1, Ordering::SeqCst) >= n_written;
            if is_full { Verdict::Errno(28) } else { Verdict::Ok }
        });
        let reopened = Fixture::open(&spoiled);
        assert!(reopened.writer.needs_roll());
        assert_eq!(reopened.positions(), [1, 2, 3, 5]);
        spoiled.clear_faults();
        let mended = Fixture::open(&spoiled);
        assert!(!mended.writer.needs_roll() && mended.damage().is_empty());
        assert_eq!((mended.positions(), mended.next), (vec![1, 2, 3, 5], Position(6)));
    }
}

#[test]
fn a_full_disk_does_not_stop_the_start() {
    let fixture = filled(5);
    let end = fixture.writer.end();
    fixture.storage.flip_bit(&path(1), u64::from(end.offset()) - 5, 0);
    let before = fixture.storage.bytes(&path(1));
    fixture.storage.set_free(Some(0));
    let mut reopened = Fixture::open(&fixture.storage);
    assert_eq!(reopened.positions(), up_to(4));
    // What could not be copied is not cleared.
    assert!(reopened.writer.needs_roll());
    assert_eq!(fixture.storage.bytes(&path(1)), before);
    assert!(matches!(reopened.try_append(1, 10), Err(AppendError::Full(_))));
    fixture.storage.set_free(None);
    reopened.append(1, 10);
    assert_eq!(reopened.positions(), up_to(5));
    assert_eq!(Fixture::open(&fixture.storage).damage(), Vec::<String>::new());
}
