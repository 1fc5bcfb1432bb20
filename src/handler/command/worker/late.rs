//! Answers that came when no call waited for them any more.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::answer::Reply;
use crate::event::EventId;
use crate::sync::lock;

/// How many are kept: those of events that never come again are never asked for.
const LATE_MAX: usize = 1_000;

/// What the workers of one handler have answered late, for the next deliveries of these events. It
/// outlives the processes: what is done is done.
#[derive(Debug, Default)]
pub(super) struct LateAnswers(Mutex<BTreeMap<EventId, Reply>>);

impl LateAnswers {
    pub(super) fn keep(&self, id: EventId, reply: Reply) {
        let mut late = lock(&self.0);
        late.insert(id, reply);
        while late.len() > LATE_MAX {
            late.pop_first();
        }
    }

    pub(super) fn take(&self, id: EventId) -> Option<Reply> {
        lock(&self.0).remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::testing::id;

    #[test]
    fn only_so_many_are_kept_and_each_counts_once() {
        let late = LateAnswers::default();
        for number in 1..=2_000 {
            late.keep(id(number), Ok(()));
        }
        assert_eq!((late.take(id(1_000)), late.take(id(1_001))), (None, Some(Ok(()))));
        assert_eq!(late.take(id(1_001)), None);
    }
}
