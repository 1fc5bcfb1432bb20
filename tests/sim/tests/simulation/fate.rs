//! What a delivery and a subscription can be.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_sim::clock::Timestamp;
use gatepost_sim::event::EventId;

use crate::subject::Standing;

/// What is recorded of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// From before the subscription.
    Before,
    /// The subscription began near it, before or behind: nobody was told.
    Unclear,
    /// To be delivered. `is_fresh` = in the order of the log, not a second time.
    Open {
        is_fresh: bool,
    },
    /// To be tried again; `None` = nobody knows when and how often it was tried.
    Waiting {
        key: Option<u8>,
        details: Option<Details>,
    },
    Dead {
        key: Option<u8>,
    },
    Settled,
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Details {
    pub due: Timestamp,
    pub wait: Duration,
    pub attempts: u32,
}

impl Fate {
    pub fn is_like(self, standing: Standing) -> bool {
        match self {
            Self::Before | Self::Settled => standing == Standing::Settled,
            Self::Unclear => matches!(standing, Standing::Settled | Standing::Open),
            Self::Open { .. } => standing == Standing::Open,
            Self::Waiting { .. } => standing == Standing::Waiting,
            Self::Dead { .. } => standing == Standing::Dead,
            Self::Lost => standing == Standing::Lost,
        }
    }
}

/// Where a delivery is while the subscription is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Given out.
    Out,
    /// Given back untried.
    Returned,
    /// Held behind an earlier one of its order key.
    Parked,
}

/// Whether the handler has a subscription, held or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existence {
    #[default]
    No,
    Yes,
    /// A call that would begin or end it was not answered.
    Unclear,
}

/// What holds while the subscription is held.
#[derive(Debug)]
pub struct Session {
    pub began_at: Timestamp,
    pub leases: BTreeMap<u32, Lease>,
    /// How far the log was given out.
    pub read_through: Option<EventId>,
}
