//! What a gateway tells of the requests that it turned down: strangers cause them, so it is little of each and few.

use serde::{Deserialize, Serialize};

use super::NodeReportView;
use crate::api::{Api, RejectedView};
use crate::clock::Timestamp;
use crate::event::SourceName;
use crate::ingest::RefusedRow;

/// The most rejected requests, and places of refused ones, that are told.
pub(super) const ROWS_MAX: usize = 12;
/// The longest text of each, in characters: a path, a reason.
pub(super) const CHARS_MAX: usize = 160;

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
    /// The source that it was for, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceName>,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub count: u64,
    pub last_at: Timestamp,
}

impl ReportedRejected {
    pub(super) fn new(request: &RejectedView) -> Self {
        Self {
            number: request.number,
            received_at: request.received_at,
            source: request.source.clone(),
            client: request.client,
            what: cut(&format!("{} {}", request.method, request.path), CHARS_MAX),
            reason: cut(&request.reason, CHARS_MAX),
        }
    }

    /// Whether it is to `source` and was turned down for `reason`, of which the beginning is told; `None` = any.
    pub fn is_of(&self, source: Option<&str>, reason: Option<&str>) -> bool {
        source.is_none_or(|source| self.source.as_str() == source)
            && reason.is_none_or(|reason| self.reason == cut(reason, CHARS_MAX))
    }
}

pub(super) fn newest_refused(rows: &[RefusedRow]) -> Vec<ReportedRefused> {
    let mut rows: Vec<&RefusedRow> = rows.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.last_at));
    let told = |row: &RefusedRow| ReportedRefused {
        status: row.status,
        path: row.path.as_deref().map(|path| cut(path, CHARS_MAX)),
        source: row.source.clone(),
        reason: cut(&row.reason, CHARS_MAX),
        count: row.count,
        last_at: row.last_at,
    };
    rows.into_iter().take(ROWS_MAX).map(told).collect()
}

/// Adds what another gateway refused to `rows`: to the one of the same place and reason where there is one.
pub(super) fn add_refused(rows: &mut Vec<RefusedRow>, told: &[ReportedRefused]) {
    for one in told {
        let is_same = |row: &&mut RefusedRow| {
            row.status == one.status
                && row.path.as_deref().map(|path| cut(path, CHARS_MAX)) == one.path
                && cut(&row.reason, CHARS_MAX) == one.reason
        };
        if let Some(row) = rows.iter_mut().find(is_same) {
            row.count = row.count.saturating_add(one.count);
            row.last_at = row.last_at.max(one.last_at);
        } else {
            rows.push(RefusedRow {
                status: one.status,
                reason: one.reason.clone().into(),
                path: one.path.clone(),
                source: one.source.clone(),
                count: one.count,
                last_at: one.last_at,
                client: None,
            });
        }
    }
}

pub(super) fn cut(text: &str, n_chars: usize) -> String {
    text.chars().take(n_chars).collect()
}

impl Api {
    /// The gateways on which a rejected request of this number is kept, in words; empty = none has told of it.
    pub(in crate::api) fn kept_elsewhere(&self, number: u64) -> String {
        let kept = |told: NodeReportView| {
            let NodeReportView { node, report, .. } = told;
            let one = report.rejected.iter().find(|one| one.number == number)?;
            let host = report.host.as_deref();
            let host = host.map(|host| format!(" (machine {host})")).unwrap_or_default();
            let (what, source) = (&one.what, &one.source);
            Some(format!(
                "; gateway `{node}`{host} keeps one of this number, {what} to `{source}`: ask there"
            ))
        };
        self.node_reports().into_iter().filter_map(kept).collect()
    }
}
