//! A page's commands, one after the other as a reader types them.
//!
//! Where a page writes a `config.toml` it holds; otherwise the commands find the one below, with a
//! server that has an event and a dead letter. Every server has a rejected request. `ID` in a command is the newest
//! event's id. The two ports are others than on the page, so that pages need not wait for each other.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::gateway::Folder;
use crate::support::wire;

use super::text::{Block, Kind, Page};

/// What there is where a page does not write a configuration.
const CONFIG: &str = r#"
[source.hyvor]
provider = "hyvor-talk"
secrets = [{ file = "data/secrets/hyvor", create = true }]
[source.userecho]
provider = "userecho"
secrets = [{ file = "data/secrets/userecho", create = true }]
[handler.archive.file]
path = "data/events.jsonl"
[handler.mail.command]
run = ["/bin/sh", "-c", "exit 65"]
[handler.app.log]
"#;

struct Shell<'a> {
    page: &'a Page,
    folder: Folder,
    ports: [u16; 2],
    server: Option<Child>,
}

impl Drop for Shell<'_> {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            kill_process(Pid::from_child(server), Signal::TERM).unwrap();
            server.wait().unwrap();
        }
    }
}

/// Runs what the page says; gives how many commands that were.
pub(super) fn run(page: &Page, blocks: &[Block]) -> usize {
    // Both at once, or they might be the same.
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
    let mut shell = Shell { page, folder: Folder::of_text(CONFIG), ports, server: None };
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_gatepost"), shell.path().join("gatepost"))
        .unwrap();
    let first = blocks.iter().find(|block| {
        matches!(block.kind(), Some(Kind::Commands | Kind::Config { is_file: true }))
    });
    let first_command = first.filter(|block| block.kind() == Some(Kind::Commands));
    let is_prepared = first_command.is_some_and(|block| !begins_itself(&block.text));
    if first_command.is_some_and(|block| block.text.contains("gatepost init")) {
        std::fs::remove_file(shell.folder.config()).unwrap();
    }
    if is_prepared {
        shell.prepare();
    }
    let mut n_run = 0;
    for block in blocks {
        match block.kind() {
            Some(Kind::Config { is_file: true }) => {
                super::make_secrets(shell.path(), &block.text);
                std::fs::write(shell.folder.config(), super::whole(&block.text)).unwrap();
            }
            Some(Kind::Commands) => {
                for line in block.text.lines().filter_map(|line| line.strip_prefix("$ ")) {
                    let line = line.replace("cargo run --release -- ", "gatepost ");
                    shell.type_in(&line, block.line);
                    n_run += 1;
                }
            }
            Some(Kind::Config { .. } | Kind::Elsewhere | Kind::Json | Kind::Text) | None => {}
        }
    }
    n_run
}

/// Whether the commands start the server, or do not ask one.
fn begins_itself(commands: &str) -> bool {
    commands.contains("gatepost serve")
        || commands.contains("-- serve")
        || commands.contains("init")
}

impl Shell<'_> {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The same with this run's ports.
    fn with_ports(&self, text: &str) -> String {
        let [public, admin] = self.ports;
        text.replace("127.0.0.1:8080", &format!("127.0.0.1:{public}"))
            .replace("127.0.0.1:8081", &format!("127.0.0.1:{admin}"))
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let line = format!("PATH=\"$PWD:$PATH\"\n{line}");
        command.args(["-c", &line]).current_dir(self.path()).stdin(Stdio::null());
        command.env_remove("GATEPOST_CONFIG");
        command
    }

    fn says(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// A server that has an event and a dead letter.
    fn prepare(&mut self) {
        self.serve();
        let sent = self.says("gatepost send hyvor comment.create");
        assert!(sent.contains("stored as"), "{sent}");
        self.settle();
    }

    fn serve(&mut self) {
        let config = std::fs::read_to_string(self.folder.config()).unwrap();
        let text = with_listeners(&config);
        std::fs::write(self.folder.config(), self.with_ports(&text)).unwrap();
        let log = std::fs::File::create(self.path().join("server.log")).unwrap();
        let mut command = self.command("exec gatepost serve");
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = command.spawn().unwrap();
        while !self.command("gatepost status --ready").output().unwrap().status.success() {
            if server.try_wait().unwrap().is_some() {
                let log = std::fs::read_to_string(self.path().join("server.log")).unwrap();
                panic!("{}: the server ended: {log}", self.page.path.display());
            }
        }
        self.server = Some(server);
        let public = format!("127.0.0.1:{}", self.ports[0]).parse().unwrap();
        let answers = ["hyvor", "userecho"].map(|source| {
            wire::post(public, &format!("/hooks/{source}"), &[("X-Signature", "00")], b"{}").status
        });
        assert!(answers.contains(&401), "{answers:?}");
    }

    /// Waits until no handler has anything to do.
    fn settle(&self) {
        loop {
            let status: serde_json::Value =
                serde_json::from_str(&self.says("gatepost status --json")).unwrap();
            let is_done =
                |handler: &serde_json::Value| handler["in_log"] == 0 && handler["in_flight"] == 0;
            if status["handlers"].as_array().unwrap().iter().all(is_done) {
                return;
            }
        }
    }

    fn type_in(&mut self, line: &str, at: usize) {
        if line == "gatepost serve" {
            return self.serve();
        }
        let mut line = self.with_ports(line);
        if line.split(' ').any(|word| word == "ID") {
            let events = self.says("gatepost events list --json --search -source:gatepost");
            let events: serde_json::Value = serde_json::from_str(&events).unwrap();
            let id = events[0]["id"].as_str().unwrap();
            line = line.replace(" ID", &format!(" {id}"));
        }
        let output = self.command(&line).output().unwrap();
        assert!(
            output.status.success(),
            "{}:{at}: `{line}` ends with {}\n{}{}",
            self.page.path.display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if self.server.is_some() && line.starts_with("gatepost send") {
            self.settle();
        }
    }
}

/// The configuration with both listeners named, so that their ports can be put in.
fn with_listeners(text: &str) -> String {
    let mut text = text.replace("#listen = \"127.0.0.1:8081\"", "listen = \"127.0.0.1:8081\"");
    for (table, port) in [("[server]", 8080), ("[admin]", 8081)] {
        let listen = format!("listen = \"127.0.0.1:{port}\"");
        if text.contains(&listen) {
            continue;
        }
        if text.lines().any(|line| line == table) {
            text = text.replacen(table, &format!("{table}\n{listen}"), 1);
        } else {
            text = format!("{table}\n{listen}\n{text}");
        }
    }
    text
}
