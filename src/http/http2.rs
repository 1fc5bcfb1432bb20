//! HTTP/2 within TLS: connections that carry many requests at once.
//!
//! actix-http's own HTTP/2 sets no limit on streams and heads, and never says goodbye, so the
//! protocol's crate (h2) is driven from here:
//!
//! - Each stream takes a place among the connections ([`Registration`]), as if it were one: the limits
//!   on their number, on each address, and on the time of each phase are those of HTTP/1.1.
//! - At most [`STREAMS_MAX`] are open on a connection. More are refused, also where a client takes its
//!   own back (rapid reset): what was begun is finished and counts until then.
//! - Frames that bring no request are counted (`frame_budget`): a flood of them ends the connection.
//! - A head has the limits of HTTP/1.1. What of bodies waits to be read is at most [`WINDOW_BYTES`] of a
//!   connection.
//! - An answer counts as given once all that was to be written is with the kernel.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::connections::{Connections, Registration};
use super::control::Phase;
use super::public::Public;
use super::tls::Socket;
use crate::ingest::RefusedFor;

mod exchange;
mod frame_budget;
mod head;
mod wire;

use exchange::{AnswerInFlight, End, Exchange};
use wire::{Wire, WireState};

/// Requests at once on one connection.
const STREAMS_MAX: u32 = 64;
/// How long a head may be before h2 itself answers 431, and throws away what comes more. Above the
/// limit that is told of, and counted as the protocol does: 32 bytes more for each header.
const HEAD_MAX: u32 = 64 << 10;
/// What a client may send of bodies before some of it is read: on a stream, and on a connection.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const WINDOW_BYTES: u32 = 128 << 10;
/// What is kept of an answer that the client does not take.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// How long a client has to learn that the connection is about to end: what it sends until then is
/// answered.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// What connections of HTTP/2 are served with, on one thread.
pub(super) struct Http2 {
    pub(super) public: Arc<Public>,
    pub(super) connections: Connections,
    /// How long the connection's own beginning may take.
    pub(super) head_timeout: Duration,
    pub(super) stop: CancellationToken,
}

impl Http2 {
    /// Serves a connection to its end.
    pub(super) async fn serve(
        &self,
        socket: Socket,
        registration: Registration,
        peer: Option<SocketAddr>,
    ) -> io::Result<()> {
        let wire = Wire::new(socket);
        let state = wire.state();
        let begun = Builder::new()
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_MAX)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .handshake(wire);
        let begun = tokio::select! {
            begun = tokio::time::timeout(self.head_timeout, begun) => begun,
            () = registration.control().closed() => return Ok(()),
        };
        let connection = match begun {
            Ok(Ok(connection)) => connection,
            Ok(Err(err)) if err.is_io() => return Ok(()),
            Ok(Err(_)) => {
                registration.report(RefusedFor::Malformed);
                return Ok(());
            }
            Err(_) => {
                // A client that said nothing at all has asked for nothing.
                if state.has_read.get() {
                    registration.report(RefusedFor::SlowHead);
                }
                return Err(io::ErrorKind::TimedOut.into());
            }
        };
        let mut open = Open {
            http2: self,
            connection,
            registration,
            peer,
            exchanges: FuturesUnordered::new(),
            unwritten: Vec::new(),
            wire: state,
            stop: Box::pin(self.stop.clone().cancelled_owned()),
            goodbye: None,
        };
        poll_fn(|context| open.poll(context)).await;
        Ok(())
    }
}

/// An open connection.
struct Open<'a> {
    http2: &'a Http2,
    connection: Connection<Wire, Bytes>,
    registration: Registration,
    peer: Option<SocketAddr>,
    /// Requests that are being answered.
    exchanges: FuturesUnordered<Pin<Box<dyn Future<Output = Exchange>>>>,
    /// Answers that may not be written yet.
    unwritten: Vec<AnswerInFlight>,
    wire: Rc<WireState>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The connection is about to end, and when its client has had time enough.
    goodbye: Option<Pin<Box<Sleep>>>,
}

impl Open<'_> {
    /// Ready = the connection has ended.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.goodbye.is_none() && self.stop.as_mut().poll(context).is_ready() {
            self.say_goodbye();
        }
        loop {
            if self.must_end(context) {
                // Tells the client which requests were not begun, where it still listens.
                let is_flooded = self.wire.is_flooded.get();
                if is_flooded {
                    self.registration.report(RefusedFor::Malformed);
                }
                let calm = if is_flooded { Reason::ENHANCE_YOUR_CALM } else { Reason::NO_ERROR };
                self.connection.abrupt_shutdown(calm);
                drop(self.connection.poll_accept(context));
                return Poll::Ready(());
            }
            if self.poll_connection(context).is_ready() {
                return Poll::Ready(());
            }
            // What comes is taken first: most bodies are there when their request is looked at.
            if !self.poll_exchanges(context) {
                return Poll::Pending;
            }
        }
    }

    /// Whether the connection is to end now.
    fn must_end(&mut self, context: &mut Context<'_>) -> bool {
        let is_idle = self.exchanges.is_empty() && self.unwritten.is_empty();
        let is_over =
            self.goodbye.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready());
        is_over && is_idle
            || self.wire.is_flooded.get()
            || self.registration.control().must_close(context)
            // An answer that its client does not take.
            || self.unwritten.iter().any(|answered| answered.must_close(context))
    }

    /// Writes what is to be written and takes what has come. Ready = the connection has ended.
    fn poll_connection(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                Poll::Ready(Some(Err(err))) => {
                    if err.is_library() {
                        self.registration.report(RefusedFor::Malformed);
                    }
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if !self.wire.is_blocked.get() && !self.unwritten.is_empty() {
            self.unwritten.drain(..).for_each(AnswerInFlight::confirm);
            self.note_idle();
        }
        Poll::Pending
    }

    fn begin(&mut self, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        // The connection does not make room for its own stream.
        self.registration.set(Phase::Answer);
        // A client may have an answer before we know that it is written, and ask again at once.
        let (max, n_exchanges) = (STREAMS_MAX as usize, self.exchanges.len());
        let is_room = n_exchanges < max && n_exchanges + self.unwritten.len() < 2 * max;
        let place = is_room.then(|| self.registration.stream(&self.http2.connections)).flatten();
        let Some(place) = place else {
            // By the protocol: nothing was done with it, and it may be sent again.
            respond.send_reset(Reason::REFUSED_STREAM);
            self.note_idle();
            return;
        };
        let public = Arc::clone(&self.http2.public);
        let exchange = exchange::answer(public, place, self.peer, request, respond);
        self.exchanges.push(Box::pin(exchange));
    }

    /// Goes on with the requests. `true` = some are done, and there may be something to write.
    fn poll_exchanges(&mut self, context: &mut Context<'_>) -> bool {
        let mut is_any = false;
        while let Poll::Ready(Some(exchange)) = self.exchanges.poll_next_unpin(context) {
            is_any = true;
            match exchange.end {
                End::Answered(answered) => self.unwritten.push(answered),
                End::Gone => {}
            }
            if exchange.is_last {
                self.say_goodbye();
            }
            self.registration.set(Phase::Answer);
        }
        if is_any {
            self.note_idle();
        }
        is_any
    }

    /// Takes no more requests than those that are under way by the time the client has heard of it.
    fn say_goodbye(&mut self) {
        if self.goodbye.is_none() {
            self.connection.graceful_shutdown();
            self.goodbye = Some(Box::pin(tokio::time::sleep(GOODBYE_TIMEOUT)));
        }
    }

    /// From now on the connection is idle, where nothing is under way.
    fn note_idle(&self) {
        if self.exchanges.is_empty() && self.unwritten.is_empty() {
            self.registration.set(Phase::Head);
        }
    }
}
