//! Where listeners listen, and how long they wait for whom.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::tls::CertificateStore;

/// How long an idle connection is kept at least (as long again as a head may take, in case one is
/// under way), where nothing else is said: longer than the pause between two events of a busy
/// sender, shorter than a proxy's own idea of it (nginx: 60 s upstream).
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// What a connection holds at most beside its body: two buffers, a head, and eight requests behind it.
pub const CONNECTION_BYTES: u64 = 128 << 10;
/// The most connections of one worker thread, where the system lets us have as many.
pub const CONNECTIONS_PER_WORKER: usize = 4_096;
/// The most connections of the admin listener, and of the admin socket.
pub(super) const ADMIN_CONNECTIONS_MAX: usize = 256;
/// How long requests in flight have to finish at the end. The durable commit gives up after 8 s,
/// when the sender has given up on the answer.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(8);

/// The admin side's requests are short, but for the stream, which never ends by itself.
pub(super) const ADMIN_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the head of an owner's request may take: the public limit may be far tighter.
pub(super) const ADMIN_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Which addresses to listen on, and how long to wait for whom.
#[derive(Debug)]
pub struct Listen {
    /// For senders.
    pub public: Vec<SocketAddr>,
    /// For the owner.
    pub admin: SocketAddr,
    /// For the command line.
    pub socket: PathBuf,
    /// Threads that serve the public listener.
    pub workers: usize,
    /// The most public connections at once; the longest idle ones make room.
    pub n_connections: usize,
    /// How long an idle connection is kept at least; a public one `request_timeout` more.
    pub keep_alive: Duration,
    /// How long a request's head may take, and its body once more.
    pub request_timeout: Duration,
    /// How the public listener takes part in TLS handshakes; nothing = it speaks plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Where an authority looks for what `challenges` holds; mostly nowhere.
    pub challenge: Vec<SocketAddr>,
    /// What shows an authority that this machine's names are its own.
    pub challenges: Arc<CertificateStore>,
    /// Sockets that the service manager holds open over a restart; they take the place of
    /// `public`, and of `challenge` where their port is one of its.
    pub inherited: Vec<TcpListener>,
}

/// Which addresses of `listen` nothing listens on, where `passed` sockets take its place. One that only this
/// machine reaches is left out: it is `listen` as it stands where nothing is said.
pub(super) fn unserved(listen: &[SocketAddr], passed: &[TcpListener]) -> Vec<SocketAddr> {
    let is_served =
        |port| passed.iter().any(|socket| socket.local_addr().is_ok_and(|own| own.port() == port));
    let unserved = listen.iter().filter(|one| !one.ip().is_loopback() && !is_served(one.port()));
    unserved.copied().collect()
}

/// What to do where this user may not listen on a port.
pub const PORT_IS_ROOTS: &str = "this user may not: under systemd write `ListenStream=` with the port into `gatepost.socket`, which \
     is opened for it; elsewhere `setcap cap_net_bind_service=+ep` on the program";

/// Why nothing listens on an address. `key` says where the address stands in the configuration.
pub(super) fn cannot_listen(
    address: impl std::fmt::Display,
    key: &str,
    err: &io::Error,
) -> io::Error {
    let hint = match err.kind() {
        io::ErrorKind::AddrInUse => "; `ss -ltnp` shows which program has it".to_owned(),
        io::ErrorKind::PermissionDenied => format!("; {PORT_IS_ROOTS}"),
        io::ErrorKind::AddrNotAvailable => "; `ip address` shows those of this machine".to_owned(),
        _ => String::new(),
    };
    io::Error::new(err.kind(), format!("cannot listen on {address} ({key}): {err}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_that_passed_sockets_leave_out_is_told() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let other = if port == 443 { 444 } else { 443 };
        let listen = |text: String| [text.parse::<SocketAddr>().unwrap()];
        let passed = [socket];
        assert_eq!(unserved(&listen(format!("0.0.0.0:{port}")), &passed), []);
        let public = listen(format!("0.0.0.0:{other}"));
        assert_eq!(unserved(&public, &passed), public);
        assert_eq!(unserved(&listen(format!("127.0.0.1:{other}")), &passed), []);
    }

    #[test]
    fn port_that_is_roots_is_told_with_the_way_out() {
        let err = io::Error::from(io::ErrorKind::PermissionDenied);
        let told = cannot_listen("0.0.0.0:443", "`[server] listen`", &err).to_string();
        assert!(told.contains("`ListenStream=` with the port into `gatepost.socket`"), "{told}");
    }
}
