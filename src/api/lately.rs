//! Answers that cost much, kept for as long as that took many times over: pages ask for them again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

use super::{Api, ApiError, ChosenAsk, ChosenDead, DeadGroups, DeadSelection};
use crate::queue::DeadFilter;

/// What took less is worked out anew each time: every 5 s, that is 1 % of a processor.
const CHEAP: Duration = Duration::from_millis(50);
/// So many times as long as it took an answer is good: however many look, it takes 5 % of a processor.
const TIMES: u32 = 20;
/// The most answers of one kind that are kept.
const KEPT_MAX: usize = 8;
/// Spans of time before now move on with each look; by less than this they mean the same.
const SAME: i64 = 60_000;

/// An answer and how old it is.
#[derive(Debug)]
pub struct Lately<T> {
    pub answer: Arc<T>,
    pub age: Duration,
}

/// Answers of one kind.
#[derive(Debug)]
struct KeptAnswers<T> {
    /// Held while one is worked out, which waits: all together take one processor at most, and who asks for the same
    /// is given what the first one found.
    kept: tokio::sync::Mutex<Vec<KeptAnswer<T>>>,
}

#[derive(Debug)]
struct KeptAnswer<T> {
    key: String,
    /// When it was begun with, by the steady clock.
    at: Timestamp,
    good_for: Duration,
    /// How often something had been changed by hand by then.
    n_changes: u64,
    answer: Arc<T>,
}

impl<T> Default for KeptAnswers<T> {
    fn default() -> Self {
        Self { kept: tokio::sync::Mutex::new(Vec::new()) }
    }
}

impl<T> KeptAnswers<T> {
    async fn get<E>(
        &self,
        key: String,
        (clock, changes): (&dyn Clock, &AtomicU64),
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<Lately<T>, E> {
        let mut kept = self.kept.lock().await;
        let (now, n_changes) = (clock.steady(), changes.load(Ordering::SeqCst));
        kept.retain(|one| one.n_changes == n_changes && now.since(one.at) < one.good_for);
        if let Some(one) = kept.iter().find(|one| one.key == key) {
            return Ok(Lately { answer: Arc::clone(&one.answer), age: now.since(one.at) });
        }
        let answer = Arc::new(work.await?);
        let took = clock.steady().since(now);
        if took >= CHEAP {
            if kept.len() >= KEPT_MAX {
                kept.remove(0);
            }
            let (good_for, answer) = (took * TIMES, Arc::clone(&answer));
            kept.push(KeptAnswer { key, at: now, good_for, n_changes, answer });
        }
        Ok(Lately { answer, age: Duration::ZERO })
    }
}

/// What pages show of dead letters.
#[derive(Debug, Default)]
pub(super) struct DeadLately {
    groups: KeptAnswers<DeadGroups>,
    chosen: KeptAnswers<ChosenDead>,
    n_changes: AtomicU64,
}

impl DeadLately {
    /// Something was done by hand: its owner is to see what became of it.
    pub(super) fn forget(&self) {
        self.n_changes.fetch_add(1, Ordering::SeqCst);
    }
}

impl Api {
    /// [`Api::dead_groups`] of all or of one handler, as they were lately.
    pub async fn dead_groups_lately(
        &self,
        filter: DeadFilter,
    ) -> Result<Lately<DeadGroups>, ApiError> {
        let Some(server) = &self.server else {
            let answer = Arc::new(self.dead_groups(filter).await?);
            return Ok(Lately { answer, age: Duration::ZERO });
        };
        let (key, lately) = (key(&filter), &server.dead_lately);
        lately.groups.get(key, (&*self.clock, &lately.n_changes), self.dead_groups(filter)).await
    }

    /// [`Api::dead_chosen`] as it was lately.
    pub async fn dead_chosen_lately(
        &self,
        selection: &DeadSelection,
        ask: ChosenAsk,
    ) -> Result<Lately<ChosenDead>, ApiError> {
        let DeadSelection { filter, like, is_dry_run: _, about: _ } = selection;
        let key = format!("{} {like:?} {ask:?}", key(filter));
        let lately = &self.server()?.dead_lately;
        let work = self.dead_chosen(selection, ask);
        lately.chosen.get(key, (&*self.clock, &lately.n_changes), work).await
    }
}

/// The same for filters that mean the same.
fn key(filter: &DeadFilter) -> String {
    let rounded = |at: Timestamp| Timestamp::from_millis(at.as_millis() / SAME * SAME);
    let (since, until) = (filter.since.map(rounded), filter.until.map(rounded));
    format!("{:?}", DeadFilter { since, until, ..filter.clone() })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::clock::ManualClock;

    #[tokio::test]
    async fn what_took_long_is_worked_out_again_only_after_many_times_that_or_a_change() {
        let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
        let (answers, changes) = (KeptAnswers::default(), AtomicU64::new(0));
        let n_worked = AtomicU64::new(0);
        let work = |millis| {
            let n_worked = &n_worked;
            let clock = &clock;
            async move {
                clock.advance(Duration::from_millis(millis));
                Ok::<_, Infallible>(n_worked.fetch_add(1, Ordering::SeqCst))
            }
        };
        let get = |key: &str, millis| {
            let found = answers.get(key.to_owned(), (&clock, &changes), work(millis));
            async move { found.await.map(|lately| (*lately.answer, lately.age)).unwrap() }
        };
        assert_eq!(get("a", 1_000).await.0, 0);
        assert_eq!(get("a", 1_000).await, (0, Duration::from_secs(1)));
        assert_eq!(get("b", 49).await.0, 1, "it is another question");
        assert_eq!(get("b", 49).await.0, 2, "and costs nothing");
        clock.advance(Duration::from_millis(18_900));
        assert_eq!(get("a", 1_000).await.0, 0);
        clock.advance(Duration::from_millis(2));
        assert_eq!(get("a", 1_000).await.0, 3, "20 s are over");
        changes.fetch_add(1, Ordering::SeqCst);
        assert_eq!(get("a", 1_000).await.0, 4, "its owner did something");
        for n in 0..2 * KEPT_MAX {
            get(&n.to_string(), 1_000).await;
        }
        assert_eq!(answers.kept.lock().await.len(), KEPT_MAX);
    }

    #[test]
    fn span_before_now_means_the_same_for_a_minute() {
        let key_at = |millis| {
            let since = Some(Timestamp::from_millis(millis));
            key(&DeadFilter { since, ..DeadFilter::default() })
        };
        assert_eq!(key_at(60_000), key_at(119_999));
        assert_ne!(key_at(60_000), key_at(120_000));
    }
}
