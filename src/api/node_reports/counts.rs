//! What each of several gateways has counted since its start: the sum is shown, and beside it the share of each.

use super::turned_down::add_refused;
use super::{NodeReport, NodeReportView};
use crate::api::{
    Api, GatewayCounts, GatewayState, ReportedSource, SecretView, SourceView, StatusView,
};
use crate::clock::Timestamp;
use crate::cluster::{ClusterView, NodeName, NodeView};

impl ReportedSource {
    pub(super) fn new(view: &SourceView) -> Self {
        let matched =
            |secret: &SecretView| Some((secret.fingerprint.clone()?, secret.last_matched_at?));
        Self {
            name: view.name.clone(),
            accepted: view.accepted,
            duplicate: view.duplicate,
            handshakes: view.handshakes,
            rejected: view.rejected,
            turned_away: view.turned_away,
            last_verified_at: view.last_verified_at,
            last_event_at: view.last_event_at,
            matched: view.secrets.iter().filter_map(matched).collect(),
        }
    }

    fn add_to(&self, view: &mut SourceView) {
        let Self { accepted, duplicate, handshakes, rejected, turned_away, .. } = self;
        for (sum, more) in [
            (&mut view.accepted, accepted),
            (&mut view.duplicate, duplicate),
            (&mut view.handshakes, handshakes),
            (&mut view.rejected, rejected),
            (&mut view.turned_away, turned_away),
        ] {
            *sum = sum.saturating_add(*more);
        }
        view.last_verified_at = view.last_verified_at.max(self.last_verified_at);
        view.last_event_at = view.last_event_at.max(self.last_event_at);
        for secret in &mut view.secrets {
            let is_it =
                |(print, _): &&(String, Timestamp)| Some(print) == secret.fingerprint.as_ref();
            let matched_at = self.matched.iter().find(is_it).map(|(_, at)| *at);
            secret.last_matched_at = secret.last_matched_at.max(matched_at);
        }
    }
}

/// Adds what the other gateways count to what this one does.
pub(super) fn add_sources(sources: &mut [SourceView], reports: &[NodeReportView]) {
    for told in reports.iter().flat_map(|one| &one.report.sources) {
        if let Some(view) = sources.iter_mut().find(|view| view.name == told.name) {
            told.add_to(view);
        }
    }
}

impl GatewayCounts {
    pub(super) fn new(
        (node, at, report): (&NodeName, Option<Timestamp>, NodeReport),
        cluster: &ClusterView,
    ) -> Self {
        let here = cluster.nodes.iter().find(|one| one.name == *node);
        let is_here = *node == cluster.node;
        let n_sources = report.sources.len() as u64;
        Self {
            node: node.clone(),
            is_here,
            state: match here {
                _ if is_here => GatewayState::Alive,
                Some(one) if one.alive => GatewayState::Alive,
                Some(_) => GatewayState::Silent,
                None => GatewayState::Left,
            },
            at,
            started_at: report.started_at,
            host: report.host,
            admin: report.admin,
            n_sources_left_out: report.n_sources.saturating_sub(n_sources),
            sources: report.sources,
            rejected: report.n_rejected,
            refused: report.n_refused_requests,
            ack: report.ack,
            n_charts_left_out: report.n_charts_left_out,
        }
    }
}

impl StatusView {
    /// Since when all gateways count; nothing = one that takes part has not told, or is of a version that does not.
    pub fn all_count_since(&self) -> Option<Timestamp> {
        let Some(cluster) = &self.cluster else { return self.started_at };
        let started_at = |name: &NodeName| {
            self.gateways.iter().find(|one| one.node == *name).and_then(|one| one.started_at)
        };
        // One that is gone for good, and whose last report is too, keeps nothing from being known.
        let told = |name: &NodeName| self.gateways.iter().any(|one| one.node == *name);
        let nodes = cluster.nodes.iter().filter(|one| one.alive || told(&one.name));
        let starts = nodes.map(|one| started_at(&one.name));
        starts.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// The start of the gateway that has counted for longest.
    pub fn any_counts_since(&self) -> Option<Timestamp> {
        let starts = self.gateways.iter().filter_map(|one| one.started_at);
        starts.chain(self.started_at).min()
    }
}

impl Api {
    /// The configured sources, with what all gateways count of them; none without a server.
    pub fn sources(&self) -> Vec<SourceView> {
        let mut sources = self.own_sources();
        add_sources(&mut sources, &self.node_reports());
        sources
    }

    /// The same as this gateway counts.
    pub(in crate::api) fn own_sources(&self) -> Vec<SourceView> {
        self.server.as_ref().map(|server| server.control.sources()).unwrap_or_default()
    }

    /// Adds what the other gateways count to what this one does, and says what each has.
    pub(in crate::api) fn add_reports(&self, status: &mut StatusView) {
        let reports = self.node_reports();
        add_sources(&mut status.sources, &reports);
        for NodeReportView { report, .. } in &reports {
            add_refused(&mut status.refused, &report.refused);
            let n_rejected = usize::try_from(report.n_rejected).unwrap_or(usize::MAX);
            status.rejected = status.rejected.saturating_add(n_rejected);
        }
        status.gateways = self.gateways(reports);
    }

    /// What each gateway has counted, this one first; empty = the queue is this machine's alone.
    fn gateways(&self, reports: Vec<NodeReportView>) -> Vec<GatewayCounts> {
        let Some(cluster) = self.cluster() else { return Vec::new() };
        let own = self.report().map(|own| (&cluster.node, Some(self.now()), own));
        let mut gateways: Vec<GatewayCounts> =
            own.into_iter().map(|own| GatewayCounts::new(own, &cluster)).collect();
        gateways.extend(others(reports, &cluster));
        gateways
    }
}

/// The other gateways, by name: those that have told, and those that are alive and have not yet.
pub(super) fn others(reports: Vec<NodeReportView>, cluster: &ClusterView) -> Vec<GatewayCounts> {
    let has_told = |name: &NodeName| reports.iter().any(|told| told.node == *name);
    let is_missing =
        |one: &&NodeView| one.alive && one.name != cluster.node && !has_told(&one.name);
    let missing = cluster.nodes.iter().filter(is_missing);
    let mut others: Vec<GatewayCounts> = missing
        .map(|one| GatewayCounts::new((&one.name, None, NodeReport::default()), cluster))
        .collect();
    others.extend(reports.into_iter().map(|told| {
        let NodeReportView { node, at, report } = told;
        GatewayCounts::new((&node, Some(at), report), cluster)
    }));
    others.sort_by(|one, other| one.node.cmp(&other.node));
    others
}
