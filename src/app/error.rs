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
    #[error("the queue cannot be opened")]
    Queue(#[source] QueueError),
    /// What is changed without the server would not reach the other gateways.
    #[error(
        "several gateways share this log, which is changed through a gateway that runs; start it, and \
         ask again"
    )]
    Shared,
    #[error("the secret of `[queue.postgres]` or `[queue.nats]` cannot be read")]
    SharedLogSecret(#[source] SecretError),
    #[error("source `{0}` cannot be built")]
    Source(SourceName, #[source] SourceError),
    #[error("the keys of source `{0}` cannot be fetched")]
    Keys(SourceName, #[source] BuildError),
    #[error("handler `{0}` cannot be built")]
    Handler(HandlerName, #[source] BuildError),
    #[error("handler `{0}` cannot be subscribed")]
    Subscribe(HandlerName, #[source] QueueError),
    #[error("the admin token cannot be read")]
    Token(#[source] SecretError),
    #[error("a header of `[traces.headers]` cannot be made")]
    TracesHeader(#[source] SecretError),
    #[error("the secret of `traces.headers.{0}` has a line break")]
    UnfitTracesHeader(String),
    #[error("the certificate of `[server.tls]` cannot be used")]
    Certificate(#[source] CertificateError),
    #[error("`[server.acme]` cannot be used")]
    Acme(#[source] AcmeError),
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// An address is taken, or a listener failed.
    #[error("{0}")]
    Listen(#[source] io::Error),
    #[error("{0} failed")]
    Io(&'static str, #[source] io::Error),
    /// A write or sync failed: what is on disk decides at the next start.
    #[error("the queue is poisoned by a failed write; start again to recover from what is on disk")]
    Poisoned,
}
