//! What becomes of a request that was refused first.

use super::*;
use crate::clock::ManualClock;
use crate::event::{EventType, SourceName};
use crate::queue::memory::MemoryDisk;
use crate::secret::Secret;
use crate::source::SourceSettings;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Slack signs the time, too.
fn slack(secret: &str) -> Source {
    let settings = SourceSettings::of_provider("slack", Vec::new()).unwrap();
    let name = SourceName::parse("slack").unwrap();
    Source::with_secrets(name, settings, vec![Secret::new(secret)]).unwrap()
}

/// Sends what `secret` signed at [`NOW`], to be received so much later.
async fn send(ingest: &Ingest, secret: &str, body: &[u8], later: Duration) -> Result<(), Refused> {
    let signed = slack(secret).sign(&EventType::new("t"), body.to_vec(), "/hooks/slack", NOW);
    let signed = signed.unwrap();
    let headers = signed.headers.iter();
    let request = Request {
        method: "POST",
        path_and_query: "/hooks/slack",
        headers: headers.map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
        body: signed.body.into(),
        received_at: NOW.after(later),
    };
    let door = ingest.door("slack").unwrap();
    ingest.accept(&door, request, || None).await.map(|_| ())
}

#[tokio::test]
async fn what_is_released_is_judged_as_of_the_time_it_came() {
    let clock = Arc::new(ManualClock::new(NOW));
    let dynamic = Arc::clone(&clock) as Arc<dyn Clock>;
    let queue = Arc::new(MemoryDisk::new().open(Arc::clone(&dynamic)));
    let ingest = Ingest::new(queue, dynamic, Metrics::new(), vec![slack("copied wrongly")]);
    let minute = Duration::from_mins(1);
    for (body, later) in [(&b"1"[..], minute), (b"2", 10 * minute)] {
        assert_eq!(send(&ingest, "right", body, later).await, Err(Refused::Rejected));
    }
    assert!(matches!(ingest.release(1).await, Some(Err(Refused::Rejected))));

    // Weeks later its owner has found the mistake.
    clock.advance(Duration::from_hours(24 * 30));
    ingest.replace_sources(vec![slack("right")]);
    let released = ingest.release(1).await.unwrap().unwrap();
    assert!(matches!(released, Accepted::Stored(Appended::Stored(_))), "{released:?}");
    assert!(ingest.release(1).await.is_none(), "it is let go of");
    // What was too old when it came is too old for ever.
    assert!(matches!(ingest.release(2).await, Some(Err(Refused::Rejected))));
    assert_eq!(ingest.rejected().len(), 1);
}
