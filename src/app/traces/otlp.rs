//! Spans as `opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest`, written by hand: of a
//! protocol of some hundred messages this is seven, and no other crate is needed for them.

use crate::clock::Timestamp;
use crate::trace::{Span, SpanKind, SpanValue};

/// A message of protobuf.
#[derive(Debug, Default)]
struct Protobuf(Vec<u8>);

/// How a field's value is written: the lowest three bits of its tag.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

impl Protobuf {
    fn varint(&mut self, mut value: u64) {
        let group = |value: u64| u8::try_from(value & 0x7f).unwrap_or(0);
        while value >= 0x80 {
            self.0.push(group(value) | 0x80);
            value >>= 7;
        }
        self.0.push(group(value));
    }

    fn tag(&mut self, field: u64, kind: u64) {
        self.varint((field << 3) | kind);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    fn fixed_64(&mut self, field: u64, value: u64) {
        self.tag(field, FIXED_64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed_32(&mut self, field: u64, value: u32) {
        self.tag(field, FIXED_32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.tag(field, LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }
}

/// The request that hands `spans` over.
pub(super) fn request(service: &str, spans: &[Span]) -> Vec<u8> {
    let mut resource = Protobuf::default();
    for (key, value) in [("service.name", service), ("service.version", env!("CARGO_PKG_VERSION"))]
    {
        resource.message(1, &attribute(key, &SpanValue::Text(value.to_owned())));
    }
    let mut scope = Protobuf::default();
    scope.bytes(1, b"gatepost");
    scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
    let mut scope_spans = Protobuf::default();
    scope_spans.message(1, &scope);
    for span in spans {
        scope_spans.message(2, &self::span(span));
    }
    let mut resource_spans = Protobuf::default();
    resource_spans.message(1, &resource);
    resource_spans.message(2, &scope_spans);
    let mut request = Protobuf::default();
    request.message(1, &resource_spans);
    request.0
}

fn span(span: &Span) -> Protobuf {
    let Span { context, parent, name, kind, started_at, duration, attributes, error } = span;
    let mut message = Protobuf::default();
    message.bytes(1, &context.trace);
    message.bytes(2, &context.span.0);
    if !context.state.is_empty() {
        message.bytes(3, context.state.as_bytes());
    }
    if let Some(parent) = parent {
        message.bytes(4, &parent.0);
    }
    message.bytes(5, name.as_bytes());
    message.number(
        6,
        match kind {
            SpanKind::Server => 2,
            SpanKind::Consumer => 5,
        },
    );
    let start = nanos(*started_at);
    let length = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    message.fixed_64(7, start);
    message.fixed_64(8, start.saturating_add(length));
    for (key, value) in attributes {
        message.message(9, &attribute(key, value));
    }
    let mut status = Protobuf::default();
    match error {
        Some(error) => {
            status.bytes(2, error.as_bytes());
            status.number(3, 2);
        }
        None => status.number(3, 1),
    }
    message.message(15, &status);
    // The flag of W3C that says that it is recorded.
    message.fixed_32(16, 1);
    message
}

fn nanos(at: Timestamp) -> u64 {
    at.millis_since_epoch().saturating_mul(1_000_000)
}

/// A key with its value.
fn attribute(key: &str, value: &SpanValue) -> Protobuf {
    let mut any = Protobuf::default();
    match value {
        SpanValue::Text(text) => any.bytes(1, text.as_bytes()),
        SpanValue::Number(number) => any.number(3, number.cast_unsigned()),
    }
    let mut message = Protobuf::default();
    message.bytes(1, key.as_bytes());
    message.message(2, &any);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_groups_of_seven_bits() {
        for (value, expected) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[128, 1]),
            (300, &[172, 2]),
            (u64::MAX, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ] {
            let mut message = Protobuf::default();
            message.varint(value);
            assert_eq!(message.0, expected, "{value}");
        }
    }
}
