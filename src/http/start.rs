//! Starts and ends the listeners.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::web;
use tokio_util::sync::CancellationToken;

use super::connections::{Connections, Limits, Report};
use super::listen::{ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_TIMEOUT, Listen, cannot_listen};
use super::{admin, public, serve};
use crate::files;
use crate::ingest::COMMIT_TIMEOUT;

/// How often silent connections are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long a client may go on with a body that is discarded, after it was answered.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
/// As good as no limit: for what the owner asks.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// Listeners that serve.
#[derive(Debug)]
pub struct Listeners {
    public: Vec<SocketAddr>,
    admin: Vec<SocketAddr>,
    thread: JoinHandle<io::Result<()>>,
}

impl Listeners {
    /// The public listener's addresses, with the ports that the system gave.
    pub fn public(&self) -> &[SocketAddr] {
        &self.public
    }

    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin.first().copied()
    }

    /// Waits until the listeners have stopped. Blocks.
    pub fn join(self) -> io::Result<()> {
        self.thread.join().unwrap_or_else(|_panic| Err(io::Error::other("a listener panicked")))
    }

    /// Whether the listeners have stopped.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Binds all addresses, then serves them on threads of their own until `stop`: requests in flight
/// are finished, new ones are not accepted.
pub fn start(
    listen: Listen,
    public: Arc<public::Public>,
    admin: Arc<admin::Admin>,
    stop: CancellationToken,
) -> io::Result<Listeners> {
    let (bound_tx, bound_rx) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("http".into()).spawn(move || {
        let system = actix_web::rt::System::new();
        system.block_on(async move {
            // Connections end their keeping later than the listeners their accepting.
            let drain = CancellationToken::new();
            let bound = match bind(&listen, &public, &admin, &drain) {
                Ok(bound) => bound,
                Err(err) => return bound_tx.send(Err(err)).map_err(io::Error::other),
            };
            let Bound { servers, connections, addresses, admin } = bound;
            bound_tx.send(Ok((addresses, admin))).map_err(io::Error::other)?;
            let handover = (!listen.inherited.is_empty()).then_some(public);
            let ended =
                serve_all(servers, &connections, &Stop { asked: stop, drain, handover }).await;
            // Nothing listens on it any more; a later start would replace it all the same.
            drop(std::fs::remove_file(&listen.socket));
            ended
        })
    })?;
    let (public, admin) = bound_rx.recv().map_err(io::Error::other)??;
    Ok(Listeners { public, admin, thread })
}

struct Bound {
    servers: Vec<Server>,
    connections: Vec<Connections>,
    /// The public listener's.
    addresses: Vec<SocketAddr>,
    admin: Vec<SocketAddr>,
}

/// How servers end.
struct Stop {
    /// When.
    asked: CancellationToken,
    /// Tells connections not to wait for another request.
    drain: CancellationToken,
    /// The public service, where another process goes on with the listening sockets.
    handover: Option<Arc<public::Public>>,
}

fn bind(
    listen: &Listen,
    public: &Arc<public::Public>,
    admin: &Arc<admin::Admin>,
    drain: &CancellationToken,
) -> io::Result<Bound> {
    let limits = Limits {
        n_connections: listen.n_connections,
        // The pause before a request, and its head.
        idle: listen.keep_alive + listen.request_timeout,
        body: listen.request_timeout + 2 * SWEEP_EVERY,
        // Body, commit, and as much again as the body for the answer's way.
        answer: listen.request_timeout * 2 + COMMIT_TIMEOUT,
        discard: DISCARD_TIMEOUT,
    };
    let report = |place| -> Report {
        let public = Arc::clone(public);
        Box::new(move |why, client| public.refuse_connection(why, client, place))
    };
    let of_public = Connections::new(limits, report(None));
    let limits = Limits {
        n_connections: ADMIN_CONNECTIONS_MAX,
        idle: listen.keep_alive + ADMIN_HEAD_TIMEOUT,
        // The routes have limits of their own, and the stream ends when its reader does.
        body: FOR_EVER,
        answer: FOR_EVER,
        discard: DISCARD_TIMEOUT,
    };
    let of_admin = Connections::new(limits, report(Some("(admin listener)")));
    // Of its own: a client that holds all connections of the other one cannot lock the owner out.
    let of_socket = Connections::new(limits, report(Some("(admin socket)")));
    // What the whole Internet tries on port 80 tells an owner nothing.
    let of_challenge = Connections::new(limits, Box::new(|_, _| {}));
    let admin = web::Data::from(Arc::clone(admin));
    let (public_server, addresses) = serve::public(listen, &of_public, public, drain)?;
    let (admin_server, admin_addresses) = serve::admin(listen, &of_admin, &admin, drain)?;
    let socket = bind_socket(&listen.socket)
        .map_err(|err| cannot_listen(listen.socket.display(), "`[admin] socket`", &err))?;
    let socket_server = serve::admin_socket(&of_socket, socket, &admin, drain)?;
    let mut servers = vec![public_server, admin_server, socket_server];
    if !listen.challenge.is_empty() {
        servers.push(serve::challenge(listen, &of_challenge, drain)?);
    }
    let connections = vec![of_public, of_admin, of_socket, of_challenge];
    Ok(Bound { servers, connections, addresses, admin: admin_addresses })
}

/// The admin socket, for its owner only. One that was left behind is replaced: the lock on the data
/// folder says that no process serves it.
fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A slip in the configuration must not cost its owner a file, or cut off another program.
    let staging = files::staging(path);
    for there in [path, &staging] {
        if files::is_no_socket(there) {
            let told = format!("`{}` is there and is no socket", there.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, told));
        }
    }
    if UnixStream::connect(path).is_ok() {
        // Not as a port that is in use, for which there is other advice.
        let told = "another program answers there";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, told));
    }
    // Bound under another name and then moved into place, so that there is no moment at which
    // another user may connect, and no moment at which the owner cannot.
    files::remove(&staging)?;
    let socket = UnixListener::bind(&staging)?;
    std::fs::set_permissions(&staging, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&staging, path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Runs all servers until `stop`, or until one of them ends by itself.
async fn serve_all(
    servers: Vec<Server>,
    connections: &[Connections],
    stop: &Stop,
) -> io::Result<()> {
    let handles: Vec<_> = servers.iter().map(Server::handle).collect();
    let mut running = std::pin::pin!(futures_util::future::try_join_all(servers));
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            ended = &mut running => return ended.map(|_| ()),
            () = stop.asked.cancelled() => break,
            _ = sweep.tick() => connections.iter().for_each(Connections::sweep),
        }
    }
    if let (Some(public), Some(handle), Some(connections)) =
        (&stop.handover, handles.first(), connections.first())
    {
        tokio::select! {
            ended = &mut running => return ended.map(|_| ()),
            () = hand_over(public, handle, connections) => {}
        }
    }
    stop.drain.cancel();
    let stops = handles.iter().map(|handle| handle.stop(true));
    let stopped = futures_util::future::join_all(stops);
    // The servers must be polled for their stop to proceed.
    let (ended, _) = tokio::join!(running, stopped);
    ended.map(|_| ())
}

/// Accepts nothing more, so that what comes waits in the kernel for the next process, and lets
/// every connection that was accepted before have its first answer: the library would close those
/// that it has not begun to read. Waits until there has been none for [`QUIET_LOOKS`] looks.
async fn hand_over(public: &public::Public, handle: &ServerHandle, connections: &Connections) {
    public.close_connections();
    handle.pause().await;
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut n_quiet = 0;
    for _ in 0..HAND_OVER_LOOKS_MAX {
        look.tick().await;
        n_quiet = if connections.n_unused() == 0 { n_quiet + 1 } else { 0 };
        if n_quiet > QUIET_LOOKS {
            return;
        }
    }
}

/// How often [`hand_over`] looks, how many looks in a row must find nothing, and how many there are
/// at most: a client that sends nothing holds a restart up for a second and no more. 250 ms: a
/// connection is on its way from the accepting thread to its worker for less than one look, and who
/// sends again within that on a connection that is kept learns by the answer that it ends. (With 50
/// ms 2 of 1,346 requests in 100 restarts under load found it closed.)
const LOOK_EVERY: Duration = Duration::from_millis(10);
const QUIET_LOOKS: u32 = 25;
const HAND_OVER_LOOKS_MAX: u32 = 100;
