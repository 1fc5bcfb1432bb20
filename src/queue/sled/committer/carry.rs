//! Copying forward what a segment that is to go holds and somebody still needs.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::super::indexer::Applied;
use super::super::shared::Carry;
use super::{
    Commit, Committer, HEADER_BYTES, Kind, Place, Places, QueueError, SettleBatch, Watched,
};
use crate::event::{HandlerName, Position};
use crate::queue::record::{Change, Keys, Section};

impl Committer {
    /// Writes copies, durably, and has the segment taken out of the table once the index knows
    /// them: from then on nobody begins to read it. States that changed since the watch began are left out: newer records say how
    /// they stand.
    pub(super) fn carry(&mut self, carry: Carry) -> Result<(), QueueError> {
        let Carry { segment, first, end, events, states, keys } = carry;
        let watched = self.watched.take().unwrap_or_default();
        let mut copied = HashSet::new();
        let mut commit = self.begin(0);
        for payload in events {
            let Some(position) = payload.first_chunk::<8>() else { continue };
            let position = Position(u64::from_le_bytes(*position));
            self.make_room(&mut commit, HEADER_BYTES + payload.len(), 0)?;
            let at = self.location(&commit.batch);
            commit.batch.push(Kind::Carried, |out| out.extend_from_slice(&payload));
            let n_bytes = payload.len() as u64;
            commit.applied.push(Applied::Carried { position, at, n_bytes });
            copied.insert(position);
        }
        self.carry_states(&mut commit, unchanged(&self.places, &watched, states))?;
        for chunk in keys.iter().flat_map(|keys| keys.chunks(Keys::PER_RECORD)) {
            let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { continue };
            let mut payload = Vec::new();
            Keys::encode(chunk, &mut payload);
            self.make_room(&mut commit, HEADER_BYTES + payload.len(), 0)?;
            let at = self.location(&commit.batch);
            commit.batch.push(Kind::Keys, |out| out.extend_from_slice(&payload));
            let (first, last) = (first.position, last.position);
            commit.applied.push(Applied::KeyRecord { first, last, at });
        }
        self.finish(commit)?;
        if self.came_to_be_needed(&watched, segment, first..end, &copied)? {
            return Err(QueueError::Behind("an event of the segment is needed again"));
        }
        self.hand_over(vec![Applied::Gone { segment }], 0);
        Ok(())
    }

    fn carry_states(
        &mut self,
        commit: &mut Commit,
        states: BTreeMap<HandlerName, Vec<Change>>,
    ) -> Result<(), QueueError> {
        if states.is_empty() {
            return Ok(());
        }
        let at = self.shared.now();
        let sections = states.into_iter().map(|(handler, changes)| {
            let place = self.places.by_handler.get(&handler).cloned();
            let place = place.unwrap_or_else(|| Place::at(self.places.next));
            Section { handler, place, changes }
        });
        let batch = SettleBatch { at, sections: sections.collect() };
        let mut payload = Vec::new();
        batch.encode(&mut payload);
        self.make_room(commit, HEADER_BYTES + payload.len(), 0)?;
        let at = self.location(&commit.batch);
        commit.batch.push(Kind::Settled, |out| out.extend_from_slice(&payload));
        commit.applied.push(Applied::Settled { at, batch });
        Ok(())
    }

    /// Whether since the watch began a delivery came to wait (a replay) whose event stands in the
    /// segment and was not copied.
    fn came_to_be_needed(
        &self,
        watched: &Watched,
        segment: u64,
        positions: Range<Position>,
        copied: &HashSet<Position>,
    ) -> Result<bool, QueueError> {
        let entries = watched.iter().filter(|(_, is_entry)| **is_entry);
        for ((_, position), _) in entries {
            if *position >= positions.end || copied.contains(position) {
                continue;
            }
            let is_here = match self.shared.index()?.moved(*position)? {
                Some(at) => at.segment == segment,
                None => *position >= positions.start,
            };
            if is_here {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// States that nothing has changed since the watch began, by handler.
fn unchanged(
    places: &Places,
    watched: &Watched,
    states: Vec<(HandlerName, Vec<Change>)>,
) -> BTreeMap<HandlerName, Vec<Change>> {
    let mut by_handler: BTreeMap<HandlerName, Vec<Change>> = BTreeMap::new();
    for (handler, changes) in states {
        let Some(position) = changes.first().map(|change| change.position) else { continue };
        let key = (handler, position);
        // A handler that was forgotten meanwhile must not come back.
        if !watched.contains_key(&key) && places.by_handler.contains_key(&key.0) {
            by_handler.entry(key.0).or_default().extend(changes);
        }
    }
    by_handler
}
