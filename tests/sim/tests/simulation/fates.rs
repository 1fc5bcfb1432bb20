//! What may have become of one handler's deliveries.
//!
//! What is recorded is known but for the newest outcomes: those that were settled shortly before a
//! crash are recorded up to some point of their order and not behind it. Each such point is a
//! *world*; what the queue does later rules worlds out, and when none is left it did what it must
//! not.

use std::collections::{BTreeMap, BTreeSet};

use gatepost_sim::clock::Timestamp;

pub use crate::fate::{Details, Existence, Fate, Lease, Session};
use crate::oracle::Verdict;
use crate::subject::Standing;

/// A change of what is recorded.
#[derive(Clone, Copy, Debug)]
struct Change {
    token: u32,
    to: Fate,
    /// When, by the steady clock.
    at: Timestamp,
}

type World = BTreeMap<u32, Fate>;

#[derive(Debug, Default)]
pub struct HandlerFates {
    pub existence: Existence,
    /// A record that says that there is a subscription may be damaged.
    pub may_vanish: bool,
    /// The record that says that it was forgotten may be damaged.
    pub may_be_revived: bool,
    /// Which of its subscriptions, one after another, this is, where that is known.
    pub incarnation: Option<u64>,
    pub session: Option<Session>,
    /// In all worlds alike, by token; behind the end, `Open` and fresh.
    base: Vec<Fate>,
    worlds: Vec<World>,
    /// Changes that may not be recorded yet, in the order in which they were made.
    log: Vec<Change>,
    /// Everything that each delivery ever was.
    ever: BTreeMap<u32, Vec<Fate>>,
    /// Deliveries whose records may be damaged: they may be anything that they ever were.
    loose: BTreeSet<u32>,
}

const FRESH: Fate = Fate::Open { is_fresh: true };

impl HandlerFates {
    /// A subscription begins anew: `fate_of` says what that makes of each event so far.
    pub fn begin(&mut self, n_events: u32, fate_of: impl Fn(u32) -> Fate) {
        *self = Self {
            existence: Existence::Yes,
            base: (0..n_events).map(fate_of).collect(),
            worlds: vec![World::new()],
            may_be_revived: self.may_be_revived,
            ..Self::default()
        };
    }

    /// It was forgotten.
    pub fn forget(&mut self) {
        *self = Self { may_be_revived: self.may_be_revived, ..Self::default() };
    }

    pub fn attach(&mut self, now: Timestamp) {
        let (leases, read_through) = (BTreeMap::new(), None);
        self.session = Some(Session { began_at: now, leases, read_through });
    }

    pub fn detach(&mut self) {
        self.session = None;
    }

    pub fn lease(&self, token: u32) -> Option<Lease> {
        self.session.as_ref().and_then(|session| session.leases.get(&token).copied())
    }

    fn set_lease(&mut self, token: u32, lease: Option<Lease>) {
        let Some(session) = &mut self.session else { return };
        match lease {
            Some(lease) => session.leases.insert(token, lease),
            None => session.leases.remove(&token),
        };
    }

    fn base(&self, token: u32) -> Fate {
        self.base.get(token as usize).copied().unwrap_or(FRESH)
    }

    fn recorded_in(&self, world: &World, token: u32) -> Fate {
        world.get(&token).copied().unwrap_or_else(|| self.base(token))
    }

    /// Its fate with all changes applied, in one world.
    fn fate_in(&self, world: &World, token: u32) -> Fate {
        let last = self.log.iter().rev().find(|change| change.token == token);
        last.map_or_else(|| self.recorded_in(world, token), |change| change.to)
    }

    /// Its possible fates with all changes applied, each once.
    pub fn fates(&self, token: u32) -> Vec<Fate> {
        if let Some(change) = self.log.iter().rev().find(|change| change.token == token) {
            return vec![change.to];
        }
        let mut fates: Vec<Fate> = Vec::new();
        for world in &self.worlds {
            let fate = self.recorded_in(world, token);
            if !fates.contains(&fate) {
                fates.push(fate);
            }
        }
        fates
    }

    /// Whether all worlds agree that its fate is such.
    pub fn is_surely(&self, token: u32, is_such: impl Fn(Fate) -> bool) -> bool {
        let fates = self.fates(token);
        !self.loose.contains(&token) && !fates.is_empty() && fates.into_iter().all(is_such)
    }

    /// Whether its fate may be such.
    pub fn is_perhaps(&self, token: u32, is_such: impl Fn(Fate) -> bool) -> bool {
        self.fates(token).into_iter().any(is_such)
    }

    /// Whether it may be a dead letter that holds its order key. Of one that was a dead letter with
    /// and without holding it, damaged records leave open which it is now.
    pub fn may_hold_key(&self, token: u32) -> bool {
        let holds = |fate| matches!(fate, Fate::Dead { key: Some(_) });
        let ever = self.ever.get(&token).map(Vec::as_slice).unwrap_or_default();
        self.is_perhaps(token, holds)
            || self.is_loose(token)
                && self.is_perhaps(token, |fate| matches!(fate, Fate::Dead { .. }))
                && ever.iter().copied().any(holds)
    }

    pub fn is_loose(&self, token: u32) -> bool {
        self.loose.contains(&token)
    }

    /// Rules out the worlds in which `token` has another fate; `false` = no world is left.
    fn rule_out(&mut self, token: u32, is_possible: impl Fn(Fate) -> bool) -> bool {
        let is_left: Vec<bool> =
            self.worlds.iter().map(|world| is_possible(self.fate_in(world, token))).collect();
        if !is_left.contains(&true) {
            return false;
        }
        let mut is_left = is_left.into_iter();
        self.worlds.retain(|_| is_left.next().unwrap_or(true));
        self.fold();
        true
    }

    /// What all worlds agree on is the base.
    fn fold(&mut self) {
        if self.worlds.len() != 1 {
            return;
        }
        for (token, fate) in std::mem::take(&mut self.worlds[0]) {
            self.set_base(token, fate);
        }
    }

    fn set_base(&mut self, token: u32, fate: Fate) {
        let index = token as usize;
        if self.base.len() <= index {
            self.base.resize(index + 1, FRESH);
        }
        self.base[index] = fate;
    }

    /// Makes `token` this in every world, whatever it was.
    fn assign(&mut self, token: u32, fate: Fate) {
        self.log.retain(|change| change.token != token);
        for world in &mut self.worlds {
            world.remove(&token);
        }
        self.set_base(token, fate);
    }

    /// A change is made, to be recorded behind all earlier ones.
    fn change(&mut self, token: u32, to: Fate, at: Timestamp) {
        let before = self.fates(token);
        let ever = self.ever.entry(token).or_default();
        for fate in before.into_iter().chain([to]) {
            if !ever.contains(&fate) {
                ever.push(fate);
            }
        }
        self.log.push(Change { token, to, at });
    }

    /// Everything settled until `at` is recorded for sure.
    pub fn recorded_until(&mut self, at: Timestamp) {
        let n_recorded = self.log.iter().take_while(|change| change.at <= at).count();
        for change in self.log.drain(..n_recorded) {
            for world in &mut self.worlds {
                world.insert(change.token, change.to);
            }
        }
        self.fold();
    }

    /// The process has ended: of what was not recorded for sure, a first part is.
    pub fn ended(&mut self) {
        self.session = None;
        let log = std::mem::take(&mut self.log);
        if log.is_empty() {
            return;
        }
        let mut worlds: Vec<World> = Vec::new();
        for mut world in std::mem::take(&mut self.worlds) {
            for n_recorded in 0..=log.len() {
                if let Some(change) = n_recorded.checked_sub(1).map(|last| log[last]) {
                    world.insert(change.token, change.to);
                }
                if !worlds.contains(&world) {
                    worlds.push(world.clone());
                }
            }
        }
        self.worlds = worlds;
        // What comes again after a crash does so out of the log, in its order.
    }

    /// Records may be damaged: what was ever recorded of a delivery may count again.
    pub fn loosen(&mut self, n_events: u32) {
        let touched = (0..n_events).filter(|token| {
            self.ever.contains_key(token) || self.is_perhaps(*token, |fate| fate == Fate::Unclear)
        });
        self.loose = touched.collect();
    }

    /// The queue says how a delivery stands, behind a start.
    pub fn stands(&mut self, token: u32, standing: Standing, may_be_lost: bool) -> Verdict {
        if standing == Standing::Lost && may_be_lost {
            self.assign(token, Fate::Lost);
            return Ok(());
        }
        if standing == Standing::Open {
            self.may_be_found_again(token);
        }
        if self.loose.contains(&token) {
            return self.loose_one_stands(token, standing, may_be_lost);
        }
        if self.rule_out(token, |fate| fate.is_like(standing)) {
            if self.fates(token) == [Fate::Unclear] {
                let is_settled = standing == Standing::Settled;
                self.assign(token, if is_settled { Fate::Before } else { FRESH });
            }
            return Ok(());
        }
        // The position of an event that is lost may have been given to another one.
        if may_be_lost {
            return Ok(());
        }
        let fates = self.fates(token);
        Err(format!("delivery {token} stands as {standing:?}, may be {fates:?}"))
    }

    /// The same for one whose records may be damaged. It says nothing about which world it is: a
    /// record behind one that is damaged counts all the same.
    fn loose_one_stands(&mut self, token: u32, standing: Standing, may_be_lost: bool) -> Verdict {
        if matches!(*self.fates(token), [fate] if fate.is_like(standing)) {
            return Ok(());
        }
        let ever = self.ever.get(&token).map(Vec::as_slice).unwrap_or_default();
        let found = ever.iter().copied().find(|fate| fate.is_like(standing));
        let held = ever.iter().find_map(|fate| match fate {
            Fate::Dead { key } => *key,
            _ => None,
        });
        let fate = match (found, standing) {
            (_, Standing::Open) => Fate::Open { is_fresh: false },
            (Some(Fate::Waiting { key, .. }), _) => Fate::Waiting { key, details: None },
            (Some(fate), _) => fate,
            // As a dead letter that holds its key is once it is redriven: which one it was is damaged.
            (None, Standing::Waiting) if held.is_some() => {
                Fate::Waiting { key: held, details: None }
            }
            (None, _) if may_be_lost => return Ok(()),
            (None, _) => {
                return Err(format!("delivery {token} stands as {standing:?}, was only {ever:?}"));
            }
        };
        self.assign(token, fate);
        Ok(())
    }

    /// The event of a lost delivery may be readable again when its segment goes: then it is open.
    fn may_be_found_again(&mut self, token: u32) {
        if self.fates(token) == [Fate::Lost] {
            let open = Fate::Open { is_fresh: false };
            self.assign(token, open);
            self.ever.entry(token).or_default().push(open);
        }
    }

    /// A delivery is given out.
    pub fn given(&mut self, token: u32, attempt: u32, now: Timestamp) -> Verdict {
        let Some(session) = &self.session else {
            return Err(format!("delivery {token} was given out to nobody"));
        };
        if session.leases.get(&token) == Some(&Lease::Out) {
            return Err(format!("delivery {token} was given out twice"));
        }
        let began_at = session.began_at;
        if attempt == 1 {
            self.may_be_found_again(token);
        }
        let is_possible = move |fate| match fate {
            Fate::Unclear | Fate::Open { .. } => attempt == 1,
            Fate::Waiting { details: None, .. } => true,
            Fate::Waiting { details: Some(Details { due, wait, attempts }), .. } => {
                let due = due.min(began_at.after(wait));
                due <= now && attempt == attempts + 1
            }
            Fate::Before | Fate::Dead { .. } | Fate::Settled | Fate::Lost => false,
        };
        if self.loose.contains(&token) {
            // Not by ruling out worlds: see `loose_one_stands`.
            if !matches!(*self.fates(token), [fate] if is_possible(fate)) {
                let open = Fate::Open { is_fresh: false };
                let waiting = Fate::Waiting { key: None, details: None };
                self.assign(token, if attempt == 1 { open } else { waiting });
            }
        } else if !self.rule_out(token, is_possible) {
            let (fates, now) = (self.fates(token), now.as_millis());
            return Err(format!(
                "delivery {token} was given out as attempt {attempt} at {now}, is {fates:?}"
            ));
        }
        if self.fates(token) == [Fate::Unclear] {
            self.assign(token, FRESH);
        }
        self.set_lease(token, Some(Lease::Out));
        Ok(())
    }

    /// The subscription may begin behind the first `n_events`: those that it would get are unclear.
    pub fn may_begin_behind(&mut self, n_events: u32) {
        for token in 0..n_events {
            if self.fates(token) == [FRESH] {
                self.assign(token, Fate::Unclear);
            }
        }
    }

    /// The subscription began before `token`: everything behind it is part of it.
    pub fn began_before(&mut self, behind: impl Iterator<Item = u32>) {
        for token in behind {
            if self.fates(token) == [Fate::Unclear] {
                self.assign(token, FRESH);
            }
        }
    }

    /// A delivery that was given out is settled.
    pub fn settled(&mut self, token: u32, to: Fate, now: Timestamp) {
        self.change(token, to, now);
        self.set_lease(token, None);
    }

    /// One that was given out waits behind another of its key, without having been tried.
    pub fn held(&mut self, token: u32) {
        self.set_lease(token, Some(Lease::Parked));
    }

    pub fn returned(&mut self, token: u32) {
        self.set_lease(token, Some(Lease::Returned));
    }

    /// A change by hand.
    pub fn changed(&mut self, token: u32, to: Fate, now: Timestamp) {
        self.change(token, to, now);
    }

    /// It may be open by now.
    pub fn unclear(&mut self, token: u32) {
        self.assign(token, Fate::Unclear);
    }

    /// Its event cannot be read.
    pub fn lost(&mut self, token: u32) {
        self.assign(token, Fate::Lost);
        self.ever.entry(token).or_default().push(Fate::Lost);
    }
}
