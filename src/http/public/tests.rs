//! What becomes of requests from an address that has run out, its slots taken by hand.

use std::net::SocketAddr;
use std::time::Duration;

use actix_http::header;
use actix_web::test;

use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::event::SourceName;
use crate::ingest::{FAILURE_DELAY, FailureResponse, Limits, Slot, testing};
use crate::metrics::{Metrics, RequestOutcome};
use crate::queue::embedded::testing::MemoryDisk;
use crate::secret::Secret;
use crate::source::{RateLimit, Source, SourceSettings};

/// HMAC-SHA256 of `content` by `secret` (see the vectors of `source`).
const GOOD: &str = "230d8225fa8d7c42c0d16356ff175a660c11960fc035616023b8d22a8f36f03a";
const CLIENT: &str = "203.0.113.7";

fn limit() -> RateLimit {
    RateLimit::parse("3/h").unwrap()
}

/// A source for everybody, and one for [`CLIENT`].
fn public() -> Public {
    let clock: Arc<dyn Clock> =
        Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    let queue = Arc::new(MemoryDisk::new().open(Arc::clone(&clock)));
    let source = |name, allow| {
        let settings = SourceSettings::of_provider("hyvor-talk", Vec::new()).unwrap();
        let settings = SourceSettings { allow, ..settings };
        let name = SourceName::parse(name).unwrap();
        Source::with_secrets(name, settings, vec![Secret::new("secret")]).unwrap()
    };
    let allowed = "203.0.113.0/24".parse().unwrap();
    let sources = vec![source("open", Vec::new()), source("allowed", vec![allowed])];
    let ingest = Ingest::new(queue, clock, Metrics::new(), limits(), sources);
    Public::new(Arc::new(ingest), Vec::new())
}

fn limits() -> Limits {
    Limits { unverified: Some(limit()), ..testing::limits() }
}

/// Every slot that the client gets, once nothing more is left to it.
fn take_all(public: &Public) -> Vec<Slot<'_>> {
    let client_limiter = public.ingest.client_limiter();
    let mut slots = Vec::new();
    while let Ok(admission) = client_limiter.admit(CLIENT.parse().unwrap(), limit()) {
        if let FailureResponse::Delayed(slot) = admission.charge_failure() {
            slots.push(slot);
        }
    }
    slots
}

async fn post(public: &Public, source: &str, signature: &str) -> Response<BoxBody> {
    let request = test::TestRequest::post()
        .uri(&format!("{HOOKS}{source}"))
        .peer_addr(SocketAddr::new(CLIENT.parse().unwrap(), 4_000))
        .insert_header(("X-Signature", signature))
        .set_payload("content");
    let mut request = request.to_request();
    // As with a body in chunks, whose length nobody is told.
    request.headers_mut().remove(header::CONTENT_LENGTH);
    serve(request, public, None).await
}

fn log_limited(public: &Public) -> u64 {
    public.ingest.endpoint("open").unwrap().metrics().requests(RequestOutcome::UnverifiedLimited)
}

#[tokio::test(start_paused = true)]
async fn without_a_free_slot_the_answer_is_429_and_the_connection_ends() {
    let public = public();
    let slots = take_all(&public);
    for signature in ["00", GOOD] {
        let answer = post(&public, "open", signature).await;
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers().get("retry-after").unwrap(), "1");
        assert_eq!(answer.head().connection_type(), ConnectionType::Close);
    }
    assert_eq!(log_limited(&public), 2);
    assert!(public.ingest.rejected().is_empty(), "nobody has looked at them");
    // With a slot it is judged, whatever came before.
    drop(slots);
    let answer = post(&public, "open", "00").await;
    assert_eq!(answer.status(), 401);
    assert_ne!(answer.head().connection_type(), ConnectionType::Close);
    assert_eq!(post(&public, "open", GOOD).await.status(), 200);
    assert_eq!(log_limited(&public), 2);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_a_failure_is_answered_late_and_a_good_one_at_once() {
    let public = public();
    drop(take_all(&public));
    let began = Instant::now();
    assert_eq!(post(&public, "open", GOOD).await.status(), 200);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(post(&public, "open", "00").await.status(), 401);
    assert!(began.elapsed() >= FAILURE_DELAY);
}

#[tokio::test(start_paused = true)]
async fn whom_a_source_allows_is_no_stranger_to_it() {
    let public = public();
    for _ in 0..10 {
        assert_eq!(post(&public, "allowed", "00").await.status(), 401);
    }
    let began = Instant::now();
    let slots = take_all(&public);
    assert_eq!(post(&public, "allowed", "00").await.status(), 401);
    assert_eq!(post(&public, "allowed", GOOD).await.status(), 200);
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(slots);
}

#[tokio::test(start_paused = true)]
async fn the_limit_can_be_turned_off_while_it_runs() {
    let public = public();
    let slots = take_all(&public);
    assert_eq!(post(&public, "open", GOOD).await.status(), 429);
    public.ingest.set_limits(Limits { unverified: None, ..limits() });
    assert_eq!(post(&public, "open", GOOD).await.status(), 200);
    drop(slots);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_read_to_its_end_counts_as_well() {
    let public = public();
    public.ingest.set_limits(Limits { body_max: 3, ..limits() });
    for _ in 0..3 {
        assert_eq!(post(&public, "open", GOOD).await.status(), 413);
    }
    let began = Instant::now();
    assert_eq!(post(&public, "open", GOOD).await.status(), 413);
    assert!(began.elapsed() >= FAILURE_DELAY);
}
