//! A configured handler as its task sees it.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pause::PauseView;
use crate::clock::Timestamp;
use crate::deliver::{CallsUnderWay, HealthRecord, Stoppage};
use crate::event::HandlerName;

/// The state of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandlerStatus {
    /// It takes what comes.
    Running,
    /// The owner holds it.
    Paused,
    /// Its calls fail, and it is left alone for a while.
    Down,
    /// It could not be started, and is tried again.
    Failed,
    /// It makes its last calls, and another takes its place soon.
    Finishing,
    /// The configuration says so.
    Disabled,
    /// Nothing runs.
    Stopped,
    /// It is not configured.
    Unconfigured,
}

impl HandlerStatus {
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Paused,
        Self::Down,
        Self::Failed,
        Self::Finishing,
        Self::Disabled,
        Self::Stopped,
        Self::Unconfigured,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Down => "down",
            Self::Failed => "failed",
            Self::Finishing => "finishing",
            Self::Disabled => "disabled",
            Self::Stopped => "stopped",
            Self::Unconfigured => "unconfigured",
        }
    }
}

/// A configured handler as its task sees it.
#[derive(Clone, Debug)]
pub struct HandlerControl {
    pub name: HandlerName,
    /// Its kind: `email`, `sql`, …
    pub kind: &'static str,
    pub state: HandlerStatus,
    /// Why it is `failed`, or left alone while it runs.
    pub reason: Option<String>,
    /// While it is paused: until when, and why.
    pub pause: Option<PauseView>,
    pub in_flight: usize,
    pub concurrency: usize,
    /// How it did, before the start too.
    pub health: HealthRecord,
    /// While it is left alone, because it is down or asked for that: when it is tried next.
    pub probe_at: Option<Timestamp>,
    /// For how long a delivery is tried.
    pub retry_total: Option<Duration>,
    /// How often it is tried at most.
    pub retry_attempts: Option<NonZeroU32>,
    /// When its loop began: at a start, or at a reload that changed it.
    pub began_at: Option<Timestamp>,
    /// When it was given nothing since then.
    pub stops: Vec<Stoppage>,
    /// Which deliveries are with it.
    pub calls: CallsUnderWay,
}

impl HandlerControl {
    /// One that does nothing, and of which nothing is known.
    pub fn idle(name: HandlerName, kind: &'static str, state: HandlerStatus) -> Self {
        Self {
            name,
            kind,
            state,
            reason: None,
            pause: None,
            in_flight: 0,
            concurrency: 0,
            health: HealthRecord::default(),
            probe_at: None,
            retry_total: None,
            retry_attempts: None,
            began_at: None,
            stops: Vec::new(),
            calls: CallsUnderWay::default(),
        }
    }
}
