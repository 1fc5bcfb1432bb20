//! `check --against`: the retained events through two configurations.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::app::compare::{Comparison, Difference};
use crate::clock::{Clock, Stopwatch, SystemClock, Timestamp};
use crate::config::Config;
use crate::text::counted;

use super::CliError;
use super::output::{Output, Page, note, plain};
use super::progress::{Progress, Unit};
use super::store::Via;

/// Events of one page.
const PAGE: usize = 500;
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Shows what `new`, the content of the file `path`, would do otherwise with the events `since`.
pub(super) async fn run(
    (since, path): (Timestamp, &Path),
    old: &Config,
    new: &Config,
    output: Output,
) -> Result<(), CliError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut comparison = Comparison::new(old, new, &clock);
    if comparison.is_empty() {
        let not_compared = comparison.not_compared().to_vec();
        let compared = AgainstView { events: 0, differences: Vec::new(), not_compared };
        return output.one(&compared, |compared| {
            let mut page = Page::default();
            let path = path.display();
            if tell_others(&mut page, &compared.not_compared) {
                page.line(format_args!("nothing else differs in `{path}`"));
            } else {
                page.line(format_args!(
                    "every handler is the same in `{path}`: nothing would change"
                ));
            }
            page.finish()
        });
    }
    let via = Via::reach(old).await?;
    let seen = see_all(&via, since, &mut comparison).await;
    via.close().await?;
    let n_events = seen?;
    let text = std::fs::read_to_string(path)?;
    let handlers: Vec<String> =
        comparison.handlers().map(|name| format!("handler.{name}")).collect();
    let not_compared = comparison.not_compared().to_vec();
    let differences = comparison.finish();
    let differences = differences.into_iter().map(|one| with_line(one, new, &text)).collect();
    let compared = AgainstView { events: n_events, differences, not_compared };
    output.one(&compared, |compared| told(compared, &handlers, path))
}

/// Tells of settings that differ and that no event says anything of, and whether there are any.
fn tell_others(page: &mut Page, others: &[String]) -> bool {
    if !others.is_empty() {
        page.line(format_args!("settings differ; not compared: {}", others.join(", ")));
    }
    !others.is_empty()
}

/// What a comparison came to.
#[derive(Debug, Serialize)]
struct AgainstView {
    events: u64,
    differences: Vec<LineDifference>,
    /// Settings that differ, and that no event says anything of.
    not_compared: Vec<String>,
}

/// A difference with its line in the new file.
#[derive(Debug, Serialize)]
struct LineDifference {
    #[serde(flatten)]
    difference: Difference,
    line: Option<usize>,
}

async fn see_all(
    via: &Via,
    since: Timestamp,
    comparison: &mut Comparison<'_>,
) -> Result<u64, CliError> {
    let (mut after, mut n_events) = (0, 0_u64);
    let mut told_at = Stopwatch::start();
    let progress = Progress::new("comparing", Unit::Events, Some(via.n_events().await?));
    loop {
        let events = via.export(after, PAGE).await?;
        let Some(last) = events.last() else { return Ok(n_events) };
        after = last.position;
        progress.advance(events.len() as u64);
        let events = events.into_iter().filter(|event| event.received_at >= since);
        let events = events.map(|event| event.into_stored().map(Arc::new));
        let events: Vec<_> =
            events.collect::<Result<_, _>>().map_err(|err| CliError::failed(&err))?;
        comparison.see(&events);
        n_events += events.len() as u64;
        if progress.is_hidden() && told_at.elapsed() >= TELL_EVERY {
            let compared = counted(n_events, "event", "events");
            note(&format!("{compared} compared, up to position {after}"))?;
            told_at = Stopwatch::start();
        }
    }
}

fn with_line(difference: Difference, new: &Config, text: &str) -> LineDifference {
    let place = difference.key.as_deref().and_then(|key| new.place_of(key));
    let line = place.and_then(|place| Some(text.get(..place.start)?.matches('\n').count() + 1));
    LineDifference { difference, line }
}

/// `handlers` are those that events may tell apart.
fn told(compared: &AgainstView, handlers: &[String], path: &Path) -> String {
    let mut page = Page::default();
    let path = path.display();
    for LineDifference { difference, line } in &compared.differences {
        let line = line.map_or_else(String::new, |line| format!(" ({path}, line {line})"));
        let Difference { handler, events, change, first, .. } = difference;
        let change = agreeing(*events, &plain(change));
        page.line(format_args!(
            "handler `{handler}`: {} {change}{line}; the first is {first}",
            counted(*events, "event", "events")
        ));
    }
    tell_others(&mut page, &compared.not_compared);
    let none = match (compared.events, compared.differences.is_empty()) {
        (_, false) => String::new(),
        (0, true) => format!(": none shows what differs in {}", handlers.join(", ")),
        (_, true) => ": none is handled otherwise".to_owned(),
    };
    let compared = counted(compared.events, "event", "events");
    page.line(format_args!("{compared} compared with `{path}`{none}"));
    page.finish()
}

/// How the change of many events begins, and how that of one does.
const VERBS: [(&str, &str); 11] = [
    ("no longer go to", "no longer goes to"),
    ("go to another", "goes to another"),
    ("wait:", "waits:"),
    ("newly go to", "newly goes to"),
    ("still fail,", "still fails,"),
    ("no longer fail", "no longer fails"),
    ("fail:", "fails:"),
    ("come out", "comes out"),
    ("change ", "changes "),
    ("differ", "differs"),
    ("are ", "is "),
];

/// The change in the words for so many events.
fn agreeing(n_events: u64, change: &str) -> String {
    let verb = VERBS.iter().find_map(|(many, one)| Some((one, change.strip_prefix(many)?)));
    match verb {
        Some((one, rest)) if n_events == 1 => {
            format!("{one}{}", rest.replace(" and go to another", " and goes to another"))
        }
        _ => change.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_and_many_are_said_each_in_their_words() {
        for (many, one) in [
            ("come out with another subject", "comes out with another subject"),
            ("no longer go to it", "no longer goes to it"),
            ("fail: invalid operation", "fails: invalid operation"),
            ("still fail, now: come out", "still fails, now: come out"),
            ("are no longer left out", "is no longer left out"),
            ("go to another database", "goes to another database"),
            (
                "come out with another text and go to another topic",
                "comes out with another text and goes to another topic",
            ),
        ] {
            assert_eq!((agreeing(2, many).as_str(), agreeing(1, many).as_str()), (many, one));
        }
    }
}
