//! Handlers that are started, left alone and started again.

use super::super::parts;
use super::super::paused::Paused;
use super::*;
use crate::api::HandlerStatus;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::metrics::Metrics;
use crate::queue::Start;
use crate::queue::embedded::testing::MemoryDisk;
use crate::trace::Traces;

/// Two handlers; `first` goes into the first one.
fn config(folder: &std::path::Path, first: &str) -> Config {
    let text = format!(
        "[source.s]\nprovider = \"hyvor-talk\"\nsecrets = [{{ file = \"secret\" }}]\n\
         [handler.a]\n{first}\n[handler.a.file]\npath = \"a\"\n\
         [handler.b.file]\npath = \"b\"\n"
    );
    std::fs::write(folder.join("secret"), "the-secret-of-the-tests").unwrap();
    let path = folder.join("config.toml");
    std::fs::write(&path, text).unwrap();
    crate::config::load(&path).unwrap().0
}

fn names(handlers: &Handlers) -> Vec<String> {
    handlers.list().iter().map(|handler| handler.name.to_string()).collect()
}

#[tokio::test]
async fn a_handler_that_cannot_be_started_keeps_back_no_other_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let old = config(folder.path(), "");
    let manual = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let clock = Arc::clone(&manual) as Arc<dyn Clock>;
    let queue = Arc::new(MemoryDisk::new().open(Arc::clone(&clock)));
    let core = Core { queue, clock, metrics: Metrics::new(), traces: Traces::default() };
    let own = Arc::new(SystemSource::new(core.clone()));
    let handlers = Arc::new(Handlers::new(
        core.clone(),
        Attempts::default(),
        own,
        Pauses::new(Paused::open(folder.path().join("paused")), None),
        HandlerRecords::open(folder.path().join("handler-records")),
    ));
    let first = HandlerName::parse("a").unwrap();
    let busy = core.queue.subscribe(&first, Start::Now).await.unwrap();
    let all = BTreeSet::new();
    handlers.start_all(parts::handlers(&old, &core.clock, &all)).await;
    let states = || -> Vec<(String, HandlerStatus)> {
        let states = handlers.list();
        states.into_iter().map(|handler| (handler.name.to_string(), handler.state)).collect()
    };
    let pair = |name: &str, state| (name.to_owned(), state);
    assert_eq!(states(), [pair("a", HandlerStatus::Failed), pair("b", HandlerStatus::Running)]);
    let problems = handlers.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("handler `a` cannot be subscribed: "), "{problems:?}");
    handlers.retry(parts::handlers(&old, &core.clock, &all)).await;
    assert_eq!(
        states(),
        [pair("a", HandlerStatus::Failed), pair("b", HandlerStatus::Running)],
        "it is still busy"
    );

    // A reload does not make another failure of it.
    manual.advance(Duration::from_mins(5));
    let same = handlers.unchanged_handlers(&old);
    handlers.replace(parts::handlers(&old, &core.clock, &same), &same).await;
    let since = handlers.conditions().into_iter().find_map(|(_, condition)| match condition {
        Condition::Failed { since, .. } => Some(since),
        Condition::Unclear | Condition::Well | Condition::Down { .. } => None,
    });
    assert_eq!(since, Some(Timestamp::from_millis(0)));

    drop(busy);
    let new = config(folder.path(), "timeout = \"5s\"");
    let stay = handlers.unchanged_handlers(&new);
    assert_eq!(stay.iter().map(HandlerName::as_str).collect::<Vec<_>>(), ["b"]);
    let notes = handlers.replace(parts::handlers(&new, &core.clock, &stay), &stay).await;
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(names(&handlers), ["a", "b"]);
    assert_eq!(handlers.problems(), Vec::<String>::new());
    // What counts is what runs: back to the old file is a change.
    assert!(!handlers.unchanged_handlers(&old).contains(&first));
    assert!(handlers.unchanged_handlers(&new).contains(&first));
    handlers.stop_all(Duration::from_secs(10)).await;
}
