//! How many bytes of bodies may be held of requests that are not verified yet: what all senders
//! together may cost in memory before one of them has shown that it can sign.
//!
//! - A body whose length is known has its room before it is read; one in chunks takes more as it
//!   comes, for all that is held of it.
//! - Long headers count with their body.
//! - Small ones take none: what they cost is bounded by the number of connections.
//! - One public address has at most half of it, so that it leaves room for others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};

use super::client_limiter::is_private;
use super::request::{BodyError, RequestHead};
use crate::sync::lock;

/// Bodies up to this size take no room: they are about what a connection holds anyway.
const SMALL_BYTES: usize = 16 << 10;

/// The room for all of them.
#[derive(Debug, Default)]
pub(super) struct UnverifiedBytes {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    clients: HashMap<IpAddr, usize>,
}

/// The room that one body has. Dropped, it is free again.
#[derive(Debug)]
pub struct BodyRoom<'a> {
    all: &'a UnverifiedBytes,
    client: IpAddr,
    bytes_max: usize,
    counted: usize,
}

impl UnverifiedBytes {
    /// Room for the headers and the body that `head` tells of, of `bytes_max` for all.
    pub(super) fn reserve(
        &self,
        head: &RequestHead<'_>,
        bytes_max: usize,
    ) -> Result<BodyRoom<'_>, BodyError> {
        let headers = Some(head.header_bytes).filter(|n_bytes| *n_bytes > SMALL_BYTES);
        let length = headers.unwrap_or(0).saturating_add(head.content_length.unwrap_or(0));
        let client = head.client.unwrap_or(IpAddr::from([0; 4])).to_canonical();
        let mut room = BodyRoom { all: self, client, bytes_max, counted: 0 };
        let is_free = length <= SMALL_BYTES || room.grow_to(length);
        if is_free { Ok(room) } else { Err(BodyError::NoRoom) }
    }

    /// A panic elsewhere leaves the numbers whole.
    fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }
}

impl BodyRoom<'_> {
    /// Takes room for a body of which `n_bytes` are held. `false` = there is none.
    pub fn grow_to(&mut self, n_bytes: usize) -> bool {
        let more = n_bytes.saturating_sub(self.counted);
        if more == 0 {
            return true;
        }
        let mut held = self.all.held();
        let of_client = held.clients.get(&self.client).copied().unwrap_or(0);
        // Many may stand behind a private address: it is likely to be a proxy's.
        let client_max = if is_private(self.client) { self.bytes_max } else { self.bytes_max / 2 };
        // One alone always has room, however the limits are set.
        let is_free = held.total == self.counted
            || (held.total.saturating_add(more) <= self.bytes_max
                && of_client.saturating_add(more) <= client_max);
        if is_free {
            held.total += more;
            held.clients.insert(self.client, of_client + more);
            self.counted += more;
        }
        is_free
    }
}

impl Drop for BodyRoom<'_> {
    fn drop(&mut self) {
        if self.counted == 0 {
            return;
        }
        let mut held = self.all.held();
        debug_assert!(held.total >= self.counted, "what is given back was reserved");
        held.total = held.total.saturating_sub(self.counted);
        if let Some(bytes) = held.clients.get_mut(&self.client) {
            *bytes = bytes.saturating_sub(self.counted);
            if *bytes == 0 {
                held.clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;

    fn head(last: u8, header_bytes: usize, length: usize) -> RequestHead<'static> {
        let (client, content_length) = (Some([203, 0, 113, last].into()), Some(length));
        let head = crate::ingest::testing::head("a", "/hooks/a");
        RequestHead { content_length, header_bytes, client, ..head }
    }

    fn reserve(all: &UnverifiedBytes, last: u8, length: usize) -> Result<BodyRoom<'_>, BodyError> {
        all.reserve(&head(last, 0, length), MAX)
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        let all = UnverifiedBytes::default();
        let of = |last| reserve(&all, last, 200 << 10).ok();
        let greedy: Vec<_> = std::iter::from_fn(|| of(1)).collect();
        assert_eq!(greedy.len(), 2);
        let other = of(2).unwrap();
        assert!(reserve(&all, 1, SMALL_BYTES).is_ok(), "small ones are always taken");
        drop(greedy);
        let again: Vec<_> = std::iter::from_fn(|| of(1)).collect();
        assert_eq!(again.len(), 2);
        drop((other, again));
        assert!(all.held().clients.is_empty() && all.held().total == 0);
    }

    #[test]
    fn headers_count_with_the_body() {
        let all = UnverifiedBytes::default();
        let small = all.reserve(&head(1, 1_000, 0), MAX).unwrap();
        assert_eq!(small.counted, 0);
        let large: Vec<_> =
            std::iter::from_fn(|| all.reserve(&head(1, 60_000, 5), MAX).ok()).collect();
        assert_eq!((large.len(), large[0].counted), (8, 60_005));
    }

    #[test]
    fn a_body_in_chunks_takes_room_as_it_comes() {
        let all = UnverifiedBytes::default();
        let mut room = reserve(&all, 1, 0).unwrap();
        let other = reserve(&all, 2, 512 << 10).unwrap();
        assert!(room.grow_to(5_000) && room.counted == 5_000);
        assert!(room.grow_to(512 << 10) && room.grow_to(5_000));
        assert!(!room.grow_to((512 << 10) + 1));
        assert_eq!(all.held().total, 1 << 20);
        // Once it is alone, it may be longer than all the room.
        drop(other);
        assert!(room.grow_to(2 * MAX));
    }

    #[test]
    fn a_body_that_is_longer_than_all_the_room_is_taken_alone() {
        let all = UnverifiedBytes::default();
        let alone = reserve(&all, 1, 2 * MAX);
        assert!(alone.is_ok());
        assert_eq!(reserve(&all, 2, MAX).err(), Some(BodyError::NoRoom));
    }
}
