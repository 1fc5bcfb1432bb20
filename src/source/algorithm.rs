//! How a signature is made: one row of facts for each algorithm.

use std::ops::RangeInclusive;

use aws_lc_rs::signature::{self as crypto, EcdsaVerificationAlgorithm, RsaParameters};

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    HmacMd5,
    HmacSha1,
    HmacSha256,
    HmacSha384,
    HmacSha512,
    /// A plain MD5; the secret is in the template.
    Md5,
    /// A plain SHA-1; the secret is in the template.
    Sha1,
    /// A plain SHA-256; the secret is in the template.
    Sha256,
    /// A plain SHA-384; the secret is in the template.
    Sha384,
    /// A plain SHA-512; the secret is in the template.
    Sha512,
    /// Ed25519; the secrets are public keys.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, DER or fixed size; the secrets are public keys.
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    /// RSA (PKCS #1 v1.5) with SHA-1, of 2048 bits and more, for those who have nothing else.
    RsaSha1,
    /// RSA (PKCS #1 v1.5) with SHA-256, of 2048 bits and more; the secrets are public keys.
    RsaSha256,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    RsaSha384,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    RsaSha512,
    RsaPssSha256,
    RsaPssSha512,
    /// The secret itself, sent along.
    Token,
    /// The secret is `user:password`, sent along as HTTP Basic.
    Basic,
    /// Nothing is checked: the address is the only secret.
    None,
}

/// What an algorithm needs of a secret, and what it makes of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum AlgorithmKind {
    /// A keyed hash: both sides know the secret.
    Hmac,
    /// A plain hash, which protects nothing unless the secret is part of the text.
    Digest,
    /// The secrets are public keys.
    Ed25519,
    Ecdsa(Curve),
    Rsa(&'static RsaParameters),
    /// A password that is sent along: nothing is signed.
    Password,
    /// Nothing at all is checked.
    Open,
}

/// An elliptic curve with its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve {
    /// For signatures in DER.
    pub(super) asn1: &'static EcdsaVerificationAlgorithm,
    /// For signatures of fixed size. Both forms are out there.
    pub(super) fixed: &'static EcdsaVerificationAlgorithm,
    /// `crv` of a JSON Web Key (RFC 7518, 6.2.1.1).
    pub(super) name: &'static str,
    /// The bytes of a coordinate.
    pub(super) n_bytes: usize,
}

const P256: AlgorithmKind = AlgorithmKind::Ecdsa(Curve {
    asn1: &crypto::ECDSA_P256_SHA256_ASN1,
    fixed: &crypto::ECDSA_P256_SHA256_FIXED,
    name: "P-256",
    n_bytes: 32,
});
const P384: AlgorithmKind = AlgorithmKind::Ecdsa(Curve {
    asn1: &crypto::ECDSA_P384_SHA384_ASN1,
    fixed: &crypto::ECDSA_P384_SHA384_FIXED,
    name: "P-384",
    n_bytes: 48,
});
const P521: AlgorithmKind = AlgorithmKind::Ecdsa(Curve {
    asn1: &crypto::ECDSA_P521_SHA512_ASN1,
    fixed: &crypto::ECDSA_P521_SHA512_FIXED,
    name: "P-521",
    n_bytes: 66,
});

/// What is known of an algorithm.
struct AlgorithmFacts {
    algorithm: Algorithm,
    name: &'static str,
    kind: AlgorithmKind,
    /// How many bytes a signature may have: a look that saves a hash.
    signature_bytes: RangeInclusive<usize>,
    /// Its name in a JWT's header (RFC 7518, RFC 8037).
    jws: Option<&'static str>,
    /// Its name in an HTTP Message Signature (RFC 9421, 6.2).
    http: Option<&'static str>,
}

const fn row(
    algorithm: Algorithm,
    name: &'static str,
    kind: AlgorithmKind,
    signature_bytes: RangeInclusive<usize>,
    jws: Option<&'static str>,
    http: Option<&'static str>,
) -> AlgorithmFacts {
    AlgorithmFacts { algorithm, name, kind, signature_bytes, jws, http }
}

/// RSA of 2,048 to 8,192 bits.
const RSA: RangeInclusive<usize> = 256..=1024;
const ANY: RangeInclusive<usize> = 0..=usize::MAX;

/// One row for each, in the order of the variants.
#[rustfmt::skip]
static FACTS: [AlgorithmFacts; 23] = {
    use Algorithm as A;
    use AlgorithmKind::{Digest, Ed25519, Hmac, Open, Password, Rsa};
    [
        row(A::HmacMd5, "hmac-md5", Hmac, 16..=16, None, None),
        row(A::HmacSha1, "hmac-sha1", Hmac, 20..=20, None, None),
        row(A::HmacSha256, "hmac-sha256", Hmac, 32..=32, Some("HS256"), Some("hmac-sha256")),
        row(A::HmacSha384, "hmac-sha384", Hmac, 48..=48, Some("HS384"), None),
        row(A::HmacSha512, "hmac-sha512", Hmac, 64..=64, Some("HS512"), None),
        row(A::Md5, "md5", Digest, 16..=16, None, None),
        row(A::Sha1, "sha1", Digest, 20..=20, None, None),
        row(A::Sha256, "sha256", Digest, 32..=32, None, None),
        row(A::Sha384, "sha384", Digest, 48..=48, None, None),
        row(A::Sha512, "sha512", Digest, 64..=64, None, None),
        row(A::Ed25519, "ed25519", Ed25519, 64..=64, Some("EdDSA"), Some("ed25519")),
        row(A::EcdsaP256, "ecdsa-p256", P256, 8..=72, Some("ES256"), Some("ecdsa-p256-sha256")),
        row(A::EcdsaP384, "ecdsa-p384", P384, 8..=104, Some("ES384"), Some("ecdsa-p384-sha384")),
        row(A::EcdsaP521, "ecdsa-p521", P521, 8..=139, Some("ES512"), None),
        row(A::RsaSha1, "rsa-sha1", Rsa(&crypto::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY), RSA, None, None),
        row(A::RsaSha256, "rsa-sha256", Rsa(&crypto::RSA_PKCS1_2048_8192_SHA256), RSA, Some("RS256"), Some("rsa-v1_5-sha256")),
        row(A::RsaSha384, "rsa-sha384", Rsa(&crypto::RSA_PKCS1_2048_8192_SHA384), RSA, Some("RS384"), None),
        row(A::RsaSha512, "rsa-sha512", Rsa(&crypto::RSA_PKCS1_2048_8192_SHA512), RSA, Some("RS512"), None),
        row(A::RsaPssSha256, "rsa-pss-sha256", Rsa(&crypto::RSA_PSS_2048_8192_SHA256), RSA, Some("PS256"), None),
        row(A::RsaPssSha512, "rsa-pss-sha512", Rsa(&crypto::RSA_PSS_2048_8192_SHA512), RSA, Some("PS512"), Some("rsa-pss-sha512")),
        row(A::Token, "token", Password, ANY, None, None),
        row(A::Basic, "basic", Password, ANY, None, None),
        row(A::None, "none", Open, ANY, None, None),
    ]
};

/// Every algorithm with its name in the configuration.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler: it is all in range")]
const ALL: [(&str, Algorithm); FACTS.len()] = {
    let mut all = [("", Algorithm::None); FACTS.len()];
    let mut at = 0;
    while at < all.len() {
        assert!(FACTS[at].algorithm as usize == at, "the rows stand in the order of the variants");
        all[at] = (FACTS[at].name, FACTS[at].algorithm);
        at += 1;
    }
    assert!(at == Algorithm::None as usize + 1, "every variant has its row");
    all
};

impl Algorithm {
    /// Every algorithm with its name in the configuration.
    pub const ALL: &'static [(&'static str, Self)] = &ALL;

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    #[expect(clippy::indexing_slicing, reason = "`ALL` is proof that every variant has its row")]
    fn facts(self) -> &'static AlgorithmFacts {
        &FACTS[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.facts().name
    }

    pub(super) fn kind(self) -> AlgorithmKind {
        self.facts().kind
    }

    /// Whether anything is signed, as opposed to a password that is sent along.
    pub(super) fn signs(self) -> bool {
        !matches!(self.kind(), AlgorithmKind::Password | AlgorithmKind::Open)
    }

    /// Whether it is a plain digest, which protects nothing unless the secret is part of the text.
    pub(super) fn is_digest(self) -> bool {
        matches!(self.kind(), AlgorithmKind::Digest)
    }

    /// Whether its keys are public ones, which can be published and fetched.
    pub(super) fn has_public_key(self) -> bool {
        use AlgorithmKind::{Ecdsa, Ed25519, Rsa};
        matches!(self.kind(), Ed25519 | Ecdsa(_) | Rsa(_))
    }

    /// Whether a signature can be this long: a look that saves a hash.
    pub(super) fn takes_length(self, n_bytes: usize) -> bool {
        self.facts().signature_bytes.contains(&n_bytes)
    }

    /// Its name in a JWT's header (RFC 7518, RFC 8037); nothing where a JWT cannot be signed by it.
    pub(super) fn jws_name(self) -> Option<&'static str> {
        self.facts().jws
    }

    /// Its name in an HTTP Message Signature (RFC 9421, section 6.2); nothing where it has none.
    pub(super) fn http_name(self) -> Option<&'static str> {
        self.facts().http
    }
}
