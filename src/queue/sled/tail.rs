//! The newest events in memory: a subscription that keeps up reads no file.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{Event, Position};
use crate::queue::journal::Location;

/// How many bytes of bodies and headers are kept.
const BYTES_MAX: usize = 4 << 20;
/// How many events are kept.
const EVENTS_MAX: usize = 8_192;

/// An event and where the record behind it begins.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    pub(crate) event: Arc<Event>,
    pub(crate) end: Location,
}

/// A bounded run of the newest events, without gaps in what it gives.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Recent>,
    bytes: usize,
}

fn size(event: &Event) -> usize {
    event.body.len() + event.headers.encoded().len()
}

impl Tail {
    /// Adds what was committed; the oldest go.
    pub(crate) fn extend(&self, events: Vec<Recent>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for recent in events {
            kept.bytes += size(&recent.event);
            kept.events.push_back(recent);
        }
        while kept.bytes > BYTES_MAX || kept.events.len() > EVENTS_MAX {
            let Some(oldest) = kept.events.pop_front() else { break };
            kept.bytes -= size(&oldest.event);
        }
    }

    /// Up to `max` events from `position` on; empty where that one is not kept.
    pub(crate) fn from(&self, position: Position, max: usize) -> Vec<Recent> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = kept.events.front() else { return Vec::new() };
        let skip = position.0.checked_sub(first.event.position.0);
        let skip = skip.and_then(|skip| usize::try_from(skip).ok()).unwrap_or(usize::MAX);
        let found = kept.events.iter().skip(skip).take(max).cloned().collect::<Vec<_>>();
        // A position that was given up after a failed commit leaves no gap here, but be sure.
        if found.first().is_some_and(|recent| recent.event.position == position) {
            found
        } else {
            Vec::new()
        }
    }
}
