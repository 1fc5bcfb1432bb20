//! What may happen to a queue, at random.

use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(super) enum Action {
    Append { kib: usize },
    AppendKeyed { key: u64 },
    Take { max: usize },
    Settle { which: usize, how: How },
    SettleAll { hows: Vec<How> },
    Release { which: usize },
    ReleaseKey { key: u8 },
    Redrive { position: u64 },
    RedriveAll,
    Drop { position: u64 },
    Replay { position: u64 },
    Advance { secs: u64 },
    Resubscribe,
    Record,
    Tidy,
    Compact,
    Reopen { without_index: bool },
    Crash { seed: u64, without_index: bool },
}

#[derive(Clone, Debug)]
pub(super) enum How {
    Delivered,
    Skipped,
    Retry { secs: u64, key: Option<u8> },
    Held { key: u8 },
    Dead { key: Option<u8> },
}

/// Which actions there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum World {
    /// Deliveries wait in line for each other; nothing is started anew. What was let go before a
    /// restart may come out of the log or as an entry after it: both are right.
    Lines,
    /// No lines, and restarts of every kind.
    Restarts,
    Both,
}

pub(super) fn how(world: World) -> BoxedStrategy<How> {
    let key = move || match world {
        World::Lines | World::Both => proptest::option::of(0..3_u8).boxed(),
        World::Restarts => Just(None).boxed(),
    };
    let held = move |key| match world {
        World::Lines | World::Both => How::Held { key },
        World::Restarts => How::Delivered,
    };
    prop_oneof![
        4 => Just(How::Delivered),
        1 => Just(How::Skipped),
        3 => (0..100_u64, key()).prop_map(|(secs, key)| How::Retry { secs, key }),
        2 => (0..3_u8).prop_map(held),
        2 => key().prop_map(|key| How::Dead { key }),
    ]
    .boxed()
}

pub(super) fn action(world: World) -> impl Strategy<Value = Action> {
    let fits = move |action| match action {
        Action::ReleaseKey { .. } if world == World::Restarts => Action::Record,
        Action::Resubscribe | Action::Reopen { .. } | Action::Crash { .. }
            if world == World::Lines =>
        {
            Action::Record
        }
        action => action,
    };
    prop_oneof![
        12 => (0..12_usize).prop_map(|kib| Action::Append { kib }),
        3 => (0..6_u64).prop_map(|key| Action::AppendKeyed { key }),
        12 => (1..6_usize).prop_map(|max| Action::Take { max }),
        24 => (0..8_usize, how(world)).prop_map(|(which, how)| Action::Settle { which, how }),
        6 => proptest::collection::vec(how(world), 1..8).prop_map(|hows| Action::SettleAll { hows }),
        2 => (0..8_usize).prop_map(|which| Action::Release { which }),
        2 => (0..3_u8).prop_map(|key| Action::ReleaseKey { key }),
        2 => (1..40_u64).prop_map(|position| Action::Redrive { position }),
        1 => Just(Action::RedriveAll),
        2 => (1..40_u64).prop_map(|position| Action::Drop { position }),
        3 => (1..40_u64).prop_map(|position| Action::Replay { position }),
        4 => (1..60_u64).prop_map(|secs| Action::Advance { secs }),
        2 => Just(Action::Resubscribe),
        2 => Just(Action::Record),
        3 => Just(Action::Tidy),
        1 => Just(Action::Compact),
        1 => any::<bool>().prop_map(|without_index| Action::Reopen { without_index }),
        2 => (any::<u64>(), any::<bool>())
            .prop_map(|(seed, without_index)| Action::Crash { seed, without_index }),
    ]
    .prop_map(fits)
}
