//! A gateway of its own for one test: real listeners on ports of the system's choice, a folder that
//! goes with it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use gatepost::app::{AppError, Application};
use gatepost::config::{self, Config};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

use super::bad_server::BadServer;
use super::patience::Patience;
use super::wire::{self, Answer};

/// The secret of every source.
pub(crate) const SECRET: &str = "the-secret-of-the-tests";

/// Listeners on ports of the system's choice, and a source of each of the user's own providers.
const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
SERVER
[queue]
disk_reserve = "48MiB"
[admin]
listen = "127.0.0.1:0"
[source.hyvor]
provider = "hyvor-talk"
secrets = [{ file = "secret" }]
[source.userecho]
provider = "userecho"
secrets = [{ file = "secret" }]
[handler.all]
start = "oldest"
[handler.all.file]
path = "data/events.jsonl"
"#;

/// A folder with a configuration that a server can be started from.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// `server` goes into `[server]`, `rest` behind everything.
    pub(crate) fn new(server: &str, rest: &str) -> Self {
        Self::new_in(&std::env::temp_dir(), server, rest)
    }

    pub(crate) fn new_in(parent: &Path, server: &str, rest: &str) -> Self {
        let folder = Self(tempfile::tempdir_in(parent).unwrap());
        folder.write_secret("secret", SECRET);
        folder.write_config(server, rest);
        folder
    }

    /// A file that its owner only can read.
    pub(crate) fn write_secret(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// With this text as the whole configuration.
    pub(crate) fn of_text(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write_secret("secret", SECRET);
        std::fs::write(folder.config(), text).unwrap();
        folder
    }

    pub(crate) fn write_config(&self, server: &str, rest: &str) {
        let text = CONFIG.replace("SERVER", server) + rest;
        std::fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("config.toml")
    }

    fn load(&self) -> Config {
        match config::load(&self.config()) {
            Ok((config, _warnings)) => config,
            Err(report) => panic!("{}", report.render(gatepost::settings::ReportStyle::Plain)),
        }
    }
}

/// A server within the test's process.
pub(crate) struct Gateway {
    pub(crate) folder: Folder,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<Result<(), AppError>>>,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::with("", "")
    }

    /// `server` goes into `[server]`, `rest` behind everything.
    pub(crate) fn with(server: &str, rest: &str) -> Self {
        Self::serve(Folder::new(server, rest))
    }

    /// Serves what the folder's configuration says.
    pub(crate) fn serve(folder: Folder) -> Self {
        // What the program does once at its start. Another test of this process may have been first.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let config = folder.load();
        let path = folder.config();
        let (tx, rx) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let application = Application::build(config, &path).await?;
                let addresses = (application.public()[0], application.admin().unwrap());
                tx.send((addresses, application.stop_token())).unwrap();
                application.run_until_stopped().await
            })
        });
        let Ok(((public, admin), stop)) = rx.recv() else {
            panic!("the server does not start: {:?}", thread.join());
        };
        Self { folder, public, admin, stop, thread: Some(thread) }
    }

    /// Posts `body` to a source with `headers` as they are.
    pub(crate) fn post(&self, source: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        wire::post(self.public, &format!("/hooks/{source}"), headers, body)
    }

    /// Posts `body` to `hyvor` as Hyvor Talk signs it.
    pub(crate) fn send(&self, body: &[u8]) -> Answer {
        self.post("hyvor", &[("X-Signature", &signature(body))], body)
    }

    /// Asks the admin listener with the token.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let token = std::fs::read_to_string(self.folder.path().join("data/admin-token")).unwrap();
        let bearer = format!("Bearer {}", token.trim());
        wire::request(self.admin, method, path, &[("Authorization", &bearer)], body.as_bytes())
    }

    /// The value of a metric's line.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = wire::request(self.admin, "GET", "/metrics", &[], b"").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric `{name}`")).parse().unwrap()
    }

    /// Waits until so many events were delivered to a handler.
    pub(crate) fn wait_until_delivered(&self, handler: &str, n_events: u64) {
        self.wait_for_outcomes(handler, "delivered", n_events);
    }

    /// Waits until so many tries, or more, had this outcome.
    #[track_caller]
    pub(crate) fn wait_for_outcomes(&self, handler: &str, outcome: &str, count: u64) {
        let name =
            format!("gatepost_deliveries_total{{handler=\"{handler}\",outcome=\"{outcome}\"}}");
        let patience = Patience::new();
        loop {
            let text = wire::request(self.admin, "GET", "/metrics", &[], b"").text();
            let line = text.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '));
            if line.is_some_and(|found| found.parse::<u64>().unwrap() >= count) {
                return;
            }
            patience.look_again(format_args!("{name} {count}, in {text}"));
        }
    }

    pub(crate) fn stop(mut self) {
        self.end();
    }

    /// Stops it, and gives its folder for another start.
    pub(crate) fn stop_and_keep(mut self) -> Folder {
        self.end();
        std::mem::replace(&mut self.folder, Folder(tempfile::tempdir().unwrap()))
    }

    fn end(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// The tables of a handler that posts every event to `receiver`, with `more` in the first of them.
pub(crate) fn http_handler(name: &str, more: &str, receiver: &BadServer) -> String {
    let url = receiver.url("/");
    format!(
        "[handler.{name}]\nstart = \"oldest\"\n{more}\n[handler.{name}.http]\nurl = \"{url}\"\n"
    )
}

/// HMAC-SHA256 over the raw body in hexadecimal: Hyvor Talk's, and one of `UserEcho`'s.
pub(crate) fn signature(body: &[u8]) -> String {
    signature_by(SECRET, body)
}

pub(crate) fn signature_by(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}
