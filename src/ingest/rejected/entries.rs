//! What the ring holds, and which of it the file does not hold yet.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::event::SourceName;

use super::request::RejectedRequest;

/// The most requests that are kept: weeks of honest mistakes, minutes of a flood.
pub(super) const ENTRIES_MAX: usize = 1_000;
/// The most bytes that are kept.
pub(super) const BYTES_MAX: usize = 8 << 20;
/// The most bytes of the file; while it is written anew the old one is beside it.
pub(super) const FILE_BYTES_MAX: u64 = 2 * BYTES_MAX as u64 + (1 << 20);

/// The newest requests, oldest first, their numbers ascending.
#[derive(Debug, Default)]
pub(super) struct Entries {
    requests: VecDeque<Arc<RejectedRequest>>,
    bytes: usize,
    /// How much of it each source has.
    shares: HashMap<SourceName, SourceShare>,
    /// The newest number that was given.
    last: u64,
    /// The newest number that was handed out to be written.
    written: u64,
    /// Numbers that were let go of since then. They name requests that were kept or are in the
    /// file, so there are no more of them than of those.
    removed: Vec<u64>,
}

/// What one source has of the ring.
#[derive(Debug, Default)]
struct SourceShare {
    all: Share,
    /// What each of its clients has of that.
    clients: HashMap<Option<IpAddr>, Share>,
}

/// How much of the ring is one's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    count: usize,
    bytes: usize,
}

impl Share {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: usize) {
        self.count -= 1;
        self.bytes -= bytes;
    }
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// All that is kept, oldest first.
    pub(super) requests: Vec<Arc<RejectedRequest>>,
    /// From this number on the file does not have them.
    pub(super) first_new: u64,
    /// What the file may still have and is not kept any more.
    pub(super) removed: Vec<u64>,
    /// The newest number that was given, whether it is kept or not.
    pub(super) last: u64,
}

impl Entries {
    pub(super) fn iter(&self) -> std::collections::vec_deque::Iter<'_, Arc<RejectedRequest>> {
        self.requests.iter()
    }

    /// Takes `request` in under the next number. One that alone is over the limit is not kept, so
    /// that it does not push out all others.
    pub(super) fn push(&mut self, request: RejectedRequest) -> u64 {
        self.last += 1;
        self.insert(RejectedRequest { number: self.last, ..request });
        self.last
    }

    /// Takes a request back in that has its number; one out of order is left out.
    pub(super) fn restore(&mut self, request: RejectedRequest) {
        if request.number > self.last {
            self.last = request.number;
            self.insert(request);
        }
    }

    /// Gives no number up to `last` again.
    pub(super) fn skip_to(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    fn insert(&mut self, request: RejectedRequest) {
        let bytes = request.bytes();
        if bytes > BYTES_MAX {
            return;
        }
        self.bytes += bytes;
        let share = self.shares.entry(request.source.clone()).or_default();
        share.all.add(bytes);
        share.clients.entry(network(&request)).or_default().add(bytes);
        self.requests.push_back(Arc::new(request));
        while let Some(index) = self.superfluous() {
            let Some(number) = self.take_out(index) else { break };
            // One that the file has, or it would come back with the next start.
            if number <= self.written {
                self.removed.push(number);
            }
        }
    }

    /// Which one has to go: of the source that has most, so that one that is flooded leaves the
    /// others theirs, and there of the client that has most, so that it leaves the other clients theirs. Where bytes
    /// are short the largest goes first, but never the newest of all. The source's
    /// first question stays: it may have brought the secret, and a stranger can ask a thousand more.
    fn superfluous(&self) -> Option<usize> {
        let newest = self.requests.len().checked_sub(1)?;
        let of = |source: &SourceName| {
            let mine = self.requests.iter().take(newest).enumerate();
            let source = source.clone();
            let mine = mine.filter(move |(_, request)| request.source == source);
            let mut has_first = false;
            mine.filter(move |(_, request)| {
                let is_first = request.is_handshake() && !has_first;
                has_first |= is_first;
                !is_first
            })
        };
        if self.bytes > BYTES_MAX {
            let (source, share) = self.shares.iter().max_by_key(|(_, share)| share.all.bytes)?;
            let (client, _) = share.clients.iter().max_by_key(|(_, share)| share.bytes)?;
            let largest = of(source)
                .max_by_key(|(index, one)| (network(one) == *client, one.bytes(), Reverse(*index)));
            return largest.map(|(index, _)| index).or(Some(0));
        }
        if self.requests.len() > ENTRIES_MAX {
            let (source, share) = self.shares.iter().max_by_key(|(_, share)| share.all.count)?;
            let most = share.clients.values().map(|share| share.count).max();
            let count_of =
                |one: &RejectedRequest| share.clients.get(&network(one)).map(|share| share.count);
            let oldest =
                of(source).find(|(_, one)| count_of(one) == most).or_else(|| of(source).next());
            return oldest.map(|(index, _)| index).or(Some(0));
        }
        None
    }

    /// Takes the request at `index` out; gives its number.
    fn take_out(&mut self, index: usize) -> Option<u64> {
        let request = self.requests.remove(index)?;
        let bytes = request.bytes();
        self.bytes -= bytes;
        if let Some(share) = self.shares.get_mut(&request.source) {
            share.all.take(bytes);
            if let Entry::Occupied(mut client) = share.clients.entry(network(&request)) {
                client.get_mut().take(bytes);
                if client.get().count == 0 {
                    client.remove();
                }
            }
            if share.all.count == 0 {
                self.shares.remove(&request.source);
            }
        }
        Some(request.number)
    }

    pub(super) fn remove(&mut self, number: u64) {
        let found = self.requests.binary_search_by_key(&number, |request| request.number).ok();
        if let Some(number) = found.and_then(|index| self.take_out(index)) {
            self.removed.push(number);
        }
    }

    /// The file holds all of it.
    pub(super) fn all_is_written(&mut self) {
        self.written = self.last;
        self.removed.clear();
    }

    /// The file may hold none of it.
    pub(super) fn nothing_is_written(&mut self) {
        self.written = 0;
    }

    pub(super) fn is_changed(&self) -> bool {
        self.written < self.last || !self.removed.is_empty()
    }

    /// What the file does not hold yet; from here on it counts as written.
    pub(super) fn take_unwritten(&mut self) -> Option<Unwritten> {
        if !self.is_changed() {
            return None;
        }
        let unwritten = Unwritten {
            requests: self.requests.iter().cloned().collect(),
            first_new: self.written.saturating_add(1),
            removed: std::mem::take(&mut self.removed),
            last: self.last,
        };
        self.written = self.last;
        Some(unwritten)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Whose request it is: of IPv6 a /48, of which one person can have each address.
fn network(request: &RejectedRequest) -> Option<IpAddr> {
    Some(match request.client?.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).into(),
        address @ IpAddr::V4(_) => address,
    })
}
