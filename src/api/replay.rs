//! Delivering again what is settled of a range of events, page by page. The caller asks for the pages,
//! paces them and remembers how far they came; each page is durable once it is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{Event, HandlerName, Position};
use crate::queue::{EventQuery, ReplayResult, TAKE_BYTES_MAX};
use crate::text::counted;

use super::acted_on::{ActedOn, ActionTarget};
use super::ask::EventsAsk;
use super::values::{handler, words_of};
use super::{Api, ApiError, ListName, no_handler};

/// What narrows the list of events; `handler` is to whom they are delivered again.
const FILTER: [&str; 7] = ["source", "type", "since", "until", "contains", "field", "q"];

/// One page of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRange {
    /// Only to this handler; left out: to every one that has a place.
    pub handler: Option<String>,
    pub source: Option<String>,
    /// Only types that match this pattern.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Only events from this moment on.
    pub since: Option<Timestamp>,
    /// Only events before this moment.
    pub until: Option<Timestamp>,
    /// Only events whose body contains this text.
    pub contains: Option<String>,
    /// Only events with this value in their JSON body: `data.comment.id=5`.
    pub field: Option<String>,
    /// Words, as the search of events takes them.
    pub q: Option<String>,
    /// Only positions after this one.
    pub after: Option<u64>,
    /// Only positions up to this one: what comes in later is delivered anyway.
    pub up_to: Option<u64>,
    /// At most this many events; as many as one page has where it is left out. Large ones make a
    /// page shorter.
    pub limit: Option<usize>,
    /// Every event to every handler: must be said where nothing else says less.
    #[serde(default)]
    pub all: bool,
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of one page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    pub matched: u64,
    /// How many of them are delivered again, or would be, to one handler at least.
    pub done: u64,
    /// The others, and why.
    pub skipped: u64,
    #[serde(flatten)]
    pub skips: Skips,
    pub failed: u64,
    /// The same as `matched`.
    pub count: u64,
    /// How many deliveries they make: one per event and handler.
    pub deliveries: u64,
    /// The next page begins behind this position.
    pub after: u64,
    /// Whether this was the last page.
    pub is_last: bool,
    /// How many of the deliveries are whose.
    #[serde(skip)]
    pub by_handler: BTreeMap<HandlerName, u64>,
}

impl Replayed {
    fn sum(&self) -> String {
        let deliveries = counted(self.deliveries, "delivery", "deliveries");
        let skipped = self.skips.words().map(|words| format!("; {words}")).unwrap_or_default();
        format!("{}, {deliveries}{skipped}", counted(self.done, "event", "events"))
    }

    fn add(&mut self, page: &Self) {
        self.matched += page.matched;
        self.done += page.done;
        self.skipped += page.skipped;
        self.skips.add(page.skips);
        self.failed += page.failed;
        self.count += page.count;
        self.deliveries += page.deliveries;
        (self.after, self.is_last) = (page.after, page.is_last);
        for (handler, count) in &page.by_handler {
            *self.by_handler.entry(handler.clone()).or_default() += count;
        }
    }
}

/// How many events are not delivered again, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skips {
    /// No handler wants them.
    #[serde(default)]
    pub unwanted: u64,
    /// They are not settled and stay as they are: they come to their handlers by themselves.
    #[serde(default)]
    pub pending: u64,
    /// They were gone by then.
    #[serde(default)]
    pub gone: u64,
}

impl Skips {
    pub const fn add(&mut self, more: Self) {
        self.unwanted += more.unwanted;
        self.pending += more.pending;
        self.gone += more.gone;
    }

    pub const fn sum(self) -> u64 {
        self.unwanted + self.pending + self.gone
    }

    /// For people; `None` = none is skipped.
    pub fn words(self) -> Option<String> {
        let why = [
            (self.pending, "not settled yet"),
            (self.unwanted, "wanted by no handler"),
            (self.gone, "gone"),
        ];
        let why = why.into_iter().filter(|(count, _)| *count > 0);
        let why: Vec<String> = why.map(|(count, why)| format!("{count} {why}")).collect();
        (!why.is_empty()).then(|| format!("skipped: {}", why.join(", ")))
    }
}

/// What became of one event of a replay: of its deliveries the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EventResult {
    Unwanted,
    Gone,
    Pending,
    Restarted,
}

impl ReplayRange {
    /// Whether it says which events, or which handler.
    fn is_limited(&self) -> bool {
        let texts =
            [&self.handler, &self.source, &self.event_type, &self.contains, &self.field, &self.q];
        texts.iter().any(|text| text.is_some()) || self.since.or(self.until).is_some()
    }

    /// The filter in words, for the action log.
    fn words(&self) -> String {
        let said = [
            ("source", self.source.clone()),
            ("type", self.event_type.clone()),
            ("since", self.since.map(|at| at.to_string())),
            ("until", self.until.map(|at| at.to_string())),
            ("contains", self.contains.clone()),
            ("field", self.field.clone()),
            ("search", self.q.clone()),
        ];
        words_of(said).map_or_else(|| "all events".to_owned(), |said| format!("events: {said}"))
    }

    /// What it is for, as the action log has it.
    fn target(&self) -> ActionTarget {
        let whom = self.handler.as_deref().unwrap_or("every handler");
        ActionTarget::new(format!("{} to {whom}", self.words()), self.about())
    }

    /// The list of the events that it is for, where a list can be asked for them.
    fn about(&self) -> ActedOn {
        let handler = self.handler.as_deref().and_then(|name| HandlerName::parse(name).ok());
        if self.after.or(self.up_to).is_some() {
            return ActedOn { handler, ..ActedOn::default() };
        }
        ActedOn { handler, ..ActedOn::list(ListName::Events, self, &FILTER) }
    }
}

impl Api {
    /// Whether a handler would be called with an event: to make it due again for one that would skip it
    /// changes nothing.
    pub(super) fn is_wanted(&self, handler: &HandlerName, event: &Arc<Event>) -> bool {
        match &self.server {
            Some(server) => server.control.is_wanted(handler, event),
            None => self.policies.get(handler).is_none_or(|policy| policy.wants(event)),
        }
    }

    /// Makes a page of events due again, oldest first. A page ends early behind the event with
    /// which the bodies pass [`TAKE_BYTES_MAX`] together: all of it is in memory at once.
    pub async fn replay_range(&self, range: ReplayRange) -> Result<Replayed, ApiError> {
        if !(range.all || range.dry_run || range.is_limited()) {
            return Err(ApiError::Bad(
                "it would deliver every event to every handler again: say which ones, or `all`"
                    .into(),
            ));
        }
        let handler = range.handler.as_deref().map(handler).transpose()?;
        let handlers = self.handlers_for(handler.as_ref())?;
        let after = range.after.unwrap_or(0);
        let ask = EventsAsk {
            source: range.source,
            event_type: range.event_type,
            since: range.since,
            until: range.until,
            contains: range.contains,
            field: range.field,
            q: range.q,
            after: Some(after),
            limit: Some(range.limit.unwrap_or(EventQuery::LIMIT_MAX)),
            ..EventsAsk::default()
        };
        let (mut events, is_full) = self.page(ask).await?;
        let n_found = events.len();
        events.retain(|event| range.up_to.is_none_or(|last| event.position.0 <= last));
        let (matched, is_last) = (events.len() as u64, !is_full || events.len() < n_found);
        let after = events.last().map_or(after, |event| event.position.0);
        let mut results: BTreeMap<Position, EventResult> = BTreeMap::new();
        let mut wanted = vec![Vec::new(); handlers.len()];
        // One by one: what is read of a body takes several times as much memory as the body.
        for event in events.into_iter().map(Arc::new) {
            results.insert(event.position, EventResult::Unwanted);
            for (handler, positions) in handlers.iter().zip(&mut wanted) {
                if self.is_wanted(handler, &event) {
                    positions.push(event.position);
                }
            }
            // Each body is read: others get their turn in between.
            tokio::task::yield_now().await;
        }
        let wanted: Vec<_> = handlers.into_iter().zip(wanted).collect();
        let by_handler = self.replay_wanted(wanted, range.dry_run, &mut results).await?;
        let count = |of| results.values().filter(|result| **result == of).count() as u64;
        let done = count(EventResult::Restarted);
        Ok(Replayed {
            matched,
            done,
            skipped: matched.saturating_sub(done),
            skips: Skips {
                unwanted: count(EventResult::Unwanted),
                pending: count(EventResult::Pending),
                gone: count(EventResult::Gone),
            },
            failed: 0,
            count: matched,
            deliveries: by_handler.values().sum(),
            after,
            is_last,
            by_handler,
        })
    }

    /// Makes what each handler wants due again, or only says what that would come to: how many deliveries of whose
    /// are restarted, and into `results` what becomes of each event.
    async fn replay_wanted(
        &self,
        wanted: Vec<(HandlerName, Vec<Position>)>,
        is_dry_run: bool,
        results: &mut BTreeMap<Position, EventResult>,
    ) -> Result<BTreeMap<HandlerName, u64>, ApiError> {
        let mut by_handler = BTreeMap::new();
        for (handler, positions) in wanted {
            let became = if is_dry_run {
                self.queue.would_replay(&handler, &positions)
            } else {
                self.queue.replay(&handler, &positions).await?
            };
            let n_restarted = became.iter().filter(|one| **one == ReplayResult::Restarted).count();
            by_handler.insert(handler, n_restarted as u64);
            for (position, became) in positions.iter().zip(became) {
                let result = match became {
                    ReplayResult::Restarted => EventResult::Restarted,
                    ReplayResult::Pending => EventResult::Pending,
                    ReplayResult::Gone => EventResult::Gone,
                };
                results.entry(*position).and_modify(|known| *known = result.max(*known));
            }
        }
        Ok(by_handler)
    }

    /// [`Api::replay_range`] for one who asks for the pages. The action log has a line of the first and one of
    /// the last: those of a million events would leave no room for anything else.
    pub async fn replay_page(&self, range: ReplayRange) -> Result<Replayed, ApiError> {
        let noted = (!range.dry_run).then(|| range.target());
        let is_first = range.after.is_none();
        let replayed = self.replay_range(range).await;
        let is_told = is_first || replayed.as_ref().map_or(true, |page| page.is_last);
        if let Some(target) = noted.filter(|_| is_told) {
            self.note("replay", target, &replayed, |page| {
                let which = if is_first { "" } else { ", the last page" };
                let more = if page.is_last { "" } else { ", the first page" };
                format!("{}{which}{more}", page.sum())
            });
        }
        replayed
    }

    /// [`Api::replay_range`] from page to page, for `most` at the longest. What it came to in all; not
    /// `is_last` = there is more, behind `after`.
    pub async fn replay_all(
        &self,
        mut range: ReplayRange,
        most: Duration,
    ) -> Result<Replayed, ApiError> {
        let (began, is_dry_run) = (self.clock.steady(), range.dry_run);
        let target = range.target();
        range.up_to = range.up_to.or(Some(self.queue.stats().last.0));
        let mut sum = Replayed { after: range.after.unwrap_or(0), ..Replayed::default() };
        let replayed = loop {
            let page = match self.replay_range(range.clone()).await {
                Ok(page) => page,
                Err(err) => break Err(err),
            };
            sum.add(&page);
            range.after = Some(page.after);
            if page.is_last || self.clock.steady().since(began) >= most {
                break Ok(sum);
            }
        };
        if !is_dry_run {
            self.note("replay", target, &replayed, |sum| {
                let rest = format!("; more match behind position {}: go on there", sum.after);
                format!("{}{}", sum.sum(), if sum.is_last { "" } else { &rest })
            });
        }
        replayed
    }

    /// The events of one page, and whether there may be more behind it.
    async fn page(&self, ask: EventsAsk) -> Result<(Vec<Event>, bool), ApiError> {
        let query = EventQuery { bytes_max: Some(TAKE_BYTES_MAX), ..self.question(ask)? };
        let events = self.queue.list(query.clone()).await?;
        let body_bytes = events.iter().map(|event| event.body.len()).sum();
        let is_full = query.is_full(events.len(), body_bytes);
        Ok((events, is_full))
    }

    /// One handler, or all that have a place.
    pub(super) fn handlers_for(
        &self,
        wanted: Option<&HandlerName>,
    ) -> Result<Vec<HandlerName>, ApiError> {
        let known = self.queue.stats().handlers.into_iter().map(|(name, _)| name);
        let chosen: Vec<_> =
            known.filter(|name| wanted.is_none_or(|wanted| wanted == name)).collect();
        match wanted {
            Some(name) if chosen.is_empty() => Err(no_handler(name)),
            Some(_) | None => Ok(chosen),
        }
    }
}
