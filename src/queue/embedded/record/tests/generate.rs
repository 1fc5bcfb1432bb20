//! Any values that records can hold.

use super::*;

pub(super) fn name() -> impl Strategy<Value = HandlerName> {
    "[a-z0-9][a-z0-9_-]{0,20}".prop_map(|text| HandlerName::parse(&text).unwrap())
}

pub(super) fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        (-1_000_000_000_000_i64..4_000_000_000_000).prop_map(Timestamp::from_millis),
        any::<i64>().prop_map(Timestamp::from_millis),
    ]
}

pub(super) fn millis() -> impl Strategy<Value = Duration> {
    (0..u64::from(u32::MAX)).prop_map(Duration::from_millis)
}

pub(super) fn order_key() -> impl Strategy<Value = Option<OrderKey>> {
    proptest::option::of(any::<[u8; 16]>().prop_map(OrderKey))
}

pub(super) fn new_event() -> impl Strategy<Value = NewEvent> {
    let dedupe = prop_oneof![
        Just(Dedupe::Off),
        (any::<[u8; 16]>(), millis())
            .prop_map(|(key, window)| Dedupe::Within { key: DedupeKey(key), window }),
    ];
    let headers = proptest::collection::vec(("[a-z-]{1,9}", any::<Vec<u8>>()), 0..5);
    let words = ("[a-z][a-z0-9-]{0,30}", "[a-z.]{1,40}");
    let root =
        prop_oneof![Just(DataRoot::Payload), Just(DataRoot::Data), Just(DataRoot::InnerPayload)];
    (words, time(), root, any::<bool>(), headers, any::<Vec<u8>>(), dedupe).prop_map(
        |((source, event_type), received_at, data_root, is_json, pairs, body, dedupe)| {
            let mut headers = Headers::builder();
            for (name, value) in &pairs {
                headers.push(name, value);
            }
            NewEvent {
                source: SourceName::parse(&source).unwrap(),
                event_type: EventType::new(&event_type),
                received_at,
                data_root,
                is_json,
                headers: headers.finish(),
                body: body.into(),
                dedupe,
            }
        },
    )
}

pub(super) fn new_state() -> impl Strategy<Value = NewState> {
    prop_oneof![
        Just(NewState::Delivered),
        Just(NewState::Skipped),
        Just(NewState::Dropped),
        (time(), millis(), order_key()).prop_map(|(due, wait, order_key)| NewState::Retry {
            due,
            wait,
            order_key
        }),
        (time(), "[ -~]{0,60}", order_key()).prop_map(|(died_at, reason, order_key)| {
            NewState::Dead { died_at, reason: ErrorText::new(reason), order_key }
        }),
        Just(NewState::Open),
        Just(NewState::Lost),
    ]
}

pub(super) fn change() -> impl Strategy<Value = DeliveryRecord> {
    let said = ("[ -~]{0,60}", "[ -~]{0,60}").prop_map(|(stdout, response)| {
        Output::new([
            Excerpt::tail(Stream::Stdout, stdout.as_bytes()),
            Excerpt::head(Stream::Response, response),
        ])
    });
    let progress = any::<Option<Vec<u8>>>().prop_map(|bytes| Some(Progress(bytes?.into())));
    let attempt = (time(), millis(), "[ -~]{0,60}", any::<Option<u16>>(), said, progress).prop_map(
        |(started_at, duration, error, status, output, progress)| Attempt {
            started_at,
            duration,
            error: ErrorText::new(error),
            status,
            output,
            progress,
        },
    );
    let details = (any::<u32>(), proptest::option::of(time()), proptest::option::of(attempt));
    let count = prop_oneof![Just(1), 1..u64::from(u32::MAX)];
    (any::<u64>(), count, new_state(), details).prop_map(
        |(first, count, to, (attempts, first_attempt_at, attempt))| {
            let count = if to.is_of_one() { 1 } else { count };
            let first = Position(first.min(u64::MAX - count));
            DeliveryRecord { first, count, to, attempts, first_attempt_at, attempt }
        },
    )
}

pub(super) fn incarnation() -> impl Strategy<Value = Incarnation> {
    any::<(u64, u64)>()
        .prop_map(|(lsn, since)| Incarnation { subscribed: Lsn(lsn), since: Position(since) })
}

pub(super) fn settle_record() -> impl Strategy<Value = SettleRecord> {
    let changes = proptest::collection::vec(change(), 0..6);
    let section = (name(), incarnation(), any::<u64>(), changes).prop_map(
        |(handler, incarnation, epoch, changes)| Section { handler, incarnation, epoch, changes },
    );
    (time(), proptest::collection::vec(section, 0..4))
        .prop_map(|(at, sections)| SettleRecord { at, sections })
}

pub(super) fn table() -> impl Strategy<Value = Vec<(Position, u32)>> {
    proptest::collection::vec((0..1_000_u64, 0..70_000_u32), 0..20).prop_map(|steps| {
        let mut before = (0, 0);
        let pair = |(position, offset)| {
            before = (before.0 + position, before.1 + offset);
            (Position(before.0), before.1)
        };
        steps.into_iter().map(pair).collect()
    })
}

pub(super) fn kept_end() -> impl Strategy<Value = KeptEnd> {
    any::<(u32, u32)>().prop_map(|(number, offset)| KeptEnd { number, offset })
}

pub(super) fn segment_head() -> impl Strategy<Value = SegmentHead> {
    let handler = (name(), incarnation())
        .prop_map(|(handler, incarnation)| HandlerHead { handler, incarnation });
    let previous = proptest::option::of(
        (any::<u32>(), any::<u32>(), table()).prop_map(|(number, end, table)| SegmentEnd {
            number,
            end,
            table,
        }),
    );
    let id = proptest::option::of(any::<u128>().prop_map(|id| EventId(Uuid::from_u128(id))));
    let numbers = (any::<u64>(), any::<u64>(), any::<(u32, u64)>(), kept_end());
    (time(), id, numbers, previous, proptest::collection::vec(handler, 0..5)).prop_map(
        |(at, newest_id, (next, opening, (first, position), kept), previous, handlers)| {
            SegmentHead {
                at,
                next: Position(next),
                newest_id,
                opening,
                first,
                first_position: Position(position),
                kept,
                previous,
                handlers,
            }
        },
    )
}

pub(super) fn kept_changes() -> impl Strategy<Value = KeptChanges> {
    let changes = proptest::collection::vec((any::<u64>().prop_map(Lsn), change()), 0..6);
    (name(), incarnation(), changes).prop_map(|(handler, incarnation, changes)| KeptChanges {
        handler,
        incarnation,
        changes,
    })
}

pub(super) fn kept_footer() -> impl Strategy<Value = KeptFooter> {
    let events = proptest::collection::btree_map(any::<u64>(), any::<(u32, u32)>(), 0..9);
    let mentions = proptest::collection::btree_set(any::<u64>(), 0..9);
    (kept_end(), events, mentions).prop_map(|(end, events, mentions)| KeptFooter {
        end,
        events: events
            .into_iter()
            .map(|(position, (offset, bytes))| KeptEvent {
                position: Position(position),
                offset,
                bytes,
            })
            .collect(),
        mentions: mentions.into_iter().map(Position).collect(),
    })
}
