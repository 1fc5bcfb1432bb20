//! `[server]`, `[admin]` and `[log]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::public_url;
use crate::settings::{ByteSize, Table, is_token_itself, show_duration};
use crate::source::RateLimit;
use crate::tls::{AcmeSettings, TlsFiles, TlsSettings};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where it listens; at least one address.
    pub listen: Vec<SocketAddr>,
    /// Where senders reach it, as far as that is said; without a `/` at its end.
    pub public_url: Option<String>,
    /// The longest body of a source that does not say its own.
    pub body_max: ByteSize,
    /// How long a sender may take for one request.
    pub request_timeout: Duration,
    /// The networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many requests one address may send before one of them is verified; nothing = any.
    pub failed_verification_limit: Option<RateLimit>,
    /// How many bytes of unverified bodies may be held.
    pub unverified_bytes: ByteSize,
    /// Where its certificate comes from; nothing = it speaks plain HTTP.
    pub tls: Option<TlsSettings>,
    /// Whether the process shuts itself in.
    pub landlock: bool,
}

impl ServerSettings {
    /// Where senders reach the public listener, as far as the owner has said it. `listening` = the first address that
    /// it really has.
    pub fn public_base(&self, listening: Option<SocketAddr>) -> Option<String> {
        let listen: Vec<_> = listening.into_iter().chain(self.listen.iter().copied()).collect();
        public_url::base(self.public_url.as_deref(), self.tls.as_ref(), &listen)
    }

    /// The same of a server that runs since it was started with `started`: its listener speaks and has what it was
    /// opened with, whatever these settings say of the next start.
    pub fn public_base_since(
        &self,
        started: &Self,
        listening: Option<SocketAddr>,
    ) -> Option<String> {
        let running = Self { public_url: self.public_url.clone(), ..started.clone() };
        running.public_base(listening)
    }
}

impl ServerSettings {
    /// Whether no client of `allow` can ever be seen: only a proxy on this machine reaches the
    /// listener, and it is not believed who sent what it passes on.
    pub(super) fn hides_clients(&self, allow: &[IpNet]) -> bool {
        let is_local = self.listen.iter().all(|address| address.ip().is_loopback());
        let allows_local =
            allow.iter().any(|net| net.addr().is_loopback() || net.prefix_len() == 0);
        is_local && !allow.is_empty() && !allows_local && self.trusted_proxies.is_empty()
    }
}

/// Dashboard, API and the command line's way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    pub listen: SocketAddr,
    pub socket: PathBuf,
    /// The file with the token, made on the first start. Beside it stands what else is kept of the
    /// admin side.
    pub token: PathBuf,
    /// The file with a token that may look at everything and change nothing; nothing where there is
    /// none.
    pub read_only_token: Option<PathBuf>,
    /// Names by which browsers may come, beside `localhost` and the listener's own address.
    pub hosts: Vec<String>,
}

impl AdminSettings {
    /// The file in which rejected requests outlive a restart.
    pub fn rejected(&self) -> PathBuf {
        self.token.with_file_name("rejected")
    }

    /// The file that is there while the server runs, and says which calls were under way when it
    /// ended by itself.
    pub fn attempts(&self) -> PathBuf {
        self.token.with_file_name("attempts")
    }

    /// The file that says which handlers have a place in the queue.
    pub fn places(&self) -> PathBuf {
        self.token.with_file_name("places")
    }

    pub fn actions(&self) -> PathBuf {
        self.token.with_file_name("actions")
    }

    pub fn rollouts(&self) -> PathBuf {
        self.token.with_file_name("rollouts")
    }

    /// The file that sessions of the dashboard are kept in over a restart.
    pub fn sessions(&self) -> PathBuf {
        self.token.with_file_name("sessions")
    }

    /// The file that says how handlers did until the process ended.
    pub fn handler_records(&self) -> PathBuf {
        self.token.with_file_name("handler-records")
    }

    /// The file that says what people were told of troubles that go on.
    pub fn open_alerts(&self) -> PathBuf {
        self.token.with_file_name("open-alerts")
    }

    /// The file that says which handlers are paused.
    pub fn paused(&self) -> PathBuf {
        self.token.with_file_name("paused")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub format: LogFormat,
    pub level: LogLevel,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object for each line.
    Json,
}

/// The least important lines that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// Something failed.
    Warn,
    /// What happens.
    Info,
    /// What is being done.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

const PUBLIC_PORT: u16 = 8080;
const ADMIN_PORT: u16 = 8081;
const BODY_MAX: ByteSize = ByteSize(1 << 20);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_hours(1);
/// Many honest senders at once, and little of a small machine's memory.
const UNVERIFIED_BYTES: ByteSize = ByteSize(64 << 20);
/// A sender with a wrong secret stays below it and sees 401; a flood does not.
const UNVERIFIED_LIMIT: &str = "300/m";
const SOCKET: &str = "data/admin.sock";
const TOKEN: &str = "data/admin-token";
/// The longest path of a Unix socket in bytes (`sun_path` less its closing zero; unix(7)).
const SOCKET_PATH_MAX: usize = 107;

pub(super) fn read_server(root: &mut Table<'_>) -> ServerSettings {
    let mut server = ServerSettings {
        listen: vec![loopback(PUBLIC_PORT)],
        public_url: None,
        body_max: BODY_MAX,
        request_timeout: REQUEST_TIMEOUT,
        trusted_proxies: Vec::new(),
        failed_verification_limit: RateLimit::parse(UNVERIFIED_LIMIT).ok(),
        unverified_bytes: UNVERIFIED_BYTES,
        tls: None,
        landlock: true,
    };
    let Some(mut table) = root.table("server") else { return server };
    if let Some(listen) = table.one_or_many("listen") {
        if listen.is_empty() {
            table.problem("listen", "there is no address", "write `listen = \"127.0.0.1:8080\"`");
        }
        check_listen(&table, &listen);
        server.listen = listen;
    }
    server.public_url = public_url::read(&mut table);
    server.body_max = table
        .checked_or("body_max", "for example `body_max = \"1MiB\"`", ByteSize::of_body)
        .unwrap_or(server.body_max);
    server.request_timeout = table
        .checked_or("request_timeout", "for example `request_timeout = \"10s\"`", check_timeout)
        .unwrap_or(server.request_timeout);
    server.trusted_proxies = table.take_or("trusted_proxies", server.trusted_proxies);
    check_proxies(&table, &server.trusted_proxies);
    let help = "for example `failed_verification_limit = \"300/m\"`";
    let failed_verification_limit =
        table.checked_or("failed_verification_limit", help, |text: String| match text.as_str() {
            "off" => Ok(None),
            text => {
                let parsed = RateLimit::parse(text).map(Some);
                parsed.map_err(|err| format!("{err}: {}, or \"off\"", RateLimit::HELP))
            }
        });
    server.failed_verification_limit =
        failed_verification_limit.unwrap_or(server.failed_verification_limit);
    server.unverified_bytes = table.take_or("unverified_bytes", server.unverified_bytes);
    server.tls = read_tls(&mut table, &server.listen);
    server.landlock = table.take_or("landlock", server.landlock);
    table.finish();
    server
}

/// Warns of networks that no proxies of one's own fill: wider than the widest that are private
/// (`10.0.0.0/8`, `fc00::/7`).
fn check_proxies(table: &Table<'_>, proxies: &[IpNet]) {
    let is_wide = |net: &&IpNet| match net {
        IpNet::V4(net) => net.prefix_len() < 8,
        IpNet::V6(net) => net.prefix_len() < 7,
    };
    let Some(net) = proxies.iter().find(is_wide) else { return };
    let whom = if net.prefix_len() == 0 { "everybody" } else { "a large part of the internet" };
    table.warning(
        "trusted_proxies",
        format_args!(
            "`{net}` trusts {whom}: whoever sends `X-Forwarded-For` chooses the address that `allow` and the \
             limits see"
        ),
        "write the addresses of your own proxies, as in `trusted_proxies = [\"10.0.0.2\"]`",
    );
}

fn read_tls(server: &mut Table<'_>, listen: &[SocketAddr]) -> Option<TlsSettings> {
    let files = server.table("tls").map(|mut table| {
        let files = TlsFiles::read(&mut table);
        table.finish();
        files.map(TlsSettings::Files)
    });
    let acme = server.table("acme").map(|mut table| {
        let acme = AcmeSettings::read(&mut table, listen);
        table.finish();
        acme.map(TlsSettings::Acme)
    });
    if files.is_some() && acme.is_some() {
        server.problem("acme", "there is `[server.tls]` as well", "leave one of them out");
    }
    files.or(acme).flatten()
}

pub(super) fn read_admin(root: &mut Table<'_>, server: &ServerSettings) -> AdminSettings {
    let mut admin = AdminSettings {
        listen: loopback(ADMIN_PORT),
        socket: root.folder().join(SOCKET),
        token: root.folder().join(TOKEN),
        read_only_token: None,
        hosts: Vec::new(),
    };
    let Some(mut table) = root.table("admin") else { return admin };
    admin.listen = table.take_or("listen", admin.listen);
    admin.socket = table.take_or("socket", admin.socket);
    for key in ["token", "read_only_token"] {
        warn_of_token_itself(&table, key);
    }
    admin.token = table.take_or("token", admin.token);
    admin.read_only_token = table.take("read_only_token");
    if admin.read_only_token.as_ref() == Some(&admin.token) {
        table.problem(
            "read_only_token",
            "this is the file with the other token",
            "name another file, such as \"data/read-only-token\"",
        );
    }
    admin.hosts = table.checked("hosts", check_hosts).unwrap_or_default();
    // Port 0 is a port of its own for each.
    if server.listen.iter().any(|public| is_taken_by(*public, admin.listen)) {
        table.problem("listen", "this is the public listener's address", "take another port");
    }
    if !admin.listen.ip().is_loopback() {
        table.warning(
            "listen",
            "the dashboard can be reached from other machines, without TLS",
            "listen on 127.0.0.1 and come by an SSH tunnel or a reverse proxy with TLS",
        );
    }
    if admin.socket.as_os_str().len() > SOCKET_PATH_MAX {
        let message = format_args!("the socket's path has more than {SOCKET_PATH_MAX} bytes");
        table.problem(
            "socket",
            message,
            "take a shorter one, such as \"/run/gatepost/admin.sock\"",
        );
    }
    table.finish();
    admin
}

/// Tells where the token stands in place of its file, which would be made under that name.
pub(super) fn warn_of_token_itself(table: &Table<'_>, key: &str) {
    if table.text_of(key).is_some_and(is_token_itself) {
        table.hide(key);
        let message = "here stands the name of a file, and this looks like the token itself";
        let help = "leave it out, or name the file, as in `\"data/my-token\"`: the token is the text in it";
        table.warning(key, message, help);
    }
}

pub(super) fn read_log(root: &mut Table<'_>) -> LogSettings {
    let mut log = LogSettings { format: LogFormat::Text, level: LogLevel::Info };
    let Some(mut table) = root.table("log") else { return log };
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    log.format = table.choice("format", &formats).unwrap_or(log.format);
    let levels =
        [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    let levels = levels.map(|level| (level.as_str(), level));
    log.level = table.choice("level", &levels).unwrap_or(log.level);
    table.finish();
    log
}

fn check_listen(table: &Table<'_>, listen: &[SocketAddr]) {
    for (n, address) in listen.iter().enumerate() {
        let before = listen.iter().take(n).find(|before| is_taken_by(**before, *address));
        if let Some(before) = before {
            let message = format_args!("`{address}` is taken by `{before}` before it");
            table.problem("listen", message, "leave one of them out, or take another port");
        }
    }
}

/// Whether this process cannot listen at `address` while it listens at `other`. Port 0 is a port of its own for
/// each; whether `[::]` takes the addresses of IPv4 too is up to the machine.
fn is_taken_by(other: SocketAddr, address: SocketAddr) -> bool {
    let is_all = other.ip().is_unspecified() || address.ip().is_unspecified();
    address.port() != 0
        && other.port() == address.port()
        && other.is_ipv4() == address.is_ipv4()
        && (is_all || other.ip() == address.ip())
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Names alone, as browsers send them in `Host` before the port.
#[expect(clippy::needless_pass_by_value, reason = "as `Table::checked` gives it")]
fn check_hosts(hosts: Vec<String>) -> Result<Vec<String>, String> {
    let is_name = |host: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        !host.is_empty() && host.chars().all(is_part)
    };
    match hosts.iter().find(|host| !is_name(host)) {
        Some(host) => Err(format!(
            "`{host}` is no host name: write it without scheme, port and path, as in \
             \"gatepost.example.com\""
        )),
        None => Ok(hosts.iter().map(|host| host.to_ascii_lowercase()).collect()),
    }
}

fn check_timeout(timeout: Duration) -> Result<Duration, String> {
    if timeout.is_zero() {
        Err("no request would be in time".to_owned())
    } else if timeout > REQUEST_TIMEOUT_MAX {
        Err(format!(
            "slow senders would hold connections: at most {}",
            show_duration(REQUEST_TIMEOUT_MAX)
        ))
    } else {
        Ok(timeout)
    }
}
