//! What each of several gateways tells the others: how the handlers do that it delivers to, and the newest requests
//! that it turned down. These are known to that gateway alone, and strangers cause most of them: so each tells a
//! bounded summary, seldom, and what is shown of it says who told it and when.

use serde::{Deserialize, Deserializer, Serialize};

use super::handler_control::{HandlerStatus, LastErrorView};
use super::{Api, HandlerView, RejectedView, ReportedBy, StatusView};
use crate::clock::Timestamp;
use crate::cluster::{ClusterView, NodeName, REPORT_MAX, SharedReport};
use crate::event::{ErrorText, HandlerName, SourceName};
use crate::ingest::RefusedRow;

/// The most rejected requests, and places of refused ones, that are told.
const ROWS_MAX: usize = 12;
/// The longest text of each, in characters: a path, a reason.
const CHARS_MAX: usize = 160;
/// The longest error of a handler.
const ERROR_CHARS_MAX: usize = 300;

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
    /// Calls that are under way.
    #[serde(default)]
    pub in_flight: usize,
    /// Since when its calls fail; nothing where the newest one did not.
    pub failing_since: Option<Timestamp>,
    /// How many calls failed in a row.
    #[serde(default)]
    pub failures: u32,
    /// When the first of the deliveries was given up that were so since the newest that was made.
    pub given_up_since: Option<Timestamp>,
    /// How many they are.
    #[serde(default)]
    pub given_up_in_a_row: u32,
    /// While it is left alone: when it is tried next.
    pub probe_at: Option<Timestamp>,
    /// The newest failure.
    pub last_error: Option<LastErrorView>,
    /// When the newest delivery was made.
    pub last_success_at: Option<Timestamp>,
}

/// A rejected request of another gateway: the rest of it is there alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedRejected {
    /// There; the same number is another request elsewhere.
    pub number: u64,
    pub received_at: Timestamp,
    pub source: SourceName,
    pub client: Option<std::net::IpAddr>,
    /// Method and path.
    #[serde(default)]
    pub what: String,
    #[serde(default)]
    pub reason: String,
}

/// What another gateway refused before it looked at a signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedRefused {
    pub status: Option<u16>,
    pub path: Option<String>,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub count: u64,
    pub last_at: Timestamp,
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
        let view = |SharedReport { node, at, text }: SharedReport| {
            // What a newer version tells may be of another shape.
            Some(NodeReportView { node, at, report: serde_json::from_str(&text).ok()? })
        };
        server.control.reports().into_iter().filter_map(view).collect()
    }

    /// What this gateway tells the others; `None` = there are none.
    pub fn report(&self) -> Option<NodeReport> {
        let status = self.status();
        let cluster = status.cluster.as_ref()?;
        let is_own = |handler: &&HandlerView| cluster.delivers_to(&handler.name);
        let mut handlers: Vec<ReportedHandler> =
            status.handlers.iter().filter(is_own).map(ReportedHandler::new).collect();
        handlers.sort_by_key(ReportedHandler::is_well);
        let rejected = self.rejected(ROWS_MAX).unwrap_or_default();
        Some(NodeReport {
            handlers,
            n_rejected: status.rejected as u64,
            rejected: rejected.iter().map(ReportedRejected::new).collect(),
            refused: newest_refused(&status),
            n_refused: status.refused.len() as u64,
        })
    }

    /// What the owner of each handler told of it, in place of what this gateway knows, which does not call it.
    pub(super) fn apply_reports(&self, handlers: &mut [HandlerView]) {
        let Some(cluster) = self.cluster() else { return };
        let reports = self.node_reports();
        for handler in handlers {
            let owner = cluster.handlers.iter().find(|one| one.handler == handler.name);
            let owner = owner.and_then(|one| one.owner.as_ref()).filter(|it| **it != cluster.node);
            let Some(of_owner) = reports.iter().find(|one| Some(&one.node) == owner) else {
                continue;
            };
            let of_handler = of_owner.report.handlers.iter().find(|one| one.name == handler.name);
            if let Some(known) = of_handler {
                known.apply(handler, ReportedBy { node: of_owner.node.clone(), at: of_owner.at });
            }
        }
    }
}

impl NodeReport {
    /// Without what changes with every delivery: equal ones bring no news.
    #[must_use]
    pub fn without_deliveries(mut self) -> Self {
        for handler in &mut self.handlers {
            (handler.in_flight, handler.last_success_at) = (0, None);
        }
        self
    }

    /// As the others are told it, in at most [`REPORT_MAX`] bytes: with at most half of it what strangers have
    /// caused, and then as many handlers as there is room for.
    pub fn text(mut self) -> Option<String> {
        while serde_json::to_string(&(&self.rejected, &self.refused)).ok()?.len() > REPORT_MAX / 2 {
            let n_rows = self.rejected.len().max(self.refused.len()).saturating_sub(1);
            self.rejected.truncate(n_rows);
            self.refused.truncate(n_rows);
        }
        loop {
            let text = serde_json::to_string(&self).ok()?;
            if text.len() <= REPORT_MAX {
                return Some(text);
            }
            self.handlers.pop()?;
        }
    }
}

impl ReportedHandler {
    fn new(handler: &HandlerView) -> Self {
        let last_error = handler.last_error.clone().map(|error| {
            let text = ErrorText::new(cut(error.text.as_str(), ERROR_CHARS_MAX));
            LastErrorView { text, ..error }
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

impl ReportedRejected {
    fn new(request: &RejectedView) -> Self {
        Self {
            number: request.number,
            received_at: request.received_at,
            source: request.source.clone(),
            client: request.client,
            what: cut(&format!("{} {}", request.method, request.path), CHARS_MAX),
            reason: cut(&request.reason, CHARS_MAX),
        }
    }
}

fn newest_refused(status: &StatusView) -> Vec<ReportedRefused> {
    let mut rows: Vec<&RefusedRow> = status.refused.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.last_at));
    let told = |row: &RefusedRow| ReportedRefused {
        status: row.status,
        path: row.path.as_deref().map(|path| cut(path, CHARS_MAX)),
        reason: cut(&row.reason, CHARS_MAX),
        count: row.count,
        last_at: row.last_at,
    };
    rows.into_iter().take(ROWS_MAX).map(told).collect()
}

fn known_state<'de, D: Deserializer<'de>>(from: D) -> Result<Option<HandlerStatus>, D::Error> {
    let state = serde_json::Value::deserialize(from)?;
    Ok(HandlerStatus::deserialize(state).ok())
}

fn cut(text: &str, n_chars: usize) -> String {
    text.chars().take(n_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::super::view::handlers;
    use super::*;
    use crate::queue::{Backlog, QueueStats};

    #[test]
    fn report_is_bounded_and_leaves_out_what_is_missed_least() {
        let now = Timestamp::from_millis(1);
        // Of one byte, of which JSON makes six.
        let text = |n_chars: usize| "\u{1}".repeat(n_chars);
        let rejected = |number: u64| ReportedRejected {
            number,
            received_at: now,
            source: SourceName::parse("web").unwrap(),
            client: None,
            what: text(CHARS_MAX),
            reason: text(CHARS_MAX),
        };
        let refused = ReportedRefused {
            status: None,
            path: Some(text(CHARS_MAX)),
            reason: text(CHARS_MAX),
            count: 1,
            last_at: now,
        };
        let handler = |number: usize| ReportedHandler {
            name: HandlerName::parse(&format!("handler-{number}")).unwrap(),
            state: Some(HandlerStatus::Running),
            reason: Some(text(ERROR_CHARS_MAX)),
            in_flight: 0,
            failing_since: Some(now),
            failures: 1,
            given_up_since: None,
            given_up_in_a_row: 0,
            probe_at: None,
            last_error: None,
            last_success_at: None,
        };
        let report = NodeReport {
            handlers: (0..100).map(handler).collect(),
            n_rejected: 1_000,
            rejected: (0..12).map(|n| rejected(1_000 - n)).collect(),
            refused: vec![refused; 12],
            n_refused: 24,
        };
        let text = report.text().unwrap();
        assert!(text.len() <= REPORT_MAX);
        let told: NodeReport = serde_json::from_str(&text).unwrap();
        assert_eq!(told.handlers[0].name.as_str(), "handler-0");
        assert_eq!((told.rejected[0].number, told.n_rejected), (1_000, 1_000));
    }

    #[test]
    fn state_of_calls_is_taken_over_and_a_stale_pause_is_not() {
        let report = |state: &str| -> ReportedHandler {
            let text = format!(r#"{{"name":"app","state":"{state}","failures":3}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let by =
            || ReportedBy { node: NodeName::parse("b").unwrap(), at: Timestamp::from_millis(1) };
        let app = (HandlerName::parse("app").unwrap(), Backlog::default());
        let stats = QueueStats { handlers: vec![app], ..QueueStats::default() };
        let shown = |here: HandlerStatus, told: &str| {
            let mut handler = handlers(&stats, None, by().at).pop().unwrap();
            handler.state = here;
            report(told).apply(&mut handler, by());
            assert_eq!((handler.failures, handler.reported_by), (3, Some(by())));
            handler.state
        };
        let (running, down) = (HandlerStatus::Running, HandlerStatus::Down);
        assert_eq!(shown(running, "down"), down);
        assert_eq!(shown(down, "running"), running);
        assert_eq!(shown(running, "failed"), HandlerStatus::Failed);
        assert_eq!(shown(running, "paused"), running, "it was resumed here since");
        assert_eq!(shown(running, "disabled"), running);
        assert_eq!(shown(down, "of a later version"), down);
        assert_eq!(shown(HandlerStatus::Paused, "running"), HandlerStatus::Paused);
    }

    #[test]
    fn report_is_no_news_where_deliveries_are_all_that_changed() {
        let text = r#"{"handlers":[{"name":"app","state":"running"}],"n_rejected":1}"#;
        let report: NodeReport = serde_json::from_str(text).unwrap();
        let mut later = report.clone();
        later.handlers[0].in_flight = 2;
        later.handlers[0].last_success_at = Some(Timestamp::from_millis(1));
        assert_eq!(later.clone().without_deliveries(), report);
        later.handlers[0].failures = 1;
        assert_ne!(later.without_deliveries(), report);
    }
}
