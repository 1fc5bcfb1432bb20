//! The connections that are open, and which of them has to go where there are too many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::http::control::{Control, Phase};

/// Of how many of the oldest connections the one that has been idle for longest is looked for.
const CANDIDATES_MAX: usize = 64;

/// A connection that brings events is in use for so long after an answer: the next one may be on its way.
pub(super) const IN_USE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Open {
    /// In the order in which they were accepted.
    pub(super) connections: BTreeMap<u64, Entry>,
    pub(super) clients: HashMap<IpAddr, BTreeSet<u64>>,
    /// The clients by the number of their connections.
    ranking: BTreeSet<(usize, IpAddr)>,
    pub(super) next: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) control: Arc<Control>,
    pub(super) client: IpAddr,
}

impl Entry {
    /// Whether another event may be on its way, where there has been nothing for so long.
    fn is_in_use(&self, idle: Duration) -> bool {
        idle < IN_USE && self.control.has_brought_event()
    }
}

impl Open {
    pub(super) fn add(&mut self, number: u64, entry: Entry) {
        let numbers = self.clients.entry(entry.client).or_default();
        self.ranking.remove(&(numbers.len(), entry.client));
        numbers.insert(number);
        self.ranking.insert((numbers.len(), entry.client));
        self.connections.insert(number, entry);
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.connections.remove(&number)?;
        let numbers = self.clients.get_mut(&entry.client)?;
        self.ranking.remove(&(numbers.len(), entry.client));
        numbers.remove(&number);
        if numbers.is_empty() {
            self.clients.remove(&entry.client);
        } else {
            self.ranking.insert((numbers.len(), entry.client));
        }
        Some(entry)
    }

    /// Ends the connection whose loss hurts least, for a new one of `newcomer`; gives its client.
    pub(super) fn shed(&mut self, newcomer: IpAddr, now: u64) -> Option<IpAddr> {
        let (count, client) = *self.ranking.last()?;
        // Where no address has many, all connections are candidates.
        let is_greedy = count.saturating_mul(8) >= self.connections.len();
        let of_greedy = self.clients.get(&client).filter(|_| is_greedy);
        let least =
            of_greedy.and_then(|numbers| self.least(numbers.iter().copied(), newcomer, now));
        // Nothing of others is taken for one that has most.
        let of_all = || self.least(self.connections.keys().copied(), newcomer, now);
        let least = if is_greedy && client == newcomer { least } else { least.or_else(of_all) };
        let entry = self.remove(least?)?;
        entry.control.close();
        Some(entry.client)
    }

    /// The idle one that has been so for longest, or else one that is slow with its body.
    fn least(&self, numbers: impl Iterator<Item = u64>, newcomer: IpAddr, now: u64) -> Option<u64> {
        let entries = numbers.filter_map(|number| Some((number, self.connections.get(&number)?)));
        let candidates = entries.take(CANDIDATES_MAX).filter_map(|(number, entry)| {
            let (phase, since) = entry.control.get();
            let idle = Duration::from_millis(now).saturating_sub(since);
            let rank = match phase {
                Phase::Discard => 2,
                Phase::Head if entry.client == newcomer && entry.is_in_use(idle) => return None,
                Phase::Head => 1,
                Phase::Body => 0,
                Phase::Answer => return None,
            };
            Some((rank, idle, Reverse(number)))
        });
        candidates.max().map(|(_, _, Reverse(number))| number)
    }
}

/// An address, as far as one client has it to itself: of IPv6 that is a /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            std::net::Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}
