//! What another sender, or the same one described otherwise, would have made good; and what is no signature of this
//! body: a check sum, or the signature of nothing.

use super::super::field_ref::FieldRef;
use super::super::keys::Algorithm;
use super::super::providers::{PROVIDERS, Provider};
use super::super::scheme::Scheme;
use super::super::settings::{Overrides, SigningProfile};
use super::super::signature::Encoding;
use super::super::template::Template;
use super::case::{Case, Explanation, because};
use super::variants::{SchemeDifferences, differences, variants};

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

    /// Signed as one of the presets does. Whose types come is the source's own sender, whatever else it is like.
    fn other_provider(&self) -> Option<Explanation> {
        if self.is_of_own_provider() {
            return None;
        }
        let url = self.source.settings.profile.schemes.iter().find_map(|scheme| scheme.url.clone());
        let fits = |provider: &&'static Provider| {
            let overrides = Overrides { url: url.clone(), ..Overrides::default() };
            let profile = SigningProfile::provider(provider.name);
            profile.map(|profile| profile.with(overrides)).is_some_and(|profile| {
                // A preset that is no stronger than a password would take nearly anything.
                let is_weak = profile.schemes.iter().any(|scheme| !scheme.weaknesses().is_empty());
                let is_same = self.source.provider() == provider.name;
                !is_weak && !is_same && self.any_fits(&profile)
            })
        };
        let fitting: Vec<&'static Provider> = PROVIDERS.iter().filter(fits).collect();
        let provider = self.likeliest(&fitting)?;
        Some(because(
            &format!("it is signed as provider `{}` signs", provider.name),
            Some(&self.with_provider(provider.name)),
        ))
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
        self.first_that_fits(scheme, variants(scheme, &self.first_value()), differences)
    }

    /// The first of `changed` by which the request matches, told by what it has otherwise than `scheme`: in words,
    /// and as settings.
    pub(super) fn first_that_fits(
        &self,
        scheme: &Scheme,
        changed: impl IntoIterator<Item = Scheme>,
        differences: fn(&Scheme, &Scheme) -> SchemeDifferences,
    ) -> Option<Explanation> {
        let profile = self.profile();
        let changed = changed.into_iter().find(|scheme| {
            self.any_fits(&SigningProfile { schemes: vec![scheme.clone()], ..profile.clone() })
        })?;
        let (what, lines) = differences(scheme, &changed);
        let line = format!("it matches {}", what.join(", "));
        Some(self.with_scheme(&line, &lines.join(", "), &changed))
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
        let change = "ask the sender to sign the body; or keep the address secret, and write `signed = \
                      \"{method}\"` with `allow_unsigned_body = true`";
        let line = "it matches the word POST alone: the sender does not sign its body";
        Some(self.with_scheme(line, change, profile.schemes.first()?))
    }

    /// The text of the first header that should hold the signature.
    fn first_value(&self) -> String {
        let places = self.source.settings.profile.schemes.iter();
        let mut places = places.flat_map(|scheme| &scheme.signature.places);
        places.find_map(|place| place.find(&self.rejected.request).text()).unwrap_or_default()
    }

    /// A header of the right name but for `_` in place of `-`, as CGI and some gateways write it.
    pub(super) fn renamed_header(&self) -> Option<Explanation> {
        let profile = self.profile();
        let mut places = profile.schemes.iter().flat_map(|scheme| {
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
        let change = format!(
            "something on its way writes `_` for `-` or the other way round: let it pass the names \
             of headers as they are, or write `header = \"{sent}\"`"
        );
        let is_it = |place: &FieldRef| matches!(place, FieldRef::Header(known) if *known == name);
        let renamed = |scheme: &Scheme| {
            let mut scheme = scheme.clone();
            let timestamp = scheme.timestamp.iter_mut().map(|rule| &mut rule.at);
            let places = scheme.signature.places.iter_mut().chain(timestamp).chain(&mut scheme.id);
            places.filter(|place| is_it(place)).for_each(|place| *place = FieldRef::header(&sent));
            scheme
        };
        let mut schemes = profile.schemes.iter().map(renamed);
        let fits = |scheme: &Scheme| {
            self.any_fits(&SigningProfile { schemes: vec![scheme.clone()], ..profile.clone() })
        };
        let first = schemes.clone().next()?;
        Some(self.with_scheme(&line, &change, &schemes.find(fits).unwrap_or(first)))
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
                        let line = format!("it matches as the plain {name} {what}");
                        let change =
                            format!("`algorithm = \"{name}\", signed = \"{signed}\"{encoding}`");
                        self.with_scheme(&line, &change, digest.schemes.first()?)
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
