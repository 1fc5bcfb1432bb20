//! What another sender, or the same one described otherwise, would have made good.

use super::super::providers::PROVIDERS;
use super::super::settings::{Overrides, SigningProfile};
use super::super::template::Template;
use super::case::{Case, Explanation, because};
use super::variants::{differences, variants};

impl Case<'_> {
    /// Signed in another form or as another provider does.
    pub(super) fn other_sender(&self) -> Option<Explanation> {
        match self.source.settings.profile.provider {
            Some(_) => self.other_form().or_else(|| self.other_provider()),
            None => self.other_provider().or_else(|| self.other_form()),
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
            if self.source.secrets.iter().any(|secret| self.fits(profile.clone(), secret)) {
                return Some(because(
                    &format!("it is signed as provider `{}` signs", provider.name),
                    Some(&format!(
                        "`provider = \"{}\"` in [source.{}]",
                        provider.name,
                        self.source.name()
                    )),
                ));
            }
        }
        None
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
            if self.source.secrets.iter().any(|secret| self.fits(profile.clone(), secret)) {
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
        if !is_signed || !secrets.any(|secret| self.fits(profile.clone(), secret)) {
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
}
