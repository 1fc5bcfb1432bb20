use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::event::{
    Attempt, DataRoot, DedupeKey, ErrorText, EventId, EventType, Excerpt, Headers, NewEvent,
    OrderKey, Output, Progress, SourceName, Stream,
};
use crate::queue::codec::Take;

mod generate;

use generate::*;

const SEGMENT: SegmentId = SegmentId { number: 3, salt: 0x0123_4567_89ab_cdef };

fn unit_of(push: impl FnOnce(&mut UnitBuilder) -> Lsn) -> Vec<u8> {
    let mut unit = UnitBuilder::new(SEGMENT, 0, Vec::new());
    push(&mut unit);
    unit.into_bytes()
}

/// The one record of a unit, by way of its bytes.
fn read_back(push: impl FnOnce(&mut UnitBuilder) -> Lsn) -> Record {
    let bytes = Bytes::from(unit_of(push));
    let Validity::Whole(header, kind) = examine(&bytes, 0, SEGMENT) else { panic!("not whole") };
    assert_eq!(header.record_bytes(), bytes.len());
    Record::decode(kind, &bytes.slice(HEADER_BYTES..)).expect("to be read back")
}

fn assert_same_event(event: &Event, new: &NewEvent) {
    assert_eq!(event.source, new.source);
    assert_eq!(event.event_type, new.event_type);
    assert_eq!(event.received_at, new.received_at);
    assert_eq!(event.data_root, new.data_root);
    assert_eq!(event.is_json, new.is_json);
    assert_eq!(event.headers.encoded(), new.headers.encoded());
    assert_eq!(event.body, new.body);
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_none(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        for kind in Kind::ALL {
            // `None` or something: no panic, and no more items than there are bytes.
            match Record::decode(kind, &bytes) {
                Some(Record::Event(event, _)) => {
                    prop_assert!(event.headers.iter().count() <= bytes.len());
                }
                Some(Record::Settle(record)) => {
                    prop_assert!(record.sections.len() <= bytes.len());
                }
                _ => {}
            }
        }
    }

    #[test]
    fn counts_beyond_the_bytes_are_no_record(count in 1_000_u64..) {
        let mut bytes = Vec::new();
        crate::queue::codec::Put::put_varint(&mut bytes, 0);
        crate::queue::codec::Put::put_varint(&mut bytes, count);
        prop_assert!(Record::decode(Kind::Settle, &bytes.into()).is_none());
    }

    #[test]
    fn spoiled_payloads_do_not_panic(
        record in settle_record(), head in segment_head(), kept in kept_changes(),
        footer in kept_footer(), at: usize, bit in 0..8_u8,
    ) {
        for (kind, record) in [
            (Kind::Settle, unit_of(|unit| unit.push_settle(&record))),
            (Kind::Head, unit_of(|unit| unit.push_head(&head))),
            (Kind::KeptChanges, unit_of(|unit| unit.push_kept_changes(&kept))),
            (Kind::KeptFooter, unit_of(|unit| unit.push_kept_footer(&footer))),
        ] {
            let mut bytes = record[HEADER_BYTES..].to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            drop(Record::decode(kind, &bytes.clone().into()));
            bytes[at] ^= 1 << bit;
            bytes.truncate(at);
            // Only a list that ends where the bytes do can be a shorter one.
            let is_list = kind == Kind::KeptChanges;
            prop_assert!(is_list || Record::decode(kind, &bytes.into()).is_none());
        }
    }

    #[test]
    fn events_come_back(new in new_event(), id: u128, position: u64) {
        let (id, position) = (EventId(Uuid::from_u128(id)), Position(position));
        let bytes = unit_of(|unit| unit.push_event(&new, id, position));
        prop_assert!(bytes.len() <= HEADER_BYTES + event_bytes(&new));
        prop_assert_eq!(position_of(&bytes[HEADER_BYTES..]), Some(position));
        prop_assert_eq!(id_of(&bytes[HEADER_BYTES..]), Some(id));
        let Record::Event(event, dedupe) = read_back(|unit| unit.push_event(&new, id, position))
        else { panic!("another kind") };
        prop_assert_eq!((event.id, event.position), (id, position));
        prop_assert_eq!(&dedupe, &new.dedupe);
        assert_same_event(&event, &new);
    }

    #[test]
    fn outcomes_come_back_without_what_was_said_where_they_ended_at_once(
        mut record in settle_record(),
    ) {
        let changes = |record: &mut SettleRecord, edit: fn(&mut DeliveryRecord)| {
            record.sections.iter_mut().flat_map(|section| &mut section.changes).for_each(edit);
        };
        changes(&mut record, |change| change.attempts %= 3);
        let mut payload = Vec::new();
        record.encode(&mut payload);
        changes(&mut record, |change| {
            let is_first_try = change.attempts <= 1;
            let is_done = matches!(change.to, NewState::Delivered | NewState::Skipped);
            if let Some(attempt) = change.attempt.as_mut().filter(|_| is_first_try && is_done) {
                attempt.output = Output::default();
            }
        });
        prop_assert_eq!(SettleRecord::decode_without_said(&payload), Some(record));
    }

    #[test]
    fn outcomes_come_back(record in settle_record()) {
        let Record::Settle(read) = read_back(|unit| unit.push_settle(&record)) else {
            panic!("another kind")
        };
        prop_assert_eq!(read, record);
    }

    #[test]
    fn heads_come_back(head in segment_head()) {
        let Record::Head(read) = read_back(|unit| unit.push_head(&head)) else {
            panic!("another kind")
        };
        prop_assert_eq!(read, head);
    }

    #[test]
    fn kept_records_come_back(changes in kept_changes(), footer in kept_footer()) {
        let Record::KeptChanges(read) = read_back(|unit| unit.push_kept_changes(&changes)) else {
            panic!("another kind")
        };
        prop_assert_eq!(read, changes);
        let Record::KeptFooter(read) = read_back(|unit| unit.push_kept_footer(&footer)) else {
            panic!("another kind")
        };
        prop_assert_eq!(read, footer);
    }

    #[test]
    fn small_records_come_back(name in name(), a: u64, b: u64, first: u32, kept in kept_end(), at in time()) {
        let read = read_back(|unit| unit.push_subscribed(&name, Position(a), b));
        assert!(matches!(read, Record::Subscribed { handler, since, epoch }
            if handler == name && since == Position(a) && epoch == b));
        let read = read_back(|unit| unit.push_forgotten(&name, Lsn(a)));
        assert!(matches!(read, Record::Forgotten { handler, subscribed }
            if handler == name && subscribed == Lsn(a)));
        let read = read_back(|unit| unit.push_trim(first, Position(a), kept));
        assert!(matches!(read, Record::Trim { first: f, first_position: p, kept: k }
            if (f, p, k) == (first, Position(a), kept)));
        let read = read_back(|unit| unit.push_opened(a, at));
        assert!(matches!(read, Record::Opened { opening, at: t } if opening == a && t == at));
        assert!(matches!(read_back(UnitBuilder::push_closed), Record::Closed));
    }

    #[test]
    fn records_fit_their_own_segment_only(payload: Vec<u8>, number: u32, salt: u64, start: u32) {
        let id = SegmentId { number, salt };
        let mut unit = UnitBuilder::new(id, start, Vec::new());
        unit.push(Kind::Event, |out| out.extend_from_slice(&payload));
        let bytes = unit.bytes();
        let Validity::Whole(header, Kind::Event) = examine(bytes, 0, id) else {
            panic!("not whole")
        };
        prop_assert_eq!(header.batch_start, start);
        for other in [
            SegmentId { salt: salt ^ 1, ..id },
            SegmentId { number: number ^ 1, ..id },
        ] {
            prop_assert_eq!(examine(bytes, 0, other), Validity::Bad);
        }
    }

    #[test]
    fn flipped_bits_are_never_whole(payload: Vec<u8>, at: usize, bit in 0..8_u8) {
        let mut bytes = unit_of(|unit| unit.push(Kind::Event, |out| out.extend_from_slice(&payload)));
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(examine(&bytes, 0, SEGMENT), Validity::Bad);
    }

    #[test]
    fn scans_find_records_of_any_size_behind_anything(
        before in proptest::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..300),
        size in prop_oneof![0..100_usize, 8_000..9_000_usize, 20_000..50_000_usize],
        fill: u8,
    ) {
        let mut bytes = before.clone();
        let mut unit = UnitBuilder::new(SEGMENT, u32::try_from(before.len()).unwrap(), Vec::new());
        unit.push(Kind::Event, |out| out.resize(out.len() + size, fill));
        unit.push(Kind::Closed, |_| {});
        bytes.extend_from_slice(unit.bytes());
        bytes.resize(bytes.len() + 5_000, 0);
        let mut scan = Scan::new(&bytes, 0, SEGMENT);
        let Some(Next::Whole { at, header, kind: Kind::Event }) = scan.next(0) else {
            panic!("not found")
        };
        prop_assert_eq!((at, header.payload_bytes as usize), (before.len(), size));
        let behind = at + header.record_bytes();
        assert!(matches!(scan.next(behind),
            Some(Next::Whole { at, kind: Kind::Closed, .. }) if at == behind));
        prop_assert_eq!(scan.next(behind + HEADER_BYTES), None);
        // Anything shorter than the whole bytes of it is no record.
        let mut scan = Scan::new(&bytes[..behind - 1], 0, SEGMENT);
        prop_assert_eq!(scan.next(before.len()), None);
    }
}

#[test]
fn whole_records_of_unknown_kinds_or_versions_are_unsupported() {
    let header = |kind: u8, version: u8, crc: u32| {
        let mut bytes = [0; HEADER_BYTES];
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes[12..].copy_from_slice(&[kind, version]);
        bytes
    };
    for (kind, version) in [(13, 2), (2, 3), (255, 255), (2, 1)] {
        let crc = Header::parse(&header(kind, version, 0)).unwrap().prefix_crc(SEGMENT);
        let bytes = header(kind, version, crc);
        let Validity::Unsupported(found) = examine(&bytes, 0, SEGMENT) else {
            panic!("{kind} {version}")
        };
        assert_eq!(found.kind_and_version(), (kind, version));
        let mut scan = Scan::new(&bytes, 0, SEGMENT);
        assert_eq!(scan.next(0), Some(Next::Unsupported { at: 0, header: found }));
        assert_eq!(examine(&header(kind, version, crc ^ 1), 0, SEGMENT), Validity::Bad);
    }
}

#[test]
fn bodies_full_of_headers_are_searched_in_linear_time() {
    // 1 MiB in which every 12th byte begins a header that claims 7 MiB, of a unit that begins before
    // it: computing each CRC would be 87,381 times 7 MiB.
    let mut bytes = vec![0; 9 << 20];
    for at in (0..1 << 20).step_by(12) {
        bytes[at..at + 4].copy_from_slice(&[0xff, 0xff, 0x6f, 0]);
    }
    // Of the processor, so that what else runs does not count.
    let spent = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).tv_sec;
    let before = spent();
    assert_eq!(Scan::new(&bytes, 0, SEGMENT).next(0), None);
    // Measured 0.1 s; each CRC computed, it is 19 s.
    assert!(spent() - before < 5, "{} s", spent() - before);
}

#[test]
fn fillers_name_torn_positions_where_there_is_room_for_them() {
    let positions = |range: std::ops::Range<u64>, payload_bytes: usize| {
        let range = Position(range.start)..Position(range.end);
        let bytes = unit_of(|unit| unit.push_filler(&range, payload_bytes));
        assert_eq!(bytes.len(), HEADER_BYTES + payload_bytes);
        assert!(matches!(examine(&bytes, 0, SEGMENT), Validity::Whole(_, Kind::Filler)));
        torn_positions(&bytes[HEADER_BYTES..])
    };
    assert_eq!(positions(300..302, 60), Some(Position(300)..Position(302)));
    assert_eq!(positions(300..302, 3), Some(Position(300)..Position(302)));
    assert_eq!(positions(300..302, 2), None);
    assert_eq!(positions(300..300, 60), None);
    assert_eq!(positions(300..302, 0), None);
}

#[test]
fn units_say_where_each_record_stands() {
    let mut unit = UnitBuilder::new(SEGMENT, 100, Vec::new());
    assert_eq!(unit.push_closed(), Lsn::new(3, 100));
    let second = unit.push_closed();
    assert_eq!(second, Lsn::new(3, 114));
    assert_eq!(unit.next_lsn(), Lsn::new(3, 128));
    unit.cut_from(second);
    assert_eq!((unit.len(), unit.next_lsn()), (14, second));
}

#[test]
fn retry_of_more_than_one_delivery_makes_no_sense() {
    let retry = NewState::Retry {
        due: Timestamp::from_millis(5),
        wait: Duration::from_secs(1),
        order_key: None,
    };
    let holding = NewState::Dead {
        died_at: Timestamp::from_millis(5),
        reason: ErrorText::new("no"),
        order_key: Some(OrderKey([7; 16])),
    };
    for (to, count, is_sound) in [
        (retry.clone(), 1, true),
        (retry, 2, false),
        (holding.clone(), 1, true),
        (holding, 3, false),
        (NewState::Open, 9, true),
    ] {
        let mut bytes = Vec::new();
        DeliveryRecord::of(Position(4), count, to).encode(
            Position(0),
            Timestamp::default(),
            &mut bytes,
        );
        let decoded = DeliveryRecord::decode(Position(0), Timestamp::default(), &mut Take(&bytes));
        assert_eq!(decoded.is_some(), is_sound, "{count}");
    }
}
