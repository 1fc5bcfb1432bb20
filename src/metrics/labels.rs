//! The labels of the series, and what they can be.

use std::fmt;

use prometheus_client::encoding::{
    EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder,
};

use crate::event::{HandlerName, SourceName};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// Stored: 200.
    Accepted,
    /// Stored before: 200.
    Duplicate,
    /// A provider's handshake was answered, or a list without items: 200, and no event.
    Handshake,
    /// The signature was not good: 401.
    Rejected,
    /// The caller's address is not among the allowed ones: 401 as well.
    NotAllowed,
    /// No such source: 404.
    UnknownSource,
    /// The body is over the limit: 413.
    TooLarge,
    /// The sender was too slow, or broke off.
    Incomplete,
    /// Too many requests of the address failed verification: 429.
    UnverifiedLimited,
    /// More than the source's rate: 429.
    RateLimited,
    /// It could not be made durable: 503.
    Unavailable,
}

impl RequestOutcome {
    /// Every outcome with its label, in the order of the enum.
    pub(super) const LABELS: [(Self, &'static str); 11] = [
        (Self::Accepted, "accepted"),
        (Self::Duplicate, "duplicate"),
        (Self::Handshake, "handshake"),
        (Self::Rejected, "rejected"),
        (Self::NotAllowed, "not_allowed"),
        (Self::UnknownSource, "unknown_source"),
        (Self::TooLarge, "too_large"),
        (Self::Incomplete, "incomplete"),
        (Self::UnverifiedLimited, "unverified_limited"),
        (Self::RateLimited, "rate_limited"),
        (Self::Unavailable, "unavailable"),
    ];
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SourceLabel {
    Name(SourceName),
    /// Written `-`, which no source can be called.
    Unknown,
}

impl EncodeLabelValue for SourceLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let text = match self {
            Self::Name(name) => name.as_str(),
            Self::Unknown => "-",
        };
        EncodeLabelValue::encode(&text, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HandlerLabel(pub(super) HandlerName);

impl EncodeLabelValue for HandlerLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.0.as_str(), encoder)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum DeliveryOutcome {
    Delivered,
    Skipped,
    Retry,
    Dead,
}

impl EncodeLabelValue for RequestOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        // A test sees to it that each is at its own index.
        let label = Self::LABELS.get(*self as usize).map_or("", |(_, label)| label);
        EncodeLabelValue::encode(&label, encoder)
    }
}

impl EncodeLabelValue for DeliveryOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let text = match self {
            Self::Delivered => "delivered",
            Self::Skipped => "skipped",
            Self::Retry => "retry",
            Self::Dead => "dead",
        };
        EncodeLabelValue::encode(&text, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) source: SourceLabel,
    pub(super) outcome: RequestOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HandlerLabels {
    pub(super) handler: HandlerLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DeliveryLabels {
    pub(super) handler: HandlerLabel,
    pub(super) outcome: DeliveryOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SecretLabels {
    pub(super) source: SourceLabel,
    pub(super) secret: usize,
}

pub(super) fn handler_labels(handler: &HandlerName) -> HandlerLabels {
    HandlerLabels { handler: HandlerLabel(handler.clone()) }
}

/// The labels of what there is at most one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NoLabels;

impl EncodeLabelSet for NoLabels {
    fn encode(&self, _encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        Ok(())
    }
}
