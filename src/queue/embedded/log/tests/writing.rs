use super::*;

#[test]
fn appended_units_are_written_then_synced_and_seen_once_published() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.append(1, 10);
    let watch = fixture.log.watch();
    fixture.storage.record_calls();
    let mut unit = fixture.writer.begin();
    unit.push_event(&new_event(&body(Position(2), 10)), event_id(Position(2)), Position(2));
    let lsn = fixture.writer.append(&unit).unwrap();
    assert_eq!(fixture.storage.take_calls(), [(Call::Write, path(1)), (Call::Sync, path(1))]);
    assert_eq!(fixture.positions(), [1]);
    assert!(!watch.has_changed().unwrap());
    fixture.writer.publish(Position(3));
    assert!(watch.has_changed().unwrap());
    assert_eq!(fixture.positions(), [1, 2]);
    assert_eq!(lsn, Lsn::new(1, unit.start()));
    assert_eq!(fixture.writer.end(), unit.next_lsn());
}

#[test]
fn segments_are_zeroed_and_named_durably_before_they_are_used() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.storage.record_calls();
    let segment = allocate(&mut fixture.allocator, 1).unwrap();
    assert_eq!(segment.capacity, SEGMENT);
    let calls: Vec<Call> = fixture.storage.take_calls().iter().map(|(call, _)| *call).collect();
    assert_eq!(calls, [Call::Create, Call::Write, Call::Sync, Call::SyncFolder]);
    assert_eq!(fixture.storage.bytes(&path(1)), Some(vec![0; SEGMENT as usize]));
    fixture.allocator.discard(segment);
    assert!(!fixture.storage.paths().contains(&path(1)));
}

#[test]
fn units_larger_than_a_segment_get_a_larger_one() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.append(1, 10);
    let large = 3 * SEGMENT as usize;
    let mut unit = fixture.writer.begin();
    let event = new_event(&body(Position(2), large));
    unit.push_event(&event, event_id(Position(2)), Position(2));
    let room = fixture.writer.room();
    let refused = fixture.writer.append(&unit);
    assert!(matches!(refused, Err(AppendError::TooLarge { max }) if max == room));
    fixture.append(1, large);
    fixture.append(1, 10);
    assert_eq!(fixture.positions(), up_to(3));
    let reopened = Fixture::open(&fixture.storage);
    assert_eq!(reopened.positions(), up_to(3));
    assert!(reopened.log.bytes() > large as u64);
}

#[test]
fn heads_say_where_the_segment_before_ends() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.append(3, 10);
    let end = fixture.writer.end();
    fixture.roll();
    let found = LogReader::new(Arc::clone(&fixture.log), Lsn::start_of(2))
        .next(fixture.log.head().next)
        .unwrap()
        .unwrap();
    let Some(Record::Head(head)) = found.decode() else { panic!("no head") };
    let previous = head.previous.unwrap();
    assert_eq!((previous.number, previous.end), (1, end.offset()));
    assert_eq!(previous.table[0].0, Position(1));
    assert_eq!(fixture.log.began_at(2).unwrap(), Some(head.at));
}

#[test]
fn removed_files_serve_again_without_a_trace() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    for _ in 0..40 {
        fixture.append(1, 900);
    }
    fixture.log.trim(2).unwrap();
    fixture.log.remove(1, Removal::Spare).unwrap();
    let spare = folder().join("log/spare");
    assert!(fixture.storage.paths().contains(&spare));
    let bytes = fixture.log.bytes();
    // A second one is of no use.
    fixture.log.trim(3).unwrap();
    fixture.log.remove(2, Removal::Spare).unwrap();
    assert!(!fixture.storage.paths().contains(&path(2)));
    fixture.storage.record_calls();
    fixture.roll();
    let calls = fixture.storage.take_calls();
    assert!(calls.contains(&(Call::Rename, spare.clone())));
    assert!(!calls.iter().any(|(call, _)| *call == Call::Create));
    assert_eq!(fixture.log.bytes(), bytes - u64::from(SEGMENT));
    let live = fixture.writer.end();
    let bytes = fixture.storage.bytes(&path(live.segment())).unwrap();
    assert!(bytes[live.offset() as usize..].iter().all(|byte| *byte == 0));
    let first = fixture.log.head().first_position.0;
    assert_eq!(fixture.positions(), (first..=40).collect::<Vec<_>>());
}

#[test]
fn files_that_a_reader_holds_are_not_written_over() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    for _ in 0..20 {
        fixture.append(1, 900);
    }
    fixture.log.trim(2).unwrap();
    let segment = fixture.log.get(1).unwrap();
    let held = fixture.log.file_of(&segment).unwrap();
    fixture.log.remove(1, Removal::Spare).unwrap();
    assert!(!fixture.storage.paths().contains(&folder().join("log/spare")));
    let mut bytes = [0; 14];
    held.read_at(&mut bytes, 0).unwrap();
    assert_ne!(bytes, [0; 14]);
}

#[test]
fn spare_files_outlive_a_restart_and_are_dropped_on_request() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    for _ in 0..20 {
        fixture.append(1, 900);
    }
    let first = fixture.log.first_position_of(2).unwrap().unwrap();
    fixture.append_record(|unit| unit.push_trim(2, first, KeptEnd::default()));
    fixture.log.trim(2).unwrap();
    fixture.log.remove(1, Removal::Spare).unwrap();
    let reopened = Fixture::open(&fixture.storage);
    let spare = folder().join("log/spare");
    assert!(fixture.storage.paths().contains(&spare));
    let bytes = reopened.log.bytes();
    reopened.log.drop_spare().unwrap();
    assert!(!fixture.storage.paths().contains(&spare));
    assert_eq!(reopened.log.bytes(), bytes - u64::from(SEGMENT));
}

#[test]
fn segments_made_ahead_are_taken_away_at_the_next_start() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.append(1, 10);
    drop(allocate(&mut fixture.allocator, 2).unwrap());
    let reopened = Fixture::open(&fixture.storage);
    assert_eq!(reopened.writer.end().segment(), 1);
    assert!(!fixture.storage.paths().contains(&path(2)));
    // Its number may still be on the disk after a power cut.
    assert_eq!(reopened.writer.next_number(), 3);
    assert_eq!(reopened.damage(), Vec::<String>::new());
}

#[test]
fn skipped_numbers_are_no_damage() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.append(1, 10);
    fixture.writer.require_roll();
    assert!(fixture.writer.needs_roll());
    assert_eq!(fixture.writer.room(), 0);
    fixture.writer.skip_numbers(9);
    fixture.append(1, 10);
    assert_eq!(fixture.writer.end().segment(), 10);
    let reopened = Fixture::open(&fixture.storage);
    assert_eq!(reopened.positions(), up_to(2));
    assert_eq!(reopened.damage(), Vec::<String>::new());
}
