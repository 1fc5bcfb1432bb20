//! Compacting the kept log: what is alive in its oldest segment goes to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use bytes::Bytes;

use super::super::record::{
    DeliveryRecord, Incarnation, KeptChanges, KeptEnd, Kind, Lsn, position_of,
};
use super::KeptLog;
use super::append::Copy;
use super::open::split_behind;
use super::segment::Records;
use crate::clock::Timestamp;
use crate::event::{HandlerName, Position};
use crate::queue::storage::if_there;
use crate::sync::lock;

/// One look at how much is alive per so many kept events and calls: with 1,000,000 of them it
/// costs the handlers' locks a second.
const EVENTS_PER_CALL: usize = 1_000;
/// How long the oldest segment must be found damaged before what cannot be read of it is given up: a
/// disk that is away for a moment gives it again.
pub(super) const DOUBTED_FOR: Duration = Duration::from_secs(10);

impl KeptLog {
    /// Whether fewer than half of the bytes belong to events that are alive.
    pub(crate) fn needs_compaction(&self, is_alive: &dyn Fn(Position) -> bool) -> bool {
        let bytes = self.bytes();
        if bytes <= self.options.compact_above {
            return false;
        }
        let mut to_skip = lock(&self.calls_to_skip);
        if let Some(fewer) = to_skip.checked_sub(1) {
            *to_skip = fewer;
            return false;
        }
        *to_skip = self.len() / EVENTS_PER_CALL;
        let segments = self.segments();
        let events = segments.iter().flat_map(|segment| &segment.events);
        let alive = events.filter(|event| is_alive(event.position));
        let alive: u64 = alive.map(|event| u64::from(event.bytes)).sum();
        let is_needed = alive < bytes / 2;
        if is_needed {
            *to_skip = 0;
        }
        is_needed
    }

    /// Copies what is alive in the oldest segment to the end, and every event from `unread_from` on:
    /// some handler has not been given those yet, so no change tells of it. The end that it gives is recorded
    /// like that of `append`; then `remove_compacted` removes the segment. Changes of deliveries
    /// that are not alive, which must have been recorded, go. `None` = there is nothing to compact, or a
    /// part of it cannot be read, and was first found so less than [`DOUBTED_FOR`] before `now` (of the
    /// steady clock): that is read once more at a later call. Then `stands`
    /// says how the alive deliveries of such a segment stand, for their changes may be in that part; one
    /// whose event is there is lost once it is to be delivered.
    pub(crate) fn compact(
        &self,
        (salt, now): (u64, Timestamp),
        unread_from: Position,
        is_alive: &dyn Fn(&HandlerName, Position) -> bool,
        stands: &dyn Fn(&[Position]) -> Vec<KeptChanges>,
    ) -> io::Result<Option<KeptEnd>> {
        let Some(oldest) = self.segments().into_iter().next() else { return Ok(None) };
        // A file that cannot be opened just now is an error of the moment, no damage.
        let read = oldest.read(self.storage.as_ref(), &self.path(oldest.id))?;
        read.damage.iter().for_each(|damage| self.note(damage.clone()));
        let is_damaged = !read.damage.is_empty();
        if self.is_doubted(oldest.id.number, is_damaged, now) {
            return Ok(None);
        }
        let mut changes = alive_changes(&read, is_alive);
        if is_damaged {
            let events = oldest.events.iter().map(|event| event.position);
            let positions: Vec<_> = events.chain(oldest.mentions.iter().copied()).collect();
            changes.extend(stands(&positions));
        }
        let told = changes.iter().flat_map(|told| &told.changes);
        let alive: BTreeSet<Position> = told.map(|(_, change)| change.first).collect();
        // An event that was copied before is further behind, too.
        let is_here_only = |position: &Position| {
            let newest = self.place_of(*position, u32::MAX);
            newest.is_none_or(|(segment, _)| segment.id.number == oldest.id.number)
        };
        let events = read.records.iter().filter(|(_, kind, _)| *kind == Kind::Event);
        let events: BTreeMap<Position, Bytes> = events
            .filter_map(|(_, _, payload)| Some((position_of(payload)?, payload.clone())))
            .filter(|(position, _)| *position >= unread_from || alive.contains(position))
            .filter(|(position, _)| is_here_only(position))
            .collect();
        let events: Vec<(Position, Bytes)> = events.into_iter().collect();
        let gone_through = oldest.id.number;
        let copy = Copy { events: &events, changes: &changes, gone_through };
        self.write(salt, &copy).map(Some)
    }

    /// Whether what was read of the oldest segment may be read better later.
    fn is_doubted(&self, number: u32, is_damaged: bool, now: Timestamp) -> bool {
        let mut doubted = lock(&self.doubted);
        if !is_damaged {
            *doubted = None;
            return false;
        }
        let since = doubted.filter(|(of, _)| *of == number).map_or(now, |(_, since)| since);
        *doubted = Some((number, since));
        now.since(since) < DOUBTED_FOR
    }

    fn is_damaged(&self, number: u32) -> bool {
        lock(&self.contents).damage.iter().any(|damage| damage.segment.number == number)
    }

    /// Removes the segments that were compacted, once the copy's end is recorded. What could not all be
    /// read is put aside.
    pub(crate) fn remove_compacted(&self) -> io::Result<()> {
        let gone_through = lock(&self.contents).gone_through;
        let mut files = self.files()?;
        split_behind(&mut files, gone_through);
        for id in files.values().filter(|id| self.is_damaged(id.number)) {
            let aside = self.folder.with_file_name("aside");
            self.storage.create_folder(&aside)?;
            let name = format!("kept-{}", id.file_name());
            if_there(self.storage.rename(&self.path(*id), &aside.join(name)))?;
            self.storage.sync_folder(&aside)?;
        }
        self.remove(files.values())?;
        lock(&self.contents).damage.retain(|damage| damage.segment.number > gone_through);
        Ok(())
    }
}

/// Of each delivery that is alive the tries and what it became in a segment, in the order of the
/// log: the last one counts, the others are what people see once the index is lost.
fn alive_changes(
    read: &Records,
    is_alive: &dyn Fn(&HandlerName, Position) -> bool,
) -> Vec<KeptChanges> {
    let mut by_delivery: BTreeMap<(HandlerName, Incarnation), BTreeMap<Position, Words>> =
        BTreeMap::new();
    for KeptChanges { handler, incarnation, changes } in read.changes() {
        for (lsn, change) in changes {
            if is_alive(&handler, change.first) {
                let of_handler = by_delivery.entry((handler.clone(), incarnation)).or_default();
                of_handler.entry(change.first).or_default().push((lsn, change));
            }
        }
    }
    let told = by_delivery.into_iter().map(|((handler, incarnation), by_position)| {
        let changes = by_position.into_values().flat_map(in_order).collect();
        KeptChanges { handler, incarnation, changes }
    });
    told.collect()
}

/// What was recorded of one delivery.
type Words = Vec<(Lsn, DeliveryRecord)>;

/// The same without what was copied twice, and without bare changes that no longer count.
fn in_order(mut words: Words) -> Words {
    // Stable: within one unit the last one counts.
    words.sort_by_key(|(lsn, _)| *lsn);
    words.dedup();
    let last = words.len().saturating_sub(1);
    let is_kept =
        |(index, (_, change)): &(usize, (Lsn, DeliveryRecord))| *index == last || !change.is_bare();
    words.into_iter().enumerate().filter(is_kept).map(|(_, word)| word).collect()
}
