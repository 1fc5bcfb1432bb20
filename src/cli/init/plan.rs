//! What the new configuration is to have.

use std::net::SocketAddr;

use crate::config::NO_PUBLIC_URL;
use crate::event::SourceName;
use crate::secret::Secret;
use crate::source::{Provider, SigningProfile};

/// What is to be written.
#[derive(Debug)]
pub(super) struct InitPlan {
    pub(super) listen: SocketAddr,
    pub(super) sources: Vec<NewSource>,
    pub(super) mail: Option<NewMail>,
    pub(super) database: Option<NewDatabase>,
    /// The address of this machine as senders know it, without a `/` at its end.
    pub(super) public: Option<String>,
}

/// One sender.
#[derive(Debug)]
pub(super) struct NewSource {
    pub(super) name: SourceName,
    pub(super) provider: &'static Provider,
    /// What its console shows; `None` = a random one is made.
    pub(super) secret: Option<Secret>,
}

impl NewSource {
    /// What its preset needs beside the secret; all presets have a profile.
    pub(super) fn needs(&self, needs: fn(&SigningProfile) -> bool) -> bool {
        SigningProfile::provider(self.provider.name).is_some_and(|profile| needs(&profile))
    }

    /// Its address as the sender knows it.
    pub(super) fn url(&self, public: Option<&str>) -> String {
        let base = public.unwrap_or(NO_PUBLIC_URL);
        format!("{base}{}{}", crate::http::public::HOOKS, self.name)
    }
}

/// Where mail goes.
#[derive(Debug)]
pub(super) struct NewMail {
    pub(super) to: String,
    pub(super) from: String,
    pub(super) server: Remote,
}

/// Where rows go.
#[derive(Debug)]
pub(super) struct NewDatabase {
    pub(super) server: Remote,
}

/// An address, and the password that does not stand in it.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) url: String,
    pub(super) needs_password: bool,
    /// Given now; `None` = it is in its file already, or none is needed.
    pub(super) password: Option<Secret>,
    /// Who logs in with a password that was not given.
    pub(super) lacks_password: Option<String>,
}
