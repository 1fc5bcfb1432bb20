use super::*;
use crate::queue::embedded::record::{Validity, examine, make_newer};

/// Where each record of segment 1 begins and ends, and whether the last unit holds it.
struct Extent {
    begin: u32,
    end: u32,
    position: Option<u64>,
    is_last_unit: bool,
}

/// Three units of two events each.
fn three_units() -> (MemoryStorage, Vec<Extent>) {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.append(2, 20);
    fixture.append(2, 30);
    let last = fixture.append(2, 40);
    let (mut reader, mut extents) = (fixture.reader(), Vec::new());
    while let Some(found) = reader.next(fixture.log.head().next).unwrap() {
        extents.push(Extent {
            begin: found.lsn.offset(),
            end: found.end.offset(),
            position: found.position().map(|position| position.0),
            is_last_unit: found.lsn >= last,
        });
    }
    (fixture.storage, extents)
}

#[test]
fn every_flipped_byte_is_torn_in_the_last_unit_and_rot_before_it() {
    let (storage, extents) = three_units();
    for extent in &extents {
        for at in extent.begin..extent.end {
            let spoiled = storage.copy();
            spoiled.flip_bit(&path(1), at.into(), 3);
            let before = spoiled.bytes(&path(1)).unwrap();
            let mut fixture = Fixture::open(&spoiled);
            let mut left = up_to(6);
            left.retain(|position| Some(*position) != extent.position);
            assert_eq!(fixture.positions(), left, "byte {at}");
            if extent.is_last_unit {
                assert_eq!(fixture.damage(), Vec::<String>::new(), "byte {at}");
                assert!(!fixture.writer.needs_roll());
                let aside = spoiled.paths().into_iter().find(|path| path.starts_with("/q/aside"));
                let copied = spoiled.bytes(&aside.unwrap()).unwrap();
                let from = extent.begin as usize;
                assert_eq!(copied, before[from..from + copied.len()], "byte {at}");
            } else {
                assert_eq!(fixture.damage().len(), 1, "byte {at}");
                assert!(fixture.damage()[0].contains("wrong checksum"));
                assert!(fixture.writer.needs_roll());
                assert_eq!(spoiled.bytes(&path(1)).unwrap(), before, "rot stays as it is");
            }
            // It goes on, and stays so over the next start.
            fixture.append(1, 10);
            let mut with_new = left.clone();
            with_new.push(fixture.next.0 - 1);
            assert_eq!(fixture.positions(), with_new, "byte {at}");
            assert_eq!(Fixture::open(&spoiled).positions(), with_new, "byte {at}");
        }
    }
}

#[test]
fn positions_that_a_filler_names_are_not_given_again() {
    let (storage, extents) = three_units();
    let [.., torn, whole] = extents.as_slice() else { panic!("two records at least") };
    // First the one, which is filled, then the other, which is the log's end and is cut off.
    for extent in [torn, whole] {
        storage.flip_bit(&path(1), u64::from(extent.begin) + 20, 0);
        drop(Fixture::open(&storage));
    }
    let fixture = Fixture::open(&storage);
    assert_eq!(fixture.positions(), up_to(4));
    assert_eq!(fixture.next, Position(6), "5 is passed over by whoever reads on");
}

#[test]
fn filler_names_no_event_that_is_whole() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.append(2, 20);
    // The first record is torn, and none of the events behind it.
    let torn = fixture.append_record(|unit| {
        let opened = unit.push_opened(7, Timestamp::from_millis(9));
        for position in (3..=5).map(Position) {
            unit.push_event(&new_event(&body(position, 20)), event_id(position), position);
        }
        opened
    });
    fixture.storage.flip_bit(&path(1), u64::from(torn.offset()) + 15, 0);
    let fixture = Fixture::open(&fixture.storage);
    assert_eq!(fixture.positions(), up_to(5));
    let mut reader = fixture.reader();
    while let Some(found) = reader.next(fixture.log.head().next).unwrap() {
        assert_eq!(found.torn_positions(), None, "whoever reads on passes these over");
    }
}

#[test]
fn rot_in_a_sealed_segment_is_named_when_it_is_read() {
    let (storage, extents) = three_units();
    Fixture::open(&storage).roll();
    for extent in extents.iter().filter(|extent| extent.position.is_some()) {
        let spoiled = storage.copy();
        spoiled.flip_bit(&path(1), u64::from(extent.begin) + 20, 0);
        let fixture = Fixture::open(&spoiled);
        assert_eq!(fixture.damage(), Vec::<String>::new());
        let mut left = up_to(6);
        left.retain(|position| Some(*position) != extent.position);
        assert_eq!(fixture.positions(), left);
        let bytes = extent.end - extent.begin;
        let file = id(1).file_name();
        let named = format!(
            "`log/{file}`: {bytes} bytes from byte {} on cannot be read (wrong checksum)",
            extent.begin
        );
        assert_eq!(fixture.damage(), [named]);
        // A lost event is none, one that is there is found.
        let mut finder = Finder::default();
        let lost = Position(extent.position.unwrap());
        assert!(finder.event_at(&fixture.log, lost).unwrap().is_none());
        assert_eq!(finder.event_at(&fixture.log, lost.next()).unwrap().is_some(), lost.0 < 6);
        fixture.log.forget_damage(1);
        assert_eq!(fixture.damage(), Vec::<String>::new());
    }
}

#[test]
fn a_zeroed_end_of_a_sealed_segment_is_damage() {
    let (storage, extents) = three_units();
    Fixture::open(&storage).roll();
    let mut bytes = storage.bytes(&path(1)).unwrap();
    let from = extents.last().unwrap().begin as usize;
    bytes[from..].fill(0);
    storage.put_now(&path(1), bytes);
    let fixture = Fixture::open(&storage);
    assert_eq!(fixture.positions(), up_to(5));
    assert_eq!(fixture.log.damage()[0].offset as usize, from);
}

#[test]
fn what_stands_behind_a_sealed_end_is_none() {
    let (storage, extents) = three_units();
    Fixture::open(&storage).roll();
    let mut bytes = storage.bytes(&path(1)).unwrap();
    bytes[extents.last().unwrap().end as usize + 100] = 7;
    storage.put_now(&path(1), bytes);
    let fixture = Fixture::open(&storage);
    assert_eq!(fixture.positions(), up_to(6));
    assert_eq!(fixture.damage(), Vec::<String>::new());
}

#[test]
fn undecodable_records_are_skipped_and_named_wherever_they_stand() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    let mut at = Vec::new();
    fixture.roll();
    for _ in 0..3 {
        at.push(fixture.append_record(|unit| unit.push(Kind::Settle, |out| out.push(0xff))));
        fixture.append(1, 10);
    }
    at.push(fixture.append_record(|unit| unit.push(Kind::Event, |out| out.push(1))));
    assert_eq!(fixture.positions(), up_to(3));
    let mut reader = fixture.reader();
    while let Some(found) = reader.next(fixture.log.head().next).unwrap() {
        if found.decode().is_none() {
            fixture.log.note_undecodable(&found);
        }
    }
    let named: Vec<u32> = fixture.log.damage().iter().map(|damage| damage.offset).collect();
    assert_eq!(named, at.iter().map(|lsn| lsn.offset()).collect::<Vec<_>>());
    assert!(fixture.damage().iter().all(|damage| damage.contains("makes no sense")));
    let reopened = Fixture::open(&fixture.storage);
    assert_eq!(reopened.damage(), fixture.damage());
    assert_eq!(reopened.positions(), up_to(3));
}

#[test]
fn forged_records_in_a_body_count_with_the_right_salt_only() {
    for (salt, is_found) in [(salt(1), true), (salt(1) ^ 1, false), (0, false)] {
        let mut fixture = Fixture::open(&MemoryStorage::new());
        fixture.append(1, 10);
        let forged_id = SegmentId { number: 1, salt };
        let mut forged = UnitBuilder::new(forged_id, 0, Vec::new());
        forged.push_event(&new_event(&body(Position(99), 8)), event_id(Position(99)), Position(99));
        let event = new_event(forged.bytes());
        let lsn = fixture
            .append_record(|unit| unit.push_event(&event, event_id(Position(2)), Position(2)));
        fixture.next = Position(3);
        fixture.append(1, 10);
        fixture.storage.flip_bit(&path(1), u64::from(lsn.offset()) + 20, 0);
        let expected = if is_found { vec![1, 99, 3] } else { vec![1, 3] };
        assert_eq!(Fixture::open(&fixture.storage).positions(), expected);
    }
}

/// Makes the record at an offset of segment 1 one of a newer version.
fn make_newer_at(storage: &MemoryStorage, offset: u32) {
    let mut bytes = storage.bytes(&path(1)).unwrap();
    make_newer(&mut bytes[offset as usize..], id(1));
    assert!(matches!(examine(&bytes, offset as usize, id(1)), Validity::Unsupported(_)));
    storage.put_now(&path(1), bytes);
}

#[test]
fn records_of_a_newer_version_refuse_the_start_and_change_nothing() {
    let (storage, extents) = three_units();
    for extent in &extents {
        let newer = storage.copy();
        make_newer_at(&newer, extent.begin);
        let before = contents_of(&newer);
        let refused = Fixture::try_open(&newer).err().expect("to be refused");
        let OpenError::Unsupported { offset, version, .. } = &refused else { panic!("{refused}") };
        assert_eq!((*offset, *version), (extent.begin, 3));
        assert!(refused.to_string().contains("a newer gatepost wrote"));
        assert_eq!(contents_of(&newer), before);
    }
}

#[test]
fn records_of_a_newer_version_in_a_sealed_segment_are_named() {
    let (storage, extents) = three_units();
    Fixture::open(&storage).roll();
    make_newer_at(&storage, extents[2].begin);
    let fixture = Fixture::open(&storage);
    assert_eq!(fixture.positions(), [1, 3, 4, 5, 6]);
    assert!(
        fixture.damage()[0].contains("version 3 of a newer gatepost"),
        "{:?}",
        fixture.damage()
    );
}

#[test]
fn missing_files_are_named_and_the_rest_is_served() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    for _ in 0..70 {
        fixture.append(1, 900);
    }
    let (second, third) = (fixture.log.segments()[1], fixture.log.segments()[2]);
    fixture.storage.remove_now(&path(2));
    let before = contents_of(&fixture.storage);
    let reopened = Fixture::open(&fixture.storage);
    assert_eq!(reopened.damage(), ["log segment 2 is missing"]);
    let (lost_from, lost_to) = (second.first.unwrap().0, third.first.unwrap().0);
    let left: Vec<u64> = (1..lost_from).chain(lost_to..=70).collect();
    assert_eq!(reopened.positions(), left);
    let mut finder = Finder::default();
    assert!(finder.event_at(&reopened.log, Position(lost_from)).unwrap().is_none());
    assert!(finder.event_at(&reopened.log, Position(lost_to)).unwrap().is_some());
    assert_eq!(contents_of(&fixture.storage), before, "no file goes for it");
    // The oldest one, as far as the records tell that it counts.
    fixture.storage.remove_now(&path(1));
    let reopened = Fixture::open(&fixture.storage);
    assert_eq!(reopened.damage(), ["log segments 1 to 2 are missing"]);
    assert_eq!(reopened.positions(), (lost_to..=70).collect::<Vec<_>>());
}

#[test]
fn files_cut_at_each_block_open_and_serve_what_is_left() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    for _ in 0..30 {
        fixture.append(1, 900);
    }
    let n_segments = u32::try_from(fixture.log.segments().len()).unwrap();
    for number in 1..=n_segments {
        for len in (0..u64::from(SEGMENT)).step_by(512) {
            let cut = fixture.storage.copy();
            cut.cut(&path(number), len);
            let mut reopened = Fixture::open(&cut);
            let left = reopened.positions();
            assert!(left.is_sorted() && left.len() >= 30 - 17, "{number} {len} {left:?}");
            let is_sealed = number < n_segments;
            // Of the newest one nothing tells whether it had more; without a byte it never was.
            assert_eq!(is_sealed || len > 0, !reopened.damage().is_empty(), "{number} {len}");
            reopened.append(1, 10);
            let positions = reopened.positions();
            assert_eq!(positions.len(), left.len() + 1, "{number} {len}");
            // None is given twice, and no more are left out than a file of such events holds, where one
            // is left to go by.
            let newest = *positions.last().unwrap();
            let most = if len < 1_536 { u64::MAX } else { 60 };
            let is_given_again = !is_sealed && len == 0;
            assert!(
                is_given_again || (31..=most).contains(&newest),
                "{number} {len} {positions:?}"
            );
        }
    }
}

#[test]
fn segments_of_which_nothing_is_whole_are_put_aside() {
    let (storage, _) = three_units();
    storage.put_now(&path(2), vec![7; 5_000]);
    let fixture = Fixture::open(&storage);
    assert_eq!(fixture.positions(), up_to(6));
    assert_eq!(fixture.writer.next_number(), 3);
    let name = format!("torn-{}", id(2).file_name());
    assert_eq!(storage.bytes(&folder().join("aside").join(name)), Some(vec![7; 5_000]));
    // Of these the newest few stay.
    for number in 3..=9 {
        storage.put_now(&path(number), vec![7; 5_000]);
        Fixture::open(&storage);
    }
    let aside: Vec<PathBuf> =
        storage.paths().into_iter().filter(|path| path.starts_with("/q/aside")).collect();
    assert_eq!(aside.len(), 4);
    assert!(aside[3].ends_with(format!("torn-{}", id(9).file_name())));
}

#[test]
fn oldest_segment_that_is_missing_counts_as_damage_and_not_as_trimmed() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    for _ in 0..60 {
        fixture.append(1, 900);
    }
    let first = fixture.log.first_position_of(2).unwrap().unwrap();
    let second = fixture.log.first_position_of(3).unwrap().unwrap();
    fixture.append_record(|unit| unit.push_trim(2, first, KeptEnd::default()));
    for number in [1, 2] {
        fixture.storage.remove_now(&path(number));
    }
    let mut reopened = Fixture::open(&fixture.storage);
    let head = reopened.log.head();
    assert_eq!((head.first_position, head.trimmed_before), (second, first));
    assert_eq!(reopened.damage(), ["log segment 2 is missing"]);
    // Once what is behind it was let go too, it is forgotten.
    let third = reopened.log.first_position_of(4).unwrap().unwrap();
    reopened.append_record(|unit| unit.push_trim(4, third, KeptEnd::default()));
    reopened.log.trim(4).unwrap();
    assert_eq!(reopened.log.head().trimmed_before, third);
}

#[test]
fn earlier_segments_say_what_a_newest_one_without_a_head_does_not() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    let kept = KeptEnd { number: 3, offset: 40 };
    fixture.append(3, 900);
    fixture.append_record(|unit| unit.push_opened(7, Timestamp::from_millis(9)));
    fixture.append_record(|unit| unit.push_trim(1, Position(1), kept));
    fixture.roll();
    fixture.append_record(UnitBuilder::push_closed);
    fixture.storage.flip_bit(&path(2), 20, 4);
    let options = options(&fixture.clock);
    let survey = FileLog::survey(Arc::new(fixture.storage.clone()), folder(), &options).unwrap();
    assert!(survey.head.is_none());
    assert_eq!(survey.newest_id, Some(event_id(Position(3))));
    // The bytes of the head could have held one event, or two openings.
    assert_eq!((survey.next_position, survey.first), (Position(5), (1, Position(1))));
    assert_eq!((survey.opening, survey.kept), (9, kept));
}

#[test]
fn number_of_an_opening_that_cannot_be_read_is_not_given_again() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.append(3, 900);
    let opened = fixture.append_record(|unit| unit.push_opened(7, Timestamp::from_millis(9)));
    fixture.append(3, 900);
    fixture.storage.flip_bit(&path(1), u64::from(opened.offset()) + 15, 4);
    let options = options(&fixture.clock);
    let survey = FileLog::survey(Arc::new(fixture.storage.clone()), folder(), &options).unwrap();
    assert!(survey.opening > 0, "{}", survey.opening);
}

#[test]
fn nothing_is_appended_before_a_segment_of_which_nothing_can_be_read() {
    let mut fixture = Fixture::open(&MemoryStorage::new());
    fixture.append(3, 900);
    fixture.roll();
    fixture.append(3, 900);
    let spoiled = fixture.storage.copy();
    spoiled.fail(
        |call, failing, _, _| {
            if call == Call::Read && failing == path(2) { EIO } else { Verdict::Ok }
        },
    );
    let clock = Arc::clone(&fixture.clock);
    let opened = FileLog::open(Arc::new(spoiled.clone()), folder(), &options(&clock)).unwrap();
    assert_eq!(opened.survey.next_position, Position(4));
    assert!(opened.survey.doubtful_events >= 3, "none of their positions is given again");
    assert!(opened.writer.needs_roll());
    assert_eq!(opened.writer.next_number(), 3);
}
