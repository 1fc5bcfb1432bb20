//! Events to try handlers with: the samples of the sources' presets and of Gatepost's own events,
//! or a given body.

use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Clock;
use crate::config::Config;
use crate::deliver::OWN_SOURCE;
use crate::event::{Event, EventId, EventType, NewEvent, Position, SourceName};

use super::own_events::{self, own_sample};

/// An event that is in no queue.
pub fn loose_event(new: NewEvent) -> Arc<Event> {
    Arc::new(Event::new(new, EventId(Uuid::now_v7()), Position(0)))
}

/// The event that a request with `body` would become; `None` = there is no such source.
pub fn event_of(
    config: &Config,
    source: &SourceName,
    event_type: Option<&str>,
    body: Vec<u8>,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<Event>> {
    let settings = config.sources.get(source)?;
    Some(loose_event(settings.unsigned_event(source, event_type, body, clock.now())))
}

/// The sender's sample of this type, about the same thing as its others, so that an upsert can be tried; `None` = there is no such source, or Gatepost makes no event
/// of this type.
pub fn sample_of(
    config: &Config,
    source: &SourceName,
    event_type: &EventType,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<Event>> {
    if source.as_str() == OWN_SOURCE {
        return own_sample(event_type.as_str(), clock.now()).map(loose_event);
    }
    let settings = config.sources.get(source)?;
    let body = settings.sample_of_one(event_type.as_str(), clock.now());
    event_of(config, source, Some(event_type.as_str()), body, clock)
}

/// A sample of every type that the presets of the sources have one of, then of Gatepost's own.
pub fn samples(config: &Config, clock: &Arc<dyn Clock>) -> Vec<Arc<Event>> {
    let mut samples = Vec::new();
    for (source, settings) in &config.sources {
        for event_type in settings.sample_types() {
            samples.extend(sample_of(config, source, &EventType::new(event_type), clock));
        }
    }
    let own = own_events::TYPES.into_iter().filter_map(|one| own_sample(one, clock.now()));
    samples.extend(own.map(loose_event));
    samples
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::config::check_text;

    /// `handlers try --send` with one and then the other writes one row, whenever it is called.
    #[test]
    fn samples_of_one_thing_have_one_id() {
        let text = "[source.hyvor]\nprovider = 'hyvor-talk'\nsecrets = [{ file = 'a' }]\n\
                    [source.echo]\nprovider = 'userecho'\nsecrets = [{ file = 'a' }]";
        let config = check_text(text, "x.toml", Path::new("/"), None).config.unwrap();
        let id = |source: &str, event_type: &str, path: &str, seconds: i64| {
            let clock: Arc<dyn Clock> =
                Arc::new(ManualClock::new(Timestamp::from_millis(seconds * 1_000)));
            let source = SourceName::parse(source).unwrap();
            let event = sample_of(&config, &source, &EventType::new(event_type), &clock).unwrap();
            let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
            body.pointer(path).unwrap().clone()
        };
        for (source, path, types) in [
            ("hyvor", "/data/comment/id", ["comment.create", "comment.update", "comment.delete"]),
            ("hyvor", "/data/rating/id", ["rating.created", "rating.updated", "rating.deleted"]),
            ("echo", "/data/id", ["topic.created", "topic.accepted", "topic.deleted"]),
        ] {
            let ids = types.map(|event_type| id(source, event_type, path, 1_800_000_000));
            assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
            assert_eq!(id(source, types[1], path, 1_900_000_000), ids[0], "at another time");
        }
    }
}
