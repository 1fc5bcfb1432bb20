//! The servers: sockets at one end, services at the other, and between them the library's HTTP/1 on
//! connections of our own.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpServiceBuilder, KeepAlive};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, map_config,
};
use actix_web::dev::{AppConfig, Server, fn_service};
use actix_web::rt::net::{TcpStream, UnixStream};
use actix_web::{App, web};
use futures_util::future::Either;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::admin::{self, Admin};
use super::challenge;
use super::connection::Connection;
use super::connections::{Connections, NO_ROOM, Registration};
use super::http2::Http2;
use super::listen::{
    ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_TIMEOUT, ADMIN_STOP_TIMEOUT, Listen, STOP_TIMEOUT,
    cannot_listen, unserved,
};
use super::public::{self, Public};
use super::tls::{Handshake, Socket};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1_024;
/// How long a client may take to notice that it was hung up on while it sends a body.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// So many more connections than there may be are accepted, to shed others for them.
const SPARE_CONNECTIONS: usize = 64;

/// The server for senders, and where it listens.
pub(super) fn public(
    listen: &Listen,
    connections: &Connections,
    public: &Arc<Public>,
    stop: &CancellationToken,
) -> io::Result<(Server, Vec<SocketAddr>)> {
    let mut server = Server::build()
        .workers(listen.workers.max(1))
        .max_concurrent_connections(listen.n_connections + SPARE_CONNECTIONS)
        .disable_signals()
        .shutdown_timeout(STOP_TIMEOUT.as_secs());
    let mut addresses = Vec::new();
    for listener in public_sockets(listen)? {
        addresses.push(listener.local_addr()?);
        let (public, connections) = (Arc::clone(public), connections.clone());
        let (stop, head_timeout) = (stop.clone(), listen.request_timeout);
        let handshake = listen.tls.clone().map(|tls| Handshake::new(tls, listen.request_timeout));
        server = server.listen("public", listener, move || {
            let http1 = http(head_timeout, &stop)
                .expect(public::expect(Arc::clone(&public)))
                .h1(public::service(Arc::clone(&public)));
            let (public, stop) = (Arc::clone(&public), stop.clone());
            let http2 =
                Rc::new(Http2 { public, connections: connections.clone(), head_timeout, stop });
            open(connections.clone(), handshake.clone()).and_then(by_protocol(http1, http2))
        })?;
    }
    Ok((server.run(), addresses))
}

/// The server for the owner's programs and pages.
pub(super) fn admin(
    listen: &Listen,
    connections: &Connections,
    admin: &web::Data<Admin>,
    stop: &CancellationToken,
) -> io::Result<(Server, Vec<SocketAddr>)> {
    let listener =
        bind(listen.admin).map_err(|err| cannot_listen(listen.admin, "`[admin] listen`", &err))?;
    let addresses = vec![listener.local_addr()?];
    let (admin, connections, stop) = (admin.clone(), connections.clone(), stop.clone());
    let server = Server::build()
        .workers(1)
        .max_concurrent_connections(ADMIN_CONNECTIONS_MAX + SPARE_CONNECTIONS)
        .disable_signals()
        .shutdown_timeout(ADMIN_STOP_TIMEOUT.as_secs())
        .listen("admin", listener, move || {
            accept(connections.clone()).and_then(answer_owner(&admin, &stop))
        })?;
    Ok((server.run(), addresses))
}

/// What the owner's programs and pages ask, on whichever socket.
fn answer_owner(
    admin: &web::Data<Admin>,
    stop: &CancellationToken,
) -> impl ServiceFactory<
    (Connection<Socket>, Option<SocketAddr>),
    Config = (),
    Response = (),
    Error = DispatchError,
    InitError = (),
> + use<> {
    let admin = admin.clone();
    let app = App::new().configure(|config| admin::configure(config, &admin));
    let app = map_config(app.into_factory(), |()| AppConfig::default());
    http(ADMIN_HEAD_TIMEOUT, stop).h1(app)
}

/// The server for an authority that looks whether this machine's names are its own.
pub(super) fn challenge(
    listen: &Listen,
    connections: &Connections,
    stop: &CancellationToken,
) -> io::Result<Server> {
    let mut server = Server::build()
        .workers(1)
        .max_concurrent_connections(ADMIN_CONNECTIONS_MAX + SPARE_CONNECTIONS)
        .disable_signals()
        .shutdown_timeout(ADMIN_STOP_TIMEOUT.as_secs());
    for listener in challenge_sockets(listen)? {
        let (store, connections, stop) =
            (Arc::clone(&listen.challenges), connections.clone(), stop.clone());
        server = server.listen("challenge", listener, move || {
            let service = challenge::service(Arc::clone(&store));
            accept(connections.clone()).and_then(http(ADMIN_HEAD_TIMEOUT, &stop).h1(service))
        })?;
    }
    Ok(server.run())
}

/// The server for the command line.
pub(super) fn admin_socket(
    connections: &Connections,
    socket: UnixListener,
    admin: &web::Data<Admin>,
    stop: &CancellationToken,
) -> io::Result<Server> {
    let (admin, connections, stop) = (admin.clone(), connections.clone(), stop.clone());
    let server = Server::build()
        .workers(1)
        .max_concurrent_connections(ADMIN_CONNECTIONS_MAX + SPARE_CONNECTIONS)
        .disable_signals()
        .shutdown_timeout(ADMIN_STOP_TIMEOUT.as_secs())
        .listen_uds("admin socket", socket, move || {
            accept_local(connections.clone()).and_then(answer_owner(&admin, &stop))
        })?;
    Ok(server.run())
}

/// HTTP/1 as all listeners speak it. `Connections` ends what is not used.
fn http<S>(
    head_timeout: Duration,
    stop: &CancellationToken,
) -> HttpServiceBuilder<Connection<Socket>, S>
where
    S: ServiceFactory<actix_http::Request, Config = ()>,
    S::Error: Into<actix_http::Response<actix_http::body::BoxBody>> + 'static,
    S::InitError: std::fmt::Debug,
    <S::Service as Service<actix_http::Request>>::Future: 'static,
{
    let stop = stop.clone();
    HttpServiceBuilder::default()
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(head_timeout)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .graceful_shutdown_signal(move || stop.clone().cancelled_owned())
        .on_connect_ext(|io: &Connection<Socket>, data| {
            data.insert(Arc::clone(io.registration().control()));
            if matches!(io.io, Socket::Local(_)) {
                admin::mark_socket(data);
            }
        })
}

/// A connection whose client has been heard, where there is a handshake.
struct Opened {
    socket: Socket,
    registration: Registration,
    peer: Option<SocketAddr>,
}

impl Opened {
    /// For HTTP/1: what a client may send is counted in the clear.
    fn watched(self) -> (Connection<Socket>, Option<SocketAddr>) {
        (Connection::new(self.socket, self.registration), self.peer)
    }
}

/// Gives sockets their place among the connections, behind the TLS handshake where there is one.
fn open(
    connections: Connections,
    handshake: Option<Handshake>,
) -> impl ServiceFactory<TcpStream, Config = (), Response = Opened, Error = DispatchError, InitError = ()>
{
    fn_service(move |io: TcpStream| {
        let peer = io.peer_addr().ok();
        let registration = connections.register(peer.map(|peer| peer.ip()));
        let handshake = handshake.clone();
        async move {
            let Some(registration) = registration else {
                // To a client that wants a handshake first this is as good as hanging up.
                return Err(refuse(io).await);
            };
            // Answers to several requests at once go out each by itself: behind the first one they would
            // wait for the client to confirm it, 40 ms.
            io.set_nodelay(true).map_err(DispatchError::Io)?;
            let socket = match handshake {
                Some(handshake) => handshake.make(io, &registration).await?,
                None => Socket::Plain(io),
            };
            Ok(Opened { socket, registration, peer })
        }
    })
}

/// Tells a client for whom there is no room to come again, whatever it asks.
async fn refuse(mut io: impl AsyncRead + AsyncWrite + Unpin) -> DispatchError {
    let told = tokio::time::timeout(DISCONNECT_TIMEOUT, async {
        io.write_all(NO_ROOM).await?;
        io.shutdown().await?;
        // What came and is not read would take the answer back on its way.
        tokio::io::copy(&mut io, &mut tokio::io::sink()).await
    });
    let failed = told.await.ok().and_then(Result::err);
    DispatchError::Io(failed.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into()))
}

/// The same for what speaks HTTP/1 alone.
fn accept(
    connections: Connections,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = (Connection<Socket>, Option<SocketAddr>),
    Error = DispatchError,
    InitError = (),
> {
    open(connections, None).map(Opened::watched)
}

/// The same for the admin socket.
fn accept_local(
    connections: Connections,
) -> impl ServiceFactory<
    UnixStream,
    Config = (),
    Response = (Connection<Socket>, Option<SocketAddr>),
    Error = DispatchError,
    InitError = (),
> {
    fn_service(move |io: UnixStream| {
        let registration = connections.register(None);
        async move {
            match registration {
                Some(registration) => Ok((Connection::new(Socket::Local(io), registration), None)),
                None => Err(refuse(io).await),
            }
        }
    })
}

/// Serves a connection by what its client chose in the handshake.
fn by_protocol<S>(
    http1: S,
    http2: Rc<Http2>,
) -> impl ServiceFactory<
    Opened,
    Config = (),
    Response = (),
    Error = DispatchError,
    InitError = S::InitError,
>
where
    S: ServiceFactory<
            (Connection<Socket>, Option<SocketAddr>),
            Config = (),
            Response = (),
            Error = DispatchError,
        >,
    <S::Service as Service<(Connection<Socket>, Option<SocketAddr>)>>::Future: 'static,
{
    apply_fn_factory(http1, move |opened: Opened, http1: &S::Service| {
        if opened.socket.speaks_http2() {
            let http2 = Rc::clone(&http2);
            let Opened { socket, registration, peer } = opened;
            Either::Left(async move { Ok(http2.serve(socket, registration, peer).await?) })
        } else {
            Either::Right(http1.call(opened.watched()))
        }
    })
}

/// The sockets of the public listener: those that were passed, or new ones.
fn public_sockets(listen: &Listen) -> io::Result<Vec<TcpListener>> {
    let passed = passed(listen, |port| !is_challenge_port(listen, port))?;
    if !passed.is_empty() {
        for address in unserved(&listen.public, &passed) {
            warn!(
                "Nothing listens on {address} of `[server] listen`: the sockets of the service manager take its \
                 place; write `ListenStream={}` into `gatepost.socket`",
                address.port()
            );
        }
        return Ok(passed);
    }
    let bound = listen.public.iter().map(|address| {
        bind(*address).map_err(|err| cannot_listen(address, "`[server] listen`", &err))
    });
    bound.collect()
}

/// Where an authority looks: the same.
fn challenge_sockets(listen: &Listen) -> io::Result<Vec<TcpListener>> {
    let passed = passed(listen, |port| is_challenge_port(listen, port))?;
    if !passed.is_empty() {
        return Ok(passed);
    }
    let bound = listen.challenge.iter().map(|address| {
        bind(*address).map_err(|err| {
            let key = "`[server.acme]` needs it, or `challenge = \"tls-alpn-01\"`";
            cannot_listen(address, key, &err)
        })
    });
    bound.collect()
}

fn is_challenge_port(listen: &Listen, port: u16) -> bool {
    listen.challenge.iter().any(|address| address.port() == port)
}

/// Those of the passed sockets whose port is one that is wanted.
fn passed(listen: &Listen, is_wanted: impl Fn(u16) -> bool) -> io::Result<Vec<TcpListener>> {
    let mut wanted = Vec::new();
    for socket in &listen.inherited {
        if is_wanted(socket.local_addr()?.port()) {
            wanted.push(socket.try_clone()?);
        }
    }
    Ok(wanted)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart does not wait until the connections of the last run are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}
