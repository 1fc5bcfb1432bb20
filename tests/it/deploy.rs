//! What is in `deploy/` for people who watch with Prometheus and Grafana.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::bad_server::{BadServer, status};
use crate::support::gateway::{Folder, Gateway, http_handler};
use crate::support::patience::wait_until;
use crate::support::program;
use crate::support::servers::{find, skip};
use crate::support::tls::{Pair, connect_believing};
use crate::support::wire;
use crate::tls::post;

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The metrics that a text names, without what a histogram adds.
pub(crate) fn named(text: &str) -> BTreeSet<String> {
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
    let pair = Pair::until(2200);
    let folder = Folder::new("tls = { cert = \"cert.pem\", key = \"key.pem\" }", "[standby]\n");
    pair.write(folder.path());
    let gateway = Gateway::serve(folder);
    let mut wire = connect_believing(gateway.public, &pair.cert, &[]);
    post(&mut wire, b"{}").unwrap().id();
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
fn metrics_are_what_promtool_takes() {
    let Some(promtool) = find("promtool") else { return skip("`promtool` is not installed") };
    let gateway = Gateway::start();
    gateway.send(b"{}").id();
    let metrics = gateway.ask("GET", "/metrics", "").text();
    let mut check = Command::new(promtool);
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.stdout(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// Prometheus as a process.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Watches `admin` with the rules of `deploy/`; looks each second.
    fn start(admin: SocketAddr) -> Option<Self> {
        let Some(program) = find("prometheus") else {
            skip("`prometheus` is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let rules =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/gatepost-alerts.yml");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [{}]\nscrape_configs:\n- job_name: gatepost\n  static_configs:\n  \
             - targets: [\"{admin}\"]\n",
            rules.display()
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        // A port that was free a moment ago: Prometheus does not tell which one it took.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(program)
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("Prometheus listens", || TcpStream::connect(address).is_ok());
        Some(Self { child, address, _folder: folder })
    }

    fn get(&self, path: &str) -> serde_json::Value {
        let mut stream = TcpStream::connect(self.address).unwrap();
        // Of the older protocol: an answer in one piece.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        // It has yet to start.
        if head.lines().next().is_some_and(|line| line.contains(" 503 ")) {
            return serde_json::Value::Null;
        }
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["status"], "success", "{path}: {json}");
        json["data"].clone()
    }

    /// What a query gives by now.
    fn query(&self, text: &str) -> Vec<serde_json::Value> {
        let path = format!("/api/v1/query?query={}", gatepost::text::percent_encoded(text));
        self.get(&path)["result"].as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn prometheus_scrapes_rules_fire_and_panels_have_data() {
    let receiver = BadServer::start((0..9).map(|_| status(422)));
    let gateway = Gateway::with("", &http_handler("app", "", &receiver));
    let Some(prometheus) = Prometheus::start(gateway.admin) else { return };
    let mut n = 0;
    let mut fail_one = || {
        gateway.send(format!(r#"{{"n":{n}}}"#).as_bytes()).id();
        n += 1;
        gateway.wait_for_outcomes("app", "dead", n);
    };
    fail_one();
    while prometheus.query("gatepost_dead_letters{handler=\"app\"} == 1").is_empty() {}
    fail_one();
    while prometheus.query("gatepost_dead_letters{handler=\"app\"} == 2").is_empty() {}
    let is_firing = |alert: &serde_json::Value| {
        alert["labels"]["alertname"] == "GatepostDeadLetters" && alert["state"] == "firing"
    };
    let alerts = loop {
        let alerts = prometheus.get("/api/v1/alerts")["alerts"].clone();
        if alerts.as_array().is_some_and(|alerts| alerts.iter().any(is_firing)) {
            break alerts;
        }
    };
    let told = alerts.as_array().unwrap().iter().find(|alert| is_firing(alert)).unwrap();
    assert_eq!(told["annotations"]["summary"], "Handler app gave deliveries up");
    for rule in prometheus.get("/api/v1/rules")["groups"][0]["rules"].as_array().unwrap() {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/gatepost.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            assert!(!prometheus.query(query).is_empty(), "{}: {query}", panel["title"]);
        }
    }
}

#[test]
fn configurations_of_packages_pass_check_and_write_below_the_state_folder_only() {
    for name in ["package", "container/config"] {
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

#[test]
fn no_shipped_unit_has_a_step_that_can_keep_the_program_down() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")];
    let mut n_units = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if !path.extension().is_some_and(|end| end == "service" || end == "socket") {
                continue;
            }
            n_units += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            // Its failure counts but for a `-` before the program.
            for key in ["ExecCondition=", "ExecStartPre=", "AssertPath", "ConditionPath"] {
                let mut lines = text.lines().filter(|line| line.starts_with(key));
                let blocks = lines.find(|line| !line.starts_with("ExecStartPre=-"));
                assert_eq!(blocks, None, "{}", path.display());
            }
        }
    }
    assert_eq!(n_units, 4);
}

/// A program that stands in for one of the system.
fn put_program(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Secrets may be in the unit's environment, where root's own `check` does not see them.
#[test]
fn upgrade_of_the_package_checks_with_what_the_service_has_in_its_environment() {
    let folder = Folder::of_text(
        "[source.hyvor]\nprovider = \"hyvor-talk\"\nsecrets = [{ env = \"OF_THE_UNIT\" }]\n[handler.a.log]\n",
    );
    let mut service = Command::new("sleep");
    let mut service =
        service.arg("600").env("OF_THE_UNIT", "a secret with 'signs'").spawn().unwrap();
    let programs = folder.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let systemctl = format!(
        "case \"$*\" in *MainPID*) echo {} ;; restart*) touch '{}/restarted' ;; esac",
        service.id(),
        folder.path().display()
    );
    put_program(&programs, "systemctl", &systemctl);
    put_program(&programs, "systemd-sysusers", "");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_gatepost"), programs.join("gatepost")).unwrap();
    let script = read("deploy/package/debian/postinst");
    let script = script.replace("/run/systemd/system", programs.to_str().unwrap());
    let script = script.replace("/etc/gatepost/config.toml", folder.config().to_str().unwrap());
    let upgrade = || {
        let script = format!("PATH='{}':$PATH\n{script}", programs.display());
        let mut upgrade = Command::new("sh");
        upgrade.args(["-c", &script, "postinst", "configure", "0.1.0-1"]);
        let output = upgrade.current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let is_restarted = folder.path().join("restarted").exists();
        (is_restarted, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (is_restarted, said) = upgrade();
    assert!(is_restarted, "{said}");
    // What is a mistake all the same holds it back.
    std::fs::remove_file(folder.path().join("restarted")).unwrap();
    std::fs::write(folder.config(), "nonsense = 1\n").unwrap();
    let (is_restarted, said) = upgrade();
    service.kill().unwrap();
    service.wait().unwrap();
    assert!(!is_restarted && said.contains("the old version goes on running"), "{said}");
}

/// The words of an instruction in JSON, as Docker runs them without a shell.
fn words(dockerfile: &str, instruction: &str) -> Vec<String> {
    let line = dockerfile.lines().find(|line| line.starts_with(instruction)).unwrap();
    serde_json::from_str(line.get(line.find('[').unwrap()..).unwrap()).unwrap()
}

/// What the image runs, in its folder, with its configuration: there is no daemon that could build it.
#[test]
fn image_serves_as_nobody_and_its_own_check_says_whether_it_is_well() {
    let dockerfile = read("deploy/container/Dockerfile");
    let user = dockerfile.lines().rev().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{user}");
    assert!(dockerfile.lines().any(|line| line == "STOPSIGNAL SIGTERM"));
    let state = tempfile::tempdir().unwrap();
    let text = read("deploy/container/config/config.toml");
    let text = text.replace("/var/lib/gatepost", state.path().to_str().unwrap());
    let text = text.replace("0.0.0.0:8080", "127.0.0.1:0").replace("127.0.0.1:8081", "127.0.0.1:0");
    let folder = Folder::of_text(&text);
    let checks = || {
        let words = words(&dockerfile, "HEALTHCHECK");
        let (program, arguments) = words.split_first().unwrap();
        assert_eq!(program, "gatepost");
        let mut check = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        check.args(arguments).current_dir(state.path()).env("GATEPOST_CONFIG", folder.config());
        check.output().unwrap().status.code()
    };
    assert_eq!(words(&dockerfile, "ENTRYPOINT"), ["gatepost"]);
    assert_eq!(words(&dockerfile, "CMD"), ["serve"]);
    assert_ne!(checks(), Some(0), "nothing runs yet");
    let served = program::Served::start(&folder);
    assert_eq!(checks(), Some(0));
    assert_eq!(served.stop(), Some(0));
    assert_ne!(checks(), Some(0));
}
