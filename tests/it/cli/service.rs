//! What a service manager is told: `sd_notify(3)`, with a socket of our own in systemd's place.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::crash::order::wait_until_traced;
use crate::support::gateway::Folder;
use crate::support::patience::wait_until;
use crate::support::program::Served;
use crate::support::servers::{find, skip};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

struct Manager(UnixDatagram);

impl Manager {
    /// For a server of this folder, with what says so in the server's environment.
    fn of(folder: &Folder) -> (Self, [(&'static str, String); 2]) {
        let path = folder.path().join("notify");
        let manager = Self(UnixDatagram::bind(&path).unwrap());
        manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (manager, [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "100000".to_owned())])
    }

    /// Takes what it was told so far away.
    fn forget(&self) {
        self.0.set_nonblocking(true).unwrap();
        while self.0.recv(&mut [0; 1024]).is_ok() {}
        self.0.set_nonblocking(false).unwrap();
    }

    /// How often it is told `wanted` before anything else.
    fn count(&self, wanted: &str, other: &str) -> usize {
        let mut count = 0;
        loop {
            let mut message = [0; 1024];
            let n_read = self.0.recv(&mut message).unwrap();
            match std::str::from_utf8(&message[..n_read]).unwrap() {
                message if message.starts_with(wanted) => count += 1,
                message => {
                    assert!(message.starts_with(other), "{message}");
                    return count;
                }
            }
        }
    }

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
    let (manager, environment) = Manager::of(&folder);
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
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
    wait_until("each signal is logged", || {
        ["SIGUSR2", "SIGALRM", "SIGIO"].iter().all(|name| served.log().contains(name))
    });
    let actions = served.ask("GET", "/api/v1/actions?actor=signal").json();
    let said = |one: &Value| ["action", "target", "result"].map(|name| one[name].clone());
    let actions: Vec<_> = actions.as_array().unwrap().iter().map(said).collect();
    assert_eq!(actions, [["reload", "configuration", "nothing changed"]; 2]);
    served.signal(Signal::TERM);
    manager.wait_for("STOPPING=1");
    assert_eq!(served.wait(), Some(0));
}

/// A start that takes longer than the manager waits for a word: each thread's third sync of a file takes 6 s, as
/// opening the queue has.
#[test]
fn more_time_is_asked_for_as_long_as_the_queue_is_opened() {
    let Some(strace) = find("strace") else { return skip("`strace` is not there") };
    let folder = Folder::new("", "");
    let (manager, environment) = Manager::of(&folder);
    let mut command = Command::new(strace);
    // The program stays the child that is started.
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync"]);
    command.args(["-e", "inject=fsync:delay_enter=6000000:when=3"]);
    command.args([env!("CARGO_BIN_EXE_gatepost"), "serve", "--json"]);
    command.current_dir(folder.path()).envs(environment).env_remove("GATEPOST_CONFIG");
    let served = Served::spawn(&folder, command);
    // Every 5 s, for 30 s each.
    let asked = manager.count("EXTEND_TIMEOUT_USEC=30000000", "READY=1");
    assert!(asked >= 2, "{asked}");
    served.kill();
}

/// Calls of the system that fail or take long, in a process that runs.
struct Fault(std::process::Child);

impl Fault {
    fn begin(served: &Served, call: &str, fault: &str) -> Self {
        let mut strace = Command::new(find("strace").unwrap());
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        strace.args(["-e", &format!("inject={call}:{fault}")]);
        strace.args(["-p", &served.process_id().to_string()]);
        let strace = strace.stderr(std::process::Stdio::null()).spawn().unwrap();
        wait_until_traced(served.process_id());
        Self(strace)
    }

    fn end(mut self) {
        let strace = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(strace, Signal::TERM).unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn watchdog_is_fed_only_while_the_log_and_the_listener_go_on() {
    if find("strace").is_none() {
        return skip("`strace` is not there");
    }
    let folder = Folder::new("", "");
    let (manager, environment) = Manager::of(&folder);
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let served = Served::start_in(&folder, &environment);
    manager.wait_for("EXTEND_TIMEOUT_USEC");
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    for (call, fault, told) in [
        // A disk that hangs: no write is durable within the 10 s that it may take.
        ("fdatasync", "delay_enter=12000000", "the log has not answered for 10 s"),
        // Connections are there, and nobody takes them.
        ("accept4", "error=EMFILE", "the public listener does not answer"),
    ] {
        assert!(!served.log().contains(told));
        let fault = Fault::begin(&served, call, fault);
        wait_until(format_args!("`{told}` is logged"), || served.log().contains(told));
        assert!(served.log().contains("The watchdog is not fed"), "{}", served.log());
        fault.end();
        // Whatever it was told before, it is told again.
        manager.forget();
        manager.wait_for("WATCHDOG=1");
    }
    assert_eq!(served.stop(), Some(0));
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
