//! What the tests of all kinds share: settings from text, deliveries, a context.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{BuildContext, Handler, KindSettings, Purpose, kind};
use crate::clock::{ManualClock, Timestamp};
use crate::event::{
    DataRoot, Delivery, Event, EventId, HandlerName, Headers, NewEvent, Position, SourceName,
};
use crate::settings;

#[path = "../../tests/support/bad_server.rs"]
#[expect(dead_code, reason = "answers that are held are for tests of pages")]
mod bad_server;

pub(crate) use bad_server::{Answer, BadServer, Request, status};

/// 2026-11-22T12:00:00.000Z, when everything in these tests happens.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_348_800_000);

/// The settings in `text`, the inside of the kind's table; panics with the problems in it.
pub(crate) fn settings(kind_name: &str, text: &str, folder: &Path) -> Box<dyn KindSettings> {
    let (settings, problems) = try_settings(kind_name, text, folder);
    assert!(problems.is_empty(), "{problems:?}");
    settings.unwrap()
}

/// The settings in `text`, and what is wrong with them.
pub(crate) fn try_settings(
    kind_name: &str,
    text: &str,
    folder: &Path,
) -> (Option<Box<dyn KindSettings>>, Vec<String>) {
    let reading = settings::read(text, folder, kind(kind_name).unwrap().read);
    let problems = reading.problems.into_iter().map(|problem| problem.message).collect();
    (reading.value, problems)
}

/// A handler of the kind with the settings in `text`.
pub(crate) fn handler(kind_name: &str, text: &str, folder: &Path) -> Box<dyn Handler> {
    install_tls();
    settings(kind_name, text, folder).build(&context(folder)).unwrap()
}

/// What the program does once at its start. Another test of this process may have been first.
pub(crate) fn install_tls() {
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A context whose clock is at [`NOW`].
pub(crate) fn context(folder: &Path) -> BuildContext {
    BuildContext {
        handler: HandlerName::parse("test").unwrap(),
        config_folder: folder.to_owned(),
        clock: Arc::new(ManualClock::new(NOW)),
        timeout: Duration::from_secs(30),
        own_timeout: None,
        concurrency: 4,
        batch: None,
        samples: Vec::new(),
        purpose: Purpose::Call,
    }
}

/// The first try of an event with this body, number 1 of source `hyvor`, type `comment.create`.
pub(crate) fn delivery(body: impl AsRef<[u8]>) -> Delivery {
    numbered(1, body)
}

pub(crate) fn numbered(number: u64, body: impl AsRef<[u8]>) -> Delivery {
    with_headers(number, body, [("content-type", &b"application/json"[..])].into_iter().collect())
}

pub(crate) fn with_headers(number: u64, body: impl AsRef<[u8]>, headers: Headers) -> Delivery {
    let (source, body) = (SourceName::parse("hyvor").unwrap(), body.as_ref().to_vec());
    let new = NewEvent {
        data_root: DataRoot::Data,
        headers,
        ..NewEvent::new(source, "comment.create", NOW, body)
    };
    Delivery::first(Arc::new(Event::new(new, id(number), Position(number))))
}

/// The id of event `number`.
pub(crate) fn id(number: u64) -> EventId {
    EventId(Uuid::from_u64_pair(0x0190_0000_0000_7000, number | 1 << 63))
}
