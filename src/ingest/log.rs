//! What the way in tells the log: a line per failure, at most one a second of each sort, because a
//! flood of bad requests must not become a flood of lines.

use std::error::Error;
use std::net::IpAddr;

use tracing::{error, info, warn};

use crate::clock::Timestamp;
use crate::event::SourceName;
use crate::expr::ExprError;
use crate::queue::QueueError;
use crate::secret::SecretRef;
use crate::throttle::Throttle;

use super::rejected::{RejectedRequest, RejectedRing};

/// The lines.
#[derive(Debug, Default)]
pub(super) struct ThrottledLog {
    rejected: Throttle,
    handshake: Throttle,
    denied: Throttle,
    not_answered: Throttle,
    not_learned: Throttle,
    not_stored: Throttle,
    slow_commit: Throttle,
    unsplit: Throttle,
    empty_list: Throttle,
    not_copied: Throttle,
}

impl ThrottledLog {
    pub(super) fn rejected(&self, request: &RejectedRequest, now: Timestamp) {
        let remedy = if RejectedRing::keeps(request) {
            "`gatepost rejected list` shows it"
        } else {
            "it is too large to be kept"
        };
        if let Some(n_silent) = self.rejected.open(now) {
            warn!(
                source.name = %request.source,
                reason = %request.reason,
                client = request.client.map(tracing::field::display),
                n_silent,
                "Request rejected; {remedy}"
            );
        }
    }

    pub(super) fn handshake(&self, source: &SourceName, client: Option<IpAddr>, now: Timestamp) {
        if let Some(n_silent) = self.handshake.open(now) {
            info!(
                source.name = %source,
                client = client.map(tracing::field::display),
                n_silent,
                "Handshake answered; `gatepost rejected list` shows what it brought"
            );
        }
    }

    pub(super) fn denied(
        &self,
        source: &SourceName,
        reason: &str,
        client: Option<IpAddr>,
        now: Timestamp,
    ) {
        if let Some(n_silent) = self.denied.open(now) {
            warn!(
                source.name = %source,
                reason,
                client = client.map(tracing::field::display),
                n_silent,
                "A request says, unsigned, that the hub denied the subscription: compare it with the hub"
            );
        }
    }

    pub(super) fn not_answered(&self, source: &SourceName, err: &ExprError, now: Timestamp) {
        if let Some(n_silent) = self.not_answered.open(now) {
            warn!(
                source.name = %source,
                error = %err,
                n_silent,
                "The event is stored, and its answer is empty: `answer.body` cannot be made of it"
            );
        }
    }

    pub(super) fn not_learned(
        &self,
        source: &SourceName,
        err: &(dyn Error + 'static),
        now: Timestamp,
    ) {
        if let Some(n_silent) = self.not_learned.open(now) {
            error!(source.name = %source, error = err, n_silent, "The sender's secret was not learned");
        }
    }

    pub(super) fn not_stored(&self, err: &QueueError, now: Timestamp) {
        if let Some(n_silent) = self.not_stored.open(now) {
            error!(error = %err, n_silent, "Event not stored; the sender was asked to try again");
        }
    }

    pub(super) fn unsplit(&self, source: &SourceName, now: Timestamp) {
        if let Some(n_silent) = self.unsplit.open(now) {
            warn!(
                source.name = %source,
                n_silent,
                "A list is unreadable or too long to be split: it is stored as one event"
            );
        }
    }

    pub(super) fn empty_list(&self, source: &SourceName, now: Timestamp) {
        if let Some(n_silent) = self.empty_list.open(now) {
            info!(source.name = %source, n_silent, "A list without items was answered: it is no event");
        }
    }

    pub(super) fn not_copied(&self, now: Timestamp) {
        if let Some(n_silent) = self.not_copied.open(now) {
            error!(
                n_silent,
                "The standby did not have an event in time (`queue.ack`); the sender was asked to \
                 try again"
            );
        }
    }

    pub(super) fn slow_commit(&self, now: Timestamp) {
        if let Some(n_silent) = self.slow_commit.open(now) {
            error!(n_silent, "Event not stored in time; the sender was asked to try again");
        }
    }
}

/// A good request by GET or HEAD is taken for a look. Told once of each source: probes come each minute.
pub(super) fn look(source: &SourceName, client: Option<IpAddr>) {
    info!(
        source.name = %source,
        client = client.map(tracing::field::display),
        "A good GET or HEAD was answered and is not stored; to make it an event, write `methods = [\"GET\", \
         \"POST\"]` in the source"
    );
}

/// The sender's secret was written down: once, unless its file is taken away.
pub(super) fn learned(source: &SourceName, place: &SecretRef) {
    info!(source.name = %source, %place, "The sender's secret was learned");
}
