//! Handlers from the text of their tables, and deliveries for them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost::clock::{Clock, ManualClock, Timestamp};
use gatepost::event::{
    DataRoot, Delivery, Event, EventId, Failure, HandlerName, NewEvent, Position, SourceName,
};
use gatepost::handler::{BuildContext, Handler, KindSettings, Purpose, kind};
use serde_json::{Value, json};
use uuid::Uuid;

/// 2026-11-22T12:00:00.000Z, when everything in these tests happens.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_348_800_000);

/// The settings in `text`, the inside of the kind's table; panics with the problems in it.
pub(crate) fn settings(kind_name: &str, text: &str, folder: &Path) -> Box<dyn KindSettings> {
    let reading = gatepost::settings::read(text, folder, kind(kind_name).unwrap().read);
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    reading.value.unwrap()
}

/// A handler of the kind with the settings in `text`.
pub(crate) fn build(kind_name: &str, text: &str, folder: &Path) -> Box<dyn Handler> {
    settings(kind_name, text, folder).build(&context(folder)).unwrap()
}

/// A context whose clock stands at [`NOW`].
pub(crate) fn context(folder: &Path) -> BuildContext {
    context_with(folder, Arc::new(ManualClock::new(NOW)))
}

/// A context with a clock of one's own.
pub(crate) fn context_with(folder: &Path, clock: Arc<dyn Clock>) -> BuildContext {
    BuildContext {
        handler: HandlerName::parse("test").unwrap(),
        config_folder: folder.to_owned(),
        clock,
        timeout: Duration::from_secs(10),
        own_timeout: None,
        concurrency: 4,
        batch: None,
        samples: Vec::new(),
        purpose: Purpose::Call,
    }
}

/// The first try of event `number` of source `hyvor`, whose `data` is given.
pub(crate) fn delivery(number: u64, event_type: &str, data: &Value) -> Delivery {
    raw(number, event_type, &json!({ "data": data }).to_string())
}

pub(crate) fn raw(number: u64, event_type: &str, body: &str) -> Delivery {
    let source = SourceName::parse("hyvor").unwrap();
    let new = NewEvent {
        data_root: DataRoot::Data,
        ..NewEvent::new(source, event_type, NOW, body.to_owned())
    };
    Delivery::first(Arc::new(Event::new(new, id(number), Position(number))))
}

/// The id of event `number`.
pub(crate) fn id(number: u64) -> EventId {
    EventId(Uuid::from_u64_pair(0x0190_0000_0000_7000, number | 1 << 63))
}

/// Hands `deliveries` over again and again until they are taken, as the delivery loop does; says
/// how many tries failed. A failure that no other try mends, and a minute of others, panic.
pub(crate) async fn until_taken(handler: &dyn Handler, deliveries: &[Delivery]) -> usize {
    let tries = async {
        let mut n_failures = 0;
        loop {
            let call = handler.handle(deliveries);
            match tokio::time::timeout(Duration::from_secs(10), call).await {
                Ok(Ok(_)) => return n_failures,
                Ok(Err(failure)) => assert_transient(&failure),
                // The next try.
                Err(_) => {}
            }
            n_failures += 1;
            // What a server at its start needs more than another try.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), tries).await.unwrap()
}

#[track_caller]
pub(crate) fn assert_transient(failure: &Failure) {
    assert_eq!(failure.kind, gatepost::event::FailureKind::Transient, "{failure}");
}

#[track_caller]
pub(crate) fn assert_permanent(failure: &Failure) {
    assert_eq!(failure.kind, gatepost::event::FailureKind::Permanent, "{failure}");
}
