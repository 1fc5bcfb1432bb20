//! Finding events by position, id, time and type.

use std::io;
use std::sync::Arc;

use super::dedupe::Seen;
use super::ids::millis_of;
use super::index::{Block, Index};
use super::shared::Shared;
use crate::event::{Dedupe, DedupeKey, Event, EventId, Position};
use crate::queue::journal::{Location, Reader};
use crate::queue::record::{Kind, Record};
use crate::queue::{EventQuery, ListOrder, QueueError};

/// Where to begin reading to come to `position`: at it or at most some 256 events before it.
pub(crate) fn locate(shared: &Shared, position: Position) -> Location {
    let segment = shared.segments.holding(position);
    let begin = segment.map_or(Location::start_of(0), |segment| Location::start_of(segment.number));
    let block = shared.index().and_then(|index| index.block_of(position));
    match block {
        Ok(Some(block)) => block.at.max(begin),
        Ok(None) | Err(_) => begin,
    }
}

/// The event at `position` with its dedupe key, while it is there.
pub(crate) fn event_at(
    shared: &Shared,
    position: Position,
) -> Result<Option<(Event, Dedupe)>, QueueError> {
    let moved_to = || shared.index().and_then(|index| index.moved(position));
    let mut moved = moved_to();
    loop {
        let copy = match moved {
            Ok(Some(at)) => copy_at(shared, at, position)?,
            Ok(None) | Err(_) => None,
        };
        let found = match copy {
            None => original_at(shared, position)?,
            found => found,
        };
        // While it was looked for here it may have been copied forward, and this have gone.
        let (before, after) = (moved.ok(), moved_to());
        if found.is_some() || before == after.as_ref().ok().copied() {
            // Without the index nobody knows that an event is gone.
            return if found.is_some() {
                Ok(found)
            } else {
                after.map(|_| None).map_err(Into::into)
            };
        }
        moved = after;
    }
}

fn copy_at(
    shared: &Shared,
    at: Location,
    position: Position,
) -> Result<Option<(Event, Dedupe)>, QueueError> {
    let mut reader = Reader::new(Arc::clone(&shared.segments), at);
    let found = reader.next(shared.durable().end).map_err(read_failed)?;
    match found.map(|found| found.decode()).transpose().map_err(read_failed)? {
        Some(Record::Carried(event, dedupe)) if event.position == position => {
            Ok(Some((event, dedupe)))
        }
        Some(_) | None => Ok(None),
    }
}

fn original_at(shared: &Shared, position: Position) -> Result<Option<(Event, Dedupe)>, QueueError> {
    if position < shared.oldest() || position >= shared.durable().next {
        return Ok(None);
    }
    let mut found = None;
    scan(shared, locate(shared, position), |event, dedupe| {
        let is_behind = event.position >= position;
        if event.position == position {
            found = Some((event, dedupe));
        }
        !is_behind
    })?;
    Ok(found)
}

/// What is known of the key of the event at `position`, from the event or from the record that
/// outlives it; `None` where that event has another key.
pub(crate) fn seen_at(
    shared: &Shared,
    position: Position,
    key: DedupeKey,
) -> Result<Option<Seen>, QueueError> {
    if let Some((event, dedupe)) = event_at(shared, position)? {
        let seen = Seen { id: event.id, position, received_at: event.received_at };
        let is_same = matches!(dedupe, Dedupe::Within { key: found, .. } if found == key);
        return Ok(is_same.then_some(seen));
    }
    let Some(record) = shared.index()?.key_record_of(position)? else { return Ok(None) };
    let mut reader = Reader::new(Arc::clone(&shared.segments), record.at);
    let found = reader.next(shared.durable().end).map_err(read_failed)?;
    let Some(Record::Keys(keys)) =
        found.map(|found| found.decode()).transpose().map_err(read_failed)?
    else {
        return Ok(None);
    };
    let entry = keys.0.into_iter().find(|entry| entry.position == position && entry.key == key);
    Ok(entry.map(|entry| Seen { id: entry.id, position, received_at: entry.received_at }))
}

/// Reads events from `at` on until `visit` says stop (`false`) or the end is reached.
pub(crate) fn scan(
    shared: &Shared,
    at: Location,
    mut visit: impl FnMut(Event, Dedupe) -> bool,
) -> Result<(), QueueError> {
    let end = shared.durable().end;
    let mut reader = Reader::new(Arc::clone(&shared.segments), at);
    while let Some(found) = reader.next(end).map_err(read_failed)? {
        if found.kind != Kind::Event {
            continue;
        }
        if let Record::Event(event, dedupe) = found.decode().map_err(read_failed)?
            && !visit(event, dedupe)
        {
            break;
        }
    }
    Ok(())
}

/// The event of this id: ids ascend with the log, so it is a search by time.
pub(crate) fn event_of(shared: &Shared, id: EventId) -> Result<Option<Event>, QueueError> {
    let index = shared.index()?;
    let (mut low, mut high) = (shared.oldest().0, shared.durable().next.0);
    // Closes in on the last block that begins at or before the event.
    let mut begin = locate(shared, Position(low));
    while low + 1 < high {
        let middle = Position(low + (high - low) / 2);
        match index.block_of(middle)? {
            // The event may stand before `middle` in the same block.
            Some(block) if block.first_id <= id => (low, begin) = (middle.0, begin.max(block.at)),
            Some(block) if block.first.0 > low => high = block.first.0,
            Some(_) | None => break,
        }
    }
    let mut found = None;
    scan(shared, begin, |event, _| {
        let goes_on = event.id < id && millis_of(event.id) <= millis_of(id);
        if event.id == id {
            found = Some(event);
        }
        goes_on
    })?;
    match found {
        Some(event) => Ok(Some(event)),
        None => carried_event_of(shared, id),
    }
}

/// The event of this id among those that were copied forward.
fn carried_event_of(shared: &Shared, id: EventId) -> Result<Option<Event>, QueueError> {
    let index = shared.index()?;
    for segment in shared.segments.all() {
        for position in index.moved_into(segment.number)? {
            let event = event_at(shared, position)?;
            if let Some((event, _)) = event.filter(|(event, _)| event.id == id) {
                return Ok(Some(event));
            }
        }
    }
    Ok(None)
}

/// Events as `query` asks for them.
pub(crate) fn list(shared: &Shared, query: &EventQuery) -> Result<Vec<Event>, QueueError> {
    let limit = query.limit.clamp(1, EventQuery::LIMIT_MAX);
    match query.order {
        ListOrder::Oldest => list_forward(shared, query, limit),
        ListOrder::Newest => list_backward(shared, query, limit),
    }
}

fn list_forward(
    shared: &Shared,
    query: &EventQuery,
    limit: usize,
) -> Result<Vec<Event>, QueueError> {
    let index = shared.index()?;
    let after = query.cursor.map_or(Position(0), Position::next);
    let mut events = Vec::new();
    for position in index.moved_in_range(after, shared.oldest())? {
        if events.len() < limit {
            events.extend(carried_at(shared, query, position)?);
        }
    }
    let mut from = after.max(shared.oldest());
    let end = shared.durable().next;
    while from < end && events.len() < limit {
        let (block, until) = block_and_end(&index, from, end)?;
        if block.is_none_or(|block| may_match(query, &block)) {
            scan(shared, locate(shared, from), |event, _| {
                let goes_on = event.position < until && events.len() < limit;
                if goes_on && event.position >= from && matches(query, &event) {
                    events.push(event);
                }
                goes_on
            })?;
        }
        from = until;
    }
    Ok(events)
}

fn list_backward(
    shared: &Shared,
    query: &EventQuery,
    limit: usize,
) -> Result<Vec<Event>, QueueError> {
    let index = shared.index()?;
    let mut events = Vec::new();
    let oldest = shared.oldest();
    let mut before = query.cursor.unwrap_or(Position(u64::MAX)).min(shared.durable().next);
    while before > oldest && events.len() < limit {
        let last = Position(before.0 - 1);
        let block = index.block_of(last)?;
        let first = block.as_ref().map_or(oldest, |block| block.first.max(oldest));
        // More may have come behind the newest block than it knows of.
        let is_newest = index.block_after(first)?.is_none();
        if is_newest || block.is_none_or(|block| may_match(query, &block)) {
            let mut found = Vec::new();
            scan(shared, locate(shared, first), |event, _| {
                let goes_on = event.position < before;
                if goes_on && event.position >= first && matches(query, &event) {
                    found.push(event);
                }
                goes_on
            })?;
            let room = limit - events.len();
            events.extend(found.into_iter().rev().take(room));
        }
        before = first;
    }
    for position in index.moved_in_range(Position(0), before.min(oldest))?.into_iter().rev() {
        if events.len() < limit {
            events.extend(carried_at(shared, query, position)?);
        }
    }
    Ok(events)
}

/// An event that outlived its segment, where it matches.
fn carried_at(
    shared: &Shared,
    query: &EventQuery,
    position: Position,
) -> Result<Option<Event>, QueueError> {
    let found = event_at(shared, position)?.map(|(event, _)| event);
    Ok(found.filter(|event| matches(query, event)))
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

/// A read that failed, for the caller.
pub(crate) fn read_failed(err: io::Error) -> QueueError {
    QueueError::Io { what: "reading the journal".into(), source: err }
}

#[cfg(test)]
mod tests {
    use super::glob;

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
