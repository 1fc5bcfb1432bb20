//! What a secret that signs events hashes for a question: nothing that is an event's signature.

use crate::secret::Secret;

use super::super::configured::Source;
use super::super::field_ref::FieldRef;
use super::super::keys::Algorithm;
use super::super::scheme::{Envelope, Scheme};
use super::super::settings::SigningProfile;
use super::super::template::{Part, Template};
use super::answer::AnswerTemplate;
use super::hashed::is_token;
use super::rule::{Answer, Handshake, Signing};

/// What is hashed with what signs events. A question that is seen once can come again with another header or query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum Hashable {
    /// Whatever is asked: it is no signature, or the question's own signature answers for it.
    All,
    /// A token, as X's: no body that is one is an event.
    Token,
    Nothing,
}

impl Hashable {
    fn allows(self, text: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Token => is_token(text),
            Self::Nothing => false,
        }
    }
}

impl SigningProfile {
    /// What the answer to `handshake` may hash with what signs events.
    pub(in crate::source) fn hashable(&self, handshake: &Handshake) -> Hashable {
        let (algorithm, is_of_body) = match &handshake.answer {
            Answer::Template(AnswerTemplate { hash: Some(rule), .. }) => {
                (rule.algorithm, rule.signed.is_of_body())
            }
            Answer::Hash(place) if !handshake.hashes_for_strangers() => {
                (Algorithm::HmacSha256, matches!(place, FieldRef::Json(_) | FieldRef::Form(_)))
            }
            Answer::Template(_)
            | Answer::Hash(_)
            | Answer::Echo(_)
            | Answer::Json(_)
            | Answer::Nothing(_) => return Hashable::All,
        };
        let is_alike = |scheme: &Scheme| scheme.algorithm == algorithm;
        let is_answered_for = is_of_body
            && handshake.signing == Signing::Signed
            && self.schemes.iter().all(signs_whole_body);
        if is_answered_for || !self.schemes.iter().any(is_alike) {
            Hashable::All
        } else if self.schemes.iter().all(|scheme| !is_alike(scheme) || signs_body_alone(scheme)) {
            Hashable::Token
        } else {
            Hashable::Nothing
        }
    }
}

fn signs_whole_body(scheme: &Scheme) -> bool {
    let parts = [Part::Body, Part::BodySha256, Part::BodySha256Base64, Part::UnpackedBody];
    scheme.algorithm.signs() && is_of(scheme, |signed| parts.iter().any(|part| signed.has(part)))
}

fn signs_body_alone(scheme: &Scheme) -> bool {
    scheme.body_sha256.is_none() && is_of(scheme, |signed| signed.is_body_behind(""))
}

fn is_of(scheme: &Scheme, is_it: impl Fn(&Template) -> bool) -> bool {
    let signed = scheme.signed.as_ref().filter(|_| scheme.each.is_none());
    matches!(scheme.envelope, Envelope::Plain) && signed.is_some_and(is_it)
}

impl Source {
    /// What the answer to `handshake`, a text of the owner's, hashes with, where its question is signed by `secret`. A
    /// token that another question shows is none for what is signed.
    pub(super) fn hash_key<'a>(
        &'a self,
        handshake: &Handshake,
        secret: Option<&'a Secret>,
    ) -> Option<&'a Secret> {
        let token = self.verify_token.as_ref();
        let mut handshakes = self.settings.profile.handshakes.iter();
        let is_of_another = handshake.signing == Signing::Signed
            && handshake.token.is_none()
            && handshakes.any(|one| one.token.is_some());
        if is_of_another { secret.or(token) } else { token.or(secret) }
    }

    /// Whether `key` may hash `text` for `handshake`.
    pub(super) fn may_hash_text(&self, handshake: &Handshake, key: &Secret, text: &[u8]) -> bool {
        !self.signs_by(key) || self.settings.profile.hashable(handshake).allows(text)
    }

    /// Whether a question can have `body` hashed just as an event with that body is signed.
    pub(super) fn may_hash_body(&self, handshake: &Handshake, body: &[u8]) -> bool {
        let has_key = |secret| match &handshake.answer {
            Answer::Template(_) => self.hash_key(handshake, Some(secret)),
            Answer::Echo(_) | Answer::Hash(_) | Answer::Json(_) | Answer::Nothing(_) => {
                Some(secret)
            }
        };
        is_token(body)
            && self.settings.profile.hashable(handshake) == Hashable::Token
            && self.secrets.iter().filter_map(has_key).any(|key| self.signs_by(key))
    }

    fn signs_by(&self, key: &Secret) -> bool {
        self.secrets.iter().any(|secret| secret.expose() == key.expose())
    }
}
