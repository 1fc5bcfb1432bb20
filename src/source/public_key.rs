//! Public keys in any of the forms that providers hand them out in.

use aws_lc_rs::signature::{
    self as crypto, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents,
};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::signature::Encoding;

/// The most keys of a set that are looked at: providers publish two or three.
const KEYS_MAX: usize = 32;

/// A public key of one algorithm.
#[derive(Clone)]
pub(super) struct PublicKey {
    key: ParsedPublicKey,
    /// ECDSA: the same for signatures of fixed size. Both forms are out there.
    fixed: Option<ParsedPublicKey>,
}

impl PublicKey {
    /// A key of DER or raw bytes.
    fn of_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        let ecdsa = |der, fixed| {
            let key = ParsedPublicKey::new(der, bytes).ok()?;
            Some(Self { key, fixed: Some(ParsedPublicKey::new(fixed, bytes).ok()?) })
        };
        match algorithm {
            Algorithm::Ed25519 => {
                let key = ParsedPublicKey::new(&crypto::ED25519, bytes).ok()?;
                Some(Self { key, fixed: None })
            }
            Algorithm::EcdsaP256 => {
                ecdsa(&crypto::ECDSA_P256_SHA256_ASN1, &crypto::ECDSA_P256_SHA256_FIXED)
            }
            Algorithm::EcdsaP384 => {
                ecdsa(&crypto::ECDSA_P384_SHA384_ASN1, &crypto::ECDSA_P384_SHA384_FIXED)
            }
            Algorithm::EcdsaP521 => {
                ecdsa(&crypto::ECDSA_P521_SHA512_ASN1, &crypto::ECDSA_P521_SHA512_FIXED)
            }
            other => {
                let key = ParsedPublicKey::new(rsa(other)?, bytes).ok()?;
                Some(Self { key, fixed: None })
            }
        }
    }

    /// A JSON Web Key (RFC 7517, RFC 8037) of this algorithm; nothing where it is another's.
    fn of_jwk(algorithm: Algorithm, jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| Encoding::Base64.decode(text(name)?.as_bytes());
        if text("use").is_some_and(|usage| usage != "sig")
            || text("alg").is_some_and(|alg| Some(alg) != algorithm.jws_name())
        {
            return None;
        }
        let curve = match algorithm {
            Algorithm::EcdsaP256 => ("P-256", 32),
            Algorithm::EcdsaP384 => ("P-384", 48),
            Algorithm::EcdsaP521 => ("P-521", 66),
            Algorithm::Ed25519 => {
                let is_okp = text("kty") == Some("OKP") && text("crv") == Some("Ed25519");
                return Self::of_bytes(algorithm, &bytes("x").filter(|_| is_okp)?);
            }
            other => {
                (text("kty") == Some("RSA")).then_some(())?;
                let (n, e) = (bytes("n")?, bytes("e")?);
                let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa(other)?);
                return Some(Self { key: key.ok()?, fixed: None });
            }
        };
        let (name, n_bytes) = curve;
        let (x, y) = (bytes("x")?, bytes("y")?);
        let is_good = text("kty") == Some("EC")
            && text("crv") == Some(name)
            && x.len() == n_bytes
            && y.len() == n_bytes;
        // An uncompressed point (SEC 1, 2.3.3).
        is_good.then(|| Self::of_bytes(algorithm, &[&[4], x.as_slice(), &y].concat())).flatten()
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
            || self.fixed.as_ref().is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }
}

/// Whether any of `candidates` is a signature of `message` by any of `keys`.
pub(super) fn matches(keys: &[PublicKey], message: &[u8], candidates: &[Vec<u8>]) -> bool {
    keys.iter().any(|key| candidates.iter().any(|candidate| key.verifies(message, candidate)))
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::RsaSha1 => Some(&crypto::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
        Algorithm::RsaSha256 => Some(&crypto::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RsaSha384 => Some(&crypto::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RsaSha512 => Some(&crypto::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::RsaPssSha256 => Some(&crypto::RSA_PSS_2048_8192_SHA256),
        Algorithm::RsaPssSha512 => Some(&crypto::RSA_PSS_2048_8192_SHA512),
        Algorithm::HmacMd5
        | Algorithm::HmacSha1
        | Algorithm::HmacSha256
        | Algorithm::HmacSha384
        | Algorithm::HmacSha512
        | Algorithm::Md5
        | Algorithm::Sha1
        | Algorithm::Sha256
        | Algorithm::Sha384
        | Algorithm::Sha512
        | Algorithm::Ed25519
        | Algorithm::EcdsaP256
        | Algorithm::EcdsaP384
        | Algorithm::EcdsaP521
        | Algorithm::Token
        | Algorithm::Basic
        | Algorithm::None => None,
    }
}

/// The keys of this algorithm that `text` is: a JWK or a set of them; a public key or a certificate
/// in PEM; hexadecimal digits or base64 of DER or raw bytes; or those bytes themselves.
pub(super) fn read(algorithm: Algorithm, text: &[u8]) -> Option<Vec<PublicKey>> {
    let trimmed = text.trim_ascii();
    if trimmed.starts_with(b"{") {
        let keys = read_jwks(algorithm, trimmed);
        return (!keys.is_empty()).then_some(keys);
    }
    // No two forms can be taken for one another: each must also be a key of the right length.
    let forms = [
        pem_body(trimmed, &["PUBLIC KEY", "RSA PUBLIC KEY"]),
        pem_body(trimmed, &["CERTIFICATE"]).and_then(|der| key_of_certificate(&der)),
        Encoding::Hex.decode(trimmed),
        Encoding::Base64.decode(trimmed),
        Some(text.to_vec()),
    ];
    let mut forms = forms.iter().flatten();
    forms.find_map(|bytes| PublicKey::of_bytes(algorithm, bytes)).map(|key| vec![key])
}

fn read_jwks(algorithm: Algorithm, text: &[u8]) -> Vec<PublicKey> {
    let Ok(jwks) = serde_json::from_slice::<Map<String, Value>>(text) else { return Vec::new() };
    let keys = match jwks.get("keys") {
        Some(Value::Array(keys)) => keys.iter().filter_map(Value::as_object).collect(),
        Some(_) | None => vec![&jwks],
    };
    let keys = keys.into_iter().filter_map(|jwk| PublicKey::of_jwk(algorithm, jwk));
    keys.take(KEYS_MAX).collect()
}

/// The key (SPKI, in DER) of a certificate. Whether the certificate can be believed is a matter of
/// where it came from: an owner's file, or a pinned host.
fn key_of_certificate(der: &[u8]) -> Option<Vec<u8>> {
    let der = der.into();
    let certificate = webpki::EndEntityCert::try_from(&der).ok()?;
    Some(certificate.subject_public_key_info().to_vec())
}

/// The bytes between `-----BEGIN …-----` and `-----END …-----`, of the first block with one of these
/// labels.
fn pem_body(text: &[u8], labels: &[&str]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let body = labels.iter().find_map(|label| {
        let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
        rest.split_once(&format!("-----END {label}-----")).map(|(body, _)| body)
    })?;
    let base64: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    Encoding::Base64.decode(&base64)
}
