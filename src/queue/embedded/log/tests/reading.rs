use super::*;

/// Five segments of events.
fn filled() -> Fixture {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    for _ in 0..70 {
        fixture.append(1, 900);
    }
    assert!(fixture.log.segments().len() >= 5);
    fixture
}

#[test]
fn readers_see_every_event_over_all_segments() {
    let mut fixture = filled();
    assert_eq!(fixture.positions(), up_to(70));
    let mut reader = fixture.reader();
    while reader.next(fixture.log.head().next).unwrap().is_some() {}
    assert!(reader.next(fixture.log.head().next).unwrap().is_none());
    fixture.append(1, 10);
    let end = fixture.log.head().next;
    assert_eq!(reader.next(end).unwrap().unwrap().position(), Some(Position(71)));
    assert_eq!(reader.at(), end);
    assert_eq!(fixture.damage(), Vec::<String>::new());
}

/// The positions of all events where only the beginnings of long ones are read, and how much that was.
fn positions_by_heads(fixture: &Fixture) -> (Vec<u64>, u64) {
    let mut reader = fixture.reader();
    reader.skip_rest_of_records(0);
    let (mut positions, mut read_bytes) = (Vec::new(), 0);
    while let Some(found) = reader.next(fixture.log.head().next).unwrap() {
        read_bytes += found.read_bytes();
        positions.extend(found.position().map(|position| position.0));
    }
    (positions, read_bytes)
}

#[test]
fn reader_of_heads_comes_to_every_event_and_leaves_the_rest_of_long_ones_out() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    for n_bytes in [100_000, 50, 9_000, 40_000, 8_192, 20, 60_000] {
        fixture.append(1, n_bytes);
    }
    let (positions, read_bytes) = positions_by_heads(&fixture);
    assert_eq!(positions, up_to(7));
    assert!(read_bytes < 60_000, "{read_bytes}");
}

#[test]
fn reader_of_heads_that_is_led_astray_reads_what_is_whole() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    let first = fixture.append(4, 9_500);
    fixture.roll();
    let end = fixture.log.head().next;
    let mut reader = fixture.reader();
    let mut begins = Vec::new();
    while let Some(found) = reader.next(end).unwrap() {
        begins.extend(found.position().map(|_| found.lsn));
    }
    assert_eq!((begins.len(), begins[0].segment()), (4, first.segment()));
    for (index, begin) in begins.iter().enumerate() {
        for (byte, bit) in (0..4).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            let spoiled = fixture.storage.copy();
            spoiled.flip_bit(&path(first.segment()), u64::from(begin.offset()) + byte, bit);
            let (found, _) = positions_by_heads(&Fixture::open(&spoiled));
            let others = up_to(4).into_iter().filter(|position| *position != index as u64 + 1);
            for other in others {
                assert!(found.contains(&other), "{other} not in {found:?}: byte {byte}, bit {bit}");
            }
        }
    }
}

#[test]
fn reopened_logs_hold_the_same_and_go_on() {
    let fixture = filled();
    let (end, storage) = (fixture.writer.end(), fixture.storage.clone());
    drop(fixture);
    let mut fixture = Fixture::open(&storage);
    assert_eq!(fixture.writer.end(), end);
    assert_eq!(fixture.log.head().next, end);
    assert_eq!(fixture.next, Position(71));
    assert!(!fixture.writer.needs_roll());
    fixture.append(2, 100);
    assert_eq!(fixture.positions(), up_to(72));
    assert_eq!(fixture.damage(), Vec::<String>::new());
}

#[test]
fn events_are_found_by_position() {
    let fixture = filled();
    let reopened = Fixture::open(&fixture.storage);
    for log in [&fixture.log, &reopened.log] {
        let mut finder = Finder::default();
        // On, by leaps, back, and one by one.
        for position in [1, 2, 3, 40, 41, 70, 5, 69, 6, 7, 8, 9, 10, 11, 12, 60, 1] {
            let (event, _, lsn) = finder.event_at(log, Position(position)).unwrap().unwrap();
            assert_eq!(event.position, Position(position));
            assert!(log.locate(Position(position)).unwrap() <= lsn);
        }
        assert!(finder.event_at(log, Position(71)).unwrap().is_none());
        assert!(matches!(finder.event_at(log, Position(0)), Err(ReadError::Trimmed)));
        assert_eq!(log.locate(Position(500)).unwrap(), log.head().next);
    }
}

#[test]
fn tables_lead_near_an_event_whether_they_are_read_or_made() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let storage = MemoryStorage::new();
    let large = OpenOptions { segment_bytes: 1 << 20, ..options(&clock) };
    let opened = FileLog::open(Arc::new(storage.clone()), folder(), &large).unwrap();
    let log = Arc::clone(&opened.survey.log);
    let allocator = SegmentAllocator::new(Arc::clone(&log));
    let (writer, next) = (opened.writer, Position(1));
    let mut fixture = Fixture { storage, clock, log, writer, allocator, next };
    for _ in 0..100 {
        fixture.append(1, 20_000);
    }
    assert_eq!(fixture.log.segments().len(), 2);
    let near = |log: &Arc<FileLog>, how: &str| {
        for position in 1..=100 {
            let (_, _, lsn) = Finder::default().event_at(log, Position(position)).unwrap().unwrap();
            let begin = log.locate(Position(position)).unwrap();
            assert_eq!(begin.segment(), lsn.segment(), "{how} {position}");
            let distance = lsn.offset() - begin.offset();
            assert!(distance <= offsets::TABLE_STEP_BYTES + 21_000, "{how} {position} {distance}");
        }
    };
    near(&fixture.log, "noted by the writer");
    let survey = FileLog::survey(Arc::new(fixture.storage.clone()), folder(), &large).unwrap();
    near(&survey.log, "out of the next head");
    // Without that head the segment itself is scanned.
    fixture.storage.flip_bit(&path(2), 30, 1);
    let survey = FileLog::survey(Arc::new(fixture.storage.clone()), folder(), &large).unwrap();
    near(&survey.log, "scanned");
}

#[test]
fn opening_reads_the_newest_segment_and_the_oldest_head_only() {
    let fixture = filled();
    fixture.storage.record_calls();
    let reopened = Fixture::open(&fixture.storage);
    let opened: Vec<PathBuf> = fixture
        .storage
        .take_calls()
        .into_iter()
        .filter(|(call, path)| *call == Call::Open && path.extension().is_some())
        .map(|(_, path)| path)
        .collect();
    let newest = reopened.writer.end().segment();
    let expected = [path(newest), path(1), path(newest)];
    assert_eq!(opened, expected);
    // What a snapshot says needs no reading at all.
    let known = fixture.log.segments();
    let options = OpenOptions { known: known.clone(), ..options(&fixture.clock) };
    fixture.storage.record_calls();
    let survey = FileLog::survey(Arc::new(fixture.storage.clone()), folder(), &options).unwrap();
    for segment in known {
        let first = survey.log.first_position_of(segment.id.number).unwrap();
        assert_eq!(first, segment.first);
    }
    let n_opened =
        fixture.storage.take_calls().iter().filter(|(call, _)| *call == Call::Open).count();
    assert_eq!(n_opened, 1);
}

#[test]
fn surveys_change_nothing() {
    let mut fixture = filled();
    let spare = allocate(&mut fixture.allocator, fixture.writer.next_number()).unwrap();
    drop(spare);
    let newest = fixture.writer.end();
    fixture.storage.flip_bit(&path(newest.segment()), u64::from(newest.offset()) - 5, 0);
    let before = contents_of(&fixture.storage);
    let options = options(&fixture.clock);
    let survey = FileLog::survey(Arc::new(fixture.storage.clone()), folder(), &options).unwrap();
    assert!(survey.torn_bytes > 0);
    assert_eq!(survey.next_position, Position(70));
    assert_eq!(contents_of(&fixture.storage), before);
}

#[test]
fn what_the_newest_segment_says_is_told() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.append(2, 10);
    let kept = KeptEnd { number: 3, offset: 40 };
    fixture.append_record(|unit| unit.push_opened(7, Timestamp::from_millis(9)));
    fixture.append_record(|unit| unit.push_trim(1, Position(1), kept));
    fixture.append_record(UnitBuilder::push_closed);
    let options = options(&fixture.clock);
    let survey = FileLog::survey(Arc::new(fixture.storage.clone()), folder(), &options).unwrap();
    assert_eq!(survey.head.unwrap().next, Position(1));
    assert_eq!(survey.next_position, Position(3));
    assert_eq!(survey.newest_id, Some(event_id(Position(2))));
    assert_eq!((survey.opening, survey.kept, survey.is_closed), (7, kept, true));
    assert_eq!(survey.end, Some(fixture.writer.end()));
    assert_eq!((survey.torn_bytes, survey.next_number), (0, 2));
}

#[test]
fn trimmed_segments_are_told_as_such() {
    let mut fixture = filled();
    let mut reader = fixture.reader();
    let end = fixture.log.head().next;
    reader.next(end).unwrap();
    let third = fixture.log.segments()[2];
    fixture.append_record(|unit| {
        unit.push_trim(third.id.number, third.first.unwrap(), KeptEnd::default())
    });
    fixture.log.trim(third.id.number).unwrap();
    assert_eq!(fixture.log.head().first_position, third.first.unwrap());
    assert_eq!(fixture.log.trimmed_segments(), [id(1), id(2)]);
    fixture.log.remove(1, Removal::Delete).unwrap();
    fixture.log.remove(2, Removal::Delete).unwrap();
    fixture.log.remove(2, Removal::Delete).unwrap();
    assert!(fixture.log.trimmed_segments().is_empty());
    // What a reader has in memory is given; then it learns that the rest is gone.
    let trimmed = loop {
        match reader.next(end) {
            Ok(found) => assert_eq!(found.unwrap().lsn.segment(), 1),
            Err(err) => break err,
        }
    };
    assert!(matches!(trimmed, ReadError::Trimmed));
    let mut finder = Finder::default();
    let before = Position(third.first.unwrap().0 - 1);
    assert!(matches!(finder.event_at(&fixture.log, before), Err(ReadError::Trimmed)));
    assert!(matches!(fixture.log.locate(before), Err(ReadError::Trimmed)));
    assert!(finder.event_at(&fixture.log, third.first.unwrap()).unwrap().is_some());
    let first = third.first.unwrap().0;
    assert_eq!(fixture.positions(), (first..=70).collect::<Vec<_>>());
    // After a restart as well, and nothing is damaged.
    let reopened = Fixture::open(&fixture.storage);
    assert_eq!(reopened.log.head().first, Lsn::start_of(3));
    assert_eq!(reopened.positions(), (first..=70).collect::<Vec<_>>());
    assert_eq!(reopened.damage(), Vec::<String>::new());
}

#[test]
fn files_that_a_trim_left_behind_wait_to_be_removed() {
    let mut fixture = filled();
    let first = fixture.log.first_position_of(3).unwrap().unwrap();
    fixture.append_record(|unit| unit.push_trim(3, first, KeptEnd::default()));
    let reopened = Fixture::open(&fixture.storage);
    assert_eq!(reopened.log.trimmed_segments(), [id(1), id(2)]);
    assert_eq!(reopened.log.segments()[0].id, id(3));
    reopened.log.remove(1, Removal::Aside).unwrap();
    reopened.log.remove(2, Removal::Delete).unwrap();
    let aside = folder().join("aside").join(id(1).file_name());
    assert!(fixture.storage.bytes(&aside).is_some());
    assert_eq!(reopened.log.aside_bytes(), u64::from(SEGMENT));
    assert!(!fixture.storage.paths().contains(&path(2)));
}

#[test]
fn segments_that_count_are_not_removed() {
    let fixture = filled();
    let remove = std::panic::AssertUnwindSafe(|| fixture.log.remove(2, Removal::Delete));
    let removed = std::panic::catch_unwind(remove);
    assert!(removed.is_err(), "an invariant stops it");
    assert!(fixture.storage.paths().contains(&path(2)));
}
