//! A configured source with its secrets: judges requests, and makes events of those it believes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::{Clock, Timestamp};
use crate::event::{Headers, NewEvent, SourceName};
use crate::secret::{Secret, SecretError, SecretRef};

use super::algorithm::Algorithm;
use super::credentials::Credentials;
use super::fetched::{FetchRule, KeyCache, KeyFetch, KeyId, verify_by_fetched};
use super::fields::Fields;
use super::identity::{self, Identity, RequestKey};
use super::items::ItemList;
use super::keys::{BadKey, Key};
use super::rejection::Rejection;
use super::request::Inbound;
use super::scheme::{Accepted, Scheme};
use super::settings::SourceSettings;
use super::verified::Verified;

/// Why a source cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    #[error("a secret of source `{0}` cannot be read")]
    Secret(SourceName, #[source] SecretError),
    #[error("secret {n} of source `{source_name}` cannot be used: {reason}")]
    Key {
        /// Whose secret it is.
        source_name: SourceName,
        /// Which one, counted from 1.
        n: usize,
        reason: BadKey,
    },
    /// It would take any request.
    #[error("source `{0}` has no secrets, and its algorithm is not `none`")]
    NoSecrets(SourceName),
}

/// A configured source with its secrets, ready to judge requests.
pub struct Source {
    name: SourceName,
    pub(super) settings: SourceSettings,
    pub(super) secrets: Vec<Secret>,
    /// Of each secret: worked out once, since every event names one.
    fingerprints: Vec<String>,
    pub(super) verify_token: Option<Secret>,
    /// For each scheme one place per secret.
    pub(super) keys: Vec<Vec<Option<Key>>>,
    /// The keys that its sender publishes, where it has some.
    pub(super) fetched: Option<KeyCache>,
    credentials: Credentials,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    /// Reads the source's secrets and makes them ready.
    pub fn build(name: SourceName, settings: SourceSettings) -> Result<Self, SourceError> {
        // A secret that its sender is yet to choose: until then nothing is believed.
        let is_there = |secret: &&SecretRef| !settings.learns() || !secret.is_missing_file();
        let secrets = settings.secrets.iter().filter(is_there).map(SecretRef::resolve);
        let secrets = secrets
            .collect::<Result<Vec<_>, _>>()
            .map_err(|err| SourceError::Secret(name.clone(), err))?;
        let verify_token = settings.verify_token.as_ref().map(SecretRef::resolve);
        let verify_token =
            verify_token.transpose().map_err(|err| SourceError::Secret(name.clone(), err))?;
        Ok(Self { verify_token, ..Self::with_secrets(name, settings, secrets)? })
    }

    pub fn with_secrets(
        name: SourceName,
        settings: SourceSettings,
        secrets: Vec<Secret>,
    ) -> Result<Self, SourceError> {
        let schemes = &settings.profile.schemes;
        let may_be_without =
            schemes.iter().all(|scheme| !scheme.needs_secret()) || settings.learns();
        if secrets.is_empty() && (!may_be_without || schemes.is_empty()) {
            return Err(SourceError::NoSecrets(name));
        }
        let mut keys: Vec<Vec<Option<Key>>> = schemes.iter().map(|_| Vec::new()).collect();
        for (index, secret) in secrets.iter().enumerate() {
            let (of_secret, checked) = settings.profile.keys(secret);
            if let Err(reason) = checked {
                return Err(SourceError::Key { source_name: name, n: index + 1, reason });
            }
            for (keys, key) in keys.iter_mut().zip(of_secret) {
                keys.push(key);
            }
        }
        let credentials = settings.credentials();
        Ok(Self {
            fingerprints: secrets.iter().map(Secret::fingerprint).collect(),
            name,
            settings,
            secrets,
            verify_token: None,
            keys,
            fetched: None,
            credentials,
        })
    }

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

    /// The last part of its address.
    pub fn name(&self) -> &SourceName {
        &self.name
    }

    /// The preset's name, or `custom`.
    pub fn provider(&self) -> &'static str {
        self.settings.profile.name()
    }

    /// Whether senders show a user and a password, as HTTP Basic has them.
    pub fn is_basic(&self) -> bool {
        self.settings.profile.schemes.iter().any(|scheme| scheme.algorithm == Algorithm::Basic)
    }

    /// What the configuration says: limits and windows.
    pub fn settings(&self) -> &SourceSettings {
        &self.settings
    }

    /// Where its requests carry passwords.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// How many secrets are active.
    pub fn n_secrets(&self) -> usize {
        self.secrets.len()
    }

    /// The secret's fingerprint; `None` where the source has no such secret, or has yet to learn it.
    pub fn fingerprint(&self, index: usize) -> Option<&str> {
        self.fingerprints.get(index).map(String::as_str)
    }

    /// Which of the secrets of `other` is the same as this source's secret `index`.
    pub fn find_secret_in(&self, index: usize, other: &Self) -> Option<usize> {
        use subtle::ConstantTimeEq;
        let secret = self.secrets.get(index)?.expose();
        other.secrets.iter().position(|known| known.expose().ct_eq(secret).into())
    }

    /// Believes `request` or says why not. `now` is when it was received.
    pub fn verify(&self, request: &Inbound<'_>, now: Timestamp) -> Result<Verified, Rejection> {
        let mut closest = Rejection::Missing;
        for (scheme, keys) in self.settings.profile.schemes.iter().zip(&self.keys) {
            let judged = match &scheme.fetch {
                Some(rule) => {
                    verify_by_fetched(self.fetched.as_ref(), scheme, rule, keys, request, now)
                }
                None => scheme.verify(keys, request, now),
            };
            match judged {
                Ok(_) if self.may_be_signed_for_strangers(request.body) => {
                    closest = closest.max(Rejection::Mismatch);
                }
                Ok(accepted) => return Ok(self.read(request, scheme, accepted)),
                Err(rejection) => closest = closest.max(rejection),
            }
        }
        Err(closest)
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
    pub(super) fn wanted_keys(&self, request: &Inbound<'_>) -> Vec<KeyId> {
        let mut wanted: Vec<KeyId> = Vec::new();
        for (scheme, keys) in self.settings.profile.schemes.iter().zip(&self.keys) {
            let Some(rule) = &scheme.fetch else { continue };
            // What is refused anyhow is no reason to fetch a key.
            if !scheme.has_signature(request) || rule.owner_in(keys, request).is_err() {
                continue;
            }
            let secret = keys.iter().flatten().next().map_or(b"".as_slice(), Key::secret);
            let Ok(key) = rule.key(&scheme.signature, request, secret) else { continue };
            if wanted.iter().all(|known| known.name != key.name) {
                wanted.push(key);
            }
        }
        wanted
    }

    /// Reads type and id out of a request that `scheme` believes.
    fn read(&self, request: &Inbound<'_>, scheme: &Scheme, accepted: Accepted) -> Verified {
        let profile = &self.settings.profile;
        let whole = self.form_in_query(request.path_and_query).unwrap_or_default();
        let has_body = !request.body.is_empty();
        // A request without a body says all of it in its query, which becomes its body where it is believed.
        let form = if has_body { String::new() } else { scheme.believed_query(&whole, &accepted) };
        let body = if has_body { request.body } else { form.as_bytes() };
        let said = &Inbound { body, ..*request };
        let types = profile.event_type.places();
        let fields =
            Fields::find(said, types.iter().chain(&profile.delivery_id).chain(&profile.stamps));
        let event_type = profile.type_in(said, &fields);
        let is_json = fields.is_json();
        let secret_index = accepted.key_index;
        let items = ItemList::find(&self.settings, request, scheme, &accepted).map(Box::new);
        let is_unsplit = items.is_none() && self.settings.has_list(request);
        let id = accepted.id.or_else(|| scheme.id.as_ref()?.find(said).text());
        let identity = profile.identify(&fields, request, scheme, id);
        // What nothing signs tells two events apart all the same: one of them must not be lost.
        let query = identity::untimed(&whole, scheme);
        let method = (request.method != "POST").then(|| request.method.to_owned());
        Verified {
            event_type,
            identity,
            method,
            query,
            form_for_body: (!has_body && !form.is_empty()).then(|| form.clone()),
            data_root: profile.data_root,
            is_json,
            algorithm: scheme.algorithm,
            is_by_fetched: scheme.fetch.is_some(),
            secret_index,
            client: None,
            items,
            is_unsplit,
        }
    }

    /// The event that a believed request becomes. `body` is the body that was verified.
    pub fn event(
        &self,
        verified: Verified,
        received_at: Timestamp,
        headers: Headers,
        body: Bytes,
    ) -> NewEvent {
        let identity = &verified.identity;
        let key = self.request_key(&verified, identity);
        let dedupe = identity::dedupe(self.settings.dedupe, key, &body);
        let source = self.name.clone();
        let headers = self.arrived(self.credentials.strip(headers), &verified, identity, dedupe);
        let Verified { event_type, data_root, is_json, .. } = verified;
        NewEvent { source, event_type, received_at, data_root, is_json, headers, body, dedupe }
    }

    fn request_key<'a>(&'a self, verified: &'a Verified, identity: &'a Identity) -> RequestKey<'a> {
        let (method, query) = (verified.method.as_deref(), verified.query.as_str());
        RequestKey { source: &self.name, method, query, identity }
    }

    /// The events that the items of a believed request's list become; `None` = the request is one
    /// event.
    pub fn split(
        &self,
        verified: &Verified,
        received_at: Timestamp,
        headers: &Headers,
        body: &Bytes,
    ) -> Option<Vec<NewEvent>> {
        let list = verified.items.as_ref()?;
        let (headers, body) = match &list.unpacked {
            Some((headers, body)) => (headers, body),
            None => (headers, body),
        };
        let headers = self.credentials.strip(headers.clone());
        let events = list.items.iter().map(|item| {
            let body = body.slice(item.bytes.clone());
            let key = self.request_key(verified, &item.identity);
            let dedupe = identity::dedupe(self.settings.dedupe, key, &body);
            NewEvent {
                source: self.name.clone(),
                event_type: item.event_type.clone(),
                received_at,
                data_root: verified.data_root,
                is_json: item.is_json,
                headers: self.arrived(headers.clone(), verified, &item.identity, dedupe),
                dedupe,
                body,
            }
        });
        Some(events.collect())
    }
}
