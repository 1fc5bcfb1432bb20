//! Whether the parts that must not stand still go on: what the service manager's watchdog is fed for.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::api::error_chain;
use crate::queue::QueueError;

use super::control::Server;

/// How long each part may take before it counts as hanging.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Looks whether the public listener answers, the log takes a durable write, and each handler's loop goes
/// round.
#[derive(Debug)]
pub(super) struct Progress {
    /// The public listener's own health route.
    url: Option<String>,
    client: reqwest::Client,
}

impl Progress {
    /// For a public listener on these addresses.
    pub(super) fn new(public: &[SocketAddr], is_tls: bool) -> Result<Self, reqwest::Error> {
        let scheme = if is_tls { "https" } else { "http" };
        let url = public.first().map(|address| format!("{scheme}://{}/healthz", near(*address)));
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // It is this process, and its certificate is for another name.
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { url, client })
    }

    /// What does not go on; `Ok` = everything does.
    pub(super) async fn check(&self, server: &Server) -> Result<(), String> {
        let (log, listener, handlers) =
            tokio::join!(log(server), self.listener(server), handlers(server));
        log.and(listener).and(handlers)
    }

    async fn listener(&self, server: &Server) -> Result<(), String> {
        let is_waiting = server.certificates.as_ref().is_some_and(|one| !one.has_one());
        // Without a certificate no handshake succeeds.
        let Some(url) = self.url.as_ref().filter(|_| !is_waiting) else { return Ok(()) };
        let asked = self.client.get(url).send().await;
        asked
            .map(drop)
            .map_err(|err| format!("the public listener does not answer: {}", error_chain(&err)))
    }
}

async fn log(server: &Server) -> Result<(), String> {
    match tokio::time::timeout(TIMEOUT, server.core.queue.probe()).await {
        // No room is no reason for a restart, and what a node that takes no part lacks is its owner's to mend.
        Ok(
            Ok(())
            | Err(
                QueueError::Full(_)
                | QueueError::LogAway(_)
                | QueueError::NoPart
                | QueueError::Behind(_),
            ),
        ) => Ok(()),
        Ok(Err(err)) => Err(format!("the log takes no write: {}", error_chain(&err))),
        Err(_elapsed) => Err(format!("the log has not answered for {} s", TIMEOUT.as_secs())),
    }
}

async fn handlers(server: &Server) -> Result<(), String> {
    let stuck = server.handlers.stuck(TIMEOUT).await;
    match stuck.first() {
        None => Ok(()),
        Some(name) => Err(format!(
            "the deliveries of handler `{name}` ({} in all) have not moved for {} s",
            stuck.len(),
            TIMEOUT.as_secs()
        )),
    }
}

/// An address at which this machine reaches its own listener.
fn near(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        }
    }
    address
}
