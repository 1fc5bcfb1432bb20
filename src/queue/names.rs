//! Names shared from one event to the next. Most are the same: a new one is an allocation, and an
//! `Arc` that all threads share is a cache line that they take from each other.

use crate::event::{EventType, SourceName};

/// The names of the last event.
#[derive(Debug, Default)]
pub(crate) struct Names(Option<(SourceName, EventType)>);

impl Names {
    /// The last event's names, where they are these.
    pub(crate) fn get(&self, source: &str, event_type: &str) -> Option<(SourceName, EventType)> {
        let is_same = |(known, known_type): &&(SourceName, EventType)| {
            known.as_str() == source && known_type.as_str() == event_type
        };
        self.0.as_ref().filter(is_same).cloned()
    }

    /// Remembers these names, and gives them back.
    pub(crate) fn set(
        &mut self,
        source: SourceName,
        event_type: EventType,
    ) -> (SourceName, EventType) {
        self.0.insert((source, event_type)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_names_are_given_again_and_no_others() {
        let mut names = Names::default();
        assert_eq!(names.get("s", "t"), None);
        let (source, event_type) = names.set(SourceName::parse("s").unwrap(), EventType::new("t"));
        let again = names.get("s", "t").unwrap();
        assert!(std::ptr::eq(again.0.as_str(), source.as_str()));
        assert!(std::ptr::eq(again.1.as_str(), event_type.as_str()));
        assert_eq!(names.get("s", "u"), None);
        assert_eq!(names.get("r", "t"), None);
        names.set(source, EventType::new("u"));
        assert_eq!(names.get("s", "t"), None);
    }
}
