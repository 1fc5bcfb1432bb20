//! `gatepost standby` as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::gateway::Folder;

/// A gateway's configuration for standbys, which wants a second copy before each answer.
pub(super) const WAITS: &str = "[standby]\nack_timeout = \"9s\"\n";

/// A folder whose gateway's answers wait for the standby.
pub(super) fn waiting_folder() -> Folder {
    let folder = Folder::new("", WAITS);
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let text = text.replace("[queue]\n", "[queue]\nack = \"standby\"\n");
    std::fs::write(folder.config(), text).unwrap();
    folder
}

/// The command that follows the gateway of `gateway`, whose admin listener is at `admin`.
pub(super) fn command(gateway: &Folder, admin: SocketAddr, data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(["standby", "--json", "--from", &format!("http://{admin}"), "--token-file"]);
    command.arg(gateway.path().join("data/standby-token")).arg("--data").arg(data);
    command.env_remove("GATEPOST_CONFIG").stdin(Stdio::null());
    command
}

/// A standby that follows.
pub(super) struct StandbyProcess {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl StandbyProcess {
    pub(super) fn start(gateway: &Folder, admin: SocketAddr, data: &Path) -> Self {
        let mut command = command(gateway, admin, data);
        command.stderr(Stdio::null());
        Self::spawn(command)
    }

    /// Starts what [`command`] gave.
    pub(super) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Waits until its copy has all that the gateway has.
    pub(super) fn wait_until_complete(&mut self) {
        self.wait_for("complete");
    }

    /// Waits until it says this.
    pub(super) fn wait_for(&mut self, word: &str) {
        loop {
            let mut line = String::new();
            let n_read = self.lines.read_line(&mut line).unwrap();
            assert!(n_read > 0, "the standby has ended");
            if line.contains(word) {
                return;
            }
        }
    }

    /// Ends it as a crash does.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for StandbyProcess {
    fn drop(&mut self) {
        // Only where a test failed: it has been waited for otherwise.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
