//! What the gateway counts, under the names that dashboards and alerts are written against.
//!
//! Every label value comes from the configuration or from an enum here, so the number of series is
//! bounded whatever a stranger sends. Handles are taken once, when a source or handler is built;
//! counting is then one atomic addition, or one short lock around a histogram's buckets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::clock::Timestamp;
use crate::event::{HandlerName, Outcome, SourceName};
use crate::sync::lock;

mod cluster;
mod labels;
mod latency;
mod names;
mod plain_text;
mod rate_ring;

pub use cluster::ClusterFigures;
pub use labels::RequestOutcome;
pub use latency::{LatencyCounts, LatencyRing, Quantiles};
pub use rate_ring::{LevelRing, RateRing};

use cluster::ClusterMetrics;
use labels::{
    DeliveryLabels, DeliveryOutcome, HandlerLabel, HandlerLabels, NoLabels, RequestLabels,
    SecretLabels, SourceLabel, handler_labels,
};

/// Unsigned gauges: counts of events and bytes.
type Count = Gauge<u64, std::sync::atomic::AtomicU64>;
/// Gauges with fractions: seconds.
type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of [`Metrics::plain_text`].
pub const PLAIN_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric of the process. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    ack: Histogram,
    /// The same in finer steps, for people.
    acks: Arc<LatencyCounts>,
    calls: Mutex<BTreeMap<HandlerName, Arc<LatencyCounts>>>,
    commit: Histogram,
    commit_events: Histogram,
    queue_events: Count,
    queue_bytes: Count,
    queue_lag_bytes: Count,
    queue_damages: Count,
    backlog: Family<HandlerLabels, Count>,
    oldest_pending: Family<HandlerLabels, Seconds>,
    dead_letters: Family<HandlerLabels, Count>,
    deliveries: Family<DeliveryLabels, Counter>,
    delivery: Family<HandlerLabels, Histogram, fn() -> Histogram>,
    secret_matched: Family<SecretLabels, Seconds>,
    certificate_end: Family<NoLabels, Seconds>,
    standby_connected: Family<NoLabels, Count>,
    standby_lag: Family<NoLabels, Seconds>,
    standby_lag_bytes: Family<NoLabels, Count>,
    cluster: ClusterMetrics,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("gatepost");
        names::build_info(&mut registry);
        let inner = Inner {
            requests: names::requests(&mut registry),
            ack: names::ack(&mut registry),
            acks: Arc::default(),
            calls: Mutex::default(),
            commit: names::commit(&mut registry),
            commit_events: names::commit_events(&mut registry),
            queue_events: names::queue_events(&mut registry),
            queue_bytes: names::queue_bytes(&mut registry),
            queue_lag_bytes: names::queue_lag_bytes(&mut registry),
            queue_damages: names::queue_damages(&mut registry),
            backlog: names::backlog(&mut registry),
            oldest_pending: names::oldest_pending(&mut registry),
            dead_letters: names::dead_letters(&mut registry),
            deliveries: names::deliveries(&mut registry),
            delivery: names::delivery(&mut registry),
            secret_matched: names::secret_matched(&mut registry),
            certificate_end: names::certificate_end(&mut registry),
            standby_connected: names::standby_connected(&mut registry),
            standby_lag: names::standby_lag(&mut registry),
            standby_lag_bytes: names::standby_lag_bytes(&mut registry),
            cluster: ClusterMetrics::registered(&mut registry),
            registry,
        };
        Self(Arc::new(inner))
    }

    /// The counters of one source's requests.
    pub fn source(&self, source: &SourceName) -> SourceMetrics {
        SourceMetrics::new(&self.0.requests, &SourceLabel::Name(source.clone()))
    }

    /// The counters of the requests to unknown sources: one series for all.
    pub fn unknown_source(&self) -> SourceMetrics {
        SourceMetrics::new(&self.0.requests, &SourceLabel::Unknown)
    }

    /// The counters of one handler's deliveries.
    pub fn handler(&self, handler: &HandlerName) -> HandlerMetrics {
        let counter = |outcome| {
            self.0.deliveries.get_or_create_owned(&DeliveryLabels {
                handler: HandlerLabel(handler.clone()),
                outcome,
            })
        };
        HandlerMetrics {
            delivered: counter(DeliveryOutcome::Delivered),
            skipped: counter(DeliveryOutcome::Skipped),
            retry: counter(DeliveryOutcome::Retry),
            dead: counter(DeliveryOutcome::Dead),
            duration: self.0.delivery.get_or_create_owned(&handler_labels(handler)),
            calls: self.calls(handler),
        }
    }

    /// Counts one 200: the time from the request's head to the answer.
    pub fn ack(&self, duration: Duration) {
        self.0.ack.observe(duration.as_secs_f64());
        self.0.acks.count(duration);
    }

    /// How long acknowledgements took, so far.
    pub fn acks(&self) -> Arc<LatencyCounts> {
        Arc::clone(&self.0.acks)
    }

    /// How long a handler's calls took, so far.
    pub fn calls(&self, handler: &HandlerName) -> Arc<LatencyCounts> {
        Arc::clone(lock(&self.0.calls).entry(handler.clone()).or_default())
    }

    /// Counts one durable commit of the queue: how long write and sync took, for how many events.
    pub fn commit(&self, duration: Duration, n_events: usize) {
        self.0.commit.observe(duration.as_secs_f64());
        // Exact: a batch is far smaller than 2^32.
        self.0.commit_events.observe(f64::from(u32::try_from(n_events).unwrap_or(u32::MAX)));
    }

    /// The gauge of one secret of a source, so that an owner can see when an old one is no longer
    /// used. `index` counts from 0 in the order of the configuration.
    pub fn secret(&self, source: &SourceName, index: usize) -> SecretMetrics {
        let labels = SecretLabels { source: SourceLabel::Name(source.clone()), secret: index };
        SecretMetrics(self.0.secret_matched.get_or_create_owned(&labels))
    }

    /// Sets the queue's gauges, and each handler's. Called for each scrape.
    pub fn set_queue(&self, figures: &QueueFigures) {
        self.0.queue_events.set(figures.events);
        self.0.queue_bytes.set(figures.bytes);
        self.0.queue_lag_bytes.set(figures.lag_bytes);
        self.0.queue_damages.set(figures.damages);
        // A forgotten handler leaves no series behind.
        self.0.backlog.clear();
        self.0.oldest_pending.clear();
        self.0.dead_letters.clear();
        for figures in &figures.handlers {
            let labels = handler_labels(&figures.handler);
            self.0.backlog.get_or_create(&labels).set(figures.backlog_events);
            self.0.oldest_pending.get_or_create(&labels).set(figures.oldest_pending.as_secs_f64());
            self.0.dead_letters.get_or_create(&labels).set(figures.dead_letters);
        }
    }

    /// Sets when the public listener's certificate ends; there is no series before one is there.
    pub fn set_certificate_end(&self, end: Timestamp) {
        self.0.certificate_end.get_or_create(&NoLabels).set(seconds(end));
    }

    /// Sets the standby's gauges; without one, and where none is expected, there are none.
    pub fn set_standby(&self, figures: Option<StandbyFigures>) {
        let Inner { standby_connected, standby_lag, standby_lag_bytes, .. } = &*self.0;
        let Some(StandbyFigures { is_connected, lag_seconds, lag_bytes }) = figures else {
            standby_connected.clear();
            standby_lag.clear();
            standby_lag_bytes.clear();
            return;
        };
        standby_connected.get_or_create(&NoLabels).set(is_connected.into());
        standby_lag.get_or_create(&NoLabels).set(lag_seconds);
        standby_lag_bytes.get_or_create(&NoLabels).set(lag_bytes);
    }

    /// Sets the shared log's gauges; where the queue is this machine's alone there are none.
    pub fn set_cluster(&self, figures: Option<ClusterFigures>) {
        self.0.cluster.set(figures);
    }

    /// Counts one append to the shared log that succeeded.
    pub fn engine_append(&self, duration: Duration) {
        self.0.cluster.append(duration);
    }

    /// Everything, as `OpenMetrics` text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.0.registry) {
            Ok(()) => text,
            // Writing to a `String` does not fail.
            Err(fmt::Error) => String::new(),
        }
    }

    /// The same in the older text format of Prometheus, which `promtool check metrics` reads.
    pub fn plain_text(&self) -> String {
        plain_text::of_openmetrics(&self.text())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// The second copy's figures at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StandbyFigures {
    /// Whether a standby asks just now.
    pub is_connected: bool,
    /// For how long the log has had something that the copy has not.
    pub lag_seconds: f64,
    /// How many bytes of the log that is.
    pub lag_bytes: u64,
}

/// The queue's figures at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFigures {
    /// Retained events.
    pub events: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes of the journal that the derived state has not taken in yet.
    pub lag_bytes: u64,
    /// Places where the journal is damaged.
    pub damages: u64,
    /// Every handler that has a place in the log.
    pub handlers: Vec<HandlerFigures>,
}

/// One handler's figures at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerFigures {
    pub handler: HandlerName,
    /// Events that are not settled yet.
    pub backlog_events: u64,
    /// How long the oldest of them has waited.
    pub oldest_pending: Duration,
    /// Deliveries that will not be tried again by themselves.
    pub dead_letters: u64,
}

/// The counters of one source, one per outcome.
#[derive(Clone, Debug)]
pub struct SourceMetrics([Counter; RequestOutcome::LABELS.len()]);

impl SourceMetrics {
    fn new(requests: &Family<RequestLabels, Counter>, source: &SourceLabel) -> Self {
        // Counters that are not in the family are not shown: a known source is never unknown, and
        // to an unknown one nothing else happens.
        Self(RequestOutcome::LABELS.map(|(outcome, _)| {
            let is_shown =
                (outcome == RequestOutcome::UnknownSource) == (*source == SourceLabel::Unknown);
            if is_shown {
                requests.get_or_create_owned(&RequestLabels { source: source.clone(), outcome })
            } else {
                Counter::default()
            }
        }))
    }

    pub fn request(&self, outcome: RequestOutcome) {
        if let Some(counter) = self.0.get(outcome as usize) {
            counter.inc();
        }
    }

    /// How many requests had this outcome.
    pub fn requests(&self, outcome: RequestOutcome) -> u64 {
        self.0.get(outcome as usize).map_or(0, Counter::get)
    }
}

/// The counters of one handler.
#[derive(Clone, Debug)]
pub struct HandlerMetrics {
    delivered: Counter,
    skipped: Counter,
    retry: Counter,
    dead: Counter,
    duration: Histogram,
    calls: Arc<LatencyCounts>,
}

impl HandlerMetrics {
    /// Counts one settled delivery. One that is held back was not tried and does not count.
    pub fn settled(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Delivered => self.delivered.inc(),
            Outcome::Skipped => self.skipped.inc(),
            Outcome::Retry { .. } => self.retry.inc(),
            Outcome::Dead { .. } => self.dead.inc(),
            Outcome::Held { .. } => return,
        };
    }

    /// How many deliveries were made, and how many tries failed, for now or for good.
    pub fn delivered_and_failed(&self) -> (u64, u64) {
        (self.delivered.get(), self.retry.get() + self.dead.get())
    }

    /// Counts one call of the handler: how long it took.
    pub fn attempt(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
        self.calls.count(duration);
    }
}

/// Since the epoch.
#[expect(clippy::cast_precision_loss, reason = "milliseconds are exact up to the year 280000")]
fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1_000.0
}

/// One secret's gauge.
#[derive(Clone, Debug)]
pub struct SecretMetrics(Seconds);

impl SecretMetrics {
    /// Notes that a request which was received then was signed with it.
    pub fn matched(&self, at: Timestamp) {
        self.0.set(seconds(at));
    }

    /// When it was last matched; the epoch = never.
    #[expect(clippy::cast_possible_truncation, reason = "it was made from an `i64`")]
    pub fn last_matched_at(&self) -> Timestamp {
        Timestamp::from_millis((self.0.get() * 1_000.0).round() as i64)
    }
}

#[cfg(test)]
mod tests;
