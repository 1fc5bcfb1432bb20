//! What another sender, or the same one described otherwise, would have made good; and what is no
//! signature of this body: the secret itself, a check sum, or the signature of nothing.

use crate::secret::Secret;

use super::super::field_ref::{FieldRef, pairs, query};
use super::super::keys::Algorithm;
use super::super::providers::PROVIDERS;
use super::super::settings::{Overrides, SigningProfile};
use super::super::signature::Encoding;
use super::super::template::Template;
use super::case::{Case, Explanation, because};
use super::variants::{differences, variants};

/// Shorter secrets would be found in texts that have nothing to do with them.
const SECRET_BYTES_MIN: usize = 6;

/// What a check sum is made of, with a word for people.
const DIGESTED: [(&str, &str); 4] = [
    ("{secret}{body}", "of the secret and the body"),
    ("{body}{secret}", "of the body and the secret"),
    ("{body}.{secret}", "of the body, a dot and the secret"),
    ("{body}", ""),
];
const DIGESTS: [Algorithm; 4] =
    [Algorithm::Sha256, Algorithm::Sha1, Algorithm::Sha512, Algorithm::Md5];

impl Case<'_> {
    /// Signed in another form or as another provider does.
    pub(super) fn other_sender(&self) -> Option<Explanation> {
        match self.source.settings.profile.provider {
            Some(_) => self.other_form().or_else(|| self.other_provider()),
            // A `verify` table has a key for where the signature is: no preset is needed for that.
            None => self
                .other_provider()
                .map(|as_preset| self.found_elsewhere().unwrap_or(as_preset))
                .or_else(|| self.other_form()),
        }
    }

    /// Signed as one of the presets does.
    fn other_provider(&self) -> Option<Explanation> {
        let url = self.source.settings.profile.schemes.iter().find_map(|scheme| scheme.url.clone());
        for provider in PROVIDERS.iter() {
            let overrides = Overrides { url: url.clone(), ..Overrides::default() };
            let profile = SigningProfile::provider(provider.name)?.with(overrides);
            // A preset that is no stronger than a password would take nearly anything.
            let is_weak = profile.schemes.iter().any(|scheme| !scheme.weaknesses().is_empty());
            let is_same = self.source.provider() == provider.name;
            if is_weak || is_same {
                continue;
            }
            if self.any_fits(&profile) {
                return Some(because(
                    &format!("it is signed as provider `{}` signs", provider.name),
                    Some(&self.with_provider(provider.name)),
                ));
            }
        }
        None
    }

    /// How the source gets this provider.
    pub(super) fn with_provider(&self, provider: &str) -> String {
        let name = self.source.name();
        let instead = match self.source.settings.profile.provider {
            Some(_) => "",
            None => ", in place of its `verify` table",
        };
        format!("`provider = \"{provider}\"` in [source.{name}]{instead}")
    }

    /// Another hash, another encoding, another reading of the secret, another prefix.
    fn other_form(&self) -> Option<Explanation> {
        let profile = self.profile();
        let scheme = profile.schemes.first()?;
        if !scheme.algorithm.signs() {
            return None;
        }
        for changed in variants(scheme, &self.first_value()) {
            let profile = SigningProfile { schemes: vec![changed.clone()], ..profile.clone() };
            if self.any_fits(&profile) {
                let (what, lines) = differences(scheme, &changed);
                let hint = format!("{} in {}", lines.join(", "), self.table());
                return Some(because(&format!("it matches {}", what.join(", ")), Some(&hint)));
            }
        }
        None
    }

    /// UserEcho's page can be read as an HMAC of the word `POST`.
    pub(super) fn only_the_method(&self) -> Option<Explanation> {
        let mut profile = self.profile();
        for scheme in &mut profile.schemes {
            scheme.signed = Some(Template::parse("{method}").ok()?);
        }
        let is_signed = profile.schemes.iter().all(|scheme| scheme.algorithm.signs());
        let mut secrets = self.source.secrets.iter();
        if !is_signed || !secrets.any(|secret| self.fits(&profile, secret)) {
            return None;
        }
        let hint = format!(
            "ask the sender to sign the body; or `signed = \"{{method}}\"` with \
             `allow_unsigned_body = true` in {}, and keep the address secret",
            self.table()
        );
        let line = "it matches the word POST alone: the sender does not sign its body";
        Some(because(line, Some(&hint)))
    }

    /// The text of the first header that should hold the signature.
    fn first_value(&self) -> String {
        let places = self.source.settings.profile.schemes.iter();
        let mut places = places.flat_map(|scheme| &scheme.signature.places);
        places.find_map(|place| place.find(&self.rejected.request).text()).unwrap_or_default()
    }

    /// The secret itself in place of a signature.
    pub(super) fn secret_itself(&self) -> Option<Explanation> {
        let profile = self.profile();
        if !profile.schemes.iter().all(|scheme| scheme.algorithm.signs()) {
            return None;
        }
        let (place, setting) = self.secret_place()?;
        let line = format!(
            "the {place} holds the secret itself: the sender sends it as a password and signs \
             nothing"
        );
        let algorithm =
            if setting.starts_with("algorithm") { "" } else { "algorithm = \"token\", " };
        let hint = format!(
            "have `{}` sign its requests, if it can; else `{algorithm}{setting}` in {}",
            self.source.settings.profile.name(),
            self.table()
        );
        Some(because(&line, Some(&hint)))
    }

    /// Where the secret itself stands in the request, for people and as settings.
    pub(super) fn secret_place(&self) -> Option<(String, String)> {
        let request = &self.rejected.request;
        for (name, value) in request.headers.iter() {
            let value = String::from_utf8_lossy(value);
            let value = value.trim();
            // A word may stand before it: `Bearer`, `Token`, `GenieKey`.
            let worded = value.split_once(' ').into_iter().chain(value.rsplit_once(' '));
            for (prefix, word) in worded.chain([("", value)]) {
                let is_basic = prefix.eq_ignore_ascii_case("basic");
                let place = format!("header `{name}`");
                if is_basic && self.is_password(word) {
                    return Some((place, "algorithm = \"basic\"".to_owned()));
                }
                if self.is_secret(word.as_bytes()) {
                    let prefix = match prefix {
                        "" => String::new(),
                        prefix => format!(", prefix = \"{} \"", prefix.escape_debug()),
                    };
                    return Some((place, format!("header = \"{name}\"{prefix}")));
                }
            }
        }
        let mut fields = pairs(query(request).as_bytes());
        let (name, _) = fields.find(|(_, value)| self.is_secret(value))?;
        let name = String::from_utf8_lossy(&name).escape_debug().to_string();
        Some((format!("query parameter `{name}`"), format!("query = \"{name}\"")))
    }

    fn is_secret(&self, text: &[u8]) -> bool {
        let is_it = |secret: &Secret| secret.expose().trim_ascii() == text;
        text.len() >= SECRET_BYTES_MIN && self.source.secrets.iter().any(is_it)
    }

    /// Whether `text` is `user:secret` in base64.
    fn is_password(&self, text: &str) -> bool {
        let decoded = Encoding::Base64.decode(text.as_bytes()).unwrap_or_default();
        let at = decoded.iter().position(|byte| *byte == b':');
        let password = at.and_then(|at| decoded.get(at + 1..));
        self.is_secret(&decoded) || password.is_some_and(|password| self.is_secret(password))
    }

    /// A header of the right name but for `_` in place of `-`, as CGI and some gateways write it.
    pub(super) fn renamed_header(&self) -> Option<Explanation> {
        let schemes = self.source.settings.profile.schemes.iter();
        let mut places = schemes.flat_map(|scheme| {
            let timestamp = scheme.timestamp.as_ref().map(|rule| &rule.at);
            scheme.signature.places.iter().chain(timestamp).chain(&scheme.id)
        });
        let headers = self.rejected.request.headers;
        let (name, sent) = places.find_map(|place| {
            let FieldRef::Header(name) = place else { return None };
            let plain = |name: &str| name.replace('_', "-");
            let mut sent = headers.iter().map(|(sent, _)| sent);
            let is_there = headers.get(name).is_some();
            let sent = sent.find(|sent| plain(sent) == plain(name)).filter(|_| !is_there)?;
            Some((name.clone().into_owned(), sent.to_owned()))
        })?;
        let line = format!("there is no header `{name}`, but there is `{sent}`");
        let hint = format!(
            "something on its way writes `_` for `-` or the other way round: let it pass the names \
             of headers as they are, or write `header = \"{sent}\"` in {}",
            self.table()
        );
        Some(because(&line, Some(&hint)))
    }

    /// A check sum where a keyed one is expected.
    pub(super) fn check_sum(&self) -> Option<Explanation> {
        let profile = self.profile();
        let scheme = profile.schemes.first().filter(|scheme| scheme.algorithm.signs())?;
        for (signed, what) in DIGESTED {
            for algorithm in DIGESTS {
                for encoding in [Encoding::Hex, Encoding::Base64] {
                    let mut digest = scheme.clone();
                    digest.algorithm = algorithm;
                    digest.signature.encoding = encoding;
                    digest.signed = Some(Template::parse(signed).ok()?);
                    let digest = SigningProfile { schemes: vec![digest], ..profile.clone() };
                    if !self.any_fits(&digest) {
                        continue;
                    }
                    let name = algorithm.name();
                    return Some(if what.is_empty() {
                        because(
                            &format!("it is the plain {name} of the body: no secret is in it"),
                            Some(
                                "whoever can send can make one: have the sender sign with the secret",
                            ),
                        )
                    } else {
                        let encoding = match encoding {
                            Encoding::Base64 => ", encoding = \"base64\"",
                            Encoding::Hex | Encoding::Plain => "",
                        };
                        because(
                            &format!("it matches as the plain {name} {what}"),
                            Some(&format!(
                                "`algorithm = \"{name}\", signed = \"{signed}\"{encoding}` in {}",
                                self.table()
                            )),
                        )
                    });
                }
            }
        }
        None
    }

    /// The signature of an empty body.
    pub(super) fn of_nothing(&self) -> Option<Explanation> {
        let mut request = self.rejected.request;
        request.body = b"";
        let mut secrets = self.source.secrets.iter();
        let is_empty = self.rejected.request.body.is_empty();
        if is_empty || !secrets.any(|secret| self.fits_request(&self.profile(), secret, &request)) {
            return None;
        }
        Some(because(
            "it matches an empty body: the sender signed before it had written the body",
            Some("ask the sender to sign the body that it sends; nothing here can mend this"),
        ))
    }
}
