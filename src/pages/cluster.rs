//! The part of the overview about the gateways that share a log.

use super::widgets::{Plain, Sign, When};
use super::words;
use crate::api::{GatewayCounts, GatewayState};
use crate::clock::Timestamp;
use crate::cluster::{ClusterAck, ClusterView, NodeName, NodeView};

/// Nodes that are shown: a cluster has a handful, and each row takes up to 2 KB.
const NODES_MAX: usize = 10;
/// Handlers that are named beside a node.
const OWNED_MAX: usize = 8;
const ERROR_CHARS_MAX: usize = 90;

/// The part of the overview.
#[derive(Debug)]
pub(super) struct ClusterCard {
    /// What keeps the shared log, and whether it can be reached.
    pub(super) engine: String,
    pub(super) sign: Sign,
    pub(super) durability: String,
    pub(super) spilled: String,
    pub(super) nodes: Vec<NodeRow>,
    pub(super) n_more: usize,
}

/// A node in the table.
#[derive(Debug)]
pub(super) struct NodeRow {
    pub(super) name: String,
    pub(super) is_here: bool,
    pub(super) sign: Sign,
    pub(super) state: &'static str,
    pub(super) seen: String,
    pub(super) behind: Plain,
    pub(super) handlers: Vec<String>,
    pub(super) n_more_handlers: usize,
    /// What it has counted since its start; nothing = it has told none.
    pub(super) counts: Option<NodeCounts>,
}

/// What a gateway has counted, of which the other pages show the sum.
#[derive(Debug)]
pub(super) struct NodeCounts {
    pub(super) accepted: Plain,
    pub(super) rejected: Plain,
    /// As of when, where it is another one; nothing = now.
    pub(super) at: Option<When>,
    /// What 99 of 100 acknowledgements took at most in the last hour.
    pub(super) acknowledged: String,
}

/// What is wrong with the cluster, for the sentence that the overview begins with.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) first: String,
    pub(super) since: Option<When>,
    pub(super) rest: String,
    pub(super) explained: String,
}

pub(super) fn card(view: &ClusterView, gateways: &[GatewayCounts], now: Timestamp) -> ClusterCard {
    let (sign, engine) = if view.engine.up {
        (Sign::Ok, format!("{} answers", view.backend))
    } else {
        (Sign::Down, format!("{} cannot be reached", view.backend))
    };
    let spilled = match view.oldest_spilled_at {
        Some(at) if view.spilled > 0 => format!(
            "{} only on {}, the oldest for {}",
            words::counted(view.spilled, "event is", "events are"),
            view.node,
            words::between(at, now)
        ),
        Some(_) | None => format!("nothing is only on {}", view.node),
    };
    let of = |node: &NodeName| gateways.iter().find(|one| one.node == *node);
    let there = view.nodes.iter().map(|node| row(view, node, of(&node.name), now));
    let left = gateways.iter().filter(|one| one.state == GatewayState::Left);
    let nodes: Vec<NodeRow> = there.chain(left.map(|one| left_row(one, now))).collect();
    let n_more = nodes.len().saturating_sub(NODES_MAX);
    ClusterCard {
        engine,
        sign,
        durability: view
            .engine
            .durability
            .as_deref()
            .map_or_else(String::new, |one| words::shown(one, 200)),
        spilled,
        nodes: nodes.into_iter().take(NODES_MAX).collect(),
        n_more,
    }
}

fn counts(of: &GatewayCounts, now: Timestamp) -> NodeCounts {
    NodeCounts {
        accepted: Plain(of.sum(|source| source.accepted)),
        rejected: Plain(of.sum(|source| source.rejected.saturating_add(source.turned_away))),
        at: of.at.filter(|_| !of.is_here).map(|at| When::ago(at, now)),
        acknowledged: of.ack.map(|ack| words::latency(ack.p99_micros)).unwrap_or_default(),
    }
}

/// One that was stopped in order: what it has counted stands.
fn left_row(of: &GatewayCounts, now: Timestamp) -> NodeRow {
    NodeRow {
        name: of.node.to_string(),
        is_here: false,
        sign: Sign::None,
        state: of.state.as_str(),
        seen: of.at.map_or_else(String::new, |at| format!("{} ago", words::between(at, now))),
        behind: Plain(0),
        handlers: Vec::new(),
        n_more_handlers: 0,
        counts: Some(counts(of, now)),
    }
}

fn row(view: &ClusterView, node: &NodeView, of: Option<&GatewayCounts>, now: Timestamp) -> NodeRow {
    let handlers: Vec<String> = view.owned_by(&node.name).map(ToString::to_string).collect();
    NodeRow {
        name: node.name.to_string(),
        is_here: node.name == view.node,
        sign: if node.alive { Sign::Ok } else { Sign::Down },
        state: if node.alive { "alive" } else { "silent" },
        seen: node.seen_ms_ago.map_or_else(
            || "not since the start".to_owned(),
            |ms| format!("{} ago", words::span(std::time::Duration::from_millis(ms))),
        ),
        behind: Plain(view.head.map_or(0, |head| head.saturating_sub(node.applied))),
        n_more_handlers: handlers.len().saturating_sub(OWNED_MAX),
        handlers: handlers.into_iter().take(OWNED_MAX).collect(),
        counts: of.filter(|of| of.started_at.is_some()).map(|of| counts(of, now)),
    }
}

/// What is wrong; `None` = nothing.
pub(super) fn trouble(view: &ClusterView, now: Timestamp) -> Option<Trouble> {
    match view.failure() {
        Some(why) => Some(failed(view, why)),
        None if view.engine.up => silent(view),
        None => Some(engine_away(view, now)),
    }
}

fn failed(view: &ClusterView, why: &str) -> Trouble {
    Trouble {
        first: format!("Gateway {} takes no part any more", view.node),
        since: None,
        rest: format!(": {}", words::ended(words::shown(why, 200))),
        explained: "The others go on. Look at its log, and start it again once the reason is gone."
            .to_owned(),
    }
}

fn engine_away(view: &ClusterView, now: Timestamp) -> Trouble {
    let error = view.engine.error.as_deref().unwrap_or("it does not answer");
    let spilled = match view.spilled {
        0 => String::new(),
        1 => format!(" 1 event is only on {} until then.", view.node),
        n => format!(" {} events are only on {} until then.", words::count(n), view.node),
    };
    let taken_in = match view.ack {
        ClusterAck::Engine => "Senders are told to come back later",
        ClusterAck::Both | ClusterAck::Local => "Senders are answered all the same",
    };
    Trouble {
        first: format!("{} cannot be reached since", view.backend),
        since: Some(When::clock(view.engine.since, now)),
        rest: format!(": {}", words::ended(words::shown(error, ERROR_CHARS_MAX))),
        explained: format!("{taken_in}; nothing is delivered until it is back.{spilled}"),
    }
}

fn silent(view: &ClusterView) -> Option<Trouble> {
    let names: Vec<String> = view.silent().map(|node| node.name.to_string()).collect();
    let first = match names.as_slice() {
        [] => return None,
        [one] => format!("Gateway {one} gives no sign of life."),
        many => format!(
            "{} gateways give no sign of life: {}.",
            many.len(),
            many.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
        ),
    };
    Some(Trouble {
        first,
        since: None,
        rest: String::new(),
        explained:
            "The others have taken over its handlers. What it had answered and not forwarded \
                    waits on its disk, and comes when it is started again."
                .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::{ClusterBackend, EngineView, OwnerView};
    use crate::event::HandlerName;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn view(up: bool, alive: bool) -> ClusterView {
        let name = |text: &str| NodeName::parse(text).unwrap();
        let node = |text: &str, alive| NodeView {
            name: name(text),
            applied: 40,
            seen_ms_ago: Some(1_500),
            alive,
        };
        let error = (!up).then(|| "Connection refused".to_owned());
        let since = NOW.before(Duration::from_mins(5));
        ClusterView {
            node: name("a"),
            backend: ClusterBackend::Nats,
            ack: ClusterAck::Both,
            engine: EngineView { up, since, error, durability: Some("Two of three.".to_owned()) },
            applied: 41,
            head: Some(42),
            spilled: 7,
            oldest_spilled_at: Some(since),
            void_settlements: 0,
            nodes: vec![node("a", true), node("b", alive)],
            handlers: vec![OwnerView {
                handler: HandlerName::parse("mail").unwrap(),
                owner: Some(name("b")),
                epoch: 3,
                paused: false,
            }],
        }
    }

    #[test]
    fn engine_that_is_away_comes_before_a_silent_node() {
        assert!(trouble(&view(true, true), NOW).is_none());
        let away = trouble(&view(false, false), NOW).unwrap();
        assert_eq!(away.first, "NATS cannot be reached since");
        assert_eq!(away.rest, ": Connection refused.");
        assert!(away.explained.ends_with("7 events are only on a until then."), "{away:?}");
        let silent = trouble(&view(true, false), NOW).unwrap();
        assert_eq!(silent.first, "Gateway b gives no sign of life.");
        let refuses = ClusterView { ack: ClusterAck::Engine, ..view(false, true) };
        let refuses = trouble(&refuses, NOW).unwrap().explained;
        assert!(refuses.starts_with("Senders are told to come back later"), "{refuses}");
    }

    #[test]
    fn gateway_that_takes_no_part_any_more_says_why() {
        let mut view = view(true, true);
        view.engine.error = Some("another gateway is called `a` too".to_owned());
        let trouble = trouble(&view, NOW).unwrap();
        assert_eq!(trouble.first, "Gateway a takes no part any more");
        assert_eq!(trouble.rest, ": another gateway is called `a` too.");
    }

    #[test]
    fn card_says_what_is_only_here_and_who_delivers() {
        let card = card(&view(true, false), &[], NOW);
        assert_eq!(card.spilled, "7 events are only on a, the oldest for 5 min");
        assert_eq!(card.nodes[1].handlers, ["mail"]);
        assert_eq!((card.nodes[1].state, card.nodes[1].behind.0), ("silent", 2));
        assert!(card.nodes[0].is_here && card.nodes[0].handlers.is_empty());
    }
}
