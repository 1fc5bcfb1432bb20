//! Traces: one per event, from its request to each delivery, by the W3C's trace context. Which trace an
//! event belongs to follows from the event alone, so a delivery months later still finds it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Timestamp;
use crate::event::{EventId, Headers};

/// Spans that wait to be sent: some 2 MB. More are dropped and counted, so that no request waits for a
/// collector.
const WAITING_MAX: usize = 8_192;
/// The longest `tracestate` that is passed on (W3C Trace Context, 3.3.1.5).
const STATE_BYTES_MAX: usize = 512;

tokio::task_local! {
    /// The span of the call that the present task makes.
    static CURRENT: SpanContext;
}

/// A span's name within its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

impl SpanId {
    pub fn random() -> Self {
        // 0 is no id.
        Self(rand::random::<u64>().max(1).to_be_bytes())
    }
}

/// Where a span belongs: what is passed on to each service that is called within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace: its sender's where it named one, else the event's id.
    pub trace: [u8; 16],
    pub span: SpanId,
    /// What the sender's own tools say of the trace; empty where they say nothing.
    pub state: String,
}

impl SpanContext {
    /// As the header `traceparent` has it.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", hex::encode(self.trace), hex::encode(self.span.0))
    }
}

/// The trace of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTrace {
    /// Its first span: how it was received.
    pub root: SpanContext,
    /// The sender's span that it was sent in.
    pub sender: Option<SpanId>,
    /// Whether the sender wants it to be recorded.
    pub is_sampled: bool,
}

impl EventTrace {
    /// Of the event that came with `headers`.
    pub fn of(id: EventId, headers: &Headers) -> Self {
        let bytes = *id.0.as_bytes();
        // The random half of the id.
        let root = SpanId(*bytes.last_chunk::<8>().unwrap_or(&[1; 8]));
        let said = headers.get("traceparent").and_then(|value| std::str::from_utf8(value).ok());
        if let Some((trace, sender, is_sampled)) = said.and_then(parse) {
            let state = headers.get("tracestate").filter(|value| value.len() <= STATE_BYTES_MAX);
            let state = state.and_then(|value| std::str::from_utf8(value).ok());
            let is_plain = |text: &&str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
            let state = state.filter(is_plain).unwrap_or_default().to_owned();
            let root = SpanContext { trace, span: root, state };
            Self { root, sender: Some(sender), is_sampled }
        } else {
            let root = SpanContext { trace: bytes, span: root, state: String::new() };
            Self { root, sender: None, is_sampled: true }
        }
    }

    /// A new span within it.
    pub fn child(&self) -> SpanContext {
        SpanContext { span: SpanId::random(), ..self.root.clone() }
    }
}

/// `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`; later versions have more behind it.
fn parse(text: &str) -> Option<([u8; 16], SpanId, bool)> {
    let mut parts = text.trim().split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (span, flags) = (parts.next()?, parts.next()?);
    let is_known = version.len() == 2 && version != "ff";
    if !is_known || (version == "00" && parts.next().is_some()) || flags.len() != 2 {
        return None;
    }
    let is_small = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let (mut trace_id, mut span_id, mut flag) = ([0; 16], [0; 8], [0; 1]);
    let all = [version, trace, span, flags];
    if !all.into_iter().all(is_small) || hex::decode(version).is_err() {
        return None;
    }
    hex::decode_to_slice(trace, &mut trace_id).ok()?;
    hex::decode_to_slice(span, &mut span_id).ok()?;
    hex::decode_to_slice(flags, &mut flag).ok()?;
    let is_there = trace_id != [0; 16] && span_id != [0; 8];
    is_there.then_some((trace_id, SpanId(span_id), flag[0] & 1 == 1))
}

/// Makes a call within a span: [`current`] gives it there.
pub async fn within<F: Future>(span: Option<SpanContext>, call: F) -> F::Output {
    match span {
        Some(span) => CURRENT.scope(span, call).await,
        None => call.await,
    }
}

/// The span of the call that is being made, where calls are traced.
pub fn current() -> Option<SpanContext> {
    CURRENT.try_with(Clone::clone).ok()
}

/// What a span is a step of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A request that was answered.
    Server,
    /// A delivery that was made.
    Consumer,
}

/// A value that is said of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanValue {
    Text(String),
    Number(i64),
}

/// One step that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which one.
    pub context: SpanContext,
    /// What it is a part of.
    pub parent: Option<SpanId>,
    /// As people read it.
    pub name: String,
    pub kind: SpanKind,
    pub started_at: Timestamp,
    pub duration: Duration,
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Why it failed; `None` = it did not.
    pub error: Option<String>,
}

/// Where spans go. Cheap to clone; by default nowhere.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<SpanQueue>>);

struct SpanQueue {
    spans: mpsc::Sender<Span>,
    n_dropped: AtomicU64,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.is_on()).finish()
    }
}

impl Traces {
    /// One whose spans are taken from the other end.
    pub fn new() -> (Self, mpsc::Receiver<Span>) {
        let (spans, receiver) = mpsc::channel(WAITING_MAX);
        (Self(Some(Arc::new(SpanQueue { spans, n_dropped: AtomicU64::new(0) }))), receiver)
    }

    /// Whether spans are wanted: what they are made of need not be worked out otherwise.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Hands a span over. No request waits: where there is no room it is dropped and counted.
    pub fn record(&self, span: Span) {
        if let Some(sink) = &self.0
            && sink.spans.try_send(span).is_err()
        {
            sink.n_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were dropped since it was last asked.
    pub fn take_dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |sink| sink.n_dropped.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(said: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::builder();
        for (name, value) in said {
            headers.push(name, value.as_bytes());
        }
        headers.finish()
    }

    fn id() -> EventId {
        "0199c3f6-5b5e-7000-8000-00000000abcd".parse().unwrap()
    }

    #[test]
    fn event_of_a_sender_without_traces_has_its_id_as_trace() {
        let trace = EventTrace::of(id(), &headers(&[]));
        assert_eq!(
            trace.root.traceparent(),
            "00-0199c3f65b5e70008000".to_owned() + "00000000abcd-800000000000abcd-01"
        );
        assert_eq!((trace.sender, trace.is_sampled), (None, true));
        let child = trace.child();
        assert_eq!(child.trace, trace.root.trace);
        assert_ne!(child.span, trace.root.span);
    }

    #[test]
    fn trace_of_the_sender_goes_on_with_its_state() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let said = headers(&[("traceparent", parent), ("tracestate", "vendor=1")]);
        let trace = EventTrace::of(id(), &said);
        assert!(trace.root.traceparent().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert_eq!(trace.sender, Some(SpanId([0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7])));
        assert_eq!((trace.root.state.as_str(), trace.is_sampled), ("vendor=1", true));
        let not_sampled = parent.replace("-01", "-00");
        assert!(!EventTrace::of(id(), &headers(&[("traceparent", &not_sampled)])).is_sampled);
        let later = parent.replace("00-4b", "01-4b") + "-more";
        assert!(EventTrace::of(id(), &headers(&[("traceparent", &later)])).sender.is_some());
    }

    #[test]
    fn wrong_contexts_count_as_none() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for wrong in [
            "",
            "00",
            &good.to_uppercase(),
            &good.replace("00-4b", "ff-4b"),
            &good.replace("00-4b", "zz-4b"),
            &format!("{good}-more"),
            &good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &good.replace("-01", "-1"),
            &good.replace("b7-01", "b7b7-01"),
            "00-ä4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            let trace = EventTrace::of(id(), &headers(&[("traceparent", wrong)]));
            assert_eq!(trace.sender, None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn call_finds_its_span_and_others_find_none() {
        let span = EventTrace::of(id(), &headers(&[])).child();
        let found = within(Some(span.clone()), async { current() }).await;
        assert_eq!(found, Some(span));
        assert_eq!(within(None, async { current() }).await, None);
        assert_eq!(current(), None);
    }

    #[test]
    fn spans_that_nobody_takes_are_counted() {
        let (traces, receiver) = Traces::new();
        let span = Span {
            context: EventTrace::of(id(), &headers(&[])).root,
            parent: None,
            name: "receive".to_owned(),
            kind: SpanKind::Server,
            started_at: Timestamp::from_millis(0),
            duration: Duration::ZERO,
            attributes: Vec::new(),
            error: None,
        };
        (0..WAITING_MAX + 3).for_each(|_| traces.record(span.clone()));
        assert_eq!((traces.take_dropped(), traces.take_dropped()), (3, 0));
        assert_eq!(receiver.len(), WAITING_MAX);
        Traces::default().record(span);
    }
}
