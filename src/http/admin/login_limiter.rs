//! Slows down the clients that guess tokens, and no others.
//!
//! - A wrong token is answered late: after a few of one client, each one twice as late as the one before.
//! - A client has few such answers under way at once. Until one of them is given, no token is taken from
//!   there, not even the right one: what is not looked at cannot be guessed. Sessions go on.
//! - A client is an address, of IPv6 a /64; its /48 has 16 times as much. On private networks, where it may
//!   be a proxy that all come through, it has more answers under way, and none is later than the first.
//! - Memory is bounded: the client that is forgotten first makes room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ingest::{ClientNetwork, is_private};
use crate::sync::lock;

/// The most clients that are known at once: some 64 KiB.
const CLIENTS_MAX: usize = 1_024;
/// How late the first wrong tokens of a client are answered, and how many those are: a person mistypes.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const FIRST_FAILURES: u32 = 4;
/// How late they are answered at most: a client's timeout is mostly longer.
const LONGEST_DELAY: Duration = Duration::from_secs(8);
/// How long it takes until one wrong token is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_mins(1);
/// How many wrong tokens count at most, so that who stops guessing is forgiven in half an hour.
const FAILURES_MAX: u32 = 30;
/// Late answers of one client at once: with them it has at most one guess in two seconds.
const WAITING_MAX: u32 = 4;
/// The same on private networks.
const WAITING_MAX_PRIVATE: u32 = 32;
/// How many times as much a /48 may do as one /64 in it.
const SITE_FACTOR: u32 = 16;

/// Who gave wrong tokens. Times are by the steady clock.
#[derive(Debug, Default)]
pub(super) struct LoginLimiter(Mutex<HashMap<ClientNetwork, LoginFailures>>);

#[derive(Clone, Copy, Debug)]
struct LoginFailures {
    count: u32,
    /// How many are forgiven at a time.
    factor: u32,
    /// When the last of those that were forgiven was, or the first came.
    since: Timestamp,
    /// Late answers that are under way.
    n_waiting: u32,
}

impl LoginFailures {
    fn forgive(&mut self, now: Timestamp) {
        let millis = now.since(self.since).as_millis() / FORGIVEN_AFTER.as_millis();
        let n_forgiven = u32::try_from(millis).unwrap_or(u32::MAX);
        self.count = self.count.saturating_sub(n_forgiven.saturating_mul(self.factor));
        self.since =
            if self.count == 0 { now } else { self.since.after(FORGIVEN_AFTER * n_forgiven) };
    }

    /// From when on it says nothing.
    fn ends_at(&self) -> Timestamp {
        self.since.after(FORGIVEN_AFTER * self.count.div_ceil(self.factor))
    }
}

/// A late answer that is under way.
#[derive(Debug)]
pub(super) struct LateAnswer<'a> {
    limiter: &'a LoginLimiter,
    networks: [Option<ClientNetwork>; 2],
    pub(super) delay: Duration,
}

impl Drop for LateAnswer<'_> {
    fn drop(&mut self) {
        let mut clients = self.limiter.clients();
        for network in self.networks.into_iter().flatten() {
            if let Some(failures) = clients.get_mut(&network) {
                failures.n_waiting = failures.n_waiting.saturating_sub(1);
            }
        }
    }
}

impl LoginLimiter {
    /// Whether a token is looked at that comes from `address`; `Err` = when to come again.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), Duration> {
        let of_one = if is_private(address) { WAITING_MAX_PRIVATE } else { WAITING_MAX };
        let clients = self.clients();
        let is_full = |(network, factor): (ClientNetwork, u32)| {
            clients.get(&network).is_some_and(|known| known.n_waiting >= of_one * factor)
        };
        if networks(address).into_iter().flatten().any(is_full) {
            return Err(longest_delay(address));
        }
        Ok(())
    }

    /// A wrong token came from `address`: how late to answer. Holds a place until it is dropped.
    pub(super) fn fail(&self, address: IpAddr, now: Timestamp) -> LateAnswer<'_> {
        let mut clients = self.clients();
        let mut delay = FIRST_DELAY;
        let networks = networks(address).map(|network| {
            let (network, factor) = network?;
            let failures = account(&mut clients, (network, factor), now)?;
            failures.forgive(now);
            failures.count = (failures.count + 1).min(FAILURES_MAX * factor);
            failures.n_waiting += 1;
            let n_doubled = (failures.count / factor).saturating_sub(FIRST_FAILURES).min(16);
            delay = delay.max((FIRST_DELAY * 2_u32.pow(n_doubled)).min(longest_delay(address)));
            Some(network)
        });
        LateAnswer { limiter: self, networks, delay }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<ClientNetwork, LoginFailures>> {
        // A panic elsewhere leaves the map whole.
        lock(&self.0)
    }
}

/// How late wrong tokens from `address` are answered at most.
fn longest_delay(address: IpAddr) -> Duration {
    if is_private(address) { FIRST_DELAY } else { LONGEST_DELAY }
}

/// The networks that an address is in, each with how many times as much it may do.
fn networks(address: IpAddr) -> [Option<(ClientNetwork, u32)>; 2] {
    let network = ClientNetwork::of(address);
    [Some((network, 1)), network.site().map(|site| (site, SITE_FACTOR))]
}

/// What is known of a client; `None` = there is no room for another one.
fn account(
    clients: &mut HashMap<ClientNetwork, LoginFailures>,
    (network, factor): (ClientNetwork, u32),
    now: Timestamp,
) -> Option<&mut LoginFailures> {
    if clients.len() >= CLIENTS_MAX && !clients.contains_key(&network) {
        let idle = clients.iter().filter(|(_, known)| known.n_waiting == 0);
        let (first, _) = idle.min_by_key(|(_, known)| known.ends_at())?;
        let first = *first;
        clients.remove(&first);
    }
    let new = LoginFailures { count: 0, factor, since: now, n_waiting: 0 };
    Some(clients.entry(network).or_insert(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(0).after(Duration::from_secs(secs))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn guesser_is_slowed_more_and_more_and_forgiven_and_others_are_not_slowed() {
        let limiter = LoginLimiter::default();
        let guesser = ip("203.0.113.7");
        let delays: Vec<u128> =
            (0..10).map(|_| limiter.fail(guesser, at(0)).delay.as_millis()).collect();
        assert_eq!(delays, [500, 500, 500, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
        assert_eq!(limiter.fail(ip("203.0.113.8"), at(0)).delay, FIRST_DELAY);
        assert_eq!(limiter.fail(guesser, at(7 * 60)).delay, FIRST_DELAY, "forgiven");
    }

    #[test]
    fn client_with_late_answers_under_way_is_not_heard_and_others_are() {
        let limiter = LoginLimiter::default();
        let guesser = ip("203.0.113.7");
        let late: Vec<_> = (0..WAITING_MAX).map(|_| limiter.fail(guesser, at(0))).collect();
        assert_eq!(limiter.check(guesser), Err(LONGEST_DELAY));
        assert_eq!(limiter.check(ip("203.0.113.8")), Ok(()));
        assert_eq!(limiter.check(ip("127.0.0.1")), Ok(()));
        drop(late);
        assert_eq!(limiter.check(guesser), Ok(()));
        let _behind_a_proxy: Vec<_> =
            (0..WAITING_MAX).map(|_| limiter.fail(ip("10.0.0.1"), at(0))).collect();
        assert_eq!(limiter.check(ip("10.0.0.1")), Ok(()), "many may be behind a proxy");
    }

    #[test]
    fn a_site_of_ipv6_has_so_much_for_all_of_its_networks() {
        let limiter = LoginLimiter::default();
        let network = |n: u32| ip(&format!("2001:db8:1:{n:x}::1"));
        let late: Vec<_> =
            (0..WAITING_MAX * SITE_FACTOR).map(|n| limiter.fail(network(n), at(0))).collect();
        assert_eq!(limiter.check(network(999)), Err(LONGEST_DELAY));
        assert_eq!(limiter.check(ip("2001:db8:2::1")), Ok(()));
        drop(late);
        (0..300).for_each(|_| drop(limiter.fail(network(0), at(1))));
        assert_eq!(limiter.fail(network(0), at(1)).delay, LONGEST_DELAY);
        assert!(limiter.fail(network(5), at(1)).delay > FIRST_DELAY, "the site has guessed much");
    }

    #[test]
    fn clients_are_bounded_and_the_one_that_is_forgotten_first_makes_room() {
        let limiter = LoginLimiter::default();
        let address = |n: u32| IpAddr::from((0x0b00_0000 + n).to_be_bytes());
        let waiting = limiter.fail(address(0), at(0));
        for n in 1..3 * u32::try_from(CLIENTS_MAX).unwrap() {
            drop(limiter.fail(address(n), at(n.into())));
        }
        let clients = limiter.clients();
        assert_eq!(clients.len(), CLIENTS_MAX);
        assert_eq!(clients[&ClientNetwork::of(address(0))].n_waiting, 1);
        drop(clients);
        drop(waiting);
    }
}
