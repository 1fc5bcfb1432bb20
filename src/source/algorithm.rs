//! How a signature is made.

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
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384,
    /// ECDSA on P-521 with SHA-512.
    EcdsaP521,
    /// RSA (PKCS #1 v1.5) with SHA-1, of 2048 bits and more, for those who have nothing else.
    RsaSha1,
    /// RSA (PKCS #1 v1.5) with SHA-256, of 2048 bits and more; the secrets are public keys.
    RsaSha256,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    RsaSha384,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    RsaSha512,
    /// RSA-PSS with SHA-256.
    RsaPssSha256,
    /// RSA-PSS with SHA-512.
    RsaPssSha512,
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
        ("ecdsa-p384", Self::EcdsaP384),
        ("ecdsa-p521", Self::EcdsaP521),
        ("rsa-sha1", Self::RsaSha1),
        ("rsa-sha256", Self::RsaSha256),
        ("rsa-sha384", Self::RsaSha384),
        ("rsa-sha512", Self::RsaSha512),
        ("rsa-pss-sha256", Self::RsaPssSha256),
        ("rsa-pss-sha512", Self::RsaPssSha512),
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
            | Self::EcdsaP384
            | Self::EcdsaP521
            | Self::RsaSha1
            | Self::RsaSha256
            | Self::RsaSha384
            | Self::RsaSha512
            | Self::RsaPssSha256
            | Self::RsaPssSha512 => true,
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
            Self::EcdsaP384 => (8..=104).contains(&n_bytes),
            Self::EcdsaP521 => (8..=139).contains(&n_bytes),
            Self::RsaSha1
            | Self::RsaSha256
            | Self::RsaSha384
            | Self::RsaSha512
            | Self::RsaPssSha256
            | Self::RsaPssSha512 => (256..=1024).contains(&n_bytes),
            Self::Token | Self::Basic | Self::None => true,
        }
    }

    /// Its name in a JWT's header (RFC 7518, RFC 8037); nothing where a JWT cannot be signed by it.
    pub(super) fn jws_name(self) -> Option<&'static str> {
        match self {
            Self::HmacSha256 => Some("HS256"),
            Self::HmacSha384 => Some("HS384"),
            Self::HmacSha512 => Some("HS512"),
            Self::RsaSha256 => Some("RS256"),
            Self::RsaSha384 => Some("RS384"),
            Self::RsaSha512 => Some("RS512"),
            Self::RsaPssSha256 => Some("PS256"),
            Self::RsaPssSha512 => Some("PS512"),
            Self::EcdsaP256 => Some("ES256"),
            Self::EcdsaP384 => Some("ES384"),
            Self::EcdsaP521 => Some("ES512"),
            Self::Ed25519 => Some("EdDSA"),
            Self::HmacMd5
            | Self::HmacSha1
            | Self::Md5
            | Self::Sha1
            | Self::Sha256
            | Self::Sha384
            | Self::Sha512
            | Self::RsaSha1
            | Self::Token
            | Self::Basic
            | Self::None => None,
        }
    }

    /// Its name in an HTTP Message Signature (RFC 9421, section 6.2); nothing where it has none.
    pub(super) fn http_name(self) -> Option<&'static str> {
        match self {
            Self::HmacSha256 => Some("hmac-sha256"),
            Self::RsaSha256 => Some("rsa-v1_5-sha256"),
            Self::RsaPssSha512 => Some("rsa-pss-sha512"),
            Self::EcdsaP256 => Some("ecdsa-p256-sha256"),
            Self::EcdsaP384 => Some("ecdsa-p384-sha384"),
            Self::Ed25519 => Some("ed25519"),
            Self::HmacMd5
            | Self::HmacSha1
            | Self::HmacSha384
            | Self::HmacSha512
            | Self::Md5
            | Self::Sha1
            | Self::Sha256
            | Self::Sha384
            | Self::Sha512
            | Self::EcdsaP521
            | Self::RsaSha1
            | Self::RsaSha384
            | Self::RsaSha512
            | Self::RsaPssSha256
            | Self::Token
            | Self::Basic
            | Self::None => None,
        }
    }
}
