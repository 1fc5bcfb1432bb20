//! `check --against`: the retained events through two configurations.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::compare::{Comparison, Difference};
use crate::clock::{Clock, Stopwatch, SystemClock};
use crate::config::Config;

use super::output::{Output, Page, note, plain};
use super::store::{self, Via};
use super::{CliError, when};

/// Events of one page.
const PAGE: usize = 500;
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Shows what `new`, the content of the file `path`, would do otherwise with the events `since`.
pub(super) async fn run(
    (since, path): (&str, &Path),
    old: &Config,
    new: &Config,
    output: Output,
) -> Result<(), CliError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let since = when::parse(since)?;
    let mut comparison = Comparison::new(old, new, &clock);
    let mut n_events = 0;
    if !comparison.is_empty() {
        let via = Via::reach(old).await?;
        let seen = see_all(&via, since, &mut comparison).await;
        via.close().await?;
        n_events = seen?;
    }
    let text = std::fs::read_to_string(path)?;
    let differences: Vec<Value> =
        comparison.finish().iter().map(|one| shown(one, new, &text)).collect::<Result<_, _>>()?;
    let answer = json!({ "events": n_events, "differences": differences });
    output.one(&answer, |_| told(n_events, &differences, path))
}

async fn see_all(
    via: &Via,
    since: crate::clock::Timestamp,
    comparison: &mut Comparison<'_>,
) -> Result<u64, CliError> {
    let (mut after, mut n_events) = (0, 0_u64);
    let mut told_at = Stopwatch::start();
    loop {
        let events = via.export(after, PAGE).await?;
        let Some(last) = events.last() else { return Ok(n_events) };
        after = last.position;
        let events = events.into_iter().filter(|event| event.received_at >= since);
        let events = events.map(|event| event.into_stored().map(Arc::new));
        let events: Vec<_> =
            events.collect::<Result<_, _>>().map_err(|err| CliError::failed(&err))?;
        comparison.see(&events);
        n_events += events.len() as u64;
        if told_at.elapsed() >= TELL_EVERY {
            note(&format!("{n_events} events compared, up to position {after}"))?;
            told_at = Stopwatch::start();
        }
    }
}

/// A difference with its line in the new file.
fn shown(difference: &Difference, new: &Config, text: &str) -> Result<Value, CliError> {
    let place = difference.key.as_deref().and_then(|key| new.place_of(key));
    let line = place.and_then(|place| Some(text.get(..place.start)?.matches('\n').count() + 1));
    let mut shown = store::value(difference)?;
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("line".into(), json!(line));
    }
    Ok(shown)
}

fn told(n_events: u64, differences: &[Value], path: &Path) -> String {
    let mut page = Page::default();
    let path = path.display();
    for one in differences {
        let field = |name| plain(one.get(name).and_then(Value::as_str).unwrap_or_default());
        let count = one.get("events").and_then(Value::as_u64).unwrap_or_default();
        let line = one.get("line").and_then(Value::as_u64);
        let line = line.map_or_else(String::new, |line| format!(" ({path}, line {line})"));
        page.line(format_args!(
            "handler `{}`: {count} events {}{line}; the first is {}",
            field("handler"),
            field("change"),
            field("first"),
        ));
    }
    let none = if differences.is_empty() { ": nothing would change" } else { "" };
    page.line(format_args!("{n_events} events compared with `{path}`{none}"));
    page.finish()
}
