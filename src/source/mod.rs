//! SEAM: who is calling. Schemes say how a sender signs; providers are presets of them.
//!
//! - Only this module makes a [`Verified`], and only a `Verified` becomes an event.
//! - Verification is pure: it reads its arguments and the keys that are at hand, so the same request
//!   can be judged again later as of the moment when it came.
//! - Signatures are compared as decoded bytes in constant time, over the body as it came.
//! - Nothing is read out of a body before its signature is good, but for what the signature
//!   itself needs.

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::clock::Timestamp;
use crate::event::{DataRoot, EventType, Headers, NewEvent, SourceName};
use crate::secret::{Secret, SecretError, SecretRef};

mod algorithm;
mod answer;
mod batch;
mod credentials;
mod explain;
mod fetched;
mod field_ref;
mod fields;
mod handshake;
mod http_message;
mod identity;
mod jwt;
mod keys;
mod payload;
mod providers;
mod public_key;
mod read;
mod samples;
mod scheme;
mod settings;
mod sign;
mod signature;
mod split;
mod template;
mod timestamp;
mod unpacked;

pub use answer::{AnswerBody, AnswerRule};
pub use credentials::{Credentials, SourceCredentials};
pub use explain::{Explanation, Rejected, explain};
pub use fetched::{
    BadKeyAddress, FetchRule, KeyAddress, KeyFetch, KeyFetchError, KeyRequest, KeySettings,
    OriginPattern, PathPattern, PostedJson,
};
pub use field_ref::FieldRef;
pub use handshake::{
    Answer, AnswerTemplate, Answered, Handshake, HashRule, MethodUse, Reply, Signing,
};
pub use http_message::MessageRule;
pub use identity::{DedupePolicy, dedupe_key};
pub use jwt::JwtRule;
pub use keys::{Algorithm, BadKey, KeyRule};
pub use providers::{Overrides, PROVIDERS, Provider};
pub use scheme::{Envelope, Scheme, Weakness};
pub use settings::{BadRate, RateLimit, SigningProfile, SourceSettings, TypeRule};
pub use sign::{SignError, SignedRequest};
pub use signature::{Encoding, SignatureFormat, SignatureRule};
pub use split::Split;
pub use template::{BadTemplate, Template};
pub use timestamp::{TimestampRule, Unit};

use fetched::KeyCache;
use fields::Fields;
use identity::{Identity, RequestKey};
use keys::Key;
use split::Batch;

/// What a request mostly has one or two of: those are not on the heap.
type SmallList<T> = SmallVec<[T; 2]>;

/// A request as it came, before anybody believed it.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// `POST` and the like.
    pub method: &'a str,
    /// The path with the query, as sent.
    pub path_and_query: &'a str,
    /// All headers.
    pub headers: &'a Headers,
    /// The raw body.
    pub body: &'a [u8],
}

/// Proof that a request's signature was good.
#[derive(Clone, Debug)]
pub struct Verified {
    event_type: EventType,
    identity: Identity,
    /// The request's method where it is another than POST.
    method: Option<String>,
    data_root: DataRoot,
    is_json: bool,
    /// Whether the body came under a signature, as opposed to beside a password.
    is_signed: bool,
    secret_index: usize,
    /// The items of its list, where each becomes an event.
    batch: Option<Box<Batch>>,
    /// It is a list that stays one event, against the source's `split`.
    is_unsplit: bool,
}

impl Verified {
    /// What happened, in the provider's words.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// What the sender calls this delivery: the same when it tries again.
    pub fn delivery_id(&self) -> Option<&str> {
        self.identity.id()
    }

    /// Where `data` begins in the payload.
    pub fn data_root(&self) -> DataRoot {
        self.data_root
    }

    /// Whether it carries a list that was to become one event for each item, and stays one event.
    pub fn is_unsplit(&self) -> bool {
        self.is_unsplit
    }

    /// Which of the source's secrets it was signed with, counted from 0.
    pub fn secret_index(&self) -> usize {
        self.secret_index
    }
}

/// Why a request was not believed. The caller is never told which: 401 for each. Later variants
/// came closer to being believed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The header (or field) that should carry the signature is not there.
    #[error("no signature")]
    Missing,
    /// What stands around the signature (a prefix, a list's key) is not there.
    #[error("the signature does not stand in the expected form")]
    NotWrapped,
    /// It is not hexadecimal, or not base64.
    #[error("the signature cannot be decoded")]
    Undecodable,
    /// No signature of the algorithm is as long as this.
    #[error("the signature has the wrong length")]
    WrongLength,
    /// A timestamp, an id or another value that is signed is not there.
    #[error("no {0}")]
    NoVariable(String),
    /// A signed value is there more than once.
    #[error("the {0} is repeated")]
    Repeated(String),
    /// More fields than any sender has: they are not sorted for a stranger.
    #[error("the form has too many fields")]
    TooManyFields,
    /// The body that is signed unpacked cannot be unpacked.
    #[error("the body cannot be unpacked")]
    NotUnpacked,
    /// The address of the key leads elsewhere than to the sender: nothing was fetched.
    #[error("the key's address in {0} is none of its sender's")]
    ForeignKey(String),
    /// It was signed with another secret, or it is not what was signed.
    #[error("the signature does not match")]
    Mismatch,
    /// A token (or a signature's parameters) says something else than it must.
    #[error("its `{0}` is not the expected one")]
    Claim(String),
    /// Whether it is signed cannot be said yet: the sender is asked to come again.
    #[error("its key could not be fetched: {0}")]
    KeyNotFetched(String),
    /// The timestamp is none.
    #[error("the timestamp cannot be read")]
    BadTimestamp,
    /// The signature is good, but not of this hour.
    #[error("the timestamp is {seconds} s old")]
    Stale {
        /// How many seconds before the receiving it was sent; negative where after it.
        seconds: i64,
    },
}

impl Rejection {
    /// A word for a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotWrapped
            | Self::Undecodable
            | Self::WrongLength
            | Self::TooManyFields
            | Self::NotUnpacked => "malformed",
            Self::NoVariable(_) | Self::Repeated(_) | Self::BadTimestamp => "incomplete",
            Self::ForeignKey(_) | Self::Mismatch | Self::Claim(_) => "mismatch",
            Self::KeyNotFetched(_) => "no_key",
            Self::Stale { .. } => "stale",
        }
    }
}

/// Why a source cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A secret cannot be had.
    #[error("a secret of source `{0}` cannot be read")]
    Secret(SourceName, #[source] SecretError),
    /// A secret cannot be a key of the source's scheme.
    #[error("secret {n} of source `{source_name}` cannot be used: {reason}")]
    Key {
        /// Whose secret it is.
        source_name: SourceName,
        /// Which one, counted from 1.
        n: usize,
        /// What is wrong with it.
        reason: BadKey,
    },
    /// It would take any request.
    #[error("source `{0}` has no secrets, and its algorithm is not `none`")]
    NoSecrets(SourceName),
}

/// A configured source with its secrets, ready to judge requests.
pub struct Source {
    name: SourceName,
    settings: SourceSettings,
    secrets: Vec<Secret>,
    verify_token: Option<Secret>,
    /// For each scheme one place per secret.
    keys: Vec<Vec<Option<Key>>>,
    /// The keys that its sender publishes, where it has some.
    fetched: Option<KeyCache>,
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

    /// The same with secrets that are already at hand.
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
        Ok(Self { name, settings, secrets, verify_token: None, keys, fetched: None, credentials })
    }

    /// The last part of its address.
    pub fn name(&self) -> &SourceName {
        &self.name
    }

    /// The preset's name, or `custom`.
    pub fn provider(&self) -> &'static str {
        self.settings.profile.name()
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
                Some(rule) => self.verify_by_fetched(scheme, rule, keys, request, now),
                None => scheme.verify(keys, request, now),
            };
            match judged {
                Ok(accepted) => return Ok(self.read(request, scheme, accepted)),
                Err(rejection) => closest = closest.max(rejection),
            }
        }
        Err(closest)
    }

    /// Reads type and id out of a request that `scheme` believes.
    fn read(&self, request: &Inbound<'_>, scheme: &Scheme, accepted: scheme::Accepted) -> Verified {
        let profile = &self.settings.profile;
        let types = profile.event_type.places();
        let fields =
            Fields::find(request, types.iter().chain(&profile.delivery_id).chain(&profile.stamps));
        let event_type = profile.type_in(request, &fields);
        let is_json = fields.is_json();
        let secret_index = accepted.key_index;
        let batch = self.batch(request, scheme, &accepted).map(Box::new);
        let is_unsplit = batch.is_none() && self.settings.split.splits(request.body);
        let identity = identity::identify(profile, &fields, scheme, accepted.id);
        let method = (request.method != "POST").then(|| request.method.to_owned());
        let data_root = profile.data_root;
        let is_signed = scheme.algorithm.signs();
        Verified {
            event_type,
            identity,
            method,
            data_root,
            is_json,
            is_signed,
            secret_index,
            batch,
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
        let Verified { event_type, identity, method, data_root, is_json, .. } = verified;
        let key = RequestKey { source: &self.name, method: method.as_deref(), identity: &identity };
        let dedupe = identity::dedupe(self.settings.dedupe, key, &body);
        let source = self.name.clone();
        let headers = self.credentials.strip(headers);
        NewEvent { source, event_type, received_at, data_root, is_json, headers, body, dedupe }
    }
}

#[cfg(test)]
mod tests;
