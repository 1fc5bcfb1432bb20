//! The real program, run in a folder of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use super::gateway::Folder;
use super::patience::wait_until;
use super::wire::{self, Answer};

/// Runs `gatepost ARGUMENTS` with the folder's configuration to its end.
pub(crate) fn run(folder: &Folder, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

pub(crate) fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(arguments).current_dir(folder.path()).env_remove("GATEPOST_CONFIG");
    command.stdin(Stdio::null());
    command
}

/// What was printed, after an end with `code`.
#[track_caller]
pub(crate) fn printed(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "stdout: {text}\nstderr: {told}");
    text
}

/// `gatepost serve` as a process.
pub(crate) struct Served {
    child: Child,
    /// Where senders post.
    pub(crate) url: String,
    admin: SocketAddr,
    folder: PathBuf,
}

impl Served {
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::start_in(folder, &[])
    }

    pub(crate) fn start_in(folder: &Folder, environment: &[(&str, &str)]) -> Self {
        let mut command = command(folder, &["serve", "--json"]);
        command.envs(environment.iter().copied());
        Self::spawn(folder, command)
    }

    /// The same where no more than so many files may be open.
    pub(crate) fn start_with_files(folder: &Folder, n_files: u32) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {n_files} && exec \"$0\" serve --json"));
        command.arg(env!("CARGO_BIN_EXE_gatepost")).current_dir(folder.path());
        command.env_remove("GATEPOST_CONFIG").stdin(Stdio::null());
        Self::spawn(folder, command)
    }

    /// Starts what `command` says, which ends in `serve --json`.
    pub(crate) fn spawn(folder: &Folder, mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let banner: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|err| {
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
            panic!("{err}: {line}\n{log}")
        });
        let url = banner["public"][0].as_str().unwrap().to_owned();
        let admin = address(banner["admin"].as_str().unwrap());
        Self { child, url, admin, folder: folder.path().to_owned() }
    }

    /// The public listener.
    pub(crate) fn public(&self) -> SocketAddr {
        address(&self.url)
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// The admin listener.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// What a command beside it prints, whatever comes of it.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(arguments).current_dir(&self.folder).env_remove("GATEPOST_CONFIG");
        let output = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// How much memory it holds.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Asks the admin listener with the token.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Answer {
        let token = std::fs::read_to_string(self.folder.join("data/admin-token")).unwrap();
        let bearer = format!("Bearer {}", token.trim());
        wire::request(self.admin, method, path, &[("Authorization", &bearer)], b"")
    }

    /// Waits until a handler has everything.
    pub(crate) fn wait_until_delivered(&self, handler: &str) {
        let line = format!("gatepost_backlog_events{{handler=\"{handler}\"}} 0");
        wait_until(format_args!("`{line}` in the metrics"), || {
            self.ask("GET", "/metrics").text().lines().any(|found| found == line)
        });
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Waits until it ends by itself; gives its exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Stops it as a service manager does; gives its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Only where a test failed: it has been waited for otherwise.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn address(url: &str) -> SocketAddr {
    url.split_once("://").unwrap().1.parse().unwrap()
}
