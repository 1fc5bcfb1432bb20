//! What cannot be read is named, the rest is served, and nothing is dropped for it.

use super::*;

/// Five segments with ten events each, and their last end.
fn five_segments() -> (MemoryStorage, KeptEnd) {
    let storage = storage();
    let mut end = KeptEnd::default();
    for n in 0..5 {
        end = keep(&open(&storage, end), n * 10 + 1..=n * 10 + 10);
    }
    assert_eq!(end.number, 5);
    (storage, end)
}

fn path(storage: &MemoryStorage, number: usize) -> PathBuf {
    storage.paths()[number - 1].clone()
}

#[test]
fn each_flipped_bit_before_the_end_is_named_or_harmless_and_the_rest_is_served() {
    for number in [2, 5] {
        let (storage, end) = five_segments();
        let whole = view(&open(&storage, end), 50);
        let bytes = storage.bytes(&path(&storage, number)).unwrap();
        for offset in (0..bytes.len() as u64).step_by(23) {
            storage.flip_bit(&path(&storage, number), offset, 3);
            let kept = open(&storage, end);
            let found = view(&kept, 50);
            assert_eq!(kept.damage().len(), 1, "byte {offset}: {:?}", kept.damage());
            let name = path(&storage, number).file_name().unwrap().to_str().unwrap().to_owned();
            assert!(kept.damage()[0].contains(&name), "{:?}", kept.damage());
            let n_events = whole.events.len() - found.events.len();
            let n_changes = whole.changes.len() - found.changes.len();
            // One event, or the ten changes of one record, or what the segment before has, which
            // is then looked for in its own bytes.
            assert!(matches!((n_events, n_changes), (1 | 0, 0) | (0, 10)), "byte {offset}");
            assert!(found.events.iter().all(|event| whole.events.contains(event)));
            storage.flip_bit(&path(&storage, number), offset, 3);
        }
        assert_eq!(view(&open(&storage, end), 50), whole);
    }
}

#[test]
fn events_of_a_missing_segment_are_known_to_be_missing() {
    for number in [1, 3, 5] {
        let (storage, end) = five_segments();
        storage.remove_now(&path(&storage, number));
        let kept = open(&storage, end);
        let found = view(&kept, 50);
        assert_eq!(found.events.len(), 40);
        assert_eq!(kept.damage(), [format!("kept segment {number} is missing")]);
        let first = Position(number as u64 * 10 - 9);
        assert_eq!(kept.holds(first), number != 5, "the newest one's events are told nowhere");
        assert!(kept.find(first).unwrap().is_none());
        let unsure = if number == 5 { vec![] } else { (first.0..first.0 + 10).collect() };
        assert_eq!(kept.unsure().iter().map(|at| at.0).collect::<Vec<_>>(), unsure);
        // Nothing is dropped for it, and it goes on.
        let end = keep(&kept, [60]);
        let again = open(&storage, end);
        assert_eq!(view(&again, 60).events.len(), 41);
    }
}

#[test]
fn cut_segment_keeps_what_is_before_the_cut() {
    let (storage, end) = five_segments();
    let length = storage.bytes(&path(&storage, 5)).unwrap().len() as u64;
    storage.cut(&path(&storage, 5), length / 2);
    let kept = open(&storage, end);
    let n_events = view(&kept, 50).events.len();
    assert!((42..50).contains(&n_events), "{n_events}");
    assert_eq!(kept.damage().len(), 1);
}

#[test]
fn damaged_oldest_segment_is_put_aside_once_it_was_read_twice() {
    let (storage, end) = five_segments();
    let before = view(&open(&storage, end), 50);
    let length = storage.bytes(&path(&storage, 1)).unwrap().len() as u64;
    // In the record of its changes.
    storage.flip_bit(&path(&storage, 1), length - 5, 0);
    let kept = open(&storage, end);
    let stands = |positions: &[Position]| {
        assert_eq!(positions.len(), 10);
        let alive = [4, 7].map(|at| (100, change(at, NewState::Open)));
        vec![told(1, alive.to_vec())]
    };
    let compact = |millis| {
        kept.compact((1, Timestamp::from_millis(millis)), ALL_READ, &|_, _| true, &stands).unwrap()
    };
    for millis in [0, 1_000, 9_999] {
        assert_eq!((compact(millis), kept.damage().len()), (None, 1));
    }
    assert_eq!(view(&kept, 50).events, before.events);
    let end = compact(10_000).unwrap();
    kept.record(end);
    kept.remove_compacted().unwrap();
    let aside = storage.paths().into_iter().filter(|path| path.starts_with("/queue/aside"));
    assert_eq!(aside.count(), 1);
    for kept in [kept, open(&storage, end)] {
        assert_eq!(kept.damage(), Vec::<String>::new());
        let events: Vec<u64> = [4, 7].into_iter().chain(11..=50).collect();
        let found = view(&kept, 50);
        assert_eq!((found.events, found.changes.len()), (events, 42));
    }
}

#[test]
fn newer_versions_records_refuse_to_open() {
    let (storage, end) = five_segments();
    // A record of kind 77: whole under its CRC.
    let id = SegmentId::of_file(&path(&storage, 5)).unwrap();
    let mut bytes = storage.bytes(&path(&storage, 5)).unwrap();
    let start = u32::try_from(bytes.len()).unwrap();
    let mut prefix = id.salt.to_le_bytes().to_vec();
    prefix.extend(id.number.to_le_bytes());
    prefix.extend(start.to_le_bytes());
    prefix.extend([77, 2]);
    let crc = crc32c::crc32c(&prefix);
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(crc.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([77, 2]);
    let end = KeptEnd { offset: u32::try_from(bytes.len()).unwrap(), ..end };
    storage.put_now(&path(&storage, 5), bytes);
    let end = (end, EndTrust::Sure);
    let refused = KeptLog::open(Arc::new(storage.clone()), folder(), end, OPTIONS).unwrap_err();
    assert_eq!(refused.to_string(), "a newer version wrote the kept log");
}

#[test]
fn block_that_the_disk_does_not_give_is_named() {
    let (storage, end) = five_segments();
    let failing = path(&storage, 3);
    storage.fail(move |call, path, offset, len| {
        let meets = offset < 1_000 && offset + len as u64 > 600;
        if call == Call::Read && path == failing && meets { Verdict::Errno(5) } else { Verdict::Ok }
    });
    let kept = open(&storage, end);
    assert!((1..=50).any(|at| kept.find(Position(at)).is_err()));
    assert!(kept.find(Position(1)).unwrap().is_some());
    // The segment is smaller than a block of the disk.
    assert_eq!(kept.changes().unwrap().len(), 40);
    assert_eq!(kept.damage().len(), 1);
    storage.clear_faults();
    assert_eq!(kept.changes().unwrap().len(), 50);
    assert_eq!(view(&kept, 50).events.len(), 50);
}

#[test]
fn whole_files_behind_an_end_in_doubt_count_and_stay() {
    let (storage, newest) = five_segments();
    let third = KeptEnd { number: 3, ..newest };
    let bytes = storage.bytes(&path(&storage, 3)).unwrap();
    let recorded = KeptEnd { offset: u32::try_from(bytes.len()).unwrap(), ..third };
    let before = storage.paths();
    let kept = open_in_doubt(&storage, recorded);
    assert_eq!((kept.end(), storage.paths()), (newest, before));
    assert_eq!(view(&kept, 50).events.len(), 50);
    assert_eq!(kept.damage(), Vec::<String>::new());
    // What comes next is recorded behind all of it.
    let end = keep(&kept, [60]);
    let again = open(&storage, end);
    assert_eq!((view(&again, 60).events.len(), again.damage().len()), (51, 0));
    // Without doubt it is the left-over of a copy.
    let (storage, _) = five_segments();
    assert_eq!(view(&open(&storage, recorded), 50).events.len(), 30);
    assert_eq!(storage.paths().len(), 3);
}

#[test]
fn torn_end_that_is_in_doubt_is_no_damage() {
    let (storage, _) = five_segments();
    let length = storage.bytes(&path(&storage, 5)).unwrap().len() as u64;
    storage.cut(&path(&storage, 5), length / 2);
    let fourth = storage.bytes(&path(&storage, 4)).unwrap().len();
    let recorded = KeptEnd { number: 4, offset: u32::try_from(fourth).unwrap() };
    let kept = open_in_doubt(&storage, recorded);
    let n_events = view(&kept, 50).events.len();
    assert!((41..50).contains(&n_events), "{n_events}");
    assert_eq!(kept.damage(), Vec::<String>::new());
}

#[test]
fn compaction_in_doubt_counts_where_its_segment_is_gone() {
    let (storage, end) = five_segments();
    let kept = open(&storage, end);
    let compacted = kept
        .compact((7, Timestamp::default()), ALL_READ, &|_, position| position.0 > 4, &no_states)
        .unwrap()
        .unwrap();
    assert!(compacted.number > end.number);
    // It was not recorded: what it would remove counts, and its copy too.
    let both = open_in_doubt(&storage, end);
    assert_eq!(view(&both, 50).events.len(), 50);
    assert_eq!(both.damage(), Vec::<String>::new());
    // It was, and the record of it is lost.
    kept.record(compacted);
    kept.remove_compacted().unwrap();
    let gone = open_in_doubt(&storage, end);
    assert_eq!(view(&gone, 50).events.len(), 46);
    assert_eq!(gone.damage(), Vec::<String>::new());
    // And it goes on compacting.
    let next = gone
        .compact((8, Timestamp::default()), ALL_READ, &|_, _| true, &no_states)
        .unwrap()
        .unwrap();
    gone.record(next);
    gone.remove_compacted().unwrap();
    let again = open(&storage, next);
    assert_eq!((view(&again, 50).events.len(), again.damage().len()), (46, 0));
}

#[test]
fn end_whose_file_is_missing_is_in_doubt() {
    let (storage, newest) = five_segments();
    storage.remove_now(&path(&storage, 4));
    let recorded = KeptEnd { number: 4, offset: 40 };
    let kept = open(&storage, recorded);
    assert_eq!(kept.end(), newest);
    assert_eq!(view(&kept, 50).events.len(), 40);
    assert_eq!(kept.damage(), ["kept segment 4 is missing"]);
}
