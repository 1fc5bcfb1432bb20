//! What one of several gateways that share a log has counted.

use serde::{Deserialize, Serialize};

use crate::api::LatencyView;
use crate::clock::Timestamp;
use crate::cluster::NodeName;
use crate::event::SourceName;

/// What one source's requests came to on one gateway since its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedSource {
    pub name: SourceName,
    #[serde(default)]
    pub accepted: u64,
    #[serde(default)]
    pub duplicate: u64,
    #[serde(default)]
    pub handshakes: u64,
    #[serde(default)]
    pub rejected: u64,
    #[serde(default)]
    pub turned_away: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_at: Option<Timestamp>,
    /// When each secret was last matched, by its fingerprint; without those that were not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matched: Vec<(String, Timestamp)>,
}

/// Whether a gateway goes on to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayState {
    /// It gives signs of life.
    Alive,
    /// It gives none: what it told last stands.
    Silent,
    /// It was stopped in order: what it told last stands.
    Left,
}

/// What one of several gateways has counted since its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayCounts {
    pub node: NodeName,
    /// Whether it is the one that answers.
    pub is_here: bool,
    pub state: GatewayState,
    /// As of when, by its clock; nothing = it has told nothing yet, or nothing that this version reads.
    pub at: Option<Timestamp>,
    /// Nothing = it is of a version that tells no counts.
    pub started_at: Option<Timestamp>,
    pub host: Option<String>,
    /// Where its admin listener is, as that machine knows it.
    pub admin: Option<String>,
    pub sources: Vec<ReportedSource>,
    /// How many more sources it has, of which it has not told.
    pub n_sources_left_out: u64,
    /// How many rejected requests it keeps.
    pub rejected: u64,
    /// Requests that it did not store for another reason.
    pub refused: u64,
    /// How long its acknowledgements took in the last hour.
    pub ack: Option<LatencyView>,
    /// How many of its sources and handlers its charts leave out.
    pub n_charts_left_out: u64,
}

impl ReportedSource {
    /// How many requests it is about.
    pub(in crate::api) const fn n_requests(&self) -> u64 {
        self.accepted
            .saturating_add(self.duplicate)
            .saturating_add(self.handshakes)
            .saturating_add(self.rejected)
            .saturating_add(self.turned_away)
    }
}

impl GatewayCounts {
    /// What all of its sources' requests came to.
    pub fn sum(&self, of: fn(&ReportedSource) -> u64) -> u64 {
        self.sources.iter().map(of).fold(0, u64::saturating_add)
    }
}

impl GatewayState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Silent => "silent",
            Self::Left => "stopped",
        }
    }
}
