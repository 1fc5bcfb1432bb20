//! Copying forward what a segment that is to go holds and somebody still needs.

use std::collections::BTreeMap;

use super::super::indexer::Applied;
use super::{Carry, Committer, HEADER_BYTES, Kind, Place, QueueError, SettleBatch};
use crate::event::{HandlerName, Position};
use crate::queue::record::{Change, Keys, Section};

impl Committer {
    /// Writes copies, durably. States that changed since the watch began are left out: newer
    /// records say how they stand.
    pub(super) fn carry(&mut self, carry: Carry) -> Result<(), QueueError> {
        let Carry { events, states, keys } = carry;
        let mut commit = self.begin();
        for payload in events {
            self.make_room(&mut commit, HEADER_BYTES + payload.len(), 0)?;
            let at = self.location(&commit.batch);
            let Some(position) = payload.first_chunk::<8>() else { continue };
            let position = Position(u64::from_le_bytes(*position));
            commit.batch.push(Kind::Carried, |out| out.extend_from_slice(&payload));
            commit.applied.push(Applied::Carried { position, at });
        }
        let states = self.unchanged(states);
        if !states.is_empty() {
            let at = self.shared.now();
            let sections = states.into_iter().map(|(handler, changes)| {
                let place = self.places.by_handler.get(&handler).cloned();
                let place = place.unwrap_or_else(|| Place::at(self.places.next));
                Section { handler, place, changes }
            });
            let batch = SettleBatch { at, sections: sections.collect() };
            let mut payload = Vec::new();
            batch.encode(&mut payload);
            self.make_room(&mut commit, HEADER_BYTES + payload.len(), 0)?;
            let at = self.location(&commit.batch);
            commit.batch.push(Kind::Settled, |out| out.extend_from_slice(&payload));
            commit.applied.push(Applied::Settled { at, batch });
        }
        for chunk in keys.chunks(Keys::PER_RECORD) {
            let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { continue };
            let mut payload = Vec::new();
            Keys::encode(chunk, &mut payload);
            self.make_room(&mut commit, HEADER_BYTES + payload.len(), 0)?;
            let at = self.location(&commit.batch);
            commit.batch.push(Kind::Keys, |out| out.extend_from_slice(&payload));
            let (first, last) = (first.position, last.position);
            commit.applied.push(Applied::KeyRecord { first, last, at });
        }
        self.finish(commit)
    }

    /// States that nothing has changed since the watch began, by handler.
    fn unchanged(&self, states: Vec<(HandlerName, Change)>) -> BTreeMap<HandlerName, Vec<Change>> {
        let mut by_handler: BTreeMap<HandlerName, Vec<Change>> = BTreeMap::new();
        for (handler, change) in states {
            let key = (handler, change.position);
            let is_changed = self.watched.as_ref().is_none_or(|watched| watched.contains(&key));
            // A handler that was forgotten meanwhile must not come back.
            if !is_changed && self.places.by_handler.contains_key(&key.0) {
                by_handler.entry(key.0).or_default().push(change);
            }
        }
        by_handler
    }
}
