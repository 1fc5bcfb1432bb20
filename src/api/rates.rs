//! How often something happened with each source and handler.

use serde::Serialize;

use crate::event::{HandlerName, SourceName};

/// How often something happened, newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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

/// Rates since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RatesView {
    /// Of each source.
    pub sources: Vec<SourceRates>,
    /// Of each handler.
    pub handlers: Vec<HandlerRates>,
}

/// One source's rates.
#[derive(Clone, Debug, Serialize)]
pub struct SourceRates {
    /// Whose they are.
    pub source: SourceName,
    /// Events stored.
    pub accepted: Series,
    /// Requests that were turned down.
    pub rejected: Series,
}

/// One handler's rates.
#[derive(Clone, Debug, Serialize)]
pub struct HandlerRates {
    /// Whose they are.
    pub handler: HandlerName,
    /// Deliveries made.
    pub delivered: Series,
    /// Tries that failed, for now or for good.
    pub failed: Series,
}
