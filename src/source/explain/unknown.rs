//! What can be said where nothing that was tried fits.

use crate::secret::Secret;

use super::super::doubt::doubt;
use super::super::rejection::Rejection;
use super::super::scheme::Scheme;
use super::super::signature::{Encoding, SignatureFormat};
use super::super::template::Part;
use super::case::{Case, Explanation, because};
use super::sighting::{sightings, values};

impl Case<'_> {
    /// Nothing that was tried fits.
    pub(super) fn unknown(&self, rejection: &Rejection) -> Explanation {
        if let Some(told) = self.sha1_of_another_secret(rejection) {
            return told;
        }
        let schemes = &self.source.settings.profile.schemes;
        let places: Vec<String> = schemes
            .iter()
            .flat_map(|scheme| &scheme.signature.places)
            .map(ToString::to_string)
            .collect();
        let mut places = places;
        places.dedup();
        let place = places.join(" or ");
        let out_of_form = self.out_of_form(rejection, &place);
        let is_out_of_form = out_of_form.is_some();
        let line = out_of_form.unwrap_or_else(|| self.line_of(rejection, &place));
        let hint = if *rejection == Rejection::Missing {
            let hint = "enter the secret at the sender too: most senders sign only then";
            let other = self.foreign_header().map(|(_, provider)| {
                format!("{}, and the secret of that sender", self.with_provider(provider))
            });
            other.unwrap_or_else(|| self.dropped_header(rejection).unwrap_or(hint).to_owned())
        } else if is_out_of_form {
            format!(
                "see by the sender's page where its signature stands and what is around it, and write that in {}",
                self.table()
            )
        } else {
            let other = self.base64_as_text().or_else(|| self.list_as_whole());
            other.unwrap_or_else(|| self.what_to_compare(rejection))
        };
        because(&line, Some(&hint))
    }

    /// What is wrong with the signature, which is looked for in `place`.
    fn line_of(&self, rejection: &Rejection, place: &str) -> String {
        let schemes = &self.source.settings.profile.schemes;
        match rejection {
            Rejection::Missing => match self.foreign_header() {
                Some((header, provider)) => format!(
                    "there is no {place}, but there is the header `{header}` that provider \
                     `{provider}` signs with"
                ),
                None => match self.looks_like_a_signature() {
                    Some(seen) => format!("there is no {place}, but {seen} looks like a signature"),
                    None => format!("there is no {place}: it is not signed at all"),
                },
            },
            Rejection::NotWrapped => {
                format!("the {place} does not have the expected prefix or key: {}", self.format())
            }
            Rejection::Undecodable => {
                format!("what the {place} holds is not {}", self.encoding())
            }
            Rejection::WrongLength => {
                let names: Vec<_> = schemes.iter().map(|scheme| scheme.algorithm.name()).collect();
                format!("what the {place} holds is too long or too short for {}", names.join(", "))
            }
            Rejection::Mismatch if self.rejected.request.body.is_empty() => {
                "the body is empty, and the signature is not that of an empty one: the body was \
                 lost on its way, or the sender has another secret"
                    .to_owned()
            }
            _ => "it matches none of the secrets, in no form that was tried: the sender has \
                  another secret, or the body was changed"
                .to_owned(),
        }
    }

    /// What to look at where nothing says what is wrong.
    fn what_to_compare(&self, rejection: &Rejection) -> String {
        let copy = "copy the secret from the sender again; compare the whole of it";
        match (self.doubted_secret(), rejection) {
            (Some(doubted), _) => format!("{copy}: {doubted}{}", self.signed_address()),
            (None, Rejection::WrongLength) => {
                "no secret is wrong by that: see by which algorithm the sender signs, and whether \
                 something on the way cuts the header"
                    .to_owned()
            }
            (None, _) => format!("{copy}{}", self.signed_address()),
        }
    }

    /// What to look at besides, where the address is signed.
    fn signed_address(&self) -> &'static str {
        let schemes = &self.source.settings.profile.schemes;
        let mut signed = schemes.iter().filter_map(|scheme| scheme.signed.as_ref());
        if signed.clone().any(|signed| signed.has(&Part::Url)) {
            "; the address is signed, too: `url` must be the one that the sender has, with the path before \
             a proxy took a part of it away"
        } else if signed.any(|signed| signed.has(&Part::Path)) {
            "; the path is signed, too: it must come as the sender wrote it, so let no proxy take a part of \
             it away"
        } else {
            ""
        }
    }

    fn format(&self) -> String {
        let first = self.source.settings.profile.schemes.first();
        match first.map(|scheme| &scheme.signature.format) {
            Some(SignatureFormat::Whole { prefix }) => format!("`{prefix}`"),
            Some(SignatureFormat::List { item, pair, keys }) => {
                let signatures = keys.iter().map(|key| format!("`{key}{pair}…`"));
                format!("{} between `{item}`", signatures.collect::<Vec<_>>().join(" or "))
            }
            Some(SignatureFormat::Items { item, .. }) => format!("items between `{item}`"),
            None => String::new(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self.source.settings.profile.schemes.first().map(|first| first.signature.encoding) {
            Some(Encoding::Hex) => "hexadecimal",
            Some(Encoding::Base64) => "base64",
            Some(Encoding::Plain) | None => "the expected text",
        }
    }

    /// A secret that looks like base64 where the scheme of the owner's own takes its text: a preset
    /// knows what its sender's are.
    fn base64_as_text(&self) -> Option<String> {
        if self.source.settings.profile.provider.is_some() {
            return None;
        }
        let takes_text =
            |scheme: &Scheme| scheme.key.encoding == Encoding::Plain && scheme.algorithm.signs();
        if !self.source.settings.profile.schemes.iter().any(takes_text) {
            return None;
        }
        let looks_like_base64 = |secret: &Secret| {
            let text = secret.expose();
            let is_marked = text.starts_with(b"whsec_") || text.ends_with(b"=");
            let text = text.strip_prefix(b"whsec_".as_slice()).unwrap_or(text);
            is_marked && Encoding::Base64.decode(text).is_some()
        };
        self.source.secrets.iter().any(looks_like_base64).then(|| {
            format!(
                "the secret looks like base64 but is used as text: `key = \"base64\"` in {}",
                self.table()
            )
        })
    }

    /// What is odd about a secret as it stands here.
    fn doubted_secret(&self) -> Option<String> {
        let profile = &self.source.settings.profile;
        self.source.secrets.iter().enumerate().find_map(|(index, secret)| {
            let (what, help) = doubt(profile, secret.expose())?;
            Some(format!("secret {} of this source {what}: {help}", index + 1))
        })
    }

    /// A list at the place of a signature that should stand alone.
    fn list_as_whole(&self) -> Option<String> {
        let schemes = &self.source.settings.profile.schemes;
        let is_whole =
            |scheme: &&Scheme| matches!(scheme.signature.format, SignatureFormat::Whole { .. });
        let scheme = schemes.iter().find(is_whole)?;
        let seen = sightings(&values(&self.rejected.request));
        let seen = seen.into_iter().find(|one| scheme.signature.places.contains(&one.place))?;
        let SignatureFormat::List { item, pair, keys } = &seen.format else { return None };
        let key = keys.first()?;
        // The two exclude each other.
        let instead = match &scheme.signature.format {
            SignatureFormat::Whole { prefix } if !prefix.is_empty() => " in place of `prefix`",
            _ => "",
        };
        Some(format!(
            "it is in a list: `list = {{ item = \"{item}\", pair = \"{pair}\", key = \"{}\" }}`{instead} in {}; \
             if a time stands beside it, that is mostly signed too: `timestamp = {{ list = \"t\" }}, signed \
             = \"{{timestamp}}.{{body}}\"`",
            key.escape_debug(),
            self.table()
        ))
    }
}
