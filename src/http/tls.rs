//! Sockets, and TLS between them and their connections.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::rt::net::{TcpStream, UnixStream};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ingest::RefusedFor;
use crate::tls::{ACME_TLS, HTTP_2};

use super::connections::Registration;
use super::control::Phase;

/// The longest handshake, where a request may take longer: two round trips take a second even by
/// satellite.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// A socket, plain or under TLS; its reader sees the clear text.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// One of this machine's own, by a path.
    Local(UnixStream),
}

impl Socket {
    /// Whether the client chose HTTP/2.
    pub(super) fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Local(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP_2),
        }
    }
}

/// Takes part in handshakes.
#[derive(Clone)]
pub(super) struct Handshake {
    acceptor: TlsAcceptor,
    timeout: Duration,
}

impl Handshake {
    pub(super) fn new(config: Arc<ServerConfig>, request_timeout: Duration) -> Self {
        let timeout = request_timeout.min(TIMEOUT_MAX);
        Self { acceptor: TlsAcceptor::from(config), timeout }
    }

    /// Makes one with the client at the other end of `io`, which may be told to make room
    /// meanwhile.
    pub(super) async fn make(
        &self,
        io: TcpStream,
        registration: &Registration,
    ) -> io::Result<Socket> {
        let accept = tokio::time::timeout(self.timeout, self.accept(io));
        let accepted = tokio::select! {
            accepted = accept => accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            () = registration.control().closed() => {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        };
        match accepted {
            // An authority has seen the challenge's certificate, and wants nothing else.
            Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) => {
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Ok(stream) => {
                // The first head has all of its time.
                registration.set(Phase::Head);
                Ok(Socket::Tls(Box::new(stream)))
            }
            Err(err) => {
                if let Some(reason) = failure(&err) {
                    registration.report(reason);
                }
                Err(err)
            }
        }
    }

    async fn accept(&self, io: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        // rustls would answer with an alert, which a client in the clear takes for rubbish.
        if io.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
            let told = tokio::time::timeout(TELL_TIMEOUT, tell(io)).await;
            told.unwrap_or(Ok(()))?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, InClear));
        }
        self.acceptor.accept(io).await
    }
}

/// A request came without TLS.
#[derive(Debug, thiserror::Error)]
#[error("the client speaks HTTP without TLS")]
struct InClear;

/// A client that asks a TLS port in the clear can read this, and nothing else.
const SPEAKS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n\
    content-length: 82\r\nconnection: close\r\n\r\n\
    {\"title\":\"Bad Request\",\"status\":400,\"detail\":\"this port speaks TLS: use https://\"}";

/// How long such a client may take to read it.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Tells a client to use https, and takes what it has sent: unread it would take the answer back.
async fn tell(mut io: TcpStream) -> io::Result<()> {
    io.write_all(SPEAKS_TLS).await?;
    io.shutdown().await?;
    tokio::io::copy(&mut (&mut io).take(TOLD_BYTES_MAX), &mut tokio::io::sink()).await?;
    Ok(())
}

/// How much of what it has sent.
const TOLD_BYTES_MAX: u64 = 1 << 20;

/// How a failed handshake is counted. A client that hangs up without a byte is a monitor that looks
/// whether the port is open.
fn failure(err: &io::Error) -> Option<RefusedFor> {
    match err.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => return None,
        _ => {}
    }
    Some(match err.get_ref() {
        Some(cause) if cause.is::<InClear>() => RefusedFor::PlainHttp,
        Some(_) | None => RefusedFor::TlsHandshake,
    })
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(context, buffer),
            Self::Tls(io) => Pin::new(io).poll_read(context, buffer),
            Self::Local(io) => Pin::new(io).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(context, bytes),
            Self::Tls(io) => Pin::new(io).poll_write(context, bytes),
            Self::Local(io) => Pin::new(io).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(context),
            Self::Tls(io) => Pin::new(io).poll_flush(context),
            Self::Local(io) => Pin::new(io).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(context),
            Self::Tls(io) => Pin::new(io).poll_shutdown(context),
            Self::Local(io) => Pin::new(io).poll_shutdown(context),
        }
    }
}
