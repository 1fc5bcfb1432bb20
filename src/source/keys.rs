//! Secrets made ready once, so that a request costs one pass over its bytes.

use std::borrow::Cow;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::secret::Secret;

pub use super::algorithm::Algorithm;
use super::public_key::{self, BadPublicKey, PublicKey};
use super::signature::Encoding;
use super::template::Message;

/// How a secret's text becomes a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    /// [`Encoding::Plain`] takes the text's own bytes. Public keys are recognised by themselves.
    pub encoding: Encoding,
    /// Cut off where it is in front (`whsec_`).
    pub strip: Cow<'static, str>,
    /// Refuses secrets without `strip` in front: where one list of secrets holds two kinds.
    pub is_prefix_needed: bool,
}

impl KeyRule {
    /// The text's own bytes.
    pub const UTF8: Self =
        Self { encoding: Encoding::Plain, strip: Cow::Borrowed(""), is_prefix_needed: false };

    fn decode(&self, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, BadKey> {
        let text = secret.expose();
        // Supabase and others hand their secret out as `v1,whsec_…`.
        let text = match text.strip_prefix(b"v1,") {
            Some(rest) if !self.strip.is_empty() && rest.starts_with(self.strip.as_bytes()) => rest,
            Some(_) | None => text,
        };
        let text = match text.strip_prefix(self.strip.as_bytes()) {
            Some(rest) => rest,
            None if self.is_prefix_needed => return Err(BadKey::Prefix),
            None => text,
        };
        let key = match self.encoding {
            Encoding::Plain => text.to_vec(),
            Encoding::Hex => Encoding::Hex.decode(text.trim_ascii()).ok_or(BadKey::Hex)?,
            Encoding::Base64 => Encoding::Base64.decode(text.trim_ascii()).ok_or(BadKey::Base64)?,
        };
        if key.is_empty() { Err(BadKey::Empty) } else { Ok(Zeroizing::new(key)) }
    }
}

/// Why a secret is no key for its scheme. Says nothing of the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadKey {
    #[error("it is empty")]
    Empty,
    /// Another kind of secret is expected.
    #[error("it does not begin as this kind of key does")]
    Prefix,
    #[error("it is not hexadecimal")]
    Hex,
    #[error("it is not base64")]
    Base64,
    #[error(
        "it is not a public key of this algorithm (PEM, a certificate, a JWK or JWK set, or hex or base64 of DER or raw bytes)"
    )]
    Public,
    #[error("it is an RSA key of fewer than 2048 bits, which signs nothing that is believed")]
    ShortRsa,
}

/// A secret made ready for one scheme.
pub(super) struct Key {
    /// For `{secret}` and for comparing tokens.
    secret: Zeroizing<Vec<u8>>,
    state: State,
}

#[derive(Clone)]
enum State {
    HmacMd5(Hmac<Md5>),
    HmacSha1(Hmac<Sha1>),
    HmacSha256(Hmac<Sha256>),
    HmacSha384(Hmac<Sha384>),
    HmacSha512(Hmac<Sha512>),
    /// The function that makes the digest of a message in which the secret is.
    Digest(fn(&Message<'_>, &[u8]) -> Vec<u8>),
    /// One public key, or those of a JSON Web Key Set; any that matches will do.
    Public(Arc<[PublicKey]>),
    Compare,
}

impl Key {
    /// Makes `secret` ready.
    pub(super) fn new(
        algorithm: Algorithm,
        rule: &KeyRule,
        secret: &Secret,
    ) -> Result<Self, BadKey> {
        let bytes = rule.decode(secret);
        let key = |state| Ok(Self { secret: bytes.clone()?, state });
        match algorithm {
            Algorithm::HmacMd5 => key(State::HmacMd5(keyed(&bytes)?)),
            Algorithm::HmacSha1 => key(State::HmacSha1(keyed(&bytes)?)),
            Algorithm::HmacSha256 => key(State::HmacSha256(keyed(&bytes)?)),
            Algorithm::HmacSha384 => key(State::HmacSha384(keyed(&bytes)?)),
            Algorithm::HmacSha512 => key(State::HmacSha512(keyed(&bytes)?)),
            Algorithm::Md5 => key(State::Digest(digest::<Md5>)),
            Algorithm::Sha1 => key(State::Digest(digest::<Sha1>)),
            Algorithm::Sha256 => key(State::Digest(digest::<Sha256>)),
            Algorithm::Sha384 => key(State::Digest(digest::<Sha384>)),
            Algorithm::Sha512 => key(State::Digest(digest::<Sha512>)),
            Algorithm::Token | Algorithm::Basic | Algorithm::None => key(State::Compare),
            Algorithm::Ed25519
            | Algorithm::EcdsaP256
            | Algorithm::EcdsaP384
            | Algorithm::EcdsaP521
            | Algorithm::RsaSha1
            | Algorithm::RsaSha256
            | Algorithm::RsaSha384
            | Algorithm::RsaSha512
            | Algorithm::RsaPssSha256
            | Algorithm::RsaPssSha512 => {
                let stripped = KeyRule { encoding: Encoding::Plain, ..rule.clone() };
                let keys = public_key::read(algorithm, &stripped.decode(secret)?);
                let keys = keys.map_err(|bad| match bad {
                    BadPublicKey::NotOne => BadKey::Public,
                    BadPublicKey::ShortRsa => BadKey::ShortRsa,
                });
                let keys = keys?.into();
                Ok(Self { secret: Zeroizing::default(), state: State::Public(keys) })
            }
        }
    }

    /// A key that is to be fetched: `secret` is what the owner knows of the sender beside it.
    pub(super) fn to_be_fetched(rule: &KeyRule, secret: &Secret) -> Result<Self, BadKey> {
        // An id or a name, which holds no blanks.
        let secret = Zeroizing::new(rule.decode(secret)?.trim_ascii().to_vec());
        Ok(Self { secret, state: State::Public(Arc::default()) })
    }

    /// Keys that were fetched, beside what is known of the sender: nothing where that is nothing.
    pub(super) fn fetched(of: Option<&Self>, keys: &Arc<[PublicKey]>) -> Self {
        let secret = of.map(|key| key.secret.clone()).unwrap_or_default();
        Self { secret, state: State::Public(Arc::clone(keys)) }
    }

    /// Whether the secret's own text is this one.
    pub(super) fn is_text(&self, text: &[u8]) -> bool {
        self.secret.ct_eq(text).into()
    }

    /// The secret's own bytes.
    pub(super) fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Whether any of `candidates` is this key's signature of `message`. All are compared, each
    /// in constant time.
    pub(super) fn matches(&self, message: &Message<'_>, candidates: &[Vec<u8>]) -> bool {
        match &self.state {
            State::Public(keys) => {
                let message = message.whole(&self.secret);
                public_key::matches(keys, &message, candidates)
            }
            State::HmacMd5(_)
            | State::HmacSha1(_)
            | State::HmacSha256(_)
            | State::HmacSha384(_)
            | State::HmacSha512(_)
            | State::Digest(_)
            | State::Compare => {
                let Some(expected) = self.sign(message) else { return false };
                let is_equal = |any: Choice, candidate: &Vec<u8>| any | candidate.ct_eq(&expected);
                candidates.iter().fold(Choice::from(0), is_equal).into()
            }
        }
    }

    /// The signature of `message`; nothing where only the sender can make it.
    pub(super) fn sign(&self, message: &Message<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let secret = &self.secret;
        let signature = match &self.state {
            State::HmacMd5(state) => hmac(state, message, secret),
            State::HmacSha1(state) => hmac(state, message, secret),
            State::HmacSha256(state) => hmac(state, message, secret),
            State::HmacSha384(state) => hmac(state, message, secret),
            State::HmacSha512(state) => hmac(state, message, secret),
            State::Digest(digest) => digest(message, secret),
            State::Compare => return Some(secret.clone()),
            State::Public(_) => return None,
        };
        Some(Zeroizing::new(signature))
    }
}

/// An HMAC with its key. A key of any length will do: `InvalidLength` never comes.
fn keyed<M: KeyInit>(bytes: &Result<Zeroizing<Vec<u8>>, BadKey>) -> Result<M, BadKey> {
    let bytes = bytes.as_ref().map_err(|err| *err)?;
    M::new_from_slice(bytes).map_err(|_| BadKey::Empty)
}

fn hmac<M: Mac + Clone>(keyed: &M, message: &Message<'_>, secret: &[u8]) -> Vec<u8> {
    let mut state = keyed.clone();
    message.feed(secret, |bytes| state.update(bytes));
    state.finalize().into_bytes().to_vec()
}

fn digest<D: Digest>(message: &Message<'_>, secret: &[u8]) -> Vec<u8> {
    let mut state = D::new();
    message.feed(secret, |bytes| state.update(bytes));
    state.finalize().to_vec()
}
