//! One order: names are shown to be ours, and a certificate for a new key is signed.

use std::sync::Arc;

use instant_acme::{
    AuthorizationHandle, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;

use crate::secret::Secret;

use super::super::{AcmeChallenge, CertificateError};
use super::{Acme, AcmeError, ORDER_TIMEOUT};

impl Acme {
    /// The new key and the chain of its certificate, in PEM form.
    pub(super) async fn order_now(&self) -> Result<Secret, AcmeError> {
        let account = self.account().await?;
        let identifiers: Vec<Identifier> =
            self.settings.domains.iter().map(|name| identifier(name)).collect();
        let mut request = NewOrder::new(&identifiers);
        if let Some(profile) = &self.settings.profile {
            request = request.profile(profile);
        }
        let mut order = account.new_order(&request).await.map_err(AcmeError::Authority)?;
        self.answer_challenges(&mut order).await?;
        let polling = RetryPolicy::new().timeout(ORDER_TIMEOUT);
        let status = order.poll_ready(&polling).await;
        if !matches!(status, Ok(OrderStatus::Ready)) {
            if let Some(refused) = refusal(&mut order).await {
                return Err(refused);
            }
            status.map_err(AcmeError::Authority)?;
        }
        let key = KeyPair::generate().map_err(AcmeError::Request)?;
        let mut params =
            CertificateParams::new(self.settings.domains.clone()).map_err(AcmeError::Request)?;
        // The names alone: authorities ignore the rest, or refuse it.
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).map_err(AcmeError::Request)?;
        order.finalize_csr(csr.der()).await.map_err(AcmeError::Authority)?;
        let chain = order.poll_certificate(&polling).await.map_err(AcmeError::Authority)?;
        Ok(Secret::new(key.serialize_pem() + &chain))
    }

    /// Puts what the authority looks for into the store, and asks it to look.
    async fn answer_challenges(&self, order: &mut Order) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization.map_err(AcmeError::Authority)?;
            // Of an earlier order.
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            self.answer_challenge(authorization).await?;
        }
        Ok(())
    }

    async fn answer_challenge(
        &self,
        mut authorization: AuthorizationHandle<'_>,
    ) -> Result<(), AcmeError> {
        let name = name(&authorization);
        let (kind, words) = match self.settings.challenge {
            AcmeChallenge::Http01 => (ChallengeType::Http01, "HTTP-01"),
            AcmeChallenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "TLS-ALPN-01"),
        };
        let Some(mut challenge) = authorization.challenge(kind) else {
            return Err(AcmeError::NoChallenge(name, words));
        };
        let answer = challenge.key_authorization();
        match self.settings.challenge {
            AcmeChallenge::Http01 => {
                self.store.add_token(challenge.token.clone(), answer.as_str().to_owned());
            }
            AcmeChallenge::TlsAlpn01 => {
                let certificate = challenge_certificate(&name, answer.digest().as_ref())?;
                self.store.add_challenge(&name, certificate);
            }
        }
        challenge.set_ready().await.map_err(AcmeError::Authority)
    }
}

/// A certificate for `name` that carries the digest of the answer (RFC 8737), with its key. It is none
/// that a sender would believe, so it is not looked at like one.
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<Arc<CertifiedKey>, AcmeError> {
    let made = || {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        Ok((params.self_signed(&key)?, PrivatePkcs8KeyDer::from(key.serialize_der())))
    };
    let (certificate, key) = made().map_err(AcmeError::Request)?;
    let key = any_supported_type(&key.into())
        .map_err(|err| AcmeError::Certificate(CertificateError::UnusableKey(err)))?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

fn identifier(name: &str) -> Identifier {
    name.parse().map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

fn name(authorization: &AuthorizationHandle<'_>) -> String {
    authorization.identifier().to_string()
}

/// Which name the authority did not believe, and why.
async fn refusal(order: &mut Order) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        authorization.refresh().await.ok()?;
        let mut errors = authorization.challenges.iter().filter_map(|one| one.error.as_ref());
        if let Some(problem) = errors.next_back() {
            let reason = problem.detail.clone().unwrap_or_else(|| problem.to_string());
            return Some(AcmeError::Name(name(&authorization), reason));
        }
    }
    None
}
