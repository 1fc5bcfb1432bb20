//! Keys that are fetched: of senders that publish a certificate or a JSON Web Key Set.
//!
//! 1. Where a key may come from is settled before anything is fetched: one address of the
//!    configuration, or one in the request that lies on an origin of its sender.
//! 2. Verification stays a look at what is at hand. [`Source::verify_fetching`] fetches before it,
//!    with a bound on time and number, so that a source whose keys are slow holds up no other.
//! 3. While a key cannot be had, its request is neither good nor bad: [`Rejection::KeyNotFetched`],
//!    and the sender is asked to come again.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use url::Url;
use zeroize::Zeroizing;

use crate::clock::{Clock, Timestamp};

use super::keys::Key;
use super::scheme::{Accepted, Scheme};
use super::{Inbound, Rejection, Source, Verified};

mod cache;
mod rule;
#[cfg(test)]
pub(super) mod tests;

pub(super) use cache::KeyCache;
pub(super) use rule::KeyId;
pub(super) use rule::read_address;
pub use rule::{BadKeyAddress, FetchRule, KeyAddress, KeySettings, OriginPattern, PathPattern};

/// Fetches keys for a source. Implemented where requests can be sent, over the guard that keeps them
/// off private networks.
#[async_trait]
pub trait KeyFetch: Send + Sync + fmt::Debug {
    /// The body of a successful answer; ends within a few seconds.
    async fn fetch(&self, request: KeyRequest) -> Result<Vec<u8>, KeyFetchError>;
}

/// What is asked for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// Where.
    pub url: Url,
    /// JSON to be posted; nothing where the key is simply there.
    pub post: Option<PostedJson>,
}

/// JSON that may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct PostedJson(pub Zeroizing<String>);

impl fmt::Debug for PostedJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostedJson(…)")
    }
}

/// Why a key was not fetched; says nothing of the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyFetchError(pub String);

impl Source {
    /// The same source, which fetches keys by `fetch`; one whose keys are all at hand stays as it is.
    #[must_use]
    pub fn with_key_fetch(self, fetch: Arc<dyn KeyFetch>, clock: Arc<dyn Clock>) -> Self {
        let fetched = self.fetch_rules().next().is_some().then(|| KeyCache::new(fetch, clock));
        Self { fetched, ..self }
    }

    /// The same source with the keys that `before` has fetched by the same rules: that something
    /// else of the configuration changed is no reason to depend on their host at this moment.
    #[must_use]
    pub fn with_keys_of(self, before: &Self) -> Self {
        if let (Some(ours), Some(theirs)) = (&self.fetched, &before.fetched)
            && self.fetch_rules().eq(before.fetch_rules())
        {
            ours.take_over(theirs);
        }
        self
    }

    /// How its keys are fetched.
    pub fn fetch_rules(&self) -> impl Iterator<Item = &FetchRule> {
        self.settings.profile.schemes.iter().filter_map(|scheme| scheme.fetch.as_ref())
    }

    /// Believes `request` or says why not, and fetches the keys for that where they are not at hand.
    pub async fn verify_fetching(
        &self,
        request: &Inbound<'_>,
        now: Timestamp,
    ) -> Result<Verified, Rejection> {
        let Some(cache) = &self.fetched else { return self.verify(request, now) };
        let wanted = self.wanted_keys(request);
        for key in &wanted {
            cache.prepare(key).await;
        }
        match self.verify(request, now) {
            // The sender may have changed its keys since they were fetched.
            Err(rejection @ (Rejection::Mismatch | Rejection::WrongLength)) => {
                let mut is_new = false;
                for key in wanted.iter().filter(|key| key.may_change) {
                    is_new |= cache.renew(key).await;
                }
                if is_new { self.verify(request, now) } else { Err(rejection) }
            }
            judged => judged,
        }
    }

    /// The keys that `request` is judged by, each once.
    fn wanted_keys(&self, request: &Inbound<'_>) -> Vec<KeyId> {
        let mut wanted: Vec<KeyId> = Vec::new();
        for (scheme, keys) in self.settings.profile.schemes.iter().zip(&self.keys) {
            let Some(rule) = &scheme.fetch else { continue };
            // What is refused anyhow is no reason to ask anybody.
            if !scheme.has_signature(request) || rule.owner_in(keys, request).is_err() {
                continue;
            }
            let secret = keys.iter().flatten().next().map_or(b"".as_slice(), Key::secret);
            let Ok(key) = rule.key(scheme, request, secret) else { continue };
            if wanted.iter().all(|known| known.name != key.name) {
                wanted.push(key);
            }
        }
        wanted
    }

    /// Judges a request of which the key is fetched, by what was.
    pub(super) fn verify_by_fetched(
        &self,
        scheme: &Scheme,
        rule: &FetchRule,
        keys: &[Option<Key>],
        request: &Inbound<'_>,
        now: Timestamp,
    ) -> Result<Accepted, Rejection> {
        if !scheme.has_signature(request) {
            return Err(Rejection::Missing);
        }
        let index = rule.owner_in(keys, request)?;
        let key = rule.key(scheme, request, b"")?;
        let unknown = || Rejection::KeyNotFetched("nothing fetches keys here".to_owned());
        let fetched = self.fetched.as_ref().ok_or_else(unknown)?.get(&key)?;
        let public = fetched.of(scheme.algorithm, now)?;
        let ready: Vec<Option<Key>> = match keys {
            [] => vec![Some(Key::fetched(None, &public))],
            keys => {
                let fetched = |key: &Key| Key::fetched(Some(key), &public);
                keys.iter().map(|key| key.as_ref().map(fetched)).collect()
            }
        };
        let accepted = scheme.verify(&ready, request, now)?;
        Ok(Accepted { key_index: index.unwrap_or(accepted.key_index), ..accepted })
    }
}
