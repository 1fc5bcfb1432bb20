//! What each of several gateways tells the others: how the handlers do that it delivers to, what it has counted, and
//! the newest requests that it turned down. These are known to that gateway alone, and strangers cause most of them:
//! so each tells a bounded summary, seldom, and what is shown of it says who told it and when.
//!
//! A report is JSON in which an unknown field is skipped and a missing one is nothing: gateways of other versions
//! read what they know of it.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::handler_control::HandlerStatus;
use super::{
    Api, ApiError, HandlerView, LatencyView, RatesView, ReportedBy, ReportedSource, RolloutAnswer,
    RolloutRequest, RolloutView,
};
use crate::clock::Timestamp;
use crate::cluster::{ClusterView, NodeName, SharedReport};
use crate::deliver::LastError;
use crate::event::{ErrorText, HandlerName};

mod charts;
mod counts;
mod room;
mod turned_down;

pub use turned_down::{ReportedRefused, ReportedRejected};

use charts::PackedCharts;
use turned_down::{ROWS_MAX, cut};

/// The longest error of a handler.
const ERROR_CHARS_MAX: usize = 300;
/// For how long is shown what a gateway told that is there no more, by the wall clocks: so long is it waited for
/// with the log.
const TOLD_FOR: Duration = Duration::from_hours(24);

/// What one gateway told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeReportView {
    /// Who told it.
    pub node: NodeName,
    /// When, by its clock.
    pub at: Timestamp,
    pub report: NodeReport,
}

/// What a gateway tells of itself. Field names are part of the shared log: add, never rename.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The handlers that it delivers to, those that fail first.
    #[serde(default)]
    pub handlers: Vec<ReportedHandler>,
    /// How many rejected requests it keeps.
    #[serde(default)]
    pub n_rejected: u64,
    /// The newest of them.
    #[serde(default)]
    pub rejected: Vec<ReportedRejected>,
    /// What it refused for another reason than a signature since its start, the newest first.
    #[serde(default)]
    pub refused: Vec<ReportedRefused>,
    /// How many rows of these it has.
    #[serde(default)]
    pub n_refused: u64,
    /// How many requests they are.
    #[serde(default)]
    pub n_refused_requests: u64,
    #[serde(default)]
    pub host: Option<String>,
    /// Where its admin listener is, as that machine knows it.
    #[serde(default)]
    pub admin: Option<String>,
    /// Since when it counts; nothing = it is of a version that tells no counts.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// What it has counted of its sources, the busiest first.
    #[serde(default)]
    pub sources: Vec<ReportedSource>,
    #[serde(default)]
    pub n_sources: u64,
    /// How long its acknowledgements took in the last hour.
    #[serde(default)]
    pub ack: Option<LatencyView>,
    /// How often something happened by minute and by hour, packed; nothing = never, or there was no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charts: Option<String>,
    /// How many of its sources and handlers they leave out, the quietest ones.
    #[serde(default)]
    pub n_charts_left_out: u64,
    /// Its rollouts, those first that have not ended, without their letters.
    #[serde(default, deserialize_with = "known_items")]
    pub rollouts: Vec<RolloutView>,
    /// What it asks of other gateways.
    #[serde(default, deserialize_with = "known_items")]
    pub rollout_requests: Vec<RolloutRequest>,
    /// What became of what others asked of it.
    #[serde(default, deserialize_with = "known_items")]
    pub rollout_answers: Vec<RolloutAnswer>,
    /// The highest number of its rollouts, told or not; 0 = it has none.
    #[serde(default)]
    pub last_rollout: u64,
    /// Of its rollouts that were another gateway's before: the number, when it began, and how often one went on with
    /// it. Those first that have not ended, then the newest.
    #[serde(default)]
    pub taken_over: Vec<(u64, Timestamp, u32)>,
}

/// How a handler does, as the gateway knows that delivers to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedHandler {
    pub name: HandlerName,
    /// Nothing = one that this version does not know.
    #[serde(default, deserialize_with = "known_state")]
    pub state: Option<HandlerStatus>,
    /// Why it is `failed`, or left alone while it runs.
    pub reason: Option<String>,
    #[serde(default)]
    pub in_flight: usize,
    /// Since when its calls fail; nothing where the newest one did not.
    pub failing_since: Option<Timestamp>,
    /// How many calls failed in a row.
    #[serde(default)]
    pub failures: u32,
    /// When the first of the deliveries was given up that were so since the newest that was made.
    pub given_up_since: Option<Timestamp>,
    #[serde(default)]
    pub given_up_in_a_row: u32,
    /// While it is left alone: when it is tried next.
    pub probe_at: Option<Timestamp>,
    pub last_error: Option<LastError>,
    pub last_success_at: Option<Timestamp>,
    /// How long its calls took in the last hour.
    #[serde(default)]
    pub calls: Option<LatencyView>,
}

/// The answer of `/api/v1/cluster`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterAnswer {
    /// Nothing = this gateway has its queue for itself (`queue.backend = "sled"`).
    pub cluster: Option<ClusterView>,
    /// What the other gateways told last.
    #[serde(default)]
    pub reports: Vec<NodeReportView>,
}

impl Api {
    /// How the cluster stands, with what its other gateways told.
    pub fn cluster_answer(&self) -> ClusterAnswer {
        ClusterAnswer { cluster: self.cluster(), reports: self.node_reports() }
    }

    /// What the other gateways told last, by name; empty = there are none, or none has told anything yet.
    pub fn node_reports(&self) -> Vec<NodeReportView> {
        let Some(server) = &self.server else { return Vec::new() };
        let (told_since, cluster) = (self.clock.now().before(TOLD_FOR), self.cluster());
        // One to which nothing happens tells nothing.
        let is_alive = |name: &NodeName| {
            let mut nodes = cluster.iter().flat_map(|cluster| &cluster.nodes);
            nodes.any(|node| node.name == *name && node.alive)
        };
        let mut told = server.control.reports();
        told.retain(|one| one.at > told_since || is_alive(&one.node));
        told.into_iter().filter_map(NodeReportView::read).collect()
    }

    /// What this gateway tells the others, without its charts; `None` = there are none.
    pub fn report(&self) -> Option<NodeReport> {
        let (server, cluster) = (self.server.as_ref()?, self.cluster()?);
        let rates = server.control.rates();
        let is_own = |handler: &&HandlerView| cluster.delivers_to(&handler.name);
        let all = self.own_handlers();
        let mut handlers: Vec<ReportedHandler> =
            all.iter().filter(is_own).map(|one| ReportedHandler::new(one, &rates)).collect();
        handlers.sort_by_key(ReportedHandler::is_well);
        let own_sources = self.own_sources();
        let mut sources: Vec<ReportedSource> =
            own_sources.iter().map(ReportedSource::new).collect();
        sources.sort_by_key(|one| std::cmp::Reverse(one.n_requests()));
        let refused = self.refused(&own_sources);
        let rejected = self.rejected(ROWS_MAX).unwrap_or_default();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut report = NodeReport {
            handlers,
            n_rejected: server.ingest.rejected().len() as u64,
            rejected: rejected.iter().map(ReportedRejected::new).collect(),
            n_refused: refused.len() as u64,
            n_refused_requests: refused.iter().map(|row| row.count).sum(),
            refused: turned_down::newest_refused(&refused),
            host: Some(cut(&host, turned_down::CHARS_MAX)),
            admin: server.control.admin().map(|address| address.to_string()),
            started_at: Some(server.control.started_at()),
            n_sources: sources.len() as u64,
            sources,
            ack: rates.ack,
            ..NodeReport::default()
        };
        server.rollouts.exchange.add_to(&mut report, server.rollouts.list(), self.clock.now());
        report.cut_texts();
        Some(report)
    }

    /// Rings when what this gateway tells the others is waited for.
    pub async fn report_is_awaited(&self) {
        match &self.server {
            Some(server) => server.rollouts.exchange.bell.notified().await,
            None => std::future::pending().await,
        }
    }

    /// As the others are told it, with the charts.
    pub fn report_text(&self, report: NodeReport) -> Option<String> {
        report.text(&self.server.as_ref()?.control.rates())
    }

    /// How often something happened with each source and handler, on all gateways.
    pub fn rates(&self) -> Result<RatesView, ApiError> {
        let mut rates = self.server()?.control.rates();
        let Some(cluster) = self.cluster() else { return Ok(rates) };
        let (reports, now) = (self.node_reports(), self.clock.now());
        for NodeReportView { at, report, .. } in &reports {
            if let Some(charts) = &report.charts {
                PackedCharts::unpack(charts).add_to(&mut rates, *at, now);
            }
        }
        for of in &mut rates.handlers {
            let told = owner_report(&of.handler, &cluster, &reports);
            let handlers = told.map(|told| &told.report.handlers);
            let known = handlers.and_then(|all| all.iter().find(|one| one.name == of.handler));
            if let (Some(told), Some(calls)) = (told, known.and_then(|one| one.calls)) {
                of.calls = Some(calls);
                of.calls_reported_by = Some(told.by());
            }
        }
        Ok(rates)
    }

    /// What the owner of each handler told of it, in place of what this gateway knows, which does not call it.
    pub(super) fn apply_reports(&self, handlers: &mut [HandlerView]) {
        let Some(cluster) = self.cluster() else { return };
        let reports = self.node_reports();
        for handler in handlers {
            let Some(of_owner) = owner_report(&handler.name, &cluster, &reports) else { continue };
            let of_handler = of_owner.report.handlers.iter().find(|one| one.name == handler.name);
            if let Some(known) = of_handler {
                known.apply(handler, of_owner.by());
            }
        }
    }
}

/// What the gateway told that delivers to a handler, where that is another one.
fn owner_report<'a>(
    handler: &HandlerName,
    cluster: &ClusterView,
    reports: &'a [NodeReportView],
) -> Option<&'a NodeReportView> {
    let owner = cluster.handlers.iter().find(|one| one.handler == *handler)?.owner.as_ref()?;
    reports.iter().find(|one| one.node == *owner && *owner != cluster.node)
}

impl NodeReportView {
    /// What a newer version tells may be of another shape.
    pub(super) fn read(SharedReport { node, at, text }: SharedReport) -> Option<Self> {
        Some(Self { node, at, report: serde_json::from_str(&text).ok()? })
    }

    fn by(&self) -> ReportedBy {
        ReportedBy { node: self.node.clone(), at: self.at }
    }
}

impl NodeReport {
    /// Without what changes with every event and delivery: equal ones bring no news.
    #[must_use]
    pub fn without_traffic(mut self) -> Self {
        for handler in &mut self.handlers {
            (handler.in_flight, handler.last_success_at, handler.calls) = (0, None, None);
        }
        (self.sources, self.n_refused_requests, self.ack) = (Vec::new(), 0, None);
        self
    }
}

impl ReportedHandler {
    fn new(handler: &HandlerView, rates: &RatesView) -> Self {
        let of_handler = rates.handlers.iter().find(|one| one.handler == handler.name);
        let last_error = handler.last_error.clone().map(|error| {
            let text = ErrorText::new(cut(error.text.as_str(), ERROR_CHARS_MAX));
            LastError { text, ..error }
        });
        Self {
            name: handler.name.clone(),
            state: Some(handler.state),
            reason: handler.reason.as_deref().map(|reason| cut(reason, ERROR_CHARS_MAX)),
            in_flight: handler.in_flight,
            failing_since: handler.failing_since,
            failures: handler.failures,
            given_up_since: handler.given_up_since,
            given_up_in_a_row: handler.given_up_in_a_row,
            probe_at: handler.probe_at,
            last_error,
            last_success_at: handler.last_success_at,
            calls: of_handler.and_then(|one| one.calls),
        }
    }

    fn is_well(&self) -> bool {
        self.state == Some(HandlerStatus::Running)
            && self.failing_since.is_none()
            && self.given_up_in_a_row == 0
    }

    fn apply(&self, handler: &mut HandlerView, by: ReportedBy) {
        // Whether it is paused, switched off or cannot be built here is known here, and there was told a while ago.
        let of_calls = |state| {
            matches!(state, HandlerStatus::Running | HandlerStatus::Down | HandlerStatus::Failed)
        };
        if matches!(handler.state, HandlerStatus::Running | HandlerStatus::Down)
            && let Some(state) = self.state.filter(|state| of_calls(*state))
        {
            handler.state = state;
            handler.reason.clone_from(&self.reason);
        }
        handler.in_flight = self.in_flight;
        (handler.failing_since, handler.failures) = (self.failing_since, self.failures);
        handler.given_up_since = self.given_up_since;
        handler.given_up_in_a_row = self.given_up_in_a_row;
        handler.probe_at = self.probe_at;
        handler.last_error.clone_from(&self.last_error);
        handler.last_success_at = self.last_success_at;
        handler.reported_by = Some(by);
    }
}

/// Those of a list that this version knows.
fn known_items<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    let items = Vec::<serde_json::Value>::deserialize(from)?;
    Ok(items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect())
}

fn known_state<'de, D: Deserializer<'de>>(from: D) -> Result<Option<HandlerStatus>, D::Error> {
    let state = serde_json::Value::deserialize(from)?;
    Ok(HandlerStatus::deserialize(state).ok())
}

#[cfg(test)]
mod tests;
