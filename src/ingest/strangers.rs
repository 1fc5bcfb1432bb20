//! How much work each client address may cause before it has shown that it can sign.
//!
//! - A request is charged to its address when it has failed, or when it ends before anybody could
//!   say; a good one costs nothing. So honest senders never run out, however much they send at
//!   once.
//! - An address that has run out is read and judged as ever: an honest sender may stand behind it,
//!   as where a provider sends for all its customers from there. But each of its requests takes a
//!   place while it is judged, and where it fails, until it was answered, which is to be late. So
//!   there are so many of them a second and no more.
//! - Without a free place a request is turned away. A place is taken once all of a request has been
//!   read: nobody holds one by sending slowly.
//! - There is more room where a good request came from the address lately, and on private networks,
//!   where it may be that of a proxy that nobody has named.
//! - Of IPv6 a client is a /64. Its /48, which one person can have, has 16 times as much for all of its
//!   /64s together.
//! - Memory is bounded: where there are too many addresses, the one is forgotten that would be
//!   forgotten first anyway.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::Clock;
use crate::source::RateLimit;

/// Threads that answer at the same moment seldom meet at the same lock.
const N_SHARDS: usize = 16;
/// The most addresses of a shard: all of them take less than 1 MiB.
const SHARD_MAX: usize = 512;
/// How long an address is trusted after a good request.
const GOOD_FOR: Duration = Duration::from_hours(1);
/// The most places of all addresses together.
const PLACES_MAX: usize = 1_024;
/// The most places of one address.
const PLACES_OF_STRANGER: u32 = 32;
/// The same where an honest sender is likely to stand behind it.
const PLACES_OF_KNOWN: u32 = 512;

/// How many times as much a /48 may cost as one /64 in it.
const SITE_FACTOR: u64 = 16;

/// The addresses that requests come from.
#[derive(Debug)]
pub struct Strangers {
    clock: Arc<dyn Clock>,
    /// Chosen by a hash that nobody outside can foresee.
    shards: [Mutex<HashMap<Client, Account>>; N_SHARDS],
    hasher: RandomState,
    places: Semaphore,
}

/// An address, as far as one sender has it to himself: of IPv6 that is a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4(u32),
    V6(u64),
    /// A /48.
    Site(u64),
}

impl Client {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64;
                Self::V6(u64::try_from(network).unwrap_or(u64::MAX))
            }
        }
    }

    /// The larger network that it is in, where one person can have all of it.
    fn site(self) -> Option<Self> {
        match self {
            Self::V4(_) | Self::Site(_) => None,
            Self::V6(network) => Some(Self::Site(network >> 16)),
        }
    }
}

/// What is known of an address. Nanoseconds since the epoch, of steady time.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// When all that was charged is paid off: time pays at the rate of the limit.
    paid_at: u64,
    /// Until when it is trusted.
    good_until: u64,
    /// How many places it has.
    n_places: u32,
}

impl Account {
    /// From when on it says nothing.
    fn ends_at(self) -> u64 {
        if self.n_places > 0 { u64::MAX } else { self.paid_at.max(self.good_until) }
    }

    /// When all is paid off after one more request; `None` = it has run out.
    fn charged(self, guest: Guest, now: u64) -> Option<u64> {
        let full = now.saturating_add(guest.window);
        // Never more than all of it, also where the limit was another one before a reload.
        let paid_at = self.paid_at.clamp(now, full).saturating_add(guest.charge);
        (paid_at <= full).then_some(paid_at)
    }

    fn may_have_place(self, guest: Guest, now: u64) -> bool {
        let is_known = guest.is_private || self.good_until > now;
        self.n_places < if is_known { PLACES_OF_KNOWN } else { PLACES_OF_STRANGER }
    }
}

/// Who has sent a request, and what it costs.
#[derive(Clone, Copy, Debug)]
struct Guest {
    client: Client,
    is_private: bool,
    charge: u64,
    window: u64,
}

impl Guest {
    /// The same as its site pays for it.
    fn of_site(self) -> Option<Self> {
        let client = self.client.site().filter(|_| !self.is_private)?;
        Some(Self { client, charge: self.charge / SITE_FACTOR, ..self })
    }
}

/// A request that was let in. Dropped before it was judged, it is charged.
#[derive(Debug)]
pub struct Visit<'a> {
    strangers: &'a Strangers,
    guest: Guest,
    place: Option<Place<'a>>,
    is_judged: bool,
}

/// A place that is taken. Dropped, it is free again.
#[derive(Debug)]
pub struct Place<'a> {
    strangers: &'a Strangers,
    client: Client,
    _permit: SemaphorePermit<'a>,
}

/// How a request that failed is to be answered.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// As ever.
    AtOnce,
    /// Late, and the place is held until then: the address has run out.
    Late(Place<'a>),
    /// It is to be turned away: the address has run out, and of places too.
    TurnAway,
}

impl Strangers {
    /// Nobody is known yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            places: Semaphore::new(PLACES_MAX),
        }
    }

    /// Looks at a request from `address`. `None` = it has run out, and no place is free.
    pub fn let_in(&self, address: IpAddr, limit: RateLimit) -> Option<Visit<'_>> {
        let client = Client::of(address);
        let window = nanos_of(limit.per);
        let charge = window / u64::from(limit.n_requests.get());
        let guest = Guest { client, is_private: is_private(address), charge, window };
        let account = self.shard(client).get(&client).copied().unwrap_or_default();
        let now = self.now();
        let is_free = || account.may_have_place(guest, now) && self.places.available_permits() > 0;
        (!self.has_run_out(guest) || is_free()).then(|| Visit {
            strangers: self,
            guest,
            place: None,
            is_judged: false,
        })
    }

    /// `false` = it has run out, or its site has.
    fn charge(&self, guest: Guest) -> bool {
        guest.of_site().is_none_or(|site| self.charge_one(site)) && self.charge_one(guest)
    }

    fn charge_one(&self, guest: Guest) -> bool {
        let now = self.now();
        let mut shard = self.shard(guest.client);
        let account = account(&mut shard, guest.client, now);
        let paid_at = account.charged(guest, now);
        account.paid_at = paid_at.unwrap_or(account.paid_at);
        paid_at.is_some()
    }

    fn has_run_out(&self, guest: Guest) -> bool {
        self.one_has_run_out(guest)
            || guest.of_site().is_some_and(|site| self.one_has_run_out(site))
    }

    fn one_has_run_out(&self, guest: Guest) -> bool {
        let shard = self.shard(guest.client);
        shard.get(&guest.client).is_some_and(|one| one.charged(guest, self.now()).is_none())
    }

    fn place(&self, guest: Guest) -> Option<Place<'_>> {
        let now = self.now();
        let mut shard = self.shard(guest.client);
        let account = account(&mut shard, guest.client, now);
        if !account.may_have_place(guest, now) {
            return None;
        }
        // An error means that none is free.
        let permit = self.places.try_acquire().ok()?;
        account.n_places += 1;
        Some(Place { strangers: self, client: guest.client, _permit: permit })
    }

    fn trust(&self, client: Client) {
        let now = self.now();
        let good_until = now.saturating_add(nanos_of(GOOD_FOR));
        account(&mut self.shard(client), client, now).good_until = good_until;
    }

    fn now(&self) -> u64 {
        let now = u64::try_from(self.clock.steady().as_millis()).unwrap_or(0);
        now.saturating_mul(1_000_000)
    }

    fn shard(&self, client: Client) -> MutexGuard<'_, HashMap<Client, Account>> {
        let at = self.hasher.hash_one(client) % N_SHARDS as u64;
        let shard = usize::try_from(at).ok().and_then(|at| self.shards.get(at));
        let [first, ..] = &self.shards;
        // An account is whole whatever panicked elsewhere.
        shard.unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Visit<'a> {
    /// Whether the request, of which all has been read, may be judged: an address that has run out
    /// takes a place for it.
    pub fn may_be_judged(&mut self) -> bool {
        if self.place.is_none() && self.strangers.has_run_out(self.guest) {
            self.place = self.strangers.place(self.guest);
            return self.place.is_some();
        }
        true
    }

    /// The signature was good.
    pub fn verified(mut self) {
        self.is_judged = true;
        self.strangers.trust(self.guest.client);
    }

    /// The request failed, or asked for an answer that needs no signature.
    pub fn failed(mut self) -> Verdict<'a> {
        self.is_judged = true;
        if self.strangers.charge(self.guest) {
            return Verdict::AtOnce;
        }
        let place = self.place.take().or_else(|| self.strangers.place(self.guest));
        place.map_or(Verdict::TurnAway, Verdict::Late)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if !self.is_judged {
            self.strangers.charge(self.guest);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(account) = self.strangers.shard(self.client).get_mut(&self.client) {
            account.n_places = account.n_places.saturating_sub(1);
        }
    }
}

/// The client's account, made where there is none, in place of another where there are too many.
fn account(shard: &mut HashMap<Client, Account>, client: Client, now: u64) -> &mut Account {
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

/// Whether many may stand behind this address without anybody outside having a say in it.
pub(super) fn is_private(address: IpAddr) -> bool {
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
