//! How often something happened with each source and handler, out of the counters of the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{HandlerRates, LatencyView, LevelsView, RatesView, Series, SourceRates};
use crate::clock::Timestamp;
use crate::event::{HandlerName, SourceName};
use crate::ingest::Endpoint;
use crate::metrics::{LatencyRing, LevelRing, RateRing, RequestOutcome};
use crate::queue::{Backlog, QueueStats};

use super::core::Core;

/// Two rings each: of what went well and of what did not. Some 700 bytes a source or handler.
#[derive(Debug, Default)]
pub(super) struct Rates {
    sources: BTreeMap<SourceName, [RateRing; 2]>,
    handlers: BTreeMap<HandlerName, [RateRing; 2]>,
    acks: LatencyRing,
    calls: BTreeMap<HandlerName, LatencyRing>,
    /// What waits, for how many seconds the oldest of it does, and dead letters.
    levels: Option<[LevelRing; 3]>,
}

impl Rates {
    /// Takes in what the counters of the sources say by now; others are let go of.
    pub(super) fn look_at_sources(&mut self, endpoints: &[Arc<Endpoint>], now: Timestamp) {
        self.sources
            .retain(|name, _| endpoints.iter().any(|endpoint| endpoint.source().name() == name));
        for endpoint in endpoints {
            let requests = |outcome| endpoint.metrics().requests(outcome);
            let bad = [RequestOutcome::Rejected, RequestOutcome::UnverifiedLimited];
            let counts = [requests(RequestOutcome::Accepted), bad.into_iter().map(requests).sum()];
            look(&mut self.sources, endpoint.source().name(), counts, now);
        }
    }

    /// The same of the handlers and of what waits for them.
    pub(super) fn look_at_handlers(
        &mut self,
        handlers: &[HandlerName],
        core: &Core,
        now: Timestamp,
    ) {
        let metrics = &core.metrics;
        self.look_at_queue(&core.queue.stats(), now);
        self.handlers.retain(|name, _| handlers.contains(name));
        self.calls.retain(|name, _| handlers.contains(name));
        self.acks.look(&metrics.acks(), now);
        for name in handlers {
            let (delivered, failed) = metrics.handler(name).delivered_and_failed();
            look(&mut self.handlers, name, [delivered, failed], now);
            self.calls.entry(name.clone()).or_default().look(&metrics.calls(name), now);
        }
    }

    /// Takes in what waits by now, and what was given up.
    fn look_at_queue(&mut self, stats: &QueueStats, now: Timestamp) {
        let handlers = || stats.handlers.iter().map(|(_, backlog)| backlog);
        let of = |count: fn(&Backlog) -> u64| handlers().map(count).sum::<u64>();
        let oldest = handlers().filter_map(|one| one.oldest_pending_at).min();
        let found = [
            of(|one| one.in_log.saturating_add(one.waiting)),
            oldest.map_or(0, |at| now.since(at).as_secs()),
            of(|one| one.dead),
        ];
        let new = || [LevelRing::new(now), LevelRing::new(now), LevelRing::new(now)];
        let rings = self.levels.get_or_insert_with(new);
        for (ring, level) in rings.iter_mut().zip(found) {
            ring.look(level, now);
        }
    }

    pub(super) fn view(&self, now: Timestamp) -> RatesView {
        let sources = self.sources.iter().map(|(source, [accepted, rejected])| SourceRates {
            source: source.clone(),
            accepted: series(accepted),
            rejected: series(rejected),
        });
        let handlers = self.handlers.iter().map(|(handler, [delivered, failed])| HandlerRates {
            handler: handler.clone(),
            delivered: series(delivered),
            failed: series(failed),
            calls: self.calls.get(handler).and_then(LatencyRing::quantiles).map(LatencyView::from),
            calls_reported_by: None,
        });
        RatesView {
            sources: sources.collect(),
            handlers: handlers.collect(),
            ack: self.acks.quantiles().map(LatencyView::from),
            levels: self.levels(now),
        }
    }

    fn levels(&self, now: Timestamp) -> LevelsView {
        let levels = self.levels.as_ref().map(|rings| rings.each_ref().map(LevelRing::minutes));
        let [waiting, oldest_seconds, dead] = levels.unwrap_or_default();
        LevelsView { waiting, oldest_seconds, dead, ack_p99_micros: self.acks.p99_by_minute(now) }
    }
}

/// A name that is new begins at 0: what was counted before the first look was counted since then.
fn look<K: Ord + Clone>(
    rings: &mut BTreeMap<K, [RateRing; 2]>,
    name: &K,
    counts: [u64; 2],
    now: Timestamp,
) {
    let new = || [RateRing::new(0, now), RateRing::new(0, now)];
    let rings = rings.entry(name.clone()).or_insert_with(new);
    for (ring, count) in rings.iter_mut().zip(counts) {
        ring.look(count, now);
    }
}

fn series(ring: &RateRing) -> Series {
    Series { minutes: ring.minutes(), hours: ring.hours() }
}
