//! The systemd unit: what its head tells to write is enough for a service that can write to its
//! own folder only.

use crate::support::gateway::Folder;
use crate::support::program::Served;
use crate::support::servers::{find, skip};

const UNIT: &str = include_str!("../../../deploy/gatepost.service");
/// Where the service may write.
const STATE: &str = "/var/lib/gatepost";

/// The lines of the unit's head that belong into the configuration, for another folder: those of
/// tables, and one that makes a secret.
fn advised(state: &str) -> (String, String) {
    let told = UNIT.lines().map_while(|line| line.strip_prefix('#')).map(str::trim);
    let lines = told.skip_while(|line| !line.contains("[queue]"));
    let mut of_tables = Vec::new();
    let mut secrets = String::new();
    for line in lines.map(|line| line.replace(STATE, state)) {
        if line.starts_with("secrets") {
            secrets = line;
        } else if line.starts_with('[') || line.contains(" = \"/") {
            of_tables.push(line);
        }
    }
    (of_tables.join("\n"), secrets)
}

/// The lines of one of the unit's sections.
fn section(name: &str) -> Vec<&'static str> {
    let lines = UNIT.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    lines.take_while(|line| !line.starts_with('[')).collect()
}

#[test]
fn the_unit_is_started_again_for_ever() {
    // By default systemd gives up after five starts within ten seconds, and for good.
    assert!(section("Unit").contains(&"StartLimitIntervalSec=0"));
    let service = section("Service");
    assert!(service.contains(&"Restart=on-failure") && service.contains(&"RestartSec=1s"));
}

#[test]
fn what_the_unit_advises_keeps_everything_in_its_state_folder() {
    let state = tempfile::tempdir().unwrap();
    let (tables, secrets) = advised(state.path().to_str().unwrap());
    let tables = tables.replace("[admin]", "[admin]\nlisten = \"127.0.0.1:0\"");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n{tables}\n[source.hyvor]\n\
         provider = \"hyvor-talk\"\n{secrets}\n[handler.seen.log]\n"
    );
    let folder = Folder::of_text(&text);
    let names = |path: &std::path::Path| {
        let entries = std::fs::read_dir(path).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // The log of the test's own program stands beside the configuration.
    std::fs::write(folder.path().join("log"), "").unwrap();
    let before = names(folder.path());
    let served = Served::start(&folder);
    assert_eq!(served.stop(), Some(0));
    assert_eq!(names(folder.path()), before, "nothing is written beside the configuration");
    assert_eq!(names(state.path()), ["admin-token", "places", "queue", "secrets", "sessions"]);
}

/// What `systemd-analyze security` makes of the unit at most: 0 is a service that can do nothing, an
/// unrestricted one has 9.6.
const EXPOSURE_MAX: f64 = 1.5;

#[test]
fn units_are_shut_in() {
    if find("systemd-analyze").is_none() {
        return skip("`systemd-analyze` is not installed");
    }
    for unit in ["gatepost.service", "gatepost-standby.service", "gatepost-promote.service"] {
        let unit = format!("{}/deploy/{unit}", env!("CARGO_MANIFEST_DIR"));
        let mut command = std::process::Command::new("systemd-analyze");
        let command = command.args(["security", "--offline=true", "--no-pager", &unit]);
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let line = text.lines().find(|line| line.contains("Overall exposure level")).unwrap();
        let level = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(level.parse::<f64>().unwrap() <= EXPOSURE_MAX, "{text}");
    }
}

#[test]
fn socket_unit_is_named_like_the_service_and_gives_up_never() {
    let socket = include_str!("../../../deploy/gatepost.socket");
    assert!(socket.lines().any(|line| line == "ListenStream=127.0.0.1:8080"));
    assert!(socket.lines().any(|line| line == "TriggerLimitIntervalSec=0"));
    assert!(
        section("Unit")
            .iter()
            .any(|line| line.starts_with("After=") && line.contains("gatepost.socket"))
    );
}
