//! What is in `deploy/` for people who watch with Prometheus and Grafana.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::gateway::{Folder, Gateway};
use crate::support::program;
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
    let gateway = Gateway::with("", "[standby]\n");
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

#[test]
fn configurations_of_packages_pass_check_and_write_below_the_state_folder_only() {
    for name in ["package", "container"] {
        let text = read(&format!("deploy/{name}/config.toml"));
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            for path in line.split('"').skip(1).step_by(2).filter(|value| value.contains('/')) {
                assert!(path.starts_with("/var/lib/gatepost/"), "{name}: {line}");
            }
        }
        let state = tempfile::tempdir().unwrap();
        let folder =
            Folder::of_text(&text.replace("/var/lib/gatepost", state.path().to_str().unwrap()));
        let checked = program::run(&folder, &["check"]);
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && said.contains(" 0 warnings"), "{name}: {said}");
    }
}

#[test]
fn bill_of_materials_has_what_is_built_in_and_nothing_of_the_tests() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/package/sbom");
    if find("python3").is_none() {
        return skip("`python3` is not installed");
    }
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bill: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let components = bill["components"].as_array().unwrap();
    let names: BTreeSet<&str> =
        components.iter().map(|component| component["name"].as_str().unwrap()).collect();
    assert!(["sled", "aws-lc-sys", "libsqlite3-sys"].iter().all(|name| names.contains(name)));
    assert!(["proptest", "insta", "tempfile"].iter().all(|name| !names.contains(name)));
    for component in components {
        assert!(component["hashes"][0]["content"].as_str().is_some(), "{component}");
        assert_ne!(component["licenses"][0]["expression"], "NOASSERTION", "{component}");
    }
    let refs: BTreeSet<&str> =
        components.iter().map(|component| component["bom-ref"].as_str().unwrap()).collect();
    for dependency in bill["dependencies"].as_array().unwrap() {
        for needed in dependency["dependsOn"].as_array().unwrap() {
            assert!(refs.contains(needed.as_str().unwrap()), "{needed}");
        }
    }
}
