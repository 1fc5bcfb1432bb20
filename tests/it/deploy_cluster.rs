//! What is in `deploy/cluster` for several gateways on one log, and what watches them: each is read by the
//! program that it is for.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gatepost::metrics::{ClusterFigures, Metrics};

use crate::deploy::{named, read};
use crate::proxies::{Proxy, configuration_of, nginx_around, start};
use crate::support::gateway::{Folder, Gateway, signature};
use crate::support::program;
use crate::support::servers::{command, find, own_folder, skip};
use crate::support::wire;

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

#[test]
fn cluster_alerts_and_panels_ask_for_metrics_that_there_are() {
    let metrics = Metrics::new();
    metrics.set_cluster(Some(ClusterFigures::default()));
    metrics.engine_append(Duration::from_millis(1));
    let text = metrics.text();
    for path in
        ["deploy/prometheus/gatepost-cluster-alerts.yml", "deploy/grafana/gatepost-cluster.json"]
    {
        let names = named(&read(path));
        assert!(names.len() > 4, "{names:?}");
        for name in names {
            assert!(text.contains(&name), "{path} asks for {name}");
        }
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/gatepost-cluster.json")).unwrap();
    assert_eq!(dashboard["panels"].as_array().unwrap().len(), 6);
}

#[test]
fn cluster_alert_rules_are_what_prometheus_takes() {
    let Some(promtool) = find("promtool") else { return skip("`promtool` is not installed") };
    let rules = path("prometheus/gatepost-cluster-alerts.yml");
    let checked = Command::new(promtool).args(["check", "rules"]).arg(rules).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn gateways_configurations_pass_check_and_differ_by_their_name_only() {
    let texts = ["a", "b"].map(|node| read(&format!("deploy/cluster/gateway-{node}.toml")));
    let without_name = |text: &str, node: &str| {
        text.replace(&format!("node = \"{node}\""), "").replace(&format!("Gateway \"{node}\""), "")
    };
    assert_eq!(without_name(&texts[0], "a"), without_name(&texts[1], "b"));
    for text in texts {
        let state = tempfile::tempdir().unwrap();
        let state = state.path();
        std::fs::create_dir_all(state.join("secrets")).unwrap();
        for name in ["database", "nats", "hyvor"] {
            let file = state.join("secrets").join(name);
            std::fs::write(&file, "0f4d2c81a7b35e96").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let nats = text.replace("backend = \"postgres\"", "backend = \"nats\"");
        let (before, rest) = nats.split_once("[queue.postgres]").unwrap();
        let (_, rest) = rest.split_once("# [queue.nats]").unwrap();
        let (keys, rest) = rest.split_once("\n\n").unwrap();
        let nats = format!("{before}[queue.nats]{}\n\n{rest}", keys.replace("\n# ", "\n"));
        for text in [text, nats] {
            let text = text.replace("/var/lib/gatepost", state.to_str().unwrap());
            let checked = program::run(&Folder::of_text(&text), &["check"]);
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success() && said.contains(" 0 warnings"), "{said}\n{text}");
        }
    }
}

#[test]
fn nats_servers_take_their_configurations_which_wait_for_the_disk() {
    let Some(server) = find("nats-server") else { return skip("`nats-server` is not installed") };
    for n in 1..=3 {
        let file = path(&format!("cluster/nats-{n}.conf"));
        let checked = Command::new(&server)
            .args(["-t", "-c"])
            .arg(&file)
            .env("GATEPOST_NATS_PASSWORD", "secret")
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains("sync_interval: always") && text.contains(&format!("nats-{n}\n")));
    }
}

#[test]
fn postgresql_takes_its_configurations_which_wait_for_a_standby() {
    if find("postgres").is_none() {
        return skip("`postgres` is not installed");
    }
    for (name, expected) in [("primary", "ANY 1 (pg_2, pg_3)"), ("standby", "ANY 1 (pg_1, pg_3)")] {
        let folder = own_folder();
        let config = folder.path().join("postgresql.conf");
        let text = read(&format!("deploy/cluster/postgresql-{name}.conf"));
        std::fs::write(&config, text).unwrap();
        let mut command = command("postgres");
        command.args(["-C", "synchronous_standby_names", "-D"]).arg(folder.path());
        command.arg("-c").arg(format!("config_file={}", config.display()));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{name}: {said}");
    }
}

/// Posts through a load balancer while one of its two gateways is there, and then the other one.
fn check_balancer(program: &str, run: impl FnOnce(&Path, SocketAddr, [SocketAddr; 2]) -> Proxy) {
    if find(program).is_none() {
        return skip(&format!("`{program}` is not installed"));
    }
    let trusted = "trusted_proxies = [\"127.0.0.1\"]";
    let gateways = [(); 2].map(|()| Gateway::with(trusted, ""));
    let folder = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _proxy = run(folder.path(), address, gateways.each_ref().map(|one| one.public));
    let mut n_sent = 0;
    let mut post_some = || {
        for _ in 0..20 {
            let body = format!(r#"{{"n":{n_sent}}}"#);
            n_sent += 1;
            let signature = signature(body.as_bytes());
            let headers = [("X-Signature", &*signature)];
            let answer = wire::request(address, "POST", "/hooks/hyvor", &headers, body.as_bytes());
            assert_eq!(answer.status, 200, "{program}: {body}");
        }
    };
    post_some();
    let n_stored = |gateway: &Gateway| {
        gateway.ask("GET", "/api/v1/status", "").json()["queue"]["events"].as_u64().unwrap()
    };
    assert!(gateways.iter().all(|one| n_stored(one) > 0), "both are asked");
    let [first, second] = gateways;
    first.stop();
    post_some();
    assert!(n_stored(&second) >= 20, "the other one takes what is for the first");
    second.stop();
}

#[test]
fn nginx_goes_on_with_the_gateway_that_is_there() {
    check_balancer("nginx", |folder, address, [one, other]| {
        let site = configuration_of(
            "cluster/nginx.conf",
            &[
                ("listen 80;", format!("listen {address};")),
                ("10.0.0.1:8080", one.to_string()),
                ("10.0.0.2:8080", other.to_string()),
            ],
        );
        nginx_around(&site, folder, address)
    });
}

#[test]
fn haproxy_goes_on_with_the_gateway_that_is_there() {
    check_balancer("haproxy", |folder, address, [one, other]| {
        let text = configuration_of(
            "cluster/haproxy.cfg",
            &[
                ("bind :80", format!("bind {address}")),
                ("10.0.0.1:8080", one.to_string()),
                ("10.0.0.2:8080", other.to_string()),
            ],
        );
        std::fs::write(folder.join("haproxy.cfg"), text).unwrap();
        start("haproxy", &["-db", "-f", "haproxy.cfg"], folder, address)
    });
}
