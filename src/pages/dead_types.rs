//! Of which types the dead letters are that a filter of `/dead` finds.

use std::collections::BTreeMap;

use super::words;
use crate::api::OldestTypes;

/// Types that are named.
const TYPES_MAX: usize = 6;

/// How many there are of the commonest types, in words; nothing where there is one dead letter only.
pub(super) fn by_type(types: &OldestTypes, matched: u64) -> String {
    // Two sources may have the same type.
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for one in &types.counts {
        *counts.entry(one.event_type.as_str()).or_default() += one.count;
    }
    if matched <= 1 || counts.is_empty() {
        return String::new();
    }
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let n_more = counts.len().saturating_sub(TYPES_MAX) as u64;
    let named = counts.iter().take(TYPES_MAX);
    let named = named.map(|(name, n)| format!("{} {}", words::count(*n), words::shown(name, 48)));
    let more = (n_more > 0).then(|| words::counted(n_more, "more type", "more types"));
    let said = named.chain(more).collect::<Vec<_>>().join(", ");
    if types.n_looked_at < matched {
        return format!("; of the oldest {}: {said}", words::count(types.n_looked_at));
    }
    format!(": {said}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TypeCount;
    use crate::event::{EventType, SourceName};

    fn types(counts: &[(&str, &str, u64)], n_looked_at: u64) -> OldestTypes {
        let counts = counts.iter().map(|(source, name, count)| TypeCount {
            source: SourceName::parse(source).unwrap(),
            event_type: EventType::new(name),
            count: *count,
        });
        OldestTypes { counts: counts.collect(), n_looked_at }
    }

    #[test]
    fn types_of_two_sources_are_one_and_those_that_are_not_named_are_counted() {
        let two = [("one", "push", 30), ("two", "ping", 25), ("two", "push", 20)];
        assert_eq!(by_type(&types(&two, 75), 75), ": 50 push, 25 ping");
        let names: Vec<String> = (10..50).map(|n| format!("a.{n}")).collect();
        let many: Vec<_> = names.iter().map(|name| ("one", name.as_str(), 2)).collect();
        let said = by_type(&types(&many, 80), 80);
        assert!(said.ends_with(", 2 a.15, 34 more types"), "{said}");
    }

    #[test]
    fn those_that_were_looked_at_are_told_whatever_can_be_read_of_them() {
        // Ten events of the oldest 100 cannot be read.
        let read = types(&[("one", "push", 90)], 100);
        assert_eq!(by_type(&read, 1_200), "; of the oldest 100: 90 push");
        assert_eq!(by_type(&read, 100), ": 90 push");
        assert_eq!(by_type(&types(&[], 100), 100), "");
        assert_eq!(by_type(&types(&[("one", "push", 1)], 1), 1), "");
    }
}
