use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;
use crate::event::{
    Attempt, DataRoot, DedupeKey, ErrorText, EventType, HandlerName, Headers, OrderKey, SourceName,
};

const KINDS: [Kind; 6] =
    [Kind::Event, Kind::Settled, Kind::Checkpoint, Kind::Carried, Kind::Keys, Kind::Filler];

fn name() -> impl Strategy<Value = HandlerName> {
    "[a-z0-9][a-z0-9_-]{0,20}".prop_map(|text| HandlerName::parse(&text).unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        (-1_000_000_000_000_i64..4_000_000_000_000).prop_map(Timestamp::from_millis),
        Just(Timestamp::from_millis(0)),
    ]
}

fn millis() -> impl Strategy<Value = Duration> {
    (0..u64::from(u32::MAX)).prop_map(Duration::from_millis)
}

fn order_key() -> impl Strategy<Value = OrderKey> {
    any::<[u8; 16]>().prop_map(OrderKey)
}

fn new_event() -> impl Strategy<Value = NewEvent> {
    let dedupe = prop_oneof![
        Just(Dedupe::Off),
        (any::<[u8; 16]>(), millis())
            .prop_map(|(key, window)| Dedupe::Within { key: DedupeKey(key), window }),
    ];
    let headers = proptest::collection::vec(("[a-z-]{1,9}", any::<Vec<u8>>()), 0..5);
    let words = ("[a-z][a-z0-9-]{0,30}", "[a-z.]{1,40}");
    let flags = any::<(bool, bool)>();
    (words, time(), flags, headers, any::<Vec<u8>>(), dedupe).prop_map(
        |((source, event_type), received_at, (is_data, is_json), pairs, body, dedupe)| {
            let mut headers = Headers::builder();
            for (name, value) in &pairs {
                headers.push(name, value);
            }
            NewEvent {
                source: SourceName::parse(&source).unwrap(),
                event_type: EventType::new(&event_type),
                received_at,
                data_root: if is_data { DataRoot::Data } else { DataRoot::Payload },
                is_json,
                headers: headers.finish(),
                body: body.into(),
                dedupe,
            }
        },
    )
}

fn state() -> impl Strategy<Value = State> {
    let key = || proptest::option::of(order_key());
    prop_oneof![
        Just(State::Delivered),
        Just(State::Skipped),
        (time(), millis(), key()).prop_map(|(due, wait, order_key)| State::Retry {
            due,
            wait,
            order_key
        }),
        order_key().prop_map(|order_key| State::Held { order_key }),
        (time(), "[ -~]{0,60}", key()).prop_map(|(died_at, reason, order_key)| State::Dead {
            died_at,
            reason: ErrorText::new(reason),
            order_key
        }),
        Just(State::Dropped),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let attempt = (time(), millis(), "[ -~]{0,60}", any::<Option<u16>>()).prop_map(
        |(started_at, duration, error, status)| Attempt {
            started_at,
            duration,
            error: ErrorText::new(error),
            status,
        },
    );
    let (attempt, first) = (proptest::option::of(attempt), proptest::option::of(time()));
    (any::<u64>(), state(), any::<u32>(), first, attempt).prop_map(
        |(position, state, attempts, first_attempt_at, attempt)| Change {
            position: Position(position),
            state,
            attempts,
            first_attempt_at,
            attempt,
        },
    )
}

fn place() -> impl Strategy<Value = Place> {
    let runs = proptest::collection::vec((0..1_000_u64, 1..1_000_u64), 0..6);
    (0..u64::from(u32::MAX), runs).prop_map(|(cursor, runs)| {
        let mut before = cursor;
        let ahead = runs.into_iter().map(|(gap, count)| {
            let first = before + gap;
            before = first + count;
            (Position(first), count)
        });
        Place { ahead: ahead.collect(), cursor: Position(cursor) }
    })
}

fn settle_batch() -> impl Strategy<Value = SettleBatch> {
    let section = (name(), place(), proptest::collection::vec(change(), 0..6))
        .prop_map(|(handler, place, changes)| Section { handler, place, changes });
    (time(), proptest::collection::vec(section, 0..4))
        .prop_map(|(at, sections)| SettleBatch { at, sections })
}

fn places() -> impl Strategy<Value = Places> {
    let by_handler = proptest::collection::btree_map(name(), place(), 0..5);
    (time(), any::<u64>(), by_handler).prop_map(|(at, next, by_handler)| Places {
        at,
        next: Position(next),
        by_handler,
    })
}

fn keys() -> impl Strategy<Value = Keys> {
    let entry = (1..1_000_u64, any::<[u8; 16]>(), any::<u128>(), time(), millis());
    proptest::collection::vec(entry, 0..8).prop_map(|entries| {
        let mut position = 0;
        let entries = entries.into_iter().map(|(step, key, id, received_at, window)| {
            position += step;
            let (key, id) = (DedupeKey(key), EventId(Uuid::from_u128(id)));
            KeyEntry { position: Position(position), key, id, received_at, window }
        });
        Keys(entries.collect())
    })
}

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes.into()
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
        for kind in KINDS {
            // `None` or something: no panic, and no more memory than there are bytes.
            if let Some(Record::Event(event, _) | Record::Carried(event, _)) =
                Record::decode(kind, &bytes)
            {
                prop_assert!(event.headers.iter().count() <= bytes.len());
            }
        }
    }

    #[test]
    fn a_spoiled_record_does_not_panic(batch in settle_batch(), places in places(), at: usize, bit in 0..8_u8) {
        for (kind, payload) in [
            (Kind::Settled, encoded(|out| batch.encode(out))),
            (Kind::Checkpoint, encoded(|out| places.encode(out))),
        ] {
            let mut bytes = payload.to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            drop(Record::decode(kind, &bytes.clone().into()));
            bytes.truncate(at);
            drop(Record::decode(kind, &bytes.into()));
        }
    }

    #[test]
    fn an_event_comes_back(new in new_event(), id: u128, position: u64) {
        let (id, position) = (EventId(Uuid::from_u128(id)), Position(position));
        let payload = encoded(|out| encode_event(&new, id, position, out));
        prop_assert!(payload.len() <= event_bytes(&new));
        for kind in [Kind::Event, Kind::Carried] {
            let Some(Record::Event(event, dedupe) | Record::Carried(event, dedupe)) =
                Record::decode(kind, &payload)
            else { panic!("not read back") };
            prop_assert_eq!((event.id, event.position), (id, position));
            prop_assert_eq!(&dedupe, &new.dedupe);
            assert_same_event(&event, &new);
        }
    }

    #[test]
    fn outcomes_come_back(batch in settle_batch()) {
        let payload = encoded(|out| batch.encode(out));
        let Some(Record::Settled(read)) = Record::decode(Kind::Settled, &payload) else {
            panic!("not read back")
        };
        prop_assert_eq!(read, batch);
    }

    #[test]
    fn places_come_back(places in places()) {
        let payload = encoded(|out| places.encode(out));
        let Some(Record::Checkpoint(read)) = Record::decode(Kind::Checkpoint, &payload) else {
            panic!("not read back")
        };
        prop_assert_eq!(read, places);
    }

    #[test]
    fn keys_come_back(keys in keys()) {
        let payload = encoded(|out| Keys::encode(&keys.0, out));
        let Some(Record::Keys(read)) = Record::decode(Kind::Keys, &payload) else {
            panic!("not read back")
        };
        prop_assert_eq!(read, keys);
    }

    #[test]
    fn a_record_fits_its_own_segment_only(payload: Vec<u8>, segment: u64, other: u64, start: u32) {
        let mut batch = Batch::new(segment, start, Vec::new());
        batch.push(Kind::Event, |out| out.extend_from_slice(&payload));
        let header = Header::parse(batch.bytes().first_chunk().unwrap()).unwrap();
        prop_assert_eq!(header.record_bytes(), batch.len());
        prop_assert_eq!(header.batch_start, start);
        prop_assert!(header.fits(segment, &payload));
        prop_assert_eq!(header.fits(other, &payload), other == segment);
    }
}

/// One record of each kind as version 1 writes it. What is on disks must be read for ever: where
/// these fail, a new version is due beside this one.
#[test]
fn version_1_stays_as_it_is() {
    let mut headers = Headers::builder();
    headers.push("a", b"b");
    let new = NewEvent {
        source: SourceName::parse("shop").unwrap(),
        event_type: EventType::new("x.y"),
        received_at: Timestamp::from_millis(1_704_067_200_000),
        data_root: DataRoot::Data,
        is_json: false,
        headers: headers.finish(),
        body: Bytes::from_static(b"{}"),
        dedupe: Dedupe::Within { key: DedupeKey([9; 16]), window: Duration::from_mins(5) },
    };
    let id = EventId(Uuid::from_u128(0x0018_0000_0000_7000_8000_0000_0000_0001));
    let handler = HandlerName::parse("mail").unwrap();
    let attempt = Attempt {
        started_at: Timestamp::from_millis(1_704_067_199_990),
        duration: Duration::from_millis(7),
        error: ErrorText::new("refused"),
        status: Some(503),
    };
    let change = |position, state, attempt| Change {
        position: Position(position),
        state,
        attempts: 1,
        first_attempt_at: Some(Timestamp::from_millis(1_704_067_199_990)),
        attempt,
    };
    let (at, order_key) = (new.received_at, OrderKey([7; 16]));
    let reason = ErrorText::new("no");
    let changes = vec![
        change(3, State::Delivered, Some(attempt.clone())),
        change(4, State::Skipped, None),
        change(
            5,
            State::Retry { due: at, wait: Duration::from_secs(1), order_key: Some(order_key) },
            Some(attempt),
        ),
        change(6, State::Held { order_key }, None),
        change(7, State::Dead { died_at: at, reason, order_key: None }, None),
        change(2, State::Dropped, None),
    ];
    let place = Place { cursor: Position(4), ahead: vec![(Position(5), 3)] };
    let batch = SettleBatch {
        at,
        sections: vec![Section { handler: handler.clone(), place: place.clone(), changes }],
    };
    let places = Places { at, next: Position(9), by_handler: BTreeMap::from([(handler, place)]) };
    let entry = KeyEntry {
        position: Position(2),
        key: DedupeKey([9; 16]),
        id,
        received_at: at,
        window: Duration::from_mins(5),
    };
    let mut written = Batch::new(3, 64, Vec::new());
    written.push_event(&new, id, Position(2));
    written.push(Kind::Settled, |out| batch.encode(out));
    written.push(Kind::Checkpoint, |out| places.encode(out));
    written.push(Kind::Carried, |out| encode_event(&new, id, Position(2), out));
    written.push(Kind::Keys, |out| Keys::encode(&[entry], out));
    written.push(Kind::Filler, |_| {});
    assert_eq!(hex::encode(written.bytes()), VERSION_1.concat());
    assert_reads_back(&new, &batch, &places);
    // One bit of the flags, behind position, id and time, tells that the body is JSON.
    let plain = encoded(|out| encode_event(&new, id, Position(2), out));
    let json = NewEvent { is_json: true, ..new };
    let mut expected = plain.to_vec();
    expected[32] |= 8;
    assert_eq!(encoded(|out| encode_event(&json, id, Position(2), out)), expected);
}

/// The fixture alone gives what it was written from.
fn assert_reads_back(new: &NewEvent, batch: &SettleBatch, places: &Places) {
    let bytes = Bytes::from(hex::decode(VERSION_1.concat()).unwrap());
    let mut at = 0;
    let mut kinds = Vec::new();
    while let Some(head) = bytes.get(at..at + HEADER_BYTES) {
        let header = Header::parse(head.first_chunk().unwrap()).unwrap();
        let payload = bytes.slice(at + HEADER_BYTES..at + header.record_bytes());
        assert!(header.fits(3, &payload));
        match Record::decode(header.kind.unwrap(), &payload).unwrap() {
            Record::Event(event, _) | Record::Carried(event, _) => assert_same_event(&event, new),
            Record::Settled(read) => assert_eq!(read, *batch),
            Record::Checkpoint(read) => assert_eq!(read, *places),
            Record::Keys(keys) => assert_eq!(keys.0.len(), 1),
            Record::Filler => assert!(payload.is_empty()),
        }
        kinds.push(header.kind.unwrap());
        at += header.record_bytes();
    }
    assert_eq!(kinds.len(), KINDS.len());
}

/// Each record's head, then its payload.
const VERSION_1: [&str; 17] = [
    "460000003db87ab6400000000101",
    "02000000000000000018000000007000800000000000000100f451c28c0100000309090909090909",
    "090909090909090909e0a7120473686f7003782e7906ff01610100627b7d",
    "7c0000000bfb873f400000000201",
    "80d08fa5986301046d61696c04010103060100010f1313d8360772656675736564f7030201010213",
    "020280d08fa59863e8070107070707070707070707070707070707010f1313d83607726566757365",
    "64f703020307070707070707070707070707070707010213020480d08fa59863026e6f0001021309",
    "05010213",
    "11000000669559a1400000000301",
    "80d08fa598630901046d61696c04010103",
    "46000000f3c0e768400000000401",
    "02000000000000000018000000007000800000000000000100f451c28c0100000309090909090909",
    "090909090909090909e0a7120473686f7003782e7906ff01610100627b7d",
    "2b0000009241ffcf400000000501",
    "010280d08fa59863e0a7120909090909090909090909090909090900180000000070008000000000",
    "000001",
    "00000000e141c21f400000000601",
];
