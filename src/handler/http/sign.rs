//! The signature of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::handler::BuildError;
use crate::secret::Secret;

/// The standard alphabet, with or without padding: secrets are copied by hand.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Signs with one secret.
pub(super) struct Signer {
    /// With the key in it; cloned for each signature.
    mac: Hmac<Sha256>,
}

impl Signer {
    /// Reads the secret as every library of Standard Webhooks does: base64, with or without
    /// `whsec_` before it.
    pub(super) fn new(secret: &Secret) -> Result<Self, BuildError> {
        let text = secret.expose();
        let text = text.strip_prefix(b"whsec_").unwrap_or(text);
        let unfit = || {
            let text = "the secret is not base64: `openssl rand -base64 32` makes one";
            BuildError::Unfit(text.to_owned())
        };
        let key = LENIENT.decode(text).map(Secret::new).map_err(|_| unfit())?;
        let mac = Hmac::new_from_slice(key.expose()).map_err(|_| unfit())?;
        Ok(Self { mac })
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut mac = self.mac.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification and of Svix's documentation.
    #[test]
    fn the_published_example_comes_out() {
        for secret in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        {
            let signer = Signer::new(&Secret::new(secret)).unwrap();
            let signature = signer.sign(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                br#"{"test": 2432232314}"#,
            );
            assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        }
    }

    #[test]
    fn a_created_secret_can_be_used_and_another_text_is_an_error() {
        let created = crate::secret::random_hex().unwrap();
        Signer::new(&Secret::new(created.as_bytes())).unwrap();
        assert!(Signer::new(&Secret::new("not base64!")).is_err());
    }
}
