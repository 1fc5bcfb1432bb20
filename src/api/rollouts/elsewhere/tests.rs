//! Which of several gateways carries one on, and what is told of it.

use super::*;
use crate::api::{Actor, DeadAsk, RolloutState};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn name(text: &str) -> NodeName {
    NodeName::parse(text).unwrap()
}

pub(super) fn view(number: u64, takeovers: u32) -> RolloutView {
    let filter = DeadAsk { handler: Some("app".into()), until: Some(at(11)), ..DeadAsk::default() };
    let view = RolloutView::new(filter, "handler app".into(), Actor::Token, 50, at(10));
    RolloutView { number, takeovers, ..view }
}

fn told_by(node: &str, rollouts: Vec<RolloutView>) -> NodeReportView {
    let report = NodeReport { rollouts, ..NodeReport::default() };
    NodeReportView { node: name(node), at: at(20), report }
}

fn shown(reports: &[NodeReportView]) -> Vec<(String, u32)> {
    let of = |one: RolloutView| (one.reported_by.unwrap().node.to_string(), one.takeovers);
    told(reports).into_iter().map(of).collect()
}

#[test]
fn one_that_is_taken_over_again_is_carried_on_by_one_gateway() {
    let (a, b) = (name("a"), name("b"));
    let of = |takeovers| view(1, takeovers).take_over();
    assert!(goes_on_with((of(1), &b), (of(0), &a)) && !goes_on_with((of(0), &a), (of(1), &b)));
    assert!(goes_on_with((of(2), &a), (of(1), &b)), "it is taken back");
    assert!(!goes_on_with((of(1), &b), (of(2), &a)));
    assert!(goes_on_with((of(1), &a), (of(1), &b)) && !goes_on_with((of(1), &b), (of(1), &a)));
    assert!(!goes_on_with((of(0), &a), (of(0), &b)), "neither was taken over");
    assert!(!goes_on_with((view(2, 1).take_over(), &b), (of(0), &a)), "another one");
    let (number, _, takeovers) = of(1);
    assert!(!goes_on_with(((number, at(9), takeovers), &b), (of(0), &a)), "another's same number");
}

#[test]
fn of_one_rollout_the_view_is_shown_that_goes_on() {
    let mut reports = vec![told_by("a", vec![view(1, 2)]), told_by("b", vec![view(1, 1)])];
    reports.push(told_by("c", vec![view(1, 1)]));
    assert_eq!(shown(&reports), [("a".to_owned(), 2)]);
    // There was no room for the view.
    reports[0].report.rollouts.clear();
    assert_eq!(shown(&reports), [("b".to_owned(), 1)]);
    reports[0].report.taken_over = vec![view(1, 2).take_over()];
    assert_eq!(shown(&reports), []);
    assert_eq!(highest_told(&reports), 1);
    reports[2].report.last_rollout = 9;
    assert_eq!(highest_told(&reports), 9);
}

#[test]
fn one_is_taken_back_in_place_of_what_has_ended_and_begins_anew_within_its_own_end() {
    let rollouts = crate::api::Rollouts::none();
    assert!(rollouts.insert(Rollout::kept(view(1, 0))));
    assert!(!rollouts.insert(Rollout::kept(view(1, 2))), "it has not ended");
    rollouts.change(1, |one| one.cancel(at(12)));
    let gone = RolloutView { failed: 2, under_way: 3, delivered: 4, ..view(1, 2) };
    assert!(rollouts.insert(Rollout::begin_anew(gone.clone(), at(50))));
    let own = rollouts.get(1).unwrap();
    assert_eq!((own.takeovers, own.state), (2, RolloutState::Running));
    assert_eq!((own.failed, own.under_way, own.n_let_go()), (0, 0, 4), "they are let go once more");
    assert_eq!(own.filter.until, Some(at(50)), "those that failed since are among them");
    let filter = DeadAsk { until: Some(at(5)), ..gone.filter.clone() };
    let named = Rollout::begin_anew(RolloutView { filter, ..gone }, at(50));
    assert_eq!(named.view.filter.until, Some(at(5)), "an end that the owner named stays");
}

#[test]
fn what_is_told_of_rollouts_is_bounded_and_grows_old() {
    let exchange = RolloutExchange::default();
    let ended = |one| RolloutView { state: RolloutState::Done, ..one };
    let mut all: Vec<RolloutView> = (2..60).rev().map(|n| ended(view(n, 1))).collect();
    all.push(view(1, 1));
    let answer = |id| RolloutAnswer { to: name("b"), id, refused: None };
    exchange.answer(answer(1), at(0));
    exchange.answer(answer(2), at(30_000));
    let asked_at = at(0);
    let (number, step, actor) = (1, RolloutStep::Pause, Actor::Token);
    let request = RolloutRequest { to: name("b"), id: 1, asked_at, number, step, actor };
    lock(&exchange.exchanged).requests.push(request);
    let mut report = NodeReport::default();
    exchange.add_to(&mut report, all.clone(), at(59_999));
    assert_eq!((report.rollout_answers.len(), report.rollout_requests.len()), (2, 1));
    assert_eq!((report.rollouts.len(), report.rollouts[0].number), (TOLD_MAX, 1));
    assert_eq!((report.last_rollout, report.taken_over.len()), (59, TAKEN_OVER_MAX));
    assert_eq!(report.taken_over[0], view(1, 1).take_over(), "what has not ended comes first");
    exchange.add_to(&mut report, all, at(60_000));
    assert_eq!((report.rollout_answers, report.rollout_requests.len()), (vec![answer(2)], 0));
    assert!(exchange.is_answered(&name("b"), 1), "it is not done twice");
}
