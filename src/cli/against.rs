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
        let compared = Compared { events: 0, differences: Vec::new() };
        return output.one(&compared, |_| {
            let mut page = Page::default();
            let path = path.display();
            page.line(format_args!("every handler is the same in `{path}`: nothing would change"));
            page.finish()
        });
    }
    let via = Via::reach(old).await?;
    let seen = see_all(&via, since, &mut comparison).await;
    via.close().await?;
    let n_events = seen?;
    let text = std::fs::read_to_string(path)?;
    let differences = comparison.finish();
    let differences = differences.into_iter().map(|one| with_line(one, new, &text)).collect();
    output.one(&Compared { events: n_events, differences }, |compared| told(compared, path))
}

/// What a comparison came to.
#[derive(Debug, Serialize)]
struct Compared {
    events: u64,
    differences: Vec<LineDifference>,
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

fn told(compared: &Compared, path: &Path) -> String {
    let mut page = Page::default();
    let path = path.display();
    for LineDifference { difference, line } in &compared.differences {
        let line = line.map_or_else(String::new, |line| format!(" ({path}, line {line})"));
        let Difference { handler, events, change, first, .. } = difference;
        let change = plain(change);
        page.line(format_args!(
            "handler `{handler}`: {} {change}{line}; the first is {first}",
            counted(*events, "event", "events")
        ));
    }
    let none = if compared.differences.is_empty() { ": nothing would change" } else { "" };
    let compared = counted(compared.events, "event", "events");
    page.line(format_args!("{compared} compared with `{path}`{none}"));
    page.finish()
}
