//! Dead letters: grouped by what went wrong, redriven and dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::event::{HandlerName, Position};
use crate::queue::{DeadChange, DeadFilter, DeadRecord};
use crate::text::{count, counted};

use super::acted_on::ActionTarget;
use super::dead_ask::DeadSelection;
use super::redriven::LETTERS_MAX;
use super::type_count::TypeCount;
use super::{Api, ApiError};

/// The most dead letters that are looked at to group them, oldest first: some 20 MB.
pub const GROUPED_MAX: usize = 100_000;
/// How long ago the columns of the groups begin.
pub const WINDOWS: [Duration; 5] = [
    Duration::from_hours(1),
    Duration::from_hours(3),
    Duration::from_hours(24),
    Duration::from_hours(3 * 24),
    Duration::from_hours(7 * 24),
];

/// What became of a change of many things.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    pub matched: u64,
    /// How many were changed, or would be.
    pub done: u64,
    /// How many were gone by then.
    pub skipped: u64,
    pub failed: u64,
    /// The same as `done`.
    pub count: u64,
    /// How many match beside them, which `limit` left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
    /// Of a dry run for dead letters: how many there are of each type among the oldest 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<TypeCount>,
}

impl Changed {
    pub(super) fn new(matched: u64, done: u64) -> Self {
        let skipped = matched.saturating_sub(done);
        Self { matched, done, skipped, failed: 0, count: done, more: 0, types: Vec::new() }
    }

    /// For the action log.
    pub(super) fn words(&self) -> String {
        let more = match self.more {
            0 => String::new(),
            more => format!("; left out by its limit: {}", count(more)),
        };
        format!("{} of {}, {} skipped{more}", self.done, self.matched, self.skipped)
    }
}

/// What is left out of JSON.
pub const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Dead letters of one handler that died of the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadGroup {
    pub handler: HandlerName,
    /// Why, with `#` in place of numbers and ids.
    pub reason: String,
    /// A short name of the reason, which `like` takes in its place.
    pub key: String,
    pub count: u64,
    /// How many of them died within the last hour, 3 hours, day, 3 days and 7 days.
    pub within: [u64; WINDOWS.len()],
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// The newest one's event.
    pub example: Position,
    /// The newest one's reason.
    pub example_reason: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct DeadGroups {
    /// Those with most first.
    pub groups: Vec<DeadGroup>,
    /// How many dead letters were looked at.
    pub looked_at: u64,
    /// Whether those were all.
    pub is_complete: bool,
}

impl Api {
    /// Dead letters that match, grouped by handler and by what went wrong.
    pub async fn dead_groups(&self, filter: DeadFilter) -> Result<DeadGroups, ApiError> {
        let limit = filter.limit.unwrap_or(GROUPED_MAX).min(GROUPED_MAX);
        let filter = DeadFilter { limit: Some(limit.saturating_add(1)), ..filter };
        let mut records = self.queue.dead_records(filter).await?;
        let is_complete = records.len() <= limit;
        records.truncate(limit);
        let looked_at = records.len() as u64;
        let groups = grouped(records, self.clock.now());
        Ok(DeadGroups { groups, looked_at, is_complete })
    }

    /// Makes dead letters due again.
    pub async fn redrive(&self, selection: DeadSelection) -> Result<Changed, ApiError> {
        self.change_dead(selection, DeadChange::Redrive).await
    }

    /// Gives dead letters up for good.
    pub async fn drop_dead(&self, selection: DeadSelection) -> Result<Changed, ApiError> {
        self.change_dead(selection, DeadChange::Drop).await
    }

    /// Gives up those that died before `until`: what `dead_retention` says. Gives how many they were; where there
    /// was none, the action log says nothing of the look.
    pub async fn drop_expired(&self, until: Timestamp) -> Result<u64, ApiError> {
        let filter = DeadFilter { until: Some(until), ..DeadFilter::default() };
        let dropped = self.queue.drop_dead(filter).await.map_err(ApiError::from);
        if !matches!(dropped, Ok(0)) {
            let target = format!("dead letters that died before {until}");
            self.note("drop", target, &dropped, |count| {
                counted(*count, "dead letter", "dead letters")
            });
        }
        dropped
    }

    /// The dead letters that a selection is for.
    pub(super) async fn dead_records(
        &self,
        selection: &DeadSelection,
    ) -> Result<Vec<DeadRecord>, ApiError> {
        let mut records = self.all_dead_records(selection).await?;
        records.truncate(selection.filter.limit.unwrap_or(usize::MAX));
        Ok(records)
    }

    /// The same without their limit.
    async fn all_dead_records(
        &self,
        selection: &DeadSelection,
    ) -> Result<Vec<DeadRecord>, ApiError> {
        let DeadSelection { filter, like, is_dry_run: _, about: _ } = selection;
        let unlimited = DeadFilter { limit: None, ..filter.clone() };
        let mut records = self.queue.dead_records(unlimited).await?;
        records.retain(|record| is_like(record, like.as_deref()));
        Ok(records)
    }

    async fn change_dead(
        &self,
        selection: DeadSelection,
        change: DeadChange,
    ) -> Result<Changed, ApiError> {
        let mut records = self.all_dead_records(&selection).await?;
        let target = selection.target(group_of(selection.like.as_deref(), &records).as_deref());
        let n_lost = self.n_lost(&selection).await?;
        let DeadSelection { filter, like, is_dry_run, about } = selection;
        let limit = filter.limit.unwrap_or(usize::MAX);
        let n_all = records.len() as u64 + n_lost;
        records.truncate(limit);
        let n_found = records.len() as u64;
        let matched = n_found + n_lost.min((limit as u64).saturating_sub(n_found));
        let more = n_all - matched;
        if is_dry_run {
            let types = self.oldest_types(&records).await?.counts;
            return Ok(Changed { more, types, ..Changed::new(matched, matched) });
        }
        let named = |one: &DeadRecord| (one.handler.clone(), one.position);
        let remembered = records.iter().take(LETTERS_MAX).map(named).collect();
        // Groups are worked out here and not in the queue, so their letters are named one by one.
        let done = match (change, like) {
            (DeadChange::Redrive, Some(_)) => {
                self.queue.change_dead(records.iter().map(named).collect(), change).await
            }
            // What is let go for its reason: by the log's word on it.
            (DeadChange::Drop, Some(_)) => match self.queue.confirmed(records).await {
                Ok(sure) => self.queue.change_dead(sure.iter().map(named).collect(), change).await,
                Err(err) => Err(err),
            },
            (DeadChange::Redrive, None) => self.queue.redrive(filter).await,
            (DeadChange::Drop, None) => self.queue.drop_dead(filter).await,
        };
        let action = match change {
            DeadChange::Redrive => "redrive",
            DeadChange::Drop => "drop",
        };
        let changed =
            // More than matched may be done: letters that died in between match the filter, too.
            done.map(|done| Changed { more, ..Changed::new(matched.max(done), done) });
        let changed = changed.map_err(ApiError::from);
        self.note(action, ActionTarget::new(target, about), &changed, Changed::words);
        if change == DeadChange::Redrive {
            self.remember_redriven(remembered);
        }
        changed
    }
}

fn is_like(record: &DeadRecord, like: Option<&str>) -> bool {
    like.is_none_or(|like| is_of_group(reason_of(record), like))
}

/// Whether a reason belongs to the group that `like` names, by its own reason or its key.
fn is_of_group(reason: &str, like: &str) -> bool {
    let reason = normalised(reason);
    reason == like || key_of(&reason) == like
}

/// The reason that `like` names by its key: people read no key.
pub(super) fn group_of(like: Option<&str>, records: &[DeadRecord]) -> Option<String> {
    like.and(records.first()).map(|record| normalised(reason_of(record)))
}

/// The beginning of the reason's SHA-256: two groups share one by chance once in 2^32 groups.
fn key_of(reason: &str) -> String {
    hex::encode(Sha256::digest(reason.as_bytes()).get(..8).unwrap_or_default())
}

fn reason_of(record: &DeadRecord) -> &str {
    record.fact.as_ref().map_or("not known yet", |(_, reason)| reason.as_str())
}

fn grouped(records: Vec<DeadRecord>, now: Timestamp) -> Vec<DeadGroup> {
    let mut groups: BTreeMap<(HandlerName, String), DeadGroup> = BTreeMap::new();
    for record in records {
        let reason = normalised(reason_of(&record));
        let at = record.fact.as_ref().map_or(now, |(at, _)| *at);
        let key = (record.handler.clone(), reason.clone());
        let group = groups.entry(key).or_insert_with(|| DeadGroup {
            handler: record.handler.clone(),
            key: key_of(&reason),
            reason,
            count: 0,
            within: [0; WINDOWS.len()],
            first_at: at,
            last_at: at,
            example: record.position,
            example_reason: reason_of(&record).to_owned(),
        });
        group.count += 1;
        group.first_at = group.first_at.min(at);
        if at >= group.last_at {
            group.last_at = at;
            group.example = record.position;
            reason_of(&record).clone_into(&mut group.example_reason);
        }
        for (count, window) in group.within.iter_mut().zip(WINDOWS) {
            *count += u64::from(now.since(at) <= window);
        }
    }
    let mut groups: Vec<DeadGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// A reason with `#` in place of what differs from one event to the next: numbers, ids, addresses
/// of people. What says more than a number stays: a status (`answered 503`, `550 5.1.1`).
pub fn normalised(reason: &str) -> String {
    let mut text = String::with_capacity(reason.len());
    let mut words = reason.split_inclusive(|c: char| !is_word(c)).peekable();
    let mut before = "";
    while let Some(piece) = words.next() {
        let word = piece.trim_end_matches(|c: char| !is_word(c));
        let end = piece.get(word.len()..).unwrap_or_default();
        let next = words.peek().copied().unwrap_or_default();
        let is_kept = !word.chars().any(|c| c.is_ascii_digit()) || is_status(word, before, next);
        text.push_str(if is_kept && !word.contains('@') { word } else { "#" });
        text.push_str(end);
        if !word.is_empty() {
            before = word;
        }
    }
    text
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '@' | '.' | '+')
}

/// Whether a number is a status: three digits behind a word that announces one, or in front of an
/// extended status of mail (RFC 3463), or that one itself.
fn is_status(word: &str, before: &str, next: &str) -> bool {
    let is_code = word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_announced = ["", "answered", "status", "code", "error", "said"].contains(&before);
    let parts = |word: &str| {
        let parts = word.trim_end().split('.');
        parts.clone().count() == 3 && parts.clone().all(|part| part.len() <= 3 && is_number(part))
    };
    is_code && (is_announced || parts(next)) || parts(word)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_event_to_event_is_taken_out_of_a_reason() {
        for (reason, expected) in [
            ("answered 503 Service Unavailable", "answered 503 Service Unavailable"),
            ("value too long: 412 characters, 80 fit", "value too long: # characters, # fit"),
            (
                "550 5.1.1 mailbox of mara@example.org unavailable",
                "550 5.1.1 mailbox of # unavailable",
            ),
            ("no row 0199c3f6-5b5e-7000-8000-000000000001", "no row #"),
            ("connection refused (127.0.0.1:25)", "connection refused (#:#)"),
            ("", ""),
        ] {
            assert_eq!(normalised(reason), expected);
        }
    }
}
