//! Dead letters as lists show them: page by page, with their events.

use std::collections::BTreeSet;

use crate::event::{HandlerName, Position};
use crate::queue::{DeadCursor, DeadFilter, DeadLetter, DeadListing, DeadRecord, LostDeliveries};

use super::dead_ask::{self, DeadSelection};
use super::type_count::{TypeCount, counted};
use super::{Api, ApiError, DeadEntry, LostView};

/// So many dead letters are looked at for their types, the oldest first: those are redriven first.
const TYPES_OF: usize = 100;

/// What a dead letter is found by.
type DeadName = (HandlerName, Position);

/// A page of dead letters.
#[derive(Debug)]
pub struct ListedDead {
    pub entries: Vec<DeadEntry>,
    /// What goes on with it, as `after`; `None` = nothing is behind it.
    pub next: Option<String>,
}

/// Dead letters that were chosen, worked out once: how many there are, and a page of them.
#[derive(Debug)]
pub struct ChosenDead {
    /// How many there are in all.
    pub matched: u64,
    /// How many of them are on this page and behind it.
    pub n_left: u64,
    /// Whose the newest of all is, and where its event stands.
    pub newest: Option<(HandlerName, Position)>,
    pub listed: ListedDead,
    /// The types of the oldest of them; nothing where they were not asked for.
    pub types: OldestTypes,
}

/// What is asked of dead letters that were chosen.
#[derive(Clone, Copy, Debug)]
pub struct ChosenAsk {
    /// How many are on the page at most.
    pub limit: usize,
    /// Whether types are counted: that reads the events of the oldest 100, too.
    pub with_types: bool,
}

/// Of which types the oldest of some dead letters are.
#[derive(Debug, Default)]
pub struct OldestTypes {
    /// How many there are of each, the commonest first. Those whose events cannot be read have none.
    pub counts: Vec<TypeCount>,
    /// How many were looked at.
    pub n_looked_at: u64,
}

/// A dead letter as it was found.
enum FoundDead {
    Letter(DeadLetter),
    /// Its event cannot be read.
    Unreadable(DeadRecord),
}

impl Api {
    /// Dead letters that match, oldest first; those whose events cannot be read any more stand behind
    /// the others of a page. Behind the last of them is what was lost before it died.
    pub async fn dead(&self, selection: DeadSelection) -> Result<ListedDead, ApiError> {
        let limit = selection.filter.limit.unwrap_or(usize::MAX);
        if selection.like.is_some() {
            let unlimited = DeadFilter { limit: None, ..selection.filter.clone() };
            let selection = DeadSelection { filter: unlimited, ..selection };
            let mut records = self.dead_records(&selection).await?;
            let has_more = records.len() > limit;
            records.truncate(limit);
            let found = self.letters_of(names(&records).collect()).await?;
            return self.listed(found, has_more, &selection).await;
        }
        // One more says whether there are more.
        let most = DeadFilter { limit: Some(limit.saturating_add(1)), ..selection.filter.clone() };
        let listing = self.queue.dead_listing(most).await?;
        let has_more = listing.letters.len() + listing.unreadable.len() > limit;
        self.listed(in_order(listing, limit), has_more, &selection).await
    }

    /// The same with how many there are, and with the newest: each dead letter is looked at once.
    pub async fn dead_chosen(
        &self,
        selection: &DeadSelection,
        ask: ChosenAsk,
    ) -> Result<ChosenDead, ApiError> {
        let filter = DeadFilter { after: None, limit: None, ..selection.filter.clone() };
        let whole = DeadSelection { filter, ..selection.clone() };
        let records = self.dead_records(&whole).await?;
        let n_lost = self.n_lost(&whole).await?;
        let matched = records.len() as u64 + n_lost;
        let died_at = |record: &DeadRecord| record.fact.as_ref().map(|(died_at, _)| *died_at);
        let newest = records.iter().max_by_key(|record| died_at(record));
        let newest = newest.map(|record| (record.handler.clone(), record.position));
        let after = selection.filter.after.as_ref();
        let is_before =
            |record: &&DeadRecord| after.is_some_and(|at| cursor_of_record(record) <= *at);
        let n_before = records.iter().take_while(is_before).count();
        let n_behind = records.len() - n_before;
        let n_left = n_behind as u64 + n_lost;
        let page: BTreeSet<DeadName> = names(&records).skip(n_before).take(ask.limit).collect();
        let n_typed = if ask.with_types { TYPES_OF } else { 0 };
        let oldest: BTreeSet<DeadName> = names(&records).take(n_typed).collect();
        // The first page is among the oldest: each letter is read once.
        let mut found = self.letters_of(page.union(&oldest).cloned().collect()).await?;
        let types = types_of(&found, &oldest);
        found.retain(|(cursor, _)| page.contains(&(cursor.handler.clone(), cursor.position)));
        let listed = self.listed(found, n_behind > ask.limit, &whole).await?;
        Ok(ChosenDead { matched, n_left, newest, listed, types })
    }

    /// A page as it is told.
    async fn listed(
        &self,
        found: Vec<(DeadCursor, FoundDead)>,
        has_more: bool,
        selection: &DeadSelection,
    ) -> Result<ListedDead, ApiError> {
        let next =
            found.last().filter(|_| has_more).map(|(cursor, _)| dead_ask::cursor_text(cursor));
        let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
        for (_, found) in found {
            match found {
                FoundDead::Letter(letter) => {
                    entries.push(DeadEntry::Letter(letter.clone()));
                }
                FoundDead::Unreadable(record) => unreadable.push(record),
            }
        }
        entries.extend(LostView::of_dead(unreadable).into_iter().map(DeadEntry::Lost));
        if selection.like.is_none() && !has_more {
            let lost = self.queue.lost(selection.filter.clone()).await?;
            entries.extend(lost.into_iter().map(LostView::new).map(DeadEntry::Lost));
        }
        Ok(ListedDead { entries, next })
    }

    /// These dead letters with their events, in the order of their deaths: those of a page are few, and a
    /// filter that the queue does not know would have it read the events of all. One that is none any more
    /// is left out.
    async fn letters_of(
        &self,
        letters: Vec<DeadName>,
    ) -> Result<Vec<(DeadCursor, FoundDead)>, ApiError> {
        if letters.is_empty() {
            return Ok(Vec::new());
        }
        Ok(in_order(self.queue.dead_letters(letters).await?, usize::MAX))
    }

    /// The types of the oldest of these.
    pub(super) async fn oldest_types(
        &self,
        records: &[DeadRecord],
    ) -> Result<OldestTypes, ApiError> {
        let oldest: BTreeSet<DeadName> = names(records).take(TYPES_OF).collect();
        let found = self.letters_of(oldest.iter().cloned().collect()).await?;
        Ok(types_of(&found, &oldest))
    }

    /// How many lost deliveries a selection is for. They have no reason, so none of them is in a group.
    pub(super) async fn n_lost(&self, selection: &DeadSelection) -> Result<u64, ApiError> {
        if selection.like.is_some() {
            return Ok(0);
        }
        let unlimited = DeadFilter { limit: None, ..selection.filter.clone() };
        Ok(self.queue.lost(unlimited).await?.iter().map(n_events).sum())
    }
}

fn names(records: &[DeadRecord]) -> impl Iterator<Item = DeadName> {
    records.iter().map(|record| (record.handler.clone(), record.position))
}

/// The types of those that are among the `oldest`.
fn types_of(found: &[(DeadCursor, FoundDead)], oldest: &BTreeSet<DeadName>) -> OldestTypes {
    let letters = found.iter().filter_map(|(cursor, found)| match found {
        FoundDead::Letter(letter) => {
            let is_old = oldest.contains(&(cursor.handler.clone(), cursor.position));
            is_old.then_some((&letter.source, &letter.event_type))
        }
        FoundDead::Unreadable(_) => None,
    });
    OldestTypes { counts: counted(letters), n_looked_at: oldest.len() as u64 }
}

/// The first `limit` of them, in the order of their deaths.
fn in_order(listing: DeadListing, limit: usize) -> Vec<(DeadCursor, FoundDead)> {
    let letters = listing.letters.into_iter();
    let letters = letters.map(|letter| (cursor_of(&letter), FoundDead::Letter(letter)));
    let unreadable = listing.unreadable.into_iter();
    let unreadable =
        unreadable.map(|record| (cursor_of_record(&record), FoundDead::Unreadable(record)));
    let mut found: Vec<_> = letters.chain(unreadable).collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.truncate(limit);
    found
}

/// Where a letter stands in the order of their deaths. One that was never tried is one of which the
/// index does not know yet when it died, and stands at the end.
fn cursor_of(letter: &DeadLetter) -> DeadCursor {
    let died_at = if letter.attempts == 0 { DeadCursor::UNKNOWN } else { letter.died_at };
    DeadCursor { died_at, position: letter.position, handler: letter.handler.clone() }
}

fn cursor_of_record(record: &DeadRecord) -> DeadCursor {
    let died_at = record.fact.as_ref().map_or(DeadCursor::UNKNOWN, |(died_at, _)| *died_at);
    DeadCursor { died_at, position: record.position, handler: record.handler.clone() }
}

fn n_events(lost: &LostDeliveries) -> u64 {
    lost.positions.end.events_since(lost.positions.start)
}
