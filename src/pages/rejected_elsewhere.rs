//! What other gateways of a cluster turned down, as they told it: a part of `/rejected`.

use super::widgets::{Ticked, When};
use super::words::{self, Room};
use crate::api::{Api, ToldRefused, ToldRejected, ToldView};
use crate::clock::Timestamp;

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
    pub(super) rejected: Vec<RejectedThere>,
    pub(super) refused: Vec<RefusedLine>,
}

/// A rejected request that another gateway keeps.
#[derive(Debug)]
pub(super) struct RejectedThere {
    pub(super) number: u64,
    pub(super) at: When,
    pub(super) source: String,
    pub(super) client: String,
    pub(super) what: String,
    pub(super) reason: String,
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

/// All that told of any.
pub(super) fn of_others(api: &Api, now: Timestamp) -> Vec<OnOther> {
    let mut room = Room::new(ROOM);
    let told = api.told().into_iter().take(NODES_MAX);
    let others = told.map(|told| of_other(&told, now, &mut room));
    others.filter(|one| !(one.rejected.is_empty() && one.refused.is_empty())).collect()
}

fn of_other(told: &ToldView, now: Timestamp, room: &mut Room) -> OnOther {
    let ToldView { node, at, report } = told;
    OnOther {
        node: node.to_string(),
        at: When::ago(*at, now),
        count: words::counted(report.n_rejected, "rejected request is", "rejected requests are"),
        rejected: report.rejected.iter().map(|one| rejected(one, now, room)).collect(),
        refused: report.refused.iter().map(|one| refused(one, now, room)).collect(),
    }
}

fn rejected(one: &ToldRejected, now: Timestamp, room: &mut Room) -> RejectedThere {
    RejectedThere {
        number: one.number,
        at: When::ago(one.received_at, now),
        source: one.source.to_string(),
        client: one.client.map(|client| client.to_string()).unwrap_or_default(),
        what: room.shown(&one.what, 120),
        reason: room.shown(&one.reason, 160),
    }
}

fn refused(one: &ToldRefused, now: Timestamp, room: &mut Room) -> RefusedLine {
    RefusedLine {
        status: one.status.map(|status| status.to_string()).unwrap_or_default(),
        path: one.path.as_deref().map(|path| room.shown(path, 100)).unwrap_or_default(),
        reason: Ticked::within(&one.reason, 300, room),
        count: words::count(one.count),
        last: When::ago(one.last_at, now),
    }
}
