//! What other gateways of a cluster turned down, as they told it: a part of `/rejected`.

use super::widgets::{Ticked, When};
use super::words::{self, Room};
use crate::api::{Api, GatewayCounts, NodeReport, NodeReportView, ReportedRejected, StatusView};
use crate::clock::Timestamp;
use crate::event::SourceName;

/// Gateways that are shown, and bytes of strangers' text of all of them.
const NODES_MAX: usize = 8;
const ROOM: usize = 12 << 10;

/// One gateway.
#[derive(Debug)]
pub(super) struct OnOther {
    pub(super) node: String,
    pub(super) at: When,
    /// How many rejected requests it keeps.
    pub(super) count: String,
    /// Where that is: its machine, and its admin listener there.
    pub(super) place: String,
    pub(super) rejected: Vec<RejectedThere>,
    /// Which of them those are.
    pub(super) shown: String,
}

/// A rejected request that another gateway keeps.
#[derive(Debug)]
pub(super) struct RejectedThere {
    pub(super) number: u64,
    pub(super) at: When,
    pub(super) source: String,
    /// Whether it has a page here.
    pub(super) is_source_here: bool,
    pub(super) client: String,
    pub(super) what: String,
    pub(super) reason: Ticked,
}

/// What was refused before its signature was looked at.
#[derive(Debug)]
pub(super) struct RefusedLine {
    pub(super) status: String,
    pub(super) path: String,
    pub(super) reason: Ticked,
    pub(super) count: String,
    pub(super) last: When,
}

/// Those that told of any to a source and for a reason, and how many more there are.
pub(super) fn of_others(
    api: &Api,
    (source, reason): (Option<&str>, Option<&str>),
    now: Timestamp,
) -> (Vec<OnOther>, usize) {
    let is_filtered = source.is_some() || reason.is_some();
    let mut told = api.node_reports();
    told.retain_mut(|NodeReportView { report, .. }| {
        // Of those that it did not tell some may fit.
        let has_more = report.n_rejected > report.rejected.len() as u64;
        report.rejected.retain(|one| one.is_of(source, reason));
        !report.rejected.is_empty() || is_filtered && has_more
    });
    let n_more = told.len().saturating_sub(NODES_MAX);
    let here = api.sources();
    let is_here = |source: &SourceName| here.iter().any(|one| one.name == *source);
    let mut room = Room::new(ROOM);
    let others = told.iter().take(NODES_MAX);
    let others = others.map(|told| {
        let mut other = of_other(told, &is_here, now, &mut room);
        if is_filtered {
            other.shown = format!("Of the newest, which it told, {} here", fitting(&other));
        }
        other
    });
    (others.collect(), n_more)
}

fn fitting(other: &OnOther) -> String {
    words::counted(other.rejected.len() as u64, "is", "are")
}

fn of_other(
    told: &NodeReportView,
    is_here: &dyn Fn(&SourceName) -> bool,
    now: Timestamp,
    room: &mut Room,
) -> OnOther {
    let NodeReportView { node, at, report } = told;
    OnOther {
        node: node.to_string(),
        at: When::ago(*at, now),
        count: words::counted(report.n_rejected, "rejected request is", "rejected requests are"),
        place: place(report),
        shown: format!("The newest {}", report.rejected.len()),
        rejected: report
            .rejected
            .iter()
            .map(|one| rejected(one, is_here(&one.source), now, room))
            .collect(),
    }
}

fn rejected(
    one: &ReportedRejected,
    is_source_here: bool,
    now: Timestamp,
    room: &mut Room,
) -> RejectedThere {
    RejectedThere {
        number: one.number,
        at: When::ago(one.received_at, now),
        source: one.source.to_string(),
        is_source_here,
        client: one.client.map(|client| client.to_string()).unwrap_or_default(),
        what: room.shown(&one.what, 120),
        reason: Ticked::within(&one.reason, 160, room),
    }
}

/// Where the whole requests are read.
fn place(report: &NodeReport) -> String {
    let host = report.host.as_deref().map(|host| format!("on machine {}", words::shown(host, 80)));
    let admin =
        report.admin.as_deref().map(|at| format!("dashboard at {} there", words::shown(at, 60)));
    host.into_iter().chain(admin).collect::<Vec<_>>().join(", ")
}

/// How many requests each gateway has not stored for another reason, and as of when; empty = there is one gateway.
pub(super) fn refused_shares(status: &StatusView, now: Timestamp) -> Vec<(String, Option<When>)> {
    let counting = status.gateways.iter().filter(|one| one.started_at.is_some()).take(NODES_MAX);
    let share = |one: &GatewayCounts| {
        let said = format!("{} {}", one.node, words::count(one.refused));
        (said, one.at.filter(|_| !one.is_here).map(|at| When::ago(at, now)))
    };
    counting.map(share).collect()
}
