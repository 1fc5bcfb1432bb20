//! Sources from which nothing comes in: all that they send is rejected, or they are silent for longer than
//! their owner expects.

use super::{LINES_MAX, TroubleLine, Verdict};
use crate::api::{SourceTrouble, SourceView, StatusView};
use crate::clock::Timestamp;
use crate::pages::fields::address;
use crate::pages::widgets::{Sign, Ticked, When};
use crate::pages::words;

/// A source from which nothing comes in.
#[derive(Debug)]
pub(super) struct TroubledSource<'a> {
    source: &'a SourceView,
    what: SourceTrouble,
    since: Timestamp,
}

/// Those that are in trouble.
pub(super) fn troubled_sources(status: &StatusView, now: Timestamp) -> Vec<TroubledSource<'_>> {
    let of = |source| trouble_of(source, now);
    status.sources.iter().filter_map(of).collect()
}

fn trouble_of(source: &SourceView, now: Timestamp) -> Option<TroubledSource<'_>> {
    let (what, since) = source.trouble(now)?;
    Some(TroubledSource { source, what, since })
}

/// The same in a table, for a source that is in trouble: a sign, its colour and a word.
pub(in crate::pages) fn trouble_sign(
    source: &SourceView,
    now: Timestamp,
) -> Option<(Sign, &'static str, &'static str)> {
    Some(match source.trouble(now)?.0 {
        SourceTrouble::Rejected(_) => (Sign::Down, "bad", "nothing gets in"),
        SourceTrouble::Silent => (Sign::Wait, "wait", "silent"),
    })
}

impl TroubledSource<'_> {
    /// Where it says why.
    fn page(&self) -> String {
        let name = self.source.name.as_str();
        match self.what {
            SourceTrouble::Rejected(_) => address("/rejected", [("source", name)]),
            SourceTrouble::Silent => format!("/sources/{name}"),
        }
    }

    /// What is the case, behind `since`.
    fn says(&self) -> String {
        self.source.trouble_says(self.what)
    }
}

/// Nothing else is wrong.
pub(super) fn of_sources(sources: &[TroubledSource<'_>], now: Timestamp) -> Verdict {
    let [one] = sources else {
        let n_more = sources.len().saturating_sub(LINES_MAX);
        let more = if n_more == 0 { String::new() } else { format!("And {n_more} more. ") };
        return Verdict {
            is_trouble: true,
            first: format!("Nothing comes in from {} sources.", sources.len()),
            each: source_lines(sources, now).collect(),
            explained: Ticked::of(&format!("{more}Each line leads to what to look at.")),
            ..Verdict::default()
        };
    };
    let name = &one.source.name;
    let (first, link, end, explained) = match one.what {
        SourceTrouble::Rejected(_) => (
            format!("Nothing gets in from {name} since"),
            "The rejected requests",
            "say why.",
            "Most often the secret here is not the sender's. What was rejected is kept, and can be \
             released once that is mended.",
        ),
        SourceTrouble::Silent => (
            format!("{name} has been silent since"),
            "Its page",
            "has its address and what its sender must be told.",
            "See in the sender's console whether it still sends, and what it was answered.",
        ),
    };
    Verdict {
        is_trouble: true,
        first,
        since: Some(When::clock(one.since, now)),
        rest: Ticked::of(&words::ended(format!(": {}", one.says()))),
        link: Some((link.to_owned(), one.page())),
        end: end.to_owned(),
        explained: Ticked::of(explained),
        ..Verdict::default()
    }
}

/// One line for each, behind those of the handlers.
pub(super) fn source_lines(
    sources: &[TroubledSource<'_>],
    now: Timestamp,
) -> impl Iterator<Item = TroubleLine> {
    sources.iter().take(LINES_MAX).map(move |one| TroubleLine {
        name: one.source.name.to_string(),
        page: one.page(),
        says: match one.what {
            SourceTrouble::Rejected(_) => "lets nothing in since".to_owned(),
            SourceTrouble::Silent => "has been silent since".to_owned(),
        },
        since: Some(When::clock(one.since, now)),
        error: Ticked::of(&one.says()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn minutes(n: i64) -> Timestamp {
        Timestamp::from_millis(n * 60_000)
    }

    /// A source of which so many requests were rejected in a row, the last of them `last` minutes after the start.
    fn source(n_rejected: u64, last: i64) -> SourceView {
        let mut source: SourceView = serde_json::from_value(json!({
            "name": "hyvor", "provider": "hyvor-talk", "path": "/hooks/hyvor", "sample_type": null,
            "sample_types": [], "setup": [], "accepted": 0, "duplicate": 0, "rejected": n_rejected,
            "turned_away": 0, "secrets": [],
        }))
        .unwrap();
        source.rejected_in_a_row = n_rejected;
        source.rejected_signed = n_rejected;
        source.watched_since = Some(minutes(0));
        source.rejected_since = Some(minutes(10));
        source.last_rejected_at = Some(minutes(last));
        source
    }

    #[test]
    fn source_that_never_had_a_good_request_is_in_trouble_and_a_healthy_one_is_not_by_a_probe() {
        let good_at = |at: Option<i64>, n: u64, last: i64, now: i64| {
            let mut source = source(n, last);
            source.last_event_at = at.map(minutes);
            trouble_of(&source, minutes(now)).map(|one| one.what)
        };
        let rejected = |n| Some(SourceTrouble::Rejected(n));
        assert_eq!(
            good_at(None, 1, 10, 500),
            rejected(1),
            "the first one, for as long as it takes"
        );
        assert_eq!(good_at(Some(5), 1, 10, 11), None, "a stranger's probe");
        assert_eq!(good_at(Some(5), 2, 10, 11), None);
        assert_eq!(good_at(Some(5), 3, 12, 13), rejected(3), "its secret was changed");
        assert_eq!(good_at(Some(5), 3, 12, 73), None, "nothing more came");
        assert_eq!(good_at(Some(11), 3, 12, 13), None, "another gateway had a good one");
        let unsigned = |at: Option<i64>, n: u64| {
            let mut source = SourceView { rejected_signed: 0, ..source(n, 12) };
            source.last_event_at = at.map(minutes);
            trouble_of(&source, minutes(13)).map(|one| one.what)
        };
        assert_eq!(unsigned(Some(5), 9), None, "strangers sign nothing");
        assert_eq!(unsigned(None, 1), None, "one look of a stranger before it is in use");
        assert_eq!(unsigned(None, 3), rejected(3), "its sender was told no secret");
    }

    #[test]
    fn silence_is_told_by_what_the_owner_expects_from_the_newest_event_or_the_start_on() {
        let mut source = SourceView { rejected_since: None, ..source(0, 0) };
        let since =
            |source: &SourceView, now| trouble_of(source, minutes(now)).map(|one| one.since);
        assert_eq!(since(&source, 9_000), None, "nothing is expected of it");
        source.expect_every_seconds = Some(3_600);
        assert_eq!([since(&source, 60), since(&source, 61)], [None, Some(minutes(0))]);
        source.last_event_at = Some(minutes(30));
        assert_eq!([since(&source, 90), since(&source, 91)], [None, Some(minutes(30))]);
        let said = of_sources(&[trouble_of(&source, minutes(91)).unwrap()], minutes(91));
        assert_eq!(said.link, Some(("Its page".to_owned(), "/sources/hyvor".to_owned())));
        assert!(said.first.starts_with("hyvor has been silent"), "{said:?}");
    }
}
