//! What can happen, and the seeded generator of it. Numbers stand for choices among what there is
//! when an action is done, so that a plan still makes sense when some of its actions are dropped.

use rand::Rng;
use rand::rngs::StdRng;

use crate::damage::{Damage, Fault, FileClass};
use crate::subject::{End, Part};

/// How a call of the handler ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Deliver,
    Skip,
    /// It failed, and is tried again.
    Retry {
        wait_ms: u64,
    },
    /// It was not tried.
    Deferred {
        wait_ms: u64,
    },
    Die,
    /// It dies and holds its order key, where it has one.
    DieHolding,
    /// It failed together with the one behind it in the line of its key.
    RetryBoth {
        wait_ms: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Append {
        source: u8,
        dedupe: Option<u8>,
        order: u8,
        bytes: u16,
    },
    /// So many events by one commit.
    AppendAll {
        source: u8,
        dedupe: Option<u8>,
        order: u8,
        bytes: u16,
        n_events: u8,
    },
    /// An event whose sender gives up, and has no id of it.
    Unheard {
        source: u8,
        order: u8,
        bytes: u16,
        n_steps: u8,
    },
    /// The sender of the newest of those sends it again.
    Again,
    /// Whether an event with this key would be a repeat.
    Ask {
        source: u8,
        key: u8,
    },
    Subscribe {
        handler: u8,
        is_interrupted: bool,
    },
    Unsubscribe {
        handler: u8,
    },
    Forget {
        handler: u8,
    },
    Take {
        handler: u8,
        max: u8,
    },
    Finish {
        handler: u8,
        pick: u16,
        how: How,
    },
    Release {
        handler: u8,
        pick: u16,
    },
    Redrive {
        handler: u8,
        pick: Option<u16>,
    },
    DropDead {
        handler: u8,
        pick: Option<u16>,
    },
    Replay {
        handler: u8,
        pick: u16,
    },
    Step(Part),
    /// The components work until nothing is left to do.
    Work,
    /// Time passes, without any work.
    Wait {
        ms: u32,
    },
    /// Time enough for settlements to be recorded, and then work.
    Record,
    /// Somebody sets the wall clock.
    SetClock {
        by_ms: i64,
    },
    Clean {
        is_full: bool,
    },
    Snapshot,
    Close,
    Crash {
        end: End,
        damage: Option<Damage>,
    },
    Damage(Damage),
    Fault(Fault),
    Mend,
    /// The state is compared with one that is made anew.
    Compare,
    /// Everything is delivered, as in a calm hour.
    Drain,
}

/// Which kinds of trouble a plan has in it: most plans have few, so that what they allow does not
/// hide what they should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flavour {
    pub faults: bool,
    pub rot: bool,
    pub clock: bool,
    pub full: bool,
    /// Events that are stored together, and questions for repeats.
    pub groups: bool,
}

pub fn plan(random: &mut StdRng, n_actions: usize, flavour: Flavour) -> Vec<Action> {
    // One that crashes seldom turns over more; one that crashes often finds more edges.
    let crash = [0.002, 0.01, 0.04][random.random_range(0..3)];
    let trouble = if random.random_bool(0.5) { 0.01 } else { 0.03 };
    let key_count = [2_u8, 8, 40][random.random_range(0..3)];
    let actions = (0..n_actions).map(|_| {
        if random.random_bool(crash) {
            return end(random, flavour);
        }
        if random.random_bool(trouble)
            && let Some(action) = trouble_of(random, flavour)
        {
            return action;
        }
        ordinary(random, key_count)
    });
    let mut plan: Vec<Action> = (0..3)
        .map(|handler| Action::Subscribe { handler, is_interrupted: false })
        .chain(actions)
        .collect();
    if flavour.groups {
        plan = with_groups(plan, random, key_count);
    }
    plan.push(Action::Drain);
    plan
}

/// Behind all that is drawn for the others: plans without groups stay as they were.
fn with_groups(plan: Vec<Action>, random: &mut StdRng, key_count: u8) -> Vec<Action> {
    let mut all = Vec::with_capacity(plan.len());
    for action in plan {
        all.push(match action {
            Action::Append { source, dedupe, order, bytes } if random.random_bool(0.2) => {
                let (n_events, bytes) = (random.random_range(1..6), bytes % 1_000);
                Action::AppendAll { source, dedupe, order, bytes, n_events }
            }
            other => other,
        });
        if random.random_bool(0.04) {
            let (source, order) = (random.random_range(0..2), random.random_range(0..5));
            let (bytes, n_steps) = (random.random_range(0..300), random.random_range(0..4));
            all.push(Action::Unheard { source, order, bytes, n_steps });
        }
        if random.random_bool(0.05) {
            all.push(Action::Again);
        }
        if random.random_bool(0.03) {
            let (source, key) = (random.random_range(0..2), random.random_range(0..key_count));
            all.push(Action::Ask { source, key });
        }
    }
    all
}

fn end(random: &mut StdRng, flavour: Flavour) -> Action {
    let damage = if random.random_bool(0.3) { damage(random, flavour) } else { None };
    match random.random_range(0..10) {
        0..2 => Action::Close,
        2..5 => Action::Crash { end: End::Kill, damage },
        5..9 => Action::Crash { end: End::PowerCut { torn_sectors: false }, damage },
        _ => Action::Crash { end: End::PowerCut { torn_sectors: true }, damage },
    }
}

/// Rot of what can be made anew costs nothing and is always part of it.
fn damage(random: &mut StdRng, flavour: Flavour) -> Option<Damage> {
    let class = match random.random_range(0..10) {
        0..3 => FileClass::Snapshot,
        3..5 => FileClass::Keys,
        5..9 if flavour.rot => FileClass::Log,
        9 if flavour.rot => FileClass::Kept,
        _ => return None,
    };
    let (file, at) = (random.random(), random.random());
    Some(match random.random_range(0..6) {
        0 => Damage::Remove { class, file },
        _ => Damage::Flip { class, file, at, bit: random.random_range(0..8) },
    })
}

fn trouble_of(random: &mut StdRng, flavour: Flavour) -> Option<Action> {
    match random.random_range(0..4) {
        0 if flavour.faults => {
            let after = random.random_range(0..12);
            let (file, at) = (random.random(), random.random());
            Some(Action::Fault(match random.random_range(0..6) {
                0 => Fault::Write { after },
                1 => Fault::ShortWrite { after, bytes: random.random_range(0..600) },
                2 => Fault::Sync { after },
                3 => Fault::Names { after },
                4 => Fault::ReadOnce { after },
                _ => Fault::ReadRegion { file, at, blocks: random.random_range(1..3) },
            }))
        }
        1 if flavour.full => Some(match random.random_range(0..3) {
            0 => Action::Mend,
            _ => Action::Fault(Fault::Full { free: random.random_range(0..40_000) }),
        }),
        2 if flavour.clock => {
            let hours = random.random_range(1..40_000);
            let ms = if random.random_bool(0.5) { hours * 3_600_000 } else { hours * 100 };
            Some(Action::SetClock { by_ms: if random.random_bool(0.5) { ms } else { -ms } })
        }
        3 => damage(random, flavour).map(Action::Damage),
        _ => None,
    }
}

fn ordinary(random: &mut StdRng, key_count: u8) -> Action {
    let handler = random.random_range(0..3);
    let pick = random.random();
    match random.random_range(0..1_000) {
        0..230 => append(random, key_count),
        230..430 => Action::Take { handler, max: random.random_range(1..9) },
        430..650 => Action::Finish { handler, pick, how: how(random) },
        650..665 => Action::Release { handler, pick },
        665..690 => Action::Redrive { handler, pick: random.random_bool(0.7).then_some(pick) },
        690..705 => Action::DropDead { handler, pick: random.random_bool(0.7).then_some(pick) },
        705..725 => Action::Replay { handler, pick },
        725..800 => Action::Step(match random.random_range(0..5) {
            0..3 => Part::Committer,
            3 => Part::Allocator,
            _ => Part::Index,
        }),
        800..880 => Action::Work,
        880..910 => Action::Wait { ms: random.random_range(1..60) },
        910..920 => Action::Wait { ms: random.random_range(100..20_000) },
        920..950 => Action::Record,
        950..965 => Action::Clean { is_full: random.random_bool(0.5) },
        965..972 => Action::Snapshot,
        972..980 => Action::Unsubscribe { handler },
        980..992 => Action::Subscribe { handler, is_interrupted: random.random_bool(0.2) },
        992..994 => Action::Forget { handler },
        994..998 => Action::Compare,
        _ => Action::Drain,
    }
}

fn append(random: &mut StdRng, key_count: u8) -> Action {
    let dedupe = random.random_bool(0.5).then(|| random.random_range(0..key_count));
    let bytes = match random.random_range(0..20) {
        0 => random.random_range(2_000..6_000),
        1..4 => random.random_range(300..1_500),
        _ => random.random_range(0..120),
    };
    Action::Append {
        source: random.random_range(0..2),
        dedupe,
        order: random.random_range(0..5),
        bytes,
    }
}

fn how(random: &mut StdRng) -> How {
    let wait_ms = match random.random_range(0..4) {
        0 => 0,
        1 => random.random_range(1..100),
        _ => random.random_range(100..30_000),
    };
    match random.random_range(0..20) {
        0..10 => How::Deliver,
        10 => How::Skip,
        11..15 => How::Retry { wait_ms },
        15 => How::Deferred { wait_ms },
        16 => How::Die,
        17..19 => How::DieHolding,
        _ => How::RetryBoth { wait_ms },
    }
}
