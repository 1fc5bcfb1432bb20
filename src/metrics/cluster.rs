//! What is counted of a log that several gateways share. A gateway that has its queue for itself shows
//! none of it.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::registry::Registry;

use super::labels::NoLabels;
use super::{Count, Counter, Family, Histogram, Seconds};

/// From a quick server in the same building to the engine's own deadline.
const APPEND_SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// The shared log's figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClusterFigures {
    /// Nodes that give signs of life.
    pub n_alive: u64,
    /// Nodes that do not.
    pub n_silent: u64,
    /// Whether the shared log can be reached.
    pub is_engine_up: bool,
    /// Events that were answered 200 and are on this machine only.
    pub spilled: u64,
    /// How long the oldest of them has been there.
    pub oldest_spilled_seconds: f64,
    /// Units of the shared log that this node has not applied.
    pub lag_units: u64,
    /// Settlements that did not count, since the start.
    pub void_settlements: u64,
}

pub(super) struct ClusterMetrics {
    nodes: Family<NodeLabels, Count>,
    spill_events: Family<NoLabels, Count>,
    spill_oldest: Family<NoLabels, Seconds>,
    engine_up: Family<NoLabels, Count>,
    engine_append: Family<NoLabels, Histogram, fn() -> Histogram>,
    lag_units: Family<NoLabels, Count>,
    void_settlements: Family<NoLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabels {
    state: NodeState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum NodeState {
    Alive,
    Silent,
}

impl EncodeLabelValue for NodeState {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let text = match self {
            Self::Alive => "alive",
            Self::Silent => "silent",
        };
        EncodeLabelValue::encode(&text, encoder)
    }
}

impl ClusterMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let append: fn() -> Histogram = || Histogram::new(APPEND_SECONDS);
        let new = Self {
            nodes: Family::default(),
            spill_events: Family::default(),
            spill_oldest: Family::default(),
            engine_up: Family::default(),
            engine_append: Family::new_with_constructor(append),
            lag_units: Family::default(),
            void_settlements: Family::default(),
        };
        let help = "Gateways that share the log, by whether they give signs of life";
        registry.register("cluster_nodes", help, new.nodes.clone());
        let help = "Events that were answered 200 and are not in the shared log yet";
        registry.register("spill_events", help, new.spill_events.clone());
        let help = "How long the oldest event has not been in the shared log";
        registry.register("spill_oldest_seconds", help, new.spill_oldest.clone());
        let help = "Whether the shared log can be reached and this gateway takes part";
        registry.register("engine_up", help, new.engine_up.clone());
        let help = "One append to the shared log that succeeded";
        registry.register("engine_append_seconds", help, new.engine_append.clone());
        let help = "Units of the shared log that this node has not applied";
        registry.register("cluster_lag_units", help, new.lag_units.clone());
        let help = "Settlements that did not count: their owner had lost its lease";
        registry.register("void_settlements", help, new.void_settlements.clone());
        new
    }

    pub(super) fn set(&self, figures: Option<ClusterFigures>) {
        // A gateway has a shared log from its start to its end, or never: nothing is to be taken away.
        let Some(figures) = figures else { return };
        for (state, count) in
            [(NodeState::Alive, figures.n_alive), (NodeState::Silent, figures.n_silent)]
        {
            self.nodes.get_or_create(&NodeLabels { state }).set(count);
        }
        self.spill_events.get_or_create(&NoLabels).set(figures.spilled);
        self.spill_oldest.get_or_create(&NoLabels).set(figures.oldest_spilled_seconds);
        self.engine_up.get_or_create(&NoLabels).set(figures.is_engine_up.into());
        self.lag_units.get_or_create(&NoLabels).set(figures.lag_units);
        let void = self.void_settlements.get_or_create(&NoLabels);
        void.inc_by(figures.void_settlements.saturating_sub(void.get()));
    }

    pub(super) fn append(&self, duration: Duration) {
        self.engine_append.get_or_create(&NoLabels).observe(duration.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn shared_log_has_its_lines_and_a_queue_of_one_machine_has_none() {
        let metrics = Metrics::new();
        metrics.set_cluster(None);
        let before = metrics.text();
        for name in ["cluster", "spill", "engine", "void"] {
            assert!(!before.contains(name), "{before}");
        }
        let figures = ClusterFigures {
            n_alive: 2,
            n_silent: 1,
            is_engine_up: true,
            spilled: 7,
            oldest_spilled_seconds: 1.5,
            lag_units: 3,
            void_settlements: 4,
        };
        metrics.set_cluster(Some(figures));
        metrics.set_cluster(Some(ClusterFigures { void_settlements: 5, ..figures }));
        metrics.engine_append(Duration::from_millis(3));
        let text = metrics.text();
        for line in [
            r#"gatepost_cluster_nodes{state="alive"} 2"#,
            r#"gatepost_cluster_nodes{state="silent"} 1"#,
            "gatepost_spill_events{} 7",
            "gatepost_spill_oldest_seconds{} 1.5",
            "gatepost_engine_up{} 1",
            "gatepost_engine_append_seconds_count{} 1",
            "gatepost_cluster_lag_units{} 3",
            "gatepost_void_settlements_total{} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
    }
}
