//! What the configuration says of the listeners, in their own settings.

use std::sync::Arc;

use super::{memory, parts};
use crate::config::Config;
use crate::http::{self, Listen};
use crate::ingest::Limits;
use crate::tls::{AcmeChallenge, TlsSettings};

/// How the listeners are started. `n_files` = how many files may be open.
pub(super) fn listen(config: &Config, n_files: usize) -> Listen {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Listen {
        public: config.server.listen.clone(),
        admin: config.admin.listen,
        socket: config.admin.socket.clone(),
        workers,
        n_connections: parts::n_connections(workers, n_files, memory::limit()),
        keep_alive: http::KEEP_ALIVE,
        request_timeout: config.server.request_timeout,
        tls: None,
        challenge: match &config.server.tls {
            Some(TlsSettings::Acme(acme)) => match acme.challenge {
                AcmeChallenge::Http01 => acme.http.clone(),
                AcmeChallenge::TlsAlpn01 => Vec::new(),
            },
            Some(TlsSettings::Files(_)) | None => Vec::new(),
        },
        challenges: Arc::default(),
        inherited: Vec::new(),
    }
}

/// What one request may cost.
pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        body_max: usize::try_from(config.server.body_max.0).unwrap_or(usize::MAX),
        body_timeout: config.server.request_timeout,
        unverified: config.server.failed_verification_limit,
        unverified_bytes: usize::try_from(config.server.unverified_bytes.0).unwrap_or(usize::MAX),
    }
}
