//! What was found out about rejected requests, for pages that show many of them again and again.
//!
//! What is wrong with one takes up to about a second to find out, and strangers choose the requests:
//! one is looked into at a time, and what was found is good for a while.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use crate::clock::Timestamp;
use crate::source::Explanation;
use crate::sync::lock;

/// How many are remembered: a page shows 10.
const KNOWN_MAX: usize = 64;
/// How long one is good: keys may be fetched and secrets learned meanwhile.
const GOOD_FOR: Duration = Duration::from_mins(10);

/// What was found out about the newest that were asked for.
#[derive(Debug, Default)]
pub struct KnownExplanations {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Number, when it was found out by the steady clock, and what. Oldest first.
    known: Mutex<VecDeque<(u64, Timestamp, Explanation)>>,
    /// How often the sources were others: what was begun before that is not remembered.
    n_changes: AtomicU64,
}

impl KnownExplanations {
    /// Waits until no other request is looked into.
    pub async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// The same without waiting: `None` = another one is looked into.
    pub fn turn_now(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.turn).try_lock_owned().ok()
    }

    /// How often the sources were others by now: to be asked before one is looked into.
    pub fn n_changes(&self) -> u64 {
        self.n_changes.load(Ordering::SeqCst)
    }

    /// Remembers what was found out at `now`, by the steady clock, with the sources as of `n_changes`.
    pub fn note(&self, number: u64, (now, n_changes): (Timestamp, u64), explanation: Explanation) {
        let mut known = lock(&self.known);
        if n_changes != self.n_changes() {
            return;
        }
        known.retain(|(one, ..)| *one != number);
        known.push_back((number, now, explanation));
        if known.len() > KNOWN_MAX {
            known.pop_front();
        }
    }

    /// What is known of the first of `numbers` of which something is.
    pub fn of(
        &self,
        mut numbers: impl Iterator<Item = u64>,
        now: Timestamp,
    ) -> Option<(u64, Explanation)> {
        let mut known = lock(&self.known);
        known.retain(|(_, at, _)| now.since(*at) < GOOD_FOR);
        numbers.find_map(|number| {
            let found = known.iter().find(|(one, ..)| *one == number)?;
            Some((number, found.2.clone()))
        })
    }

    /// Forgets everything: the sources are others now.
    pub(super) fn clear(&self) {
        let mut known = lock(&self.known);
        self.n_changes.fetch_add(1, Ordering::SeqCst);
        known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn saying(line: &str) -> Explanation {
        let (config_hint, config_table) = (None, None);
        Explanation { line: line.to_owned(), config_hint, config_table, is_good_now: false }
    }

    #[test]
    fn what_is_known_is_good_for_a_while_and_bounded() {
        let explained = KnownExplanations::default();
        explained.note(7, (at(0), 0), saying("old"));
        explained.note(7, (at(10), 0), saying("new"));
        let (number, found) = explained.of([9, 7, 8].into_iter(), at(11)).unwrap();
        assert_eq!((number, found.line.as_str()), (7, "new"));
        assert!(explained.of([9].into_iter(), at(11)).is_none());
        assert!(explained.of([7].into_iter(), at(600_010)).is_none(), "10 minutes later");
        for number in 0..100 {
            explained.note(number, (at(0), 0), saying("one"));
        }
        assert!(explained.of(0..36, at(1)).is_none());
        assert_eq!(explained.of(0..100, at(1)).unwrap().0, 36);
        explained.clear();
        assert!(explained.of(0..100, at(1)).is_none());
        explained.note(7, (at(1), 0), saying("begun before the sources were others"));
        assert!(explained.of(0..100, at(1)).is_none());
    }

    #[test]
    fn one_is_looked_into_at_a_time() {
        let explained = KnownExplanations::default();
        let turn = explained.turn_now();
        assert!(turn.is_some() && explained.turn_now().is_none());
        drop(turn);
        assert!(explained.turn_now().is_some());
    }
}
