//! What a service manager is told: `sd_notify(3)`, with a socket of our own in systemd's place.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::gateway::Folder;
use crate::support::program::Served;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

struct Manager(UnixDatagram);

impl Manager {
    /// Waits for a message that begins with `wanted`, and gives it.
    fn wait_for(&self, wanted: &str) -> String {
        loop {
            let mut message = [0; 1024];
            let n_read = self.0.recv(&mut message).unwrap_or_else(|err| panic!("{wanted}: {err}"));
            let message = String::from_utf8(message[..n_read].to_vec()).unwrap();
            if message.starts_with(wanted) {
                return message;
            }
            assert_eq!(message.trim(), "WATCHDOG=1", "while waiting for {wanted}");
        }
    }
}

#[test]
fn a_service_manager_hears_of_the_start_the_reload_the_end_and_that_all_is_well() {
    let folder = Folder::new("", "");
    let path = folder.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "100000")];
    let served = Served::start_in(&folder, &environment);
    // It asks for time while it opens the queue.
    manager.wait_for("EXTEND_TIMEOUT_USEC=30000000");
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    manager.wait_for("WATCHDOG=1");
    served.signal(Signal::HUP);
    let reloading = manager.wait_for("RELOADING=1");
    // A unit of Type=notify-reload wants to know when.
    assert!(reloading.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading}");
    manager.wait_for("READY=1");
    // What reloads other receivers of webhooks, and what would end the process by itself.
    for signal in [Signal::USR2, Signal::ALARM, Signal::IO, Signal::USR1] {
        served.signal(signal);
    }
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    while !["SIGUSR2", "SIGALRM", "SIGIO"].iter().all(|name| served.log().contains(name)) {
        std::thread::yield_now();
    }
    served.signal(Signal::TERM);
    manager.wait_for("STOPPING=1");
    assert_eq!(served.wait(), Some(0));
}

/// As where the log of a service is a file on a disk that is full.
#[test]
fn server_runs_whose_warnings_cannot_be_written() {
    let folder = Folder::new("trusted_proxies = [\"0.0.0.0/0\"]", "");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" serve --json 2> /dev/full"]);
    command.arg(env!("CARGO_BIN_EXE_gatepost")).current_dir(folder.path());
    let served = Served::spawn(&folder, command);
    assert_eq!(served.ask("GET", "/readyz").status, 200);
    assert_eq!(served.stop(), Some(0));
}
