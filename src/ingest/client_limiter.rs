//! Limits how many requests of each client address may fail verification.
//!
//! - A request is charged to its client when it has failed, or when it ends before it was verified;
//!   a good one costs nothing, nor does one for which we have no room. So honest senders never reach
//!   the limit, however much they send at once.
//! - The requests of a client that has used up its limit are still verified: an honest sender may
//!   have the same address, as where a provider sends for all its customers from there. But each
//!   takes a slot while it is verified, and where it fails, until its delayed response was sent. So
//!   the slots bound how many can fail per second.
//! - Without a free slot a request is rejected (429). A slot is taken once all of a request has
//!   been read: a slow sender holds none.
//! - A client has more slots where a good request came from it within the last hour, and on private
//!   networks, where it may be a proxy that `trusted_proxies` does not name.
//! - Of IPv6 a client is a /64. Its /48, which one person can have, has 16 times as much for all of
//!   its /64s together.
//! - Memory is bounded: a full shard evicts the entry that expires first.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::client_network::ClientNetwork;
use super::error::IngestError;
use super::request::BodyError;
use crate::clock::Clock;
use crate::source::RateLimit;
use crate::sync::lock;

/// Threads that answer at the same moment seldom meet at the same lock.
const N_SHARDS: usize = 16;
/// The most addresses of a shard: all of them take less than 1 MiB.
const SHARD_MAX: usize = 512;
/// How long an address is trusted after a good request: an hour, in nanoseconds.
const GOOD_FOR: u64 = 60 * 60 * 1_000_000_000;
/// The most slots of all addresses together.
const SLOTS_MAX: usize = 1_024;
/// The most slots of one address.
const SLOTS_OF_UNKNOWN: u32 = 32;
/// The same where an honest sender is likely to stand behind it.
const SLOTS_OF_KNOWN: u32 = 512;

/// How long the answer to a failed request is delayed where its client has used up its limit: 32
/// slots, each held for 20 ms, let one client fail at most 1,600 times a second.
pub(crate) const FAILURE_DELAY: Duration = Duration::from_millis(20);

/// How many times as much a /48 may cost as one /64 in it.
const SITE_FACTOR: u64 = 16;

/// The addresses that requests come from.
#[derive(Debug)]
pub(crate) struct ClientLimiter {
    clock: Arc<dyn Clock>,
    /// Chosen by a randomly keyed hash, so that a client cannot aim at one shard.
    shards: [Mutex<HashMap<ClientNetwork, Account>>; N_SHARDS],
    hasher: RandomState,
    slots: Semaphore,
}

/// What is known of an address. Nanoseconds since the epoch, of steady time.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// When all that was charged is paid off: time pays at the rate of the limit.
    paid_at: u64,
    /// Until when it is trusted.
    good_until: u64,
    /// How many slots it has.
    n_slots: u32,
}

impl Account {
    /// From when on it says nothing.
    fn ends_at(self) -> u64 {
        if self.n_slots > 0 { u64::MAX } else { self.paid_at.max(self.good_until) }
    }

    /// When all is paid off after one more request; `None` = it has run out.
    fn charged(self, budget: ClientBudget, now: u64) -> Option<u64> {
        let full = now.saturating_add(budget.window);
        // Never more than all of it, also where the limit was another one before a reload.
        let paid_at = self.paid_at.clamp(now, full).saturating_add(budget.charge);
        (paid_at <= full).then_some(paid_at)
    }

    fn has_free_slot(self, budget: ClientBudget, now: u64) -> bool {
        let is_known = budget.is_private || self.good_until > now;
        self.n_slots < if is_known { SLOTS_OF_KNOWN } else { SLOTS_OF_UNKNOWN }
    }
}

/// Who has sent a request, and what it costs.
#[derive(Clone, Copy, Debug)]
struct ClientBudget {
    client: ClientNetwork,
    is_private: bool,
    charge: u64,
    window: u64,
}

impl ClientBudget {
    /// The same as its site pays for it.
    fn of_site(self) -> Option<Self> {
        let client = self.client.site().filter(|_| !self.is_private)?;
        Some(Self { client, charge: self.charge / SITE_FACTOR, ..self })
    }
}

/// A request that was let in. Dropped before it was judged, it is charged.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    /// Nothing = its client is not limited.
    limited: Option<(&'a ClientLimiter, ClientBudget)>,
    slot: Option<Slot<'a>>,
    is_judged: bool,
}

/// A slot that is taken. Dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    client_limiter: &'a ClientLimiter,
    client: ClientNetwork,
    _permit: SemaphorePermit<'a>,
}

/// How a request that failed is to be answered.
#[derive(Debug)]
pub(crate) enum FailureResponse<'a> {
    /// As ever.
    Immediate,
    /// Late, and the slot is held until then: the address has run out.
    Delayed(Slot<'a>),
    /// It is to be turned away: the address has run out, and of slots too.
    Reject,
}

impl ClientLimiter {
    /// A limiter without accounts.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            slots: Semaphore::new(SLOTS_MAX),
        }
    }

    /// Looks at a request from `address`, before anything else of it is read. An error = it has run out, and no slot is free.
    pub(crate) fn admit(
        &self,
        address: IpAddr,
        limit: RateLimit,
    ) -> Result<Admission<'_>, IngestError> {
        let window = nanos_of(limit.per);
        let charge = window / u64::from(limit.n_requests.get());
        let (client, is_private) = (ClientNetwork::of(address), is_private(address));
        let budget = ClientBudget { client, is_private, charge, window };
        if self.has_run_out(budget) && !self.has_free_slot(budget) {
            return Err(IngestError::TooManyUnverified);
        }
        Ok(Admission { limited: Some((self, budget)), slot: None, is_judged: false })
    }

    /// `false` = it has run out, or its site has.
    fn charge(&self, budget: ClientBudget) -> bool {
        budget.of_site().is_none_or(|site| self.charge_one(site)) && self.charge_one(budget)
    }

    fn charge_one(&self, budget: ClientBudget) -> bool {
        let now = self.now();
        let mut shard = self.shard(budget.client);
        let account = account(&mut shard, budget.client, now);
        let paid_at = account.charged(budget, now);
        account.paid_at = paid_at.unwrap_or(account.paid_at);
        paid_at.is_some()
    }

    /// Whether one more failed request is over the limit, of the client or of its site.
    fn has_run_out(&self, budget: ClientBudget) -> bool {
        let now = self.now();
        [Some(budget), budget.of_site()].into_iter().flatten().any(|budget| {
            let shard = self.shard(budget.client);
            shard.get(&budget.client).is_some_and(|account| account.charged(budget, now).is_none())
        })
    }

    fn has_free_slot(&self, budget: ClientBudget) -> bool {
        let account = self.shard(budget.client).get(&budget.client).copied().unwrap_or_default();
        account.has_free_slot(budget, self.now()) && self.slots.available_permits() > 0
    }

    fn slot(&self, budget: ClientBudget) -> Option<Slot<'_>> {
        let now = self.now();
        let mut shard = self.shard(budget.client);
        let account = account(&mut shard, budget.client, now);
        if !account.has_free_slot(budget, now) {
            return None;
        }
        // An error means that none is free.
        let permit = self.slots.try_acquire().ok()?;
        account.n_slots += 1;
        Some(Slot { client_limiter: self, client: budget.client, _permit: permit })
    }

    fn now(&self) -> u64 {
        self.clock.steady().millis_since_epoch().saturating_mul(1_000_000)
    }

    fn shard(&self, client: ClientNetwork) -> MutexGuard<'_, HashMap<ClientNetwork, Account>> {
        let at = self.hasher.hash_one(client) % N_SHARDS as u64;
        let shard = usize::try_from(at).ok().and_then(|at| self.shards.get(at));
        let [first, ..] = &self.shards;
        lock(shard.unwrap_or(first))
    }
}

impl<'a> Admission<'a> {
    /// Of a client that may fail as often as it likes.
    pub(crate) fn unlimited() -> Self {
        Self { limited: None, slot: None, is_judged: false }
    }

    /// Whether the request, of which all has been read, may be judged: an address that has run out
    /// takes a slot for it.
    pub(crate) fn acquire_slot(&mut self) -> bool {
        match self.limited {
            Some((limiter, budget)) if self.slot.is_none() && limiter.has_run_out(budget) => {
                self.slot = limiter.slot(budget);
                self.slot.is_some()
            }
            _ => true,
        }
    }

    /// Refuses a request for which there was no room: that is not its client's fault.
    pub(crate) fn no_room<T>(mut self) -> Result<T, IngestError> {
        self.is_judged = true;
        Err(BodyError::NoRoom.into())
    }

    /// The signature was good.
    pub(crate) fn verified(mut self) {
        self.is_judged = true;
        if let Some((limiter, ClientBudget { client, .. })) = self.limited {
            let now = limiter.now();
            account(&mut limiter.shard(client), client, now).good_until =
                now.saturating_add(GOOD_FOR);
        }
    }

    /// Gives the answer to a request that failed verification when it is due: at once, or late, or
    /// a 429 in its place.
    pub(crate) async fn fail<T>(self, answer: Result<T, IngestError>) -> Result<T, IngestError> {
        match self.charge_failure() {
            FailureResponse::Immediate => answer,
            FailureResponse::Delayed(slot) => {
                tokio::time::sleep(FAILURE_DELAY).await;
                drop(slot);
                answer
            }
            // An answered question stays one: it cost next to nothing, and may be an honest
            // sender's.
            FailureResponse::Reject => answer.map_err(|_| IngestError::TooManyUnverified),
        }
    }

    /// The request failed, or asked for an answer that needs no signature.
    pub(crate) fn charge_failure(mut self) -> FailureResponse<'a> {
        self.is_judged = true;
        let Some((limiter, budget)) = self.limited else { return FailureResponse::Immediate };
        if limiter.charge(budget) {
            return FailureResponse::Immediate;
        }
        let slot = self.slot.take().or_else(|| limiter.slot(budget));
        slot.map_or(FailureResponse::Reject, FailureResponse::Delayed)
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if let Some((limiter, budget)) = self.limited.filter(|_| !self.is_judged) {
            limiter.charge(budget);
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(account) = self.client_limiter.shard(self.client).get_mut(&self.client) {
            debug_assert!(account.n_slots > 0, "a slot that is freed was taken");
            account.n_slots = account.n_slots.saturating_sub(1);
        }
    }
}

/// The client's account, made where there is none, in place of another where there are too many.
fn account(
    shard: &mut HashMap<ClientNetwork, Account>,
    client: ClientNetwork,
    now: u64,
) -> &mut Account {
    if shard.len() >= SHARD_MAX && !shard.contains_key(&client) {
        shard.retain(|_, account| account.ends_at() > now);
        if shard.len() >= SHARD_MAX {
            let first = shard.iter().min_by_key(|(_, account)| account.ends_at());
            if let Some(first) = first.map(|(client, _)| *client) {
                shard.remove(&first);
            }
        }
    }
    shard.entry(client).or_default()
}

/// Whether it is a private address: many clients may be behind it, none of them outside.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || is_shared(address)
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// 100.64.0.0/10: between a provider's own machines, as behind a load balancer (RFC 6598).
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0b1100_0000 == 64
}

fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
