//! The embedded queue beside the one in memory, which keeps the same promises without a disk: the
//! same random calls to both, with crashes, lost indexes, prunes and compactions thrown in that
//! only the embedded one goes through. Whatever is asked, both answer the same.

use gatepost::event::Outcome;
use gatepost::queue::{DeadFilter, Queue};
use proptest::prelude::*;

use super::take_due;
use crate::support::events::{key, untried};

mod actions;

mod alone;
mod compare;
mod twins;

use actions::{Action, World, action};
use twins::Twins;

async fn run(actions: &[Action], world: World) {
    let mut twins = Twins::new().await;
    for action in actions {
        twins.act(action).await;
    }
    twins.compare().await;
    // In the end everything comes, in the same order.
    twins.site.advance_secs(1_000);
    twins.take(1_000);
    if world == World::Restarts {
        twins.reopen(false).await;
        twins.take(1_000);
    }
}

/// Whatever was done, everything comes in the end: nothing is stranded in a line.
async fn run_out(actions: &[Action]) {
    let mut twins = Twins::new().await;
    for action in actions {
        twins.act_alone(action).await;
    }
    twins.site.advance_secs(1_000);
    twins.restart_alone().await;
    loop {
        let (sled, _) = twins.subscriptions.as_ref().unwrap();
        let mut n_taken = 0;
        for delivery in take_due(&**sled) {
            n_taken += 1;
            sled.settle(delivery, untried(Outcome::Delivered)).await.unwrap();
        }
        for n in 0..3 {
            n_taken += usize::from(sled.release_key(key(n)).await.unwrap());
        }
        if n_taken == 0 {
            break;
        }
    }
    // Dead letters that hold their keys hold back who is behind them: give them up.
    twins.sled.drop_dead(DeadFilter::default()).await.unwrap();
    let (sled, _) = twins.subscriptions.as_ref().unwrap();
    loop {
        let due = take_due(&**sled);
        if due.is_empty() {
            break;
        }
        for delivery in due {
            sled.settle(delivery, untried(Outcome::Delivered)).await.unwrap();
        }
    }
    let backlog = sled.backlog();
    assert_eq!((backlog.in_log, backlog.waiting, backlog.dead), (0, 0, 0));
}

fn with_runtime(run: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run);
}

/// Few by default, since each goes through many starts; `PROPTEST_CASES` makes it more.
fn cases(n: u32) -> ProptestConfig {
    const UNSET: u32 = 256;
    let config = ProptestConfig { max_shrink_iters: 300, ..ProptestConfig::default() };
    let cases = if config.cases == UNSET { n } else { config.cases };
    ProptestConfig { cases, ..config }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn lines_are_as_in_memory(
        actions in proptest::collection::vec(action(World::Lines), 1..120)
    ) {
        with_runtime(run(&actions, World::Lines));
    }

    #[test]
    fn restarts_are_as_in_memory(
        actions in proptest::collection::vec(action(World::Restarts), 1..120)
    ) {
        with_runtime(run(&actions, World::Restarts));
    }

    #[test]
    fn nothing_is_stranded(actions in proptest::collection::vec(action(World::Both), 1..120)) {
        with_runtime(run_out(&actions));
    }
}
