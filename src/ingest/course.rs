//! How it goes with a source: when its newest event came, and which requests were turned down since.

use std::sync::Mutex;

use crate::clock::Timestamp;
use crate::ingest::Accepted;
use crate::metrics::RequestOutcome;
use crate::source::Rejection;
use crate::sync::lock;

/// How it goes with a source.
#[derive(Debug, Default)]
pub struct Course(Mutex<SourceCourse>);

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCourse {
    /// When its newest event came in that is known.
    pub last_event_at: Option<Timestamp>,
    /// The requests that failed verification since the last one that did not.
    pub rejected: Option<RejectedRun>,
    /// How many of them had a signature, as strangers' have not.
    pub rejected_signed: u64,
    /// Since when it is looked after for silence; `None` = not yet.
    pub watched_since: Option<Timestamp>,
}

/// Requests that failed verification one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectedRun {
    pub count: u64,
    pub since: Timestamp,
    pub last_at: Timestamp,
}

impl Course {
    /// That of a source that is checked in the same way as the one of `before`, or in another: then what failed
    /// before says nothing of it.
    pub(super) fn after(before: SourceCourse, is_checked_alike: bool) -> Self {
        let rejected = before.rejected.filter(|_| is_checked_alike);
        let rejected_signed = if is_checked_alike { before.rejected_signed } else { 0 };
        Self(Mutex::new(SourceCourse { rejected, rejected_signed, ..before }))
    }

    pub fn get(&self) -> SourceCourse {
        *lock(&self.0)
    }

    /// An event of it is known that came in then.
    pub fn had_event(&self, at: Timestamp) {
        let mut course = lock(&self.0);
        course.last_event_at = course.last_event_at.max(Some(at));
    }

    pub(super) fn verified(&self) {
        let mut course = lock(&self.0);
        (course.rejected, course.rejected_signed) = (None, 0);
    }

    /// A request that was kept is good by now.
    pub(super) fn released(&self, accepted: &Accepted, at: Timestamp) {
        self.verified();
        if matches!(accepted, Accepted::Stored(_)) {
            self.had_event(at);
        }
    }

    /// A request failed verification, which is counted by [`Self::note`].
    pub(super) fn rejected_by(&self, rejection: &Rejection) {
        let is_signed = rejection.shows_signature();
        // One whose key cannot be fetched is answered 503, and comes again.
        let counts = is_signed && !matches!(rejection, Rejection::KeyNotFetched(_));
        lock(&self.0).rejected_signed += u64::from(counts);
    }

    /// It is looked after from now on; `true` = it was not before.
    pub fn watch(&self, now: Timestamp) -> bool {
        let mut course = lock(&self.0);
        let is_new = course.watched_since.is_none();
        course.watched_since.get_or_insert(now);
        is_new
    }

    /// What became of a request.
    pub(super) fn note(&self, outcome: RequestOutcome, at: Timestamp) {
        if outcome == RequestOutcome::Accepted {
            self.had_event(at);
        } else if outcome == RequestOutcome::Rejected {
            self.rejected(at);
        }
    }

    fn rejected(&self, at: Timestamp) {
        let mut course = lock(&self.0);
        let run = course.rejected.unwrap_or(RejectedRun { count: 0, since: at, last_at: at });
        course.rejected = Some(RejectedRun { count: run.count + 1, last_at: at, ..run });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_of_rejected_requests_ends_with_one_that_is_good_and_with_another_way_to_check_them() {
        let at = Timestamp::from_millis;
        let course = Course::default();
        course.had_event(at(5));
        course.had_event(at(3));
        for moment in [10, 20] {
            course.rejected(at(moment));
        }
        let run = RejectedRun { count: 2, since: at(10), last_at: at(20) };
        course.rejected_by(&Rejection::Mismatch);
        course.rejected_by(&Rejection::Missing);
        let seen = SourceCourse {
            last_event_at: Some(at(5)),
            rejected: Some(run),
            rejected_signed: 1,
            ..SourceCourse::default()
        };
        assert_eq!(course.get(), seen);
        assert_eq!(Course::after(seen, true).get(), seen);
        let anew = SourceCourse { rejected: None, rejected_signed: 0, ..seen };
        assert_eq!(Course::after(seen, false).get(), anew);
        course.verified();
        assert_eq!(course.get(), anew);
        assert!(course.watch(at(30)) && !course.watch(at(40)));
        assert_eq!(course.get().watched_since, Some(at(30)));
    }
}
