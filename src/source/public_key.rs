//! Public keys in any of the forms that providers hand them out in.

use std::fmt;

use aws_lc_rs::signature::{self as crypto, ParsedPublicKey, RsaPublicKeyComponents};
use serde_json::{Map, Value};

use crate::clock::Timestamp;

use super::algorithm::{Algorithm, AlgorithmKind};
use super::signature::Encoding;

/// The most keys of a set that are looked at: providers publish two or three.
const KEYS_MAX: usize = 32;

/// The modulus of the shortest RSA key that is believed: 2,048 bits (NIST SP 800-131A).
const RSA_MODULUS_BYTES_MIN: usize = 256;

/// Why a text holds no key that signatures could be checked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadPublicKey {
    /// It is no key of the algorithm.
    NotOne,
    /// It is an RSA key of fewer than 2,048 bits.
    ShortRsa,
}

/// A public key of one algorithm.
#[derive(Clone)]
pub(super) struct PublicKey {
    key: ParsedPublicKey,
    /// ECDSA: the same for signatures of fixed size. Both forms are out there.
    fixed: Option<ParsedPublicKey>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").finish_non_exhaustive()
    }
}

impl PublicKey {
    /// A key of DER or raw bytes.
    fn of_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        match algorithm.kind() {
            AlgorithmKind::Ed25519 => {
                let key = ParsedPublicKey::new(&crypto::ED25519, bytes).ok()?;
                Some(Self { key, fixed: None })
            }
            AlgorithmKind::Ecdsa(curve) => {
                let key = ParsedPublicKey::new(curve.asn1, bytes).ok()?;
                Some(Self { key, fixed: Some(ParsedPublicKey::new(curve.fixed, bytes).ok()?) })
            }
            AlgorithmKind::Rsa(parameters) => {
                let key = ParsedPublicKey::new(parameters, bytes).ok()?;
                Some(Self { key, fixed: None })
            }
            AlgorithmKind::Hmac
            | AlgorithmKind::Digest
            | AlgorithmKind::Password
            | AlgorithmKind::Open => None,
        }
    }

    /// A JSON Web Key (RFC 7517, RFC 8037) of this algorithm; nothing where it is another's.
    fn of_jwk(algorithm: Algorithm, jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| Encoding::Base64.decode(text(name)?.as_bytes());
        // Plaid answers with a key that it has taken back, too, and says when.
        let is_taken_back = jwk.get("expired_at").is_some_and(Value::is_number);
        if is_taken_back
            || text("use").is_some_and(|usage| usage != "sig")
            || text("alg").is_some_and(|alg| Some(alg) != algorithm.jws_name())
        {
            return None;
        }
        let is_of = |kty: &str, crv: Option<&str>| text("kty") == Some(kty) && text("crv") == crv;
        match algorithm.kind() {
            AlgorithmKind::Ed25519 => {
                let x = bytes("x").filter(|_| is_of("OKP", Some("Ed25519")))?;
                Self::of_bytes(algorithm, &x)
            }
            AlgorithmKind::Ecdsa(curve) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                let is_good = is_of("EC", Some(curve.name))
                    && x.len() == curve.n_bytes
                    && y.len() == curve.n_bytes;
                // An uncompressed point (SEC 1, 2.3.3).
                let point = || [&[4], x.as_slice(), &y].concat();
                is_good.then(|| Self::of_bytes(algorithm, &point())).flatten()
            }
            AlgorithmKind::Rsa(parameters) => {
                (text("kty") == Some("RSA")).then_some(())?;
                let (n, e) = (bytes("n")?, bytes("e")?);
                let zeros = n.iter().take_while(|byte| **byte == 0).count();
                (n.len() - zeros >= RSA_MODULUS_BYTES_MIN).then_some(())?;
                let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
                Some(Self { key: key.ok()?, fixed: None })
            }
            AlgorithmKind::Hmac
            | AlgorithmKind::Digest
            | AlgorithmKind::Password
            | AlgorithmKind::Open => None,
        }
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

/// The keys of this algorithm that `text` is: a JWK or a set of them; a public key or a certificate
/// in PEM; hexadecimal digits or base64 of DER or raw bytes; or those bytes themselves.
pub(super) fn read(algorithm: Algorithm, text: &[u8]) -> Result<Vec<PublicKey>, BadPublicKey> {
    let trimmed = text.trim_ascii();
    if trimmed.starts_with(b"{") {
        let keys = read_jwks(algorithm, trimmed);
        return if keys.is_empty() { Err(BadPublicKey::NotOne) } else { Ok(keys) };
    }
    // No two forms can be taken for one another: each must also be a key of the right length.
    let forms = [
        pem_body(trimmed, &["PUBLIC KEY", "RSA PUBLIC KEY"]),
        pem_body(trimmed, &["CERTIFICATE"]).and_then(|der| key_of_certificate(&der)),
        Encoding::Hex.decode(trimmed),
        base64_of_lines(trimmed),
        Some(text.to_vec()),
    ];
    let key = |bytes: &Vec<u8>| Some((PublicKey::of_bytes(algorithm, bytes)?, bytes.len()));
    let (key, n_bytes) = forms.iter().flatten().find_map(key).ok_or(BadPublicKey::NotOne)?;
    // The key's bytes hold its modulus. Of a shorter one no signature is ever good.
    let is_rsa = matches!(algorithm.kind(), AlgorithmKind::Rsa(_));
    if is_rsa && n_bytes <= RSA_MODULUS_BYTES_MIN {
        Err(BadPublicKey::ShortRsa)
    } else {
        Ok(vec![key])
    }
}

fn read_jwks(algorithm: Algorithm, text: &[u8]) -> Vec<PublicKey> {
    let Ok(jwks) = serde_json::from_slice::<Map<String, Value>>(text) else { return Vec::new() };
    let keys = match jwks.get("keys") {
        Some(Value::Array(keys)) => keys.iter().filter_map(Value::as_object).collect(),
        // Plaid wraps the one that it was asked for.
        Some(_) | None => vec![jwks.get("key").and_then(Value::as_object).unwrap_or(&jwks)],
    };
    let keys = keys.into_iter().filter_map(|jwk| PublicKey::of_jwk(algorithm, jwk));
    keys.take(KEYS_MAX).collect()
}

/// When the certificate in `text` is good; nothing where it is none.
pub(super) fn validity(text: &[u8]) -> Option<(Timestamp, Timestamp)> {
    crate::tls::validity_of(&pem_body(text, &["CERTIFICATE"])?)
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
    base64_of_lines(body.as_bytes())
}

/// The bytes of base64 in lines, whose ends are the two characters `\n` where an environment file holds them.
fn base64_of_lines(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?.replace("\\r", "").replace("\\n", "");
    let base64: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    Encoding::Base64.decode(&base64)
}
