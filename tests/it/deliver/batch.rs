//! Several deliveries in one call.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gatepost::clock::Clock;
use gatepost::deliver::{Batch, BreakerState, Policy, Wait};
use gatepost::event::{Delivery, Failure, Output};
use gatepost::queue::DeliveryState;

use super::rig::{Rig, Step, batches, delivered, policy, refused, secs, until, unwanted};

#[tokio::test(start_paused = true)]
async fn a_full_batch_goes_at_once_and_the_rest_when_its_time_has_come() {
    let rig = Rig::new();
    rig.append_n(7).await;
    let ready = rig.ready(batches(3, secs(60)), |_| delivered()).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.positions(), [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);
    let times: Vec<u64> = ready.handler.calls().iter().map(|call| call.at.as_secs()).collect();
    assert_eq!(times, [0, 0, 60]);
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_what_is_there_goes() {
    let rig = Rig::new();
    rig.append_n(5).await;
    let ready = rig.ready(batches(100, Duration::ZERO), |_| delivered()).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.positions(), [[1, 2, 3, 4, 5]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_wait_until_a_time_of_day() {
    let rig = Rig::new();
    let (noon, zone) = (jiff::civil::time(12, 0, 0, 0), jiff::tz::TimeZone::UTC);
    let batch = Batch { max: 100.try_into().unwrap(), wait: Wait::Until { time: noon, zone } };
    rig.append_n(2).await;
    let policy = Policy { batch: Some(batch), ..policy() };
    let ready = rig.ready(policy, |_| delivered()).await;
    rig.settle_all(ready.deliverer).await;
    let call = ready.handler.calls().remove(0);
    let now = jiff::Timestamp::from_millisecond(rig.clock.now().as_millis()).unwrap();
    let now = now.to_zoned(jiff::tz::TimeZone::UTC).time();
    assert_eq!(call.positions, [1, 2]);
    assert!(noon <= now && now < jiff::civil::time(12, 0, 30, 0), "{now}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_put_a_batch_off() {
    let rig = Rig::new();
    rig.append_n(2).await;
    for _ in 0..3 {
        let ready = rig.ready(batches(10, secs(60)), |_| delivered()).await;
        rig.run_for(ready.deliverer, secs(15)).await;
        assert_eq!(ready.handler.n_calls(), 0);
    }
    let ready = rig.ready(batches(10, secs(60)), |_| delivered()).await;
    rig.settle_all(ready.deliverer).await;
    let call = ready.handler.calls().remove(0);
    assert_eq!((call.positions, call.at.as_secs()), (vec![1, 2], 60));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_for_a_while_is_tried_again_as_one_outcome() {
    let rig = Rig::new();
    rig.append_n(4).await;
    let first = |deliveries: &[Delivery]| {
        if deliveries.iter().any(|one| one.attempt == 1) { refused() } else { delivered() }
    };
    let ready = rig.ready(batches(4, Duration::ZERO), first).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.calls()[0].positions, [1, 2, 3, 4]);
    for position in 1..=4 {
        let history = rig.history(position).await;
        assert_eq!(history.state, DeliveryState::Delivered);
        assert_eq!(history.attempts.len(), 2);
    }
}

fn is_bad(delivery: &Delivery) -> bool {
    delivery.event.event_type.as_str() == "bad"
}

#[tokio::test(start_paused = true)]
async fn one_bad_event_ends_alone_in_the_dead_letters() {
    let rig = Rig::new();
    for event_type in ["a", "b", "bad", "c", "d"] {
        rig.append(event_type, "{}").await;
    }
    let ready = rig
        .ready(batches(5, Duration::ZERO), |deliveries| {
            if deliveries.iter().any(is_bad) { unwanted() } else { delivered() }
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    let expected = [vec![1, 2, 3, 4, 5], vec![1], vec![2], vec![3], vec![4], vec![5]];
    assert_eq!(ready.handler.positions(), expected);
    let dead = rig.dead().await;
    assert_eq!(dead.iter().map(|letter| letter.position.0).collect::<Vec<_>>(), [3]);
    for position in [1, 2, 4, 5] {
        let history = rig.history(position).await;
        assert_eq!((history.state, history.attempts.len()), (DeliveryState::Delivered, 1));
    }
}

const EMPTY: &str = "the text is empty";

/// An event that had nothing for the handler, among others: it alone is skipped, whatever becomes of
/// those, and none of them is sent twice for it.
#[tokio::test(start_paused = true)]
async fn skip_within_a_batch_settles_its_own_event_only() {
    type Answer = Box<dyn Fn(&[Delivery]) -> Step + Send + Sync>;
    let skip = |one: &Delivery| Output::skipped_of(vec![(one.event.id, EMPTY)]);
    let cases: [(Answer, &[&[u64]]); 3] = [
        (Box::new(move |all| Step::Say(skip(&all[1]))), &[&[1, 2, 3, 4]]),
        // The third fails for now.
        (
            Box::new(move |all| match all {
                [one, two, _, four] => {
                    let done = [one, two, four].map(|one| one.event.id).to_vec();
                    let failure = Failure::transient("refused").with_done(done);
                    Step::Answer(Err(failure.with_output(skip(two))))
                }
                _ => delivered(),
            }),
            &[&[1, 2, 3, 4], &[3]],
        ),
        // The batch is not wanted as a whole.
        (
            Box::new(|all| match all {
                [one] if one.event.position.0 == 2 => Step::Say(Output::skipped(EMPTY)),
                [_] => delivered(),
                _ => unwanted(),
            }),
            &[&[1, 2, 3, 4], &[1], &[2], &[3], &[4]],
        ),
    ];
    for (answer, calls) in cases {
        let rig = Rig::new();
        rig.append_n(4).await;
        let ready = rig.ready(batches(4, Duration::ZERO), answer).await;
        let control = ready.control.clone();
        rig.settle_all(ready.deliverer).await;
        assert_eq!(ready.handler.positions(), calls);
        for position in 1..=4 {
            let history = rig.history(position).await;
            let (state, error) = match position {
                2 => (DeliveryState::Skipped, EMPTY),
                _ => (DeliveryState::Delivered, ""),
            };
            let last = history.attempts.last().unwrap();
            assert_eq!((history.state, last.error.as_str()), (state, error), "{position}");
        }
        assert!(rig.dead().await.is_empty());
        assert_eq!(control.status().breaker, BreakerState::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_goes_away_in_between_is_not_asked_for_the_rest() {
    let rig = Rig::new();
    rig.append_n(50).await;
    let ready = rig
        .ready(batches(50, Duration::ZERO), |deliveries| {
            if deliveries.len() > 1 {
                return unwanted();
            }
            match (deliveries[0].event.position.0, deliveries[0].attempt) {
                (2, 1) => refused(),
                _ => delivered(),
            }
        })
        .await;
    let handler = ready.handler.clone();
    let is_early = async move {
        until(|| handler.n_calls() >= 3).await;
        handler.calls()
    };
    let ((), calls) = tokio::join!(rig.settle_all(ready.deliverer), is_early);
    assert_eq!(calls.len(), 3, "the batch, 1, and 2, which fails");
    for position in 3..=50 {
        let history = rig.history(position).await;
        assert_eq!(history.state, DeliveryState::Delivered);
        assert_eq!(history.attempts.len(), 1, "no try was used up");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_breaks_its_batches_does_not_take_the_others_with_it() {
    let rig = Rig::new();
    for n in 0..20 {
        rig.append(if n == 9 { "bad" } else { "a" }, "{}").await;
    }
    let ready = rig
        .ready(batches(20, secs(1)), |deliveries| {
            if deliveries.iter().any(is_bad) { refused() } else { delivered() }
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    let dead = rig.dead().await;
    assert_eq!(dead.iter().map(|letter| letter.position.0).collect::<Vec<_>>(), [10]);
}

#[tokio::test(start_paused = true)]
async fn without_batches_each_goes_alone_unless_the_kind_says_otherwise() {
    for (n_unasked, expected) in
        [(1, vec![vec![1], vec![2], vec![3]]), (2, vec![vec![1, 2], vec![3]])]
    {
        let rig = Rig::new();
        rig.append_n(3).await;
        // What came in by a wrong clock goes at once, too.
        rig.clock.set_back(Duration::from_hours(1));
        let policy = Policy { batch: None, ..batches(3, secs(60)) };
        let ready = rig.ready(policy, |_| delivered()).await;
        ready.handler.default_batch.store(n_unasked, Ordering::SeqCst);
        rig.settle_all(ready.deliverer).await;
        assert_eq!(ready.handler.positions(), expected);
        assert!(rig.clock.since_start() < secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_does_not_put_a_batch_off_for_ever() {
    let rig = Rig::new();
    rig.append_n(2).await;
    rig.clock.set_back(Duration::from_hours(24 * 365));
    let ready = rig.ready(batches(10, secs(60)), |_| delivered()).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.calls()[0].at.as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_quickly_shares_calls_and_what_comes_after_a_pause_goes_at_once() {
    let rig = Rig::new();
    let ready = rig.ready(Policy { batch: None, ..policy() }, |_| delivered()).await;
    ready.handler.default_batch.store(100, Ordering::SeqCst);
    let handler = ready.handler.clone();
    let feed = async {
        for _ in 0..100 {
            rig.append_n(1).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        until(|| rig.is_settled("h")).await;
        let calls = handler.calls();
        assert_eq!(calls[0].positions, [1]);
        assert!(calls[0].at < Duration::from_millis(2), "{:?}", calls[0].at);
        assert!((28..=42).contains(&calls.len()), "{} calls", calls.len());
        tokio::time::sleep(secs(1)).await;
        let began = rig.clock.since_start();
        rig.append_n(1).await;
        until(|| rig.is_settled("h")).await;
        let last = handler.calls().pop().unwrap();
        assert_eq!(last.positions, [101]);
        assert!(last.at < began + Duration::from_millis(2), "{:?} after {began:?}", last.at);
    };
    let is_done = || ready.handler.positions().concat().len() == 101;
    tokio::join!(rig.run_until(ready.deliverer, is_done), feed);
}
