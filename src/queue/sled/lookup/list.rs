//! Lists of events by source, type and time.

use super::{event_at, locate, scan};
use crate::event::{Event, Position};
use crate::queue::detach::detach;
use crate::queue::sled::index::{Block, Index};
use crate::queue::sled::shared::Shared;
use crate::queue::{EventQuery, ListOrder, QueueError};

/// Events as `query` asks for them.
pub(crate) fn list(shared: &Shared, query: &EventQuery) -> Result<Vec<Event>, QueueError> {
    list_from(shared, query, shared.oldest())
}

/// `oldest` is the oldest position just now: what is before it was copied forward or is gone, what
/// is from it on stands in its segment. The janitor may have let that segment go by the time it is
/// read, so what was copied out of it meanwhile is added at the end.
fn list_from(
    shared: &Shared,
    query: &EventQuery,
    oldest: Position,
) -> Result<Vec<Event>, QueueError> {
    let page = Page { query, events: Vec::new(), body_bytes: 0 };
    let page = match query.order {
        ListOrder::Oldest => list_forward(shared, page, oldest)?,
        ListOrder::Newest => list_backward(shared, page, oldest)?,
    };
    Ok(page.events)
}

fn list_forward<'a>(
    shared: &Shared,
    mut page: Page<'a>,
    oldest: Position,
) -> Result<Page<'a>, QueueError> {
    let index = shared.index()?;
    let after = page.query.cursor.map_or(Position(0), Position::next);
    for position in index.moved_in_range(after, oldest)? {
        page.offer_carried(shared, position)?;
    }
    let first = after.max(oldest);
    let mut from = first;
    let end = shared.durable().next;
    while from < end && !page.is_full() {
        let (block, until) = block_and_end(&index, from, end)?;
        if block.is_none_or(|block| may_match(page.query, &block)) {
            scan(shared, locate(shared, from), |event, _| {
                let goes_on = event.position < until && !page.is_full();
                if goes_on && event.position >= from {
                    page.offer(&event);
                }
                goes_on
            })?;
        }
        from = until;
    }
    page.with(shared, index.moved_in_range(first, shared.oldest())?)
}

fn list_backward<'a>(
    shared: &Shared,
    mut page: Page<'a>,
    oldest: Position,
) -> Result<Page<'a>, QueueError> {
    let index = shared.index()?;
    let end = page.query.cursor.unwrap_or(Position(u64::MAX)).min(shared.durable().next);
    let mut before = end;
    while before > oldest && !page.is_full() {
        let last = Position(before.0 - 1);
        let block = index.block_of(last)?;
        let first = block.as_ref().map_or(oldest, |block| block.first.max(oldest));
        // More may have come behind the newest block than it knows of.
        let is_newest = index.block_after(first)?.is_none();
        if is_newest || block.is_none_or(|block| may_match(page.query, &block)) {
            let mut found = Vec::new();
            scan(shared, locate(shared, first), |event, _| {
                let goes_on = event.position < before;
                if goes_on && event.position >= first && matches(page.query, &event) {
                    found.push(event);
                }
                goes_on
            })?;
            for event in found.iter().rev() {
                page.offer(event);
            }
        }
        before = first;
    }
    let mut gone_meanwhile = index.moved_in_range(before, shared.oldest().min(end))?;
    gone_meanwhile.reverse();
    page = page.with(shared, gone_meanwhile)?;
    for position in index.moved_in_range(Position(0), before.min(oldest))?.into_iter().rev() {
        page.offer_carried(shared, position)?;
    }
    Ok(page)
}

/// A list that is being made.
struct Page<'a> {
    query: &'a EventQuery,
    /// In the order that was asked for.
    events: Vec<Event>,
    body_bytes: usize,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.query.is_full(self.events.len(), self.body_bytes)
    }

    /// Takes the event in where it matches and there is room.
    fn offer(&mut self, event: &Event) {
        if !self.is_full() && matches(self.query, event) {
            self.body_bytes += event.body.len();
            self.events.push(detach(event));
        }
    }

    /// The same with one that was copied forward.
    fn offer_carried(&mut self, shared: &Shared, position: Position) -> Result<(), QueueError> {
        if !self.is_full()
            && let Some((event, _)) = event_at(shared, position)?
        {
            self.offer(&event);
        }
        Ok(())
    }

    /// With those that were copied forward, each in its place, where it has them not yet.
    fn with(mut self, shared: &Shared, carried: Vec<Position>) -> Result<Self, QueueError> {
        if carried.is_empty() {
            return Ok(self);
        }
        let order = self.query.order;
        let is_before = |position: Position, other: Position| match order {
            ListOrder::Oldest => position < other,
            ListOrder::Newest => position > other,
        };
        let mut carried = carried.into_iter().peekable();
        let events = std::mem::take(&mut self.events);
        self.body_bytes = 0;
        for event in &events {
            while let Some(position) = carried.next_if(|at| is_before(*at, event.position)) {
                self.offer_carried(shared, position)?;
            }
            carried.next_if_eq(&event.position);
            self.offer(event);
        }
        for position in carried {
            self.offer_carried(shared, position)?;
        }
        Ok(self)
    }
}

/// The block that `from` is in, and where the next one begins.
fn block_and_end(
    index: &Index,
    from: Position,
    end: Position,
) -> Result<(Option<Block>, Position), QueueError> {
    let block = index.block_of(from)?;
    match index.block_after(from)? {
        Some(next) => Ok((block, next.first.min(end))),
        // The newest block: more may have come behind it than it knows of.
        None => Ok((None, end)),
    }
}

fn may_match(query: &EventQuery, block: &Block) -> bool {
    let in_time = query.since.is_none_or(|since| block.newest >= since)
        && query.until.is_none_or(|until| block.oldest < until);
    let is_named = |name: &String| {
        let (source, event_type) = name.split_once(':').unwrap_or((name, ""));
        query.source.as_ref().is_none_or(|wanted| wanted.as_str() == source)
            && query.event_type.as_ref().is_none_or(|pattern| glob(pattern, event_type))
    };
    in_time && block.types.as_ref().is_none_or(|types| types.iter().any(is_named))
}

fn matches(query: &EventQuery, event: &Event) -> bool {
    query.source.as_ref().is_none_or(|source| *source == event.source)
        && query.event_type.as_ref().is_none_or(|glob_| glob(glob_, event.event_type.as_str()))
        && query.since.is_none_or(|since| event.received_at >= since)
        && query.until.is_none_or(|until| event.received_at < until)
}

/// Whether `text` is what `pattern` describes; `*` stands for any run of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        match text.split_once(part) {
            Some((_, tail)) => text = tail,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::event::{
        Attempt, DataRoot, Dedupe, ErrorText, EventType, HandlerName, Headers, NewEvent, Outcome,
        Settled, SourceName,
    };
    use crate::queue::sled::{Settings, SledQueue};
    use crate::queue::{Queue, Start};

    const AT: Timestamp = Timestamp::from_millis(1_704_067_200_000);

    /// A queue of 20 events in several segments, of which all are delivered but these.
    async fn with_dead_letters(folder: &std::path::Path, dead: &[u64]) -> SledQueue {
        let settings = Settings {
            segment_bytes: 64 << 10,
            disk_reserve: 0,
            retention: Duration::ZERO,
            ..Settings::new(folder)
        };
        let queue = SledQueue::open(settings, Arc::new(ManualClock::new(AT))).unwrap();
        let handler = HandlerName::parse("h").unwrap();
        let subscription = queue.subscribe(&handler, Start::Oldest).await.unwrap();
        for _ in 0..20 {
            let event = NewEvent {
                source: SourceName::parse("shop").unwrap(),
                event_type: EventType::unknown(),
                received_at: AT,
                data_root: DataRoot::Payload,
                is_json: false,
                headers: Headers::default(),
                body: Bytes::from(vec![b'x'; 9_000]),
                dedupe: Dedupe::Off,
            };
            queue.append(event).await.unwrap();
        }
        while let Some(taken) = subscription.next(100).now_or_never() {
            for delivery in taken.unwrap() {
                let is_dead = dead.contains(&delivery.event.position.0);
                let error = ErrorText::new("no");
                let attempt =
                    Attempt { started_at: AT, duration: Duration::ZERO, error, status: None };
                let outcome =
                    if is_dead { Outcome::Dead { order_key: None } } else { Outcome::Delivered };
                let settled = Settled { outcome, attempt: Some(attempt) };
                subscription.settle(delivery, settled).await.unwrap();
            }
        }
        queue.history(Position(1)).await.unwrap();
        queue.probe().await.unwrap();
        queue
    }

    fn positions(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.position.0).collect()
    }

    #[tokio::test]
    async fn what_is_carried_forward_while_it_is_listed_is_not_left_out() {
        let folder = tempfile::TempDir::new().unwrap();
        let queue = with_dead_letters(folder.path(), &[2, 5]).await;
        let before = queue.shared.oldest();
        queue.tidy().await.unwrap();
        let oldest = queue.shared.oldest();
        assert!(before == Position(1) && oldest > Position(5), "{oldest:?}");

        let mut all = vec![2, 5];
        all.extend(oldest.0..=20);
        let check = |order, limit, cursor: Option<u64>, expected: &[u64]| {
            let cursor = cursor.map(Position);
            let query = EventQuery { cursor, order, limit, ..EventQuery::default() };
            for known in [before, Position(3), oldest] {
                let found = list_from(&queue.shared, &query, known).unwrap();
                assert_eq!(positions(&found), expected, "{query:?} from {known:?}");
            }
        };
        check(ListOrder::Oldest, 100, None, &all);
        check(ListOrder::Oldest, 2, None, &[2, 5]);
        check(ListOrder::Oldest, 1, Some(2), &[5]);
        check(ListOrder::Oldest, 2, Some(19), &[20]);
        check(ListOrder::Newest, 1, Some(5), &[2]);
        check(ListOrder::Newest, 2, None, &[20, 19]);
        all.reverse();
        check(ListOrder::Newest, 100, None, &all);
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, expected) in [
            ("comment.*", "comment.create", true),
            ("*", "", true),
            ("*.create", "comment.create", true),
            ("c*m*e", "comment.create", true),
            ("comment.create", "comment.create", true),
            ("comment", "comment.create", false),
            ("*x*", "comment.create", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
