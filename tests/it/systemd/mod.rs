//! The units under a real systemd: one of its own, PID 1 of namespaces in which nothing of the machine
//! can be written.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::servers::{find, skip};

const START: &str = include_str!("start.sh");
const DRIVE: &str = include_str!("drive.sh");
const DRIVE_UNIT: &str = include_str!("drive.service");
const SERVICE: &str = include_str!("../../../deploy/gatepost.service");
const PROMOTE: &str = include_str!("../../../deploy/gatepost-promote.service");
const SOCKET: &str = include_str!("../../../deploy/gatepost.socket");

/// What the unit's head says of a service that can write in its own folder only.
const CONFIG: &str = r#"
[queue]
path = "/var/lib/gatepost/queue"
[admin]
socket = "/var/lib/gatepost/admin.sock"
token = "/var/lib/gatepost/admin-token"
[standby]
token = "/var/lib/gatepost/standby-token"
[source.hyvor]
provider = "hyvor-talk"
secrets = [{ file = "/var/lib/gatepost/secrets/hyvor", create = true }]
[source.userecho]
provider = "userecho"
secrets = [{ credential = "userecho" }]
[handler.seen.log]
"#;

/// A program that is under way while the service stops. The process that runs it is not shut in.
const SLOW: &str = r#"
[handler.slow]
on = ["hyvor:comment.delete"]
[handler.slow.command]
run = ["/bin/sh", "-c", "echo began >> /var/lib/gatepost/slow; sleep 2; echo ended >> /var/lib/gatepost/slow"]
"#;

/// The unit as it is shipped, for a configuration in the test's folder and a watchdog that bites soon.
fn service() -> String {
    let line = |line: &str| match line {
        line if line.starts_with("WatchdogSec=") => "WatchdogSec=3s".to_owned(),
        // Nothing of the machine is started.
        "[Service]" => "[Service]\nStandardError=append:/run/test/service.log".to_owned(),
        line if line.starts_with("Wants=") => "DefaultDependencies=no".to_owned(),
        // The one that stands there as an example.
        "# LoadCredential=userecho:/etc/gatepost/secrets/userecho" => {
            "LoadCredential=userecho:/run/test/userecho".to_owned()
        }
        line => line.replace("/etc/gatepost/config.toml", "/run/test/config.toml"),
    };
    SERVICE.lines().map(|one| line(one) + "\n").collect()
}

/// Whether this kernel has landlock, as `check` says outside any unit.
fn has_landlock() -> bool {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), "[handler.seen.log]\n").unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = check.arg("check").current_dir(folder.path()).output().unwrap();
    String::from_utf8_lossy(&output.stderr).contains("the process is shut in")
}

fn put_units(put: impl Fn(&str, &str)) {
    let alone = |unit: &str| unit.replace("[Unit]", "[Unit]\nDefaultDependencies=no");
    put("units/drive.service", DRIVE_UNIT);
    put("units/gatepost.service", &service());
    put("units/gatepost-promote.service", &alone(PROMOTE));
    put("units/gatepost.socket", &alone(SOCKET));
}

#[test]
fn units_do_what_they_say_under_a_real_systemd() {
    let has_all = ["unshare", "systemctl", "stat"].iter().all(|program| find(program).is_some());
    let systemd = std::path::Path::new("/lib/systemd/systemd");
    if !has_all || !systemd.exists() || !rustix::process::geteuid().is_root() {
        return skip("a systemd of its own needs root, `systemd` and `unshare`");
    }
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("units")).unwrap();
    put_units(put);
    put("drive.sh", DRIVE);
    put("start.sh", START);
    put("slow.toml", SLOW);
    put("config.toml", CONFIG);
    put("userecho", "a-secret-that-systemd-passes-on");
    std::fs::set_permissions(folder.path().join("config.toml"), PermissionsExt::from_mode(0o644))
        .unwrap();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount", "--cgroup", "--ipc", "--uts"]);
    command.args(["--net", "--mount-proc", "--propagation", "private", "sh"]);
    command.arg(folder.path().join("start.sh")).arg(folder.path());
    let output = command.arg(env!("CARGO_BIN_EXE_gatepost")).output().unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let results = read("results");
    if results.is_empty() {
        let told = String::from_utf8_lossy(&output.stderr);
        // A container without the right to it.
        return skip(&format!("no systemd of its own can be started: {}{told}", read("log")));
    }
    let all = format!("{results}\n{}", read("log"));
    // Version 252 does not know the unit's second `Type=`.
    let of_type = results.lines().find_map(|line| line.strip_prefix("type ")).unwrap();
    assert!(["notify", "notify-reload"].contains(&of_type), "{all}");
    let results: Vec<&str> = results.lines().filter(|line| !line.starts_with("type ")).collect();
    let mut expected = vec![
        "start 0 active",
        "memory 1073741824",
        "send 0",
        "reload 0 active",
        "wrong-reload 1",
        "restart 0 active",
        "restart 0 active",
        "restart 0 active",
        "refused 0",
        "slow continue began ended",
        "watchdog 1 active",
        if has_landlock() { "shut in" } else { "not shut in" },
        "stop 0 success",
        "root may not promote",
        "promote 0 success",
        "promoted 0 active",
        "stop 0 success",
    ];
    assert!(results.len() > 5, "{all}");
    let mut found = results;
    // Restarts and senders go side by side.
    expected[5..].sort_unstable();
    found[5..].sort_unstable();
    assert_eq!(found, expected, "{all}");
}
