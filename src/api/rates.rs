//! How often something happened with each source and handler.

use serde::{Deserialize, Serialize};

use super::ReportedBy;
use crate::clock::whole_micros;
use crate::event::{HandlerName, SourceName};
use crate::metrics::Quantiles;

/// How often something happened, newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// In each of the last 60 minutes; the last one is not over.
    pub minutes: Vec<u32>,
    /// In each of the last 24 hours; the last one is not over.
    pub hours: Vec<u32>,
}

impl Series {
    /// How often in the last hour.
    pub fn last_hour(&self) -> u64 {
        self.minutes.iter().copied().map(u64::from).sum()
    }
}

/// Rates since the start, on all gateways that share the log: but for `ack` and
/// `levels.ack_p99_micros`, which are of this one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RatesView {
    pub sources: Vec<SourceRates>,
    pub handlers: Vec<HandlerRates>,
    /// How long acknowledgements took in the last hour; nothing where there were none.
    pub ack: Option<LatencyView>,
    /// Figures of the whole by minute.
    #[serde(default)]
    pub levels: LevelsView,
}

/// The most that some figures were in each of the last 60 minutes, newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelsView {
    /// Deliveries still to do: events that a handler has not come to, retries and held ones.
    pub waiting: Vec<u32>,
    /// How long the oldest of them had waited.
    pub oldest_seconds: Vec<u32>,
    pub dead: Vec<u32>,
    /// What 99 of 100 acknowledgements took at most; null where there were none.
    pub ack_p99_micros: Vec<Option<u32>>,
}

/// How long something took in the last hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyView {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer, in microseconds; at most a quarter too much.
    pub p50_micros: u64,
    /// 99 of 100 took no longer, in microseconds; at most a quarter too much.
    pub p99_micros: u64,
}

impl From<Quantiles> for LatencyView {
    fn from(quantiles: Quantiles) -> Self {
        let Quantiles { count, p50, p99 } = quantiles;
        Self { count, p50_micros: whole_micros(p50), p99_micros: whole_micros(p99) }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceRates {
    pub source: SourceName,
    pub accepted: Series,
    /// Requests that were turned down.
    pub rejected: Series,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HandlerRates {
    pub handler: HandlerName,
    pub delivered: Series,
    /// Tries that failed, for now or for good.
    pub failed: Series,
    /// How long its calls took in the last hour; nothing where there were none.
    pub calls: Option<LatencyView>,
    /// Where another gateway delivers to it: who told how long they took, and when.
    #[serde(default)]
    pub calls_reported_by: Option<ReportedBy>,
}
