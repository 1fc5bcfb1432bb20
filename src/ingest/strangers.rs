//! How much work each client address may cause before it has shown that it can sign.
//!
//! - Each request is charged when it comes, before its body is read, and gets its charge back when
//!   its signature turns out to be good. So honest senders never run out, however much they send.
//! - An address that has run out is told to come back later, unread. Not so where an honest sender
//!   may stand behind the same address: where a good request came from it lately, and on private
//!   networks, where the address may be that of a proxy that nobody has named. There everything is
//!   judged as ever, and only what fails is to be answered late.
//! - Memory is bounded: where there are too many addresses, the one is forgotten that would be
//!   forgotten first anyway.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::source::RateLimit;

/// Threads that answer at the same moment seldom meet at the same lock.
const N_SHARDS: usize = 16;
/// The most addresses of a shard: all of them take less than 1 MiB.
const SHARD_MAX: usize = 512;
/// How long an address is trusted after a good request.
const GOOD_FOR: Duration = Duration::from_hours(1);

/// The addresses that requests come from.
#[derive(Debug)]
pub struct Strangers {
    /// Chosen by a hash that nobody outside can foresee.
    shards: [Mutex<HashMap<Client, Account>>; N_SHARDS],
    hasher: RandomState,
}

/// An address, as far as one sender has it to himself: of IPv6 that is a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4(u32),
    V6(u64),
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
}

/// What is known of an address. Nanoseconds since the epoch, of steady time.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// When all that was charged is paid off: time pays at the rate of the limit.
    paid_at: u64,
    /// Until when it is trusted.
    good_until: u64,
}

impl Account {
    /// From when on it says nothing.
    fn ends_at(self) -> u64 {
        self.paid_at.max(self.good_until)
    }
}

/// A request that was let in.
#[derive(Debug)]
pub struct Visit<'a> {
    strangers: &'a Strangers,
    client: Client,
    /// What is given back.
    charge: u64,
    is_over: bool,
}

impl Strangers {
    /// Nobody is known yet.
    pub fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }

    /// Charges a request from `address`. `Err` = it has run out, until so much later.
    pub fn let_in(
        &self,
        address: IpAddr,
        limit: RateLimit,
        now: Timestamp,
    ) -> Result<Visit<'_>, Duration> {
        let client = Client::of(address);
        let now = nanos(now);
        let window = nanos_of(limit.per);
        let charge = window / u64::from(limit.n_requests.get());
        let mut shard = self.shard(client);
        let account = account(&mut shard, client, now);
        // Never more than all of it, also where the limit was another one before a reload.
        let full = now.saturating_add(window);
        let paid_at = account.paid_at.clamp(now, full).saturating_add(charge);
        let over_by = paid_at.saturating_sub(full);
        if over_by == 0 {
            account.paid_at = paid_at;
            return Ok(Visit { strangers: self, client, charge, is_over: false });
        }
        if account.good_until > now || is_private(address) {
            return Ok(Visit { strangers: self, client, charge: 0, is_over: true });
        }
        Err(Duration::from_nanos(over_by))
    }

    fn shard(&self, client: Client) -> MutexGuard<'_, HashMap<Client, Account>> {
        let at = self.hasher.hash_one(client) % N_SHARDS as u64;
        let shard = usize::try_from(at).ok().and_then(|at| self.shards.get(at));
        let [first, ..] = &self.shards;
        // An account is whole whatever panicked elsewhere.
        shard.unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Strangers {
    fn default() -> Self {
        Self::new()
    }
}

impl Visit<'_> {
    /// Whether the address has run out: then a failure is to be answered late.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The signature was good.
    pub fn verified(self, now: Timestamp) {
        let now = nanos(now);
        let mut shard = self.strangers.shard(self.client);
        let account = account(&mut shard, self.client, now);
        account.paid_at = account.paid_at.saturating_sub(self.charge);
        account.good_until = now.saturating_add(nanos_of(GOOD_FOR));
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
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(0).saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const STRANGER: &str = "203.0.113.7";

    fn let_in<'a>(
        strangers: &'a Strangers,
        address: &str,
        now: Timestamp,
    ) -> Result<Visit<'a>, Duration> {
        strangers.let_in(address.parse().unwrap(), RateLimit::parse("3/m").unwrap(), now)
    }

    /// Lets the address run out.
    fn run_out(strangers: &Strangers, address: &str) {
        for _ in 0..3 {
            assert!(!let_in(strangers, address, NOW).unwrap().is_over());
        }
    }

    #[test]
    fn who_runs_out_is_told_when_to_come_back_and_may_come_then() {
        let strangers = Strangers::new();
        run_out(&strangers, STRANGER);
        let wait = let_in(&strangers, STRANGER, NOW).unwrap_err();
        assert_eq!(wait, Duration::from_secs(20));
        let early = NOW.after(Duration::from_millis(19_999));
        assert_eq!(let_in(&strangers, STRANGER, early).unwrap_err(), Duration::from_millis(1));
        assert!(let_in(&strangers, STRANGER, NOW.after(wait)).is_ok());
        assert!(let_in(&strangers, STRANGER, NOW.after(wait)).is_err());
        assert!(let_in(&strangers, "203.0.113.8", NOW).is_ok(), "another one pays for himself");
    }

    #[test]
    fn who_signs_never_runs_out() {
        let strangers = Strangers::new();
        for _ in 0..1_000 {
            let visit = let_in(&strangers, STRANGER, NOW).unwrap();
            assert!(!visit.is_over());
            visit.verified(NOW);
        }
    }

    #[test]
    fn beside_an_honest_sender_a_bad_one_is_only_slowed_down() {
        let strangers = Strangers::new();
        let_in(&strangers, STRANGER, NOW).unwrap().verified(NOW);
        run_out(&strangers, STRANGER);
        for _ in 0..10 {
            assert!(let_in(&strangers, STRANGER, NOW).unwrap().is_over());
        }
        let later = NOW.after(Duration::from_secs(20));
        assert!(!let_in(&strangers, STRANGER, later).unwrap().is_over(), "time pays here too");
    }

    #[test]
    fn trust_ends_an_hour_after_the_last_good_request() {
        let strangers = Strangers::new();
        let_in(&strangers, STRANGER, NOW).unwrap().verified(NOW);
        let later = NOW.after(GOOD_FOR);
        for _ in 0..3 {
            let_in(&strangers, STRANGER, later).unwrap();
        }
        let_in(&strangers, STRANGER, later).unwrap_err();
    }

    #[test]
    fn a_private_address_may_be_a_proxy() {
        let strangers = Strangers::new();
        for address in
            ["127.0.0.1", "10.1.2.3", "172.17.0.1", "192.168.0.1", "::1", "fd00::1", "fe80::1"]
        {
            run_out(&strangers, address);
            assert!(let_in(&strangers, address, NOW).unwrap().is_over(), "{address}");
        }
    }

    #[test]
    fn a_sender_has_all_of_its_ipv6_network() {
        let strangers = Strangers::new();
        for address in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1"] {
            let_in(&strangers, address, NOW).unwrap();
        }
        let_in(&strangers, "2001:db8::3", NOW).unwrap_err();
        assert!(let_in(&strangers, "2001:db8:0:1::1", NOW).is_ok());
        run_out(&strangers, STRANGER);
        let_in(&strangers, "::ffff:203.0.113.7", NOW).unwrap_err();
    }

    #[test]
    fn a_flood_of_addresses_is_forgotten_but_not_who_was_good() {
        let strangers = Strangers::new();
        let_in(&strangers, STRANGER, NOW).unwrap().verified(NOW);
        run_out(&strangers, STRANGER);
        for n in 0..u32::try_from(10 * N_SHARDS * SHARD_MAX).unwrap() {
            let address = IpAddr::from((0x0100_0000 + n).to_be_bytes());
            let limit = RateLimit::parse("3/m").unwrap();
            assert!(strangers.let_in(address, limit, NOW).is_ok());
        }
        let known: usize = strangers.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(known <= N_SHARDS * SHARD_MAX, "{known}");
        assert!(let_in(&strangers, STRANGER, NOW).unwrap().is_over(), "its account is still there");
    }
}
