//! All connections of one listener: how many there may be, and how long each may do what it does.
//!
//! - Where there are as many as there may be, a new one takes the place of the one that has been
//!   idle for longest, of the address that has most. So one address can hold all of them only for
//!   as long as no other client wants one. Where that address itself wants one more, those of its
//!   that bring events are not cut off for it: the new one is told to come again.
//! - actix limits how long the head of a connection's first request may take, and not that of a
//!   later one: without [`Connections::sweep`] one byte would hold a connection for ever. It also
//!   ends connections that are kept and not used: a timer for each request would cost more.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use actix_http::{Payload, Request};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::control::{Control, Phase};
use crate::clock::whole_millis;
use crate::ingest::{RefusedFor, UnconfirmedAnswer};
use crate::sync::lock;
use open::{Entry, Open, network};

mod open;

/// How many connections may have a buffer that grew for a long head, 64 KiB each: 16 MiB. Nothing is known of
/// who sends it, so it is no matter of how many connections there may be.
const LONG_HEADS_MAX: usize = 256;

/// What a client is answered for whom there is no room, whatever it asks.
pub(super) const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
    content-type: application/problem+json\r\ncontent-length: 105\r\nconnection: close\r\n\r\n\
    {\"title\":\"Service Unavailable\",\"status\":503,\
    \"detail\":\"there is no room for one more connection just now\"}";

/// The connections of one listener.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Registry>);

struct Registry {
    began: Instant,
    limits: Limits,
    report: Report,
    open: Mutex<Open>,
    long_heads: Arc<Semaphore>,
}

/// Is told why what came never becomes a request, and of which address, where that is known.
pub(super) type Report = Box<dyn Fn(RefusedFor, Option<IpAddr>) + Send + Sync>;

/// How many connections there may be, and how long each may do what it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many there may be at once.
    pub(super) n_connections: usize,
    /// Nothing, or sending a head.
    pub(super) idle: Duration,
    /// Sending a body. A timer ends most slow ones before, with an answer.
    pub(super) body: Duration,
    /// Waiting for the answer, since the request began.
    pub(super) answer: Duration,
    /// Sending a body that is discarded, since it was answered.
    pub(super) discard: Duration,
}

/// One connection's place among all. Dropped with the connection.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<Registry>,
    number: u64,
    control: Arc<Control>,
    address: Option<IpAddr>,
    long_head: OnceLock<OwnedSemaphorePermit>,
}

impl Connections {
    pub(super) fn new(limits: Limits, report: Report) -> Self {
        let (began, open) = (Instant::now(), Mutex::default());
        let long_heads = Arc::new(Semaphore::new(LONG_HEADS_MAX));
        Self(Arc::new(Registry { began, limits, report, open, long_heads }))
    }

    /// Takes a connection of `client` in, in place of another one where there are too many. `None`
    /// = all of them are being answered, or in use by the same client.
    pub(super) fn register(&self, client: Option<IpAddr>) -> Option<Registration> {
        let control = Arc::new(Control::new(self.0.began));
        // The admin socket knows no addresses, and a connection whose client is gone already has none.
        let address = client.map(|client| client.to_canonical());
        let client = network(address.unwrap_or(IpAddr::from([0; 4])));
        let mut open = self.0.open();
        let is_full = open.connections.len() >= self.0.limits.n_connections;
        let shed = if is_full { open.shed(client, self.0.millis()) } else { None };
        if is_full && shed.is_none() {
            drop(open);
            (self.0.report)(RefusedFor::NoConnection, address);
            return None;
        }
        let number = open.next;
        open.next += 1;
        open.add(number, Entry { control: Arc::clone(&control), client });
        drop(open);
        if let Some(client) = shed {
            let client = Some(client).filter(|client| !client.is_unspecified());
            (self.0.report)(RefusedFor::Shed, client);
        }
        let registry = Arc::clone(&self.0);
        Some(Registration { registry, number, control, address, long_head: OnceLock::new() })
    }

    /// How many have not begun their first request.
    pub(super) fn n_unused(&self) -> usize {
        self.0.open().connections.values().filter(|entry| !entry.control.is_used()).count()
    }

    /// Ends those that have done for too long what they do. One that begins a request at this very
    /// moment may go as well: its sender tries again, and is recognised if it was stored.
    pub(super) fn sweep(&self) {
        let now = Duration::from_millis(self.0.millis());
        let open = self.0.open();
        let late = open.connections.values().filter(|entry| {
            let (phase, since) = entry.control.get();
            let max = match phase {
                Phase::Head => self.0.limits.idle,
                Phase::Body => self.0.limits.body,
                Phase::Answer => self.0.limits.answer,
                Phase::Discard => self.0.limits.discard,
            };
            now.saturating_sub(since) > max
        });
        for entry in late {
            // The entry goes with the connection's own task.
            entry.control.close();
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Registry {
    fn millis(&self) -> u64 {
        whole_millis(self.began.elapsed())
    }

    /// A panic elsewhere leaves the maps whole.
    fn open(&self) -> MutexGuard<'_, Open> {
        lock(&self.open)
    }
}

impl Registration {
    pub(super) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Notes what the connection does from now on.
    pub(super) fn set(&self, phase: Phase) {
        self.control.set(phase, Instant::now());
    }

    /// Tells why what came on the connection never becomes a request.
    pub(super) fn report(&self, reason: RefusedFor) {
        (self.registry.report)(reason, self.address);
    }

    /// A place for a stream of the connection, as if it were a connection of its own.
    pub(super) fn stream(&self, all: &Connections) -> Option<Self> {
        all.register(self.address)
    }

    /// Whether there is room for a long head. Once there is, the connection has it until its end: its buffer
    /// does not shrink.
    pub(super) fn may_have_long_head(&self) -> bool {
        if self.long_head.get().is_none()
            && let Ok(room) = Arc::clone(&self.registry.long_heads).try_acquire_owned()
        {
            // One task asks.
            drop(self.long_head.set(room));
        }
        self.long_head.get().is_some()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.control.give_answers_up();
        self.registry.open().remove(self.number);
    }
}

/// The connection of `request`, which the HTTP library keeps with it.
pub(super) fn handle_of(request: &Request) -> ConnectionHandle<'_> {
    ConnectionHandle(request.conn_data())
}

/// By which a request says what its connection does. Tests have requests without one.
#[derive(Clone, Copy)]
pub(super) struct ConnectionHandle<'a>(pub(super) Option<&'a Arc<Control>>);

impl ConnectionHandle<'_> {
    /// A request begins. `length` is what its head says of the body, where it says that.
    pub(super) fn begin(self, body: &Payload, length: Option<u64>, now: Instant) {
        let Some(control) = self.0 else { return };
        if matches!(body, Payload::None) {
            return control.set(Phase::Answer, now);
        }
        control.set_body(length);
        control.set(Phase::Body, now);
    }

    /// All of the body is there.
    pub(super) fn has_body(self, began: Instant) {
        if let Some(control) = self.0 {
            control.set(Phase::Answer, began);
        }
    }

    /// What the request brought is stored; its answer is given, and will be written.
    pub(super) fn answers(self, answer: UnconfirmedAnswer) {
        // A test's request has no connection that it could be lost on.
        let Some(control) = self.0 else { return answer.confirm() };
        control.note_event();
        if !answer.is_empty() {
            control.add_answer(answer);
        }
    }

    /// The request is answered. `true` = its body was not read to its end: then the rest of it is
    /// thrown away, for `sooner` less than the time that others have for it.
    pub(super) fn end(self, now: Instant, sooner: Duration) -> bool {
        let Some(control) = self.0 else { return false };
        let is_unread = control.phase() == Phase::Body;
        let since = now.checked_sub(sooner).unwrap_or(now);
        control.set(if is_unread { Phase::Discard } else { Phase::Head }, since);
        is_unread
    }
}

#[cfg(test)]
mod tests {
    use super::open::IN_USE;
    use super::*;

    fn connections(n_connections: usize) -> Connections {
        let long = Duration::from_hours(1);
        let (idle, body, answer, discard) = (long, long, long, long);
        let limits = Limits { n_connections, idle, body, answer, discard };
        Connections::new(limits, Box::new(|_, _| {}))
    }

    fn is_closed(registration: &Registration) -> bool {
        !registration.registry.open().connections.contains_key(&registration.number)
    }

    #[test]
    fn the_longest_idle_of_the_greediest_address_makes_room() {
        let connections = connections(10);
        let of = |last| connections.register(Some(IpAddr::from([192, 0, 2, last])));
        let honest = of(1).unwrap();
        let greedy: Vec<_> = (0..9).map(|_| of(2).unwrap()).collect();
        // The first of them is busy.
        greedy[0].set(Phase::Answer);
        let other = of(3).unwrap();
        assert!(is_closed(&greedy[1]));
        assert!([&honest, &greedy[0], &greedy[2], &other].iter().all(|one| !is_closed(one)));
        // Even the address itself gets a new one for an old one.
        let again = of(2).unwrap();
        assert!(is_closed(&greedy[2]) && !is_closed(&again));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_in_use_are_cut_off_for_other_addresses_alone() {
        let connections = connections(3);
        let of = |last| connections.register(Some(IpAddr::from([192, 0, 2, last])));
        let quiet = of(9).unwrap();
        let used: Vec<_> = (0..2).map(|_| of(1).unwrap()).collect();
        for registration in &used {
            registration.control.note_event();
        }
        assert!(of(1).is_none(), "neither its own nor that of another address goes for it");
        let other = of(2).unwrap();
        assert!(is_closed(&used[0]) && !is_closed(&used[1]) && !is_closed(&quiet));
        drop(other);
        let again = of(1).unwrap();
        tokio::time::advance(IN_USE).await;
        let last = of(1).unwrap();
        assert!(is_closed(&used[1]) && !is_closed(&again) && !is_closed(&last));
    }

    #[test]
    fn connections_that_are_answered_are_not_cut_off() {
        let connections = connections(2);
        let of = |last| connections.register(Some(IpAddr::from([192, 0, 2, last])));
        let kept = [of(1).unwrap(), of(2).unwrap()];
        kept[0].set(Phase::Answer);
        kept[1].set(Phase::Answer);
        assert!(of(3).is_none());
        assert!(kept.iter().all(|one| !is_closed(one)));
        drop(kept);
        assert!(of(3).is_some());
        assert!(connections.0.open().clients.is_empty(), "nothing is left behind");
    }
}
