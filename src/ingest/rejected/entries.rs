//! What the ring holds, and which of it the file does not hold yet.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{RejectedRequest, RejectedRing};

/// The newest requests, oldest first, their numbers ascending.
#[derive(Debug, Default)]
pub(super) struct Entries {
    requests: VecDeque<Arc<RejectedRequest>>,
    bytes: usize,
    /// The newest number that was given.
    last: u64,
    /// The newest number that was handed out to be written.
    written: u64,
    /// Numbers that were let go of since then. They name requests that were kept, so there are no
    /// more of them than of those.
    removed: Vec<u64>,
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
        if bytes > RejectedRing::BYTES_MAX {
            return;
        }
        self.bytes += bytes;
        self.requests.push_back(Arc::new(request));
        while self.requests.len() > RejectedRing::ENTRIES_MAX
            || self.bytes > RejectedRing::BYTES_MAX
        {
            let Some(oldest) = self.requests.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        let found = self.requests.binary_search_by_key(&number, |request| request.number).ok();
        if let Some(request) = found.and_then(|index| self.requests.remove(index)) {
            self.bytes -= request.bytes();
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
