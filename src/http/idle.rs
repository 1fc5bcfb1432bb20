//! Hangs up on connections that have been silent for too long.
//!
//! actix limits how long the head of a connection's first request may take, and how long a
//! connection may say nothing. It does not limit the head of a later request once the first byte
//! of it has come: without this, one byte would hold a connection for ever.

use std::any::Any;
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use tokio::time::Instant;
use tracing::warn;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    began: Instant,
    /// The longest time between two beginnings of a request that an honest sender can need.
    silence_max: Duration,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, Arc<Connection>>,
    next: u64,
}

/// One connection, seen from beside.
#[derive(Debug)]
struct Connection {
    /// The same socket under a number of our own, so that it can be shut down from here.
    socket: TcpStream,
    /// When its last request began, in milliseconds since `began`.
    last: AtomicU64,
}

/// In a connection's data: notes its requests, and its end.
struct Note {
    shared: Arc<Shared>,
    number: u64,
    connection: Arc<Connection>,
}

impl Connections {
    pub(super) fn new(silence_max: Duration) -> Self {
        let open = Mutex::default();
        Self(Arc::new(Shared { began: Instant::now(), silence_max, open }))
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
                    // It is served all the same, and hangs up when it likes.
                    Err(err) => warn!(error = %err, "A connection cannot be watched"),
                }
            }
        }
    }

    /// Hangs up on those that have been silent for too long.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let open = self.0.open();
        let silent = open.connections.values().filter(|connection| {
            let last = Duration::from_millis(connection.last.load(Ordering::Relaxed));
            now.duration_since(self.0.began).saturating_sub(last) > self.0.silence_max
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
        let last = AtomicU64::new(self.millis(Instant::now()));
        let connection = Arc::new(Connection { socket, last });
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

/// Notes that a request began at `now`.
pub(super) fn note(request: &HttpRequest, now: Instant) {
    if let Some(note) = request.conn_data::<Note>() {
        note.connection.last.store(note.shared.millis(now), Ordering::Relaxed);
    }
}
