//! What both must agree on.

use std::collections::BTreeSet;

use gatepost::event::Position;
use gatepost::queue::{DeadFilter, DeadLetter, DeliveryState, Queue, QueueStats};

use super::twins::{Stand, Twins};

impl Twins {
    /// How many of the last settlements are gone: a last part of them, and nothing else.
    pub(super) async fn n_lost(&self) -> usize {
        let touched: BTreeSet<Position> = self.unrecorded.iter().map(|(p, ..)| *p).collect();
        let mut possible: Vec<usize> = (0..=self.unrecorded.len()).collect();
        let mut seen = Vec::new();
        for position in touched {
            let found = Self::stand(&self.sled, position).await;
            seen.push((position, found));
            possible.retain(|n_lost| {
                let kept = self.unrecorded.len() - n_lost;
                let is_it = |(p, ..): &&(Position, Stand, Stand)| *p == position;
                let first = self.unrecorded.iter().find(is_it).unwrap();
                let last = self.unrecorded[..kept].iter().rfind(is_it);
                let expected = last.map_or(first.1, |(_, _, after)| *after);
                found.1 == expected.1
            });
        }
        let Some(n_lost) = possible.first() else {
            panic!("{seen:?} is not what a first part of {:?} leads to", self.unrecorded)
        };
        *n_lost
    }

    /// Asks both everything that can be asked.
    pub(super) async fn compare(&mut self) {
        let dead = |letters: Vec<DeadLetter>| -> Vec<(u64, u32)> {
            letters.iter().map(|letter| (letter.position.0, letter.attempts)).collect()
        };
        let on_sled = dead(self.sled.dead(DeadFilter::default()).await.unwrap());
        let in_memory = dead(self.memory.dead(DeadFilter::default()).await.unwrap());
        assert_eq!(on_sled, in_memory, "dead letters");
        let backlog = |stats: QueueStats| {
            let backlog = stats.handlers[0].1;
            (stats.last, backlog.in_log, backlog.waiting, backlog.dead)
        };
        assert_eq!(backlog(self.sled.stats()), backlog(self.memory.stats()));
        for (n, (on_sled, in_memory)) in (1..).zip(&self.ids) {
            let Some(event) = self.sled.get(*on_sled).await.unwrap() else { continue };
            assert_eq!(event.position, Position(n));
            let expected = self.memory.get(*in_memory).await.unwrap().unwrap();
            assert_eq!(event.body, expected.body);
        }
        assert_eq!(self.sled.stats().damage, Vec::<String>::new());
    }

    pub(super) async fn compare_histories(&self) {
        for (n, (id, _)) in (1..).zip(&self.ids) {
            if self.sled.get(*id).await.unwrap().is_some() {
                let on_sled = Self::stand(&self.sled, Position(n)).await;
                let in_memory = Self::stand(&self.memory, Position(n)).await;
                // Given up for good: one still says that it died.
                let is_given_up =
                    (on_sled.0, in_memory.0) == (DeliveryState::Dead, DeliveryState::Skipped);
                assert!(
                    on_sled == in_memory || is_given_up && on_sled.1 == in_memory.1,
                    "event {n}: {on_sled:?} embedded, {in_memory:?} in memory"
                );
            }
        }
    }
}
