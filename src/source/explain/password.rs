//! Passwords that are sent along and are not quite the ones that are here: tokens and HTTP Basic.

use std::borrow::Cow;

use super::super::field_ref::{FieldRef, pairs, query};
use super::super::keys::Algorithm;
use super::super::signature::{Encoding, SignatureFormat, SignatureRule};
use super::case::{Case, Explanation, because};

impl Case<'_> {
    /// What is wrong with a token or with HTTP Basic, where it is at its place.
    pub(super) fn wrong_password(&self) -> Option<Explanation> {
        let schemes = &self.source.settings.profile.schemes;
        if !schemes.iter().all(|scheme| !scheme.algorithm.signs()) {
            return None;
        }
        let places = || schemes.iter().flat_map(|scheme| &scheme.signature.places);
        if schemes.iter().any(|scheme| scheme.algorithm == Algorithm::Basic) {
            let found = places().find_map(|place| self.wrong_basic(place));
            if found.is_some() {
                return found;
            }
        }
        places().find_map(|place| self.bare_plus(place)).or_else(|| self.wrapped_token())
    }

    /// A `+` that stands for a blank in an address.
    fn bare_plus(&self, place: &FieldRef) -> Option<Explanation> {
        let FieldRef::Query(name) = place else { return None };
        let sent = query(&self.rejected.request).replace('+', "%2B");
        let mut fields = pairs(sent.as_bytes());
        let (_, value) = fields.find(|(key, _)| **key == *name.as_bytes())?;
        let is_it = |secret: &crate::secret::Secret| secret.expose() == &*value;
        if !self.source.secrets.iter().any(is_it) {
            return None;
        }
        Some(because(
            &format!("the {place} holds the token with a bare `+`, which is a blank in an address"),
            Some("write `%2B` for each `+` into the address that the sender has"),
        ))
    }

    /// The token with something around it that is none of it.
    fn wrapped_token(&self) -> Option<Explanation> {
        let schemes = &self.source.settings.profile.schemes;
        let mut places = schemes.iter().flat_map(|scheme| &scheme.signature.places);
        let unprefixed = schemes.iter().find_map(|scheme| self.unprefixed(&scheme.signature));
        if unprefixed.is_some() {
            return unprefixed;
        }
        places.find_map(|place| {
            let text = place.find(&self.rejected.request).text()?;
            let how = self.around_token(text.trim())?;
            let hint = "have the sender send the token alone, as it is in the file here";
            Some(because(&format!("the {place} holds the token {how}"), Some(hint)))
        })
    }

    /// The token alone, where the configuration wants something before it.
    fn unprefixed(&self, rule: &SignatureRule) -> Option<Explanation> {
        let SignatureFormat::Whole { prefix } = &rule.format else { return None };
        let alone = rule.places.iter().find(|place| {
            let text = place.find(&self.rejected.request).text();
            text.is_some_and(|text| self.is_password_text(text.trim().trim_matches('"')))
        });
        let line = format!("the {} holds the token without `{prefix}` before it", alone?);
        let hint = format!(
            "have the sender write `{prefix}` before it; or take `prefix` out of {}",
            self.table()
        );
        (!prefix.is_empty()).then(|| because(&line, Some(&hint)))
    }

    fn around_token(&self, text: &str) -> Option<&'static str> {
        let is_it = |text: &str| self.is_password_text(text);
        if let Some((one, other)) = text.split_once(',')
            && one.trim() == other.trim()
            && is_it(one.trim())
        {
            return Some("twice: something on its way joined two equal headers by a comma");
        }
        let decoded = Encoding::Base64.decode(text.as_bytes());
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.as_deref().map(str::trim);
        if decoded.is_some_and(|text| is_it(text) || is_it(text.trim_matches(':'))) {
            return Some("in base64");
        }
        // `token:` and `:token`, `key=token`, `token="…"`.
        let inner = text.split_once([':', '=']).map(|(_, inner)| inner.trim().trim_matches('"'));
        if inner.is_some_and(is_it) {
            return Some("behind a name");
        }
        is_it(text.trim_end_matches([':', ',', ';', '.'])).then_some("with a sign behind it")
    }

    fn is_password_text(&self, text: &str) -> bool {
        let is_it =
            |secret: &crate::secret::Secret| secret.expose().trim_ascii() == text.as_bytes();
        !text.is_empty() && self.source.secrets.iter().any(is_it)
    }

    /// What of `user:password` is right.
    fn wrong_basic(&self, place: &FieldRef) -> Option<Explanation> {
        let text = place.find(&self.rejected.request).text()?;
        let (word, given) = text.trim().split_once(' ').unwrap_or(("", text.trim()));
        if !word.eq_ignore_ascii_case("basic") {
            let word = if word.is_empty() { "something" } else { "another word" };
            let line = format!("the {place} holds {word} in place of `Basic …`");
            let hint = format!(
                "choose HTTP Basic with a name and a password at the sender; or, for a token, \
                 `algorithm = \"token\", header = \"authorization\", prefix = \"Bearer \"` in {}",
                self.table()
            );
            return Some(because(&line, Some(&hint)));
        }
        let Some(decoded) = Encoding::Base64.decode(given.trim().as_bytes()) else {
            let line = format!("what the {place} holds behind `Basic` is not base64");
            let hint = "the name and the password go there as base64 of `user:password`";
            return Some(because(&line, Some(hint)));
        };
        let sent = text_of(&decoded);
        self.source.secrets.iter().find_map(|secret| {
            let known = std::str::from_utf8(secret.expose()).ok()?;
            let (line, hint) = compare_basic(known.trim(), sent.trim())?;
            Some(because(line, Some(hint)))
        })
    }
}

/// What was sent, where it is no UTF-8 in Latin-1.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into(),
    }
}

/// What of `sent` is as in `known`; nothing where they have nothing in common.
fn compare_basic(known: &str, sent: &str) -> Option<(&'static str, &'static str)> {
    const BOTH: &str = "write the sender's name and password into the secret: `user:password`";
    let Some((user, password)) = known.split_once(':') else {
        let (sent_user, sent_password) = sent.split_once(':').unwrap_or((sent, ""));
        return if sent_password == known {
            Some((
                "the password is right, and the user name before it is missing in the secret",
                BOTH,
            ))
        } else if sent_user == known {
            let line =
                "the user name is right, and the secret has no password: it is `user:password`";
            Some((line, BOTH))
        } else {
            Some(("the secret has no `:`, and HTTP Basic has a user name before it", BOTH))
        };
    };
    let Some((sent_user, sent_password)) = sent.split_once(':') else {
        let line = "what was sent has no `:` between a user name and a password";
        return Some((line, "enter both at the sender, as they are in the secret here"));
    };
    if sent_user == user && sent_password == password {
        let line = "name and password are right, but were sent in Latin-1 and not in UTF-8: the \
                    sender uses another charset";
        return Some((line, "choose ones without letters such as `ä`"));
    }
    if sent_user == password && sent_password == user {
        return Some(("the user name and the password have changed their places", BOTH));
    }
    if sent_password == password && !password.is_empty() {
        return Some(("the password is right, but the user name is another", BOTH));
    }
    if sent_user == user && !user.is_empty() {
        if sent_password.trim() == password.trim() {
            return Some(("it matches but for a blank around the password", BOTH));
        }
        if sent_password.eq_ignore_ascii_case(password) {
            return Some(("it matches in other letters: upper and lower case differ", BOTH));
        }
        return Some(("the user name is right, but the password is another", BOTH));
    }
    let is_alike = sent.eq_ignore_ascii_case(known);
    is_alike.then_some(("it matches in other letters: upper and lower case differ", BOTH))
}
