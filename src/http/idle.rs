//! Hangs up on connections that have been silent for too long.
//!
//! actix limits how long the head of a connection's first request may take. It does not limit the
//! head of a later request once the first byte of it has come: without this, one byte would hold a
//! connection for ever. Since this looks after connections anyway, it also ends those that are kept
//! and not used: a timer for each request would be felt.

use std::any::Any;
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_http::Request;
use actix_web::dev::Extensions;
use tokio::time::Instant;
use tracing::warn;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    began: Instant,
    limits: Limits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, Arc<Connection>>,
    next: u64,
}

/// How long a connection may do what it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Nothing, or sending a head.
    pub(super) idle: Duration,
    /// Sending a body. A timer ends most slow ones before, with an answer.
    pub(super) body: Duration,
    /// Waiting for the answer, since the request began.
    pub(super) answer: Duration,
}

/// One connection, seen from beside.
#[derive(Debug)]
struct Connection {
    /// The same socket under a number of our own, so that it can be shut down from here.
    socket: TcpStream,
    /// What it does ([`Doing`], the lowest two bits) and since when (milliseconds since `began`).
    since: AtomicU64,
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// There is no request, or not all of its head.
    Nothing,
    /// The body is being read.
    Body,
    /// The request is being answered.
    Answer,
}

impl Connection {
    fn set(&self, doing: Doing, millis: u64) {
        self.since.store(millis << 2 | doing as u64, Ordering::Relaxed);
    }

    /// What it does, and since when.
    fn get(&self) -> (Doing, Duration) {
        let since = self.since.load(Ordering::Relaxed);
        let doing = match since & 3 {
            0 => Doing::Nothing,
            1 => Doing::Body,
            _ => Doing::Answer,
        };
        (doing, Duration::from_millis(since >> 2))
    }
}

/// In a connection's data: notes its requests, and its end.
struct Note {
    shared: Arc<Shared>,
    number: u64,
    connection: Arc<Connection>,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Self {
        let open = Mutex::default();
        Self(Arc::new(Shared { began: Instant::now(), limits, open }))
    }

    /// To be called with each new connection.
    pub(super) fn on_connect(&self) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
        let shared = Arc::clone(&self.0);
        move |io, data| {
            if let Some(io) = io.downcast_ref::<actix_web::rt::net::TcpStream>() {
                match shared.add(io) {
                    Ok(note) => {
                        data.insert(note);
                    }
                    // It is served all the same, but for one request.
                    Err(err) => warn!(error = %err, "A connection cannot be watched"),
                }
            }
        }
    }

    /// Hangs up on those that have been silent for too long. One that begins a request at this very
    /// moment may go as well: its sender tries again, and is recognised if it was stored.
    pub(super) fn sweep(&self) {
        let now = Instant::now().duration_since(self.0.began);
        let open = self.0.open();
        let silent = open.connections.values().filter(|connection| {
            let (doing, since) = connection.get();
            let max = match doing {
                Doing::Nothing => self.0.limits.idle,
                Doing::Body => self.0.limits.body,
                Doing::Answer => self.0.limits.answer,
            };
            now.saturating_sub(since) > max
        });
        for connection in silent {
            // What fails here is gone already. The entry goes with the connection's own task.
            drop(connection.socket.shutdown(Shutdown::Both));
        }
    }
}

impl Shared {
    fn add(self: &Arc<Self>, io: &impl AsFd) -> std::io::Result<Note> {
        let socket = TcpStream::from(io.as_fd().try_clone_to_owned()?);
        let connection = Connection { socket, since: AtomicU64::default() };
        connection.set(Doing::Nothing, self.millis(Instant::now()));
        let connection = Arc::new(connection);
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, Arc::clone(&connection));
        Ok(Note { shared: Arc::clone(self), number, connection })
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    /// A panic elsewhere leaves the map whole.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.shared.open().connections.remove(&self.number);
    }
}

/// The connection of `request`, as far as it is watched.
pub(super) fn of(request: &Request) -> Watched<'_> {
    Watched(request.conn_data::<Note>())
}

/// A connection, seen by its own requests.
#[derive(Clone, Copy)]
pub(super) struct Watched<'a>(Option<&'a Note>);

impl Watched<'_> {
    /// Whether anybody hangs up when it is silent for too long.
    pub(super) fn is_watched(self) -> bool {
        self.0.is_some()
    }

    /// Notes what it does from `now` on.
    pub(super) fn set(self, doing: Doing, now: Instant) {
        if let Some(note) = self.0 {
            note.connection.set(doing, note.shared.millis(now));
        }
    }
}
