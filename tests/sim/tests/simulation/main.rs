//! The simulation of the queue: the whole of it on one thread, its components stepped by a seeded
//! scheduler over a disk in memory that fails, rots and loses power, beside an oracle that knows
//! what may have become of every event.
//!
//! `SIM_SEED` = the first of the new seeds (random without it), `SIM_SECONDS` = how long they are
//! tried.

mod action;
mod damage;
mod delivering;
mod disk;
mod embedded;
mod fate;
mod fates;
mod model;
mod mutants;
mod oracle;
mod runner;
mod simulation;
mod subject;
mod worker;

use std::time::Duration;

use action::Flavour;
use embedded::Embedded;
use model::Model;
use mutants::MUTANTS;
use runner::{Failure, report, run_seeds, shrink};
use subject::Subject;

const ALL: Flavour = Flavour { faults: true, rot: true, clock: true, full: true, groups: false };
/// With what came later: it changes what a seed stands for.
const MORE: Flavour = Flavour { groups: true, ..ALL };

/// Fails with what is left of the plan when everything that does not matter is dropped.
fn fail<S: Subject>(failure: Failure) -> ! {
    let first = failure.why.clone();
    let smallest = shrink::<S>(failure, Duration::from_secs(20));
    panic!("{first}\nmade smaller: {}", report(&smallest));
}

#[test]
fn sound_model_passes() {
    let budget = Duration::from_secs(5);
    let figures = run_seeds::<Model<{ usize::MAX }>>(0..150, 400, MORE, budget);
    match figures {
        Ok(figures) => assert!(figures.n_runs > 0),
        Err(failure) => fail::<Model<{ usize::MAX }>>(failure),
    }
}

/// Which seed finds a mutant; `None` = none did.
fn seed_that_finds<S: Subject>() -> Option<u64> {
    (0..400).find(|seed| {
        let plan = runner::Plan::of(*seed, 400, MORE);
        // A panic of the model is no find.
        runner::run::<S>(&plan).is_err_and(|failure| !failure.why.starts_with("panicked"))
    })
}

macro_rules! mutants_are_found {
    ($($index:literal)*) => {
        [$(seed_that_finds::<Model<$index>>()),*]
    };
}

#[test]
fn every_mutant_of_the_model_is_found() {
    let found = mutants_are_found!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28);
    let missed: Vec<_> =
        MUTANTS.iter().zip(found).filter(|(_, seed)| seed.is_none()).map(|(it, _)| it).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// The numbers of an environment's variable.
#[expect(clippy::disallowed_methods, reason = "how long to try is for whoever runs it to say")]
fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn passes(seeds: impl Iterator<Item = u64>, n_actions: usize, may: Flavour, budget: Duration) {
    match run_seeds::<Embedded>(seeds, n_actions, may, budget) {
        Ok(figures) => {
            let per_second = figures.n_actions as f64 / figures.elapsed.as_secs_f64();
            println!("{} runs, {per_second:.0} actions a second", figures.n_runs);
            assert!(figures.n_runs > 0, "not one run within {budget:?}");
        }
        Err(failure) => fail::<Embedded>(failure),
    }
}

const CALM: Flavour =
    Flavour { faults: false, rot: false, clock: false, full: false, groups: false };

#[test]
fn queue_passes_fixed_seeds_with_crashes() {
    passes(0..200, 400, CALM, Duration::from_secs(30));
}

#[test]
fn queue_passes_fixed_seeds_with_clock_jumps() {
    let may = Flavour { clock: true, ..CALM };
    passes(1_000..1_200, 400, may, Duration::from_secs(30));
}

#[test]
fn queue_passes_fixed_seeds_with_full_disks() {
    let may = Flavour { full: true, ..CALM };
    passes(2_000..2_200, 400, may, Duration::from_secs(30));
}

#[test]
fn queue_passes_fixed_seeds_with_failing_disks() {
    let may = Flavour { faults: true, ..CALM };
    passes(3_000..3_200, 400, may, Duration::from_secs(30));
}

#[test]
fn queue_passes_fixed_seeds_with_rot() {
    let may = Flavour { rot: true, ..CALM };
    passes(4_000..4_200, 400, may, Duration::from_secs(30));
}

/// Of [`queue_passes_new_seeds_with_everything`].
#[test]
fn queue_passes_seeds_that_once_failed() {
    let seeds = [
        // A search that stood in a segment that was trimmed.
        11_467_715_454_386_779_282,
        // A lost delivery before open ones.
        10_828_534_303_697_246_913,
        // The oldest segment's file is missing.
        2_840_043_352_099_216_290,
        // Key runs that reach beyond the log's end.
        13_033_386_996_535_055_764,
        // A subscription that stood in a segment that was trimmed.
        9_896_126_215_274_666_506,
        // Damage that was written over since, in the harness.
        5_933_877_369_180_909_729,
        14_907_951_782_446_110_283,
        // A newest segment without a head: keys and ids that only earlier ones tell of.
        3_027_439_466_658_040_047,
        1_771_833_617_213_164_085,
        // A call that was given up and was answered later, in the harness.
        6_474_795_778_647_887_061,
        // All of the log is gone: what was copied is not.
        6_474_795_778_647_887_112,
        // A newest segment of which nothing can be read: its positions were given again.
        900_000_169,
        6_474_795_778_647_887_887,
        // The same: what came next was put before it.
        6_474_795_778_647_889_411,
        // A subscription that was being forgotten when the sync failed.
        205,
        // The records of a forgotten and of a new subscription are lost together.
        1_496,
        6_474_795_778_647_892_115,
        // A run of keys whose name was not synced, and counted after a restart.
        222_223_479,
        // A record behind one that is damaged counts, in the oracle.
        1_628,
        // A subscription whose record cannot be read for a while, in the oracle.
        222_223_780,
        // A rotten outcome of an event that was let go.
        6_474_795_778_647_894_134,
        // The end of a damaged segment was not written once more.
        333_333_335_603,
        // The only file of the log and both snapshots are gone: what was copied was removed.
        77_000_005_852,
        // A handler that is forgotten once more while nobody knows whether it is, in the harness.
        880_000_033_168,
        // The log's end is missing, and what came behind it let the oldest segment go.
        880_000_023_525,
        // What was copied and may be recorded yet was written over.
        880_000_022_977,
        // The same, with the wall clock set back: what was copied has the newest id.
        880_000_006_690,
        // A subscription that was refused before it began, in the oracle.
        880_000_010_023,
        // An outcome and something of the kept log are damaged, in the oracle.
        77_000_004_974,
        // A damaged run of keys that was renamed, and the folder's sync failed.
        222_228_667,
        // A page of keys that cannot be read comes to be one later, in the oracle.
        6_474_795_778_647_897_189,
        333_333_341_525,
        // All of the log is gone: no key counts, in the oracle.
        6_474_795_778_647_897_807,
        // A redrive of lost ones whose positions no answer has told, in the oracle.
        639_334_407_029_975_098,
        // A redrive of one that held its key, whose records are damaged, in the oracle.
        2_589_544_095_186_665_102,
        // The number of an opening that could not be read was given again.
        12_958_154_089_596_164_557,
        // A subscription whose sync failed was said not to be there.
        733_534_989_990_991_561,
        // What was settled while the disk had been full a moment ago, in the oracle.
        199_585_000_630_582_333,
        // A dead letter that held its key the second time only, whose records are damaged, in the
        // oracle.
        739_703_000_223_376_450,
        // An outcome that only a damaged snapshot had, since what was copied is damaged too, in the
        // oracle.
        10_768_424_650_224_405_459,
        // A damaged outcome of a replayed event that was let go, and no snapshot to tell of it.
        841_071_213_072_090_295,
        // An upkeep that was asked for while the disk had been full a moment ago, in the harness.
        250_160_808_554_722_472,
        // Positions that a filler names were given again.
        142_655_116_700_181_331,
        // The log's end is missing: what was copied and not given to every handler was let go.
        268_995_332_703_573_754,
    ];
    passes(seeds.into_iter(), 600, ALL, Duration::from_secs(60));
}

#[test]
fn queue_passes_fixed_seeds_with_everything() {
    passes(5_000..5_100, 600, ALL, Duration::from_secs(30));
}

#[test]
fn queue_passes_fixed_seeds_with_groups() {
    passes(6_000..6_100, 600, Flavour { groups: true, ..CALM }, Duration::from_secs(30));
    passes(7_000..7_100, 600, MORE, Duration::from_secs(30));
}

/// 2 million actions.
const NEW_RUNS: usize = 3_400;

/// Everything at once, from `SIM_SEED` on: 2 million actions, or `SIM_SECONDS` long.
#[test]
fn queue_passes_new_seeds_with_everything() {
    let first = number_of("SIM_SEED").unwrap_or_else(rand::random);
    println!("from seed {first} on");
    let (n_runs, seconds) = match number_of("SIM_SECONDS") {
        Some(seconds) => (usize::MAX, seconds),
        None => (NEW_RUNS, 600),
    };
    let seeds = (0..).map(|n| first.wrapping_add(n)).take(n_runs);
    passes(seeds, 600, MORE, Duration::from_secs(seconds));
}
