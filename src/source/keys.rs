//! Secrets made ready once, so that a request costs one pass over its bytes.

use std::borrow::Cow;

use aws_lc_rs::signature::{self, ParsedPublicKey};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::secret::Secret;

use super::signature::Encoding;
use super::template::Message;

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with MD5.
    HmacMd5,
    /// HMAC with SHA-1.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
    /// A plain MD5; the secret stands in the template.
    Md5,
    /// A plain SHA-1; the secret stands in the template.
    Sha1,
    /// A plain SHA-256; the secret stands in the template.
    Sha256,
    /// A plain SHA-384; the secret stands in the template.
    Sha384,
    /// A plain SHA-512; the secret stands in the template.
    Sha512,
    /// Ed25519; the secrets are public keys.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, DER or fixed size; the secrets are public keys.
    EcdsaP256,
    /// RSA (PKCS #1 v1.5) with SHA-256, of 2048 bits and more; the secrets are public keys.
    RsaSha256,
    /// The secret itself, sent along.
    Token,
    /// The secret is `user:password`, sent along as HTTP Basic.
    Basic,
    /// Nothing is checked: whoever knows the address can send.
    None,
}

impl Algorithm {
    /// Every algorithm with its name in the configuration.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("hmac-md5", Self::HmacMd5),
        ("hmac-sha1", Self::HmacSha1),
        ("hmac-sha256", Self::HmacSha256),
        ("hmac-sha384", Self::HmacSha384),
        ("hmac-sha512", Self::HmacSha512),
        ("md5", Self::Md5),
        ("sha1", Self::Sha1),
        ("sha256", Self::Sha256),
        ("sha384", Self::Sha384),
        ("sha512", Self::Sha512),
        ("ed25519", Self::Ed25519),
        ("ecdsa-p256", Self::EcdsaP256),
        ("rsa-sha256", Self::RsaSha256),
        ("token", Self::Token),
        ("basic", Self::Basic),
        ("none", Self::None),
    ];

    /// The algorithm of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// Whether anything is signed, as opposed to a password that is sent along.
    pub(super) fn signs(self) -> bool {
        match self {
            Self::Token | Self::Basic | Self::None => false,
            Self::HmacMd5
            | Self::HmacSha1
            | Self::HmacSha256
            | Self::HmacSha384
            | Self::HmacSha512
            | Self::Md5
            | Self::Sha1
            | Self::Sha256
            | Self::Sha384
            | Self::Sha512
            | Self::Ed25519
            | Self::EcdsaP256
            | Self::RsaSha256 => true,
        }
    }

    /// Whether it is a plain digest, which protects nothing unless the secret is part of the text.
    pub(super) fn is_digest(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1 | Self::Sha256 | Self::Sha384 | Self::Sha512)
    }

    /// Whether a signature can be this long: a look that saves a hash.
    pub(super) fn takes_length(self, n_bytes: usize) -> bool {
        match self {
            Self::HmacMd5 | Self::Md5 => n_bytes == 16,
            Self::HmacSha1 | Self::Sha1 => n_bytes == 20,
            Self::HmacSha384 | Self::Sha384 => n_bytes == 48,
            Self::HmacSha256 | Self::Sha256 => n_bytes == 32,
            Self::HmacSha512 | Self::Sha512 | Self::Ed25519 => n_bytes == 64,
            Self::EcdsaP256 => (8..=72).contains(&n_bytes),
            Self::RsaSha256 => (256..=1024).contains(&n_bytes),
            Self::Token | Self::Basic | Self::None => true,
        }
    }
}

/// How a secret's text becomes a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    /// [`Encoding::Plain`] takes the text's own bytes. Public keys are recognised by themselves.
    pub encoding: Encoding,
    /// Cut off where it stands in front (`whsec_`).
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
    /// Nothing is left of it.
    #[error("it is empty")]
    Empty,
    /// Another kind of secret is expected.
    #[error("it does not begin as this kind of key does")]
    Prefix,
    /// It should be hexadecimal digits.
    #[error("it is not hexadecimal")]
    Hex,
    /// It should be base64.
    #[error("it is not base64")]
    Base64,
    /// It should be a public key.
    #[error("it is not a public key of this algorithm (PEM, or hex or base64 of DER or raw bytes)")]
    Public,
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
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
    Public(ParsedPublicKey),
    /// A DER signature, or one of fixed size: both are out there.
    Ecdsa {
        der: ParsedPublicKey,
        fixed: ParsedPublicKey,
    },
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
            Algorithm::Md5 => key(State::Md5),
            Algorithm::Sha1 => key(State::Sha1),
            Algorithm::Sha256 => key(State::Sha256),
            Algorithm::Sha384 => key(State::Sha384),
            Algorithm::Sha512 => key(State::Sha512),
            Algorithm::Token | Algorithm::Basic | Algorithm::None => key(State::Compare),
            Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::RsaSha256 => {
                let state = public_key(algorithm, rule, secret)?;
                Ok(Self { secret: Zeroizing::default(), state })
            }
        }
    }

    /// Whether any of `candidates` is this key's signature of `message`. All are compared, each
    /// in constant time.
    pub(super) fn matches(&self, message: &Message<'_>, candidates: &[Vec<u8>]) -> bool {
        match &self.state {
            State::Public(key) => {
                let message = message.whole(&self.secret);
                candidates.iter().any(|candidate| key.verify_sig(&message, candidate).is_ok())
            }
            State::Ecdsa { der, fixed } => {
                let message = message.whole(&self.secret);
                candidates.iter().any(|candidate| {
                    candidate.len() == 64 && fixed.verify_sig(&message, candidate).is_ok()
                        || der.verify_sig(&message, candidate).is_ok()
                })
            }
            State::HmacMd5(_)
            | State::HmacSha1(_)
            | State::HmacSha256(_)
            | State::HmacSha384(_)
            | State::HmacSha512(_)
            | State::Md5
            | State::Sha1
            | State::Sha256
            | State::Sha384
            | State::Sha512
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
            State::Md5 => digest::<Md5>(message, secret),
            State::Sha1 => digest::<Sha1>(message, secret),
            State::Sha256 => digest::<Sha256>(message, secret),
            State::Sha384 => digest::<Sha384>(message, secret),
            State::Sha512 => digest::<Sha512>(message, secret),
            State::Compare => return Some(secret.clone()),
            State::Public(_) | State::Ecdsa { .. } => return None,
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

/// A public key in any of the forms that providers hand it out in.
fn public_key(algorithm: Algorithm, rule: &KeyRule, secret: &Secret) -> Result<State, BadKey> {
    let stripped = KeyRule { encoding: Encoding::Plain, ..rule.clone() }.decode(secret)?;
    let text = stripped.trim_ascii();
    let pem = pem_body(text);
    // No two forms can be taken for one another: each must also be a key of the right length.
    let forms = [
        pem.as_deref().and_then(|body| Encoding::Base64.decode(body)),
        Encoding::Hex.decode(text),
        Encoding::Base64.decode(text),
        Some(stripped.to_vec()),
    ];
    let parse = |bytes: &Vec<u8>| -> Option<State> {
        let parse = |kind| ParsedPublicKey::new(kind, bytes).ok();
        if algorithm == Algorithm::Ed25519 {
            parse(&signature::ED25519).map(State::Public)
        } else if algorithm == Algorithm::RsaSha256 {
            let key = ParsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, bytes).ok()?;
            Some(State::Public(key))
        } else {
            let der = parse(&signature::ECDSA_P256_SHA256_ASN1)?;
            Some(State::Ecdsa { der, fixed: parse(&signature::ECDSA_P256_SHA256_FIXED)? })
        }
    };
    forms.iter().flatten().find_map(parse).ok_or(BadKey::Public)
}

/// The base64 between `-----BEGIN PUBLIC KEY-----` and `-----END`.
fn pem_body(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let body = ["PUBLIC KEY", "RSA PUBLIC KEY"].into_iter().find_map(|label| {
        let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
        rest.split_once(&format!("-----END {label}-----")).map(|(body, _)| body)
    })?;
    Some(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect())
}
