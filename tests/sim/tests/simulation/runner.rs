//! Runs of seeds: what fails is made smaller and printed, so that it can be run again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gatepost_sim::clock::Stopwatch;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

use crate::action::{Action, Flavour, plan};
use crate::simulation::Simulation;
use crate::subject::{Config, Subject};

/// What a seed stands for.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub config: Config,
    pub actions: Vec<Action>,
}

impl Plan {
    pub fn of(seed: u64, n_actions: usize, may: Flavour) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut some = |may: bool| may && random.random_bool(0.35);
        let flavour = Flavour {
            faults: some(may.faults),
            rot: some(may.rot),
            clock: some(may.clock),
            full: some(may.full),
            groups: may.groups,
        };
        let hours = Duration::from_secs(3_600);
        let config = Config {
            retention: [Duration::ZERO, Duration::from_secs(1), hours][random.random_range(0..3)],
            segment_bytes: [8_192, 16_384][random.random_range(0..2)],
            memtable_keys: [4, 16][random.random_range(0..2)],
            waiting_max: [50, 1_000][random.random_range(0..2)],
            has_lying_index: seed.is_multiple_of(3),
        };
        let actions = plan(&mut random, n_actions, flavour);
        Self { seed, config, actions }
    }
}

/// Where a run failed.
#[derive(Clone, Debug)]
pub struct Failure {
    pub plan: Plan,
    pub at: usize,
    pub why: String,
}

/// Runs a plan; panics of the subject count as its failures.
pub fn run<S: Subject>(plan: &Plan) -> Result<(), Failure> {
    let mut at = 0;
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut simulation = Simulation::<S>::new(plan.config, plan.seed)?;
        for (index, action) in plan.actions.iter().enumerate() {
            at = index;
            simulation
                .act(action)
                .map_err(|why| format!("{why}\n{}", simulation.subject.describe()))?;
        }
        Ok::<(), String>(())
    }));
    let why = match done {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(why)) => why,
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(message) => format!("panicked: {message}"),
            None => format!("panicked: {:?}", panic.downcast_ref::<&str>()),
        },
    };
    Err(Failure { plan: plan.clone(), at, why })
}

/// Drops actions as long as the run still fails, for at most `budget`.
pub fn shrink<S: Subject>(failure: Failure, budget: Duration) -> Failure {
    let stopwatch = Stopwatch::start();
    let mut smallest = failure;
    smallest.plan.actions.truncate(smallest.at + 1);
    let mut size = smallest.plan.actions.len() / 2;
    while size > 0 && stopwatch.elapsed() < budget {
        let mut from = 0;
        while from < smallest.plan.actions.len() && stopwatch.elapsed() < budget {
            let mut plan = smallest.plan.clone();
            plan.actions.drain(from..(from + size).min(plan.actions.len()));
            match run::<S>(&plan) {
                Ok(()) => from += size,
                // Another failure is another matter.
                Err(failure) if kind_of(&failure.why) != kind_of(&smallest.why) => from += size,
                Err(mut failure) => {
                    failure.plan.actions.truncate(failure.at + 1);
                    smallest = failure;
                }
            }
        }
        size /= 2;
    }
    smallest
}

/// What is said of a failure, without the numbers in it.
fn kind_of(why: &str) -> String {
    why.chars().filter(|c| !c.is_ascii_digit()).take(40).collect()
}

/// Figures of many runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub n_runs: u64,
    pub n_actions: u64,
    pub elapsed: Duration,
}

/// Runs these seeds until one fails or `budget` is used up.
pub fn run_seeds<S: Subject>(
    seeds: impl Iterator<Item = u64>,
    n_actions: usize,
    may: Flavour,
    budget: Duration,
) -> Result<Figures, Failure> {
    let stopwatch = Stopwatch::start();
    let mut figures = Figures::default();
    for seed in seeds {
        if stopwatch.elapsed() >= budget {
            break;
        }
        let plan = Plan::of(seed, n_actions, may);
        run::<S>(&plan)?;
        figures.n_runs += 1;
        figures.n_actions += plan.actions.len() as u64;
        figures.elapsed = stopwatch.elapsed();
    }
    Ok(figures)
}

/// A failure for people: what to run again, and the actions that are left of it.
pub fn report(failure: &Failure) -> String {
    let Failure { plan: Plan { seed, config, actions }, at, why } = failure;
    let actions: String =
        actions.iter().enumerate().map(|(n, action)| format!("  {n:4} {action:?}\n")).collect();
    format!("seed {seed} at action {at}: {why}\n{config:?}\n{actions}")
}
