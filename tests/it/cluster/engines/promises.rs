//! What every engine promises, over each of them.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tasks end with their test; a figure for people"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gatepost::cluster::{EngineAppendError, EngineReadError, Sequence};
use tokio::time::Instant;

use super::rigs::Rig;
use super::{ALL, SharedEngine, append, once_available, read_all, read_texts};

/// All promises, each on a log of its own.
async fn every_promise(mut rig: Rig) {
    units_are_read_as_they_were_appended(&rig, "log_order").await;
    rig.next_log();
    many_append_at_once_and_all_see_one_order(&rig, "log_many").await;
    rig.next_log();
    a_read_begins_anywhere_and_is_as_large_as_asked(&rig, "log_middle").await;
    rig.next_log();
    a_trim_removes_what_is_before_and_nothing_else(&rig, "log_trim").await;
    rig.next_log();
    a_unit_that_is_too_large_is_not_appended(&rig, "log_large").await;
    rig.next_log();
    a_wait_ends_with_the_append_of_another_node(&rig, "log_wait").await;
    rig.next_log();
    a_missing_unit_is_damage_and_those_behind_it_are_read(&rig, "log_gap").await;
    rig.next_log();
    acknowledged_units_survive_a_crash(&mut rig, "log_crash").await;
    rig.next_log();
    a_log_made_anew_is_of_another_lineage(&rig, "log_anew").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_every_promise() {
    every_promise(Rig::memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_every_promise() {
    let Some(rig) = Rig::postgres() else { return };
    every_promise(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_nats_server_keeps_every_promise() {
    let Some(rig) = Rig::nats(1) else { return };
    every_promise(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nats_servers_keep_every_promise() {
    let Some(rig) = Rig::nats(3) else { return };
    every_promise(rig).await;
}

async fn units_are_read_as_they_were_appended(rig: &Rig, log: &str) {
    let engine = rig.engine(log);
    let head = once_available(|| engine.head()).await;
    assert_eq!((head.first, head.next), (Sequence(1), Sequence(1)), "a new log is empty");
    assert_eq!(engine.read(Sequence(1), ALL).await, Ok(Vec::new()));
    let all_bytes: Bytes = (0..=u8::MAX).cycle().take(100_000).collect();
    let units = [Bytes::new(), Bytes::from_static(b"\0"), all_bytes, Bytes::from_static(b"last")];
    for (place, unit) in (1..).zip(&units) {
        assert_eq!(once_available(|| engine.append(unit)).await, Sequence(place));
    }
    for engine in [&engine, &rig.engine(log)] {
        let read: Vec<Bytes> =
            read_all(engine, 1).await.into_iter().map(|unit| unit.bytes).collect();
        assert!(read == units, "the bytes are those that were appended");
        assert_eq!(engine.read(Sequence(5), ALL).await, Ok(Vec::new()));
        let head = engine.head().await.unwrap();
        assert_eq!((head.first, head.next), (Sequence(1), Sequence(5)));
    }
}

async fn many_append_at_once_and_all_see_one_order(rig: &Rig, log: &str) {
    const APPENDERS: usize = 8;
    const UNITS: usize = 25;
    append(&rig.engine(log), "first").await;
    let mut appenders = Vec::new();
    for appender in 0..APPENDERS {
        let engine = rig.engine(log);
        appenders.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0..UNITS {
                let text = format!("{appender} {number}");
                acknowledged.push((append(&engine, &text).await, text));
            }
            acknowledged
        }));
    }
    // One reads from the beginning while they append.
    let follower = rig.engine(log);
    let follows = tokio::spawn(async move {
        let (mut seen, mut from) = (Vec::new(), Sequence(1));
        while seen.len() < 1 + APPENDERS * UNITS {
            follower.wait(from, Duration::from_secs(1)).await;
            for unit in once_available(|| follower.read(from, 1_000)).await {
                assert_eq!(unit.sequence, from);
                from = from.next();
                seen.push(String::from_utf8(unit.bytes.to_vec()).unwrap());
            }
        }
        seen
    });
    let mut acknowledged = BTreeMap::from([(Sequence(1), "first".to_owned())]);
    for appender in appenders {
        let units = appender.await.unwrap();
        assert!(units.is_sorted(), "one after the other stays one after the other");
        acknowledged.extend(units);
    }
    let expected: Vec<String> = acknowledged.into_values().collect();
    assert_eq!(expected.len(), 1 + APPENDERS * UNITS, "each has a place of its own");
    assert_eq!(follows.await.unwrap(), expected);
    assert_eq!(read_texts(&rig.engine(log), 1).await, expected);
}

async fn a_read_begins_anywhere_and_is_as_large_as_asked(rig: &Rig, log: &str) {
    let engine = rig.engine(log);
    let unit = |number: usize| format!("{number:0>1000}");
    for number in 1..=30 {
        append(&engine, &unit(number)).await;
    }
    let least = engine.read(Sequence(7), 1).await.unwrap();
    assert_eq!(least[0].bytes, unit(7), "at least one");
    assert!(least.len() <= 2, "{} units for 1 byte", least.len());
    let some = engine.read(Sequence(7), 10_000).await.unwrap();
    let places: Vec<u64> = some.iter().map(|unit| unit.sequence.0).collect();
    let expected: Vec<u64> = (7..).take(some.len()).collect();
    assert_eq!(places, expected);
    assert!((5..=11).contains(&some.len()), "{} units for 10 kB", some.len());
    assert_eq!(engine.read(Sequence(30), ALL).await.unwrap().len(), 1);
    assert_eq!(engine.read(Sequence(31), ALL).await, Ok(Vec::new()));
    assert_eq!(engine.read(Sequence(99), ALL).await, Ok(Vec::new()));
}

async fn a_trim_removes_what_is_before_and_nothing_else(rig: &Rig, log: &str) {
    let (engine, other) = (rig.engine(log), rig.engine(log));
    for number in 1..=10 {
        append(&engine, &number.to_string()).await;
    }
    for _ in 0..2 {
        once_available(|| engine.trim(Sequence(6))).await;
        for engine in [&engine, &other] {
            for place in 1..6 {
                let read = engine.read(Sequence(place), ALL).await;
                assert_eq!(read, Err(EngineReadError::Trimmed { first: Sequence(6) }), "{place}");
            }
            assert_eq!(read_texts(engine, 6).await, ["6", "7", "8", "9", "10"]);
            let head = engine.head().await.unwrap();
            assert_eq!((head.first, head.next), (Sequence(6), Sequence(11)));
        }
    }
    once_available(|| engine.trim(Sequence(3))).await;
    assert_eq!(engine.head().await.unwrap().first, Sequence(6), "what is gone stays gone");
    once_available(|| engine.trim(Sequence(1_000))).await;
    let head = other.head().await.unwrap();
    assert_eq!((head.first, head.next), (Sequence(11), Sequence(11)), "an empty log goes on");
    let read = other.read(Sequence(10), ALL).await;
    assert_eq!(read, Err(EngineReadError::Trimmed { first: Sequence(11) }));
    assert_eq!(append(&engine, "11").await, Sequence(11));
    assert_eq!(read_texts(&other, 11).await, ["11"]);
}

async fn a_unit_that_is_too_large_is_not_appended(rig: &Rig, log: &str) {
    let engine = rig.engine(log);
    append(&engine, "first").await;
    let max = engine.unit_max();
    assert!(max >= 1_000_000, "{max}");
    let unit = Bytes::from(vec![7; max + 1]);
    assert_eq!(engine.append(&unit).await, Err(EngineAppendError::TooLarge { max }));
    let unit = unit.slice(1..);
    assert_eq!(once_available(|| engine.append(&unit)).await, Sequence(2));
    let read = once_available(|| engine.read(Sequence(2), 1)).await;
    assert!(read.len() == 1 && read[0].bytes == unit, "the largest comes back whole");
}

async fn a_wait_ends_with_the_append_of_another_node(rig: &Rig, log: &str) {
    let (engine, other) = (rig.engine(log), rig.engine(log));
    append(&engine, "first").await;
    assert_eq!(read_texts(&other, 1).await, ["first"]);
    let began = Instant::now();
    other.wait(Sequence(2), Duration::from_millis(150)).await;
    assert!(began.elapsed() >= Duration::from_millis(150), "nothing came: {:?}", began.elapsed());
    other.wait(Sequence(1), Duration::from_mins(1)).await;
    let mut delays = Vec::new();
    for place in 2..=21 {
        let waiter = Arc::clone(&other);
        let is_read = Arc::new(AtomicBool::new(false));
        let waits = tokio::spawn({
            let is_read = Arc::clone(&is_read);
            async move {
                while !is_read.load(Ordering::SeqCst) {
                    waiter.wait(Sequence(place), Duration::from_mins(1)).await;
                    let units = once_available(|| waiter.read(Sequence(place), ALL)).await;
                    is_read.store(!units.is_empty(), Ordering::SeqCst);
                }
                Instant::now()
            }
        });
        // The waiter stands still by now, or its read finds the unit at once.
        tokio::time::sleep(Duration::from_millis(30)).await;
        append(&engine, &place.to_string()).await;
        let appended = Instant::now();
        delays.push(waits.await.unwrap().saturating_duration_since(appended));
    }
    delays.sort_unstable();
    eprintln!("{log}: heard of after {:?} (median), {:?} (last)", delays[10], delays[19]);
    // Where nothing is heard all of them are late; on a busy machine some are.
    assert!(delays[4] < Duration::from_millis(250), "{delays:?}");
    // Its own append wakes its own waiters.
    let waiter = Arc::clone(&engine);
    let waits =
        tokio::spawn(async move { waiter.wait(Sequence(22), Duration::from_mins(1)).await });
    append(&engine, "own").await;
    waits.await.unwrap();
}

async fn a_missing_unit_is_damage_and_those_behind_it_are_read(rig: &Rig, log: &str) {
    rig.make_fragile(log).await;
    let engine = rig.engine(log);
    for number in 1..=9 {
        append(&engine, &number.to_string()).await;
    }
    for place in [4, 5, 9] {
        rig.lose(log, place).await;
    }
    for engine in [engine, rig.engine(log)] {
        // Where it is not yet lost on each server, it is read.
        let damaged = |from: u64, to: u64| {
            Err(EngineReadError::Damaged { from: Sequence(from), to: Sequence(to) })
        };
        let before: Vec<u64> =
            engine.read(Sequence(1), ALL).await.unwrap().iter().map(|u| u.sequence.0).collect();
        assert_eq!(before, [1, 2, 3], "what is before the gap is read");
        assert_eq!(engine.read(Sequence(4), ALL).await, damaged(4, 6));
        assert_eq!(engine.read(Sequence(5), ALL).await, damaged(5, 6));
        let behind: Vec<u64> =
            engine.read(Sequence(6), ALL).await.unwrap().iter().map(|u| u.sequence.0).collect();
        assert_eq!(behind, [6, 7, 8]);
        assert_eq!(engine.read(Sequence(9), ALL).await, damaged(9, 10), "the last one");
        assert_eq!(engine.head().await.unwrap().next, Sequence(10));
    }
}

async fn acknowledged_units_survive_a_crash(rig: &mut Rig, log: &str) {
    const CRASHES: usize = 3;
    const UNITS: usize = 20;
    append(&rig.engine(log), "first").await;
    let ends = Arc::new(AtomicBool::new(false));
    let engine = rig.engine(log);
    let appends = tokio::spawn({
        let ends = Arc::clone(&ends);
        async move {
            let mut acknowledged = BTreeMap::new();
            let mut number = 0;
            while !ends.load(Ordering::SeqCst) {
                number += 1;
                let text = format!("unit {number}");
                match engine.append(&Bytes::from(text.clone())).await {
                    Ok(sequence) => {
                        assert!(acknowledged.insert(sequence, text).is_none());
                    }
                    // It may be there or not: the next one has another text.
                    Err(EngineAppendError::Unavailable(_)) => {}
                    Err(err) => panic!("{err:?}"),
                }
            }
            acknowledged
        }
    });
    let follower = rig.engine(log);
    for index in 0..CRASHES {
        let goal = Sequence(once_available(|| follower.head()).await.next.0 + UNITS as u64);
        while once_available(|| follower.head()).await.next < goal {
            follower.wait(goal, Duration::from_secs(1)).await;
        }
        rig.crash_and_restart(index);
    }
    ends.store(true, Ordering::SeqCst);
    let acknowledged = appends.await.unwrap();
    assert!(acknowledged.len() >= UNITS, "{}", acknowledged.len());
    for engine in [follower, rig.engine(log)] {
        let units: BTreeMap<Sequence, Bytes> = read_all(&engine, 1)
            .await
            .into_iter()
            .map(|unit| (unit.sequence, unit.bytes))
            .collect();
        for (sequence, text) in &acknowledged {
            assert_eq!(units.get(sequence), Some(&Bytes::from(text.clone())), "{sequence}");
        }
    }
}

async fn a_log_made_anew_is_of_another_lineage(rig: &Rig, log: &str) {
    let lineage =
        |engine: SharedEngine| async move { once_available(|| engine.head()).await.lineage };
    let engine = rig.engine(log);
    append(&engine, "first").await;
    let first = lineage(Arc::clone(&engine)).await;
    assert_eq!(lineage(rig.engine(log)).await, first, "all nodes see the same one");
    rig.drop_log(log).await;
    let other = rig.engine(log);
    let second = lineage(Arc::clone(&other)).await;
    assert_ne!(second, first);
    assert_eq!(append(&other, "another first").await, Sequence(1));
    assert_eq!(lineage(engine).await, second, "also by an engine that knew the first one");
}
