//! The spans of a call: one for each of its deliveries, each in the trace of its own event.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{Delivery, Failure, HandlerName};
use crate::trace::{EventTrace, Span, SpanContext, SpanId, SpanKind, SpanValue, Traces};

/// The deliveries of a call whose traces are recorded; none where none are wanted.
#[derive(Debug, Default)]
pub(super) struct CallSpans(Vec<BegunSpan>);

#[derive(Debug)]
struct BegunSpan {
    context: SpanContext,
    parent: SpanId,
    attributes: Vec<(&'static str, SpanValue)>,
}

impl CallSpans {
    pub(super) fn begin(traces: &Traces, handler: &HandlerName, deliveries: &[Delivery]) -> Self {
        if !traces.is_on() {
            return Self::default();
        }
        let begun = deliveries.iter().filter_map(|delivery| {
            let event = &delivery.event;
            let trace = EventTrace::of(event.id, &event.headers);
            let text = |text: String| SpanValue::Text(text);
            trace.is_sampled.then(|| BegunSpan {
                context: trace.child(),
                parent: trace.root.span,
                attributes: vec![
                    ("gatepost.event.id", text(event.id.to_string())),
                    ("gatepost.source", text(event.source.to_string())),
                    ("gatepost.event.type", text(event.event_type.to_string())),
                    ("gatepost.handler", text(handler.to_string())),
                    ("gatepost.attempt", SpanValue::Number(delivery.attempt.into())),
                ],
            })
        });
        Self(begun.collect())
    }

    /// The span that the call is made in: the first one's, where there are several.
    pub(super) fn context(&self) -> Option<SpanContext> {
        self.0.first().map(|begun| begun.context.clone())
    }

    /// The call is over.
    pub(super) fn end(
        self,
        traces: &Traces,
        handler: &HandlerName,
        (started_at, duration): (Timestamp, Duration),
        failure: Option<&Failure>,
    ) {
        for BegunSpan { context, parent, mut attributes } in self.0 {
            if let Some(status) = failure.and_then(|failure| failure.status) {
                let status = SpanValue::Number(status.into());
                attributes.push(("gatepost.answer", status));
            }
            traces.record(Span {
                context,
                parent: Some(parent),
                name: format!("deliver {handler}"),
                kind: SpanKind::Consumer,
                started_at,
                duration,
                attributes,
                error: failure.map(|failure| failure.text.as_str().to_owned()),
            });
        }
    }
}
