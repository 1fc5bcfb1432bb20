//! Lists of events by source, type and time.

use super::{event_at, locate, scan};
use crate::event::{Event, Position};
use crate::queue::sled::index::{Block, Index};
use crate::queue::sled::shared::Shared;
use crate::queue::{EventQuery, ListOrder, QueueError};

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
