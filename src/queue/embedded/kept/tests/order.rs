//! What counts, from when on, and in which order.

use super::*;

#[test]
fn appended_events_count_once_their_end_is_recorded() {
    let storage = storage();
    let kept = open(&storage, KeptEnd::default());
    assert_eq!((kept.len(), kept.bytes(), kept.end()), (0, 0, KeptEnd::default()));
    assert!(storage.paths().is_empty(), "no file while nothing is kept");
    let end = kept.append(5, &[event(3)], &[told(1, vec![(9, change(3, dead("gone")))])]).unwrap();
    assert!(!kept.holds(Position(3)) && kept.find(Position(3)).unwrap().is_none());
    kept.record(end);
    assert_eq!(view(&kept, 9).events, [3]);
    assert!(kept.mentions(Position(3)) && !kept.mentions(Position(4)));
    assert_eq!(
        (kept.first_from(Position(1)), kept.first_from(Position(4))),
        (Some(Position(3)), None)
    );
    assert_eq!(
        (kept.last_before(Position(9)), kept.last_before(Position(3))),
        (Some(Position(3)), None)
    );
    let (handler, incarnation, lsn, found) = kept.changes().unwrap().remove(0);
    assert_eq!((handler, incarnation, lsn), (super::handler(1), INCARNATION, Lsn(9)));
    assert_eq!(found, change(3, dead("gone")));
}

#[test]
fn what_is_behind_the_recorded_end_never_counts() {
    let storage = storage();
    let kept = open(&storage, KeptEnd::default());
    let first = keep(&kept, [1, 2]);
    // Whole, but not recorded; as long as, shorter, and longer than what comes next.
    for n_lost in [1, 2, 9] {
        kept.append(7, &(10..10 + n_lost).map(event).collect::<Vec<_>>(), &[]).unwrap();
        let again = open(&storage, first);
        assert_eq!((view(&again, 20).events, again.damage()), (vec![1, 2], vec![]));
    }
    let storage = storage.kill();
    let kept = open(&storage, first);
    let second = keep(&kept, [3]);
    assert_eq!((first.number, second.number), (1, 2), "each opening begins a segment");
    let again = open(&storage, second);
    assert_eq!((view(&again, 20).events, again.damage()), (vec![1, 2, 3], vec![]));
}

#[test]
fn discarded_append_is_overwritten() {
    let storage = storage();
    let kept = open(&storage, KeptEnd::default());
    for round in 0..3 {
        kept.append(1, &[event(50 + round), event(60)], &[]).unwrap();
        kept.discard_unrecorded();
        let end = keep(&kept, [round + 1]);
        assert_eq!(end.number, 1);
        assert_eq!(view(&kept, 70).events, (1..=round + 1).collect::<Vec<_>>());
        assert_eq!(view(&open(&storage, end), 70), view(&kept, 70));
        kept.record(end);
        kept.record(KeptEnd { number: 1, offset: 1 });
        assert_eq!(kept.end(), end);
        if round == 1 {
            break;
        }
    }
}

#[test]
fn append_that_may_be_recorded_yet_is_not_overwritten() {
    let storage = storage();
    let kept = open(&storage, KeptEnd::default());
    let first = kept.append(1, &[event(50), event(60)], &[]).unwrap();
    // Its caller was dropped while the committer had it to record.
    let second = keep(&kept, [1]);
    assert_eq!((first.number, second.number), (1, 2));
    let again = open(&storage, first);
    assert_eq!((view(&again, 70).events, again.damage()), (vec![50, 60], vec![]));
}

#[test]
fn change_with_the_highest_lsn_counts_whatever_the_order() {
    let storage = storage();
    let kept = open(&storage, KeptEnd::default());
    keep(&kept, [1, 2]);
    let append = |lsn, position, to| {
        let end = kept.append(3, &[], &[told(1, vec![(lsn, change(position, to))])]).unwrap();
        kept.record(end);
        end
    };
    append(300, 1, NewState::Delivered);
    append(100, 1, retry(5));
    append(300, 1, NewState::Delivered);
    // Within one unit the last.
    let both = vec![(400, change(2, dead("x"))), (400, change(2, NewState::Open))];
    kept.record(kept.append(3, &[], &[told(1, both)]).unwrap());
    let end = append(200, 2, retry(6));
    for kept in [kept, open(&storage, end)] {
        let view = view(&kept, 5);
        assert_eq!(
            view.changes[&(handler(1), Position(1))],
            (Lsn(300), change(1, NewState::Delivered))
        );
        assert_eq!(view.changes[&(handler(1), Position(2))], (Lsn(400), change(2, NewState::Open)));
        assert_eq!(kept.changes().unwrap().len(), 2);
    }
}

#[test]
fn start_reads_the_newest_segment_and_the_heads_of_the_others() {
    let storage = storage();
    let kept = open(&storage, KeptEnd::default());
    let end = (0..30).map(|n| keep(&kept, n * 10 + 1..=n * 10 + 10)).last().unwrap();
    assert!(end.number >= 10, "{end:?}");
    storage.record_calls();
    let again = open(&storage, end);
    let n_reads = storage.take_calls().iter().filter(|(call, _)| *call == Call::Read).count();
    assert!(n_reads <= 3 * end.number as usize, "{n_reads} reads of {} files", end.number);
    assert_eq!(view(&again, 400), view(&kept, 400));
    assert_eq!(again.len(), 300);
}

#[test]
fn compaction_begins_when_less_than_half_is_alive() {
    let storage = storage();
    let kept = open(&storage, KeptEnd::default());
    let mut end = keep(&kept, 1..=10);
    assert!(!kept.needs_compaction(&|_| false), "{} bytes are few", kept.bytes());
    for n in 1..10 {
        end = keep(&kept, n * 10 + 1..=n * 10 + 10);
    }
    assert!(!kept.needs_compaction(&|_| true));
    assert!(!kept.needs_compaction(&|position| position.0 <= 55));
    let is_alive = |position: Position| position.0.is_multiple_of(4);
    let mut n_compacted = 0;
    while kept.needs_compaction(&is_alive) {
        let is_alive_in = |name: &HandlerName, position| *name == handler(1) && is_alive(position);
        end = kept
            .compact((100 + n_compacted, Timestamp::default()), ALL_READ, &is_alive_in, &no_states)
            .unwrap()
            .unwrap();
        kept.record(end);
        kept.remove_compacted().unwrap();
        n_compacted += 1;
    }
    assert!((2..=6).contains(&n_compacted), "{n_compacted}");
    for kept in [&kept, &open(&storage, end)] {
        let view = view(kept, 100);
        assert!(view.events.len() < 60);
        let alive = (1..=25).map(|n| n * 4);
        assert!(alive.clone().all(|at| view.events.contains(&at)));
        assert!(alive.clone().all(|at| view.changes.contains_key(&(handler(1), Position(at)))));
    }
}

#[test]
fn compacting_all_that_is_dead_leaves_next_to_nothing() {
    let storage = storage();
    let kept = open(&storage, KeptEnd::default());
    let mut end = (0..10).map(|n| keep(&kept, n * 10 + 1..=n * 10 + 10)).last().unwrap();
    while kept.needs_compaction(&|_| false) {
        end = kept
            .compact((1, Timestamp::default()), ALL_READ, &|_, _| false, &no_states)
            .unwrap()
            .unwrap();
        kept.record(end);
        kept.remove_compacted().unwrap();
    }
    assert!(kept.bytes() <= OPTIONS.compact_above);
    let n_files = storage.paths().len();
    let again = open(&storage, end);
    assert_eq!((again.damage(), storage.paths().len()), (vec![], n_files));
}

#[test]
fn events_that_a_handler_was_not_given_yet_outlive_compaction() {
    let storage = storage();
    let kept = open(&storage, KeptEnd::default());
    keep(&kept, 1..=10);
    let end = kept
        .compact((1, Timestamp::default()), Position(8), &|_, _| false, &no_states)
        .unwrap()
        .unwrap();
    kept.record(end);
    kept.remove_compacted().unwrap();
    assert_eq!(view(&kept, 10).events, [8, 9, 10]);
}
