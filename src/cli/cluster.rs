//! `cluster status`: the gateways that share one log.

use std::time::Duration;

use crate::api::{ClusterAnswer, NodeReport, NodeReportView, ReportedRejected};
use crate::cluster::{ClusterAck, ClusterView, NodeView, OwnerView};
use crate::config::Config;
use crate::text::{count, counted, span};

use super::CliError;
use super::human::ago;
use super::output::{Column, Output, Page, plain, table};
use super::store::Server;

/// Shows the cluster as the gateway of `config` sees it.
pub(super) async fn status(config: &Config, output: Output) -> Result<(), CliError> {
    let server = Server::require(config).await?;
    let answer: ClusterAnswer = server.get("cluster", &[]).await?;
    output.one(&answer, |answer| match &answer.cluster {
        Some(view) => text(view) + &kept_elsewhere(&answer.reports),
        None => ALONE.to_owned(),
    })
}

const ALONE: &str = "this gateway has its queue for itself, in files of this machine (`queue.backend = \"sled\"`, \
                     named after its index); with \"postgres\" or \"nats\" several gateways share one log: see \
                     docs/cluster.md";

/// The cluster in one line.
pub(super) fn summary(view: &ClusterView) -> String {
    let n_silent = view.silent().count();
    let nodes = counted(view.nodes.len() as u64, "gateway", "gateways");
    let silent = if n_silent == 0 { String::new() } else { format!(", {n_silent} silent") };
    let only_here = match view.spilled {
        0 => String::new(),
        n => format!("; {} only here", counted(n, "event is", "events are")),
    };
    format!("cluster: `{}` of {nodes}{silent}; {}{only_here}", view.node, engine(view))
}

fn engine(view: &ClusterView) -> String {
    let ClusterView { backend, engine, .. } = view;
    if let Some(why) = view.failure() {
        return format!("it takes no part any more: {}", plain(why));
    }
    match &engine.error {
        Some(why) => {
            format!("{backend} cannot be reached since {}: {}", ago(engine.since), plain(why))
        }
        None => format!("{backend} answers"),
    }
}

/// A node with what is said of it.
struct NodeLine {
    name: String,
    state: &'static str,
    seen: String,
    behind: String,
    handlers: String,
}

fn text(view: &ClusterView) -> String {
    let mut text = Page::default();
    text.line(format_args!("{}", summary(view)));
    let head = view.head.map_or_else(|| "not known yet".to_owned(), count);
    text.line(format_args!(
        "shared log: newest unit {head}, applied here up to {}; a 200 waits for {}",
        count(view.applied),
        waits_for(view)
    ));
    if let Some(durability) = &view.engine.durability {
        text.line(format_args!("{}", plain(durability)));
    }
    if let Some(at) = view.oldest_spilled_at.filter(|_| view.spilled > 0) {
        text.line(format_args!(
            "{} only on this machine, the oldest came {}",
            counted(view.spilled, "event is", "events are"),
            ago(at)
        ));
    }
    if view.void_settlements > 0 {
        text.line(format_args!(
            "{} not counted since the start: their owner had lost its lease",
            counted(view.void_settlements, "settlement was", "settlements were")
        ));
    }
    let nodes: Vec<NodeLine> = view.nodes.iter().map(|node| line(view, node)).collect();
    text.line(format_args!(""));
    text.text(&table(
        &nodes,
        &[
            ("GATEWAY", |one| one.name.clone()),
            ("STATE", |one| one.state.to_owned()),
            ("LAST SIGN OF LIFE", |one| one.seen.clone()),
            ("UNITS BEHIND", |one| one.behind.clone()),
            ("DELIVERS TO", |one| one.handlers.clone()),
        ],
    ));
    for (what, which) in [
        ("no gateway delivers to", (|one| one.owner.is_none()) as fn(&OwnerView) -> bool),
        ("paused on every gateway", |one| one.paused),
    ] {
        let names = view.handlers.iter().filter(|one| which(one));
        let names: Vec<String> = names.map(|one| one.handler.to_string()).collect();
        if !names.is_empty() {
            text.line(format_args!("\n{what}: {}", names.join(", ")));
        }
    }
    text.finish()
}

/// How many rejected requests the other gateways keep.
pub(super) fn kept_elsewhere(told: &[NodeReportView]) -> String {
    let mut text = Page::default();
    for NodeReportView { node, at, report } in told.iter().filter(|told| told.report.n_rejected > 0)
    {
        let kept = counted(report.n_rejected, "rejected request", "rejected requests");
        text.line(format_args!(
            "\n`{node}` keeps {kept}, as it told {}: the newest are in `gatepost rejected list`",
            ago(*at)
        ));
    }
    text.finish()
}

/// Where a gateway is.
fn machine(report: &NodeReport) -> String {
    let host = report.host.as_deref();
    host.map_or_else(String::new, |host| format!(" (machine {})", plain(host)))
}

const REJECTED: &[Column<ReportedRejected>] = &[
    ("NUMBER THERE", |one| one.number.to_string()),
    ("RECEIVED", |one| ago(one.received_at)),
    ("SOURCE", |one| one.source.to_string()),
    ("CLIENT", |one| one.client.map_or_else(|| "-".to_owned(), |client| client.to_string())),
    ("REQUEST", |one| plain(&one.what)),
    ("REASON", |one| plain(&one.reason)),
];

/// The newest rejected requests of the other gateways, as they told them; only those to one source where
/// that is named.
pub(super) fn rejected_elsewhere(told: &[NodeReportView], source: Option<&str>) -> String {
    let mut text = Page::default();
    for NodeReportView { node, at, report } in told {
        let is_meant = |one: &&ReportedRejected| one.is_of(source, None);
        let rows: Vec<ReportedRejected> =
            report.rejected.iter().filter(is_meant).cloned().collect();
        if rows.is_empty() {
            continue;
        }
        let kept = counted(report.n_rejected, "request is", "requests are");
        text.line(format_args!(
            "\non gateway `{node}`{}, as it told {}: {kept} kept there, and shown, explained and released there; the \
             newest",
            machine(report),
            ago(*at)
        ));
        text.text(&table(&rows, REJECTED));
    }
    text.finish()
}

fn waits_for(view: &ClusterView) -> &'static str {
    match view.ack {
        ClusterAck::Both => "this machine's disk and the shared log",
        ClusterAck::Engine => "the shared log",
        ClusterAck::Local => "this machine's disk",
    }
}

fn line(view: &ClusterView, node: &NodeView) -> NodeLine {
    let mut handlers: Vec<String> = view.owned_by(&node.name).map(ToString::to_string).collect();
    if handlers.is_empty() {
        handlers.push("-".to_owned());
    }
    let is_here = node.name == view.node;
    let seen = node.seen_ms_ago.map(|ms| format!("{} ago", span(Duration::from_millis(ms))));
    NodeLine {
        name: format!("{}{}", node.name, if is_here { " (this one)" } else { "" }),
        state: if node.alive { "alive" } else { "silent" },
        seen: seen.unwrap_or_else(|| "not since the start".to_owned()),
        behind: count(view.head.map_or(0, |head| head.saturating_sub(node.applied))),
        handlers: handlers.join(", "),
    }
}
