//! What a worker has not answered yet, and what of it fails when the worker hangs or ends.
//!
//! Most workers do one event after the other. So the oldest event behind the last answer is taken for
//! the one that the worker was at, and fails. Those behind it were not begun: they wait, and use up
//! no try. At what is older than an answer the worker is not any more: when its time is over it fails
//! for itself.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::answer::Reply;
use crate::event::EventId;

/// All events of one process without an answer.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    waiting: HashMap<EventId, Waiting>,
    n_sent: u64,
    /// The highest number that was answered; 0 = none.
    newest_answered: u64,
    /// What has failed by its time, and the worker is still at.
    stuck_on: Option<(EventId, u64)>,
}

#[derive(Debug)]
struct Waiting {
    /// The events of a process are counted as they are sent, from 1 on.
    number: u64,
    answer: oneshot::Sender<Reply>,
}

/// What becomes of an event that had its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    Fails,
    NotBegun,
    /// Its answer came between the end of its time and the look at it.
    Answered,
}

impl Unanswered {
    pub(super) fn add(&mut self, id: EventId, answer: oneshot::Sender<Reply>) {
        self.n_sent = self.n_sent.saturating_add(1);
        self.waiting.insert(id, Waiting { number: self.n_sent, answer });
    }

    pub(super) fn forget(&mut self, id: EventId) {
        self.waiting.remove(&id);
    }

    /// Takes out who waits for the answer that has come; `None` = it came too late.
    pub(super) fn answered(&mut self, id: EventId) -> Option<oneshot::Sender<Reply>> {
        let waiting = self.waiting.remove(&id);
        if let Some(Waiting { number, .. }) = waiting {
            self.newest_answered = self.newest_answered.max(number);
        }
        let newest = self.newest_answered;
        self.stuck_on.take_if(|(stuck, number)| *stuck == id || *number < newest);
        waiting.map(|waiting| waiting.answer)
    }

    /// What becomes of each of `ids`, which had their time.
    pub(super) fn late(&mut self, ids: &[EventId], is_ending: bool) -> Vec<Late> {
        let current = self.current();
        let judge = |id: &EventId| {
            let Some(number) = self.waiting.get(id).map(|one| one.number) else {
                return Late::Answered;
            };
            if number < self.newest_answered {
                return Late::Fails;
            }
            if Some(number) != current || self.stuck_on.is_some() || is_ending {
                return Late::NotBegun;
            }
            self.stuck_on = Some((*id, number));
            Late::Fails
        };
        ids.iter().map(judge).collect()
    }

    /// All of them, and whether each fails, now that the process is gone. Nothing fails where
    /// something has failed already: the worker was at that.
    pub(super) fn end(&mut self, is_ending: bool) -> Vec<(oneshot::Sender<Reply>, bool)> {
        let current = self.current().filter(|_| self.stuck_on.is_none() && !is_ending);
        let waiting =
            self.waiting.drain().map(|(_, one)| (one.answer, Some(one.number) == current));
        waiting.collect()
    }

    /// What the worker is at: where nothing is behind the last answer, the oldest of all.
    fn current(&self) -> Option<u64> {
        let numbers = || self.waiting.values().map(|waiting| waiting.number);
        let behind = numbers().filter(|number| *number > self.newest_answered);
        behind.min().or_else(|| numbers().min())
    }
}

#[cfg(test)]
mod tests {
    use super::Late::{Answered, Fails, NotBegun};
    use super::*;
    use crate::handler::testing::id;

    fn sent(numbers: std::ops::RangeInclusive<u64>) -> Unanswered {
        let mut unanswered = Unanswered::default();
        for number in numbers {
            unanswered.add(id(number), oneshot::channel().0);
        }
        unanswered
    }

    fn failed_at_end(mut unanswered: Unanswered, is_ending: bool) -> usize {
        unanswered.end(is_ending).iter().filter(|(_, fails)| *fails).count()
    }

    #[test]
    fn oldest_one_fails_and_those_behind_it_wait() {
        let mut unanswered = sent(1..=4);
        assert!(unanswered.answered(id(1)).is_some());
        assert_eq!(unanswered.late(&[id(3), id(2), id(4)], false), [NotBegun, Fails, NotBegun]);
        // It is still at that one: no other fails for it, neither by its time nor with its end.
        unanswered.forget(id(2));
        assert_eq!(unanswered.late(&[id(3)], false), [NotBegun]);
        assert_eq!(failed_at_end(unanswered, false), 0);
        assert_eq!(failed_at_end(sent(1..=4), false), 1);
        assert_eq!(failed_at_end(sent(1..=4), true), 0, "it was ended for another one");
    }

    #[test]
    fn late_answer_shows_that_the_worker_goes_on() {
        let mut unanswered = sent(1..=3);
        assert_eq!(unanswered.late(&[id(1)], false), [Fails]);
        unanswered.forget(id(1));
        assert!(unanswered.answered(id(1)).is_none());
        assert_eq!(unanswered.late(&[id(2), id(3)], false), [Fails, NotBegun]);
    }

    #[test]
    fn what_the_worker_has_passed_over_fails_for_itself() {
        let mut unanswered = sent(1..=4);
        assert!(unanswered.answered(id(3)).is_some());
        assert_eq!(unanswered.late(&[id(1), id(2), id(4)], false), [Fails; 3]);
        // It was not at those when it ended.
        let mut unanswered = sent(1..=5);
        assert!(unanswered.answered(id(3)).is_some());
        let ended = unanswered.end(false);
        assert_eq!((ended.len(), ended.iter().filter(|(_, fails)| *fails).count()), (4, 1));
    }

    #[test]
    fn end_that_comes_with_the_end_of_the_time_is_its_answer() {
        let mut unanswered = sent(1..=2);
        assert_eq!(unanswered.late(&[id(1)], false), [Fails]);
        assert_eq!(unanswered.end(true).len(), 2);
        assert_eq!(unanswered.late(&[id(2)], true), [Answered]);
    }
}
