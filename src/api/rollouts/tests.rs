//! The stages, moment by moment.

use super::registry::Rollouts;
use super::rollout::{Rollout, UNDER_WAY_MAX, stages};
use super::*;
use crate::api::Actor;
use crate::clock::Timestamp;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn app() -> HandlerName {
    HandlerName::parse("app").unwrap()
}

fn view(rate: u32) -> RolloutView {
    let filter = DeadAsk { handler: Some("app".into()), until: Some(at(1)), ..DeadAsk::default() };
    let view = RolloutView::new(filter, "handler app".into(), Actor::Token, rate, at(0));
    RolloutView { number: 1, ..view }
}

fn letters(range: std::ops::Range<u64>) -> Vec<(HandlerName, Position)> {
    range.map(|n| (app(), Position(n))).collect()
}

fn rollout(n_letters: u64) -> Rollout {
    Rollout::begin(view(100_000), letters(0..n_letters))
}

/// Lets go what may be let go, a second after the last time.
fn advance(rollout: &mut Rollout, second: i64) -> Vec<u64> {
    let let_go = rollout.advance(at(second * 1_000), at(second * 1_000));
    let_go.into_iter().map(|(_, position)| position.0).collect()
}

fn settle(rollout: &mut Rollout, position: u64, result: LetGoResult) {
    let error = (result == LetGoResult::Failed).then(|| "answered 500".to_owned());
    rollout.settle((&app(), Position(position)), result, (error, false));
}

fn deliver(rollout: &mut Rollout, positions: impl IntoIterator<Item = u64>) {
    positions.into_iter().for_each(|one| settle(rollout, one, LetGoResult::Delivered));
}

#[test]
fn stages_are_one_ten_a_hundred_and_the_rest() {
    let sizes = |n| stages(n).iter().map(|stage| stage.size).collect::<Vec<_>>();
    for (n, expected) in [
        (0, vec![]),
        (1, vec![1]),
        (5, vec![1, 4]),
        (11, vec![1, 10]),
        (111, vec![1, 10, 100]),
        (412, vec![1, 10, 100, 301]),
    ] {
        assert_eq!(sizes(n), expected, "{n}");
    }
}

#[test]
fn stage_begins_once_the_one_before_has_good_results() {
    let mut rollout = rollout(412);
    assert_eq!(advance(&mut rollout, 0), [0]);
    assert_eq!(advance(&mut rollout, 1), [0_u64; 0], "the first one has no result yet");
    deliver(&mut rollout, [0]);
    assert_eq!(advance(&mut rollout, 2), (1..11).collect::<Vec<_>>());
    deliver(&mut rollout, 1..10);
    assert_eq!(advance(&mut rollout, 3), [0_u64; 0]);
    settle(&mut rollout, 10, LetGoResult::Skipped);
    assert_eq!(advance(&mut rollout, 4).len(), 100);
    deliver(&mut rollout, 11..110);
    settle(&mut rollout, 110, LetGoResult::Gone);
    assert_eq!(advance(&mut rollout, 5).len(), 301);
    deliver(&mut rollout, 111..412);
    assert_eq!(rollout.view.state, RolloutState::Running);
    assert_eq!(advance(&mut rollout, 6), [0_u64; 0]);
    let view = &rollout.view;
    assert_eq!((view.state, view.ended_at), (RolloutState::Done, Some(at(6_000))));
    assert_eq!((view.delivered, view.skipped, view.gone, view.failed), (410, 1, 1, 0));
    assert!(!rollout.is_active());
}

#[test]
fn first_failure_stops_it_and_what_is_under_way_is_still_looked_after() {
    let mut rollout = rollout(50);
    advance(&mut rollout, 0);
    deliver(&mut rollout, [0]);
    advance(&mut rollout, 1);
    settle(&mut rollout, 7, LetGoResult::Failed);
    assert_eq!(rollout.view.state, RolloutState::Stopped);
    assert_eq!(rollout.view.why.as_deref(), Some("position 7 of `app` failed: answered 500"));
    assert_eq!(advance(&mut rollout, 2), [0_u64; 0]);
    assert!(rollout.is_active());
    deliver(&mut rollout, (1..11).filter(|n| *n != 7));
    assert!(!rollout.is_active());
    assert_eq!((rollout.view.delivered, rollout.view.failed), (10, 1));
}

#[test]
fn resumed_after_a_stop_it_begins_anew_with_one_and_those_that_failed_are_among_them() {
    let mut rollout = rollout(50);
    advance(&mut rollout, 0);
    settle(&mut rollout, 0, LetGoResult::Failed);
    assert!(!rollout.pause(None), "it does not run");
    assert!(rollout.resume());
    assert_eq!(rollout.view.filter, view(50).filter, "for no other letters than before");
    assert!(rollout.waiting.is_none(), "they are looked for anew");
    // The one that failed died behind the end of the filter: no look finds it.
    assert_eq!(rollout.view.failed_before(), letters(0..1));
    rollout.set_waiting(rollout.view.failed_before(), letters(1..50));
    assert_eq!(rollout.view.stages.iter().map(|stage| stage.size).sum::<u64>(), 50);
    assert_eq!(advance(&mut rollout, 6), [0]);
    deliver(&mut rollout, [0]);
    assert_eq!(advance(&mut rollout, 7).len(), 10);
    assert_eq!((rollout.view.delivered, rollout.view.failed), (1, 0), "its last result counts");
    deliver(&mut rollout, 1..5);
    settle(&mut rollout, 5, LetGoResult::Failed);
    assert_eq!((rollout.view.delivered, rollout.view.failed), (5, 1), "figures go on");
    assert_eq!(rollout.view.n_let_go(), 11);
}

#[test]
fn letter_that_its_handler_tries_again_counts_by_what_comes_of_it() {
    let mut rollout = rollout(2);
    advance(&mut rollout, 0);
    let letter = (app(), Position(0));
    let refused = (Some("answered 500".to_owned()), true);
    rollout.settle((&letter.0, letter.1), LetGoResult::Failed, refused);
    assert_eq!(rollout.view.state, RolloutState::Stopped);
    assert!(rollout.is_active() && rollout.is_slow(), "it is still looked after");
    // It goes on with the other one; the first is no dead letter.
    assert!(rollout.resume());
    assert_eq!(rollout.view.failed_before(), [], "it comes by itself");
    rollout.set_waiting(Vec::new(), letters(1..2));
    assert_eq!(advance(&mut rollout, 6), [1]);
    deliver(&mut rollout, [1]);
    advance(&mut rollout, 7);
    assert_eq!(rollout.view.state, RolloutState::Done);
    assert_eq!((rollout.view.delivered, rollout.view.failed), (1, 1));
    assert!(rollout.is_active());
    let text = serde_json::to_string(&rollout.view).unwrap();
    let mut rollout = Rollout::kept(serde_json::from_str(&text).unwrap());
    assert!(rollout.is_active(), "also after a restart");
    rollout.mend((&letter.0, letter.1), LetGoResult::Delivered, None);
    assert_eq!((rollout.view.delivered, rollout.view.failed), (2, 0));
    assert!(!rollout.is_active());
}

#[test]
fn resumed_after_a_pause_it_goes_on_in_its_stage() {
    let mut rollout = rollout(50);
    advance(&mut rollout, 0);
    assert!(rollout.pause(None));
    deliver(&mut rollout, [0]);
    assert_eq!(advance(&mut rollout, 1), [0_u64; 0]);
    assert!(rollout.resume() && !rollout.resume());
    assert_eq!(advance(&mut rollout, 3).len(), 10);
    assert!(rollout.pause(None));
    settle(&mut rollout, 3, LetGoResult::Failed);
    assert_eq!(rollout.view.state, RolloutState::Stopped, "a pause hides no failure");
}

#[test]
fn cancelled_one_lets_nothing_go_and_counts_what_it_had_let_go_once_that_arrives() {
    let mut rollout = rollout(50);
    advance(&mut rollout, 0);
    assert!(rollout.cancel(at(4)));
    assert!(!rollout.cancel(at(5)) && !rollout.resume() && !rollout.pause(None));
    assert_eq!(advance(&mut rollout, 1), [0_u64; 0]);
    assert_eq!(rollout.view.ended_at, Some(at(4)));
    assert_eq!(rollout.told().figures(), "1 of 50 let go: 0 delivered, 1 under way");
    assert!(rollout.is_active() && rollout.is_slow(), "its handler may take it days later");
    deliver(&mut rollout, [0]);
    assert_eq!(rollout.told().figures(), "1 of 50 let go: 1 delivered");
    assert!(!rollout.is_active());
    assert_eq!(rollout.view.state, RolloutState::Cancelled);
}

#[test]
fn pace_and_room_bound_what_is_under_way() {
    let mut slow = Rollout::begin(view(2), letters(0..11));
    let first = slow.advance(at(0), at(0));
    assert_eq!(first.len(), 1, "the first one at once");
    deliver(&mut slow, [0]);
    assert_eq!(slow.advance(at(100), at(100)).len(), 0);
    assert_eq!(slow.advance(at(500), at(500)).len(), 1);
    assert_eq!(slow.advance(at(60_000), at(60_000)).len(), 2, "no more than those of a second");

    let mut fast = rollout(2_000);
    for (second, n) in [(0, 1_u64), (1, 10), (2, 100)] {
        let let_go = advance(&mut fast, second);
        assert_eq!(let_go.len() as u64, n);
        deliver(&mut fast, let_go);
    }
    assert_eq!(advance(&mut fast, 3).len(), UNDER_WAY_MAX);
    assert_eq!(advance(&mut fast, 4).len(), 0);
    deliver(&mut fast, 111..611);
    assert_eq!(advance(&mut fast, 5).len(), UNDER_WAY_MAX);
    assert!(fast.view.let_go.len() <= 2 * UNDER_WAY_MAX, "{}", fast.view.let_go.len());
}

#[test]
fn what_was_kept_goes_on_where_it_was() {
    let mut first = rollout(50);
    advance(&mut first, 0);
    deliver(&mut first, [0]);
    let let_go = advance(&mut first, 1);
    deliver(&mut first, 1..6);
    let text = serde_json::to_string(&first.view).unwrap();
    let mut second = Rollout::kept(serde_json::from_str(&text).unwrap());
    assert_eq!(advance(&mut second, 2), [0_u64; 0], "nothing was looked for yet");
    // Those that were noted and not redriven are still dead letters.
    second.set_waiting(Vec::new(), letters(8..50));
    assert_eq!(second.under_way().count(), 5);
    deliver(&mut second, let_go.into_iter().skip(5));
    assert_eq!(advance(&mut second, 3), [11], "the pace begins anew");
    assert_eq!(advance(&mut second, 4), (12..50).collect::<Vec<_>>());
}

#[test]
fn letters_that_could_not_be_noted_are_given_back() {
    let mut rollout = rollout(50);
    let due = rollout.advance(at(0), at(0));
    rollout.give_back(&due, "the disk is full".into());
    assert_eq!(rollout.view.state, RolloutState::Paused);
    assert_eq!((rollout.view.stages[0].let_go, rollout.view.let_go.len()), (0, 0));
    assert!(rollout.resume());
    assert_eq!(advance(&mut rollout, 1), [0]);
}

/// Adds one with a number of its own.
fn add(rollouts: &Rollouts, mut rollout: Rollout) -> Result<u64, Objection> {
    rollouts.check(&rollout.view, &[])?;
    rollout.view.number = rollouts.claim(0);
    let number = rollout.view.number;
    rollouts.add(rollout, &[]).map(|()| number)
}

#[tokio::test]
async fn kept_rollouts_are_there_again_and_overlapping_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollouts");
    let rollouts = Rollouts::open(path.clone());
    let number = add(&rollouts, rollout(5)).unwrap();
    rollouts.save(number).await.unwrap();
    let objection = Objection::Overlaps(number, "handler app".to_owned(), RolloutState::Running);
    assert_eq!(add(&rollouts, rollout(5)), Err(objection.clone()));
    let said = objected(objection).to_string();
    assert!(said.starts_with("rollout 1 (handler app) is running and may be for some"), "{said}");
    let other = DeadAsk { handler: Some("other".into()), ..DeadAsk::default() };
    let other = Rollout::begin(RolloutView { filter: other, ..view(5) }, letters(0..1));
    assert_eq!(add(&rollouts, other), Ok(2));
    rollouts.save(2).await.unwrap();
    std::fs::write(path.join("3.json"), "{").unwrap();
    let again = Rollouts::open(path);
    assert_eq!(again.list().iter().map(|one| one.number).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(again.get(1), rollouts.get(1));
    assert_eq!(again.active(), [1, 2]);
}

#[tokio::test]
async fn ended_rollouts_are_kept_up_to_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let rollouts = Rollouts::open(folder.path().to_owned());
    for _ in 0..55 {
        let number = add(&rollouts, rollout(1)).unwrap();
        rollouts.change(number, |one| one.cancel(at(1)));
        rollouts.save(number).await.unwrap();
    }
    assert_eq!(rollouts.list().len(), 50);
    assert_eq!(Rollouts::open(folder.path().to_owned()).list().len(), 50);
}
