//! What `events replay` says at its end.

use serde::Serialize;

use crate::api::{Skips, is_zero};
use crate::text::counted;

use super::CliError;
use super::output::Output;

/// What a replay came to.
#[derive(Debug, Serialize)]
pub(super) struct ReplayDone {
    matched: u64,
    done: u64,
    skipped: u64,
    /// Always 0: what fails ends the command.
    failed: u64,
    /// The same as `done`.
    count: u64,
    deliveries: u64,
    /// Of one event: those that stay as they are.
    #[serde(skip_serializing_if = "is_zero")]
    unsettled: u64,
    /// Of many: those that are not delivered again.
    #[serde(flatten, skip_serializing_if = "is_none")]
    skips: Skips,
    dry_run: bool,
}

fn is_none(skips: &Skips) -> bool {
    *skips == Skips::default()
}

impl ReplayDone {
    /// Of one event: `unsettled` of its deliveries stay as they are.
    pub(super) fn of_one(deliveries: u64, unsettled: u64, dry_run: bool) -> Self {
        let done = u64::from(deliveries > 0);
        let of_many = Self::of_many(done, deliveries, Skips::default(), dry_run);
        Self { matched: 1, skipped: 1 - done, unsettled, ..of_many }
    }

    pub(super) const fn of_many(done: u64, deliveries: u64, skips: Skips, dry_run: bool) -> Self {
        let skipped = skips.sum();
        let (matched, unsettled, failed) = (done + skipped, 0, 0);
        let count = done;
        Self { matched, done, skipped, failed, count, deliveries, unsettled, skips, dry_run }
    }

    pub(super) fn tell(&self, output: Output) -> Result<(), CliError> {
        output.one(self, Self::words)
    }

    fn words(&self) -> String {
        let Self { count, deliveries, unsettled, skips, dry_run: is_dry, .. } = self;
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
