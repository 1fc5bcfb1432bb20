//! What a worker has not answered yet, and what of it fails when the worker hangs or ends.
//!
//! A process gets one line for each event, however often the event comes meanwhile: a line stays here
//! until it is answered, also when no call waits for its answer any more.
//!
//! Most workers do one event after the other. So the oldest line behind the last answer is taken for
//! the one that the worker is at, and its event fails. Those behind it were not begun: they wait, and
//! use up no try. At what is older than an answer the worker is not any more: when its time is over it
//! fails for itself, and gets a line of its own the next time.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot::{Receiver, Sender, channel};

use super::answer::Reply;
use super::late::LateReply;
use crate::event::{EventId, Failure};

/// How many lines that the worker has passed over are remembered: most are never answered.
const PASSED_MAX: usize = 1_000;

/// The pause before the first restart, which doubles with each one; what was not begun is tried again
/// after it.
pub(super) const RESTART_TIME: Duration = Duration::from_millis(100);

/// Of what was behind another event when its worker hung or ended.
pub(super) fn not_begun(why: &str) -> Failure {
    Failure::deferred(format_args!("not begun: {why}"), RESTART_TIME)
}

/// All lines of one process without an answer.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    lines: HashMap<EventId, Line>,
    /// Events that failed because the worker had passed over their lines, with the try that did; the oldest
    /// first.
    passed: VecDeque<(EventId, u32)>,
    n_sent: u64,
    /// The highest number that was answered; 0 = none.
    newest_answered: u64,
}

#[derive(Debug)]
struct Line {
    /// The lines of a process are counted as they are sent, from 1 on.
    number: u64,
    /// Closed where the call has given up.
    waiting: Sender<Reply>,
    /// The try that waits, or waited last.
    attempt: u32,
    /// That one has failed by its time.
    has_failed: bool,
}

/// Where the answer to an event comes.
#[derive(Debug)]
pub(super) enum AwaitedAnswer {
    /// Once its line is sent.
    ToNewLine(Receiver<Reply>),
    /// The worker has its line already.
    ToLine(Receiver<Reply>),
    /// The worker is too far behind.
    Full,
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
    /// Waits for the answer to an event. There is no new line for it where the worker has `late_max` before
    /// it that no call waits for any more: the calls bound the others.
    pub(super) fn expect(&mut self, id: EventId, attempt: u32, late_max: usize) -> AwaitedAnswer {
        let (waiting, reply) = channel();
        if let Some(line) = self.lines.get_mut(&id) {
            (line.waiting, line.attempt) = (waiting, attempt);
            line.has_failed = false;
            return AwaitedAnswer::ToLine(reply);
        }
        if self.is_full(late_max) {
            return AwaitedAnswer::Full;
        }
        let newest = self.newest_answered;
        self.n_sent = self.n_sent.saturating_add(1);
        let number = self.n_sent;
        self.lines.insert(id, Line { number, waiting, attempt, has_failed: false });
        // Of those that it has passed over no call may ask any more.
        if self.lines.len() > late_max.saturating_add(PASSED_MAX) {
            self.lines.retain(|_, line| line.number > newest || !line.waiting.is_closed());
        }
        AwaitedAnswer::ToNewLine(reply)
    }

    /// Whether as many lines as that are before the worker whose calls have given up.
    pub(super) fn is_full(&self, late_max: usize) -> bool {
        let newest = self.newest_answered;
        let is_late = |line: &&Line| line.number > newest && line.waiting.is_closed();
        self.lines.len() >= late_max && self.lines.values().filter(is_late).count() >= late_max
    }

    /// How many lines are before the worker: without those that it has passed over and no call waits for, most
    /// of which are never answered.
    pub(super) fn len(&self) -> usize {
        let newest = self.newest_answered;
        let is_before = |line: &&Line| line.number > newest || !line.waiting.is_closed();
        self.lines.values().filter(is_before).count()
    }

    /// Whether the worker has a line of this event before it.
    pub(super) fn has(&self, id: EventId) -> bool {
        self.lines.contains_key(&id)
    }

    /// Another process has the event now.
    pub(super) fn forget(&mut self, id: EventId) {
        self.lines.remove(&id);
        self.passed.retain(|(passed, _)| *passed != id);
    }

    /// Tells the answer to the call that waits for it. Gives it back where none does, and the event's next
    /// try is to have it: an answer that is no failure, or to a try that has not failed yet.
    pub(super) fn answered(&mut self, id: EventId, reply: Reply) -> Option<LateReply> {
        let passed = self.passed.iter().rfind(|(passed, _)| *passed == id).map(|(_, of)| *of);
        self.passed.retain(|(passed, _)| *passed != id);
        let (unheard, failed) = match self.lines.remove(&id) {
            Some(line) => {
                self.newest_answered = self.newest_answered.max(line.number);
                let failed = line.has_failed.then_some(line.attempt);
                (line.waiting.send(reply).err(), failed)
            }
            None => (passed.map(|_| reply), passed),
        };
        let unheard = unheard.filter(|reply| !(failed.is_some() && reply.is_err()));
        unheard.map(|reply| LateReply { reply, failed })
    }

    /// What becomes of each of `ids`, which had their time.
    pub(super) fn late(&mut self, ids: &[EventId], is_ending: bool) -> Vec<Late> {
        let current = self.current();
        let newest = self.newest_answered;
        let judge = |id: &EventId| {
            let Some(line) = self.lines.get_mut(id) else { return Late::Answered };
            if line.number < newest {
                let attempt = line.attempt;
                self.lines.remove(id);
                self.passed.push_back((*id, attempt));
                return Late::Fails;
            }
            if Some(line.number) != current || is_ending {
                return Late::NotBegun;
            }
            line.has_failed = true;
            Late::Fails
        };
        let late = ids.iter().map(judge).collect();
        while self.passed.len() > PASSED_MAX {
            self.passed.pop_front();
        }
        late
    }

    /// All who wait, and whether the event of each fails, now that the process is gone. Nothing fails
    /// where no call waits for what the worker was at: that has failed already.
    pub(super) fn end(&mut self, is_ending: bool) -> Vec<(Sender<Reply>, bool)> {
        let current = self.current().filter(|_| !is_ending);
        self.passed.clear();
        let lines = self.lines.drain();
        lines.map(|(_, line)| (line.waiting, Some(line.number) == current)).collect()
    }

    /// What the worker is at: where nothing is behind the last answer, the oldest of all.
    fn current(&self) -> Option<u64> {
        let numbers = || self.lines.values().map(|line| line.number);
        let behind = numbers().filter(|number| *number > self.newest_answered);
        behind.min().or_else(|| numbers().min())
    }
}

#[cfg(test)]
mod tests {
    use super::Late::{Answered, Fails, NotBegun};
    use super::*;
    use crate::handler::testing::id;

    const LATE_MAX: usize = 10;

    /// Those who wait for the answers to these events.
    type Waiting = Vec<Receiver<Reply>>;

    fn expect(unanswered: &mut Unanswered, number: u64) -> Receiver<Reply> {
        match unanswered.expect(id(number), 1, LATE_MAX) {
            AwaitedAnswer::ToNewLine(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn sent(numbers: std::ops::RangeInclusive<u64>) -> (Unanswered, Waiting) {
        let mut unanswered = Unanswered::default();
        let waiting = numbers.map(|number| expect(&mut unanswered, number)).collect();
        (unanswered, waiting)
    }

    fn late(reply: Reply, failed: Option<u32>) -> LateReply {
        LateReply { reply, failed }
    }

    fn failed_at_end(mut unanswered: Unanswered, is_ending: bool) -> usize {
        let ended = unanswered.end(is_ending).into_iter();
        ended.filter(|(waiting, fails)| *fails && !waiting.is_closed()).count()
    }

    #[test]
    fn oldest_one_fails_and_those_behind_it_wait() {
        let (mut unanswered, mut waiting) = sent(1..=4);
        assert_eq!(unanswered.answered(id(1), Ok(())), None);
        assert_eq!(unanswered.late(&[id(3), id(2), id(4)], false), [NotBegun, Fails, NotBegun]);
        // It is still at that one: no other fails for it, neither by its time nor with its end.
        drop(waiting.remove(1));
        assert_eq!(unanswered.late(&[id(3)], false), [NotBegun]);
        assert_eq!(failed_at_end(unanswered, false), 0);
        let (unanswered, _waiting) = sent(1..=4);
        assert_eq!(failed_at_end(unanswered, false), 1);
        let (unanswered, _waiting) = sent(1..=4);
        assert_eq!(failed_at_end(unanswered, true), 0, "it was ended for another one");
    }

    #[test]
    fn late_answer_shows_that_the_worker_goes_on() {
        let (mut unanswered, mut waiting) = sent(1..=3);
        assert_eq!(unanswered.late(&[id(1)], false), [Fails]);
        drop(waiting.remove(0));
        assert_eq!(unanswered.answered(id(1), Ok(())), Some(late(Ok(()), Some(1))));
        assert_eq!(unanswered.late(&[id(2), id(3)], false), [Fails, NotBegun]);
    }

    #[test]
    fn what_the_worker_has_passed_over_fails_for_itself() {
        let (mut unanswered, _waiting) = sent(1..=4);
        assert_eq!(unanswered.answered(id(3), Ok(())), None);
        assert_eq!(unanswered.late(&[id(1), id(2), id(4)], false), [Fails; 3]);
        // They are sent again, and what is said to the first line counts until then.
        assert_eq!(unanswered.answered(id(1), Ok(())), Some(late(Ok(()), Some(1))));
        let _one = expect(&mut unanswered, 1);
        let _two = expect(&mut unanswered, 2);
        assert_eq!(unanswered.answered(id(2), Ok(())), None);
        assert_eq!(unanswered.answered(id(2), Ok(())), None, "said twice");
        // It was not at those when it ended.
        let (mut unanswered, _waiting) = sent(1..=5);
        assert_eq!(unanswered.answered(id(3), Ok(())), None);
        let ended = unanswered.end(false);
        assert_eq!((ended.len(), ended.iter().filter(|(_, fails)| *fails).count()), (4, 1));
    }

    #[test]
    fn end_that_comes_with_the_end_of_the_time_is_its_answer() {
        let (mut unanswered, _waiting) = sent(1..=2);
        assert_eq!(unanswered.late(&[id(1)], false), [Fails]);
        assert_eq!(unanswered.end(true).len(), 2);
        assert_eq!(unanswered.late(&[id(2)], true), [Answered]);
    }

    #[test]
    fn event_has_one_line_until_it_is_answered() {
        let (mut unanswered, mut waiting) = sent(1..=2);
        waiting.clear();
        assert!(matches!(unanswered.expect(id(2), 1, LATE_MAX), AwaitedAnswer::ToLine(_)));
        assert_eq!(unanswered.late(&[id(2)], false), [NotBegun], "it is at the first");
        unanswered.answered(id(1), Ok(()));
        unanswered.answered(id(2), Ok(()));
        assert!(matches!(unanswered.expect(id(2), 1, LATE_MAX), AwaitedAnswer::ToNewLine(_)));
    }

    #[test]
    fn failure_that_comes_late_is_no_second_failure() {
        let down = || Err(Failure::transient("down"));
        let dead = || Err(Failure::permanent("no such user"));
        let (mut unanswered, mut waiting) = sent(1..=4);
        assert_eq!(unanswered.late(&[id(1), id(2)], false), [Fails, NotBegun]);
        waiting.clear();
        assert_eq!(unanswered.answered(id(1), down()), None, "its try has failed");
        let kept = Some(late(down(), None));
        assert_eq!(unanswered.answered(id(2), down()), kept, "this one's is not used up");
        assert_eq!(unanswered.late(&[id(3)], false), [Fails]);
        assert_eq!(unanswered.answered(id(3), dead()), None, "a redrive asks anew");
    }

    #[test]
    fn line_that_is_passed_over_and_given_up_is_no_load() {
        let (mut unanswered, mut waiting) = sent(1..=4);
        assert_eq!(unanswered.len(), 4);
        unanswered.answered(id(3), Ok(()));
        assert_eq!(unanswered.len(), 3, "two calls wait for what it has passed over");
        waiting.drain(..2);
        assert_eq!(unanswered.len(), 1);
        waiting.clear();
        assert_eq!(unanswered.len(), 1, "this one it may be at");
    }

    #[test]
    fn worker_has_so_many_late_lines_before_it_and_no_more() {
        let (mut unanswered, waiting) = sent(1..=10);
        let _waiting = expect(&mut unanswered, 11);
        drop(waiting);
        assert!(matches!(unanswered.expect(id(12), 1, LATE_MAX), AwaitedAnswer::Full));
        assert!(matches!(unanswered.expect(id(10), 1, LATE_MAX), AwaitedAnswer::ToLine(_)));
        // What it has passed over is not before it any more.
        unanswered.answered(id(9), Ok(()));
        for number in 12..=20 {
            drop(expect(&mut unanswered, number));
        }
        assert!(matches!(unanswered.expect(id(21), 1, LATE_MAX), AwaitedAnswer::Full));
        // No call asks for these again.
        for number in 21..10_000 {
            unanswered.answered(id(number - 1), Ok(()));
            drop(expect(&mut unanswered, number));
            assert_eq!(unanswered.late(&[id(1)], false).len(), 1);
        }
        assert!(unanswered.lines.len() <= LATE_MAX + PASSED_MAX);
        assert!(unanswered.passed.len() <= PASSED_MAX);
    }
}
