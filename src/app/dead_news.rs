//! How often people are told of dead letters: of the first ones each, of a flood now and then.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::HandlerName;
use crate::queue::DeadLetter;

/// So many of a handler are each told by themselves within [`WINDOW`].
const EACH_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_hours(1);
/// How often what is more than that is told, as one.
const GATHERED_EVERY: Duration = Duration::from_mins(10);

/// What was told of dead letters, by handler. Times are of the steady clock.
#[derive(Debug, Default)]
pub(super) struct DeadNews(BTreeMap<HandlerName, ToldOfDead>);

#[derive(Debug)]
struct ToldOfDead {
    /// Since when is counted.
    since: Timestamp,
    n_told: u32,
    last_told_at: Timestamp,
    /// How many are not told yet, and the newest of them.
    untold: Option<(u64, DeadLetter)>,
}

impl DeadNews {
    /// Whether one that died at this moment is told at once; it is counted else.
    pub(super) fn is_told_at_once(&mut self, letter: &DeadLetter, now: Timestamp) -> bool {
        let fresh = || ToldOfDead { since: now, n_told: 0, last_told_at: now, untold: None };
        let told = self.0.entry(letter.handler.clone()).or_insert_with(fresh);
        if told.is_over(now) {
            *told = fresh();
        }
        if told.n_told < EACH_MAX {
            told.n_told += 1;
            told.last_told_at = now;
            return true;
        }
        let n_before = told.untold.as_ref().map_or(0, |(count, _)| *count);
        told.untold = Some((n_before + 1, letter.clone()));
        false
    }

    /// What has gathered long enough: how many of a handler, and the newest of them.
    pub(super) fn gathered(&mut self, now: Timestamp) -> Vec<(u64, DeadLetter)> {
        self.0.retain(|_, told| !told.is_over(now));
        let due = self.0.values_mut().filter(|told| now.since(told.last_told_at) >= GATHERED_EVERY);
        let taken = due.filter_map(|told| {
            let untold = told.untold.take()?;
            told.last_told_at = now;
            Some(untold)
        });
        taken.collect()
    }

    /// All that has gathered, however short ago.
    pub(super) fn rest(&mut self) -> Vec<(u64, DeadLetter)> {
        self.0.values_mut().filter_map(|told| told.untold.take()).collect()
    }
}

impl ToldOfDead {
    fn is_over(&self, now: Timestamp) -> bool {
        self.untold.is_none() && now.since(self.since) >= WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ErrorText, EventId, EventType, Position, SourceName};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn letter(handler: &str, position: u64) -> DeadLetter {
        DeadLetter {
            handler: HandlerName::parse(handler).unwrap(),
            id: "01890a5d-ac96-774b-bcce-b302099a8057".parse::<EventId>().unwrap(),
            position: Position(position),
            source: SourceName::parse("hyvor").unwrap(),
            event_type: EventType::new("x"),
            received_at: NOW,
            attempts: 1,
            died_at: NOW,
            reason: ErrorText::new("no"),
        }
    }

    #[test]
    fn flood_of_dead_letters_is_told_in_a_bounded_number_of_events_that_count_them_all() {
        let mut news = DeadNews::default();
        let (mut n_events, mut n_counted) = (0, 0);
        for second in 0..7_200 {
            let now = NOW.after(Duration::from_secs(second));
            if second < 615 && news.is_told_at_once(&letter("app", second), now) {
                n_events += 1;
                n_counted += 1;
            }
            for (count, newest) in news.gathered(now) {
                n_events += 1;
                n_counted += count;
                assert_eq!(newest.handler.as_str(), "app");
            }
        }
        assert_eq!((n_events, n_counted), (12, 615));
        // Another handler's are told all the same, and so are its own after a while.
        let later = NOW.after(Duration::from_hours(2));
        assert!(news.is_told_at_once(&letter("mail", 1), later));
        assert!(news.is_told_at_once(&letter("app", 616), later));
        assert!(news.gathered(later.after(WINDOW)).is_empty());
        assert!(news.0.is_empty(), "nothing is kept of what is over");
        // The process ends before the time is over.
        for position in 0..12 {
            news.is_told_at_once(&letter("app", position), later);
        }
        assert_eq!(news.rest().iter().map(|(count, _)| *count).collect::<Vec<_>>(), [2]);
        assert!(news.rest().is_empty());
    }
}
