//! What the way in tells the log: a line per failure, at most one a second of each sort, because a
//! flood of bad requests must not become a flood of lines.

use std::error::Error;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tracing::{error, info, warn};

use crate::clock::Timestamp;
use crate::event::SourceName;
use crate::queue::QueueError;
use crate::secret::SecretRef;

use super::RejectedRequest;

/// The lines' gates.
#[derive(Debug, Default)]
pub(super) struct Notes {
    rejected: Gate,
    handshake: Gate,
    not_learned: Gate,
    turned_away: Gate,
    not_stored: Gate,
    slow_commit: Gate,
}

impl Notes {
    pub(super) fn rejected(&self, request: &RejectedRequest, now: Timestamp) {
        if let Some(n_silent) = self.rejected.open(now) {
            warn!(
                source.name = %request.source,
                reason = %request.reason,
                client = request.client.map(tracing::field::display),
                n_silent,
                "Request rejected; `gatepost rejected list` shows it"
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

    pub(super) fn turned_away(&self, source: &SourceName, client: Option<IpAddr>, now: Timestamp) {
        if let Some(n_silent) = self.turned_away.open(now) {
            warn!(
                source.name = %source,
                client = client.map(tracing::field::display),
                n_silent,
                "Request turned away (429): too many from there cannot be verified; see \
                 `unverified_limit`"
            );
        }
    }

    pub(super) fn not_stored(&self, err: &QueueError, now: Timestamp) {
        if let Some(n_silent) = self.not_stored.open(now) {
            error!(error = %err, n_silent, "Event not stored; the sender was asked to try again");
        }
    }

    pub(super) fn slow_commit(&self, now: Timestamp) {
        if let Some(n_silent) = self.slow_commit.open(now) {
            error!(n_silent, "Event not stored in time; the sender was asked to try again");
        }
    }
}

/// The sender's secret was written down: once, unless its file is taken away.
pub(super) fn learned(source: &SourceName, place: &SecretRef) {
    info!(source.name = %source, %place, "The sender's secret was learned");
}

/// Lets one line a second through and counts the others.
#[derive(Debug, Default)]
struct Gate {
    /// When the last line went through, in milliseconds.
    last: AtomicI64,
    n_silent: AtomicU64,
}

impl Gate {
    /// `Some` = write a line; how many were not written since the last one.
    fn open(&self, now: Timestamp) -> Option<u64> {
        let now = now.as_millis();
        let last = self.last.load(Ordering::Relaxed);
        // Either way round: the wall clock may have been set back.
        let is_due = last.abs_diff(now) >= 1_000;
        let is_ours = is_due
            && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_ours {
            Some(self.n_silent.swap(0, Ordering::Relaxed))
        } else {
            self.n_silent.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_one_line_a_second_through_and_counts_the_rest() {
        let gate = Gate::default();
        let start: i64 = 1_000_000;
        let open = |millis| gate.open(Timestamp::from_millis(start + millis));
        assert_eq!(open(0), Some(0));
        assert_eq!(open(10), None);
        assert_eq!(open(999), None);
        assert_eq!(open(1_000), Some(2));
        assert_eq!(open(-5_000), Some(0), "the clock was set back");
    }
}
