//! What is known of a handler's health, as it outlives the process.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{ErrorText, EventId};

/// How a handler did until its process ended. All times are by the wall clock: the steady one ends with
/// the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthRecord {
    pub last_success_at: Option<Timestamp>,
    pub last_error: Option<LastError>,
    /// When the first of its newest calls failed; `None` = the newest one was answered.
    pub failing_since: Option<Timestamp>,
    /// How many calls failed in a row since then.
    pub n_failures: u32,
    /// When the first of the deliveries was given up that were so since the newest that was made.
    pub given_up_since: Option<Timestamp>,
    /// How many were given up in a row since then.
    pub n_given_up: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When, by the wall clock.
    pub at: Timestamp,
    pub event: EventId,
    pub text: ErrorText,
}

impl HealthRecord {
    /// Whether both say the same of what fails: only when something was delivered, or what it said, may differ.
    pub fn has_same_trouble(&self, other: &Self) -> bool {
        self.failing_since.is_some() == other.failing_since.is_some()
            && self.given_up_since.is_some() == other.given_up_since.is_some()
    }
}
