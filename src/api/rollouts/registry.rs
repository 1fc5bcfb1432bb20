//! All rollouts: what runs, and the newest of those that ended.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;
use tracing::warn;

use super::elsewhere::{RolloutExchange, TakeOver};
use super::folder::RolloutFolder;
use super::rollout::Rollout;
use super::view::{RolloutState, RolloutView};
use crate::sync;

/// Rollouts that are kept once they ended.
const ENDED_MAX: usize = 50;
/// The most that have not ended: each is looked after several times a second.
const OPEN_MAX: usize = 16;

#[derive(Debug)]
pub struct Rollouts {
    folder: Option<RolloutFolder>,
    all: Mutex<Vec<Rollout>>,
    /// Held while a file is written: the newest state must be the one that stays.
    writing: tokio::sync::Mutex<()>,
    /// Rung when there is something to look after.
    pub(super) bell: Notify,
    /// What is asked of the other gateways that share the log.
    pub(in crate::api) exchange: RolloutExchange,
}

/// Why another rollout may not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// This one may be for some of the same letters: its number, what it is for, and how it stands.
    Overlaps(u64, String, RolloutState),
    /// There are [`OPEN_MAX`] already.
    TooMany,
}

impl Rollouts {
    /// Those that the folder holds.
    pub fn open(path: PathBuf) -> Self {
        let folder = RolloutFolder::new(path);
        let rollouts = folder.read().into_iter().map(Rollout::kept).collect();
        Self { folder: Some(folder), all: Mutex::new(rollouts), ..Self::none() }
    }

    /// None, and nothing is kept.
    pub fn none() -> Self {
        Self {
            folder: None,
            all: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            bell: Notify::new(),
            exchange: RolloutExchange::default(),
        }
    }

    /// All, newest first, without their letters.
    pub fn list(&self) -> Vec<RolloutView> {
        let rollouts = self.rollouts();
        let views = rollouts.iter().rev();
        views.map(|one| RolloutView { let_go: Vec::new(), ..one.told() }).collect()
    }

    /// The one with this number.
    pub fn get(&self, number: u64) -> Option<RolloutView> {
        self.change(number, |rollout| rollout.told())
    }

    /// A number above its own and `highest`, which nothing else gets.
    pub(super) fn claim(&self, highest: u64) -> u64 {
        let last = self.rollouts().last().map_or(0, |last| last.view.number);
        self.exchange.claim(last.max(highest))
    }

    /// Whether one may begin beside its own and those of `elsewhere`.
    pub(super) fn check(
        &self,
        view: &RolloutView,
        elsewhere: &[RolloutView],
    ) -> Result<(), Objection> {
        check(&self.rollouts(), view, elsewhere)
    }

    /// Adds one that has a number, where [`Self::check`] says so.
    pub(super) fn add(&self, rollout: Rollout, elsewhere: &[RolloutView]) -> Result<(), Objection> {
        let mut rollouts = self.rollouts();
        check(&rollouts, &rollout.view, elsewhere)?;
        // One that claimed its number later may be here already.
        let place = rollouts.partition_point(|one| one.view.number < rollout.view.number);
        rollouts.insert(place, rollout);
        Ok(())
    }

    /// Adds one of another gateway with its number, in place of one that has ended; `false` = there is one of that
    /// number that has not.
    pub(super) fn insert(&self, rollout: Rollout) -> bool {
        let mut rollouts = self.rollouts();
        let number = rollout.view.number;
        match rollouts.binary_search_by_key(&number, |one| one.view.number) {
            Err(place) => rollouts.insert(place, rollout),
            Ok(place) => {
                let ended = rollouts.get_mut(place).filter(|one| one.view.state.is_end());
                let Some(ended) = ended else { return false };
                *ended = rollout;
            }
        }
        true
    }

    /// Takes one back that could not be kept.
    pub(super) fn take_back(&self, number: u64) {
        self.rollouts().retain(|one| one.view.number != number);
    }

    /// Looks at one, or changes it.
    pub(super) fn change<T>(
        &self,
        number: u64,
        change: impl FnOnce(&mut Rollout) -> T,
    ) -> Option<T> {
        let mut rollouts = self.rollouts();
        rollouts.iter_mut().find(|one| one.view.number == number).map(change)
    }

    /// Those that must be looked after.
    pub(super) fn active(&self) -> Vec<u64> {
        let rollouts = self.rollouts();
        rollouts.iter().filter(|one| one.is_active()).map(|one| one.view.number).collect()
    }

    /// Those that have not ended.
    pub(super) fn open_take_overs(&self) -> Vec<TakeOver> {
        let rollouts = self.rollouts();
        let open = rollouts.iter().filter(|one| !one.view.state.is_end());
        open.map(|one| one.view.take_over()).collect()
    }

    /// Whether all of those are in no hurry.
    pub(super) fn are_slow(&self) -> bool {
        self.rollouts().iter().filter(|one| one.is_active()).all(Rollout::is_slow)
    }

    /// Keeps one as it is now; `Ok` = durably.
    pub(super) async fn save(&self, number: u64) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let _alone = self.writing.lock().await;
        // Copied only now: who waited longer must not write what is older.
        let Some(view) = self.get(number) else { return Ok(()) };
        let folder = folder.clone();
        let old = self.forget_ended();
        let written = tokio::task::spawn_blocking(move || {
            for number in old {
                if let Err(err) = folder.remove(number) {
                    warn!(error = %err, "An old rollout cannot be removed");
                }
            }
            folder.write(&view)
        });
        written.await.unwrap_or_else(|err| Err(io::Error::other(err)))
    }

    /// Lets go of the oldest that ended, and gives their numbers.
    fn forget_ended(&self) -> Vec<u64> {
        let mut rollouts = self.rollouts();
        let ended = rollouts.iter().filter(|one| one.view.state.is_end());
        let mut ended: Vec<u64> = ended.map(|one| one.view.number).collect();
        ended.truncate(ended.len().saturating_sub(ENDED_MAX));
        rollouts.retain(|one| !ended.contains(&one.view.number));
        ended
    }

    fn rollouts(&self) -> MutexGuard<'_, Vec<Rollout>> {
        sync::lock(&self.all)
    }
}

fn check(
    rollouts: &[Rollout],
    view: &RolloutView,
    elsewhere: &[RolloutView],
) -> Result<(), Objection> {
    let open = || rollouts.iter().map(|one| &one.view).filter(|one| !one.state.is_end());
    let mut others = open().chain(elsewhere.iter().filter(|one| !one.state.is_end()));
    if let Some(other) = others.find(|other| overlaps(other, view)) {
        let (target, state) = (other.target.clone(), other.state);
        return Err(Objection::Overlaps(other.number, target, state));
    }
    if open().count() >= OPEN_MAX { Err(Objection::TooMany) } else { Ok(()) }
}

/// Whether two may be for the same letters. Where one names no handler it may be for any. One that
/// stopped lets nothing go: another may try meanwhile.
fn overlaps(one: &RolloutView, other: &RolloutView) -> bool {
    let is_moving = |view: &RolloutView| view.state != RolloutState::Stopped;
    let is_same_handler = match (&one.filter.handler, &other.filter.handler) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => true,
    };
    is_moving(one) && is_moving(other) && is_same_handler
}
