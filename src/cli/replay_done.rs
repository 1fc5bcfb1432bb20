//! What `events replay` says at its end.

use serde::Serialize;

use crate::api::{Skips, is_zero};
use crate::text::counted;

use super::CliError;
use super::output::Output;

/// What a replay came to.
#[derive(Debug, Serialize)]
pub(super) struct ReplayDone {
    pub(super) count: u64,
    pub(super) deliveries: u64,
    /// Of one event: those that stay as they are.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) unsettled: u64,
    /// Of many: those that are not delivered again.
    #[serde(flatten, skip_serializing_if = "is_none")]
    pub(super) skips: Skips,
    pub(super) dry_run: bool,
}

fn is_none(skips: &Skips) -> bool {
    *skips == Skips::default()
}

impl ReplayDone {
    pub(super) fn tell(&self, output: Output) -> Result<(), CliError> {
        output.one(self, Self::words)
    }

    fn words(&self) -> String {
        let Self { count, deliveries, unsettled, skips, dry_run: is_dry } = self;
        let events = if *count == 1 { "event" } else { "events" };
        let will = if *is_dry { "would be" } else { "will be" };
        let in_all = counted(*deliveries, "delivery", "deliveries");
        let mut again = format!("{count} {events} {will} delivered again: {in_all} in all");
        if let Some(skipped) = skips.words() {
            again = format!("{again}\n{skipped}");
        }
        let stay = counted(*unsettled, "delivery is", "deliveries are");
        let left = format!(
            "{stay} not settled yet and left as it was: `gatepost events show` says when the next try \
             is, `gatepost handlers retry` makes it now"
        );
        match (*deliveries, *unsettled) {
            (_, 0) => again,
            (0, _) => left,
            (_, _) => format!("{again}\n{left}"),
        }
    }
}
