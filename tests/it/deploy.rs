//! What is in `deploy/` for people who watch with Prometheus and Grafana.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::gateway::Gateway;
use crate::support::servers::{find, skip};
use crate::support::wire;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The metrics that a text names, without what a histogram adds.
fn named(text: &str) -> BTreeSet<String> {
    let rests = text.split("gatepost_").skip(1);
    let names = rests.map(|rest| {
        let end = |c: char| !c.is_ascii_lowercase() && c != '_';
        format!("gatepost_{}", rest.split(end).next().unwrap())
    });
    let names = names.filter(|name| name != "gatepost_");
    names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn alerts_and_panels_ask_for_metrics_that_there_are() {
    let gateway = Gateway::start();
    gateway.send(b"{}").id();
    let metrics = wire::request(gateway.admin, "GET", "/metrics", &[], b"").text();
    for path in ["deploy/prometheus/gatepost-alerts.yml", "deploy/grafana/gatepost.json"] {
        let names = named(&read(path));
        assert!(names.len() > 4, "{names:?}");
        for name in names {
            assert!(metrics.contains(&name), "{path} asks for {name}");
        }
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/gatepost.json")).unwrap();
    assert_eq!(dashboard["panels"].as_array().unwrap().len(), 8);
}

#[test]
fn alert_rules_are_what_prometheus_takes() {
    let Some(promtool) = find("promtool") else { return skip("`promtool` is not installed") };
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/gatepost-alerts.yml");
    let checked = Command::new(promtool).args(["check", "rules"]).arg(rules).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
