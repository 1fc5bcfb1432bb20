//! What becomes of a request that was refused first.

use std::sync::Arc;
use std::time::Duration;

use super::testing::InMemory;
use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::event::{EventType, SourceName};
use crate::metrics::Metrics;
use crate::queue::embedded::testing::MemoryDisk;
use crate::queue::embedded::{EmbeddedQueue, Settings};
use crate::queue::{Appended, EventQuery, Queue};
use crate::secret::Secret;
use crate::source::{DedupePolicy, Source, SourceSettings};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Slack signs the time, too.
fn slack(secret: &str) -> Source {
    let settings = SourceSettings::of_provider("slack", Vec::new()).unwrap();
    let name = SourceName::parse("slack").unwrap();
    Source::with_secrets(name, settings, vec![Secret::new(secret)]).unwrap()
}

/// Sends what `secret` signed at [`NOW`], to be received by now.
async fn send(ingest: &Ingest, secret: &str, body: &[u8]) -> Result<(), IngestError> {
    let signed = slack(secret).sign(&EventType::new("t"), body.to_vec(), "/hooks/slack", NOW);
    let signed = signed.unwrap();
    let headers = signed.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let reader = InMemory { headers, body: signed.body.into() };
    ingest.receive(testing::head("slack", "/hooks/slack"), reader).await.map(|_| ())
}

#[tokio::test]
async fn what_is_released_is_judged_as_of_the_time_it_came() {
    let clock = Arc::new(ManualClock::new(NOW));
    let dynamic = Arc::clone(&clock) as Arc<dyn Clock>;
    let queue = Arc::new(MemoryDisk::new().open(Arc::clone(&dynamic)));
    let ingest = Ingest::new(
        queue,
        dynamic,
        Metrics::new(),
        testing::limits(),
        vec![slack("copied wrongly")],
    );
    let minute = Duration::from_mins(1);
    for (body, later) in [(&b"1"[..], minute), (b"2", 9 * minute)] {
        clock.advance(later);
        assert_eq!(send(&ingest, "right", body).await, Err(IngestError::RejectedBare));
    }
    assert!(matches!(ingest.release(1).await, Some(Err(IngestError::Rejected))));

    // Weeks later its owner has found the mistake.
    clock.advance(Duration::from_hours(24 * 30));
    ingest.replace_sources(vec![slack("right")]);
    let released = ingest.release(1).await.unwrap().unwrap();
    assert!(
        matches!(released, Accepted::Stored(Stored { appended: Appended::Stored(_), .. })),
        "{released:?}"
    );
    assert!(ingest.release(1).await.is_none(), "it is let go of");
    // What was too old when it came is too old for ever.
    assert!(matches!(ingest.release(2).await, Some(Err(IngestError::Rejected))));
    assert_eq!(ingest.rejected().len(), 1);
}

#[tokio::test]
async fn what_is_released_twice_at_once_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
    // A store that takes its time, and a source that remembers nothing.
    let settings = Settings { disk_reserve: 0, ..Settings::new(folder.path()) };
    let queue = Arc::new(EmbeddedQueue::open(settings, Arc::clone(&clock)).unwrap());
    let source = |secret| {
        let settings = SourceSettings::of_provider("slack", Vec::new()).unwrap();
        let settings = SourceSettings { dedupe: DedupePolicy::Off, ..settings };
        let name = SourceName::parse("slack").unwrap();
        Source::with_secrets(name, settings, vec![Secret::new(secret)]).unwrap()
    };
    let dynamic = Arc::clone(&queue) as Arc<dyn Queue>;
    let ingest = Ingest::new(
        dynamic,
        clock,
        Metrics::new(),
        testing::limits(),
        vec![source("copied wrongly")],
    );
    assert_eq!(send(&ingest, "right", b"1").await, Err(IngestError::RejectedBare));
    ingest.replace_sources(vec![source("right")]);

    let (first, second) = tokio::join!(ingest.release(1), ingest.release(1));
    assert!(matches!(first, Some(Ok(Accepted::Stored(_)))), "{first:?}");
    assert!(second.is_none(), "{second:?}");
    let query = EventQuery { limit: 10, ..EventQuery::default() };
    assert_eq!(queue.list(query).await.unwrap().len(), 1);
    queue.close().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_stored_when_it_is_released_stays() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
    let queue = Arc::new(MemoryDisk::new().open(Arc::clone(&clock)));
    let dynamic = Arc::clone(&queue) as Arc<dyn Queue>;
    let ingest = Ingest::new(
        dynamic,
        clock,
        Metrics::new(),
        testing::limits(),
        vec![slack("copied wrongly")],
    );
    assert_eq!(send(&ingest, "right", b"1").await, Err(IngestError::RejectedBare));
    ingest.replace_sources(vec![slack("right")]);
    queue.close().await.unwrap();
    let released = ingest.release(1).await;
    assert!(matches!(released, Some(Err(IngestError::Unavailable { .. }))), "{released:?}");
    assert_eq!(ingest.rejected().len(), 1);
}

#[tokio::test]
async fn what_is_too_large_to_be_kept_is_told() {
    let clock = Arc::new(ManualClock::new(NOW)) as Arc<dyn Clock>;
    let queue = Arc::new(MemoryDisk::new().open(Arc::clone(&clock)));
    let sources = vec![slack("copied wrongly")];
    let ingest = Ingest::new(queue, clock, Metrics::new(), testing::limits(), sources);
    let body = vec![b'x'; RejectedRing::BYTES_MAX + 1];
    assert_eq!(send(&ingest, "right", &body).await, Err(IngestError::RejectedBare));
    assert!(ingest.rejected().is_empty());
    let rows = ingest.refused().list();
    let row = rows.first().expect("it is not refused in silence");
    assert!(row.reason.contains("too large to be kept"), "{row:?}");
    let expected = (Some(401), Some("slack"), Some("/hooks/slack"));
    let source = row.source.as_ref().map(SourceName::as_str);
    assert_eq!((row.status, source, row.path.as_deref()), expected);
    assert_eq!(send(&ingest, "right", b"{}").await, Err(IngestError::RejectedBare));
    assert_eq!((ingest.rejected().len(), ingest.refused().list().len()), (1, 1));
}

/// Stripe: its id is in the signed body, and the time of a repeat may be the first one's.
fn stripe(secret: &str) -> Source {
    let settings = SourceSettings::of_provider("stripe", Vec::new()).unwrap();
    let name = SourceName::parse("stripe").unwrap();
    Source::with_secrets(name, settings, vec![Secret::new(secret)]).unwrap()
}

#[tokio::test]
async fn late_repeat_of_a_stored_event_is_answered_as_its_first_request() {
    let clock = Arc::new(ManualClock::new(NOW));
    let disk = MemoryDisk::new();
    let start = || {
        let dynamic = Arc::clone(&clock) as Arc<dyn Clock>;
        let queue = Arc::new(disk.open(Arc::clone(&dynamic)));
        let store = Arc::clone(&queue) as Arc<dyn Queue>;
        let sources = vec![stripe("right")];
        (queue, Ingest::new(store, dynamic, Metrics::new(), testing::limits(), sources))
    };
    let (queue, ingest) = start();
    let send = async |ingest: &Ingest, secret: &str, body: &'static [u8]| {
        let signed = stripe(secret).sign(&EventType::new("t"), body.to_vec(), "/hooks/stripe", NOW);
        let headers = signed.unwrap().headers;
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let reader = InMemory { headers: headers.collect(), body: body.into() };
        let received = ingest.receive(testing::head("stripe", "/hooks/stripe"), reader).await;
        received.map(|accepted| accepted.appended().unwrap())
    };
    let body = br#"{"id":"evt_1","type":"a"}"#;
    let Ok(Appended::Stored(id)) = send(&ingest, "right", body).await else { panic!("it is new") };
    clock.advance(Duration::from_hours(2));
    assert_eq!(send(&ingest, "right", body).await, Ok(Appended::Duplicate(id)));
    assert!(ingest.rejected().is_empty(), "the owner has nothing to look at");
    // Nothing that is new is believed, and nothing by another secret.
    let other = br#"{"id":"evt_2","type":"a"}"#;
    assert_eq!(send(&ingest, "right", other).await, Err(IngestError::Rejected));
    assert_eq!(send(&ingest, "wrong", body).await, Err(IngestError::Rejected));
    assert_eq!(ingest.rejected().len(), 2);

    queue.close().await.unwrap();
    let (queue, ingest) = start();
    assert_eq!(send(&ingest, "right", body).await, Ok(Appended::Duplicate(id)), "after a restart");
    let query = EventQuery { limit: 10, ..EventQuery::default() };
    assert_eq!(queue.list(query).await.unwrap().len(), 1);
    // Once its id is forgotten it could be any old request.
    clock.advance(DedupePolicy::WINDOW);
    assert_eq!(send(&ingest, "right", body).await, Err(IngestError::Rejected));
}

/// A sender whose events are addresses.
fn by_address() -> Source {
    let text = "[source.s]\nsecrets = [{ env = \"A\" }]\nmethods = [\"GET\"]\ndedupe = \"1h\"\n\
                verify = { algorithm = \"hmac-sha256\", header = \"X-S\", allow_unsigned_body = true, \
                signed = \"{timestamp}{path}\", timestamp = { header = \"X-T\" } }";
    let read = crate::settings::read(text, std::path::Path::new("/"), |root| {
        let (_, mut table) = root.tables("source", SourceName::parse).pop()?;
        let settings = SourceSettings::read(&mut table, None);
        table.finish();
        settings
    });
    let name = SourceName::parse("s").unwrap();
    Source::with_secrets(name, read.value.unwrap(), vec![Secret::new("k")]).unwrap()
}

#[tokio::test]
async fn late_repeat_of_request_without_body_is_answered_as_its_first() {
    let clock = Arc::new(ManualClock::new(NOW));
    let dynamic = Arc::clone(&clock) as Arc<dyn Clock>;
    let queue = Arc::new(MemoryDisk::new().open(Arc::clone(&dynamic)));
    let ingest = Ingest::new(queue, dynamic, Metrics::new(), testing::limits(), vec![by_address()]);
    let send = async |path: &str| {
        let signed = by_address().sign(&EventType::new("t"), Vec::new(), path, NOW).unwrap();
        let headers = signed.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let reader = InMemory { headers: headers.collect(), body: "".into() };
        let head = RequestHead { method: "GET", ..testing::head("s", path) };
        let received = ingest.receive(head, reader).await;
        received.map(|accepted| accepted.appended().unwrap())
    };
    let Ok(Appended::Stored(id)) = send("/hooks/s?a=1").await else { panic!("it is new") };
    clock.advance(Duration::from_mins(30));
    assert_eq!(send("/hooks/s?a=1").await, Ok(Appended::Duplicate(id)));
    assert_eq!(send("/hooks/s?a=2").await, Err(IngestError::Rejected));
}
