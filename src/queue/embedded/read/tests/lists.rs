//! Lists against a plain model.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use crate::clock::{Clock, Timestamp};
use crate::event::{Event, Glob, Headers, Position, SourceName};
use crate::queue::embedded::index::rig::{AT, Rig, dead, new_event, tried};
use crate::queue::embedded::index::{Index, MemoryStore, Store};
use crate::queue::embedded::read::{Budget, Page, Reading, Search};
use crate::queue::embedded::testing::LyingStore;
use crate::queue::{BodyFilter, EventQuery, ListOrder, WantedBodies};

fn positions(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.position.0).collect()
}

/// What a list is, said simply.
fn expected(all: &[Event], query: &EventQuery, text: Option<&str>) -> Vec<u64> {
    let glob = query.event_type.as_deref().map(Glob::new);
    let mut found: Vec<&Event> = all
        .iter()
        .filter(|event| query.source.as_ref().is_none_or(|source| *source == event.source))
        .filter(|event| glob.as_ref().is_none_or(|glob| glob.matches(event.event_type.as_str())))
        .filter(|event| query.since.is_none_or(|since| event.received_at >= since))
        .filter(|event| query.until.is_none_or(|until| event.received_at < until))
        .filter(|event| {
            let body = std::str::from_utf8(&event.body).unwrap();
            text.is_none_or(|text| body.contains(text))
        })
        .filter(|event| match (query.order, query.cursor) {
            (_, None) => true,
            (ListOrder::Oldest, Some(cursor)) => event.position > cursor,
            (ListOrder::Newest, Some(cursor)) => event.position < cursor,
        })
        .collect();
    if query.order == ListOrder::Newest {
        found.reverse();
    }
    let mut listed = Vec::new();
    let mut body_bytes = 0;
    for event in found {
        listed.push(event.position.0);
        body_bytes += event.body.len();
        if query.is_full(listed.len(), body_bytes) {
            break;
        }
    }
    listed
}

#[derive(Clone, Debug)]
struct Shape {
    /// Source, type, seconds since the one before (also back), bytes of its body, whether it dies.
    events: Vec<(bool, u8, i64, usize, bool)>,
    n_trims: usize,
}

fn shape() -> impl Strategy<Value = Shape> {
    let event = (any::<bool>(), 0..60_u8, -20..40_i64, 0..2_000_usize, prop::bool::weighted(0.1));
    let events = prop::collection::vec(event, 0..400);
    (events, 0..4_usize).prop_map(|(events, n_trims)| Shape { events, n_trims })
}

fn query() -> impl Strategy<Value = EventQuery> {
    let seconds = || prop::option::of(0..4_000_u64);
    let kind = prop::option::of(prop::sample::select(vec!["a.*", "a.3", "*.7", "b.*", "nothing"]));
    let ends = (seconds(), seconds(), prop::option::of(0..450_u64), any::<bool>());
    let limits = (0..50_usize, prop::option::of(0..20_000_usize));
    (prop::option::of(any::<bool>()), kind, ends, limits).prop_map(
        |(source, kind, (since, until, cursor, is_newest), (limit, bytes_max))| EventQuery {
            except: None,
            named_by_none: None,
            delivery: None,
            source: source.map(source_name),
            event_type: kind.map(str::to_owned),
            since: since.map(|secs| AT.after(Duration::from_secs(secs))),
            until: until.map(|secs| AT.after(Duration::from_secs(secs))),
            body: Vec::new(),
            cursor: cursor.map(Position),
            order: if is_newest { ListOrder::Newest } else { ListOrder::Oldest },
            limit,
            bytes_max,
            bodies: WantedBodies::Whole,
        },
    )
}

fn source_name(is_shop: bool) -> SourceName {
    SourceName::parse(if is_shop { "shop" } else { "blog" }).unwrap()
}

fn rig_of(shape: &Shape) -> Rig {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("h");
    let mut at = AT.as_millis();
    for (is_shop, kind, seconds, body_bytes, dies) in &shape.events {
        at += seconds * 1_000;
        let prefix = if kind % 2 == 0 { "a" } else { "b" };
        let body = if kind % 5 == 0 { "needle" } else { "hay" }.repeat(body_bytes / 6 + 1);
        let name = format!("{prefix}.{kind}");
        let source = source_name(*is_shop);
        let event = new_event(source.as_str(), &name, Timestamp::from_millis(at), &body);
        let position = rig.append(&event);
        if *dies {
            rig.settle(&[("h", vec![tried(position.0, dead(1, "no"), 1, 1, "no")])]);
        }
    }
    (0..shape.n_trims).for_each(|_| rig.trim());
    rig
}

/// An index that has everything, nothing, or what so many steps brought it.
fn index_of(rig: &Rig, n_steps: usize) -> Arc<Index> {
    let index = Index::new(Arc::new(MemoryStore::default()));
    let mut follower = rig.follower(&index);
    for _ in 0..n_steps {
        follower.step(rig.clock.steady());
    }
    index
}

fn search(query: &EventQuery, text: Option<&str>) -> Search {
    let body = text.map(|text| BodyFilter::Contains(vec![text.as_bytes().to_vec()]));
    Search::new(EventQuery { body: body.into_iter().collect(), ..query.clone() })
}

fn whole(reading: &Reading, query: &EventQuery, text: Option<&str>) -> Page {
    reading.list(&search(query, text), Budget::unlimited()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn list_is_that_of_a_plain_model_whatever_the_index_has(
        shape in shape(),
        queries in prop::collection::vec((query(), any::<bool>()), 1..8),
        n_steps in prop::sample::select(vec![0, 1, 3, 6, 1_000]),
    ) {
        let rig = rig_of(&shape);
        let all = rig.all_events();
        let reading = rig.reading(&index_of(&rig, n_steps));
        for (query, has_text) in queries {
            let text = has_text.then_some("needle");
            let page = whole(&reading, &query, text);
            prop_assert_eq!(positions(&page.events), expected(&all, &query, text), "{:?}", query);
            prop_assert!(page.is_complete);
        }
    }

    #[test]
    fn pages_within_small_budgets_make_the_whole_list(
        shape in shape(),
        query in query(),
        bytes in 1..40_000_u64,
        n_steps in prop::sample::select(vec![0, 3, 1_000]),
    ) {
        let rig = rig_of(&shape);
        let reading = rig.reading(&index_of(&rig, n_steps));
        let query = EventQuery { limit: EventQuery::LIMIT_MAX, bytes_max: None, ..query };
        let wanted = positions(&whole(&reading, &query, None).events);
        let mut found = Vec::new();
        let mut rest = query.clone();
        for n_pages in 0.. {
            prop_assert!(n_pages < 2_000);
            let budget = Budget::new(bytes, Duration::from_secs(1), &*rig.clock);
            let page = reading.list(&search(&rest, None), budget).unwrap();
            let is_within = |event: &Event| {
                (page.scanned_from..page.scanned_to).contains(&event.position)
            };
            prop_assert!(page.events.iter().all(is_within), "{:?}", page);
            found.extend(positions(&page.events));
            let Some(next) = page.next else { break };
            prop_assert!(rest.cursor != Some(next), "it does not go on");
            rest.cursor = Some(next);
        }
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn lying_index_hides_at_most_and_invents_nothing(
        shape in shape(),
        queries in prop::collection::vec(query(), 1..8),
        seed in any::<u64>(),
    ) {
        let rig = rig_of(&shape);
        let all = rig.all_events();
        let store: Arc<dyn Store> = Arc::new(LyingStore::new(seed));
        let index = Index::new(store);
        let mut follower = rig.follower(&index);
        for query in queries {
            for _ in 0..5 {
                follower.step(rig.clock.steady());
            }
            let query = EventQuery { limit: EventQuery::LIMIT_MAX, bytes_max: None, ..query };
            let page = whole(&rig.reading(&index), &query, None);
            let model = expected(&all, &query, None);
            let found = positions(&page.events);
            prop_assert!(found.iter().all(|position| model.contains(position)), "{:?}", found);
            let is_ordered = match query.order {
                ListOrder::Oldest => found.is_sorted(),
                ListOrder::Newest => found.iter().rev().is_sorted(),
            };
            prop_assert!(is_ordered);
        }
        prop_assert!(rig.log.damage().is_empty());
    }
}

#[test]
fn list_says_what_it_has_looked_at() {
    let mut rig = Rig::new(64 << 10);
    rig.append_many(1_000);
    let reading = rig.reading(&index_of(&rig, 0));
    let query =
        EventQuery { event_type: Some("nothing".to_owned()), limit: 10, ..EventQuery::default() };
    let budget = |bytes| Budget::new(bytes, Budget::LIST_TIME, &*rig.clock);
    let page = reading.list(&search(&query, None), budget(1)).unwrap();
    assert!(page.events.is_empty() && !page.is_complete && !page.is_narrowed);
    assert_eq!(page.scanned_to, rig.next);
    assert_eq!(page.next, Some(page.scanned_from));
    // One stretch of a quarter MiB or 256 events is the least that it reads.
    assert!(page.scanned_from.0 >= rig.next.0 - 256, "{page:?}");

    let next = EventQuery { cursor: page.next, ..query.clone() };
    let page = reading.list(&search(&next, None), budget(u64::MAX)).unwrap();
    assert_eq!((page.next, page.is_complete), (None, true));
    assert_eq!(page.scanned_from, Position(0));

    let oldest = EventQuery { order: ListOrder::Oldest, ..query.clone() };
    let page = reading.list(&search(&oldest, None), budget(5_000)).unwrap();
    assert!(!page.is_complete && page.scanned_to < rig.next, "{page:?}");
    assert_eq!(page.next, Some(Position(page.scanned_to.0 - 1)));

    // With an index nothing is read that cannot match: the budget is not touched.
    let reading = rig.reading(&index_of(&rig, 1_000));
    let page = reading.list(&search(&oldest, None), budget(30_000)).unwrap();
    assert!(page.is_complete && page.is_narrowed, "{page:?}");
}

#[test]
fn list_stops_when_its_time_is_over() {
    /// A clock on which each look takes a millisecond.
    #[derive(Debug, Default)]
    struct Ticking(std::sync::atomic::AtomicI64);
    impl Clock for Ticking {
        fn now(&self) -> Timestamp {
            AT
        }
        fn steady(&self) -> Timestamp {
            Timestamp::from_millis(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        }
    }
    let mut rig = Rig::new(64 << 10);
    rig.append_many(2_000);
    let reading = rig.reading(&index_of(&rig, 0));
    for order in [ListOrder::Newest, ListOrder::Oldest] {
        let clock = Ticking::default();
        let query = EventQuery {
            event_type: Some("nothing".to_owned()),
            limit: 10,
            order,
            ..EventQuery::default()
        };
        let budget = Budget::new(u64::MAX, Duration::from_millis(3), &clock);
        let page = reading.list(&search(&query, None), budget).unwrap();
        assert!(!page.is_complete && page.next.is_some(), "{order:?} {page:?}");
    }
}

#[test]
fn body_filters_look_into_json() {
    let mut rig = Rig::new(64 << 10);
    for body in [r#"{"a":{"b":"x"}}"#, r#"{"a":{"b":7}}"#, "not json", r#"{"a":"x"}"#] {
        rig.append(&new_event("shop", "t", AT, body));
    }
    let reading = rig.reading(&index_of(&rig, 1_000));
    let check = |filters: Vec<BodyFilter>, wanted: &[u64]| {
        let query = EventQuery { limit: 10, order: ListOrder::Oldest, ..EventQuery::default() };
        let search = Search::new(EventQuery { body: filters, ..query });
        let page = reading.list_as(&search, Budget::unlimited(), |event, _| event.position.0);
        assert_eq!(page.unwrap().events, wanted);
    };
    let at = |pointer: &str, value: &str| BodyFilter::JsonEquals {
        pointer: pointer.to_owned(),
        value: value.to_owned(),
    };
    check(vec![at("/a/b", "x")], &[1]);
    check(vec![at("/a/b", "7")], &[2]);
    check(vec![at("/a", r#"{"b":7}"#)], &[2]);
    check(vec![BodyFilter::Contains(vec![b"json".to_vec()])], &[3]);
    check(vec![BodyFilter::Contains(vec![b"x".to_vec()]), at("/a", "x")], &[4]);
    check(vec![], &[1, 2, 3, 4]);
}

/// Bodies of every length around what is read of a record, in segments of their own size.
#[test]
fn long_bodies_are_left_out_of_lists_and_their_lengths_are_told() {
    let mut rig = Rig::new(300 << 10);
    let lengths = [0, 9, 700, 8_150, 8_192, 9_000, 40_000, 64 << 10, 100_000, 200_000];
    for bytes in lengths.into_iter().cycle().take(35) {
        rig.append(&new_event("shop", "t", AT, &"x".repeat(bytes)));
    }
    let all = rig.all_events();
    for (order, up_to) in [ListOrder::Newest, ListOrder::Oldest]
        .into_iter()
        .flat_map(|order| [0, 700, 50_000].map(|up_to| (order, up_to)))
    {
        let bodies = WantedBodies::UpTo(up_to);
        let query = EventQuery { limit: 100, order, bodies, ..EventQuery::default() };
        let reading = rig.reading(&index_of(&rig, 0));
        let page = reading.list_sized(&search(&query, None), Budget::unlimited()).unwrap();
        let mut found = page.events;
        found.sort_by_key(|(event, _)| event.position);
        assert_eq!(found.len(), all.len(), "{order:?} {up_to}");
        for ((event, bytes), whole) in found.iter().zip(&all) {
            assert_eq!((event.id, *bytes), (whole.id, whole.body.len()));
            let is_there = whole.body.len() <= up_to;
            assert_eq!(event.body, if is_there { whole.body.clone() } else { Bytes::new() });
        }
    }
    assert!(rig.log.damage().is_empty());
}

/// As every other reader sees them.
#[test]
fn body_filters_look_into_bodies_as_real_senders_write_them() {
    let mut rig = Rig::new(64 << 10);
    let packed = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, br#"{"data":{"id":5}}"#).unwrap();
        encoder.finish().unwrap()
    };
    let wide = r#"{"data":{"id":5}}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bodies: [Vec<u8>; 9] = [
        br#"{"data":{"id":5}}"#.to_vec(),
        br#"{"data":{"id":4,"id":5}}"#.to_vec(),
        br#"{"data":{"id":5,"a":"\ud83d"}}"#.to_vec(),
        "\u{feff}{\"data\":{\"id\":5}}".as_bytes().to_vec(),
        br#"{"data":{"id":5,"a":NaN}}"#.to_vec(),
        b"{\"data\":{\"id\":5,\"a\":\"\xff\"}}".to_vec(),
        packed,
        wide,
        // A form whose one field is the payload; and one more event, of which nothing is to be found.
        b"payload=%7B%22data%22%3A%7B%22id%22%3A5%7D%7D".to_vec(),
    ];
    for body in bodies.into_iter().chain([br#"{"data":{"id":4,"n":5}}"#.to_vec()]) {
        let mut event = new_event("shop", "t", AT, "");
        event.body = body.into();
        if event.body.starts_with(b"payload") {
            let mut headers = Headers::builder();
            headers.push("content-type", b"application/x-www-form-urlencoded");
            event.headers = headers.finish();
        }
        rig.append(&event);
    }
    for number in ["12345678901234567890123", "1.10", "1e3", "true", "null", "[1, {}]"] {
        rig.append(&new_event("shop", "t", AT, &format!(r#"{{"n": {number}}}"#)));
    }
    let reading = rig.reading(&index_of(&rig, 1_000));
    let check = |pointer: &str, value: &str, wanted: &[u64]| {
        let filter =
            BodyFilter::JsonEquals { pointer: pointer.to_owned(), value: value.to_owned() };
        let query = EventQuery { limit: 20, order: ListOrder::Oldest, ..EventQuery::default() };
        let search = Search::new(EventQuery { body: vec![filter], ..query });
        let page = reading.list_as(&search, Budget::unlimited(), |event, _| event.position.0);
        assert_eq!(page.unwrap().events, wanted, "{pointer} {value}");
    };
    check("/data/id", "5", &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    check("/data/id", "4", &[10]);
    check("/n", "12345678901234567890123", &[11]);
    check("/n", "1.10", &[12]);
    check("/n", "1e3", &[13]);
    check("/n", "true", &[14]);
    check("/n", "null", &[15]);
    check("/n", "[1,{}]", &[16]);
    check("/n/0", "1", &[16]);
}
