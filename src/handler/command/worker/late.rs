//! Answers that came when no call waited for them any more.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::answer::Reply;
use crate::event::EventId;
use crate::sync::lock;

/// How many are kept: those of events that never come again are never asked for.
const LATE_MAX: usize = 1_000;

/// One of them.
#[derive(Debug, PartialEq)]
pub(super) struct LateReply {
    pub(super) reply: Reply,
    /// The try that had failed by its time when its answer came.
    pub(super) failed: Option<u32>,
}

/// What the workers of one handler have answered late, for the next tries of these events, the oldest answer
/// first. It outlives the processes: what is done is done.
#[derive(Debug, Default)]
pub(super) struct LateAnswers(Mutex<VecDeque<(EventId, LateReply)>>);

impl LateAnswers {
    pub(super) fn keep(&self, id: EventId, answer: LateReply) {
        let mut late = lock(&self.0);
        late.retain(|(kept, _)| *kept != id);
        late.push_back((id, answer));
        if late.len() > LATE_MAX {
            late.pop_front();
        }
    }

    /// The answer for try `attempt`. Where the tries are counted anew since the one that it was to has failed,
    /// the event was redriven or replayed: it is to be done again, and the answer is forgotten.
    pub(super) fn take(&self, id: EventId, attempt: u32) -> Option<Reply> {
        let mut late = lock(&self.0);
        let place = late.iter().position(|(kept, _)| *kept == id)?;
        let (_, answer) = late.remove(place)?;
        answer.failed.is_none_or(|failed| attempt > failed).then_some(answer.reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::testing::id;

    fn done(failed: Option<u32>) -> LateReply {
        LateReply { reply: Ok(()), failed }
    }

    #[test]
    fn the_newest_are_kept_and_each_counts_once() {
        let late = LateAnswers::default();
        // Of older events at last, which were tried again.
        for number in (1..=2_000).rev() {
            late.keep(id(number), done(None));
        }
        assert_eq!((late.take(id(1_001), 1), late.take(id(1_000), 1)), (None, Some(Ok(()))));
        assert_eq!(late.take(id(1_000), 1), None);
    }

    #[test]
    fn event_that_is_begun_anew_is_asked_for_anew() {
        let late = LateAnswers::default();
        late.keep(id(1), done(Some(2)));
        assert_eq!(late.take(id(1), 3), Some(Ok(())), "its next try");
        late.keep(id(1), done(Some(2)));
        assert_eq!(late.take(id(1), 1), None, "a replay");
        assert_eq!(late.take(id(1), 3), None, "and what is behind it");
        late.keep(id(1), done(None));
        assert_eq!(late.take(id(1), 1), Some(Ok(())), "a try that was put off");
    }
}
