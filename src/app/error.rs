//! Why the server could not start, or ended.

use std::io;

use crate::event::{HandlerName, SourceName};
use crate::handler::BuildError;
use crate::queue::QueueError;
use crate::secret::SecretError;
use crate::source::SourceError;
use crate::tls::CertificateError;
use crate::tls::acme::AcmeError;

/// Why the server could not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// The store cannot be opened.
    #[error("the queue cannot be opened")]
    Queue(#[source] QueueError),
    /// What is changed without the server would not reach the other gateways.
    #[error(
        "several gateways share this log, which is changed through a gateway that runs; start it, and \
         ask again"
    )]
    Shared,
    /// A password of the shared log cannot be had.
    #[error("the secret of `[queue.postgres]` or `[queue.nats]` cannot be read")]
    SharedLogSecret(#[source] SecretError),
    /// A source cannot be built.
    #[error("source `{0}` cannot be built")]
    Source(SourceName, #[source] SourceError),
    /// The client that fetches a source's keys cannot be made.
    #[error("the keys of source `{0}` cannot be fetched")]
    Keys(SourceName, #[source] BuildError),
    /// A handler cannot be built.
    #[error("handler `{0}` cannot be built")]
    Handler(HandlerName, #[source] BuildError),
    /// A handler's place in the log cannot be had.
    #[error("handler `{0}` cannot be subscribed")]
    Subscribe(HandlerName, #[source] QueueError),
    /// The admin token cannot be had.
    #[error("the admin token cannot be read")]
    Token(#[source] SecretError),
    /// A secret of `[traces.headers]` cannot be had.
    #[error("a header of `[traces.headers]` cannot be made")]
    TracesHeader(#[source] SecretError),
    /// A secret of `[traces.headers]` fits into no header.
    #[error("the secret of `traces.headers.{0}` has a line break")]
    UnfitTracesHeader(String),
    /// The public listener's certificate cannot be had.
    #[error("the certificate of `[server.tls]` cannot be used")]
    Certificate(#[source] CertificateError),
    /// What was kept of earlier certificates cannot be read.
    #[error("`[server.acme]` cannot be used")]
    Acme(#[source] AcmeError),
    /// The TLS library refuses its settings.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// An address is taken, or a listener failed.
    #[error("{0}")]
    Listen(#[source] io::Error),
    /// The system said no.
    #[error("{0} failed")]
    Io(&'static str, #[source] io::Error),
    /// A write or sync failed: what is on disk decides at the next start.
    #[error("the queue is poisoned by a failed write; start again to recover from what is on disk")]
    Poisoned,
}
